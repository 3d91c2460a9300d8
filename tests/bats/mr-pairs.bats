#!/usr/bin/env bats
# mr-pairs, as a user runs it: no model is needed.

load helper
set -o pipefail

rubric='Grade {{response}} as an answer to {{prompt}}. Score: X'

prepare() {
	printf %s "$rubric" >rubric
}

# chosen ID: a record with both choices; its judge asked with the file rubric.
chosen() {
	jq -nc --arg id "$1" --arg tag "$(sha256sum <rubric | cut -c 1-16)" '{id: $id, prompt: "Say {{response}}.", category: "small talk",
		responses: [{text: "Hello.", judgments: [{text: "Fine. Score: 4"}, {text: "Bad. Score: 1"}]}, {text: "Go away."}],
		judge_template: $tag, actor: {chosen: 0, rejected: 1, rho: 0}, meta: {response: 0, battles: []},
		judge: {chosen: 0, rejected: 1}}'
}

pairs() {
	mr-pairs -q --template rubric "$@"
}

@test "an actor pair: the prompt, the two responses" {
	chosen p1 | pairs --role actor >out.jsonl
	cat >want.jsonl <<-'EOF'
	{"id":"p1/actor","role":"actor","category":"small talk","prompt":[{"role":"user","content":"Say {{response}}."}],"chosen":[{"role":"assistant","content":"Hello."}],"rejected":[{"role":"assistant","content":"Go away."}]}
	EOF
	diff out.jsonl want.jsonl
}

@test "a judge pair: what the judge was asked, the two judgments" {
	chosen p1 | pairs --role judge >out.jsonl
	cat >want.jsonl <<-'EOF'
	{"id":"p1/judge","role":"judge","category":"small talk","prompt":[{"role":"user","content":"Grade Hello. as an answer to Say {{response}}.. Score: X"}],"chosen":[{"role":"assistant","content":"Fine. Score: 4"}],"rejected":[{"role":"assistant","content":"Bad. Score: 1"}]}
	EOF
	diff out.jsonl want.jsonl
}

@test "both, in the order of the records; no pair, no line" {
	{
		chosen a
		chosen b | jq -c '.judge = null'
		chosen c | jq -c '.actor = null | .judge = null'
		chosen d | jq -c '.actor = null | del(.category)'
	} >in.jsonl
	mr-pairs --template rubric in.jsonl >out.jsonl 2>summary
	[ "$(jq -r .id out.jsonl | tr '\n' ' ')" = 'a/actor a/judge b/actor d/judge ' ]
	jq -se '.[3] | has("category") | not' out.jsonl
	grep -q '4 records; 2 actor pairs, 2 judge pairs' summary
}

@test "messages pass as they are; the judge sees them as one text" {
	chosen a | jq -c 'del(.prompt) | .messages = [{role: "system", content: "Be brief."}, {role: "user", content: "Hi"},
		{role: "assistant", content: "Hi."}, {role: "user", content: "Bye"}]' >in.jsonl
	pairs in.jsonl >out.jsonl
	jq -se --slurpfile in in.jsonl '.[0].prompt == $in[0].messages' out.jsonl
	jq -se '.[1].prompt[0].content | contains("System: Be brief.\n\nUser: Hi\n\nAssistant: Hi.\n\nUser: Bye")' out.jsonl
}

@test "pairs of equal texts are dropped" {
	chosen a | jq -c '.responses[1].text = .responses[0].text' >in.jsonl
	mr-pairs --template rubric in.jsonl 2>summary | jq -se 'map(.role) == ["judge"]'
	grep -q '1 pairs of equal texts dropped' summary
}

@test "judgments asked for with another template are refused" {
	chosen a >in.jsonl
	run -3 mr-pairs -q in.jsonl
	assert_output --partial "in.jsonl:1: the judgments were asked for with another template; pass mr-judge's --template"
	mr-pairs -q --role actor in.jsonl
	jq -c 'del(.judge_template)' in.jsonl >bad.jsonl
	run -3 pairs bad.jsonl
	assert_output --partial '"judge_template" is missing'
}

@test "without --template it is the built-in one, which mr-judge uses" {
	chosen a | jq -c 'del(.responses[].judgments, .judge_template, .actor, .meta, .judge)' >in.jsonl
	mr-judge -q --guided --max-tokens 8 -n 2 in.jsonl | jq -c '.judge = {chosen: 0, rejected: 1} | .meta = {response: 1} |
		.responses[1].judgments[0].text = "better"' | mr-pairs -q --role judge >out.jsonl
	all out.jsonl '.prompt[0].content | contains("Say {{response}}.") and contains("Go away.") and (contains("{{prompt}}") | not)'
}

@test "missing or wrong choices: one clear line" {
	{
		chosen a | jq -c 'del(.actor)'
		chosen b | jq -c 'del(.judge)'
		chosen c | jq -c '.actor.chosen = 2'
		chosen d | jq -c '.actor.rejected = "1"'
		chosen e | jq -c '.judge.rejected = 0.5'
		chosen f | jq -c '.meta = null'
		chosen g | jq -c '.judge.chosen = -1'
		chosen h | jq -c 'del(.responses[0].judgments)'
		chosen i
	} >in.jsonl
	run -2 --separate-stderr pairs in.jsonl
	[ "$(jq -r .id <<<"$output" | tr '\n' ' ')" = 'i/actor i/judge ' ]
	run -0 printf '%s\n' "$stderr"
	assert_line 'mr-pairs: in.jsonl:1: "actor" is missing; run mr-lengthctl first, or give --role judge'
	assert_line 'mr-pairs: in.jsonl:2: "judge" is missing; run mr-elo first, or give --role actor'
	assert_line 'mr-pairs: in.jsonl:3: "actor": "chosen" is 2, but responses has 2 elements'
	assert_line 'mr-pairs: in.jsonl:4: "actor": "rejected" is missing or not a number'
	assert_line 'mr-pairs: in.jsonl:5: "judge": "rejected" is 0.5, but responses[0].judgments has 2 elements'
	assert_line --partial 'mr-pairs: in.jsonl:6: "meta"'
	assert_line --partial 'mr-pairs: in.jsonl:7: "judge": "chosen" is -1'
	assert_line --partial 'mr-pairs: in.jsonl:8: responses[0]: "judgments" is missing; run mr-judge first'
	run -2 --separate-stderr pairs --role judge in.jsonl
	[ "$(jq -r .id <<<"$output" | tr '\n' ' ')" = 'a/judge c/judge d/judge i/judge ' ]
}

@test "a wrong role, a template without its places" {
	run -1 mr-pairs --role actors
	assert_output --partial 'actor, judge, both'
	echo 'no places' >bad
	run -3 mr-pairs --template bad
	assert_output --partial '{{prompt}}'
}

@test "the manual and --help have the same options" {
	same_options mr-pairs
}

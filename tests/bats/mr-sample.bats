#!/usr/bin/env bats
# mr-sample, as a user runs it, on the tiny model.

load helper

@test "each record gets its responses, and keeps its other bytes" {
	echo '{"id":"a","n":1.0,"big":12345678901234567890, "prompt":"Hi.","s":"\u00e9\/"}' >in.jsonl
	mr-sample -q -n 3 --max-tokens 8 -o out.jsonl in.jsonl
	local line
	line=$(<in.jsonl)
	[ "$(cut -c "1-$((${#line} - 1))" out.jsonl)" = "${line%\}}" ]
	all out.jsonl '(.responses | length) >= 1 and (.responses | length) <= 3'
	all out.jsonl '.responses | all(.[]; (.text | type) == "string" and .tokens >= 0 and .tokens <= 8 and
		(.finish == "stop" or .finish == "length"))'
	all out.jsonl '.responses | all(.[]; (.finish == "length") == (.tokens == 8))'
}

@test "seven responses by default; response j does not depend on how many there are" {
	prompts 3 >in.jsonl
	mr-sample -q --max-tokens 12 in.jsonl >seven
	mr-sample -q --max-tokens 12 -n 3 in.jsonl >three
	all seven '(.responses | length) == 7'
	jq -c '.responses |= .[:3]' seven >of-seven
	diff of-seven <(jq -c . three)
}

@test "a conversation is answered as a conversation" {
	echo '{"id":"a","messages":[{"role":"user","content":"Hi."}]}' >one
	echo '{"id":"a","prompt":"Hi."}' >same
	echo '{"id":"a","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi."},{"role":"assistant","content":"Yes?"},{"role":"user","content":"Hi."}]}' >long
	for f in one same long; do
		mr-sample -q -n 2 --max-tokens 8 $f | jq -c .responses >$f.out
	done
	cmp one.out same.out
	run ! cmp -s one.out long.out
}

@test "exact duplicates are dropped and counted" {
	prompts 2 >in.jsonl
	run --separate-stderr mr-sample -n 5 --temperature 0 --max-tokens 6 -o out.jsonl in.jsonl
	assert_success
	all out.jsonl '(.responses | length) == 1'
	[[ $stderr == *"2 responses"*"8 duplicates dropped"* ]]
}

@test "the seed changes the text, and only the seed" {
	prompts 2 >in.jsonl
	mr-sample -q -n 2 --max-tokens 8 in.jsonl >a
	mr-sample -q -n 2 --max-tokens 8 --seed 1 in.jsonl >b
	mr-sample -q -n 2 --max-tokens 8 --seed 1 in.jsonl >c
	run ! cmp -s a b
	cmp b c
}

@test "responses that are there are replaced only with --overwrite" {
	prompts 1 | jq -c '.responses = [{text: "old"}] | .judge_template = "t" | .actor = {chosen: 0} | .meta = {} | .judge = {}' >in.jsonl
	run -3 mr-sample -q in.jsonl
	assert_output --partial 'in.jsonl:1: "responses" is there already; --overwrite'
	mr-sample -q --overwrite -n 1 --max-tokens 4 in.jsonl >out.jsonl
	all out.jsonl '.responses[0].text != "old"'
	# what was made from the old ones is gone
	all out.jsonl '.actor == null and .meta == null and .judge == null and .judge_template == null'
}

@test "a record that cannot be done is reported, the others are done" {
	{
		prompts 1
		echo '{"id":"x","text":"no prompt here"}'
		prompts 2 | tail -n 1
	} >in.jsonl
	run -2 --separate-stderr mr-sample -q -n 1 --max-tokens 4 --rejects bad in.jsonl
	[ "${#lines[@]}" -eq 2 ]
	[[ $stderr == 'mr-sample: in.jsonl:2: "prompt"'*'is missing' ]]
	cmp bad <(sed -n 2p in.jsonl)
}

@test "reads standard input, several files, and stops at nothing in between" {
	prompts 4 >in.jsonl
	mr-sample -q -n 1 --max-tokens 4 in.jsonl >whole
	mr-sample -q -n 1 --max-tokens 4 <in.jsonl | cmp - whole
	split -l 1 in.jsonl part.
	mr-sample -q -n 1 --max-tokens 4 part.* | cmp - whole
}

@test "the summary counts what was done; -q is silent" {
	prompts 2 >in.jsonl
	run --separate-stderr mr-sample -n 2 --max-tokens 4 -o out.jsonl in.jsonl
	[[ $stderr == "mr-sample: 2 records,"*"4 responses"* ]]
	run --separate-stderr mr-sample -q -n 2 --max-tokens 4 -o out.jsonl in.jsonl
	[ -z "$stderr" ]
}

@test "--help tells every option, and the manual tells the same" {
	same_options mr-sample
}

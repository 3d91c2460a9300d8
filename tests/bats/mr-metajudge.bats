#!/usr/bin/env bats
# mr-metajudge, as a user runs it, on the tiny model.

load helper

metajudge() {
	mr-metajudge -q --max-tokens 12 "$@"
}

@test "the most disputed response: every two judgments with a score, in both orders" {
	judged 2 >in.jsonl
	metajudge --guided in.jsonl >out.jsonl
	all out.jsonl '.meta.response == 1'
	# judgment 1 has no score and does not fight
	all out.jsonl '[.meta.battles[] | [.first, .second]] == [[0,2],[0,3],[2,0],[2,3],[3,0],[3,2]]'
	jq -c 'del(.meta)' out.jsonl | cmp - <(jq -c . in.jsonl)
}

@test "a guided comparison ends in the verdict that counts" {
	judged 6 >in.jsonl
	metajudge --guided --temperature 5 in.jsonl >out.jsonl
	all out.jsonl '.meta.battles | all(.[]; .guided == true and
		.winner == ({A: "first", B: "second", tie: "tie"}[.text | capture("\n\nWinner: (?<w>A|B|tie)$").w]))'
	[ "$(jq -r '.meta.battles[].winner' out.jsonl | sort -u | wc -l)" -gt 1 ]
}

@test "without --guided a comparison without a verdict is null" {
	judged 1 >in.jsonl
	metajudge in.jsonl >out.jsonl
	all out.jsonl '.meta.battles | length == 6 and all(.[]; .winner == null and (has("guided") | not))'
}

@test "the judgments' own verdicts and scores decide nothing" {
	judged 1 | jq -c '.responses[1].judgments |= map(.text += "\nWinner: A")' >in.jsonl
	metajudge in.jsonl >out.jsonl
	all out.jsonl '.meta.battles | length == 6 and all(.[]; .winner == null)'
}

@test "a battle does not depend on the others" {
	judged 2 >in.jsonl
	metajudge --guided in.jsonl >whole
	metajudge --guided --max-judgments 2 in.jsonl >two
	all two '[.meta.battles[] | [.first, .second]] == [[0,2],[2,0]]'
	jq -c '[.meta.battles[] | select(.first < 3 and .second < 3)]' whole >of-whole
	jq -c '.meta.battles' two | cmp - of-whole
	run -1 metajudge --max-judgments 1 in.jsonl
}

@test "ties of the variance are drawn by the seed" {
	jq -nc 'range(12) | {id: "t\(.)", prompt: "p", responses: ([range(3)] |
		map({text: "r\(.)", judgments: [{text: "a", score: 1}, {text: "b", score: 3}]}))}' >in.jsonl
	metajudge in.jsonl >a
	metajudge --seed 1 in.jsonl >b
	[ "$(jq .meta.response a | sort -u | wc -l)" -eq 3 ]
	[ "$(jq .meta.response a)" != "$(jq .meta.response b)" ]
	# and do not depend on the other records
	sed -n 5p in.jsonl >fifth
	metajudge fifth | cmp - <(sed -n 5p a)
}

@test "a single disputed response is chosen whatever the seed" {
	judged 1 >in.jsonl
	for seed in 1 2 3 4 5 6; do
		metajudge --seed $seed --max-judgments 2 in.jsonl >out.jsonl
		all out.jsonl '.meta.response == 1'
	done
}

@test "no response with two scores: meta is null" {
	{
		echo '{"id":"a","prompt":"p","responses":[]}'
		echo '{"id":"b","prompt":"p","responses":[{"text":"r","judgments":[]}]}'
		echo '{"id":"c","prompt":"p","responses":[{"text":"r","judgments":[{"text":"x","score":4},{"text":"y","score":null}]}]}'
	} >in.jsonl
	metajudge in.jsonl >out.jsonl
	[ "$(wc -l <out.jsonl)" -eq 3 ]
	all out.jsonl 'has("meta") and .meta == null'
}

@test "battles that are there are replaced only with --overwrite" {
	judged 1 | jq -c '.meta = {response: 0, battles: [], elo: []} | .judge = {chosen: 0, rejected: 2}' >in.jsonl
	run -3 metajudge in.jsonl
	assert_line 'mr-metajudge: in.jsonl:1: "meta" is there already; --overwrite compares anew'
	metajudge --overwrite in.jsonl >out.jsonl
	all out.jsonl '.meta.response == 1 and (.meta | has("elo") | not) and .judge == null'
}

@test "what is missing is named, with the tool that makes it" {
	responses 1 >in.jsonl
	run -3 metajudge in.jsonl
	assert_line 'mr-metajudge: in.jsonl:1: responses[0]: "judgments" is missing; run mr-judge first'
	judged 1 | jq -c '.responses[0].judgments[1] |= del(.score)' >in.jsonl
	run -3 metajudge in.jsonl
	assert_output --partial 'responses[0]: a judgment'
	judged 1 | jq -c '.responses[1].judgments[2] |= del(.text)' >in.jsonl
	run -3 metajudge in.jsonl
	assert_output --partial 'responses[1].judgments[2]'
}

@test "the summary counts wins by position" {
	judged 3 >in.jsonl
	run --separate-stderr mr-metajudge --guided --max-tokens 8 -o out.jsonl in.jsonl
	count() { jq -s --arg w "$1" '[.[].meta.battles[] | select(.winner == $w)] | length' out.jsonl; }
	local first second tie
	first=$(count first)
	second=$(count second)
	tie=$(count tie)
	[[ $stderr == *"18 battles: $first won by the first, $second by the second, $tie ties, 0 without a verdict (18 guided)" ]]
}

@test "--template needs all four placeholders" {
	judged 1 >in.jsonl
	echo '{{prompt}} {{response}} {{judgment_a}} {{judgment_b}}' >own.txt
	metajudge --template own.txt in.jsonl >out.jsonl
	all out.jsonl '.meta.battles | length == 6'
	echo '{{prompt}} {{response}} {{judgment_a}}' >three.txt
	run -3 metajudge --template three.txt in.jsonl
	assert_output --partial 'judgment_b'
}

@test "the manual's table of verdicts is the one that is tested" {
	manual_cases mr-metajudge "$repo/tests/golden/verdict-cases.tsv" 45
}

@test "--help tells every option, and the manual tells the same" {
	same_options mr-metajudge
}

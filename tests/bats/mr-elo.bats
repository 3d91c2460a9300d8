#!/usr/bin/env bats
# mr-elo, as a user runs it: no model is needed.

load helper
set -o pipefail

# battles ID WINNERS: a record with three judgments of its second response
# and a battle for each word first:second:winner.
battles() {
	local id=$1
	shift
	printf '%s\n' "$@" | jq -Rnc --arg id "$id" '{id: $id, prompt: "p", responses: [{text: "r0"},
		{text: "r1", judgments: [{text: "j0", score: 3}, {text: "j1 äö", score: 2}, {text: "j2", score: 4}]}],
		meta: {response: 1, battles: [inputs | select(. != "") | split(":") | {first: (.[0] | tonumber), second: (.[1] | tonumber),
			winner: (if .[2] == "null" then null else .[2] end), text: "because"}]}}'
}

elo() {
	mr-elo -q "$@"
}

@test "the best judgment is chosen, the worst rejected" {
	battles a 0:1:first 1:0:second 0:2:second 2:0:first 1:2:second 2:1:first >in.jsonl
	elo in.jsonl >out.jsonl
	all out.jsonl '.judge == {chosen: 2, rejected: 1}'
	all out.jsonl '.meta.elo | length == 3 and .[2] > .[0] and .[0] > .[1] and ((add / 3 - 1000) | fabs) < 1e-9'
}

@test "omega is counted over the whole data set" {
	# first wins 3 of 4 verdicts: omega 0.25, 0.75. Record a alone: 0 won as first, 1 as second.
	{
		battles a 0:1:first 0:1:second
		battles b 0:2:first 0:1:first 1:2:tie 2:1:null
		echo '{"id":"c","prompt":"p","meta":null}'
	} >in.jsonl
	mr-elo in.jsonl -o out.jsonl 2>summary
	grep -q 'omega 0.2500,0.7500 (3 won by the first, 1 by the second)' summary
	[ "$(jq -c .omega out.jsonl.manifest.json)" = '[0.25,0.75]' ]
	# B01 = 0.25, B10 = 0.75: with a small ridge 1 is log(3) above 0, 400 log10(3) = 190.85 points
	elo --ridge 1e-9 in.jsonl | jq -se '.[0].meta.elo | .[2] == null and ((.[1] - .[0]) - 190.8485 | fabs) < 1e-3'
	# counted in the halves it would be another number; given, it is the same
	elo --omega 0.25,0.75 in.jsonl | cmp - out.jsonl
	parallel --will-cite --pipe -N1 -j2 --keep-order mr-elo -q --omega 0.25,0.75 <in.jsonl | cmp - out.jsonl
	elo --no-debias --ridge 1e-9 in.jsonl | jq -se '.[0] | .judge == null and (.meta.elo[1] - .meta.elo[0] | fabs) < 1e-3'
}

@test "a pipe and a file give the same bytes" {
	for i in $(seq 30); do battles "p$i" "0:1:first" "1:2:$([ $((i % 3)) = 0 ] && echo tie || echo second)" 2:0:null; done >in.jsonl
	elo in.jsonl >file.jsonl
	elo <in.jsonl | cmp - file.jsonl
	cat in.jsonl | elo | cmp - file.jsonl
	elo <(head -n 10 in.jsonl) - < <(tail -n +11 in.jsonl) | cmp - file.jsonl
}

@test "no pair: null, and the summary says why" {
	{
		echo '{"id":"none","prompt":"p","meta":null,"judge":{"chosen":1,"rejected":0}}'
		battles empty ''
		battles ties 0:1:tie 1:0:null
		battles long 1:0:first 0:1:second 1:2:first
		battles good 0:1:first 1:0:second
	} >in.jsonl
	mr-elo --max-chars 4 in.jsonl >out.jsonl 2>summary
	[ "$(jq -c .judge out.jsonl | tr '\n' ' ')" = 'null null null null {"chosen":0,"rejected":1} ' ]
	run -0 cat summary
	assert_output --partial '1 with a pair'
	assert_output --partial '1 without battles ("meta" is null)'
	assert_output --partial '1 without a pair (all ratings equal)'
	assert_output --partial '1 without a pair (chosen judgment too long)'
	# "j1 äö" has 5 characters
	elo --max-chars 5 in.jsonl | jq -se '.[3].judge.chosen == 1'
}

@test "judgments that were not compared are not rated" {
	battles a 2:0:first 0:2:second | elo | jq -se '.[0] | .meta.elo[1] == null and .judge == {chosen: 2, rejected: 0}'
}

@test "what it does not own comes out with the same bytes" {
	cat >in.jsonl <<-'EOF'
	{"meta" : { "battles":[ {"first":0,"second":1,"winner":"first","x":1.0} ], "response":0, "n":1e2 },"id":"a", "responses":[{"text":"r","judgments":[{"text":"\u0061"},{"text":"b"}]}]}
	EOF
	elo --omega 1,0 in.jsonl >out.jsonl
	sed 's/,"elo":\[[^]]*\]}/ }/; s/,"judge":{"chosen":0,"rejected":1}//' out.jsonl | sed 's/1e2 *}/1e2 }/' | cmp - in.jsonl
	# rated again: the same bytes
	elo --omega 1,0 out.jsonl | cmp - out.jsonl
}

@test "records that cannot be rated fail with one line and do not count" {
	{
		battles a 0:1:first 1:0:second
		battles self 1:1:second
		battles far 0:3:second
		battles odd 0:1:A
		echo '{"id":"missing","prompt":"p"}'
		echo '{"id":"resp","prompt":"p","responses":[{"text":"x","judgments":[]}],"meta":{"response":1,"battles":[]}}'
		echo '{"id":"jud","prompt":"p","responses":[{"text":"x"}],"meta":{"response":0,"battles":[]}}'
		echo '{"id":"text","prompt":"p","responses":[{"text":"x","judgments":[{"text":"a"},{"score":1}]}],"meta":{"response":0,"battles":[{"first":0,"second":1,"winner":"second"}]}}'
		battles a 0:1:second
		echo 'nothing'
	} >in.jsonl
	local rc=0
	mr-elo --rejects rejects.jsonl in.jsonl >out.jsonl 2>lines || rc=$?
	[ "$rc" -eq 2 ]
	[ "$(jq -r .id out.jsonl)" = a ]
	tail -n +2 in.jsonl | cmp - rejects.jsonl
	run -0 cat lines
	assert_line --partial 'in.jsonl:2: meta.battles[0]: judgment 1 is compared with itself'
	assert_line --partial 'in.jsonl:3: meta.battles[0]: "second" is 3, but there are 3 judgments'
	assert_line --partial 'in.jsonl:4: meta.battles[0]: "winner" is none of'
	assert_line --partial 'in.jsonl:5: "meta" is missing; run mr-metajudge first'
	assert_line --partial 'in.jsonl:6: "meta": "response" is 1'
	assert_line --partial 'in.jsonl:7: responses[0]: "judgments" is missing; run mr-judge first'
	assert_line --partial 'in.jsonl:8: responses[0].judgments[1]'
	assert_line --partial 'in.jsonl:9: the id "a" was there before'
	assert_line --partial 'omega 0.5000,0.5000 (1 won by the first, 1 by the second)'
}

@test "the temporary copy cannot be written" {
	battles a 0:1:first >in.jsonl
	TMPDIR=$PWD/absent run -3 mr-elo in.jsonl
	assert_output --partial 'No such file or directory'
	# with the weights given none is needed
	TMPDIR=$PWD/absent elo --omega 0.5,0.5 in.jsonl
	# and none is left behind
	mkdir temp
	TMPDIR=$PWD/temp elo in.jsonl
	[ -z "$(ls temp)" ]
}

@test "wrong options: usage" {
	run -1 mr-elo --omega 0.5
	assert_output --partial -- '--omega'
	run -1 mr-elo --omega 0.5,1.5
	run -1 mr-elo --omega 0.5,nan
	run -1 mr-elo --omega 0.5,0.5x
	run -1 mr-elo --omega 0.5,0.5 --no-debias
	run -1 mr-elo --ridge 0
	run -1 mr-elo --max-chars -3
}

@test "the manual and --help have the same options" {
	same_options mr-elo
}

#!/usr/bin/env bats
# mr-lengthctl, as a user runs it: no model is needed.

load helper
set -o pipefail

# scored ID SCORE:TEXT...: a record of responses with those scores.
scored() {
	local id=$1
	shift
	printf '%s\n' "$@" | jq -Rnc --arg id "$id" '{id: $id, prompt: "p", responses: [inputs | capture("(?<s>[^:]*):(?<text>.*)") |
		{text, score: (if .s == "" then null else (.s | tonumber) end)}]}'
}

lengthctl() {
	mr-lengthctl -q "$@"
}

@test "rho 0 takes the best against the worst" {
	scored a 1:bad 5:'a long good answer' 4:good 2:'not so bad' >in.jsonl
	lengthctl in.jsonl >out.jsonl
	all out.jsonl '.actor == {chosen: 1, rejected: 0, rho: 0}'
}

@test "with rho a shorter, nearly as good response is chosen and a longer, nearly as bad one rejected" {
	scored a 1:bad 5:'a long good answer' 4:good 2:'not so bad' >in.jsonl
	lengthctl --rho 0.32 in.jsonl >out.jsonl
	all out.jsonl '.actor == {chosen: 2, rejected: 3, rho: 0.32}'
	lengthctl --rho=1 in.jsonl | jq -ce '.actor == {chosen: 0, rejected: 1, rho: 1}'
}

@test "length is counted in code points" {
	scored a 5:abcd 5:äöü 1:x 1:😀😀 >in.jsonl
	lengthctl in.jsonl >out.jsonl
	all out.jsonl '.actor.chosen == 1 and .actor.rejected == 3'
}

@test "no pair: null, and the summary says how many for which reason" {
	{
		scored one 4:a
		scored unscored :a :b
		scored equal 3:a 3:b 3:c
		scored long 5:0123456789 1:b
		scored good 5:01234 1:b
		scored same 5:12345678 3:1234 1:12
	} >in.jsonl
	mr-lengthctl --max-chars 9 in.jsonl >out.jsonl 2>summary
	[ "$(jq -c '[.id, .actor != null]' out.jsonl | tr '\n' ' ')" = \
		'["one",false] ["unscored",false] ["equal",false] ["long",false] ["good",true] ["same",true] ' ]
	run -0 cat summary
	assert_output --partial '6 records'
	assert_output --partial '2 with a pair'
	assert_output --partial '2 without (fewer than two scored responses)'
	assert_output --partial '1 without (all scores equal)'
	assert_output --partial '1 without (chosen response too long)'
	mr-lengthctl --rho 0.6 in.jsonl 2>&1 >out.jsonl | grep '1 without (both picks the same response)'
	all out.jsonl 'has("actor")'
}

@test "what it does not own comes out with the same bytes" {
	cat >in.jsonl <<-'EOF'
	{ "id" : 7, "big":12345678901234567890, "x":1.0,"prompt":"\u0070","responses":[{"text":"aa","score":1.50,"k":[1e2, {}]},{"text":"b","score":2}] }
	EOF
	cat >want.jsonl <<-'EOF'
	{ "id" : 7, "big":12345678901234567890, "x":1.0,"prompt":"\u0070","responses":[{"text":"aa","score":1.50,"k":[1e2, {}]},{"text":"b","score":2}],"actor":{"chosen":1,"rejected":0,"rho":0.4} }
	EOF
	lengthctl --rho 0.4 in.jsonl >out.jsonl
	cmp out.jsonl want.jsonl
	# an earlier choice is replaced in its place
	lengthctl --rho 0 out.jsonl | diff - <(sed 's/0\.4} }/0} }/' want.jsonl)
}

@test "the same bytes whole, split by parallel, and resumed" {
	for i in $(seq 20); do scored "p$i" "$((i % 5)):aaa" "$((i % 4)):b" 2:cc; done >in.jsonl
	lengthctl --rho 0.3 in.jsonl >whole.jsonl
	parallel --will-cite --pipe -N3 -j2 --keep-order mr-lengthctl -q --rho 0.3 <in.jsonl >split.jsonl
	cmp whole.jsonl split.jsonl
	head -n 7 whole.jsonl >part.jsonl
	lengthctl --rho 0.3 --resume part.jsonl in.jsonl | cat part.jsonl - | cmp - whole.jsonl
}

@test "-o writes the file and its manifest" {
	scored a 1:a 2:b >in.jsonl
	lengthctl --rho 0.32 -o out.jsonl in.jsonl
	[ "$(jq -r '.tool, .options.rho' out.jsonl.manifest.json | tr '\n' ' ')" = 'mr-lengthctl 0.32 ' ]
	[ "$(jq -r .output.sha256 out.jsonl.manifest.json)" = "$(sha256sum <out.jsonl | cut -d' ' -f1)" ]
	[ "$(jq -r .input.sha256 out.jsonl.manifest.json)" = "$(sha256sum <in.jsonl | cut -d' ' -f1)" ]
}

@test "records without scores: one clear line each" {
	cat >in.jsonl <<-'EOF'
	{"id":"a","prompt":"p"}
	{"id":"b","prompt":"p","responses":[{"text":"x"},{"text":"y"}]}
	{"id":"c","prompt":"p","responses":[{"text":"x","score":"4"}]}
	{"id":"d","prompt":"p","responses":[{"score":1},{"text":"y","score":2}]}
	{"id":"e","prompt":"p","responses":[{"text":"x\u0000","score":1},{"text":"y","score":2}]}
	{"id":"f","prompt":"p","responses":[{"text":"x","score":1},{"text":"y","score":2},{"text":"z"}]}
	{"id":"g","prompt":"p","responses":[]}
	EOF
	run -2 --separate-stderr lengthctl --rejects rejects.jsonl in.jsonl
	[ "$(jq -c '[.id, .actor.chosen]' <<<"$output" | tr '\n' ' ')" = '["f",1] ["g",null] ' ]
	head -n 5 in.jsonl | cmp - rejects.jsonl
	run -0 printf '%s\n' "$stderr"
	assert_line 'mr-lengthctl: in.jsonl:1: "responses" is missing; run mr-sample first'
	assert_line 'mr-lengthctl: in.jsonl:2: no response has a "score"; run mr-judge first'
	assert_line 'mr-lengthctl: in.jsonl:3: responses[0]: "score" is neither a number nor null'
	assert_line --partial 'mr-lengthctl: in.jsonl:4: '
	assert_line --partial 'mr-lengthctl: in.jsonl:5: '
}

@test "rho out of range, a limit below zero: usage" {
	run -1 mr-lengthctl --rho 1.01
	assert_output --partial -- '--rho'
	run -1 mr-lengthctl --rho nan
	run -1 mr-lengthctl --rho ''
	run -1 mr-lengthctl --max-chars -1
}

@test "the manual and --help have the same options" {
	same_options mr-lengthctl
}

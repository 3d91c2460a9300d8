#!/usr/bin/env bats
# The pipelines on the tiny model: what they leave behind, and that a run
# which was split otherwise, killed or refused ends as it should.

load helper

settings="INPUT=prompts.jsonl K=3 N=3 GUIDED=1 SEED=7 BATCH=4 MAX_TOKENS=6 JUDGE_TOKENS=6 META_TOKENS=6"

small() {
	# shellcheck disable=SC2086
	"$repo/pipelines/iteration.sh" $settings "$@"
}

results="prompts sampled judged battles rated chosen pairs dpo-log"

same() {
	local name
	for name in $results; do
		cmp "$1/$name.jsonl" "$2/$name.jsonl"
	done
	cmp "$1/model.gguf" "$2/model.gguf"
	cmp "$1/manifest.json" "$2/manifest.json"
}

@test "one iteration: every step's output, a new model that loads, a report" {
	local name
	prompts 4 >prompts.jsonl
	small OUT=out
	for name in $results; do
		[ -s "out/$name.jsonl" ]
		jq -e . "out/$name.jsonl" >/dev/null
	done
	all out/chosen.jsonl '(.responses | length) > 0 and has("actor") and has("judge") and has("meta")'
	all out/judged.jsonl 'all(.responses[]; .score_n == 3)'
	[ -z "$(find out -name '*.part*')" ]
	jq -e '.settings.K == "3" and (.files["model.gguf"] | length) == 64' out/manifest.json
	prompts 1 | mr-sample -m out/model.gguf -n 1 --max-tokens 4 -q | jq -e '.responses[0].text'

	"$repo/pipelines/report.sh" out >report.md
	grep -q '^| responses |' report.md
	grep -q '^| DPO loss, first to last step | 0.6931 to ' report.md
	grep -q '^## An actor pair' report.md
	grep -q '^## A judge pair' report.md
}

@test "the same bytes with one process and with several, with records one by one and in threes" {
	prompts 5 >prompts.jsonl
	small OUT=one JOBS=1 THREADS=1
	small OUT=more JOBS=3 THREADS=2 CHUNK=3
	same one more
}

@test "a second run does nothing again; another rho repeats only what depends on it" {
	prompts 4 >prompts.jsonl
	small OUT=out >first
	refute grep -q 'done before' first
	small OUT=out >second
	[ "$(grep -c 'done before' second)" -eq 8 ]
	small OUT=out RHO=0 >third
	grep -q '^== metajudge: done before' third
	refute grep -q '^== lengthctl: done before' third
	[ -e out/chosen.jsonl.old ]
	small OUT=fresh RHO=0
	same out fresh
}

@test "a killed run goes on where it stopped, and ends with the same bytes" {
	prompts 6 >prompts.jsonl
	small OUT=whole
	# a judge that dies on one record, as if killed
	mkdir dying
	printf '#!/bin/sh\ncat >in.$$\ngrep -q \\"p3\\" in.$$ && kill -9 $$\nexec "%s" "$@" <in.$$\n' \
		"$BIN/mr-judge" >dying/mr-judge
	chmod +x dying/mr-judge
	MR_BIN=$PWD/dying run small OUT=out
	assert_failure 3
	assert_line --partial 'start again to go on'
	[ ! -e out/judged.jsonl ]
	[ "$(wc -l <out/judged.jsonl.part)" -eq 5 ]
	# and half a line that it left behind
	printf '{"id":"p9","respon' >>out/judged.jsonl.part
	run small OUT=out
	assert_success
	assert_line --partial '5 of them done before'
	same whole out
}

@test "told to stop, it stops, and only one run works in a folder" {
	prompts 6 >prompts.jsonl
	mkdir slow
	printf '#!/bin/sh\n[ "$1" = --version ] || sleep 2\nexec "%s" "$@"\n' "$BIN/mr-sample" >slow/mr-sample
	chmod +x slow/mr-sample
	# shellcheck disable=SC2086
	MR_BIN=$PWD/slow "$repo/pipelines/iteration.sh" $settings OUT=out JOBS=1 >log 2>&1 &
	local run=$! status=0
	for _ in {1..100}; do
		grep -q '== sample' log && break
		sleep 0.1
	done
	run small OUT=out
	assert_failure 3
	assert_output --partial 'another run is at work'
	sleep 3
	kill -TERM $run
	wait $run || status=$?
	[ "$status" -eq 143 ]
	[ ! -e out/sampled.jsonl ]
	# nothing of it goes on working
	flock -w 10 out/.lock true
	small OUT=out >log
	[ -s out/model.gguf ]
}

@test "records that fail are put aside, the others go on, and the status says so" {
	prompts 4 >prompts.jsonl
	sed -i '2i this is no record' prompts.jsonl
	run small OUT=out
	assert_failure 2
	assert_line --partial '1 of 5 records failed: rejects/sample.jsonl'
	[ "$(cat out/rejects/sample.jsonl)" = 'this is no record' ]
	[ "$(wc -l <out/chosen.jsonl)" -eq 4 ]
	[ -s out/model.gguf ]
}

@test "prompts without an id get one" {
	prompts 3 | jq -c 'del(.id)' >prompts.jsonl
	small OUT=out
	[ "$(jq -r .id out/prompts.jsonl | sort -u | wc -l)" -eq 3 ]
}

@test "actor pairs only" {
	prompts 4 >prompts.jsonl
	small OUT=out ROLES=actor
	[ ! -e out/battles.jsonl ]
	all out/pairs.jsonl '.role == "actor"'
}

@test "misuse is said once and at once" {
	prompts 2 >prompts.jsonl
	run small OUT=out K=many
	assert_failure 3
	[ "$(grep -c '^mr-sample: ' <<<"$output")" -eq 1 ]
	run small OUT=out COLOUR=red
	assert_failure 1
	assert_line --partial '"COLOUR=red" is no setting'
	run small OUT=out MODEL=nowhere.gguf
	assert_failure 3
	assert_output --partial 'nowhere.gguf'
	run small OUT=out INPUT=nowhere.jsonl
	assert_failure 1
	run "$repo/pipelines/report.sh" nowhere
	assert_failure 3
}

@test "judge-seed.sh: what mr-judge asks, and a placeholder in a response stays text" {
	"$repo/pipelines/judge-seed.sh" >seed.jsonl
	all seed.jsonl '(.prompt[0].content | contains("{{") | not) and (.completion[0].content | test("Score: [0-5]$"))'
	echo '{"id":"x","prompt":"P {{response}}","response":"R {{prompt}}","judgment":"J"}' |
		"$repo/pipelines/judge-seed.sh" /dev/stdin | jq -r '.prompt[0].content' >asked
	grep -q 'P {{response}}' asked
	grep -q 'R {{prompt}}' asked
	run "$repo/pipelines/judge-seed.sh" /dev/stdin <<<'{"id":"x","prompt":"a"}'
	assert_failure
	assert_output --partial '"response" is missing'
}

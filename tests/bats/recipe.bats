#!/usr/bin/env bats
# pipelines/meta-rewarding.mk on the tiny model: the whole recipe once for all
# tests, which go on from copies of it; what a change, a kill, a damaged file
# makes anew, and that everything comes out with the same bytes.
# KILLS=20 kills a run so many times.

load helper

mk=pipelines/meta-rewarding.mk

# sizes in which all of it is made in seconds
conf() {
	cat <<-END
	PROMPTS      = $repo/examples/prompts.jsonl
	PROMPTS_EACH = 3
	VALIDATION   = 2
	HELD_OUT     = 2
	DEMONSTRATIONS = 4
	SFT_EPOCHS   = 1
	K = 2
	N = 4
	TEMPERATURE  = 2
	TOP_P        = 1
	GUIDED       = 1
	MAX_TOKENS   = 6
	JUDGE_TOKENS = 6
	META_TOKENS  = 6
	EVAL_TOKENS  = 6
	BATCH  = 4
	LR     = 1e-3
	EPOCHS = 2
	END
}

# recipe RUN [ARGUMENT]...: one process for each stage, which is enough here
recipe() {
	local run=$1
	shift
	JOBS=${JOBS:-1} THREADS=${THREADS:-1} CHUNK=${CHUNK:-16} \
		make --no-print-directory -f "$repo/$mk" RUN="$run" CONF="${CONF:-test.conf}" "$@"
}

# Under the sanitizers only what one iteration calls; the tools have tests of
# their own, and the scripts are the same.
sanitized() {
	case $B in */asan) ;; *) return 1 ;; esac
}

setup_file() {
	export MR_MODEL=$BATS_RUN_TMPDIR/tiny.gguf PATH=$BIN:$PATH LC_ALL=C.UTF-8
	repo=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	TINY=$MR_MODEL B=$(realpath "${B:-$repo/build}")
	make_tiny
	cd "$BATS_FILE_TMPDIR" || return
	conf >test.conf
	sanitized || recipe whole >log 2>&1 || { cat log; return 1; }
}

prepare() {
	sanitized && [ "$BATS_TEST_NUMBER" -gt 1 ] && skip 'the scripts have nothing to sanitize'
	conf >test.conf
}

# a copy of the whole run, and what was made in it since
copy() {
	cp -a "$BATS_FILE_TMPDIR/whole" "$1"
}

made() {
	sed -n 's/^== \([^:]*\):.*/\1/p' "$1"
}

hashes() {
	(cd "$1" && find . \( -name '*.jsonl' -o -name '*.gguf' \) -exec sha256sum {} + | sort -k2) && jq -S .files "$1/manifest.json"
}

same() {
	diff <(hashes "$1") <(hashes "$2")
}

verify() {
	"$repo/pipelines/verify.sh" "$@"
}

@test "one iteration: every step's output, a new model that loads, a report" {
	local name
	recipe run ITERATIONS=1
	for name in prompts sampled judged battles rated chosen pairs validation dpo-log; do
		jq -e . "run/iter1/$name.jsonl" >/dev/null
	done
	all run/iter1/judged.jsonl 'all(.responses[]; .score_n == 4)'
	all run/iter1/chosen.jsonl '(.responses | length) > 0 and has("actor") and has("judge") and has("meta")'
	prompts 1 | mr-sample -m run/iter1/model.gguf -n 1 --max-tokens 4 -q | jq -e '.responses[0].text'
	grep -q '^## An actor pair' run/report.md
	grep -q '^| run | iter1 | 2 |' run/report.md
	verify run
}

@test "the whole recipe: four iterations, each with its settings, and a second time there is nothing to do" {
	local i
	copy whole
	recipe whole >log
	grep -q 'Nothing to be done' log
	[ -z "$(made log)" ]
	recipe whole -q
	verify whole
	# the judge is trained in iterations 1 and 2 only
	for i in 1 2; do jq -se 'any(.[]; .role == "judge")' whole/iter$i/pairs.jsonl; done
	for i in 3 4; do
		all whole/iter$i/pairs.jsonl '.role == "actor"'
		[ ! -e whole/iter$i/battles.jsonl ]
	done
	[ "$(jq -s '.[0].actor.rho' whole/iter{1,2,3,4}/chosen.jsonl | grep -c .)" -eq 1 ]
	for i in 1=0 2=0.32 3=0.32 4=0.4; do
		all "whole/iter${i%=*}/chosen.jsonl" ".actor == null or .actor.rho == ${i#*=}"
	done
	grep -qx 'mr-lengthctl --rho 0 --max-chars 2500' whole/settings/iter1/chosen
	grep -qx 'mr-elo --max-chars 1100' whole/settings/iter1/rated
	grep -qx 'mr-elo --max-chars 1000' whole/settings/iter2/rated
	# an iteration starts from the one before
	for i in 2 3 4; do
		jq -e --arg before "iter$((i - 1))/model.gguf" --arg file "iter$i/sampled.jsonl" '
			.files[$file].inputs[$before] == .files[$before].sha256' whole/manifest.json
	done
	for name in sft iter1 iter2 iter3 iter4; do
		rate=$(jq -s 'map(100 * (.preference - 1)) | add / length * 10 | round / 10' whole/$name/preferences.jsonl)
		grep -q "^| whole | $name | 2 | [0-9]* | [0-9]* | $rate | " whole/report.md
	done
	grep -q '<figure id="plot-runs_winrate">' whole/report.html
	[ -z "$(find whole -name '*.part' -o -name '*.work' -o -name '*.shards')" ]
}

@test "the prompts are dealt out without overlap, those for validation are not trained on" {
	local run=$BATS_FILE_TMPDIR/whole i
	[ "$(wc -l <"$run/prompts/pool.jsonl")" -eq 16 ]
	[ "$(jq -r .prompt "$run/prompts/pool.jsonl" | sort -u | wc -l)" -eq 16 ]
	for i in 1 2 3 4; do
		[ "$(jq -r .split "$run/iter$i/prompts.jsonl" | sort | uniq -c | tr -s ' \n' ' ')" = " 3 iter$i 2 validation " ]
	done
	jq -r 'select(.split == "validation").id' "$run/prompts/pool.jsonl" >ids
	jq -r '.id | sub("/(actor|judge)$"; "")' "$run"/iter*/pairs.jsonl | refute grep -xFf ids
	jq -r '.id | sub("/(actor|judge)$"; "")' "$run"/iter*/validation.jsonl | sort -u | cmp - <(sort ids)
	# the best of the epochs by them is what is kept
	jq -e '.best // .validation // . | tostring | test("step|epoch")' "$run/iter1/model.gguf.manifest.json"
	jq -se 'any(.[]; has("eval_loss"))' "$run/iter1/dpo-log.jsonl"
}

@test "from scratch, with two processes and records one by one: the same bytes" {
	JOBS=2 THREADS=2 CHUNK=1 recipe whole whole/iter4/model.gguf
	hashes whole | grep '^[0-9a-f]\{64\} ' >here
	(cd "$BATS_FILE_TMPDIR" && hashes whole) >there
	[ "$(grep -c jsonl here)" -ge 35 ]
	run grep -vxFf there here
	assert_output ''
}

@test "another rho of iteration 3: its length control, pairs and training, and what follows" {
	copy whole
	recipe whole RHO='0 0.32 1 0.4' whole/iter3/model.gguf >log
	[ "$(made log | tr '\n' ' ')" = 'iter3/chosen.jsonl iter3/pairs.jsonl iter3/validation.jsonl iter3/model.gguf ' ]
	recipe whole RHO='0 0.32 1 0.4' -n >plan
	grep -q 'stage.sh.* whole/iter4/sampled.jsonl ' plan
	grep -q 'stage.sh.* whole/iter3/answers.jsonl ' plan
	refute grep -qE 'stage.sh *(-[^ ]* *[^ ]* *)*whole/(prompts/|sft/|iter[12]/|iter3/(prompts|sampled|judged))' plan
	# and back
	recipe whole whole/iter3/model.gguf >log
	same whole "$BATS_FILE_TMPDIR/whole"
}

@test "a damaged, a shortened, a swapped and a removed file are named, and made again, and nothing else" {
	copy whole
	# one byte, and neither size nor time
	time=$(stat -c %y whole/iter2/judged.jsonl)
	printf '#' | dd of=whole/iter2/judged.jsonl bs=1 seek=20 conv=notrunc status=none
	touch -d "$time" whole/iter2/judged.jsonl
	run -2 verify whole
	assert_output --partial 'whole/iter2/judged.jsonl does not follow from its inputs'
	touch whole/iter2/judged.jsonl
	recipe whole -n >plan
	grep -q 'stage.sh *whole/iter2/judged.jsonl' plan
	refute grep -qE 'stage.sh *(-[^ ]* *[^ ]* *)*whole/(prompts/|sft/|iter1/|iter2/(prompts|sampled))' plan
	recipe whole >log
	[ "$(made log)" = iter2/judged.jsonl ]

	truncate -s -1 whole/iter1/model.gguf
	run -2 verify whole
	assert_output --partial 'whole/iter1/model.gguf does not follow from its inputs: it has'
	recipe whole >log
	[ "$(made log)" = iter1/model.gguf ]

	cp whole/iter3/sampled.jsonl whole/iter4/sampled.jsonl
	run -2 verify whole
	assert_output --partial 'whole/iter4/sampled.jsonl'
	recipe whole >log
	[ "$(made log)" = iter4/sampled.jsonl ]

	rm whole/iter3/dpo-log.jsonl whole/prompts/pool.jsonl
	run -2 verify whole
	assert_output --partial 'whole/prompts/pool.jsonl does not follow from its inputs: it is not there'
	recipe whole >log
	[ "$(made log | tr '\n' ' ')" = 'prompts/pool.jsonl iter3/model.gguf ' ]

	# written by something else
	echo '{}' >whole/iter1/notes.jsonl
	run -2 verify whole
	assert_output --partial 'nothing tells how it was made'
	rm whole/iter1/notes.jsonl
	verify whole
	same whole "$BATS_FILE_TMPDIR/whole"
	# a copy that has lost its times
	cp -r whole moved
	recipe moved -q
	# another model behind the same name
	"$B/helper/mktiny" tiny.gguf 9
	recipe whole MODEL=tiny.gguf -n whole/sft/model.gguf | grep -q 'stage.sh.*whole/sft/model.gguf'
}

@test "killed with all its processes, again and again, it ends with the same bytes" {
	local n
	mkdir run
	for ((n = 0; n < ${KILLS:-2}; n++)); do
		setsid make --no-print-directory -f "$repo/$mk" RUN=whole CONF=test.conf JOBS=1 THREADS=1 CHUNK=2 \
			whole/iter4/model.gguf >>log 2>&1 3>&- &
		sleep "$((RANDOM % 5)).$((RANDOM % 10))"
		kill -9 -- -$! || true
		wait $! || true
	done 2>/dev/null
	recipe whole whole/iter4/model.gguf >>log 2>&1
	verify whole
	hashes whole | grep '^[0-9a-f]\{64\} ' >here
	(cd "$BATS_FILE_TMPDIR" && hashes whole) >there
	run grep -vxFf there here
	assert_output ''
	[ -z "$(find whole -name '*.part' -o -name '*.work' -o -name '*.shards')" ]
}

@test "the baseline and the ablations change what they say; what is common is taken from another run" {
	local name
	copy whole
	for name in self-rewarding no-length-control best-vs-worst external-scores; do
		CONF="test.conf $name" recipe plan -n >$name.plan
	done
	refute grep -q 'mr-metajudge' self-rewarding.plan
	grep -q "mr-lengthctl --rho 0.4" self-rewarding.plan
	refute grep -q 'mr-lengthctl --rho 0\.' no-length-control.plan
	refute grep -q 'mr-lengthctl --rho 0 --max-chars [1-9]' no-length-control.plan
	grep -q 'mr-metajudge' no-length-control.plan
	[ "$(grep -c 'stage.sh.*mr-lengthctl --rho 0 --max-chars 2500' best-vs-worst.plan)" -eq 4 ]
	[ "$(grep -c 'stage.sh.*judged.jsonl.*mr-judge -m .*tiny.gguf' external-scores.plan)" -eq 4 ]

	CONF="test.conf self-rewarding" recipe self BASE=whole self/iter1/model.gguf >log
	[ "$(grep -c ' is that of whole$' log)" -ge 6 ]
	grep -q 'iter1/judged.jsonl is that of whole' log
	all self/iter1/pairs.jsonl '.role == "actor"'
	verify self
	"$repo/pipelines/report.sh" whole self >report.md
	grep -q '^| 5 | self/iter1 |' report.md
	# a scorer of one's own: the number of characters
	CONF="test.conf external-scores" recipe long BASE=whole long/iter1/chosen.jsonl \
		SCORER="jq -c '.responses[] |= (.score = (.text | length))' | cat"
	all long/iter1/chosen.jsonl '.responses as $r | .actor == null or $r[.actor.chosen].score == ([$r[].score] | max)'
}

@test "status, the report of what there is, and an iteration taken away" {
	copy whole
	recipe whole clean-iter3
	[ ! -e whole/iter3 ]
	recipe whole status >status
	grep -qE '^- iter3/judged.jsonl +about 0:0[0-9] to go' status
	grep -qE '^[0-9]+ of [0-9]+ files, .* to go$' status
	recipe whole report | grep -qF '| 3 | whole/iter4 |'
	recipe whole iter3 >log
	refute grep -q '^== \(iter4\|sft\|iter2\)' log
	same whole "$BATS_FILE_TMPDIR/whole"
	recipe whole status | grep -qE '^([0-9]+) of \1 files'
	[ "$(recipe whole help | grep -c .)" -ge 8 ]
	# models that have done their work make room, and nothing is made for that
	recipe whole prune >log
	[ "$(wc -l <log)" -eq 4 ]
	[ ! -s whole/iter3/model.gguf ]
	[ -s whole/iter4/model.gguf ]
	recipe whole -q
	verify whole
	run recipe whole K=3 whole/iter1/sampled.jsonl
	assert_failure
	assert_output --partial 'whole/sft/model.gguf was pruned; remove it'
	rm whole/sft/model.gguf
	recipe whole whole/sft/model.gguf
	cmp whole/sft/model.gguf "$BATS_FILE_TMPDIR/whole/sft/model.gguf"
}

@test "prompts that a model makes up, and held-out ones from a file" {
	prompts 5 >eval.jsonl
	recipe run PROMPTS= VALIDATION=1 PROMPTS_EACH=2 ITERATIONS=2 PROMPT_TOKENS=24 EVAL_PROMPTS=eval.jsonl HELD_OUT=4 \
		run/iter1/prompts.jsonl run/iter2/prompts.jsonl run/prompts/held-out.jsonl
	all run/iter2/prompts.jsonl '.id | startswith("new-")'
	[ "$(wc -l <run/prompts/generated.jsonl)" -eq 5 ]
	[ "$(jq -r .id run/prompts/held-out.jsonl | grep -c '^p[0-4]$')" -eq 4 ]
}

@test "another trainer gets the pairs, the model and the settings" {
	copy whole
	cat >trainer <<-'END'
	#!/bin/sh
	echo "called with BETA=$BETA EVAL=$EVAL" >&2
	exec mr-dpo -q --beta "$BETA" --lr "$LR" --epochs "$EPOCHS" --batch "$BATCH" --seed "$SEED" --eval "$EVAL" -m "$2" -o "$3" "$1"
	END
	chmod +x trainer
	recipe whole TRAINER=./trainer whole/iter1/model.gguf >log 2>&1
	grep -q 'called with BETA=0.1 EVAL=whole/iter1/validation.jsonl' log
	jq -se 'any(.[]; .step == 1)' whole/iter1/dpo-log.jsonl
	cmp whole/iter1/model.gguf "$BATS_FILE_TMPDIR/whole/iter1/model.gguf"
}

@test "a server for each model, for as long as it has something to say" {
	recipe run JUDGE_TOKENS=32 iter1 SERVER="echo {model} >>started; exec $B/helper/server --port-file {port_file} --models {name}"
	# the model that iteration 1 starts from, the seed model, the new one, the fixed judge
	[ "$(wc -l <started)" -eq 4 ]
	grep -q '/sft/model.gguf$' started
	all run/iter1/judged.jsonl 'all(.responses[]; .judgments | length == 4)'
	jq -e '.files["iter1/judged.jsonl"].inputs["inputs/engine"] | contains("helper/server")' run/manifest.json
	recipe run JUDGE_TOKENS=32 iter1 -q SERVER="echo {model} >>started; exec $B/helper/server --port-file {port_file} --models {name}"
	# by the tools themselves it would be something else
	recipe run JUDGE_TOKENS=32 -n iter1 | grep -q 'stage.sh.*sampled.jsonl'
}

@test "records that fail are put aside, the others go on" {
	{ prompts 20; echo 'this is no record'; } >prompts.jsonl
	recipe run PROMPTS=prompts.jsonl ITERATIONS=1 run/iter1/model.gguf 2>err
	grep -q 'line 21: no prompt; left out' err
	[ -s run/iter1/model.gguf ]
	jq -nc '{id: "long", prompt: ("word " * 4000)}, (range(6) | {id: "\(.)", prompt: "Say \(.)."})' >prompts.jsonl
	recipe other PROMPTS=prompts.jsonl PROMPTS_EACH=7 VALIDATION=0 HELD_OUT=0 ITERATIONS=1 other/iter1/chosen.jsonl
	[ "$(wc -l <other/iter1/chosen.jsonl)" -eq 6 ]
	[ "$(jq -r .id other/iter1/sampled.jsonl.rejects.jsonl)" = long ]
}

@test "misuse is said in one line" {
	run recipe run CONF=nowhere
	assert_failure
	assert_output --partial 'there is no recipe "nowhere"'
	run recipe run MODEL=nowhere.gguf
	assert_failure
	assert_output --partial 'nowhere.gguf'
	run recipe run PROMPTS=nowhere.jsonl
	assert_failure
	assert_output --partial 'nowhere.jsonl'
	run recipe run K=many run/iter1/sampled.jsonl
	assert_failure
	assert_output --partial 'mr-sample: '
	run recipe run PROMPTS_EACH=5000 run/prompts/pool.jsonl
	assert_failure
	assert_output --partial '20004 prompts are needed, and there are 56'
	run recipe run K=1 run/iter1/pairs.jsonl ROLES=actor
	assert_failure
	assert_output --partial 'there is no pair to train on'
	run verify nowhere
	[ "$status" -eq 3 ]
	run "$repo/pipelines/report.sh" nowhere
	[ "$status" -eq 3 ]
}

@test "only one makes a file at a time" {
	copy whole
	rm whole/iter2/rated.jsonl
	flock whole/.locks/iter2-rated.jsonl sleep 5 3>&- &
	until ! flock -n whole/.locks/iter2-rated.jsonl true; do sleep 0.1; done
	run recipe whole
	kill $!
	assert_failure
	assert_output --partial 'another run is making whole/iter2/rated.jsonl'
}

@test "judge-seed.sh: what mr-judge asks, and a placeholder in a response stays text" {
	"$repo/pipelines/judge-seed.sh" >seed.jsonl
	all seed.jsonl '(.prompt[0].content | contains("{{") | not) and (.completion[0].content | test("Score: [0-5]$"))'
	"$repo/pipelines/judge-seed.sh" -n 3 | cmp - <(head -n 3 seed.jsonl)
	echo '{"id":"x","prompt":"P {{response}}","response":"R {{prompt}}","judgment":"J"}' |
		"$repo/pipelines/judge-seed.sh" /dev/stdin | jq -r '.prompt[0].content' >asked
	grep -q 'P {{response}}' asked
	grep -q 'R {{prompt}}' asked
	run "$repo/pipelines/judge-seed.sh" /dev/stdin <<<'{"id":"x","prompt":"a"}'
	assert_failure
	assert_output --partial '"response" is missing'
}

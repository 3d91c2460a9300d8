#!/usr/bin/env bats
# The scripts of examples/ on the tiny model. (The cookbook has a file of its own.)

load helper

@test "an iteration as a pipe makes the files that its stages make one by one" {
	prompts 4 >prompts.jsonl
	SEED=7 MAX_TOKENS=6 K=3 N=3 GUIDED=1 EPOCHS=1 BATCH=4 "$repo/examples/one-iteration.sh" "$TINY" prompts.jsonl out >told
	grep -q chosen told

	local ask="-q -m $TINY --seed 7 --max-tokens 6"
	mkdir by-hand
	cd by-hand
	"$repo/pipelines/spread.sh" JOBS=2 CHUNK=1 ../prompts.jsonl sampled.jsonl mr-sample --seed 7 --max-tokens 6 -n 3
	mr-judge $ask -n 3 --guided sampled.jsonl >judged.jsonl
	mr-metajudge $ask --guided judged.jsonl >battles.jsonl
	mr-elo -q --max-chars 1000 battles.jsonl >rated.jsonl
	mr-lengthctl -q --rho 0.32 rated.jsonl >chosen.jsonl
	mr-pairs -q chosen.jsonl >pairs.jsonl
	mr-dpo -q -m "$TINY" --seed 7 --batch 4 -o model.gguf pairs.jsonl >dpo-log.jsonl
	cd ..
	for file in judged.jsonl battles.jsonl chosen.jsonl pairs.jsonl model.gguf dpo-log.jsonl; do
		cmp "by-hand/$file" "out/$file"
	done
	[ -s out/pairs.jsonl ]
}

@test "an iteration as a pipe stops where a record fails" {
	{ prompts 2; echo 'no record'; } >prompts.jsonl
	MAX_TOKENS=4 K=2 N=1 GUIDED=1 run "$repo/examples/one-iteration.sh" "$TINY" prompts.jsonl out
	assert_failure 2
	assert_output --partial 'prompts.jsonl:3'
	[ ! -e out/model.gguf ]
}

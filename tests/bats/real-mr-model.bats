#!/usr/bin/env bats
# mr-model on the real model: what it says is what the reference implementation says.

load helper

setup_file() {
	export GOLDEN=${MR_GOLDEN:-$BATS_TEST_DIRNAME/../../../shared/golden}/model
	export EXCERPT=$BATS_TEST_DIRNAME/../golden
}

# The default model, and no other.
real() {
	needs_real_model
	[ "$(sha256sum <"$REAL_MODEL")" = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53  -" ] ||
		skip "MR_MODEL is another model"
	export MR_MODEL=$REAL_MODEL
}

# near BOUND WANTED OPTION...: log-probabilities and the top 20 of the file's
# sequences. 2e-3 is for float32, 2e-2 where activations are rounded to sixteen bits.
near() {
	local bound=$1 wanted=$2
	shift 2
	jq -c '.sequences[] | {ids}' "$wanted" | mr-model logprobs -q --top 20 "$@" >ours
	jq -c '.sequences[]' "$wanted" | paste -d '\n' ours - | jq -sce --argjson bound "$bound" '
		length > 2 and all(range(0; length; 2) as $i | {ours: .[$i], wanted: .[$i + 1]};
			(.ours.next_logprob | length) == (.wanted.next_logprob | length) and
			([.ours.next_logprob, .wanted.next_logprob] | transpose | all(.[]; .[0] - .[1] | fabs < $bound)) and
			([.ours.top[].id] == .wanted.last_top20_ids) and
			([[.ours.top[].logprob], .wanted.last_top20_logprob] | transpose | all(.[]; .[0] - .[1] | fabs < $bound)))'
}

@test "info and check" {
	real
	mr-model info --json | jq -e '.usable and .parameters == 134515008 and .context == 8192 and .tokens == 49152 and
		([.tensors[] | {(.type): .count}] | add) == {Q8_0: 1, F32: 61, Q4_1: 210}'
	run mr-model check
	assert_success
	assert_output --regexp "OK, 272 tensors, 134515008 values, sha256 b179c95.* \(the default model\)$"
}

@test "tokens are those of the model's own tokenizer" {
	real
	jq -c '{text, want: .ids}' "$EXCERPT/tokenizer.jsonl" | mr-model tokenize -q >plain
	all plain '.ids == .want'
	jq -c '{text, want: .ids_parse_special}' "$EXCERPT/tokenizer.jsonl" | mr-model tokenize -q --parse-special >special
	all special '.ids == .want'
	[ -e "$GOLDEN/tokenizer-smollm2.jsonl" ] || return 0
	jq -c '{text, want: .ids}' "$GOLDEN/tokenizer-smollm2.jsonl" | mr-model tokenize -q >plain
	all plain '.ids == .want'
	[ "$(wc -l <plain)" -eq 108 ]
	jq -c '{text, want: (.ids_parse_special // .ids)}' "$GOLDEN/tokenizer-smollm2.jsonl" |
		mr-model tokenize -q --parse-special >special
	all special '.ids == .want'
}

@test "log-probabilities are the reference's, on both paths" {
	real
	near 2e-3 "$EXCERPT/logits-excerpt.json" --exact
	near 2e-2 "$EXCERPT/logits-excerpt.json"
	[ -e "$GOLDEN/logits-smollm2.json" ] || return 0
	near 2e-3 "$GOLDEN/logits-smollm2.json" --exact
	near 2e-2 "$GOLDEN/logits-smollm2.json"
}

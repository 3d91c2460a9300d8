#!/usr/bin/env bats
# Twelve optimiser steps on the real model against TRL's DPOTrainer.

load helper

setup_file() {
	export GOLDEN=${MR_GOLDEN:-$BATS_TEST_DIRNAME/../../../shared/golden}/dpo
}

# close A B TOLERANCE KEY...: in every line of two JSON Lines files the key's numbers differ by at most
# TOLERANCE (a number), or TOLERANCE of the wanted one where it ends in %.
close() {
	local ours=$1 theirs=$2 tolerance=$3 key
	shift 3
	for key; do
		paste -d '\n' "$ours" "$theirs" | jq -sce --arg k "$key" --arg t "$tolerance" '
			[range(0; length; 2) as $i | {step: ($i / 2 + 1), ours: .[$i][$k], wanted: .[$i + 1][$k]}
			 | .allowed = (if $t | endswith("%") then ($t[:-1] | tonumber) / 100 * (.wanted | fabs) else $t | tonumber end)
			 | select(((.ours - .wanted) | fabs) > .allowed)]
			| if length > 0 then error("\($k): \(.)") else true end' >/dev/null || return
	done
}

@test "golden/dpo: losses, rewards, log-probabilities, gradient norms, rates and final weights are TRL's" {
	needs_real_model
	[ -e "$GOLDEN/pairs.jsonl" ] || skip "golden/dpo is not there"
	mr-dpo -q -m "$REAL_MODEL" --no-shuffle --batch 4 --epochs 2 -o out.gguf "$GOLDEN/pairs.jsonl" >log.jsonl
	jq -c '.log[:12][]' "$GOLDEN/dpo_trl.json" >trl.jsonl
	[ "$(wc -l <log.jsonl)" -eq 12 ]
	close log.jsonl trl.jsonl 0.002 loss
	close log.jsonl trl.jsonl 0.02 logps/chosen logps/rejected
	close log.jsonl trl.jsonl 0.005 rewards/chosen rewards/rejected rewards/margins
	close log.jsonl trl.jsonl 0 rewards/accuracies
	close log.jsonl trl.jsonl 0.5% grad_norm
	close log.jsonl trl.jsonl 1e-15 learning_rate epoch
	[ "$(jq -r '.loss * 1e6 | round' log.jsonl | head -n 1)" = 693147 ]

	# the norms of the weights they end with, under the file's names
	jq -r '.final_weights | to_entries[] | [(.key
		| sub("^model\\."; "") | sub("embed_tokens"; "token_embd") | sub("^norm"; "output_norm")
		| sub("^layers"; "blk") | sub("self_attn\\.(?<x>[qkv])_proj"; "attn_\(.x)")
		| sub("self_attn\\.o_proj"; "attn_output") | sub("mlp\\.(?<x>[a-z]+)_proj"; "ffn_\(.x)")
		| sub("input_layernorm"; "attn_norm") | sub("post_attention_layernorm"; "ffn_norm")),
		.value.l2] | @tsv' "$GOLDEN/dpo_trl.json" | sort >wanted
	"$B/helper/tensor-norms" out.gguf | sort >ours
	join wanted ours | awk '{ d = $3 / $2 - 1; if (d > 1e-4 || d < -1e-4) { print; bad = 1 } }
		END { if (NR != 20 || bad) exit 1 }'
}

# within ERR: the peak in the summary is within a tenth of what was said before.
within() {
	said=$(sed -nE 's/.* steps; ([0-9.]+) MiB of memory: .*/\1/p' "$1")
	was=$(sed -nE 's/.*, peak memory ([0-9.]+) MiB$/\1/p' "$1")
	jq -ne --argjson s "$said" --argjson w "$was" '($w / $s - 1 | fabs) <= 0.1' >/dev/null ||
		{ cat "$1"; return 1; }
}

@test "the memory that was said is what is taken, within a tenth: all weights, layers again, adapters" {
	needs_real_model
	jq -nc 'range(2) | {id: "p\(.)", prompt: "Say something about the number \(.).",
		chosen: "The number \(.) is good.", rejected: "No, \(.), never."}' >two.jsonl
	mr-dpo -m "$REAL_MODEL" --batch 2 -o o.gguf two.jsonl 2>full >log
	within full
	mr-dpo -m "$REAL_MODEL" --batch 2 --lora-rank 8 -o o.gguf two.jsonl 2>adapters >log
	within adapters
	need=$(sed -nE 's/.* steps; ([0-9.]+) MiB of memory: .*/\1/p' adapters)
	mr-dpo -m "$REAL_MODEL" --batch 2 --lora-rank 8 --mem "$(jq -n "$need - 60 | floor")M" -o o.gguf two.jsonl 2>again >log
	grep 'layers are computed again' again
	within again
}

#!/usr/bin/env bats
# Adapters, and training within a given memory: mr-dpo, mr-sft, mr-model merge.

load helper

logprobs() {
	echo '{"text":"The number 3 is good, and so is the answer."}' | mr-model logprobs --exact -q -m "$1" |
		jq '.next_logprob | add'
}

near() {
	jq -ne --argjson a "$1" --argjson b "$2" --argjson t "$3" '($a - $b | fabs) <= $t' >/dev/null ||
		{ echo "$1 and $2 differ by more than $3"; return 1; }
}

prepare() {
	pairs 8 >in.jsonl
}

@test "adapters over a quantised model: overfitting, accuracy 1 and a growing margin" {
	mr-model convert -q --type Q8_0 "$TINY" q8.gguf
	mr-dpo -q -m q8.gguf --lora-rank 4 --batch 8 --epochs 30 --lr 1e-2 -o a.gguf in.jsonl >log
	[ "$(wc -l <log)" -eq 30 ]
	[ "$(jq '.loss * 1e6 | round' log | head -n 1)" -eq 693147 ]
	jq -se --exit-status '.[29]."rewards/accuracies" == 1 and .[29].loss < 0.1 and
		(map(."rewards/margins") | .[29] > .[10] and .[10] > .[0])' log
}

@test "the adapter's file is llama.cpp's; merged, it is the model that --merge writes" {
	adapters=(--lora-rank 2 --lora-alpha 6 --lora-targets 'q,down' --batch 8 --epochs 3 --lr 1e-2)
	mr-dpo -q "${adapters[@]}" -o a.gguf in.jsonl >log
	"$B/helper/tensor-norms" a.gguf | cut -d ' ' -f 1 >names
	run ! grep -vxE 'blk\.[0-9]+\.(attn_q|ffn_down)\.weight\.lora_[ab]' names
	[ "$(wc -l <names)" -eq "$((4 * $("$B/helper/tensor-norms" "$TINY" | grep -c attn_q.weight)))" ]
	mr-model info --json a.gguf | jq -e '.architecture == "llama" and .tensors[0].type == "F32"'
	grep -aq general.type a.gguf
	grep -aq adapter.lora.alpha a.gguf

	mr-dpo -q "${adapters[@]}" --merge -o whole.gguf in.jsonl >log2
	cmp log log2
	mr-model merge -q -o merged.gguf "$TINY" a.gguf
	[ -s merged.gguf.manifest.json ]
	near "$(logprobs merged.gguf)" "$(logprobs whole.gguf)" 1e-3
	# the adapter does something, the other matrices are as they were
	run ! near "$(logprobs merged.gguf)" "$(logprobs "$TINY")" 1e-2
	"$B/helper/tensor-norms" merged.gguf | grep -vE 'attn_q|ffn_down' | sort >ours
	mr-model convert -q "$TINY" f32.gguf
	"$B/helper/tensor-norms" f32.gguf | grep -vE 'attn_q|ffn_down' | sort | cmp - ours
}

@test "adapters: the same seed gives the same bytes for any number of threads" {
	for t in 1 2 3; do
		mr-sft -q -t $t --seed 5 --lora-rank 3 --epochs 2 --lr 1e-2 -o "t$t.gguf" \
			<<<'{"prompt":"Hello, you.","completion":"And hello to you."}' >"log$t"
	done
	cmp t1.gguf t2.gguf && cmp t1.gguf t3.gguf && cmp log1 log2
	mr-sft -q --seed 6 --lora-rank 3 --epochs 2 --lr 1e-2 -o other.gguf \
		<<<'{"prompt":"Hello, you.","completion":"And hello to you."}' >other
	run ! cmp -s t1.gguf other.gguf
}

@test "--mem: fewer activations are kept, the same bytes come out; what does not fit is refused in one line" {
	mr-dpo -m "$TINY" --batch 8 --epochs 2 --lr 1e-3 -o all.gguf in.jsonl >all.log 2>all.err
	need=$(sed -nE 's/^mr-dpo: 8 pairs, 2 steps; ([0-9.]+) MiB of memory: .*/\1/p' all.err)
	[ "$need" ]
	run ! grep 'computed again' all.err
	# a little less, until a layer has to be; the process itself is not always of one size
	for less in {1..20}; do
		mr-dpo -m "$TINY" --batch 8 --epochs 2 --lr 1e-3 --mem "$(jq -n "$need * 1024 - 150 * $less | floor")K" \
			-o less.gguf in.jsonl >less.log 2>less.err && grep -q 'layers are computed again' less.err && break
	done
	grep 'layers are computed again' less.err
	cmp all.gguf less.gguf
	cmp all.log less.log

	run --separate-stderr mr-dpo --mem 1M -o none.gguf in.jsonl
	assert_failure 3
	[ "${#stderr_lines[@]}" -eq 1 ]
	[[ $stderr =~ ^mr-dpo:\ training\ needs\ [0-9.]+\ MiB\ of\ memory,\ and\ --mem\ allows\ 1: ]]
	[ ! -e none.gguf ]
}

@test "wrong options and adapters that do not fit are refused in one line" {
	local args message
	while IFS='|' read -r args message; do
		# shellcheck disable=SC2086
		run --separate-stderr mr-dpo -o none.gguf $args in.jsonl
		assert_failure 1
		[[ $stderr == *"$message"* ]] || { echo "$stderr; wanted $message"; return 1; }
	done <<-'END'
	--mem much|--mem: "much" is no size such as 8G or 512M
	--mem 8X|--mem: "8X" is no size
	--lora-rank 2 --lora-targets q,w|--lora-targets: "w" is none of q, k, v, o, gate, up, down
	--merge|--merge says nothing without --lora-rank R
	--lora-alpha 3|--lora-alpha says nothing without --lora-rank R
	--lora-rank 2 --type Q8_0|--type is of the whole model, with --merge
	END
	run --separate-stderr mr-dpo --lora-rank 4000 -o none.gguf in.jsonl
	assert_failure 3
	[[ $stderr == *"a rank of 4000 is more than "* ]]
	run --separate-stderr mr-model merge -o none.gguf "$TINY" "$TINY"
	assert_failure 3
	[[ $stderr == *"this is no LoRA adapter: general.type"* ]]
	[ ! -e none.gguf ]
}

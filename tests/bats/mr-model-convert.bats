#!/usr/bin/env bats
# mr-model convert: another type, to a Hugging Face folder and back.

load helper

# logprobs FILE ['']: the float32 path's, or the kernels'
logprobs() {
	echo '{"text":"The sea is calm today, and the answer to the question is 42 or so."}' |
		mr-model logprobs ${2---exact} -q -m "$1"
}

# differ A B MOST MEAN: two outputs' log-probabilities differ by no more.
differ() {
	jq -se --argjson most "$3" --argjson mean "$4" --slurpfile b "$2" '
		[.[0].next_logprob, $b[0].next_logprob] | transpose | map(.[0] - .[1] | fabs) |
		length > 10 and max <= $most and add / length <= $mean' "$1"
}

# The bytes of the tensors, which stand at the end of a file.
tensor_bytes() {
	mr-model info --json "$1" | jq '[.tensors[].bytes] | add'
}

# one_line STATUS PATTERN ARGUMENT...: mr-model convert says this in one line, and leaves nothing.
one_line() {
	local status=$1 pattern=$2
	shift 2
	run --separate-stderr mr-model convert "$@"
	assert_failure "$status"
	[ -z "$output" ]
	[ "${#stderr_lines[@]}" -eq 1 ] || { echo "not one line: $stderr"; return 1; }
	[[ $stderr =~ ^mr-model:\ .*$pattern ]] || { echo "$stderr; wanted $pattern"; return 1; }
	[ -z "$(find . -name 'out*' -o -name '*.part-*')" ]
}

# header FILE JSON BYTES: a safetensors file of that header and so many zeros.
header() {
	local n=${#2} i
	{
		for ((i = 0; i < 8; i++)); do printf "\\x$(printf %02x $((n >> 8 * i & 255)))"; done
		printf %s "$2"
		head -c "$3" /dev/zero
	} >"$1"
}

@test "GGUF (F32) to a folder and back: the same tensors, the same log-probabilities" {
	mr-model convert -q "$TINY" hf/
	mr-model convert -q hf back.gguf
	cmp <(tail -c "$(tensor_bytes "$TINY")" "$TINY") <(tail -c "$(tensor_bytes back.gguf)" back.gguf)
	cmp <(logprobs "$TINY") <(logprobs back.gguf)
	diff <(mr-model info "$TINY" | grep -v ' name \| file \|gguf$') <(mr-model info back.gguf | grep -v ' name \| file \|gguf$')
	# a prompt through the chat template, and text that looks like a control token
	prompts 2 | mr-sample -q -n 2 --seed 3 --max-tokens 20 -m "$TINY" >a
	prompts 2 | mr-sample -q -n 2 --seed 3 --max-tokens 20 -m back.gguf >b
	cmp a b
	mr-model convert -q back.gguf again/
	diff -r hf again
}

@test "the folder is what transformers reads" {
	mr-model convert -q --type BF16 "$TINY" hf/
	[ "$(ls hf | tr '\n' ' ')" = "config.json generation_config.json model.safetensors tokenizer.json tokenizer_config.json " ]
	jq -e '.architectures == ["LlamaForCausalLM"] and .model_type == "llama" and .hidden_size == 64 and
		.num_hidden_layers == 2 and .num_attention_heads == 4 and .num_key_value_heads == 2 and .head_dim == 16 and
		.rms_norm_eps == 0.00001 and .rope_theta == 10000 and .tie_word_embeddings and .torch_dtype == "bfloat16" and
		.bos_token_id == 1 and .eos_token_id == 2' hf/config.json
	jq -e '.model.type == "BPE" and (.model.vocab["<|im_end|>"] == 2) and (.model.merges | length > 100) and
		([.added_tokens[] | select(.special) | .content] == ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]) and
		(.pre_tokenizer.pretokenizers | map(.type) == ["Split", "Split", "ByteLevel"])' hf/tokenizer.json
	jq -e '.bos_token == "<|im_start|>" and .eos_token == "<|im_end|>" and (.chat_template | test("im_start"))' hf/tokenizer_config.json
	# the header: its length, then JSON; data that begin at a multiple of 8
	n=$(od -An -tu8 -N8 hf/model.safetensors)
	[ $((n % 8)) -eq 0 ]
	head -c $((n + 8)) hf/model.safetensors | tail -c "$n" >header
	jq -e '.["model.layers.1.self_attn.k_proj.weight"] | .dtype == "BF16" and .shape == [32, 64]' header
	jq -e '[.[].data_offsets // empty] | last[1]' header >end
	[ "$(stat -c %s hf/model.safetensors)" -eq $(($(cat end) + n + 8)) ]
}

@test "every type loads, generates, and its log-probabilities are close to F32's, on both paths" {
	"$B/helper/mktiny" wide.gguf 3 F32 llama smollm 256
	logprobs wide.gguf >f32
	# most that a log-probability may differ, and the mean; measured on this model: F16 0.012, 0.005,
	# BF16 0.24, 0.035, Q8_0 0.41, 0.16, Q6_K 1.6, 0.4, five bits 3.8, 0.8, four 6.9, 1.5 (random weights are
	# hard on few bits)
	while read -r type number most mean; do
		mr-model convert --type "$type" wide.gguf "$type.gguf"
		run mr-model check "$type.gguf"
		assert_success
		logprobs "$type.gguf" >exact
		differ exact f32 "$most" "$mean"
		# the kernels' arithmetic changes next to nothing
		logprobs "$type.gguf" '' >fast
		differ fast exact 0.005 0.001
		prompts 1 | mr-sample -q -n 1 --max-tokens 10 -m "$type.gguf" | jq -e '.responses[0].tokens > 0'
		mr-model info --json "$type.gguf" | jq -e --arg t "$type" '
			(.tensors | map(select(.type == $t)) | .[0].count >= 14) and ([.tensors[].type] | contains(["F32"]))'
		mr-model info "$type.gguf" >info
		run ! grep -i 'not supported' info
		# general.file_type: the key, u32, the number
		grep -qaP "general.file_type\x04\x00\x00\x00\\x$(printf %02x "$number")\x00\x00\x00" "$type.gguf"
		# what has the type already keeps its bytes
		mr-model convert --type "$type" "$type.gguf" again.gguf
		cmp "$type.gguf" again.gguf
	done <<-'EOF'
	F32 0 0 0
	F16 1 0.03 0.01
	BF16 32 0.5 0.1
	Q8_0 7 1 0.3
	Q6_K 18 3 0.9
	Q5_K 16 5 1.5
	Q5_1 9 5 1.5
	Q5_0 8 5 1.5
	Q4_K 14 8 2.5
	Q4_1 3 8 2.5
	Q4_0 2 8 2.5
	EOF
	# four bits: the matrix that the logits come from has eight
	for type in Q4_K Q4_1 Q4_0; do
		mr-model info --json $type.gguf | jq -e --arg t $type '[.tensors[] | {type, count}] | sort_by(.type) ==
			([{type: "F32", count: 5}, {type: $t, count: 14}, {type: "Q8_0", count: 1}] | sort_by(.type))'
	done
	# from a folder, the same as from the file
	mr-model convert wide.gguf hf/
	mr-model convert --type Q8_0 hf/ from.gguf
	cmp <(logprobs from.gguf) <(logprobs Q8_0.gguf)
}

@test "from every type: the same log-probabilities as F32 and out of a folder; the other types as from that F32" {
	for from in F32 F16 BF16 Q8_0 Q6_K Q5_K Q5_1 Q5_0 Q4_K Q4_1 Q4_0; do
		"$B/helper/mktiny" from.gguf 3 $from llama smollm 256
		logprobs from.gguf >wanted
		mr-model convert -q --type F32 from.gguf f32.gguf
		logprobs f32.gguf | cmp - wanted
		rm -rf hf
		mr-model convert -q from.gguf hf/
		mr-model convert -q hf back.gguf
		logprobs back.gguf | cmp - wanted
		for to in F16 BF16 Q8_0 Q4_0; do
			mr-model convert -q --type $to from.gguf a.gguf
			mr-model convert -q --type $to f32.gguf b.gguf
			# bytes are kept where the type stays, and the folder has no file type
			if [ $from != $to ]; then cmp a.gguf b.gguf; fi
			logprobs a.gguf | jq -e '.next_logprob | length > 10 and all(. < 0 and . > -50)' >/dev/null
		done
	done
}

@test "blocks of 256 where rows are shorter: blocks of 32 of as many bits or more" {
	while read -r type instead; do
		mr-model convert -q --type "$type" "$TINY" out.gguf
		mr-model info --json out.gguf | jq -e --argjson t "$instead" '[.tensors[].type] | sort == ($t | sort)'
		run mr-model check out.gguf
		assert_success
	done <<-'EOF'
	Q6_K ["F32","Q8_0"]
	Q5_K ["F32","Q5_1"]
	Q4_K ["F32","Q5_0","Q8_0"]
	EOF
}

@test "a folder in shards, with pairs as merges and the newer settings" {
	mr-model convert -q "$TINY" hf/
	n=$(od -An -tu8 -N8 hf/model.safetensors)
	head -c $((n + 8)) hf/model.safetensors | tail -c "$n" >header
	at=$(jq '.["model.embed_tokens.weight"].data_offsets[1]' header)
	header=$(jq -c '{"model.embed_tokens.weight"}' header)
	header a "$header" 0
	tail -c +$((n + 9)) hf/model.safetensors | head -c "$at" >>a
	header=$(jq -c --argjson at "$at" 'del(.["model.embed_tokens.weight"]) | del(.__metadata__) |
		map_values(.data_offsets |= map(. - $at))' header)
	header b "$header" 0
	tail -c +$((n + 9 + at)) hf/model.safetensors >>b
	mkdir new
	mv a new/model-1.safetensors
	mv b new/model-2.safetensors
	jq 'del(.__metadata__) | {weight_map: with_entries(.value = if .key == "model.embed_tokens.weight"
		then "model-1.safetensors" else "model-2.safetensors" end)}' header >new/model.safetensors.index.json
	jq '.rope_parameters = {rope_type: "default", rope_theta: .rope_theta} | del(.rope_theta, .rope_scaling)' hf/config.json >new/config.json
	jq '.model.merges |= map(split(" "))' hf/tokenizer.json >new/tokenizer.json
	jq 'del(.chat_template)' hf/tokenizer_config.json >new/tokenizer_config.json
	jq -j .chat_template hf/tokenizer_config.json >new/chat_template.jinja
	mr-model convert new new.gguf
	mr-model convert hf new-hf.gguf
	cmp <(logprobs "$TINY") <(logprobs new.gguf)
	diff <(mr-model info new.gguf | tail -n +4) <(mr-model info new-hf.gguf | tail -n +4)
	# an index that names what is not there, or a file elsewhere
	jq '.weight_map.extra = "model-2.safetensors"' new/model.safetensors.index.json >index
	cp index new/model.safetensors.index.json
	one_line 3 '"extra" is in the index' new out.gguf
	jq '.weight_map.extra = "../hf/model.safetensors"' index >new/model.safetensors.index.json
	one_line 3 'no name of a file beside it' new out.gguf
}

@test "Llama 3's rope scaling goes to GGUF's factors and back" {
	mr-model convert -q "$TINY" hf/
	jq '.rope_scaling = {rope_type: "llama3", factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0,
		original_max_position_embeddings: 8192} | .rope_theta = 500000.0' hf/config.json >config
	cp config hf/config.json
	mr-model convert -q hf rope.gguf
	run cmp <(logprobs "$TINY") <(logprobs rope.gguf)
	assert_failure
	mr-model convert -q rope.gguf back/
	diff <(jq -S . hf/config.json) <(jq -S . back/config.json)
	jq '.rope_scaling.original_max_position_embeddings = 1024 | .rope_scaling.factor = 32.0' config >hf/config.json
	mr-model convert -q hf shorter.gguf
	mr-model convert -q shorter.gguf shorter/
	jq -e '.rope_scaling | .original_max_position_embeddings == 1024 and .factor == 32' shorter/config.json
	jq '.rope_scaling.factor = 0' config >hf/config.json
	one_line 3 '"factor" is no positive number' hf out.gguf
	jq '.rope_scaling.rope_type = "yarn"' config >hf/config.json
	one_line 3 'rope scaling of this kind' hf out.gguf
}

@test "each architecture with each tokenizer goes to a folder and back: the same log-probabilities and tokens" {
	jq -nc --arg s "the thing's other" '"The sea is calm; the answer\u2019s  42 or so.\n\n caf\u00e9 \u4f60\u597d <|im_end|> \t\($s) " |
		{text: .}, {text: ("  " + .)}, {text: "under the sea"}' >texts
	while read -r architecture tokenizer class biases normalizer; do
		rm -rf hf again
		"$B/helper/mktiny" from.gguf 3 F32 "$architecture" "$tokenizer"
		mr-model convert -q from.gguf hf/
		mr-model convert -q hf back.gguf
		cmp <(mr-model logprobs -q --exact -m from.gguf texts) <(mr-model logprobs -q --exact -m back.gguf texts)
		cmp <(mr-model tokenize -q -m from.gguf texts) <(mr-model tokenize -q -m back.gguf texts)
		# a llama with biases has one of the attention's output more then, of zeros
		[ "$architecture" = biased ] ||
			cmp <(tail -c "$(tensor_bytes from.gguf)" from.gguf) <(tail -c "$(tensor_bytes back.gguf)" back.gguf)
		mr-model convert -q back.gguf again/
		diff -r hf again
		jq -e --arg c "$class" --arg b "$biases" '.architectures == [$c] and (.attention_bias | tostring) == $b' hf/config.json
		jq -e --arg n "$normalizer" '(.normalizer.type // "none") == $n' hf/tokenizer.json
	done <<-'EOF'
	llama smollm LlamaForCausalLM false none
	llama gpt-2 LlamaForCausalLM false none
	llama llama-bpe LlamaForCausalLM false none
	llama spm LlamaForCausalLM false Sequence
	biased spm LlamaForCausalLM true Sequence
	biased smollm LlamaForCausalLM true none
	qwen2 qwen2 Qwen2ForCausalLM null NFC
	EOF
}

# floats FOLDER TENSOR: the tensor's elements, a line each
floats() {
	local n at
	n=$(od -An -tu8 -N8 "$1/model.safetensors")
	at=($(head -c $((n + 8)) "$1/model.safetensors" | tail -c "$n" | jq --arg t "$2" '.[$t].data_offsets[]'))
	tail -c +$((n + 9 + at[0])) "$1/model.safetensors" | head -c $((at[1] - at[0])) | od -An -v -w4 -tx4
}

@test "biases of a llama are put in another order as the rows are, those of a qwen2 kept; what is not there is 0" {
	# the same numbers in both files: in heads of 16, GGUF's rows 0, 2, 4 … come first, then 1, 3, 5 …
	for architecture in biased qwen2; do
		"$B/helper/mktiny" $architecture.gguf 3 F32 $architecture
		mr-model convert -q $architecture.gguf $architecture/
	done
	for x in q k; do
		floats qwen2 model.layers.1.self_attn.${x}_proj.bias >plain
		[ "$(wc -l <plain)" -eq $([ $x = q ] && echo 64 || echo 32) ]
		awk '{ v[NR - 1] = $0 } END { for (i = 0; i < NR; i++) print v[int(i / 16) * 16 + i % 8 * 2 + int(i % 16 / 8)] }' plain >wanted
		floats biased model.layers.1.self_attn.${x}_proj.bias | tr -d ' ' | cmp - <(tr -d ' ' <wanted)
	done
	cmp <(floats qwen2 model.layers.1.self_attn.v_proj.bias) <(floats biased model.layers.1.self_attn.v_proj.bias)
	[ "$(floats biased model.layers.1.self_attn.o_proj.bias | sort | uniq -c | tr -s ' ')" = " 64 00000000" ]
	# without them config.json must not tell of them, and the other way round
	mr-model convert -q "$TINY" plain-hf/
	jq '.attention_bias = true' plain-hf/config.json >config
	cp config plain-hf/config.json
	one_line 3 'q_proj.bias is missing' plain-hf out.gguf
	jq '.attention_bias = false' biased/config.json >config
	cp config biased/config.json
	one_line 3 '8 tensors have no place in a llama' biased out.gguf
}

@test "Mistral's settings, a window, a linear scale of positions" {
	mr-model convert -q "$TINY" hf/
	jq '.model_type = "mistral" | .architectures = ["MistralForCausalLM"] | .sliding_window = 512 |
		.rope_scaling = {type: "linear", factor: 4.0}' hf/config.json >config
	cp config hf/config.json
	mr-model convert -q hf linear.gguf
	mr-model info --json linear.gguf | jq -e '.architecture == "llama" and .context == 512'
	run cmp <(logprobs "$TINY") <(logprobs linear.gguf)
	assert_failure
	mr-model convert -q linear.gguf back/
	jq -e '.rope_scaling == {rope_type: "linear", factor: 4} and .max_position_embeddings == 512' back/config.json
	mr-model convert -q back again.gguf
	cmp <(logprobs linear.gguf) <(logprobs again.gguf)
	jq '.sliding_window = null | .rope_scaling = null' config >hf/config.json
	mr-model convert -q hf plain.gguf
	cmp <(logprobs "$TINY") <(logprobs plain.gguf)
}

@test "SentencePiece's tokenizer.json: the scores' merges; newer spaces; what is something else is refused" {
	"$B/helper/mktiny" spm.gguf 3 F32 llama spm
	mr-model convert -q spm.gguf good/
	# all pairs that make a token, the best score's first: "th" and "the" come before every word
	jq -e '.model | .byte_fallback and .unk_token == "<unk>" and
		.merges[:6] == ["t h", "e r", "i n", "th e", "in g", "n d"]' good/tokenizer.json
	jq -e '.model.merges | index("\u2581th e") == index("\u2581 the") + 1' good/tokenizer.json
	cp -r good new
	jq '.normalizer = null | .pre_tokenizer = {type: "Metaspace", replacement: "\u2581", prepend_scheme: "always", split: false}' \
		good/tokenizer.json >new/tokenizer.json
	mr-model convert -q new new.gguf
	cmp <(logprobs spm.gguf) <(logprobs new.gguf)
	jq '.normalizer.normalizers |= .[1:]' good/tokenizer.json >new/tokenizer.json
	mr-model convert -q new none.gguf
	echo '{"text":"the"}' | mr-model tokenize -m spm.gguf | jq -c .ids >a
	echo '{"text":" the"}' | mr-model tokenize -m none.gguf | jq -c .ids >b
	cmp a b
	mr-model convert -q none.gguf none/
	jq -e '.normalizer.normalizers | length == 1' none/tokenizer.json
	while IFS='|' read -r filter pattern; do
		rm -rf hf
		cp -r good hf
		jq "$filter" good/tokenizer.json >hf/tokenizer.json
		one_line 3 "$pattern" hf out.gguf
	done <<-'EOF'
	.normalizer = null|only SentencePiece.s spaces
	.normalizer.normalizers += [{type: "NFKC"}]|only SentencePiece.s spaces
	.pre_tokenizer = {type: "Metaspace", replacement: "\u2581", prepend_scheme: "first", split: false}|only SentencePiece.s spaces
	.model.merges = .model.merges[1:]|all pairs that make a token
	EOF
}

@test "every type that is read: the reference's log-probabilities, and the same ones as F32 and out of a folder" {
	golden=${MR_GOLDEN:-$repo/../shared/golden}/tiny
	[ -e "$golden/tiny-llama-rope3-q4_k.gguf" ] || skip "no golden data"
	for type in q8_0 q4_0 q5_0 q4_k q6_k; do
		file=$golden/tiny-llama-rope3-$type.gguf
		run mr-model check "$file"
		assert_success
		mr-model info --json "$file" | jq -e --arg t "${type^^}" '[.tensors[].type] | contains([$t])'
		jq -c '{ids}' "${file%.gguf}.json" | mr-model logprobs -q --exact -m "$file" >read
		jq -se '[.[0].next_logprob, .[1].next_logprob] | transpose | map(.[0] - .[1] | fabs) |
			length > 10 and max < 0.001' read "${file%.gguf}.json"
		rm -rf hf
		mr-model convert -q "$file" f32.gguf
		mr-model convert -q "$file" hf/
		mr-model convert -q hf back.gguf
		jq -e '.rope_scaling.original_max_position_embeddings == 256' hf/config.json
		jq -c '{ids}' "${file%.gguf}.json" | mr-model logprobs -q --exact -m f32.gguf | cmp - read
		# the rotary factors are computed again
		jq -c '{ids}' "${file%.gguf}.json" | mr-model logprobs -q --exact -m back.gguf | jq -se --slurpfile f read '
			[.[0].next_logprob, $f[0].next_logprob] | transpose | map(.[0] - .[1] | fabs) | length > 10 and max < 0.00001'
	done
}

@test "published vocabularies: the published token ids after a folder and back" {
	golden=${MR_GOLDEN:-$repo/../shared/golden}/vocab
	[ -e "$golden/ggml-vocab-llama-spm.gguf" ] || skip "no golden data"
	for name in gpt-2 llama-bpe llama-spm; do
		rm -rf hf
		"$B/helper/mktiny" from.gguf 1 F16 llama "$golden/ggml-vocab-$name.gguf"
		mr-model convert -q --type F16 from.gguf hf/
		mr-model convert -q --type F16 hf back.gguf
		jq -Rsc 'split("\n__ggml_vocab_test__\n")[:46][] | {text: .}' "$golden/ggml-vocab-$name.gguf.inp" |
			mr-model tokenize -q -m back.gguf | jq -r '.ids | map(tostring) | join(" ")' >ids
		[ "$(wc -l <ids)" -eq 46 ]
		cmp ids <(sed 's/^ *//; s/ *$//' "$golden/ggml-vocab-$name.gguf.out")
	done
}

@test "hostile weights: one line, exit 3, nothing is left" {
	mr-model convert -q "$TINY" hf/
	mv hf/model.safetensors good
	one_line 3 'model.safetensors: cannot be opened' hf out.gguf
	head -c 300000 good >hf/model.safetensors
	one_line 3 'truncated: tensor' hf out.gguf
	head -c 100 good >hf/model.safetensors
	one_line 3 'truncated, or no safetensors file' hf out.gguf
	: >hf/model.safetensors
	one_line 3 'is empty' hf out.gguf
	{ printf '\xff\xff\xff\xff\xff\xff\xff\xff'; tail -c +9 good; } >hf/model.safetensors
	one_line 3 'a header of 18446744073709551615 bytes' hf out.gguf
	while IFS='|' read -r pattern bytes json; do
		header hf/model.safetensors "$json" "$bytes"
		one_line 3 "$pattern" hf out.gguf
	done <<-'EOF'
	not JSON|8|{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}
	truncated: tensor "a" ends|4|{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}
	overlaps|8|{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}
	impossible shape|8|{"a":{"dtype":"F32","shape":[9007199254740992,9007199254740992],"data_offsets":[0,8]}}
	2 layers are announced|8|{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}
	EOF
	# as they should be, but for another model
	sed 's/mlp.up_proj/mlp.xx_proj/' good >hf/model.safetensors
	one_line 3 'up_proj.weight is missing' hf out.gguf
	sed 's/"dtype":"F32","shape":\[64,64\]/"dtype":"I32","shape":[64,64]/' good >hf/model.safetensors
	one_line 3 'dtype I32 is not supported' hf out.gguf
}

@test "what a folder tells must be possible: one line, exit 3" {
	mr-model convert -q "$TINY" good/
	while IFS='|' read -r file filter pattern; do
		rm -rf hf
		cp -r good hf
		jq "$filter" "good/$file" >"hf/$file"
		one_line 3 "$pattern" hf out.gguf
	done <<-'EOF'
	config.json|.model_type = "gemma"|type is not "llama"
	config.json|del(.hidden_size)|"hidden_size" is missing
	config.json|.hidden_size = 65|not the shape
	config.json|.num_hidden_layers = 1|9 tensors have no place
	config.json|.num_hidden_layers = 16777216|layers are announced
	config.json|.num_attention_heads = 1e30|no whole number
	config.json|.num_key_value_heads = 3|are not possible
	config.json|.vocab_size = 1000|none below config.json's vocab_size
	config.json|.vocab_size = 16777216|tokenizer.json [0-9]+ tokens
	config.json|.hidden_act = "gelu"|hidden_act
	config.json|[.]|no JSON object
	tokenizer.json|.model.type = "Unigram"|only byte-level BPE
	tokenizer.json|.model.vocab = []|no vocabulary
	tokenizer.json|.model.vocab.the = -1|number is none below
	tokenizer.json|.model.vocab.the = 2|stands for two tokens
	tokenizer.json|.model.merges[3] = 7|merge 4 is no pair
	tokenizer.json|.added_tokens[0].content = null|no text
	tokenizer.json|.pre_tokenizer.pretokenizers[0].pattern.Regex = "x"|pre-tokenizer is none
	tokenizer.json|.pre_tokenizer = null|pre-tokenizer is none
	tokenizer.json|.normalizer = {type: "Lowercase"}|normalizer
	tokenizer_config.json|[.]|no JSON object
	EOF
	echo '{"model_type":"llama"' >hf/config.json
	one_line 3 'config.json: not JSON' hf out.gguf
	rm hf/config.json
	one_line 3 'config.json: cannot be opened' hf out.gguf
}

@test "what cannot be read or written: one line, exit 3" {
	mkdir full
	: >full/file
	echo text >text
	one_line 3 'full: is there already' "$TINY" full/
	one_line 3 'text: not a GGUF file' text out.gguf
	one_line 3 'text: not a GGUF file' text out/
	one_line 3 'nowhere: .*No such file' nowhere out.gguf
	one_line 3 'cannot create' "$TINY" nowhere/out.gguf
	one_line 3 'cannot create' "$TINY" nowhere/out/
	[ "$(ls full)" = file ]
	# a value that F16 cannot hold: the last four bytes are the last weight of output_norm
	cp "$TINY" large.gguf
	printf '\x00\x00\x80\x48' | dd of=large.gguf bs=1 seek=$(($(stat -c %s large.gguf) - 4)) conv=notrunc status=none
	one_line 3 'output_norm.weight has the value 262144, which is too large for F16' --type F16 large.gguf out/
	mr-model convert --type F16 large.gguf vectors-are-f32.gguf
}

@test "a manifest beside the output; an empty folder is filled; a file is replaced" {
	mkdir hf
	echo old >q.gguf
	mr-model convert "$TINY" hf
	mr-model convert hf/ q.gguf --type Q8_0
	jq -e --arg h "$(sha256sum <q.gguf | cut -d ' ' -f 1)" --arg m "$(sha256sum <hf/model.safetensors | cut -d ' ' -f 1)" '
		.tool == "mr-model" and .options.type == "Q8_0" and .output == {file: "q.gguf", sha256: $h} and
		.input.folder == "hf" and ([.input.files[] | select(.file == "model.safetensors")] | .[0].sha256 == $m)' q.gguf.manifest.json
	jq -e --arg h "$(sha256sum <"$TINY" | cut -d ' ' -f 1)" '.input == {file: "tiny.gguf", sha256: $h} and
		(.output.files | length == 5)' hf.manifest.json
}

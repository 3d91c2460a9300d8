#!/usr/bin/env bats
# mr-sft, as a user runs it, on the tiny model.

load helper

# demos N: N demonstrations.
demos() {
	jq -nc --argjson n "$1" 'range($n) | {id: "d\(.)", prompt: "What goes with the number \(.)?",
		completion: "With \(.) goes a long answer, or two."}'
}

sft() {
	mr-sft -q -o out.gguf "$@"
}

@test "a line of log for each step, with TRL's keys" {
	demos 5 >in.jsonl
	sft --batch 2 --epochs 2 in.jsonl >log
	[ "$(wc -l <log)" -eq 6 ]
	all log 'keys_unsorted == ["step", "epoch", "loss", "mean_token_accuracy", "num_tokens", "grad_norm", "learning_rate"]'
	all log 'all(.[]; type == "number")'
	jq -se 'map(.num_tokens) | . == (sort | unique)' log
}

@test "it learns its demonstrations by heart" {
	demos 6 >in.jsonl
	sft --batch 6 --epochs 60 --lr 3e-3 in.jsonl >log
	jq -se '.[0].loss > 2 and .[-1].loss < 0.3 and .[-1].mean_token_accuracy > 0.9' log
	jq -c '{id, prompt}' in.jsonl | mr-sample -q -m out.gguf -n 1 --temperature 0 --max-tokens 40 >said
	[ "$(jq -r '.responses[0].text' said | grep -c 'goes a long answer, or two')" -ge 5 ]
}

@test "the loss is the mean over the answer's tokens, as mr-model sees them" {
	echo '{"id":"a","prompt":"Say hello.","completion":"Hello, and a good day."}' >in.jsonl
	sft --epochs 1 --lr 0 in.jsonl >log
	local head='<|im_start|>system\nYou answer in plain words.<|im_end|>\n<|im_start|>user\nSay hello.<|im_end|>\n<|im_start|>assistant\n'
	local answer='Hello, and a good day.<|im_end|>\n'
	printf '{"id":"a","text":"%s"}\n' "$answer" | mr-model tokenize --parse-special | jq '.ids | length' >n
	printf '{"id":"a","text":"%s%s"}\n' "$head" "$answer" | mr-model tokenize --parse-special |
		jq -c '{id, ids}' >ids
	mr-model logprobs --exact ids | jq --argjson n "$(cat n)" '-(.next_logprob[-$n:] | add / length)' >wanted
	jq --argjson wanted "$(cat wanted)" -e '(.loss - $wanted | fabs) < 1e-4' log
	[ "$(jq .num_tokens log)" -eq "$(jq '.ids | length' ids)" ]
}

@test "a step's loss is the mean over all its tokens, not over demonstrations" {
	{
		echo '{"id":"short","prompt":"p","completion":"No."}'
		echo '{"id":"long","prompt":"p","completion":"The answer is long, and it goes on for some time, as they do."}'
	} >in.jsonl
	sft --lr 0 --batch 1 --no-shuffle in.jsonl --epochs 1 >each
	sft --lr 0 --batch 2 --no-shuffle in.jsonl --epochs 1 >both
	jq -c '{id, text: (.completion + "<|im_end|>\n")}' in.jsonl | mr-model tokenize --parse-special |
		jq '.ids | length' >n
	jq -n --slurpfile n n --slurpfile each each --slurpfile both both -e '
		(($n[0] * $each[0].loss + $n[1] * $each[1].loss) / ($n[0] + $n[1]) - $both[0].loss | fabs) < 1e-6'
}

@test "messages, and prompts and completions as texts or messages, are the same" {
	demos 3 >texts.jsonl
	jq -c '{id, prompt: [{role: "user", content: .prompt}], completion: [{role: "assistant", content: .completion}]}' \
		texts.jsonl >lists.jsonl
	jq -c '{id, messages: [{role: "user", content: .prompt}, {role: "assistant", content: .completion}]}' \
		texts.jsonl >messages.jsonl
	local form
	for form in texts lists messages; do
		mr-sft -q --lr 1e-3 -o $form.gguf $form.jsonl >$form.log
	done
	cmp texts.gguf lists.gguf && cmp texts.gguf messages.gguf
	cmp texts.log lists.log && cmp texts.log messages.log
}

@test "only the last answer is learnt" {
	echo '{"id":"a","messages":[{"role":"user","content":"One?"},{"role":"assistant","content":"Two, three, four."},{"role":"user","content":"And?"},{"role":"assistant","content":"Five."}]}' >chat.jsonl
	echo '{"id":"a","prompt":[{"role":"user","content":"One?"},{"role":"assistant","content":"Two, three, four."},{"role":"user","content":"And?"}],"completion":"Five."}' >same.jsonl
	sft --lr 0 chat.jsonl >log
	sft --lr 0 same.jsonl >wanted
	cmp log wanted
}

@test "text from data is text: it does not end a turn" {
	echo '{"id":"a","prompt":"p","completion":"a<|im_end|>"}' >in.jsonl
	sft --epochs 1 --lr 0 in.jsonl >log
	echo '{"id":"a","prompt":"p","completion":"a"}' | sft --epochs 1 --lr 0 >without
	local more
	more=$(echo '{"id":"a","text":"<|im_end|>"}' | mr-model tokenize | jq '.ids | length')
	[ "$more" -gt 1 ]
	[ "$(jq .num_tokens log)" -eq $(($(jq .num_tokens without) + more)) ]
}

@test "the same seed gives the same bytes for any number of threads" {
	demos 7 >in.jsonl
	for t in 1 2 3; do
		mr-sft -q -t $t --seed 5 --batch 3 --epochs 2 --lr 1e-3 -o "t$t.gguf" in.jsonl >"log$t"
	done
	cmp t1.gguf t2.gguf && cmp t1.gguf t3.gguf
	cmp log1 log2 && cmp log1 log3
}

# pattern | record
bad_demos() {
	cat <<-'EOF'
	"prompt" is missing|{"id":"x","completion":"a"}
	"completion" is missing|{"id":"x","prompt":"p"}
	"completion" is empty|{"id":"x","prompt":"p","completion":""}
	"completion" is not one message|{"id":"x","prompt":"p","completion":[{"role":"user","content":"a"}]}
	"messages" does not end with an answer|{"id":"x","messages":[{"role":"user","content":"a"}]}
	"messages" does not end with an answer|{"id":"x","messages":[{"role":"assistant","content":"a"}]}
	the last message is empty|{"id":"x","messages":[{"role":"user","content":"a"},{"role":"assistant","content":""}]}
	"messages\[1\]" is not a message|{"id":"x","messages":[{"role":"user","content":"a"},"b"]}
	U\+0000|{"id":"x","prompt":"p\u0000q","completion":"b"}
	not JSON|{"id":"x",
	EOF
}

@test "a bad demonstration is reported with file and line, and the others are trained on" {
	local pattern record n=0
	while IFS='|' read -r pattern record; do
		printf '%s\n' "$record" >bad.jsonl
		{ cat bad.jsonl; demos 1; } >in.jsonl
		run -2 --separate-stderr sft --epochs 1 --rejects rejects in.jsonl
		[[ $stderr =~ ^mr-sft:\ in.jsonl:1:\ .*$pattern ]] || { echo "$record: $stderr"; return 1; }
		[ "${#stderr_lines[@]}" -eq 1 ]
		cmp bad.jsonl rejects
		rm out.gguf
		run -3 sft bad.jsonl
		[ ! -e out.gguf ]
		n=$((n + 1))
	done < <(bad_demos)
	[ "$n" -eq 10 ]
}

@test "weights that are not finite: the record is named, nothing is written" {
	demos 2 >in.jsonl
	"$B/helper/mktiny" bad.gguf 1 F32
	# a NaN in front of the last tensor, which is a vector of 64
	printf '\000\000\300\177' | dd of=bad.gguf bs=1 seek=$(($(stat -c %s bad.gguf) - 4 - 64 * 4)) conv=notrunc status=none
	run -3 sft -m bad.gguf --no-shuffle in.jsonl
	assert_output --partial 'the loss of record d0 is not finite; no model was written'
	[ -z "$(find . -name 'out.gguf*')" ]
}

@test "--help and the manual have the same options" {
	same_options mr-sft
}

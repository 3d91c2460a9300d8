#!/usr/bin/env bats
# mr-dpo, as a user runs it, on the tiny model.

load helper

dpo() {
	mr-dpo -q -o out.gguf "$@"
}

@test "a line of log for each step, with TRL's keys" {
	pairs 5 >in.jsonl
	dpo --batch 2 --epochs 2 in.jsonl >log
	[ "$(wc -l <log)" -eq 6 ]
	all log 'keys_unsorted == ["step", "epoch", "loss", "rewards/chosen", "rewards/rejected", "rewards/margins",
		"rewards/accuracies", "logps/chosen", "logps/rejected", "num_tokens", "grad_norm", "learning_rate"]'
	all log 'all(.[]; type == "number")'
	[ "$(jq -c '[.step, .epoch * 3 | round]' log | tr -d '\n')" = '[1,1][2,2][3,3][4,4][5,5][6,6]' ]
	all log '."rewards/margins" as $m | (."rewards/chosen" - ."rewards/rejected" - $m | fabs) < 1e-9'
}

@test "the first step's loss is log 2, before anything has changed" {
	pairs 3 >in.jsonl
	dpo in.jsonl >log
	[ "$(jq '.loss * 1e6 | round' log)" -eq 693147 ]
	all log '."rewards/chosen" == 0 and ."rewards/rejected" == 0 and ."rewards/accuracies" == 0 and .grad_norm > 0'
}

@test "overfitting: 8 pairs, 30 steps, accuracy 1 and a growing margin" {
	pairs 8 >in.jsonl
	dpo --batch 8 --epochs 30 --lr 1e-4 in.jsonl >log
	[ "$(wc -l <log)" -eq 30 ]
	jq -se --exit-status '.[29]."rewards/accuracies" == 1 and .[29].loss < 0.05 and
		(map(."rewards/margins") | .[29] > .[20] and .[20] > .[10] and .[10] > .[2] and .[2] > .[0])' log
}

@test "the same seed gives the same bytes for any number of threads" {
	pairs 7 >in.jsonl
	for t in 1 2 3; do
		mr-dpo -q -t $t --seed 5 --batch 3 --epochs 2 --lr 1e-3 -o "t$t.gguf" in.jsonl >"log$t"
	done
	cmp t1.gguf t2.gguf && cmp t1.gguf t3.gguf
	cmp log1 log2 && cmp log1 log3
	# the seed draws the order, another order gives another model
	mr-dpo -q --seed 6 --batch 3 --epochs 2 --lr 1e-3 -o other.gguf in.jsonl >other
	run ! cmp -s t1.gguf other.gguf
}

@test "--no-shuffle keeps the order; without it each epoch has one of its own" {
	pairs 6 >in.jsonl
	# with a learning rate of 0 a step's log-probabilities tell which pair it took
	dpo --no-shuffle --batch 1 --epochs 2 --lr 0 in.jsonl | jq '."logps/chosen"' >straight
	cmp <(head -n 6 straight) <(tail -n 6 straight)
	dpo --batch 1 --epochs 2 --lr 0 in.jsonl | jq '."logps/chosen"' >shuffled
	run ! cmp -s <(head -n 6 shuffled) <(tail -n 6 shuffled)
	cmp <(head -n 6 shuffled | sort) <(tail -n 6 shuffled | sort)
	cmp <(sort straight) <(sort shuffled)
	run ! cmp -s straight shuffled
}

@test "a last, smaller batch is a step of its own, with the mean over its pairs" {
	pairs 5 >in.jsonl
	dpo --no-shuffle --batch 2 --lr 0 in.jsonl >log
	[ "$(wc -l <log)" -eq 3 ]
	tail -n 1 in.jsonl | dpo --lr 0 >alone
	[ "$(jq '."logps/chosen"' alone)" = "$(tail -n 1 log | jq '."logps/chosen"')" ]
	[ "$(jq .grad_norm alone)" = "$(tail -n 1 log | jq .grad_norm)" ]
}

@test "--pack changes the last digits only" {
	pairs 8 >in.jsonl
	local n
	for n in 1 200 100000; do
		mr-dpo -q --batch 8 --epochs 5 --lr 1e-3 --pack $n -o out.gguf in.jsonl >"log$n"
		# the first step is exactly the reference, however it was packed
		[ "$(head -n 1 "log$n" | jq '."rewards/margins"')" = 0 ]
	done
	run ! cmp -s log1 log100000
	jq -se --slurpfile one log1 --slurpfile some log200 'to_entries | all(.[];
		($one[.key].loss / .value.loss - 1 | fabs) < 1e-5 and ($some[.key].loss / .value.loss - 1 | fabs) < 1e-5 and
		($one[.key].grad_norm / .value.grad_norm - 1 | fabs) < 1e-4)' log100000
}

@test "the learning rate follows the schedule" {
	pairs 8 >in.jsonl
	dpo --batch 1 --lr 1e-4 --schedule constant in.jsonl | jq .learning_rate | sort -u >rate
	[ "$(cat rate)" = 0.0001 ]
	dpo --batch 1 --lr 1e-4 --schedule linear --warmup 4 in.jsonl | jq '.learning_rate * 1e6 | round' | tr '\n' ' ' >rate
	[ "$(cat rate)" = '0 25 50 75 100 75 50 25 ' ]
	dpo --batch 1 --lr 1e-4 in.jsonl | jq '.learning_rate * 1e6 | round' | tr '\n' ' ' >rate
	[ "$(cat rate)" = '100 96 85 69 50 31 15 4 ' ]
}

@test "texts in place of messages, fields that are not known, no id" {
	pairs 4 >in.jsonl
	jq -c '{extra: {a: 1}, prompt: .prompt[0].content, chosen: .chosen[0].content, rejected: .rejected[0].content}' \
		in.jsonl >texts.jsonl
	dpo --no-shuffle --lr 1e-3 in.jsonl >log
	mr-dpo -q --no-shuffle --lr 1e-3 -o texts.gguf texts.jsonl >log2
	cmp log log2 && cmp out.gguf texts.gguf
	# an actor's and a judge's pair may have one id
	jq -c '.id = "same"' in.jsonl | dpo --no-shuffle --lr 1e-3 >log2
	cmp log log2
}

@test "the trained model loads, and each --type holds the weights" {
	pairs 4 >in.jsonl
	local type
	for type in F32 F16 BF16 Q8_0; do
		mr-dpo -q --lr 1e-3 --type $type -o $type.gguf in.jsonl >/dev/null
		mr-model check $type.gguf
		echo '{"id":"a","prompt":"Say hello."}' | mr-sample -q -m $type.gguf -n 1 --max-tokens 4 | jq -e '.responses[0].text'
		"$B/helper/tensor-norms" $type.gguf >$type.norms
	done
	[ "$(stat -c %s Q8_0.gguf)" -lt "$(stat -c %s F16.gguf)" ]
	[ "$(stat -c %s F16.gguf)" -lt "$(stat -c %s F32.gguf)" ]
	# trained: not the tensors it started from
	"$B/helper/tensor-norms" "$TINY" >start.norms
	run ! cmp -s start.norms F32.norms
	for type in F16 BF16 Q8_0; do
		join <(sort F32.norms) <(sort $type.norms) |
			awk '{ d = $4 / $2 - 1; if (d > 4e-3 || d < -4e-3) bad = 1 } END { exit bad || NR < 10 }'
	done
}

@test "a run with learning rate 0 gives the weights that came in" {
	pairs 2 >in.jsonl
	dpo --lr 0 in.jsonl >/dev/null
	cmp <("$B/helper/tensor-norms" "$TINY") <("$B/helper/tensor-norms" out.gguf)
}

@test "the manifest tells how the model was made" {
	pairs 3 >in.jsonl
	dpo --batch 2 --seed 9 in.jsonl >/dev/null
	jq -e --exit-status --arg model "$(sha256sum <"$TINY" | cut -d ' ' -f 1)" \
		--arg in "$(sha256sum <in.jsonl | cut -d ' ' -f 1)" --arg out "$(sha256sum <out.gguf | cut -d ' ' -f 1)" '
		.tool == "mr-dpo" and .options.seed == 9 and .options.beta == 0.1 and .model.sha256 == $model and
		.input.sha256 == $in and .output.sha256 == $out and .training.batch == 2 and .training.steps == 2' \
		out.gguf.manifest.json
	dpo --manifest how.json in.jsonl >/dev/null
	jq -e .output.sha256 how.json
}

# what is wrong | pattern | record
bad_pairs() {
	cat <<-'EOF'
	"prompt" is missing|{"id":"x","chosen":"a","rejected":"b"}
	"chosen" is missing|{"id":"x","prompt":"p","rejected":"b"}
	"rejected" is missing|{"id":"x","prompt":"p","chosen":"a"}
	"prompt" is neither|{"id":"x","prompt":7,"chosen":"a","rejected":"b"}
	"prompt" is neither|{"id":"x","prompt":[],"chosen":"a","rejected":"b"}
	"prompt\[0\]" is not a message|{"id":"x","prompt":["hello"],"chosen":"a","rejected":"b"}
	the last message of "prompt"|{"id":"x","prompt":[{"role":"user","content":"p"},{"role":"assistant","content":"q"}],"chosen":"a","rejected":"b"}
	"chosen" is not one message of the assistant|{"id":"x","prompt":"p","chosen":[{"role":"user","content":"a"}],"rejected":"b"}
	"chosen" is not one message of the assistant|{"id":"x","prompt":"p","chosen":[{"role":"assistant","content":"a"},{"role":"assistant","content":"b"}],"rejected":"b"}
	role|{"id":"x","prompt":[{"role":"wizard","content":"p"}],"chosen":"a","rejected":"b"}
	"content"|{"id":"x","prompt":[{"role":"user"}],"chosen":"a","rejected":"b"}
	U\+0000|{"id":"x","prompt":"p","chosen":"a\u0000b","rejected":"b"}
	not JSON|{"id":"x","prompt":
	EOF
}

@test "an empty response is one: its turn ends at once" {
	echo '{"id":"x","prompt":"p","chosen":"","rejected":[{"role":"assistant","content":"b"}]}' >in.jsonl
	echo '{"id":"y","prompt":"p","chosen":"b","rejected":""}' >>in.jsonl
	dpo --batch 1 --no-shuffle in.jsonl >log
	jq -se --exit-status 'length == 2 and .[0]["logps/chosen"] < 0' log
	# both texts are on both sides: the means agree
	dpo --batch 2 --lr 0 in.jsonl >log
	jq -se --exit-status '(.[0]["logps/chosen"] - .[0]["logps/rejected"] | fabs) < 1e-4' log
}

@test "a bad pair is reported with file and line, and the others are trained on" {
	local pattern record n=0
	while IFS='|' read -r pattern record; do
		printf '%s\n' "$record" >bad.jsonl
		{ cat bad.jsonl; pairs 1; } >in.jsonl
		run -2 --separate-stderr dpo --rejects rejects in.jsonl
		[[ $stderr =~ ^mr-dpo:\ in.jsonl:1:\ .*$pattern ]] || { echo "$record: $stderr"; return 1; }
		[ "${#stderr_lines[@]}" -eq 1 ]
		[ "${#lines[@]}" -eq 1 ]
		cmp bad.jsonl rejects
		rm out.gguf
		# alone: nothing could be done, nothing is written
		run -3 dpo bad.jsonl
		[ ! -e out.gguf ]
		n=$((n + 1))
	done < <(bad_pairs)
	[ "$n" -eq 13 ]
}

@test "--max-length leaves longer pairs out and counts them; the context cannot be passed" {
	pairs 3 >in.jsonl
	jq -nc '{id: "long", prompt: "p", chosen: ("word " * 300), rejected: "b"}' >>in.jsonl
	mr-dpo --max-length 300 -o out.gguf in.jsonl >log 2>told
	grep -q '1 longer than --max-length' told
	jq -e '.training.left_out == 1 and .training.pairs == 3' out.gguf.manifest.json
	run -3 dpo --max-length 10 in.jsonl
	assert_output --partial 'no pairs are left: 4 longer than --max-length 10'
	# it is the prompt and the longer of the two, not their sum
	tail -n 1 in.jsonl | dpo --max-length 1000 >/dev/null

	jq -nc '{id: "huge", prompt: ("word " * 4000), chosen: "a", rejected: "b"}' >>in.jsonl
	run -2 dpo in.jsonl
	assert_output --partial "in.jsonl:5: "
	assert_output --partial "more than the model's context of"
}

@test "misuse is status 1, with one line and the usage" {
	pairs 1 >in.jsonl
	run -1 mr-dpo in.jsonl
	assert_output --partial '-o FILE is needed'
	run -1 mr-dpo -o - in.jsonl
	assert_output --partial '-o FILE is needed'
	run -1 dpo --type Q4_K in.jsonl
	assert_output --partial '--type: "Q4_K" is none of F32, F16, BF16, Q8_0'
	run -1 dpo --schedule sine in.jsonl
	assert_output --partial '--schedule: "sine" is none of'
	run -1 dpo --batch 0 in.jsonl
	run -1 dpo --epochs x in.jsonl
	run -1 dpo --beta 0 in.jsonl
	[ ! -e out.gguf ]
}

@test "no input, no model, no place for the output: status 3 and nothing written" {
	: >empty.jsonl
	pairs 1 >in.jsonl
	run -3 dpo empty.jsonl
	assert_output --partial 'empty.jsonl: there are no records in it'
	run -3 dpo absent.jsonl
	assert_output --partial 'absent.jsonl: '
	run -3 dpo -m absent.gguf in.jsonl
	assert_output --partial 'absent.gguf: '
	mkdir folder
	run -3 --separate-stderr mr-dpo -q -o folder in.jsonl
	[ -z "$output" ] && [[ $stderr =~ folder ]]
	run -3 --separate-stderr mr-dpo -q -o no/such/place.gguf in.jsonl
	[ -z "$output" ] && [[ $stderr =~ no/such/place.gguf ]]
	[ -z "$(ls -A folder)" ]
	[ ! -e out.gguf ]
}

@test "a log that cannot be written ends the run, and no model is left" {
	[ -w /dev/full ] || skip "no /dev/full"
	pairs 2 >in.jsonl
	run -3 bash -c 'mr-dpo -q -o out.gguf in.jsonl >/dev/full'
	assert_output --partial 'No space left on device'
	run -3 bash -c 'set -o pipefail; mr-dpo -q --epochs 50 -o out.gguf in.jsonl 2>line | head -n 1 >first; s=$?; cat line; exit $s'
	assert_output --partial 'closed'
	[ -z "$(find . -name 'out.gguf*')" ]
}

@test "weights that are not finite: the record is named, nothing is written" {
	pairs 2 >in.jsonl
	"$B/helper/mktiny" bad.gguf 1 F32
	# a NaN in front of the last tensor, which is a vector of 64
	printf '\000\000\300\177' | dd of=bad.gguf bs=1 seek=$(($(stat -c %s bad.gguf) - 4 - 64 * 4)) conv=notrunc status=none
	run -3 dpo -m bad.gguf in.jsonl
	assert_output --partial 'record p0 are not finite'
	[ -z "$(find . -name 'out.gguf*')" ]
}

@test "a run that is told to stop ends, and leaves no file" {
	pairs 4 >in.jsonl
	mr-dpo --batch 1 --epochs 100000 -o out.gguf in.jsonl >log 2>told &
	local pid=$! rc=0
	for _ in $(seq 200); do
		[ -s log ] && break
		sleep 0.05
	done
	kill -TERM $pid
	wait $pid || rc=$?
	[ "$rc" -eq 143 ]
	grep -q '^mr-dpo: stopped by ' told
	[ -z "$(find . -name 'out.gguf*')" ]
	# whole lines only
	jq -e .step log >/dev/null && [ -z "$(tail -c 1 log | tr -d '\n')" ]
}

@test "--help and the manual have the same options" {
	same_options mr-dpo
}

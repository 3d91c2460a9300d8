#!/usr/bin/env bats
# What mr-dpo and mr-sft do over a whole run: losses, validation, checkpoints.

load helper

dpo() {
	mr-dpo -q -o out.gguf "$@"
}

# about A B: they differ by no more than a millionth.
about() {
	jq -n --argjson a "$1" --argjson b "$2" -e '($a - $b | fabs) <= 1e-6 * ($b | fabs) + 1e-9' >/dev/null ||
		{ echo "$1 is not $2"; return 1; }
}

@test "--loss: each form's loss in the first step, and its numbers from the log-ratios afterwards" {
	pairs 0 3 >in.jsonl
	dpo --beta 0.2 --loss ipo in.jsonl >log
	about "$(jq .loss log)" 6.25                    # (0 - 1 / 0.4)^2
	dpo --loss norm-sigmoid --label-smoothing 0.2 in.jsonl >log
	about "$(jq .loss log)" 0.6931471805599453
	dpo --loss sigmoid --batch 1 --label-smoothing 0.2 --lr 1e-3 --no-shuffle in.jsonl >log
	# -0.8 log sigma(m) - 0.2 log sigma(-m)
	all log '."rewards/margins" as $m | (0.8 * (1 + (-$m | exp) | log) + 0.2 * (1 + ($m | exp) | log) - .loss | fabs) < 1e-9'
	dpo --loss ipo --batch 1 --beta 0.5 --lr 1e-4 --no-shuffle in.jsonl >log
	all log '(((."rewards/margins" / 0.5) - 1) | . * .) - .loss | fabs < 1e-9'
	# over a token, the same ratios are smaller rewards
	dpo --loss norm-sigmoid --batch 1 --lr 1e-4 --no-shuffle in.jsonl >log
	all log '."rewards/margins" as $m | ((1 + (-$m | exp) | log) - .loss | fabs) < 1e-9'
	for form in sigmoid ipo norm-sigmoid; do
		dpo --loss $form --epochs 20 --lr 1e-3 in.jsonl >log
		jq -se '.[-1].loss < .[0].loss and .[-1]["rewards/margins"] > 0' log
	done
}

@test "--nll-weight adds the chosen's negative log-likelihood a token" {
	pairs 0 4 >in.jsonl
	jq -c '{prompt, completion: .chosen}' in.jsonl >demos.jsonl
	mr-sft -q --epochs 1 --batch 4 --lr 0 -o sft.gguf demos.jsonl >sft.log
	dpo --lr 0 --nll-weight 0.5 in.jsonl >log
	about "$(jq .nll_loss log)" "$(jq .loss sft.log)"
	about "$(jq .loss log)" "$(jq '.loss * 0.5 + 0.6931471805599453' sft.log)"
	# the sum of both gradients' parts: with a large weight it is the demonstrations' gradient
	dpo --lr 0 --nll-weight 1e5 in.jsonl >log
	jq -n --argjson a "$(jq '.grad_norm / 1e5' log)" --argjson b "$(jq .grad_norm sft.log)" -e '($a / $b - 1 | fabs) < 1e-3'
}

@test "--micro-batch and --pack change the last digits only" {
	pairs 0 12 >in.jsonl
	local n
	for n in 0 1 3 5; do
		dpo --batch 6 --epochs 3 --lr 1e-3 --micro-batch $n --nll-weight 0.1 in.jsonl >"log$n"
	done
	for n in 1 3 5; do
		jq -se --slurpfile all log0 'length == 6 and (to_entries | all(.[]; ($all[.key].loss / .value.loss - 1 | fabs) < 1e-5))' "log$n"
	done
}

@test "actor's and judge's pairs together: the metrics of each beside the whole" {
	{ pairs 0 3 actor; pairs 3 5 judge; } >in.jsonl
	dpo --batch 5 --epochs 2 --lr 1e-3 --eval in.jsonl in.jsonl >log
	all log 'has("eval_loss") or (."actor/pairs" == 3 and ."judge/pairs" == 2)'
	all log 'has("eval_loss") or (((."actor/loss" * 3 + ."judge/loss" * 2) / 5 - .loss | fabs) < 1e-9)'
	all log 'has("loss") or (((."eval_actor/rewards/margins" * 3 + ."eval_judge/rewards/margins" * 2) / 5 -
		."eval_rewards/margins" | fabs) < 1e-9)'
	# a batch without one of them
	dpo --batch 1 --no-shuffle in.jsonl >log
	jq -se '.[0]."judge/pairs" == 0 and .[0]."judge/loss" == null and .[0]."actor/loss" == .[0].loss' log
	# one role alone: nothing is told apart
	pairs 0 3 | dpo >log
	all log 'has("actor/loss") | not'
}

@test "--eval: the validation set at each epoch's end, or each N steps, and at the end" {
	pairs 0 4 >in.jsonl
	pairs 4 7 >eval.jsonl
	dpo --batch 2 --epochs 2 --lr 1e-3 --eval eval.jsonl in.jsonl >log
	[ "$(jq -c 'if has("eval_loss") then "e\(.step)" else .step end' log | tr -d '"\n')" = 12e234e4 ]
	jq -c 'select(has("eval_loss"))' log >evals
	all evals 'keys_unsorted == ["step", "epoch", "eval_loss", "eval_rewards/chosen", "eval_rewards/rejected",
		"eval_rewards/margins", "eval_rewards/accuracies", "eval_logps/chosen", "eval_logps/rejected"]'
	all evals '."eval_rewards/margins" > 0'
	dpo --batch 1 --eval-every 3 --eval eval.jsonl in.jsonl >log
	[ "$(jq -c 'select(has("eval_loss")).step' log | tr -d '\n')" = 34 ]
	# it is the loss of the model, as a run over the same pairs finds it
	mr-sft -q --batch 1 --epochs 1 --lr 1e-3 -o sft.gguf --eval <(jq -c '{prompt, completion: .chosen}' eval.jsonl) \
		<(jq -c '{prompt, completion: .chosen}' in.jsonl) >log
	jq -c '{prompt, completion: .chosen}' eval.jsonl | mr-sft -q -m sft.gguf --batch 3 --epochs 1 --lr 0 -o again.gguf >again
	about "$(jq 'select(has("eval_loss")).eval_loss' log)" "$(jq .loss again)"
}

@test "--best: the weights of the best step are what is written; --patience ends the run" {
	pairs 0 2 >in.jsonl
	# what is preferred here is rejected there: the first look is the best
	jq -c '{id, prompt, chosen: .rejected, rejected: .chosen}' in.jsonl >eval.jsonl
	mr-dpo --batch 2 --epochs 6 --lr 1e-3 --schedule constant --eval eval.jsonl -o best.gguf in.jsonl >log 2>told
	[ "$(jq -c 'select(has("eval_loss"))' log | wc -l)" -eq 6 ]
	grep -q 'the model is that of step 1, the best by loss' told
	jq -e '.training.eval.step == 1 and .training.eval.best == "loss" and .training.steps == 6' best.gguf.manifest.json
	mr-dpo -q --batch 2 --epochs 1 --lr 1e-3 --schedule constant -o one.gguf in.jsonl >/dev/null
	cmp best.gguf one.gguf
	mr-dpo -q --batch 2 --epochs 6 --lr 1e-3 --schedule constant --eval eval.jsonl --best last -o last.gguf in.jsonl >/dev/null
	mr-dpo -q --batch 2 --epochs 6 --lr 1e-3 --schedule constant -o plain.gguf in.jsonl >/dev/null
	cmp last.gguf plain.gguf
	run ! cmp -s best.gguf last.gguf
	mr-dpo --batch 2 --epochs 6 --lr 1e-3 --schedule constant --eval eval.jsonl --best margin --patience 2 -o p.gguf \
		in.jsonl >log 2>told
	[ "$(jq -s 'map(.step) | max' log)" -eq 3 ]
	cmp p.gguf one.gguf
	grep -q 'patience' told
}

@test "limits: what is left out of both sets is counted" {
	pairs 0 3 >in.jsonl
	jq -nc '{id: "long", prompt: ("word " * 200), chosen: "a", rejected: "b"}' >long.jsonl
	jq -nc '{id: "answer", prompt: "p", chosen: ("word " * 300), rejected: "b"}' >answer.jsonl
	mr-dpo --max-prompt-length 100 --max-length 250 --eval <(cat in.jsonl long.jsonl) -o out.gguf in.jsonl long.jsonl \
		answer.jsonl >log 2>told
	grep -q '1 longer than --max-length left out, 1 with a prompt longer than --max-prompt-length left out' told
	grep -q '1 too long left out of --eval' told
	jq -e '.training.left_out == 1 and .training.left_out_prompts == 1 and .training.eval.left_out == 1 and
		.training.pairs == 3' out.gguf.manifest.json
}

@test "a bad record of --eval ends the run with file and line" {
	pairs 0 2 >in.jsonl
	{ pairs 0 1; echo '{"prompt":"p","chosen":"a"}'; } >eval.jsonl
	run -3 dpo --eval eval.jsonl in.jsonl
	assert_output 'mr-dpo: eval.jsonl:2: "rejected" is missing'
	: >empty.jsonl
	run -3 dpo --eval empty.jsonl in.jsonl
	assert_output --partial 'empty.jsonl: no pairs are left to validate with'
	run -3 dpo --eval absent.jsonl in.jsonl
	assert_output --partial 'absent.jsonl'
}

@test "misuse of the options is status 1" {
	pairs 0 1 >in.jsonl
	run -1 dpo --loss hinge in.jsonl
	assert_output --partial '--loss: "hinge" is none of sigmoid, ipo, norm-sigmoid'
	run -1 dpo --loss ipo --label-smoothing 0.1 in.jsonl
	run -1 dpo --label-smoothing 0.5 in.jsonl
	run -1 dpo --best first in.jsonl
	run -1 dpo --patience 2 in.jsonl
	run -1 dpo --resume in.jsonl
	assert_output --partial '--resume needs --checkpoint DIR'
	run -1 dpo --checkpoint-every 2 in.jsonl
	run -1 mr-sft -q -o out.gguf --best margin in.jsonl
	[ ! -e out.gguf ]
}

# undisturbed ARGUMENT...: the run that others must end like; sets $seconds to
# what it took.
undisturbed() {
	local started
	started=$(date +%s%N)
	dpo "$@" >whole.log
	seconds=$(($(date +%s%N) - started))
	mv out.gguf whole.gguf
	mv out.gguf.manifest.json whole.json
}

@test "kill -9 at ten random moments of a run of 12 steps: resumed, it ends with the same bytes" {
	pairs 0 12 >in.jsonl
	pairs 12 15 >eval.jsonl
	local run=(--batch 3 --epochs 3 --lr 1e-3 --seed 3 --eval eval.jsonl --eval-every 2 in.jsonl) i pid killed=0 seconds
	undisturbed "${run[@]}"
	[ "$(jq -c 'select(has("loss"))' whole.log | wc -l)" -eq 12 ]
	for i in 1 2 3 4 5 6 7 8 9 10; do
		mr-dpo -q -o out.gguf --checkpoint dir --checkpoint-every 1 --resume "${run[@]}" >"log$i" 2>told &
		pid=$!
		sleep "$(awk -v s=$seconds -v r=$RANDOM 'BEGIN { printf "%.3f", s / 1e9 * (0.2 + 0.8 * r / 32768) }')"
		if kill -9 $pid 2>/dev/null; then killed=$((killed + 1)); fi
		wait $pid || true
		# what was printed is how the whole log begins
		cmp -n "$(stat -c %s "log$i")" "log$i" whole.log
	done
	dpo --checkpoint dir --checkpoint-every 1 --resume "${run[@]}" >last.log
	cmp last.log whole.log
	cmp out.gguf whole.gguf
	cmp out.gguf.manifest.json whole.json
	[ "$killed" -gt 0 ]
	# nothing to go on from is left, the reference is
	[ "$(ls dir)" = reference.jsonl ]
}

# killed_behind_each_step OPTION...: what the run ends with is the same.
killed_behind_each_step() {
	pairs 0 6 >in.jsonl
	local run=(--batch 2 --epochs 2 --lr 1e-3 "$@" in.jsonl) step
	undisturbed "${run[@]}"
	mkfifo log
	for step in 1 2 3 4 5; do
		rm -rf dir
		mr-dpo -q -o out.gguf --checkpoint dir --checkpoint-every 1 "${run[@]}" >log 2>/dev/null &
		# a reader that goes away behind this step ends the run there
		head -n $step <log >seen
		wait $! || true
		if [ -e dir/checkpoint ]; then
			dpo --checkpoint dir --checkpoint-every 1 --resume "${run[@]}" >last.log
			cmp last.log whole.log
			cmp out.gguf whole.gguf
		fi
	done
}

@test "killed behind each step in turn" {
	killed_behind_each_step
}

@test "killed behind each step in turn, with adapters" {
	killed_behind_each_step --lora-rank 4 --eval in.jsonl --eval-every 2
}

@test "mr-sft goes on from a checkpoint too; a signal leaves one" {
	jq -nc 'range(6) | {id: "d\(.)", prompt: "What goes with \(.)?", completion: "With \(.) goes a long answer."}' >in.jsonl
	local run=(--batch 2 --epochs 400 --lr 1e-4 in.jsonl) rc=0
	mr-sft -o out.gguf --checkpoint dir "${run[@]}" >log 2>told &
	for _ in $(seq 200); do [ -s log ] && break; sleep 0.02; done
	kill -TERM $!
	wait $! || rc=$?
	[ "$rc" -eq 143 ]
	grep -q -- 'is the checkpoint.s; --resume goes on from it' told
	[ -e dir/checkpoint ] && [ ! -e out.gguf ]
	mr-sft -q -o out.gguf --checkpoint dir --resume "${run[@]}" >last.log
	mr-sft -q -o whole.gguf "${run[@]}" >whole.log
	cmp last.log whole.log && cmp out.gguf whole.gguf
	cmp -n "$(stat -c %s log)" log whole.log
}

# leave_checkpoint ARGUMENT...: a run that ended behind a step, with its checkpoint in dir.
leave_checkpoint() {
	local pid
	mr-dpo -q -o out.gguf --checkpoint dir --checkpoint-every 1 --epochs 1000 "$@" >left.log &
	pid=$!
	for _ in $(seq 200); do [ -e dir/checkpoint ] && break; sleep 0.02; done
	kill -TERM $pid
	wait $pid 2>/dev/null || true
	[ -e dir/checkpoint ]
}

@test "a checkpoint of other settings, another model or other data is refused" {
	pairs 0 4 >in.jsonl
	leave_checkpoint --lr 1e-3 in.jsonl 2>/dev/null
	local again=(--checkpoint dir --epochs 1000 --lr 1e-3)
	run -3 dpo "${again[@]}" in.jsonl
	assert_output --regexp 'dir/checkpoint: there is a checkpoint, of step [0-9]+; --resume goes on from it, or remove it'
	run -3 dpo "${again[@]}" --resume --beta 0.2 in.jsonl
	assert_output 'mr-dpo: dir/checkpoint: is of a run with other settings: --beta was 0.1, and is 0.2 now'
	pairs 0 5 >other.jsonl
	run -3 dpo "${again[@]}" --resume other.jsonl
	assert_output --partial 'dir/checkpoint: is of a run with other data'
	"$B/helper/mktiny" other.gguf 2
	run -3 dpo "${again[@]}" --resume -m other.gguf in.jsonl
	assert_output 'mr-dpo: dir/checkpoint: is of a run with another model'
	run -3 dpo "${again[@]}" --resume --eval in.jsonl in.jsonl
	assert_output --partial 'another validation set'
	# damaged ones
	cp dir/checkpoint good
	printf 'x' | dd of=dir/checkpoint bs=1 seek=$(($(stat -c %s good) / 2)) conv=notrunc status=none
	run -3 dpo "${again[@]}" --resume in.jsonl
	assert_output --partial 'dir/checkpoint: is damaged'
	head -c 100000 good >dir/checkpoint
	run -3 dpo "${again[@]}" --resume in.jsonl
	assert_output --partial 'dir/checkpoint: ends too early'
	head -c 1000 in.jsonl >dir/checkpoint
	run -3 dpo "${again[@]}" --resume in.jsonl
	assert_output --partial 'dir/checkpoint: is no checkpoint'
	[ ! -e out.gguf ]
}

@test "the reference is computed once, kept, and checked against model and data" {
	pairs 0 4 >in.jsonl
	dpo --batch 2 --checkpoint dir in.jsonl >log
	[ "$(wc -l <dir/reference.jsonl)" -eq 5 ]
	# the numbers that the log gives of the first step
	about "$(tail -n +2 dir/reference.jsonl | jq -s 'map(.[0]) | add / 4')" "$(dpo --lr 0 in.jsonl | jq '."logps/chosen"')"
	# it is read: other numbers in it are another first loss
	sed -i '2,$s/.*/[-1,-2]/' dir/reference.jsonl
	dpo --batch 2 --checkpoint dir in.jsonl >other.log
	run ! cmp -s log other.log
	# another order of the pairs: computed anew
	dpo --batch 4 --checkpoint dir in.jsonl >log
	about "$(jq .loss log)" 0.6931471805599453
	pairs 1 5 >other.jsonl
	run -3 dpo --batch 4 --checkpoint dir other.jsonl
	assert_output 'mr-dpo: dir/reference.jsonl: was made with another set of pairs; remove it, or name another folder'
	"$B/helper/mktiny" other.gguf 2
	run -3 dpo --batch 4 --checkpoint dir -m other.gguf in.jsonl
	assert_output 'mr-dpo: dir/reference.jsonl: was made with another model; remove it, or name another folder'
}

@test "one run at a time in a folder" {
	pairs 0 4 >in.jsonl
	mkdir dir
	exec 8<dir
	flock -x 8
	run -3 dpo --checkpoint dir in.jsonl
	assert_output 'mr-dpo: dir: another run is using this folder'
	exec 8<&-
	: >dir/checkpoint.part-1
	dpo --checkpoint dir in.jsonl >/dev/null
	[ "$(ls dir)" = reference.jsonl ]
}

@test "a full disk: one line, the last checkpoint is kept and is good" {
	pairs 0 4 >in.jsonl
	local run=(--batch 2 --epochs 3 --lr 1e-3 in.jsonl) size
	undisturbed "${run[@]}"
	leave_checkpoint --batch 2 --lr 1e-3 in.jsonl 2>/dev/null
	rm -rf dir
	# the model does not fit: the checkpoint of the last step does not either, so none but a line is left
	size=$(($(stat -c %s whole.gguf) / 1024))
	run -3 bash -c "trap '' XFSZ; ulimit -f $((size / 2)); mr-dpo -q -o out.gguf --checkpoint dir ${run[*]} >log"
	assert_output --partial 'dir/checkpoint: cannot write: File too large; no model was written'
	[ "$(ls dir)" = reference.jsonl ]
	# there is room for the checkpoint and none for the model's folder
	mkdir full
	run -3 bash -c "mr-dpo -q -o full/out.gguf --checkpoint dir ${run[*]} | { head -n 1 >first; rm -rf full; cat >rest; }; exit \${PIPESTATUS[0]}"
	assert_output --partial 'the checkpoint of step 6 is kept, --resume goes on from it'
	dpo --checkpoint dir --resume "${run[@]}" >last.log
	cmp last.log whole.log && cmp out.gguf whole.gguf
}

@test "a step that explodes: its records are named, the checkpoint before it is kept" {
	pairs 0 8 >in.jsonl
	jq -nc '{id: "large", prompt: "p", chosen: ("answer " * 300), rejected: "No."}' >>in.jsonl
	local run=(--no-shuffle --batch 1 --lr 1e-6 --checkpoint dir --checkpoint-every 1 in.jsonl)
	run -3 dpo --explode 1.5 "${run[@]}"
	assert_output --regexp 'step 9 explodes: its gradient.s norm is .*, the mean of those before .*; its 1 record: large; no model was written; the checkpoint of step 8 is kept'
	[ -e dir/checkpoint ] && [ ! -e out.gguf ]
	rm -r dir
	dpo --explode 0 "${run[@]}" >log
	[ "$(wc -l <log)" -eq 9 ]
	jq -se '.[8].grad_norm > 1.5 * (.[:8] | map(.grad_norm) | add / 8)' log
}

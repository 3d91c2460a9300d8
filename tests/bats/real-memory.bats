#!/usr/bin/env bats
# Memory, on the real model: what processes share, and what --kv-mem bounds.

load helper

# mapped PID FIELD: kB of the model's mapping in a process.
mapped() {
	awk -v model="$(realpath "$REAL_MODEL")" -v field="$2:" '
		/^[0-9a-f]+-[0-9a-f]+ / { ours = index($0, model) }
		ours && $1 == field { kb += $2 }
		END { print kb + 0 }' "/proc/$1/smaps"
}

# Two of them, at work on more than they will get done.
start_two() {
	prompts 40 >prompts.jsonl
	pids=()
	for seed in 1 2; do
		mr-sample -q -m "$REAL_MODEL" -n 7 -t 1 --seed "$seed" prompts.jsonl >"$seed.jsonl" 2>/dev/null 3>&- &
		pids+=($!)
	done
}

teardown() {
	[ -z "${pids[*]:-}" ] || kill -KILL "${pids[@]}" 2>/dev/null || true
}

@test "two processes share the model's weights" {
	needs_real_model
	[ -r /proc/self/smaps ] || skip "there is no /proc/PID/smaps"
	size=$(($(stat -L -c %s "$REAL_MODEL") / 1024))
	start_two
	for _ in $(seq 300); do     # until both have read most of it
		rss1=$(mapped "${pids[0]}" Rss) rss2=$(mapped "${pids[1]}" Rss)
		((rss1 > size * 9 / 10 && rss2 > size * 9 / 10)) && break
		sleep 0.2
	done
	pss1=$(mapped "${pids[0]}" Pss) pss2=$(mapped "${pids[1]}" Pss)
	private=$(mapped "${pids[0]}" Private_Dirty)
	kill -0 "${pids[@]}"
	echo "file $size kB; resident $rss1 and $rss2, their share $pss1 and $pss2, written to $private"
	((rss1 > size * 9 / 10 && rss2 > size * 9 / 10))
	((pss1 < size * 6 / 10 && pss2 < size * 6 / 10))
	((private == 0))
}

# peak FILE COMMAND...: the largest anonymous memory seen, in kB, into FILE.
peak() {
	local file=$1 most=0 now pid
	shift
	"$@" 3>&- &
	pid=$!
	pids=("$pid")
	while now=$(awk '$1 == "RssAnon:" { print $2 }' "/proc/$pid/status" 2>/dev/null) && [ -n "$now" ]; do
		((now > most)) && most=$now
		sleep 0.02
	done
	wait "$pid"
	echo "$most" >"$file"
}

@test "--kv-mem bounds the memory for keys and values" {
	needs_real_model
	[ -r /proc/self/status ] || skip "there is no /proc/PID/status"
	prompts 8 >prompts.jsonl
	run_with() {
		peak "$1.kb" mr-sample -q -m "$REAL_MODEL" -n 8 --batch 64 --max-tokens 40 --kv-mem "$1" -o "$1.jsonl" prompts.jsonl
	}
	run_with 32M
	run_with 1G
	small=$(cat 32M.kb) large=$(cat 1G.kb)
	echo "with 32M: $small kB; with 1G: $large kB"
	# 64 sequences want some 47 kB a token and 1.5 MB at least, each
	((large - small > 40000))
	# 32 MiB less than this are activations and logits, whatever the bound is
	prompts 1 | peak least.kb mr-sample -q -m "$REAL_MODEL" -n 1 --batch 64 --max-tokens 2 --kv-mem 32M -o least.jsonl
	least=$(cat least.kb)
	echo "of which $least kB at least"
	((small < least + 32768 + 4096))
	cmp 32M.jsonl 1G.jsonl
}

#!/usr/bin/env bats
# The tools with models behind servers: faults, refusals, kills, keys. The
# server is tests/helper/server.c.

load helper
load servers

ALL_FAULTS=429=5,500=5,503=5,reset=5,close=5,garbage=5,truncated=5,empty=5,slow=5,hang=5

prepare() {
	unset MR_API_KEY http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY
}

# sample PORT [OPTION]... [FILE]...
sample() {
	local port=$1
	shift
	mr-sample -q --endpoint "http://127.0.0.1:$port" -m test "$@"
}

# start_sample ... &: the same in the background, $! being the tool itself and
# not a shell around it.
start_sample() {
	local port=$1
	shift
	exec mr-sample -q --endpoint "http://127.0.0.1:$port" -m test "$@"
}

# posts LOG: how many requests for a completion there were
posts() {
	grep -c '"path":"/v1/chat/completions"' "$1" || true
}

@test "5 % of each fault: nothing lost, nothing twice, the same output as without faults" {
	local records=2000
	case $B in */asan) records=100 ;; esac
	server good
	server bad --faults $ALL_FAULTS --log log
	prompts $records >in.jsonl
	sample "$good" -n 2 in.jsonl >clean
	[ "$(jq -r .id clean)" = "$(jq -r .id in.jsonl)" ]
	sample "$bad" -n 2 --jobs 256 --timeout 1 --retries 30 --rejects rejects in.jsonl >faulty 2>err
	cmp faulty clean
	[ ! -s rejects ]
	# it did fail, in many ways, and what was answered was not asked again
	[ "$(jq -r .fault log | sort -u | wc -l)" -ge 8 ]
	[ "$(jq -r 'select(.fault == "" or .fault == "slow") | .sha256' log | sort | uniq -d | wc -l)" -le "$(grep -c '"slow"' log)" ]
}

@test "each bad answer: what the tool says, and how often it asks" {
	prompts 1 >in.jsonl
	# one row of the table, in a folder of its own
	row() {
		local options=() more=() status=0
		mkdir "$1" && cd "$1" || return
		[ "$2" = - ] || read -ra options <<<"$2"
		[ "$3" = - ] || read -ra more <<<"$3"
		if [ "$7" != - ]; then
			printf %s "$7" >body
			options+=(--body body)
		fi
		"$B/helper/server" --port-file port --log log --lifetime 100 "${options[@]}" >/dev/null 3>&- &
		until [ -e port ]; do sleep 0.05; done
		sample "$(<port)" -n 2 --retries 1 "${more[@]}" --rejects rejects ../in.jsonl >out 2>err || status=$?
		kill $!
		[ "$status" = "$4" ] || echo "exit status $status, not $4"
		posts log | grep -Eqx "$5" || echo "$(posts log) requests, not $5"
		if [ "$4" = 0 ]; then
			jq -e "$6" out >/dev/null || echo "not $6: $(<out)"
		else
			grep -Eq "^mr-sample: (\.\./in.jsonl:1: )?http://127.0.0.1:[0-9]+/v1: .*($6)" err || echo "it does not say $6"
			[ "$(wc -l <err)" -eq 1 ] || echo "more than one line: $(<err)"
			[ ! -s out ] || echo "there is output: $(<out)"
		fi
	}
	local i rows columns
	mapfile -t rows < <(grep -v '^#' "$repo/tests/bats/servers.tsv")
	[ "${#rows[@]}" -ge 60 ]
	for i in "${!rows[@]}"; do
		IFS=$'\t' read -ra columns <<<"${rows[i]}"
		[ "${#columns[@]}" -eq 6 ]
		row "$i" "${columns[@]}" >"said.$i" 2>&1 &
		pids[i]=$!
	done
	wait "${pids[@]}" || true
	for i in "${!rows[@]}"; do
		[ ! -s "said.$i" ] || { echo "${rows[i]}"; cat "said.$i" "$i/err"; }
	done >failed
	run cat failed
	assert_output ''
}

@test "a record that fails for good goes to the rejects, the others are done, --resume completes" {
	server picky --reject-400 'number 3,'
	server good
	prompts 6 >in.jsonl
	sample "$good" -n 2 in.jsonl >whole
	run -2 sample "$picky" -n 2 --rejects rejects -o out in.jsonl
	assert_output "mr-sample: in.jsonl:4: http://127.0.0.1:$picky/v1: 400: this is not accepted here"
	cmp rejects <(sed -n 4p in.jsonl)
	cmp out <(sed 4d whole)
	[ "$(jq -c '[.records.done, .records.failed]' out.manifest.json)" = '[5,1]' ]
	cp out rest
	sample "$good" -n 2 --resume rest in.jsonl >>rest
	cmp <(sort rest) <(sort whole)
}

@test "Retry-After is waited for" {
	server busy --faults 429=20,503=20 --retry-after 1 --log log
	server good
	prompts 4 >in.jsonl
	sample "$good" -n 1 in.jsonl >whole
	sample "$busy" -n 1 --retries 20 in.jsonl | cmp - whole
	# by the server's clock, between an attempt and the next at the same
	jq -se 'group_by(.sha256) | map([.[].at] | [., .[1:]] | transpose | map(select(.[1] != null) | .[1] - .[0])) | add |
		length > 0 and min >= 0.999' log
}

@test "a server without n or seed is asked one by one, and gives the same records" {
	server full
	prompts 3 >in.jsonl
	sample "$full" -n 3 in.jsonl >full
	for lack in --no-n --refuse-n --no-seed '--no-n --no-seed'; do
		# shellcheck disable=SC2086
		server less $lack --log "log$lack"
		sample "$less" -n 3 --jobs 1 in.jsonl >less 2>err
		[ ! -s err ]
		all less '(keys == ["id", "prompt", "responses"]) and (.responses | length) == 3 and
			all(.responses[]; keys == ["finish", "text", "tokens"])'
		[ "$(jq -c 'del(.responses)' less)" = "$(jq -c . in.jsonl)" ]
	done
	# refused once, and not sent again
	[ "$(jq -s 'map(select(.status == 400)) | length' log--refuse-n)" -eq 1 ]
	[ "$(jq -s 'map(select(.status == 400)) | length' log--no-seed)" -eq 1 ]
	[ "$(posts log--refuse-n)" -eq 10 ]
	# continuation j is the same, whatever came before it failed
	server other --refuse-n --faults 500=30
	server less --refuse-n
	sample "$less" -n 3 in.jsonl >one
	sample "$other" -n 3 --jobs 2 in.jsonl | cmp - one
}

@test "budgets stop cleanly, and --resume completes" {
	server a --log log
	prompts 20 >in.jsonl
	sample "$a" -n 1 in.jsonl >whole
	: >log
	run -2 --separate-stderr sample "$a" -n 1 --jobs 4 --budget-requests 7 in.jsonl
	[ "$stderr" = "mr-sample: the budget of 7 requests is spent; 7 records are done, --resume goes on with the others" ]
	[ "$(posts log)" -eq 7 ]
	printf '%s\n' "$output" >part
	cmp part <(head -n 7 whole)
	# as a file, which is kept though not all is in it
	cp part file
	run -2 sample "$a" -n 1 --jobs 4 --budget-tokens 100 --resume file -o file in.jsonl
	assert_output --partial 'the budget of 100 tokens is spent'
	[ "$(wc -l <file)" -gt 7 ]
	[ "$(wc -l <file)" -lt 20 ]
	cmp file <(head -n "$(wc -l <file)" whole)
	sample "$a" -n 1 --resume file -o file in.jsonl
	cmp file whole
	sample "$a" -n 1 --resume part in.jsonl >>part
	cmp part whole
	# retries count: a server that always fails costs no more than the budget
	server b --faults 500=100 --log failing
	run sample "$b" -n 1 --jobs 1 --retries 30 --budget-requests 3 in.jsonl
	assert_output --partial 'the budget of 3 requests is spent'
	[ "$(posts failing)" -eq 3 ]
}

@test "several servers share the work; one that dies is set aside" {
	server a --delay 20 --log log.a
	server b --delay 20 --log log.b
	prompts 60 >in.jsonl
	sample "$a" -n 2 in.jsonl >whole
	: >log.a
	sample "$a" --endpoint "http://127.0.0.1:$b/v1/" -n 2 --jobs 8 in.jsonl | cmp - whole
	[ "$(posts log.a)" -ge 15 ]
	[ "$(posts log.b)" -ge 15 ]
	server mortal --delay 20 --die-after 10 --log log.mortal
	mr-sample --endpoint "http://127.0.0.1:$a" --endpoint "http://127.0.0.1:$mortal" -m test -n 2 --jobs 8 in.jsonl >out 2>err
	cmp out whole
	[ "$(posts log.mortal)" -ge 10 ]
	grep -q "^mr-sample: http://127.0.0.1:$mortal/v1: .*set aside" err
	run ! grep -q "127.0.0.1:$a" err
	run -3 sample "$mortal" --retries 2 in.jsonl
	assert_output --partial "http://127.0.0.1:$mortal/v1: Failed to connect"
}

@test "a server that comes back is used again" {
	server good
	prompts 60 >in.jsonl
	sample "$good" -n 2 in.jsonl >whole
	server a --delay 20 --die-after 20
	mr-sample --endpoint "http://127.0.0.1:$a" -m test -n 2 --jobs 8 in.jsonl >out 2>err 3>&- &
	local pid=$!
	until grep -q 'set aside' err; do sleep 0.05; done
	server b --port "$a" --log log
	wait $pid
	cmp out whole
	grep -q "^mr-sample: http://127.0.0.1:$a/v1 answers again" err
	[ "$(posts log)" -ge 40 ]
}

@test "256 requests in flight" {
	server a --delay 1500 --log log
	prompts 300 >in.jsonl
	sample "$a" -n 1 --jobs 256 in.jsonl >out
	[ "$(jq -r .id out)" = "$(jq -r .id in.jsonl)" ]
	[ "$(jq -s 'map(.in_flight) | max' log)" -eq 256 ]
}

@test "kill -9 at any moment, and --resume: complete, nothing twice, the same bytes" {
	server a --delay 20
	server b --delay 20 --faults 500=10
	prompts 100 >in.jsonl
	sample "$a" -n 2 --jobs 16 in.jsonl >whole
	: >part
	for moment in 0.05 0.1 0.15 0.2 0.3; do
		start_sample "$b" -n 2 --jobs 2 --resume part in.jsonl >>part 3>&- &
		sleep $moment
		kill -KILL $! 2>/dev/null || true
		wait $! || true
	done 2>/dev/null
	[ "$(wc -l <part)" -lt 100 ]
	# as it may be with a line torn
	printf '{"id":"p99","prom' >>part
	sample "$b" -n 2 --jobs 8 --resume part in.jsonl >>part
	cmp part whole
}

@test "SIGTERM: whole lines, and --resume goes on" {
	server a --delay 30
	prompts 100 >in.jsonl
	sample "$a" -n 1 --jobs 16 in.jsonl >whole
	start_sample "$a" -n 1 --jobs 2 in.jsonl >part 2>err 3>&- &
	until [ -s part ]; do sleep 0.02; done
	kill -TERM $!
	wait $! || status=$?
	[ "$status" -eq 143 ]
	grep -q 'stopped by Terminated; .*--resume goes on from there' err
	[ "$(wc -l <part)" -lt 100 ]
	cmp part <(head -n "$(wc -l <part)" whole)
	sample "$a" -n 1 --jobs 16 --resume part in.jsonl >>part
	cmp part whole
}

@test "an endless answer is refused, with bounded memory" {
	server a --huge --log log
	prompts 1 >in.jsonl
	# fed by a pipe that stays open, so that it lives until it was looked at
	mkfifo pipe
	start_sample "$a" -n 1 --retries 0 <pipe >out 2>err 3>&- &
	local pid=$!
	exec 9>pipe
	cat in.jsonl >&9
	until [ -s err ]; do sleep 0.05; done
	peak=$(awk '$1 == "VmHWM:" { print $2 }' "/proc/$pid/status")
	exec 9>&-
	wait $pid || status=$?
	[ "$status" -eq 3 ]
	grep -q 'the answer is longer than the [0-9]* bytes it could need' err
	[ "$(posts log)" -eq 1 ]
	# sanitizers keep memory of their own
	case $B in */asan) return ;; esac
	[ "$peak" -lt 100000 ]
}

@test "memory does not grow with the records" {
	case $B in */asan) skip "sanitizers keep memory of their own" ;; esac
	server a
	mkfifo pipe
	start_sample "$a" -n 3 --jobs 64 <pipe >out 2>err 3>&- &
	local pid=$!
	exec 9>pipe
	prompts 6000 >in.jsonl
	for n in 300 6000; do
		sed -n "$((n == 300 ? 1 : 301)),${n}p" in.jsonl >&9
		until [ "$(wc -l <out)" -eq $n ]; do sleep 0.05; done
		awk '$1 == "VmHWM:" { print $2 }' "/proc/$pid/status" >peak.$n
	done
	exec 9>&-
	wait $pid
	echo "$(<peak.300) kB after 300 records, $(<peak.6000) after 6000"
	[ "$(<peak.6000)" -lt $(($(<peak.300) + 4096)) ]
}

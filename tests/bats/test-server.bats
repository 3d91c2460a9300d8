#!/usr/bin/env bats
# The server that other tests use (tests/helper/server.c), by hand with curl.

load helper
load servers

prepare() {
	command -v curl >/dev/null || skip "curl is not installed"
}

# ask PORT [JSON-MEMBERS] [CURL-OPTION]...: an answer's body
ask() {
	local port=$1 members=${2:-'"seed":1'}
	shift $(($# < 2 ? $# : 2))
	# of a member that is there twice, the first counts
	curl -sS "$@" --json "{$members,\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi.\"}]}" \
		"http://127.0.0.1:$port/v1/chat/completions"
}

# content FILTER...: what the choices say
content() {
	jq -c '[.choices[].message.content]'
}

@test "answers, by the request alone" {
	server a --log log
	server b
	ask "$a" '"seed":1,"n":3' >one
	[ "$(jq -c '[.choices[].index]' one)" = '[0,1,2]' ]
	[ "$(content <one | jq 'unique | length')" -eq 3 ]
	all one '.choices | all(.[]; .message.role == "assistant" and (.message.content | length > 10) and .finish_reason == "stop")'
	all one '.usage.completion_tokens > 12 and .usage.prompt_tokens == 2 and .model == "m"'
	ask "$a" '"seed":1,"n":3' | cmp - one
	ask "$b" '"seed":1,"n":3' | cmp - one
	# sent in chunks, and waited for with Expect
	ask "$b" '"seed":1,"n":3' -H 'Transfer-Encoding: chunked' | cmp - one
	ask "$b" '"seed":1,"n":3' -H 'Expect: 100-continue' | cmp - one
	for other in '"seed":2,"n":3' '"seed":1,"n":3,"temperature":0.5' '"n":3'; do
		ask "$a" "$other" | content >other
		run ! cmp -s other <(content <one)
	done
	# without a seed, a repeated request has another answer
	ask "$a" '"n":3' | content >again
	run ! cmp -s other again
	ask "$a" '"n":3,"temperature":0' | content >zero
	[ "$(jq 'unique | length' zero)" -gt 0 ]
	ask "$a" '"seed":1,"max_tokens":3' | jq -c '[.choices[0].finish_reason, .usage.completion_tokens]' >cut
	[ "$(cat cut)" = '["length",3]' ]
	ask "$a" '"messages":[{"role":"user","content":"tab\tfeed\f\u0001 end\n "}]' | jq -e '.usage.prompt_tokens == 5'
	[ "$(jq -s 'length' log)" -eq 9 ]
	all log '.path == "/v1/chat/completions" and .status == 200 and (.has_key | not) and .in_flight == 1'
}

@test "judges where a rubric asks for it, with log-probabilities" {
	server a
	for i in {1..20}; do
		ask "$a" "\"seed\":$i,\"messages\":[{\"role\":\"user\",\"content\":\"Grade this.\\nScore: X\"}]"
	done | jq -r '.choices[0].message.content' >said
	[ "$(grep -c '^Score: [0-5]$' said)" -ge 8 ]
	[ "$(grep -c '^Score: [0-5]$' said)" -le 19 ]
	ask "$a" '"seed":1,"max_tokens":4,"logprobs":true,"top_logprobs":20,"messages":[{"role":"user","content":"Verdict: A>>B"}]' |
		jq -c '.choices[0]' >bare
	all bare '.message.content | test("^[AB](>>|>|=)[AB]$")'
	all bare '.logprobs.content[0].top_logprobs | map(.token) | sort == ["A", "B", "The"]'
	# of what may come first, the probabilities add up to 1
	all bare '.logprobs.content[0].top_logprobs | map(.logprob | exp) | add | . > 0.999999 and . < 1.000001'
	all bare '(.logprobs.content | map(.token) | add) == .message.content'
}

@test "faults and refusals" {
	printf 'sesame\n' >key
	server a --faults 429=100 --retry-after 7
	ask "$a" '"seed":1' -D head | grep -q 'too many'
	grep -q '^HTTP/1.1 429 Too Many Requests' head
	grep -q '^Retry-After: 7' head
	for f in 500 503; do
		server a --faults $f=100
		[ "$(ask "$a" '"seed":1' -o /dev/null -w '%{http_code}')" = $f ]
	done
	server a --faults garbage=100
	ask "$a" | grep -q '^<html>'
	server a --faults empty=100
	[ "$(ask "$a" | jq -c .choices)" = '[]' ]
	server a --faults truncated=100
	[ "$(ask "$a" '"seed":1' -o cut -w '%{exitcode} %{http_code}')" = '0 200' ]
	run ! jq . cut
	# curl: 52 nothing came, 56 reset, 18 or 56 cut off, 28 too long
	server a --faults close=100
	run -52 ask "$a"
	server a --faults reset=100
	run -56 ask "$a"
	for f in slow hang; do
		server a --faults $f=100
		run -28 ask "$a" '"seed":1' -m 0.4
	done
	server a --huge
	run ask "$a" '"seed":1' -m 1 -o /dev/null -w '\n%{size_download}'
	[ "${lines[-1]}" -gt 1000000 ]
	server a --refuse-n --no-seed --reject-400 fox --models m
	[ "$(ask "$a" '"n":2' | jq .error.code)" = 400 ]
	[ "$(ask "$a" '"seed":1' | jq .error.code)" = 400 ]
	[ "$(ask "$a" '"user":"fox"' | jq .error.code)" = 400 ]
	[ "$(ask "$a" '"n":1' | jq '.choices | length')" = 1 ]
	[ "$(ask "$a" '"model":"else"' | jq .error.code)" = 404 ]
	[ "$(curl -sS "http://127.0.0.1:$a/v1/models" | jq -r '.data[].id')" = m ]
	curl -sSf "http://127.0.0.1:$a/health" >/dev/null
	server a --no-n --no-logprobs --length
	ask "$a" '"n":4,"logprobs":true' | jq -e '(.choices | length) == 1 and .choices[0].logprobs == null and .choices[0].finish_reason == "length"'
	server a --key key --echo --log log
	ask "$a" '"seed":1' -H 'Authorization: Bearer guess' | grep -q 'you sent Authorization: Bearer guess'
	ask "$a" '"seed":1' -H 'Authorization: Bearer sesame' | jq -e .choices >/dev/null
	[ "$(jq -c .has_key log | sort | uniq -c | tr -s ' ')" = ' 2 true' ]
	server b --redirect "http://127.0.0.1:$a"
	[ "$(ask "$b" '"seed":1' -o /dev/null -w '%{http_code} %{redirect_url}')" = "302 http://127.0.0.1:$a/v1/chat/completions" ]
	server a --die-after 2
	ask "$a" >/dev/null
	run ! ask "$a"
	run ! ask "$a"
}

@test "the same requests fail in the same places, and not for ever" {
	for log in one two; do
		server a --faults 500=30,reset=25 --log $log
		for i in {1..30}; do ask "$a" "\"seed\":$((i % 10))" >/dev/null 2>&1 || true; done
		jq -c '[.sha256, .attempt, .fault]' $log >$log.faults
	done
	cmp one.faults two.faults
	[ "$(jq -r '.[2]' one.faults | sort | uniq -c | wc -l)" -eq 3 ]
	jq -se 'group_by(.[0]) | length == 10 and any(.[]; map(.[2]) | unique | length > 1)' one.faults
}

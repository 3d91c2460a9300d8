#!/usr/bin/env bats
# The servers' key: who gets it, and where it must never stand.

load helper
load servers

prepare() {
	unset MR_API_KEY http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY
	# as a file that grep reads, so that it is in no command line of ours either
	(umask 077; printf 'sk-open-%s\n' sesame-0x5eed >key)
	(umask 077; printf 'sk-wrong-%s\n' guess-0xbad >wrong)
	prompts 6 >in.jsonl
}

sample() {
	local port=$1
	shift
	mr-sample --endpoint "http://127.0.0.1:$port" -m test -n 2 --retries 1 "$@" in.jsonl
}

# The key of a file is in none of the files here (but those of keys) and in no
# process's command line.
nowhere() {
	run ! grep -rlFf "$1" --exclude=key --exclude=wrong .
	run ! grep -slFf "$1" /proc/[0-9]*/cmdline
	assert_output ''
}

@test "a key from the environment or a file of one's own" {
	server a --key key --log log
	MR_API_KEY=$(<key) sample "$a" >one
	sample "$a" --key-file key >two
	cmp one two
	all log '.has_key and .status == 200'
	# the file goes first
	MR_API_KEY=$(<wrong) sample "$a" --key-file key | cmp - one
	# none, or a wrong one: the server's word, and nothing is tried again
	: >log
	run -3 sample "$a" -q --jobs 1
	assert_output --partial "http://127.0.0.1:$a/v1: 401: Incorrect API key provided"
	MR_API_KEY=$(<wrong) run -3 sample "$a" -q --jobs 1
	assert_output --partial '401'
	[ "$(jq -c .has_key log | tr '\n' ' ')" = 'false true ' ]
}

@test "a key file that others can read is refused" {
	server a --log log
	for mode in 644 640 604 660; do
		chmod $mode key
		run -1 sample "$a" --key-file key
		assert_output --partial "mr-sample: --key-file: key: others can read"
	done
	chmod 400 key
	sample "$a" --key-file key >/dev/null
	for bad in absent /dev/null; do
		run -1 sample "$a" --key-file $bad
		assert_output --partial "--key-file: $bad: "
	done
	(umask 077; printf 'one\ntwo\n' >two)
	run -1 sample "$a" --key-file two
	assert_output --partial '--key-file: two: one line'
}

@test "the key is in no command line, output, reject, manifest, summary or progress line" {
	server a --key key --delay 100 --reject-400 'number 3,' --log log
	export MR_API_KEY
	MR_API_KEY=$(<key)
	sample "$a" --progress always --rejects rejects -o out >std 2>&1 3>&- &
	local pid=$!
	until [ -s log ]; do sleep 0.02; done
	nowhere key
	wait $pid || status=$?
	[ "$status" -eq 2 ]
	[ -s out ] && [ -s out.manifest.json ] && [ -s rejects ] && [ -s std ]
	all log .has_key
	nowhere key
	sample "$a" --key-file key --rejects rejects.2 -o out.2 >std.2 2>&1 || true
	nowhere key
	[ "$(jq -r '.options | has("key-file")' out.2.manifest.json)" = false ]
}

@test "a server that tells the key in its errors is not repeated" {
	export MR_API_KEY
	MR_API_KEY=$(<wrong)
	server a --key key --echo
	run -3 sample "$a" -q --rejects rejects -o out
	printf '%s\n' "$output" >said
	grep -q '401: Incorrect API key provided; you sent Authorization: ' said
	nowhere wrong
	for code in 400 403 422 500; do
		server a --status $code --echo
		run -3 sample "$a" -q --rejects rejects
		printf '%s\n' "$output" >"said.$code"
		grep -q "$code: so it was told to say; you sent Authorization: " "said.$code"
	done
	# cut off in the middle of the key
	for filler in 270 280 285; do
		server a --status 400 --body <(printf '{"error":"%0*d Bearer %s"}' $filler 0 "$(<wrong)")
		run -3 sample "$a" -q
		printf '%s\n' "$output" >"said.cut.$filler"
	done
	nowhere wrong
	# nor a part of it
	head -c 14 wrong >part
	run ! grep -rlFf part --exclude=key --exclude=wrong --exclude=part .
}

@test "a redirect does not take the key to another server" {
	server other --log log.other
	for code in 302 307 308; do
		: >log.other
		server a --redirect "http://127.0.0.1:$other" --status $code --log log.a
		MR_API_KEY=$(<key) sample "$a" -q >out 2>err || true
		all log.a .has_key
		run ! grep '"has_key":true' log.other
		nowhere key
	done
	# nor elsewhere than to where HTTP is spoken
	printf '{"choices":[{"message":{"content":"a file"}}]}' >answer
	for url in "file://$PWD/answer?" gopher://127.0.0.1:$other/ ftp://127.0.0.1:$other/; do
		server a --redirect "$url"
		run -3 sample "$a" -q
	done
}

@test "a URL with a password is refused, and not repeated" {
	run -1 mr-sample --endpoint http://user:hunter2@127.0.0.1:1 -m test in.jsonl
	assert_output --partial 'MR_API_KEY or with --key-file'
	refute_output --partial hunter2
	for url in ftp://127.0.0.1 127.0.0.1:80 http:// 'http://a b' http://127.0.0.1:99999; do
		run -1 mr-sample --endpoint "$url" -m test in.jsonl
		assert_output --partial 'the endpoint'
	done
}

@test "a proxy, as curl has it" {
	server proxy --log log
	http_proxy=http://127.0.0.1:$proxy mr-sample -q --endpoint http://nowhere.invalid -m test -n 1 in.jsonl >out
	[ "$(wc -l <out)" -eq 6 ]
	[ "$(wc -l <log)" -eq 6 ]
	# but not where it is not wanted
	run -3 env http_proxy="http://127.0.0.1:$proxy" no_proxy=nowhere.invalid \
		mr-sample -q --endpoint http://nowhere.invalid -m test -n 1 --retries 0 in.jsonl
	[ "$(wc -l <log)" -eq 6 ]
}

@test "a TLS server with a certificate that nobody vouches for is refused" {
	command -v openssl >/dev/null || skip "openssl is not installed"
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
		-keyout tls.key -out tls.crt 2>/dev/null
	local port=$((20000 + RANDOM % 10000)) i
	openssl s_server -accept "127.0.0.1:$port" -cert tls.crt -key tls.key -www >/dev/null 2>&1 3>&- &
	servers+=($!)
	for i in {1..100}; do
		! (: >"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
		sleep 0.05
	done
	MR_API_KEY=$(<key) run -3 mr-sample -q --endpoint "https://127.0.0.1:$port" -m test -n 1 --retries 0 in.jsonl
	assert_output --partial 'certificate'
	# where it is trusted the connection is made; what is behind it never answers a POST
	CURL_CA_BUNDLE=tls.crt run -3 mr-sample -q --endpoint "https://127.0.0.1:$port" -m test -n 1 --retries 0 --timeout 1 in.jsonl
	refute_output --partial 'certificate'
}

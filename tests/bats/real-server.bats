#!/usr/bin/env bats
# The tools with the real model behind a real server: llama_cpp.server, of the
# Python package llama-cpp-python[server], where it is installed for MR_PYTHON
# (the Python to use, python3 by default). The records are those of the
# embedded model: other texts, the same members of the same types.
#
#   MR_PYTHON=/path/to/venv/bin/python3 bats tests/bats/real-server.bats

load helper

MR_PYTHON=${MR_PYTHON:-${PYTHON:-python3}}

there() {
	[ -e "$REAL_MODEL" ] && command -v curl >/dev/null &&
		"$MR_PYTHON" -c 'import importlib.util as u, sys; sys.exit(not (u.find_spec("llama_cpp") and u.find_spec("uvicorn")))' 2>/dev/null
}

setup_file() {
	there || return 0
	export REAL_SERVER
	local port i
	port=$("$MR_PYTHON" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	REAL_SERVER=http://127.0.0.1:$port
	# one thread: two of them wait for each other where other programs run
	"$MR_PYTHON" -m llama_cpp.server --model "$REAL_MODEL" --host 127.0.0.1 --port "$port" --n_ctx 2048 \
		--n_threads 1 --n_threads_batch 1 --verbose False >"$BATS_FILE_TMPDIR/server.log" 2>&1 3>&- &
	echo $! >"$BATS_FILE_TMPDIR/server.pid"
	for ((i = 0; i < 300; i++)); do
		! curl -sf "$REAL_SERVER/v1/models" >/dev/null || return 0
		sleep 0.2
	done
	cat "$BATS_FILE_TMPDIR/server.log"
	return 1
}

teardown_file() {
	[ ! -e "$BATS_FILE_TMPDIR/server.pid" ] || kill "$(<"$BATS_FILE_TMPDIR/server.pid")"
}

prepare() {
	[ -n "${REAL_SERVER:-}" ] || skip "llama-cpp-python[server] is not installed for $MR_PYTHON, or the model or curl is not there"
	unset MR_API_KEY http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY
	echo '{"id":"p1","prompt":"Why does ice float on water?","category":"physics"}' >prompts
}

# The members of a file's records with their types, but for "guided", which
# some judgments have.
shape() {
	jq -sc '[.[] | paths(type != "object" and type != "array") as $p | [($p | map(if type == "number" then "[]" else . end) |
		join(".")), (getpath($p) | type)] | select(.[0] | endswith(".guided") | not)] | unique' "$1"
}

# both TOOL [ARGUMENT]... INPUT: with the server, into served, and with the
# embedded model, into embedded.
both() {
	local tool=$1
	shift
	"$tool" -q --endpoint "$REAL_SERVER" -m smol "$@" >served
	"$tool" -q -m "$REAL_MODEL" "$@" >embedded
	[ "$(shape served)" = "$(shape embedded)" ] || {
		diff <(shape served | jq -c '.[]') <(shape embedded | jq -c '.[]')
		return 1
	}
	[ "$(jq -r .id served)" = "$(jq -r .id embedded)" ]
}

@test "one iteration's stages through a real server: records as the embedded model's" {
	both mr-sample -n 2 --max-tokens 32 prompts
	all served '.responses | length == 2 and all(.[]; (.text | length) > 10 and .tokens > 3 and .tokens <= 32)'
	cp served sampled
	both mr-judge -n 2 --guided --max-tokens 16 sampled
	all served '.responses | all(.[]; .score_n == 2 and all(.judgments[]; .text | length > 5))'
	cp served judged
	both mr-metajudge --guided --max-judgments 2 --max-tokens 16 judged
	all served '.meta.battles | length == 2 and all(.[]; .winner != null)'
	mr-lengthctl -q served | mr-elo -q >rated
	all rated '.meta.elo | map(numbers) | length == 2'
	mr-pairs -q rated >pairs
	if [ -s pairs ]; then
		mr-dpo -q -m "$TINY" -o trained.gguf pairs >steps
		all steps '.loss > 0'
	fi
}

@test "two models' responses compared through a real server" {
	jq -c '.responses = [{text: "Because it is lighter than water."}]' prompts >one
	jq -c '.responses = [{text: "I do not know."}]' prompts >two
	both mr-compare --protocol alpaca one two
	all served '.preference > 1 and .preference < 2'
	both mr-compare --protocol winner --guided --max-tokens 8 one two
	all served '.games | all(.[]; .winner != null)'
}

@test "the same seed gives the same text from a real server" {
	mr-sample -q --endpoint "$REAL_SERVER" -m smol -n 2 --max-tokens 12 prompts >one
	mr-sample -q --endpoint "$REAL_SERVER" -m smol -n 2 --max-tokens 12 --jobs 1 prompts >two
	mr-sample -q --endpoint "$REAL_SERVER" -m smol -n 2 --max-tokens 12 --jobs 1 --seed 7 prompts >other
	jq -e '(.responses | length) == 2' one
	cmp one two
	run ! cmp -s one other
}

@test "what a real server refuses is told with its own words" {
	mr-sample -q --endpoint "$REAL_SERVER" -m smol -n 1 --max-tokens 4 prompts >/dev/null
	# longer than its context
	jq -c '.prompt = "water " * 3000' prompts >long
	run -3 mr-sample -q --endpoint "$REAL_SERVER" -m smol -n 1 --max-tokens 4 --retries 0 long
	assert_output --partial "$REAL_SERVER/v1: "
	assert_output --partial '2048'
}

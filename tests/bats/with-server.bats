#!/usr/bin/env bats
# pipelines/with-server.sh: a command, and a server for as long as it runs.

load helper

with() {
	"$repo/pipelines/with-server.sh" "$@"
}

prepare() {
	case $B in */asan) skip 'the tools have tests of their own' ;; esac
	export SERVER="echo \$\$ >pid; exec '$B/helper/server' --port-file {port_file} --models {name} --log requests"
}

# gone [FILE]: the process with the number in the file ends, or has ended
gone() {
	for _ in {1..100}; do
		kill -0 "$(cat "${1:-pid}")" 2>/dev/null || return 0
		sleep 0.1
	done
	return 1
}

@test "the command finds a server of the model, by its words and in its environment, and its status counts" {
	prompts 3 >in.jsonl
	cp "$TINY" "my model.gguf"
	with "my model.gguf" mr-sample -q -n 2 --endpoint {endpoint} --model {name} -o out.jsonl in.jsonl
	all out.jsonl '(.responses | length) > 0'
	jq -e '.model | tostring | contains("my model")' out.jsonl.manifest.json
	gone
	run with "$TINY" sh -c 'kill -0 "$(cat pid)" && echo "$MR_ENDPOINT $MR_ENDPOINT_MODEL $1"; cat; exit 7' sh 'a {name}' <<<'from here'
	[ "$status" -eq 7 ]
	assert_line --regexp '^http://127.0.0.1:[0-9]+ tiny a tiny$'
	assert_line 'from here'
	gone
}

@test "a server that is given its port, and one that is told its key" {
	command -v python3 >/dev/null || skip 'python3 is not there'
	cat >fake.py <<-'END2'
	import http.server, os, sys, time
	open("pid", "w").write(str(os.getpid()))
	time.sleep(0.5)
	class Answer(http.server.BaseHTTPRequestHandler):
	    def do_GET(self):
	        open("asked", "a").write(self.path + " " + self.headers.get("Authorization", "") + "\n")
	        self.send_response(200 if self.path == "/health" else 404)
	        self.end_headers()
	    def log_message(self, *more): pass
	http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
	END2
	export SERVER='python3 fake.py {port} {model}'
	MR_API_KEY=secret run with "$TINY" echo '{endpoint}' '{name}'
	assert_success
	assert_output --regexp '^http://127.0.0.1:[0-9]+ tiny$'
	grep -qx '/health Bearer secret' asked
	gone
}

@test "a server that ends, or that never answers: its last words, and status 3" {
	SERVER='echo no memory for {model}; exit 9' run with "$TINY" touch started
	assert_failure 3
	assert_line --partial 'no memory for'
	assert_line --partial 'the server ended with status 9'
	SERVER_SECONDS=1 SERVER='echo $$ >pid; exec sleep 60' run with "$TINY" touch started
	assert_failure 3
	assert_line --partial 'did not answer in 1 s'
	gone
	[ ! -e started ]
	run with nowhere.gguf true
	assert_failure 3
	assert_output --partial 'there is no model nowhere.gguf'
	SERVER='' run with "$TINY" true
	assert_failure 1
}

@test "the server is stopped with all its processes when the command fails, when told to stop, and when killed outright" {
	local signal status
	export SERVER="sleep 100 & echo \$! >child; $SERVER"
	run with "$TINY" false
	assert_failure 1
	gone
	gone child
	for signal in TERM HUP KILL; do
		rm -f pid up
		setsid "$repo/pipelines/with-server.sh" "$TINY" sh -c 'touch up; exec sleep 100' 3>&- &
		for _ in {1..200}; do [ ! -e up ] || break; sleep 0.05; done
		if [ $signal = KILL ]; then kill -9 -- -$!; else kill -$signal $!; fi
		status=0
		wait $! || status=$?
		[ "$status" -gt 128 ]
		gone
		gone child
	done
}

@test "the same stage with the model behind a server as by a whole iteration's stages" {
	prompts 2 >in.jsonl
	with "$TINY" bash -c '
		ask="--endpoint $MR_ENDPOINT --model $MR_ENDPOINT_MODEL -q"
		mr-sample -n 2 $ask in.jsonl | mr-judge -n 2 --guided $ask | mr-lengthctl -q |
			mr-metajudge --guided $ask | mr-elo -q >out.jsonl'
	all out.jsonl 'has("actor") and has("judge") and (.meta.battles | length) > 0'
	gone
}

@test "a real server: llama_cpp.server on the model, where it is installed" {
	PYTHON=${PYTHON:-python3}
	"$PYTHON" -c 'import llama_cpp.server.app' 2>/dev/null || skip "the Python package llama_cpp[server] is not installed"
	prompts 2 >in.jsonl
	export SERVER="exec $PYTHON -m llama_cpp.server --model {model} --model_alias {name} --port {port} --n_ctx 2048"
	export SERVER_LOG=$PWD/server.log
	with "$TINY" bash -c '
		ask="--endpoint $MR_ENDPOINT --model $MR_ENDPOINT_MODEL -q --jobs 2 --max-tokens 8"
		mr-sample -n 2 $ask in.jsonl | mr-judge -n 2 --guided $ask >out.jsonl'
	all out.jsonl '(.responses | length) > 0 and all(.responses[]; .judgments | length == 2)'
	grep -q 'POST /v1/chat/completions' server.log
}

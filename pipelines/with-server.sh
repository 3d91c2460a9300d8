#!/bin/bash
# with-server.sh MODEL COMMAND [ARGUMENT]...
#
# Runs COMMAND while a server of the model MODEL is up, and exits with its
# status. SERVER says how the server is started, for sh: {model} is MODEL,
# {port} a free port, {name} the model's name:
#
#   SERVER='llama-server -m {model} --port {port} --parallel 16' \
#   with-server.sh it2.gguf mr-sample --endpoint {endpoint} --model {name} prompts.jsonl
#
# In COMMAND's words {endpoint} is the server's URL and {name} the name that
# the server gives its model (GET /v1/models); COMMAND finds them in
# MR_ENDPOINT and MR_ENDPOINT_MODEL as well. COMMAND starts when the server
# answers to GET /v1/models or /health. When it has ended, or this script has,
# by whatever signal, the server is stopped with all its processes. A server
# that chooses its port itself writes it to the file {port_file}.
#
# Exit status: COMMAND's; 1 misuse; 3 the server did not come up.
#
# From the environment:
#   SERVER               the server's command line
#   SERVER_HOST          where it answers [127.0.0.1]
#   SERVER_LOG           a file for what it says [none; shown where it fails]
#   SERVER_SECONDS       how long it may take to come up [600]
#   MR_API_KEY           shown to the server, which may want it
set -euo pipefail

die()
{
	printf 'with-server.sh: %s\n' "$*" >&2
	exit 3
}

if [ $# -lt 2 ] || [ -z "${SERVER:-}" ]; then
	printf "Usage: SERVER='COMMAND {model} {port}' with-server.sh MODEL COMMAND [ARGUMENT]...\n" >&2
	exit 1
fi
model=$1
shift
[ -e "$model" ] || die "there is no model $model"
model=$(realpath "$model")
host=${SERVER_HOST:-127.0.0.1}
name=${model##*/}
name=${name%.gguf}

scratch=$(mktemp -d)
log=${SERVER_LOG:-$scratch/log}
keeper=''
command=''
leave()
{
	trap - EXIT INT TERM HUP
	if [ -n "$command" ] && kill -TERM "$command" 2>/dev/null; then
		wait "$command" || true
	fi
	if [ -n "$keeper" ]; then
		exec 8>&-       # which the keeper waits for
		wait "$keeper" 2>/dev/null || true
	fi
	rm -rf "$scratch"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 129' HUP
trap 'exit 143' TERM

# listens PORT: something does
listens()
{
	(exec 3<>"/dev/tcp/$host/$1") 2>/dev/null
}

# get PATH: the body of an answer; fails where it is no 200
get()
{
	(
		exec 3<>"/dev/tcp/$host/$port" || exit
		printf 'GET %s HTTP/1.0\r\nHost: %s\r\n%sConnection: close\r\n\r\n' "$1" "$host:$port" \
			"${MR_API_KEY:+Authorization: Bearer $MR_API_KEY$'\r\n'}" >&3
		IFS=' ' read -r -t 10 _ code _ <&3
		[ "$code" = 200 ] || exit
		timeout 10 sed '1,/^\r*$/d' <&3
	) 2>/dev/null
}

# The server lives in a session of its own, and no longer than our end of a
# pipe is open: so it ends even where this script is killed outright.
keep='
	trap : TERM
	{
		status=0
		sh -c "$1" </dev/null 8>&- || status=$?
		echo "$status" >"$2/ended"
	} &
	server=$!
	read -r nothing
	kill -TERM 0
	for wait in $(seq 100); do
		kill -0 "$server" || break
		sleep 0.1
	done 2>/dev/null
	kill -KILL 0
'
port=
port_file=$scratch/port
while [[ $SERVER != *'{port_file}'* ]] && { [ -z "$port" ] || listens "$port"; }; do
	port=$((20000 + RANDOM % 12000))
done
start=$SERVER
for word in model port port_file name; do
	printf -v value '%q' "${!word}"
	start=${start//"{$word}"/"$value"}
done
[[ -z ${SERVER_LOG:-} ]] || : >"$SERVER_LOG" || exit 3
exec 8> >(exec setsid bash -c "$keep" keeper "$start" "$scratch" >>"$log" 2>&1)
keeper=$!

for ((until = SECONDS + ${SERVER_SECONDS:-600}; ; )); do
	[ -n "$port" ] || port=$(cat "$port_file" 2>/dev/null) || true
	if [ -n "$port" ] && models=$(get /v1/models || get /health); then
		break
	fi
	if [ -e "$scratch/ended" ] || ((SECONDS >= until)); then
		tail -n 20 "$log" >&2
		[ ! -e "$scratch/ended" ] || die "the server ended with status $(cat "$scratch/ended"): $start"
		die "the server did not answer in ${SERVER_SECONDS:-600} s: $start"
	fi
	sleep 0.2
done

told=$(jq -r '.data[0].id? // empty' <<<"$models" 2>/dev/null) || true
name=${told:-$name}
export MR_ENDPOINT=http://$host:$port MR_ENDPOINT_MODEL=$name
words=()
for word; do
	word=${word//'{endpoint}'/"$MR_ENDPOINT"}
	words+=("${word//'{name}'/"$name"}")
done
"${words[@]}" 8>&- <&0 &
command=$!
status=0
wait "$command" || status=$?
command=
[ ! -e "$scratch/ended" ] || printf 'with-server.sh: the server ended before its time, with status %s\n' "$(cat "$scratch/ended")" >&2
exit "$status"

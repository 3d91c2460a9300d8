#!/bin/bash
# bench.sh BUILD
#
# Runs the benchmarks of a build folder: "name<TAB>value<TAB>unit", a figure a
# line: the engine's, the trainer's, and those of a tool whose model is behind
# a server that answers after 100 ms. MR_MODEL names another model, THREADS another number of threads than
# that of the CPUs. With PEER=llama_cpp (generation) or PEER=torch (training, by
# TRL), and its packages installed for PYTHON (python3), its figures follow,
# and how many times as fast this is.
set -u
cd "$(dirname "$0")/.." || exit 1

build=${1:?usage: tests/bench.sh BUILD}
model=${MR_MODEL:-models/SmolLM2-135M-Instruct.Q4_1.gguf}
figures=$build/bench/figures.tsv

# mr-sample with 64 requests in flight: how many are answered in a second, and
# how much of a core the tool itself takes for it.
endpoint()
{
	local dir requests=6000 status=1 server i
	dir=$(mktemp -d) || return
	"$build/helper/server" --delay 100 --port-file "$dir/port" --lifetime 120 &
	server=$!
	for i in {1..100}; do
		[[ -e $dir/port ]] && break
		sleep 0.05
	done
	for ((i = 0; i < requests; i++)); do
		echo "{\"id\":\"$i\",\"prompt\":\"Say something about the number $i.\"}"
	done >"$dir/in"
	(
		TIMEFORMAT='%R %U %S'
		time "$build/bin/mr-sample" -q -n 1 --jobs 64 --endpoint "http://127.0.0.1:$(<"$dir/port")" -m test \
			"$dir/in" >"$dir/out"
	) 2>"$dir/time" && [[ $(wc -l <"$dir/out") -eq $requests ]] && status=0
	kill "$server"
	wait "$server"
	((status == 0)) && awk -v n="$requests" '{
		printf "endpoint_rps\t%.1f\trequests/s\nendpoint_client_cores\t%.3f\tcores\n", n / $1, ($2 + $3) / $1
	}' "$dir/time"
	rm -r "$dir"
	return "$status"
}

set -o pipefail
for b in "$build/bench/engine" "$build/bench/dpo" endpoint; do
	"$b" || exit 1
done | tee "$figures" || exit 1

peer=${PEER:-}
[[ $peer ]] || exit 0
script=tests/bench/peer_$peer.py
if [[ ! $peer =~ ^[a-z_]+$ || ! -f $script ]]; then
	echo "bench: PEER=$peer: there are llama_cpp and torch" >&2
	exit 1
fi
threads=$(awk -F '\t' '$1 == "threads" { print int($2) }' "$figures")
"${PYTHON:-python3}" "$script" "$model" "$threads" "$build" | tee "$figures.peer"
status=$?
if ((status == 3)); then
	echo "bench: what PEER=$peer needs is not installed: no figures of it" >&2
	exit 0
fi
((status == 0)) || exit 1
awk -F '\t' -v peer="$peer" '
NR == FNR { ours[$1] = $2; next }
{
	# peer_NAME, or peer_SETTINGS_NAME
	name = substr($1, length(peer) + 2)
	by = peer
	if (!(name in ours)) {
		by = by "_" substr(name, 1, index(name, "_") - 1)
		name = substr(name, index(name, "_") + 1)
	}
	if ($2 > 0)
		printf "%s_vs_%s\t%.3f\tratio\n", name, by, ours[name] / $2
}' "$figures" "$figures.peer"

#!/bin/bash
# bench.sh BUILD
#
# Runs the benchmarks of a build folder: "name<TAB>value<TAB>unit", a figure a
# line. MR_MODEL names another model, THREADS another number of threads than
# that of the CPUs. With PEER=llama_cpp (generation) or PEER=torch (training, by
# TRL), and its packages installed for PYTHON (python3), its figures follow,
# and how many times as fast this is.
set -u
cd "$(dirname "$0")/.." || exit 1

build=${1:?usage: tests/bench.sh BUILD}
model=${MR_MODEL:-models/SmolLM2-135M-Instruct.Q4_1.gguf}
figures=$build/bench/figures.tsv

set -o pipefail
for b in engine dpo; do
	"$build/bench/$b" || exit 1
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
	name = substr($1, length(peer) + 2)
	if ($2 > 0)
		printf "%s_vs_%s\t%.3f\tratio\n", name, peer, ours[name] / $2
}' "$figures" "$figures.peer"

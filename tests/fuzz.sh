#!/bin/bash
# fuzz.sh BUILD SECONDS
#
# Runs every libFuzzer target in BUILD/fuzz for so many seconds, on the seeds
# in tests/fuzz/seeds/TARGET where there are any; what is found is kept in
# BUILD/fuzz/found/. Status 1 where anything was.
set -u
cd "$(dirname "$0")/.." || exit 1
shopt -s nullglob

folder=${1:?usage: tests/fuzz.sh BUILD SECONDS}/fuzz
seconds=${2:?usage: tests/fuzz.sh BUILD SECONDS}
status=0 ran=0

mkdir -p "$folder/found"
export MR_FUZZ_MODEL=$folder/tiny.gguf
"$1/helper/mktiny" "$MR_FUZZ_MODEL" || exit
for source in tests/fuzz/*.c; do
	name=${source##*/}
	name=${name%.c}
	corpus=$folder/corpus/$name
	mkdir -p "$corpus"
	seeds=()
	[ -d "tests/fuzz/seeds/$name" ] && seeds=("tests/fuzz/seeds/$name")
	if "$folder/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
		-artifact_prefix="$folder/found/$name-" "$corpus" "${seeds[@]}" >"$folder/$name.log" 2>&1 </dev/null; then
		echo "ok - $name, $(sed -n 's/^stat::number_of_executed_units: *//p' "$folder/$name.log") inputs"
	else
		echo "not ok - $name"
		tail -n 40 "$folder/$name.log"
		status=1
	fi
	ran=$((ran + 1))
done
((ran > 0)) || { echo "there are no targets in tests/fuzz"; exit 1; }
exit $status

#!/bin/bash
# run.sh BUILD [SANITIZED-BUILD]
#
# Runs the unit tests and the tools' bats tests of a build folder, then, of a
# second folder (made with ASan and UBSan), all but the slow ones with the
# real model (real-*.bats). Each suite's output is kept in BUILD/test/.
# The last line is "N passed, N failed"; it is also left in BUILD/test/summary.
set -u
cd "$(dirname "$0")/.." || exit 1

build=${1:?usage: tests/run.sh BUILD [SANITIZED-BUILD]}
sanitized=${2:-}
jobs=${JOBS:-$(nproc)}
limit=${SUITE_SECONDS:-900}
logs=$build/test
passed=0 failed=0 skipped=0
failures=()

mkdir -p "$logs" || exit 1
rm -f "$logs"/*.log "$logs/summary"

# Prints "passed failed skipped" of a log with TAP or the unit tests' lines.
# Tests that were planned and did not run have failed.
count()
{
	awk '
	/^1\.\.[0-9]+$/ { plan = substr($0, 4) + 0 }
	/^ok / { if (tolower($0) ~ /# skip/) skipped++; else passed++ }
	/^not ok / { failed++ }
	END {
		missing = plan - passed - failed - skipped
		print passed + 0, failed + (missing > 0 ? missing : 0), skipped + 0
	}' "$1"
}

# suite NAME COMMAND...
suite()
{
	local name=$1 log=$logs/${1//\//-}.log status p f s started word=ok
	shift
	started=$(date +%s%N)
	timeout -k 10 "$limit" "$@" >"$log" 2>&1 </dev/null
	status=$?
	read -r p f s < <(count "$log")
	# A crash, a time-out or a suite that could not start is a failure too.
	if ((f == 0 && (status != 0 || p + s == 0))); then
		echo "# ended with status $status, without a failed test" >>"$log"
		f=1
	fi
	if ((f > 0)); then
		word=FAILED
		failures+=("$log")
	fi
	((passed += p, failed += f, skipped += s))
	local ms=$((($(date +%s%N) - started) / 1000000))
	printf '%-7s %-36s %4d passed %3d failed %3d skipped %5d.%d s\n' \
		"$word" "$name" "$p" "$f" "$s" $((ms / 1000)) $((ms % 1000 / 100))
	if ((f > 0)); then
		grep -vE '^(ok |1\.\.)' "$log" | tail -n 60 | sed 's/^/        /'
	fi
}

unit_tests()
{
	local source name
	for source in tests/unit/*.c; do
		[ -e "$source" ] || continue
		name=${source##*/}
		name=${name%.c}
		suite "$2$name" "$1/unit/$name"
	done
}

# bats_tests BUILD LABEL FILE...
bats_tests()
{
	local dir label=$2 file name
	dir=$(realpath "$1")
	shift 2
	for file in "$@"; do
		[ -e "$file" ] || continue
		name=${file##*/}
		suite "$label$name" env "B=$dir" "BIN=$dir/bin" "MR_BIN=$dir/bin" bats --tap --jobs "$jobs" "$file"
	done
}

shopt -s nullglob extglob
unit_tests "$build" ''
bats_tests "$build" '' tests/bats/*.bats

if [ -n "$sanitized" ]; then
	echo "with ASan and UBSan:"
	# A status of its own, so that no expected failure hides a report.
	export ASAN_OPTIONS=exitcode=86:allocator_may_return_null=1
	export UBSAN_OPTIONS=exitcode=86:print_stacktrace=1
	unit_tests "$sanitized" asan/
	bats_tests "$sanitized" asan/ tests/bats/!(real-*).bats
fi

if ((${#failures[@]} > 0)); then
	printf 'failed: %s\n' "${failures[@]}"
fi
((skipped > 0)) && echo "$skipped skipped"
echo "$passed passed, $failed failed" | tee "$logs/summary"
((failed == 0 && passed > 0))

#!/bin/bash
# run.sh BUILD [SANITIZED-BUILD]
#
# Runs the unit tests and the tools' bats tests of a build folder, then, of a
# second folder (made with ASan and UBSan), all but the slow ones with the
# real model (real-*.bats). JOBS suites (as many as CPUs) run at a time; each
# one's output is kept in BUILD/test/.
# The last line is "N passed, N failed"; it is also left in BUILD/test/summary.
set -u
cd "$(dirname "$0")/.." || exit 1

build=${1:?usage: tests/run.sh BUILD [SANITIZED-BUILD]}
sanitized=${2:-}
jobs=${JOBS:-$(nproc)}
limit=${SUITE_SECONDS:-900}
logs=$build/test

mkdir -p "$logs" || exit 1
rm -f "$logs"/*.log "$logs/summary" "$logs/counts"

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

# suite NAME COMMAND...: its line when it has ended; its numbers go to counts.
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
	((f == 0)) || word=FAILED
	local ms=$((($(date +%s%N) - started) / 1000000)) line
	printf -v line '%-7s %-36s %4d passed %3d failed %3d skipped %5d.%d s' \
		"$word" "$name" "$p" "$f" "$s" $((ms / 1000)) $((ms % 1000 / 100))
	if ((f > 0)); then
		line+=$'\n'$(grep -vE '^(ok |1\.\.)' "$log" | tail -n 60 | sed 's/^/        /')
	fi
	cat <<<"$line"          # in one piece, beside other suites' lines
	echo "$p $f $s $log" >>"$logs/counts"
}

# start NAME COMMAND...: a suite, beside as many others as there are jobs.
running=0 suites=0
start()
{
	suites=$((suites + 1))
	if ((running == jobs)); then
		wait -n
		running=$((running - 1))
	fi
	suite "$@" &
	running=$((running + 1))
}

all_done()
{
	wait
	running=0
}

unit_tests()
{
	local source name
	for source in tests/unit/*.c; do
		[ -e "$source" ] || continue
		name=${source##*/}
		name=${name%.c}
		start "$2$name" "$1/unit/$name"
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
		start "$label$name" env "B=$dir" "BIN=$dir/bin" "MR_BIN=$dir/bin" bats --tap "$file"
	done
}

shopt -s nullglob extglob
unit_tests "$build" ''
bats_tests "$build" '' tests/bats/*.bats
all_done

if [ -n "$sanitized" ]; then
	echo "with ASan and UBSan:"
	# A status of its own, so that no expected failure hides a report.
	export ASAN_OPTIONS=exitcode=86:allocator_may_return_null=1
	export UBSAN_OPTIONS=exitcode=86:print_stacktrace=1
	unit_tests "$sanitized" asan/
	bats_tests "$sanitized" asan/ tests/bats/!(real-*).bats
	all_done
fi

passed=0 failed=0 skipped=0
while read -r p f s log; do
	((passed += p, failed += f, skipped += s, suites -= 1))
	((f == 0)) || echo "failed: $log"
done <"$logs/counts"
((failed += suites))            # those without numbers
((skipped > 0)) && echo "$skipped skipped"
echo "$passed passed, $failed failed" | tee "$logs/summary"
((failed == 0 && passed > 0))

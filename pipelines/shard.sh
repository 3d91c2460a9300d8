#!/bin/sh
# shard.sh N COMMAND [ARGUMENT]...
#
# One process of spread.sh, here or on another host: runs COMMAND over N.in and
# leaves N.tar with what came of it (N.out, N.rejects, N.err), whole or not at all.
# Where the command died instead, it says so in a line and has its status.
# A last argument -t gets the number of threads.
# From the environment: JOBS, THREADS, REMOTE_BIN (see spread.sh).

# It shall not outlive what has started it, nor the command outlive it.
leash='setpriv --pdeathsig KILL'
if [ -z "${leashed:-}" ] && $leash true 2>/dev/null; then
	leashed=$leash exec $leash sh "$0" "$@"
fi
export LC_ALL=C
[ -z "${REMOTE_BIN:-}" ] || PATH=$REMOTE_BIN:$PATH

n=$1 part=$1.$$ status=0
shift
for last; do :; done
if [ "$last" = -t ]; then
	cpus=$(nproc)
	set -- "$@" "${THREADS:-$((cpus > JOBS ? cpus / JOBS : 1))}"
fi

# lines that are not blank
records()
{
	tr -d ' \t\r' <"$1" | grep -c .
}

mkdir "$part" && : >"$part/$n.out" && : >"$part/$n.rejects" && : >"$part/$n.err" || exit 3
wanted=$(records "$n.in")
if [ "$wanted" -gt 0 ]; then
	${leashed:-} "$@" --rejects "$part/$n.rejects" "$n.in" >"$part/$n.out" 2>"$part/$n.err" || status=$?
fi
# 2: some records failed; 3: all of them, or something else is wrong
[ "$status" -ne 3 ] || [ "$(records "$part/$n.rejects")" -ne "$wanted" ] || status=2
if [ "$status" -eq 0 ] || [ "$status" -eq 2 ]; then
	tar -cf "$part.tar" -C "$part" "$n.out" "$n.rejects" "$n.err" && mv "$part.tar" "$n.tar"
	status=$?
else
	echo "shard $n ended with status $status: $(tail -n 1 "$part/$n.err")"
fi
rm -rf "$part" "$part.tar"
exit "$status"

#!/usr/bin/env bats
# pipelines/spread.sh on the tiny model: however a filter is spread and
# whatever dies on the way, what comes out is what one process writes.

load helper

spread() {
	"$repo/pipelines/spread.sh" "$@"
}

sample="mr-sample -n 2 --max-tokens 6 --seed 3"

# a prepared input, with what one process makes of it
prepare() {
	case $B in */asan) skip 'the tools have tests of their own' ;; esac
	prompts 7 >in.jsonl
	$sample -q -o one.jsonl in.jsonl
}

# as_one [OUTPUT]: it is what one process wrote, and nothing else is left
as_one() {
	local out=${1:-out.jsonl}
	cmp one.jsonl "$out"
	cmp one.jsonl.manifest.json "$out.manifest.json"
	[ ! -e "$out.shards" ]
}

# wrap TOOL SCRIPT: a TOOL first in MR_BIN that does SCRIPT first, with its
# arguments; asked what it is, it answers at once.
wrap() {
	mkdir -p wrapped
	printf '#!/bin/bash\ncase " $* " in *" --help "* | *" --version "* | *" --resume "*) ;; *)\n%s\n;; esac\nexec %q "$@"\n' \
		"$2" "$BIN/$1" >"wrapped/$1"
	chmod +x "wrapped/$1"
	export MR_BIN=$PWD/wrapped
}

# wait_for COMMAND...: until it succeeds
wait_for() {
	for _ in {1..300}; do
		"$@" && return
		sleep 0.05
	done
	return 1
}

shards() {
	[ "$(find "$1.shards" -name '*.tar' 2>/dev/null | wc -l)" -ge "$2" ]
}

@test "the same bytes, whatever the processes, threads and shards; the manifest is the tool's own" {
	spread JOBS=1 in.jsonl out.jsonl $sample
	as_one
	spread JOBS=2 CHUNK=1 THREADS=2 in.jsonl out.jsonl $sample
	as_one
	spread JOBS=3 CHUNK=2 in.jsonl out.jsonl $sample
	as_one
	run spread CHUNK=5 in.jsonl out.jsonl $sample
	assert_success
	assert_line --partial '7 records; 2 shards'
	as_one
}

@test "a stage after the other, with a template and the default seed" {
	mr-judge --print-template >rubric.txt
	spread JOBS=2 in.jsonl sampled.jsonl $sample
	spread JOBS=2 CHUNK=2 sampled.jsonl out.jsonl mr-judge -n 2 --max-tokens 6 --guided --template=rubric.txt
	mr-judge -n 2 --max-tokens 6 --guided --template rubric.txt -q -o one.jsonl sampled.jsonl
	as_one
	spread CHUNK=3 out.jsonl controlled.jsonl mr-lengthctl --rho 0.2
	mr-lengthctl --rho 0.2 -q out.jsonl | cmp - controlled.jsonl
}

@test "records that fail: said with their lines, put aside in order, the others go on" {
	local chunk
	{
		sed -n 1,2p in.jsonl
		printf '\n  \nno record\n'
		sed -n 3,4p in.jsonl
		echo '{"id":"empty"}'
		sed -n 2p in.jsonl
		sed -n 5,7p in.jsonl
		printf '{"id":1234567890123456789%d,"prompt":"Go on."}\n' 0 1
		printf '{"prompt":"Go on."}\n{"messages":[{"role":"user","content":"Go on."}]}'
	} >bad.jsonl
	run $sample -q -o one.jsonl --rejects one.rejects bad.jsonl
	assert_failure 2
	for chunk in 1 4 50; do
		run spread CHUNK=$chunk bad.jsonl out.jsonl $sample
		assert_failure 2
		assert_line 'mr-sample: bad.jsonl:5: not JSON: a value is missing at byte 1'
		assert_line 'mr-sample: bad.jsonl:8: "prompt" (or "messages") is missing'
		assert_line 'mr-sample: bad.jsonl:9: the id was there before; ids must differ'
		assert_line --partial '10 records, 4 failed'
		as_one
		sort out.jsonl.rejects.jsonl | diff - <(sort one.rejects)
		[ "$(sed -n 2p out.jsonl.rejects.jsonl)" = 'no record' ]
		[ $chunk = 1 ] || cmp out.jsonl.rejects.jsonl first.rejects
		mv out.jsonl.rejects.jsonl first.rejects
	done
	echo nothing >none.jsonl
	run spread none.jsonl none.out $sample
	assert_failure 3
	[ ! -e none.out ]
	[ "$(cat none.out.rejects.jsonl)" = nothing ]
}

@test "killed with all its processes at several moments, it goes on with the shards that are done" {
	local done
	wrap mr-sample 'sleep 0.3'
	for done in 0 2 4; do
		setsid "$repo/pipelines/spread.sh" JOBS=2 CHUNK=1 in.jsonl out.jsonl $sample 2>log &
		wait_for shards out.jsonl $done
		kill -9 -- -$!
		wait $! || true
		[ ! -e out.jsonl ]
	done
	# half a shard and other things that a death may leave
	echo half >out.jsonl.shards/000007.123.tar
	mkdir out.jsonl.shards/000006.99
	stamp=$(stat -c %Y.%i out.jsonl.shards/000001.tar)
	spread JOBS=2 CHUNK=3 in.jsonl out.jsonl $sample 2>log &
	wait_for shards out.jsonl 5
	[ "$(stat -c %Y.%i out.jsonl.shards/000001.tar)" = "$stamp" ]
	wait $!
	as_one
}

@test "told to stop, it stops with all that it started; one run at a time" {
	local status=0
	wrap mr-sample 'sleep 4'
	"$repo/pipelines/spread.sh" JOBS=2 CHUNK=1 in.jsonl out.jsonl $sample 2>log &
	wait_for test -e out.jsonl.shards/.joblog
	run flock -n out.jsonl.shards true
	assert_failure
	kill -TERM $!
	wait $! || status=$?
	[ "$status" -eq 143 ]
	flock -w 6 out.jsonl.shards true
	[ ! -e out.jsonl ]
	# and another is not let in as long as one is there
	unset MR_BIN
	flock out.jsonl.shards sleep 8 &
	run spread in.jsonl out.jsonl $sample
	assert_failure 3
	assert_output --partial 'another run is at work on out.jsonl'
	wait
}

@test "a process that dies is tried again; where it dies each time, the others are kept" {
	wrap mr-sample 'grep -q "\"p3\"" "${@: -1}" && [ ! -e '"$PWD"'/mercy ] && kill -9 $$'
	run spread CHUNK=2 JOBS=2 in.jsonl out.jsonl $sample
	assert_failure 3
	assert_output --partial '1 of 4 shards are not done (shard 000002 ended with status 137'
	assert_output --partial 'start again to go on'
	grep -q 'shard 000002' out.jsonl.shards/.deaths
	shards out.jsonl 3
	touch mercy
	spread CHUNK=2 JOBS=2 in.jsonl out.jsonl $sample
	as_one
	# once is no harm
	wrap mr-sample 'mkdir '"$PWD"'/once 2>/dev/null && kill -11 $$'
	spread in.jsonl again.jsonl $sample
	[ -d once ]
	as_one again.jsonl
}

@test "shards of another command, model or input are thrown away" {
	wrap mr-sample 'grep -q "\"p6\"" "${@: -1}" && kill -9 $$'
	local command
	half() {
		run spread CHUNK=1 RETRIES=1 in.jsonl out.jsonl $sample "$@"
		assert_failure 3
		shards out.jsonl 6
	}
	half
	half --seed 4
	half
	prompts 8 | tail -n 7 >other.jsonl
	unset MR_BIN
	spread other.jsonl out.jsonl $sample
	$sample -q other.jsonl | cmp - out.jsonl
	export MR_BIN=$PWD/wrapped
	rm out.jsonl*
	half
	unset MR_BIN
	"$B/helper/mktiny" other.gguf 2
	spread MODEL=other.gguf in.jsonl out.jsonl $sample
	$sample -m other.gguf -q -o one.jsonl in.jsonl
	as_one
}

@test "misuse and what cannot be read or written are said in one line" {
	run spread in.jsonl out.jsonl mr-sample -n many
	assert_failure 1
	assert_line --partial 'mr-sample: --n: "many"'
	run spread COLOUR=red in.jsonl out.jsonl $sample
	assert_failure 1
	assert_line --partial '"COLOUR=red" is no setting'
	run spread JOBS=none in.jsonl out.jsonl $sample
	assert_failure 1
	run spread in.jsonl out.jsonl
	assert_failure 1
	run spread in.jsonl out.jsonl $sample -o other.jsonl
	assert_failure 1
	assert_line --partial -- '-o is for one process'
	run spread in.jsonl out.jsonl cat
	assert_failure 1
	assert_line --partial 'cat is no filter of records'
	run spread nowhere.jsonl out.jsonl $sample
	assert_failure 3
	assert_output --partial 'nowhere.jsonl'
	run spread MODEL=nowhere.gguf in.jsonl out.jsonl $sample
	assert_failure 3
	assert_output --partial 'nowhere.gguf'
	: >empty.jsonl
	run spread empty.jsonl out.jsonl $sample
	assert_failure 3
	assert_output --partial 'empty.jsonl: there are no records in it'
	run spread in.jsonl nowhere/out.jsonl $sample
	assert_failure 3
	run spread in.jsonl /dev/null $sample
	assert_failure 3
	[ -c /dev/null ]
	run find . -name '*.shards'
	assert_output ''
}

# --- other hosts ---------------------------------------------------------------

# Two hosts, one and two. With sshd they are real to ssh, on addresses of
# their own; otherwise a program in the place of ssh does what it would do.
# A host is made known to the tools by SSH_CONNECTION, as sshd has it; like
# sshd it sets SHELL, which parallel --pipe cannot do without.
stand_in_hosts() {
	command -v rsync >/dev/null || skip 'rsync is not installed'
	mkdir -p home/one home/two
	cat >ssh <<-END
	#!/bin/bash
	while [[ \$1 == -* ]]; do [[ \$1 != -O ]] || exit 0; shift; done
	host=\$1
	shift
	[ "\$1" != -- ] || shift
	[ ! -e "$PWD/down.\$host" ] || { echo "ssh: \$host: Connection refused" >&2; exit 255; }
	echo "\$host \$*" >>"$PWD/ssh.log"
	echo \$\$ >>"$PWD/pids.\$host"
	[ "\$host" = one ] && last=1 || last=2
	export PATH=$PWD/path:/usr/local/bin:/usr/bin:/bin HOME=$PWD/home/\$host SHELL=/bin/sh SSH_CONNECTION="127.0.0.1 1 127.0.0.\$last 22"
	cd "\$HOME" && exec sh -c "\$*" 3<&- 9<&-
	END
	chmod +x ssh
	export SSH=$PWD/ssh REMOTE_BIN=$PWD/there
	mkdir there
	ln -s "$BIN/mr-sample" there/mr-sample
}

# on_host LAST SCRIPT: mr-sample does SCRIPT first where the address ends so
on_host() {
	rm there/mr-sample
	printf '#!/bin/bash\ncase "$SSH_CONNECTION $*" in *" --version"*) ;; *" 127.0.0.%s "*)\n%s\n;; esac\nexec %q "$@"\n' \
		"$1" "$2" "$BIN/mr-sample" >there/mr-sample
	chmod +x there/mr-sample
}

kill_stand_in() {
	touch "down.$1"
	xargs -r kill -9 <"pids.$1" 2>/dev/null || true
}

@test "over two hosts: the same bytes, the model goes over once, nothing is left there" {
	stand_in_hosts
	spread SSHLOGIN=one,two CHUNK=2 in.jsonl out.jsonl $sample
	as_one
	[ "$(grep -c 'shard 00000[1-4]' ssh.log)" -eq 0 ]
	[ "$(find home -type f | wc -l)" -eq 0 ]
	[ ! -e home/one/.meta-rewarding ]
	# both of them worked, and this one too
	on_host 1 'touch one.worked; cp one.worked '"$PWD"
	spread SSHLOGIN=:,one,two CHUNK=1 JOBS=1 in.jsonl out.jsonl $sample
	as_one
	[ -e one.worked ]
	# a template goes with the model
	on_host 9 ''
	$BIN/mr-judge --print-template >rubric.txt
	ln -s "$BIN/mr-judge" there/mr-judge
	$BIN/mr-judge -n 1 --max-tokens 4 --template rubric.txt -q -o judged.jsonl one.jsonl
	spread SSHLOGIN=two one.jsonl out.jsonl mr-judge -n 1 --max-tokens 4 --template rubric.txt
	cmp judged.jsonl out.jsonl
	cmp judged.jsonl.manifest.json out.jsonl.manifest.json
	# the model's place is the same everywhere
	: >ssh.log
	spread SSHLOGIN=one,two SHARED=1 in.jsonl out.jsonl $sample
	as_one
	refute grep -q 'rsync.*gguf' ssh.log
}

@test "a host that dies midway is made up for; one that cannot be reached is left out" {
	stand_in_hosts
	on_host 2 "touch $PWD/two.started; sleep 20"
	spread SSHLOGIN=one,two CHUNK=1 in.jsonl out.jsonl $sample 2>log &
	wait_for test -e two.started
	kill_stand_in two
	wait $!
	as_one
	run spread SSHLOGIN=one,two CHUNK=1 in.jsonl out.jsonl $sample
	assert_success
	assert_line --partial 'two is left out, it cannot be reached: ssh: two: Connection refused'
	as_one
	touch down.one
	run spread SSHLOGIN=one,two CHUNK=1 in.jsonl out.jsonl $sample
	assert_failure 3
	assert_line --partial 'none of the hosts can be reached'
}

@test "killed with all its processes while hosts work, it goes on at once" {
	stand_in_hosts
	on_host 2 "[ -e $PWD/quick ] || { touch $PWD/two.started; sleep 60; }"
	setsid "$repo/pipelines/spread.sh" SSHLOGIN=one,two CHUNK=1 in.jsonl out.jsonl $sample 2>log &
	wait_for test -e two.started
	wait_for shards out.jsonl 2
	kill -9 -- -$!
	wait $! || true
	touch quick
	spread SSHLOGIN=one,two CHUNK=1 in.jsonl out.jsonl $sample
	as_one
	# the others killed alone
	rm quick two.started
	"$repo/pipelines/spread.sh" SSHLOGIN=two CHUNK=1 in.jsonl out.jsonl $sample 2>log &
	wait_for test -e two.started
	kill -9 $!
	wait $! || true
	touch quick
	spread in.jsonl out.jsonl $sample
	as_one
}

@test "hosts with another version, without the tools, with another model: said before anything starts" {
	stand_in_hosts
	on_host 9 ''
	sed -i '2i [ "$1" = --version ] \&\& { echo "mr-sample (meta-rewarding) 0.0.1"; exit; }' there/mr-sample
	run spread SSHLOGIN=one in.jsonl out.jsonl $sample
	assert_failure 3
	assert_output --partial 'one: mr-sample (meta-rewarding) 0.0.1; here it is mr-sample (meta-rewarding) '
	run spread SSHLOGIN=one REMOTE_BIN=/nowhere in.jsonl out.jsonl $sample
	assert_failure 3
	assert_output --partial 'one: mr-sample is missing there'
	on_host 9 ''
	printf '#!/bin/sh\necho "0123  -"\n' >there/sha256sum
	chmod +x there/sha256sum
	run spread SSHLOGIN=one SHARED=1 in.jsonl out.jsonl $sample
	assert_failure 3
	assert_output --partial "one: the model $(realpath "$TINY") is another one there, or missing"
	unset MR_MODEL
	run spread MODEL= SSHLOGIN=one in.jsonl out.jsonl $sample
	assert_failure 3
	[ ! -e out.jsonl.shards ]
}

@test "the manual's commands by hand: the same bytes as well" {
	stand_in_hosts
	sed -n '/^\.SH SEVERAL MACHINES/,/^\.SH [^S]/p' "$repo/man/man7/meta-rewarding.7" |
		awk '/^\.nf/ { inside = 1; text = ""; next } /^\.fi/ { if (text ~ /parallel/) printf "%s", text; inside = 0 }
			inside { text = text $0 "\n" }' |
		sed "s/\\\\e\$/\\\\/; s/\\\\-/-/g; s/\\\\(aq/'/g; s/host1/one/; s/host2/two/; s/-n 7/-n 2 --max-tokens 6 --seed 3/" >commands
	[ "$(grep -c '^parallel' commands)" -eq 3 ]
	# a command each time, with what it writes
	awk '/^parallel/ { n++ } /^split/ { n = 3 } { print >("command." (n < 3 ? n : 3)) }' commands
	ln -s "$PWD/there" path
	# parallel keeps what it finds out about a host at home, and finds it out
	# anew in a home of its own, whatever else runs parallel just now
	mkdir home/here
	export PARALLEL_SSH=$SSH HOME=$PWD/home/here
	cp "$TINY" my.gguf
	prompts 25 >prompts.jsonl
	$sample -q prompts.jsonl >whole.jsonl
	for n in 1 2 3; do
		rm -f sampled.jsonl log
		PATH=$BIN:$PATH bash -eo pipefail "command.$n" 2>errors || { cat "command.$n" errors; false; }
		cmp whole.jsonl sampled.jsonl || { cat "command.$n" errors; [ ! -e log ] || cat log; wc part.* done.*; false; }
	done
	[ "$(find home -type f | grep -vc '/\.parallel/')" -eq 0 ]
	# the last one goes on
	rm done.part.aaab
	sed -i '/aaab/d' log
	sed -i '/^split/d' command.3
	: >ssh.log
	bash -eo pipefail command.3 2>errors
	cmp whole.jsonl sampled.jsonl
	refute grep -q 'part.aaaa' ssh.log
}

# kill_tree PID: with all that it has started
kill_tree() {
	local child
	kill -STOP "$1" 2>/dev/null
	for child in $(ps -o pid= --ppid "$1"); do kill_tree "$child"; done
	kill -9 "$1" 2>/dev/null || true
}

# sshd on 127.0.0.1 as the host one, on 127.0.0.2 as two; sshd_pid[1], [2]
real_hosts() {
	local sshd port i
	sshd=$(PATH=$PATH:/usr/sbin command -v sshd) || skip 'sshd is not installed'
	for i in rsync ssh ssh-keygen; do
		command -v "$i" >/dev/null || skip "$i is not installed"
	done
	[ "$(id -u)" -ne 0 ] || mkdir -p /run/sshd
	ssh-keygen -q -t ed25519 -N '' -f host_key
	ssh-keygen -q -t ed25519 -N '' -f key
	for i in 1 2; do
		port=$((20000 + (BASHPID * 2 + i) % 30000))
		cat >"sshd$i.conf" <<-END2
		Port $port
		ListenAddress 127.0.0.$i
		HostKey $PWD/host_key
		AuthorizedKeysFile $PWD/key.pub
		PidFile none
		UsePAM no
		StrictModes no
		PasswordAuthentication no
		PermitRootLogin prohibit-password
		END2
		"$sshd" -D -f "sshd$i.conf" -E "sshd$i.log" 3>&- &
		sshd_pid[i]=$!
		printf 'Host %s\nHostName 127.0.0.%d\nPort %d\n' "$([ $i = 1 ] && echo one || echo two)" $i $port >>ssh.conf
	done
	printf 'Host *\nIdentityFile %s/key\nIdentitiesOnly yes\nStrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\n' \
		"$PWD" >>ssh.conf
	export SSH="ssh -F $PWD/ssh.conf" REMOTE_BIN=$PWD/there WORKDIR=$PWD/work
	mkdir there
	ln -s "$BIN/mr-sample" there/mr-sample
	for i in one two; do
		wait_for ssh -F ssh.conf $i true 2>/dev/null || skip "sshd does not let us in: $(tail -n 1 sshd*.log)"
	done
}

teardown() {
	local pid
	for pid in "${sshd_pid[@]}"; do kill_tree "$pid"; done
}

@test "over two real sshd on loopback: the same bytes, and when one of them dies midway" {
	real_hosts
	on_host 2 "touch $PWD/two.worked"
	spread SSHLOGIN=one,two in.jsonl out.jsonl $sample
	as_one
	[ -e two.worked ]
	[ -z "$(find work -type f)" ]
	on_host 2 "touch $PWD/two.started; sleep 20"
	spread SSHLOGIN=one,two CHUNK=2 in.jsonl out.jsonl $sample 2>log &
	wait_for test -e two.started
	kill_tree "${sshd_pid[2]}"
	wait $!
	as_one
	[ -z "$(find work -type f)" ]
}

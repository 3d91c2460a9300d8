#!/usr/bin/env bats
# Bad input gets one clear line and the right exit status; nothing crashes,
# nothing is left half written. Each row: what, status, what the line says.

load helper

# The line that a bad record gets, for every tool that reads records.
# tool|arguments|a good record
readers() {
	cat <<-'EOF'
	mr-sample|-m @TINY -n 2 --max-tokens 4|{"id":"g","prompt":"Say hello."}
	mr-judge|-m @TINY -n 2 --max-tokens 4|{"id":"g","prompt":"Say hello.","responses":[{"text":"Hello."}]}
	mr-lengthctl||{"id":"g","prompt":"p","responses":[{"text":"a","score":1},{"text":"b","score":2}]}
	mr-metajudge|-m @TINY --max-tokens 4|{"id":"g","prompt":"p","responses":[{"text":"a","judgments":[{"text":"Score: 1","score":1},{"text":"Score: 2","score":2}],"score":1.5,"score_var":0.25,"score_n":2}]}
	mr-elo||{"id":"g","prompt":"p","meta":null}
	mr-pairs||{"id":"g","prompt":"p","responses":[{"text":"a"},{"text":"b"}],"actor":{"chosen":0,"rejected":1,"rho":0},"judge":null}
	EOF
}

# Runs a tool on a file of one bad and one good record.
# $1 status, $2 pattern, $3 tool, $4 arguments, $5 file
expect_line() {
	local rc=0
	$3 -q ${4//@TINY/$TINY} "$5" >out 2>line || rc=$?
	[ "$rc" -eq "$1" ] || { echo "$3 on $5: exit $rc, wanted $1"; cat line; return 1; }
	[ "$(wc -l <line)" -eq 1 ] || { echo "$3 on $5: not one line:"; cat line; return 1; }
	grep -Eq "^$3: .*$2" line || { echo "$3 on $5: wanted /$2/:"; cat line; return 1; }
}

# A bad line is reported with file and line, goes to --rejects as it came, and the good record is done.
bad_line() {
	local tool args good
	while IFS='|' read -r tool args good; do
		{ cat bad; printf '%s\n' "$good"; } >in.jsonl
		expect_line 2 "$1" "$tool" "$args --rejects rejects" in.jsonl
		grep -q "in.jsonl:1: " line
		cmp bad rejects
		[ "$tool" = mr-pairs ] || [ "$(jq -r .id out)" = g ]
		# alone, nothing could be done
		expect_alone "$tool" "$args"
	done < <(readers)
}

expect_alone() {
	local rc=0
	$1 -q ${2//@TINY/$TINY} bad >out 2>line || rc=$?
	[ "$rc" -eq 3 ] && [ ! -s out ]
}

@test "not JSON" {
	echo 'this is not JSON' >bad
	bad_line 'not JSON'
}

@test "JSON, but not an object" {
	echo '[1,2,3]' >bad
	bad_line 'object'
}

@test "a line cut off in the middle" {
	echo '{"id":"x","prompt":"unfinis' >bad
	bad_line 'not JSON'
}

@test "invalid UTF-8" {
	printf '{"id":"x","prompt":"\xff\xfe"}\n' >bad
	bad_line 'UTF-8'
}

@test "NUL bytes" {
	printf '{"id":"x","prompt":"a\0b"}\n' >bad
	bad_line 'not JSON|NUL|control'
}

@test "two records with the same id" {
	local tool args good rc
	while IFS='|' read -r tool args good; do
		printf '%s\n%s\n' "$good" "$good" >in.jsonl
		expect_line 2 'in.jsonl:2: .*"g".*before' "$tool" "$args" in.jsonl
	done < <(readers)
}

# tool | pattern | record
fields() {
	cat <<-'EOF'
	mr-sample|"prompt".* is missing|{"id":"x"}
	mr-sample|"prompt"|{"id":"x","prompt":7}
	mr-sample|"messages"|{"id":"x","messages":"hello"}
	mr-sample|role|{"id":"x","messages":[{"role":"wizard","content":"a"}]}
	mr-sample|U\+0000|{"id":"x","prompt":"a\u0000b"}
	mr-sample|--overwrite|{"id":"x","prompt":"p","responses":[]}
	mr-judge|"responses" is missing; run mr-sample first|{"id":"x","prompt":"p"}
	mr-judge|"responses"|{"id":"x","prompt":"p","responses":{}}
	mr-judge|responses\[0\]|{"id":"x","prompt":"p","responses":["a"]}
	mr-judge|"text"|{"id":"x","prompt":"p","responses":[{"tokens":3}]}
	mr-judge|"text"|{"id":"x","prompt":"p","responses":[{"text":3}]}
	mr-judge|U\+0000|{"id":"x","prompt":"p","responses":[{"text":"a\u0000b"}]}
	mr-lengthctl|"responses" is missing|{"id":"x","prompt":"p"}
	mr-lengthctl|"score"|{"id":"x","prompt":"p","responses":[{"text":"a","score":"4"}]}
	mr-metajudge|"responses" is missing|{"id":"x","prompt":"p"}
	mr-metajudge|"judgments" is missing|{"id":"x","prompt":"p","responses":[{"text":"a"}]}
	mr-elo|"meta" is missing; run mr-metajudge first|{"id":"x","prompt":"p"}
	mr-elo|"battles"|{"id":"x","prompt":"p","meta":{"response":0}}
	mr-elo|winner|{"id":"x","prompt":"p","meta":{"response":0,"battles":[{"first":0,"second":1,"winner":"A"}]},"responses":[{"text":"a","judgments":[{"text":"b"},{"text":"c"}]}]}
	mr-pairs|"responses" is missing|{"id":"x","prompt":"p","actor":{"chosen":0,"rejected":1},"judge":null}
	mr-pairs|actor|{"id":"x","prompt":"p","actor":{"chosen":0,"rejected":9},"judge":null,"responses":[{"text":"a"}]}
	EOF
}

@test "a missing field or the wrong type says which, and what to run first" {
	local tool pattern record
	while IFS='|' read -r tool pattern record; do
		local args=
		case $tool in mr-sample|mr-judge|mr-metajudge) args="-m $TINY --max-tokens 4" ;; esac
		local rc=0
		echo "$record" >in.jsonl
		$tool -q $args in.jsonl >out 2>line || rc=$?
		[ "$rc" -eq 3 ] || { echo "$tool on $record: exit $rc"; cat line; return 1; }
		[ ! -s out ]
		grep -Eq "^$tool: in.jsonl:1: .*$pattern" line || { echo "$tool on $record: wanted /$pattern/:"; cat line; return 1; }
	done < <(fields)
}

@test "an empty file" {
	local tool args good
	: >empty.jsonl
	while IFS='|' read -r tool args good; do
		expect_line 3 'empty.jsonl: .*no records' "$tool" "$args" empty.jsonl
	done < <(readers)
}

@test "a file that is not there, a directory as input" {
	local tool args good
	mkdir -p folder
	while IFS='|' read -r tool args good; do
		expect_line 3 'absent.jsonl: .*No such file' "$tool" "$args" absent.jsonl
		expect_line 3 'folder: .*directory' "$tool" "$args" folder
	done < <(readers)
}

@test "a 5 MB prompt, and a prompt longer than the context" {
	head -c 5000000 /dev/zero | tr '\0' 'a' | jq -Rc '{id:"big",prompt:.}' >in.jsonl
	echo '{"id":"g","prompt":"Say hello."}' >>in.jsonl
	expect_line 2 'in.jsonl:1: .*tokens.*context' mr-sample "-m $TINY -n 1 --max-tokens 4" in.jsonl
	[ "$(jq -r .id out)" = g ]
	jq -nc '{id:"long",prompt:("word " * 4000)}' >in.jsonl
	expect_line 3 'context' mr-sample "-m $TINY -n 1 --max-tokens 4" in.jsonl || grep -q 'in.jsonl:1: .*context' line
}

@test "a model that is truncated, empty, a text, a directory or not there" {
	echo '{"id":"g","prompt":"Say hello."}' >in.jsonl
	head -c 20000 "$TINY" >cut.gguf
	head -c 100 "$TINY" >short.gguf
	: >empty.gguf
	echo 'not a model' >text.gguf
	mkdir -p dir.gguf
	local m
	for m in cut short empty text dir absent; do
		expect_line 3 "$m.gguf: " mr-sample "-m $m.gguf" in.jsonl
		[ ! -s out ]
	done
}

@test "a full disk" {
	[ -w /dev/full ] || skip "no /dev/full"
	echo '{"id":"g","prompt":"p","responses":[{"text":"a","score":1},{"text":"bb","score":2}]}' >in.jsonl
	run -3 bash -c 'mr-lengthctl -q in.jsonl >/dev/full'
	assert_output --partial 'No space left on device'
	run -3 bash -c "mr-sample -q -m '$TINY' --overwrite -n 1 --max-tokens 2 in.jsonl >/dev/full"
	assert_output --partial 'No space left on device'
}

@test "an output that cannot be written leaves nothing behind" {
	echo '{"id":"g","prompt":"p","responses":[{"text":"a","score":1},{"text":"bb","score":2}]}' >in.jsonl
	mkdir dir
	run -3 mr-lengthctl -q -o dir in.jsonl
	assert_output --partial 'dir'
	run -3 mr-lengthctl -q -o absent/out.jsonl in.jsonl
	assert_output --partial 'absent/out.jsonl'
	run ls
	refute_output --partial part
}

@test "a closed pipe" {
	for i in $(seq 3000); do
		echo '{"id":"'$i'","prompt":"p","responses":[{"text":"a","score":1},{"text":"bb","score":2}]}'
	done >in.jsonl
	bash -c 'mr-lengthctl -q in.jsonl 2>line; echo $? >status' | head -n 1 >first
	[ "$(jq -r .id first)" = 1 ]
	[ "$(cat status)" -eq 3 ]
	grep -q '^mr-lengthctl: .*closed' line
}

@test "usage errors exit 1 and say how to call it" {
	run -1 mr-sample --no-such-option
	assert_output --partial 'no-such-option'
	assert_output --partial 'usage: mr-sample'
	run -1 mr-lengthctl --rho 1.5
	assert_output --partial 'rho'
	run -1 mr-sample -n none
	run -1 mr-sample --temperature -1
	run -1 mr-dpo
	run -1 mr-eval
	run -1 mr-eval no-such-report
}

@test "-o appears whole or not at all, also when stopped" {
	jq -nc 'range(3000) | {id: "r\(.)", prompt: "Say hello to number \(.)."}' >in.jsonl
	mr-sample -q -m "$TINY" -n 4 --max-tokens 400 -o out.jsonl in.jsonl &
	local pid=$! rc=0
	while [ -z "$(find . -name 'out.jsonl.part*')" ] && kill -0 $pid; do sleep 0.05; done
	kill -TERM $pid
	wait $pid || rc=$?
	[ "$rc" -eq 143 ]
	[ "$(ls)" = in.jsonl ]
}

#!/bin/bash
# spread.sh [NAME=VALUE]... INPUT OUTPUT COMMAND [ARGUMENT]...
#
# Runs a filter of records (mr-sample, mr-judge, ...) over the file INPUT with
# several processes, here or on several hosts, and writes OUTPUT:
#
#   spread.sh JOBS=2 prompts.jsonl sampled.jsonl mr-sample -n 7 --seed 1
#   spread.sh SSHLOGIN=:,host1,host2 MODEL=m.gguf in.jsonl out.jsonl mr-judge
#
# INPUT is cut into shards of CHUNK records, which GNU parallel hands to the
# processes. A shard that is done is one file in OUTPUT.shards, there whole or
# not at all; a run that was stopped or killed goes on with the others when it
# is started again. At the end OUTPUT is there, in the order of INPUT, with
# OUTPUT.manifest.json as the tool itself writes it, and, where records failed,
# with OUTPUT.rejects.jsonl. None of JOBS, THREADS, CHUNK and SSHLOGIN changes
# a byte of them. Shards of another command, model or input are thrown away.
#
# -q, -t, --rejects and --manifest are spread.sh's to give. A shard whose
# process or host dies is tried again, on another host where there is one.
# Other hosts need the tools (the same version), CPUs with the same instruction
# set, rsync and sha256sum, and a login by ssh without a password. The model, and files named by a relative
# path in COMMAND, are copied there once and removed at the end.
# Exit status: 0; 1 misuse; 2 some records failed; 3 nothing, or not all, done.
#
# Names (from the command line or the environment) and their defaults:
usage_names='
JOBS=                processes on each host; empty: one for each CPU here, 1 with SSHLOGIN
THREADS=             threads of each; empty: CPUs of its host / JOBS
CHUNK=               records in a shard; empty: 1 to 16, so that each process gets four or more
MODEL=               a GGUF file; empty: $MR_MODEL, or the default one
SSHLOGIN=            hosts, as for parallel: host1,user@host2; : is this one
SHARED=0             1: the model is at the same path on all hosts
REMOTE_BIN=          folder of the tools on the hosts; empty: they are in PATH there
WORKDIR=.meta-rewarding  folder on the hosts for what is copied
SSH=ssh              how to log in, with options (ssh -F my-config)
RETRIES=3            tries of a shard
'
set -euo pipefail
export LC_ALL=C

here=$(dirname "$(realpath "$0")")
[ -n "${MR_BIN:-}" ] || MR_BIN=$here/../build/bin
[ -d "$MR_BIN" ] && PATH=$(realpath "$MR_BIN"):$PATH

say()
{
	printf 'spread.sh: %s\n' "$*" >&2
}

die()
{
	say "$*"
	exit 3
}

usage()
{
	say "$1"
	printf 'Usage: spread.sh [NAME=VALUE]... INPUT OUTPUT COMMAND [ARGUMENT]...\n' >&2
	printf 'Names and their defaults:%s' "$usage_names" >&2
	exit 1
}

while IFS='=' read -r name rest; do
	[ -z "$name" ] || printf -v "$name" '%s' "${!name:-${rest%% *}}"
done <<<"$usage_names"
while [[ ${1:-} =~ ^([A-Z_]+)= ]]; do
	[[ $usage_names == *$'\n'"${BASH_REMATCH[1]}="* ]] || usage "\"$1\" is no setting"
	printf -v "${BASH_REMATCH[1]}" '%s' "${1#*=}"
	shift
done
[ $# -ge 3 ] || usage 'an input, an output and a command are needed'
for name in JOBS THREADS CHUNK RETRIES; do
	[[ ${!name} =~ ^([1-9][0-9]*)?$ ]] || usage "$name: \"${!name}\" is no number"
done
input=$1 output=$2
shift 2
for program in "$1" jq parallel sha256sum flock tar split; do
	command -v "$program" >/dev/null || die "$program is missing; run make setup and make first"
done
[[ -f $input && -r $input ]] || die "$input: no file that can be read"
[[ -f $output || ! -e $output ]] || die "$output: no file"
: "${MODEL:=${MR_MODEL:-}}" "${RETRIES:=3}" "${WORKDIR:=.meta-rewarding}" "${SSH:=ssh}"
hosts=()
[ -z "$SSHLOGIN" ] || IFS=, read -ra hosts <<<"$SSHLOGIN"
[ ${#hosts[@]} -gt 0 ] || : "${JOBS:=$(nproc)}"
: "${JOBS:=1}"
scratch=$(mktemp -d)
# one login a host, for all that is done there
ssh="$SSH -oBatchMode=yes -oConnectTimeout=10 -oServerAliveInterval=15
	-oControlMaster=auto -oControlPath=$scratch/%C -oControlPersist=60"
ssh=${ssh//$'\n\t'/ }

# What is started does not outlive this script, however that ends.
leash=(setpriv --pdeathsig KILL)
"${leash[@]}" true 2>/dev/null || leash=()

# words for a POSIX shell
quoted()
{
	jq -rn '$ARGS.positional | @sh' --args -- "$@"
}

# on HOST SCRIPT: HOST as parallel has it, SCRIPT for sh
on()
{
	# shellcheck disable=SC2086 # a command and its options
	$ssh "${1#*/}" "sh -c $(quoted "$2")" </dev/null
}

worker='' watcher='' folder=''
remote=()       # the hosts but this one
leave()
{
	local host
	trap - EXIT
	set +e
	[ -z "$watcher" ] || kill "$watcher"
	for host in "${remote[@]}"; do
		on "$host" "rm -rf $(quoted "$folder"); rmdir .meta-rewarding"
		$SSH -oControlPath="$scratch/%C" -O exit "${host#*/}"
	done
	# which parallel makes here as well
	[[ $folder != /* ]] || rmdir "$folder"
	rm -rf "$scratch"
} 2>/dev/null
# What runs is ended; the shards that are done are kept.
stop()
{
	trap - INT TERM HUP
	set +e
	if [ -n "$worker" ]; then
		kill -TERM "$worker" && sleep 0.2
		kill -TERM "$worker" && wait "$worker"
	fi
	exit 143
} 2>/dev/null
trap leave EXIT
trap 'die "line $LINENO of the script failed"' ERR
trap stop INT TERM HUP

# --- the command ---------------------------------------------------------------

help=$("$1" --help 2>/dev/null) || true
threads=''
[[ $help != *--threads* ]] || threads=-t
[[ $help == *--rejects* && $help == *--resume* ]] || usage "$1 is no filter of records"

# It runs in a folder of its own, here and on other hosts; the files that it
# names by relative paths are there too, but for a key.
links=()        # name, file, name, file, ...
command=()
last=''
for word; do
	case $word in
	-o | --output* | --rejects* | --resume* | --manifest* | --budget-*)
		usage "$word is for one process, spread.sh starts several" ;;
	esac
	file=${word#--*=}
	if [ -f "$file" ] && [[ /$file/ == */../* || "$last $word" == *--key-file* ]]; then
		word=${word%"$file"}$(realpath "$file")
	elif [ -f "$file" ] && [[ $file != /* ]]; then
		links+=("$file" "$(realpath "$file")")
	fi
	command+=("$word")
	last=$word
done
if [ -n "$MODEL" ] && [[ $help == *--model* && " $* " != *' --endpoint'* ]]; then
	[ -f "$MODEL" ] || die "there is no model $MODEL"
	MODEL=$(realpath "$MODEL")
	if [ "$SHARED" = 1 ]; then
		command+=(-m "$MODEL")
	else
		command+=(-m "${MODEL##*/}")
		links+=("${MODEL##*/}" "$MODEL")
	fi
elif [ -d models ]; then
	links+=(models "$PWD/models")   # where the tools look for the default one
fi

# make_links FOLDER
make_links()
{
	local i
	for ((i = 0; i < ${#links[@]}; i += 2)); do
		mkdir -p "$(dirname "$1/${links[i]}")" && ln -sfn "${links[i + 1]}" "$1/${links[i]}" || return
	done
}

# Once with a record that is "already there": this checks the options and
# the model, and says what the output depends on.
mkdir "$scratch/try"
make_links "$scratch/try"
echo '{"id":"none"}' >"$scratch/none"
status=0
(cd "$scratch/try" && "${command[@]}" -q --resume "$scratch/none" --manifest "$scratch/manifest" \
	"$scratch/none" >/dev/null) || status=$?
[ "$status" -ne 1 ] || exit 1
[ "$status" -eq 0 ] || die "$1 cannot start"
input_sha=$(sha256sum <"$input" | cut -c 1-64)
key=$({ jq -S 'del(.input, .records, .output)' "$scratch/manifest"; echo "$input_sha"; } | sha256sum | cut -c 1-64)

# --- the other hosts -----------------------------------------------------------

expected=$("$1" --version)
check="${REMOTE_BIN:+PATH=$(quoted "$REMOTE_BIN"):\$PATH; }for p in $(quoted "$1") rsync sha256sum tar; do
	command -v \"\$p\" >/dev/null || { echo \"\$p is missing there\"; exit; }
done
$(quoted "$1") --version"
if [ "$SHARED" = 1 ] && [ -n "$MODEL" ]; then
	check+="; sha256sum <$(quoted "$MODEL") 2>/dev/null | cut -c 1-64"
	expected+=$'\n'$(jq -r .model.sha256 "$scratch/manifest")
fi
folder=$WORKDIR/${key:0:16}
logins=()
for host in "${hosts[@]}"; do
	if [[ $host =~ ^([0-9]+/)?:$ ]]; then
		logins+=("$host")
	elif ! answer=$(on "$host" "$check" 2>"$scratch/why"); then
		say "$host is left out, it cannot be reached: $(tail -n 1 "$scratch/why")"
	elif [ "$answer" != "$expected" ]; then
		[ "${answer%%$'\n'*}" != "${expected%%$'\n'*}" ] || answer="the model $MODEL is another one there, or missing"
		die "$host: $answer; here it is $("$1" --version)"
	else
		logins+=("$host")
		remote+=("$host")
	fi
done
[ ${#hosts[@]} -eq 0 ] || [ ${#logins[@]} -gt 0 ] || die "none of the hosts can be reached"
if [ ${#remote[@]} -gt 0 ]; then
	command -v rsync >/dev/null || die 'rsync is missing'
	[[ -n $MODEL || " $* " == *' --endpoint'* || $help != *--model* ]] || die 'other hosts need MODEL=FILE'
fi

# --- the shards ----------------------------------------------------------------

shards=$output.shards
[ -d "$shards" ] || mkdir "$shards" || die "$shards cannot be made"
shards=$(realpath "$shards")
# The lock is inherited; what a killed run has started is about to end.
exec 9<"$shards"
{ flock -w 5 9 && [ "$shards" -ef /proc/self/fd/9 ]; } || die "another run is at work on $output"

input_path=$(realpath "$input")
output_path=$(realpath -s "$output")
cd "$shards"

# The records' keys, as the tools tell whether an id was there before; a number
# that jq would round is with its digits.
keys()
{
	jq -Rr '. as $line | try (fromjson
		| if has("id") | not then
			.messages // .prompt | if type == "string" then [{role: "user", content: .}] else . end
			| map([.role, .content])
		  elif (.id | type) == "number" and (.id | fabs) > 9e15 then
			[$line | scan("\"id\"\\s*:\\s*([-0-9.eE+]+)")] | tojson
		  else .id | strings, numbers | tostring end | tojson) catch ""' <"$1"
}

# cut_input FILE RECORDS: NNNNNN.in, each of so many lines. A record whose id
# was there before is blank in them: it fails, wherever the cuts are.
cut_input()
{
	keys "$1" | awk 'length && seen[$0]++ { print NR }' >.same-id || return
	if [ -s .same-id ]; then
		awk 'FILENAME == ".same-id" { same[$0] = 1; next } { print(FNR in same ? "" : $0) }' .same-id "$1"
	else
		cat "$1"
	fi | split -a 6 --numeric-suffixes=1 --additional-suffix=.in -l "$2" - '' &&
		echo "$2" >.chunk
}

# lines that are not blank
records()
{
	tr -d ' \t\r' <"$1" | grep -c . || true
}

number='[0-9][0-9][0-9][0-9][0-9][0-9]'
total=$(records "$input_path")
if [ "$total" -eq 0 ]; then
	rm -r "$shards"
	die "$input: there are no records in it"
fi
if [ "$(cat .key 2>/dev/null)" != "$key" ]; then
	find . -mindepth 1 -delete
	quarter=$((total / (JOBS * (${#logins[@]} > 0 ? ${#logins[@]} : 1)) / 4))
	cut_input "$input_path" "${CHUNK:-$((quarter < 1 ? 1 : quarter > 16 ? 16 : quarter))}" ||
		die "$input cannot be cut into shards"
	echo "$key" >.key
fi
chunk=$(cat .chunk)
find . -mindepth 1 ! -name "$number.in" ! -name "$number.tar" ! -name .key ! -name .chunk ! -name .same-id -delete
make_links .
there()
{
	find . -name "$number.$1" | sed 's|^\./||; s|\.[a-z]*$||' | sort
}
there in >.all
there tar | comm -23 .all - >.todo

# What a process does, here or elsewhere
cp "$here/shard.sh" .shard
{
	printf 'JOBS=%s THREADS=%s REMOTE_BIN=%s sh ./.shard "$1" ' "$JOBS" "$THREADS" "$(quoted "$REMOTE_BIN")"
	quoted "${command[@]}" -q ${threads:+"$threads"}
} >.task

# --- the work ------------------------------------------------------------------

options=()
if [ ${#logins[@]} -gt 0 ]; then
	# parallel gives its jobs no leash, but they know it
	cat >"$scratch/ssh" <<-END
		#!/bin/bash
		$ssh "\$@" <&0 &
		ssh=\$!
		(while kill -0 "\${PARALLEL_PID:-\$\$}"; do sleep 1; done; kill "\$ssh") <&- >/dev/null 2>&1 9<&- &
		wait "\$ssh"
		status=\$?
		kill "\$!"
		exit "\$status"
	END
	chmod +x "$scratch/ssh"
	options=(--sshlogin "$(IFS=,; echo "${logins[*]}")" --ssh "$scratch/ssh" --rsync-opts=-rtLzR --workdir "$folder"
		--transferfile '{}.in' --return '{}.tar' --basefile .shard --basefile .task)
	for ((i = 0; i < ${#links[@]}; i += 2)); do
		options+=(--basefile "${links[i]}")
	done
fi
# On a terminal: how far it is, every two seconds.
watch()
{
	local shards
	shards=$(wc -l <.all)
	while sleep 2; do
		printf '\r%s: %d of %d shards ' "$1" "$(there tar | wc -l)" "$shards"
	done
} >&2
if [ -s .todo ]; then
	if [ -t 2 ]; then
		watch "$1" 9>&- &
		watcher=$!
	fi
	PARALLEL_SHELL=/bin/sh "${leash[@]}" parallel --will-cite -j "$JOBS" --retries "$RETRIES" --halt soon,fail=5 \
		--joblog .joblog "${options[@]}" \
		"case \$PARALLEL_SSHLOGIN in : | */:) cd $(quoted "$shards");; esac; sh ./.task {}" \
		<.todo >.deaths 2>.log &
	worker=$!
	wait "$worker" || true
	worker=
	if [ -n "$watcher" ]; then
		kill "$watcher"
		wait "$watcher" 2>/dev/null || true
		watcher=
		printf '\r' >&2
	fi
fi
undone=$(there tar | comm -23 .all - | wc -l)
if [ "$undone" -gt 0 ]; then
	why=$(tail -qn 1 .deaths .log | head -n 1)
	die "$undone of $(wc -l <.all) shards are not done (${why:-no reason was given}); start again to go on"
fi

# --- the output ----------------------------------------------------------------

# collect NAME: the shards' files NNNNNN.NAME, in order
collect()
{
	sed "s/\$/.$1/" .all | xargs -r cat --
}

# What the tool said, with the names and lines of the input
messages()
{
	collect err | awk -F: -v OFS=: -v input=" $input" -v chunk="$chunk" '
		$2 ~ /^ [0-9]+\.in$/ { $3 += (substr($2, 2, 6) - 1) * chunk; $2 = input } 1'
	sed "s|.*|${command[0]}: $input:&: the id was there before; ids must differ|" .same-id
}

# The lines of .rejects in the order of the input, which may have a byte order
# mark and carriage returns
in_order()
{
	awk '{ key = $0; sub(/^\357\273\277/, "", key); sub(/\r$/, "", key) }
		FILENAME == ".rejects" { line[key] = $0; n[key]++; next }
		n[key]-- > 0 { print line[key] }' .rejects "$input_path"
}

sha()
{
	sha256sum "$1" | cut -c 1-64
}

manifest()
{
	jq -r --arg input "$input" --arg input_sha "$input_sha" --arg output_sha "$(sha .out)" \
		--argjson read "$total" --argjson failed "$failed" '
		.input = {files: [$input], sha256: $input_sha}
		| .records = {read: $read, done: ($read - $failed), failed: $failed, already_there: 0}
		| .output = {sha256: $output_sha}
		| to_entries | map("\(.key | tojson):\(.value | tojson)") | "{" + join(",\n ") + "}"' "$scratch/manifest"
}

# put FILE NAME: whole or not at all, even where the power fails
put()
{
	sync "$1" && mv -f "$1" "$2"
}

collect tar | tar -xif - || die "the shards cannot be read"
messages >&2
{
	collect out >.out && collect rejects >.rejects &&
		awk 'FILENAME == ".same-id" { same[$0] = 1; next } FNR in same' .same-id "$input_path" >>.rejects &&
		in_order >.in-order && failed=$(wc -l <.rejects) && manifest >.manifest
} || die "$output cannot be put together"
rm -f "$output_path.rejects.jsonl"
[ "$failed" -eq 0 ] || put .in-order "$output_path.rejects.jsonl" || die "$output.rejects.jsonl cannot be written"
if [ "$failed" -lt "$total" ]; then
	{ put .manifest "$output_path.manifest.json" && put .out "$output_path"; } || die "$output cannot be written"
fi
say "$1: $((total - failed)) records$( ((failed == 0)) || printf ', %d failed' "$failed"); $(wc -l <.all) shards, $SECONDS s"
cd /
rm -f "$shards/.key"
rm -rf "$shards"
[ "$failed" -lt "$total" ] || exit 3
[ "$failed" -eq 0 ] || exit 2

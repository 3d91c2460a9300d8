#!/bin/bash
# stage.sh [--log FILE] [--work DIR] OUTPUT PREREQUISITE... -- COMMAND [ARGUMENT]...
#
# Runs COMMAND, which makes the file OUTPUT of a run, and writes into the run's
# manifest.json how it came about. meta-rewarding.mk calls this for each file.
#
# RUN (in the environment) is the run's folder. The PREREQUISITEs are what make
# knows of: RUN/settings/NAME holds the command as it is recorded, without what
# changes no byte; RUN/inputs/NAME the SHA-256 of a file from outside; all
# others are files of the run, which the manifest has already.
#
# --stdout      COMMAND's standard output is OUTPUT
# --log FILE    COMMAND's standard output is kept as FILE, an output as well
# --work DIR    COMMAND keeps there what it can go on from when it was killed;
#               emptied where it is of other settings or inputs, removed at the end
# --resume      COMMAND is a tool that goes on with --resume FILE
#
# With BASE=FOLDER, another run: a file that was made there by the same command
# from the same inputs is taken from there. A file that comes out as it was
# before gets the time it had, so that nothing is made anew because of it.
# Status 2 of COMMAND (some records failed, which it has said) is no failure.
set -euo pipefail

die()
{
	printf 'stage.sh: %s\n' "$*" >&2
	exit 3
}

# In braces it is read as a whole, so that a new version of this file does no
# harm to a run that is under way.
{
	log='' work='' kind=
	while :; do
		case ${1:-} in
		--log) log=$2 && shift ;;
		--work) work=$2 && shift ;;
		--stdout | --resume) kind=$1 ;;
		*) break ;;
		esac
		shift
	done
	output=$1
	[ "$kind" != --resume ] || work=$output.work
	shift
	prerequisites=()
	while [ "$1" != -- ]; do
		prerequisites+=("$1")
		shift
	done
	shift

	manifest=$RUN/manifest.json
	name=${output#"$RUN/"}
	outputs=("$name")
	[ -z "$log" ] || outputs+=("${log#"$RUN/"}")

	mkdir -p "$(dirname "$output")" "$RUN/.locks"
	# Inherited by all that it starts: held as long as any of them lives.
	exec 9>"$RUN/.locks/${name//\//-}"
	flock -n 9 || die "another run is making $output"

	# --- what is recorded ---------------------------------------------------------

	settings=() inputs=() outside='' command=''
	for file in "${prerequisites[@]}"; do
		case ${file#"$RUN/"} in
		settings/*) settings+=("$file") command=$(<"$file") ;;
		inputs/*) outside+=${file#"$RUN/"}$'\t'$(<"$file")$'\n' ;;
		*.gguf) [ -s "$file" ] || die "$file was pruned; remove it, and it is made again"
			inputs+=("${file#"$RUN/"}") ;;
		*) inputs+=("${file#"$RUN/"}") ;;
		esac
	done
	[ -e "$manifest" ] || {
		echo '{"files":{}}' >"$manifest.$$"
		mv -n "$manifest.$$" "$manifest"
		rm -f "$manifest.$$"
	}
	version=$(mr-sample --version)
	record=$(jq -c --arg version "${version##* }" --arg command "$command" --arg outside "$outside" '
		.files as $files
		| {command: $command, version: $version,
		   inputs: ([$ARGS.positional[] | {(.): ($files[.].sha256 // error("\(.) is not in the manifest"))}]
			+ [$outside | split("\n")[:-1][] | split("\t") | {(.[0]): .[1]}] | add // {})}
		' "$manifest" --args "${inputs[@]}") || exit 3

	# --- the command, or another run's file ----------------------------------------

	from_base()
	{
		local one sum
		[ -n "${BASE:-}" ] && [ -e "$BASE/manifest.json" ] || return
		for one in "${outputs[@]}"; do
			sum=$(jq -r --arg name "$one" --argjson record "$record" '
				.files[$name] | select(. != null and del(.sha256) == $record).sha256' "$BASE/manifest.json")
			[ -n "$sum" ] && [ -e "$BASE/$one" ] && [ "$(sha256sum <"$BASE/$one")" = "$sum  -" ] || return
		done
		for one in "${outputs[@]}"; do
			cp --reflink=auto "$BASE/$one" "$RUN/$one.part"
			mv -f "$RUN/$one.part" "$RUN/$one"
		done
		echo "   $name is that of $BASE"
	}

	execute()
	{
		local status=0 next part
		if [ -n "$work" ]; then
			next=$(sha256sum <<<"$record")
			[ "$(cat "$work/of" 2>/dev/null)" = "$next" ] || rm -rf "$work"
			# killed when all was done but to write it down
			[ ! -e "$work/done" ] || [ ! -e "$output" ] || [ ! -e "${log:-$output}" ] || return 0
			mkdir -p "$work"
			echo "$next" >"$work/of"
		fi
		case $kind in
		--stdout) part=$output.part ;;
		--resume) part=$work/part ;;
		*) part=${log:+$log.part} ;;
		esac
		if [ "$kind" = --resume ]; then
			touch "$part"
			# half a line of a process that was killed
			[ -z "$(tail -c 1 "$part")" ] || sed -i '$d' "$part"
			"$@" --resume "$part" >>"$part" || status=$?
		elif [ -n "$part" ]; then
			"$@" >"$part" || status=$?
		else
			"$@" || status=$?
		fi
		if [ "$status" -ne 0 ] && [ "$status" -ne 2 ]; then
			[ -z "$part" ] || [ "$kind" = --resume ] || rm -f "$part"
			exit "$status"
		fi
		[ -n "$kind" ] || [ -e "$output" ] || die "$1 made no $output"
		[ -z "$part" ] || mv -f "$part" "${log:-$output}"
		[ -z "$work" ] || touch "$work/done"
	}

	started=$(date +%s)
	echo "== $name: $command"
	rm -f "$output.rejects.jsonl"
	from_base || execute "$@"

	# --- into the manifest ---------------------------------------------------------

	# As old as before, where that is not older than what it is made of. The
	# settings are this file's alone: they made no difference, and may be as old.
	keep_time()
	{
		local time=$1 file
		for file in "${prerequisites[@]}"; do
			[[ $file == "$RUN"/settings/* ]] || [ "$(stat -c %.9Y "$file" | tr -d .)" -le "${time/./}" ] || return 0
		done
		for file in "${settings[@]}"; do
			[ "$(stat -c %.9Y "$file" | tr -d .)" -le "${time/./}" ] || touch -d "@$time" "$file"
		done
		touch -d "@$time" "$output"
		[ -z "$log" ] || touch -d "@$time" "$log"
	}

	sums=$(cd "$RUN" && sha256sum -- "${outputs[@]}")
	before=$(jq -r '$ARGS.positional[] as $name | "\(.files[$name].sha256)  \($name)"' "$manifest" --args "${outputs[@]}")
	if [ "$sums" = "$before" ]; then
		time=$(awk -F '\t' -v name="$name" '$1 == name { time = $3 } END { print time }' "$RUN/.seen" 2>/dev/null)
		[ -z "$time" ] || keep_time "$time"
	fi

	# How they look comes first: a file that is not in the manifest yet is made anew,
	# whatever it looks like.
	for one in "${outputs[@]}"; do
		stat -c "$one	%s	%.9Y" "$RUN/$one"
	done >>"$RUN/.seen"
	exec 8>"$RUN/.locks/manifest"
	flock 8
	jq --argjson record "$record" --arg sums "$sums" '
		.files += ([$sums | split("\n")[] | split("  ") | {(.[1]): ($record + {sha256: .[0]})}] | add)' \
		"$manifest" >"$manifest.part"
	mv -f "$manifest.part" "$manifest"
	printf '%s\t%s\n' "$name" "$(($(date +%s) - started))" >>"$RUN/.times"
	[ -z "$work" ] || rm -rf "$work"
	exit
}

#!/bin/bash
# verify.sh RUN
#
# Does each file of a run follow from what it was made of? Reads the run's
# manifest.json and, in the order in which the files were made, compares each
# file's SHA-256 with the one that was written down, and its inputs' with those
# it was made of. Names the first file that does not follow and why. Exit
# status: 0; 1 misuse; 2 a file does not follow; 3 there is no manifest.
#
# verify.sh --changed RUN: the names of all files that are to be made anew for
# that, one a line, quickly: a file with the size and the time that it had when
# it was made is taken to be the same. One with another time and the same bytes
# gets its time back. meta-rewarding.mk asks this before it does anything.
set -euo pipefail
export LC_ALL=C

quick=
if [ "${1:-}" = --changed ]; then
	quick=1
	shift
fi
[ $# -eq 1 ] || { echo 'usage: verify.sh [--changed] RUN' >&2; exit 1; }
run=${1%/}
if [ ! -e "$run/manifest.json" ]; then
	[ -z "$quick" ] || exit 0
	echo "verify.sh: there is no $run/manifest.json" >&2
	exit 3
fi

# name, sha256, size and time as last seen: what was made first comes first
files()
{
	jq -r '.files as $files
		| def follows($done): .value.inputs | keys | all(.[]; $done[.] or ($files[.] | not));
		[$files | to_entries | {left: ., done: {}, order: []}
		 | until(.left == []; .done as $done
			| [.left[] | select(follows($done))] as $next
			| if $next == [] then error("the files of the manifest are made of each other") else . end
			| .order += $next | .left -= $next | .done += ($next | from_entries | map_values(true)))
		 | .order[]] | .[] | [.key, .value.sha256] | @tsv' "$run/manifest.json" |
	awk -F '\t' -v OFS='\t' -v seen="$run/.seen" '
		BEGIN { while ((getline line <seen) > 0) { split(line, f, "\t"); size[f[1]] = f[2]; time[f[1]] = f[3] } }
		{ print $1, $2, size[$1] "", time[$1] "" }'
}

# What was written down of each file: name, what it depends on, as what
depends()
{
	jq -r '.files | to_entries[] | .key as $name | .value
		| ["settings/" + ($name | sub("-log[.]jsonl$"; ".") | sub("/(dpo|sft)[.]$"; "/model") | sub("[.][a-z]*$"; "")), .command],
			(.inputs | to_entries[] | [.key, .value])
		| [$name] + . | join("\t")' "$run/manifest.json"
}

# What it is now: a file by its sum, as the manifest has it, a command or what
# comes from outside by its text
present()
{
	cut -f1,2 "$work/files"
	(cd "$run" && find settings inputs -type f -exec awk '{ print FILENAME "\t" $0 }' {} +) 2>/dev/null
}

# The files that depend on what has become another since, and on what
unlike_inputs()
{
	awk -F '\t' '
		function rest(n) { for (text = $n; ++n <= NF; ) text = text "\t" $n; return text }
		FILENAME == ARGV[1] { now[$1] = rest(2); next }
		$2 in now && now[$2] != rest(3) { print $1 "\t" $2 }' "$work/present" "$work/depends"
}

# Files of the kinds that stages make, which no stage has recorded.
strangers()
{
	find "$run" -mindepth 2 \( -name '*.jsonl' -o -name '*.gguf' \) \
		! -name '*.rejects.jsonl' ! -path '*.work/*' ! -path '*.shards/*' \
		! -path '*/.*' -printf '%P\n' | sort >"$work/there"
	cut -f1 "$work/files" | sort | comm -23 "$work/there" -
}

sum()
{
	sha256sum <"$1" | cut -d' ' -f1
}

# A model that was dropped to save space: empty, as long as nothing needs it
pruned()
{
	[ -e "$run/$1" ] && [ ! -s "$run/$1" ] && grep -qxF "$1" "$run/.pruned" 2>/dev/null
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
files >"$work/files"
depends >"$work/depends"
present >"$work/present"
unlike_inputs >"$work/unlike"

if [ -n "$quick" ]; then
	{
		while IFS=$'\t' read -r name sha size time; do
			now=$(stat -c '%s %.9Y' "$run/$name" 2>/dev/null || :)
			[ "$now" != "$size $time" ] && ! pruned "$name" || continue
			if [ "${now% *}" = "$size" ] && [ "$(sum "$run/$name")" = "$sha" ]; then
				touch -d "@$time" "$run/$name"
				echo "$name" >>"$work/old"
			else
				echo "$name"
			fi
		done <"$work/files"
		cut -f1 "$work/unlike"
		strangers
	} | sort -u
	# So do the commands and what comes from outside, in a copy of a run.
	if [ -e "$work/old" ]; then
		awk -F '\t' 'FILENAME == ARGV[1] { old[$1]; next } FILENAME == ARGV[2] { other[$2]; next }
			FILENAME == ARGV[3] { time[$1] = $4; next }
			$1 in old && $2 ~ /^(settings|inputs)\// && !($2 in other) {
				if (!($2 in first) || time[$1] < first[$2])
					first[$2] = time[$1]
			}
			END { for (name in first) print first[name] "\t" name }' "$work/old" "$work/unlike" "$work/files" "$work/depends" |
			while IFS=$'\t' read -r time name; do touch -d "@$time" "$run/$name"; done
	fi
	exit
fi

no()
{
	echo "verify.sh: $run/$1 does not follow from its inputs: $2" >&2
	exit 2
}

n=0
while IFS=$'\t' read -r name sha size _; do
	[ -e "$run/$name" ] || no "$name" 'it is not there'
	input=$(awk -F '\t' -v name="$name" '$1 == name { print $2; exit }' "$work/unlike")
	[ -z "$input" ] || no "$name" "$input has become another since"
	! pruned "$name" || continue
	now=$(stat -c %s "$run/$name")
	[ -z "$size" ] || [ "$now" = "$size" ] || no "$name" "it has $now bytes, not the $size that were written"
	[ "$(sum "$run/$name")" = "$sha" ] || no "$name" "its bytes are not those that were written"
	n=$((n + 1))
done <"$work/files"
strange=$(strangers | head -n 1)
[ -z "$strange" ] || no "$strange" 'nothing tells how it was made'
echo "$n files of $run, each as it was made from its inputs"

#!/bin/bash
# status.sh RUN FILE...
#
# How far a run is: which of its files, in the order in which they are made,
# are there, what is being made, and how long the rest will take, from how long
# the same took in an earlier iteration. meta-rewarding.mk's target "status".
set -euo pipefail

run=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# state, name, shards done, shards in all, seconds since the first of them
for file; do
	name=${file#"$run/"}
	if [ -e "$file" ]; then
		echo "there $name"
	elif [ -d "$file.shards" ]; then
		all=$(find "$file.shards" -name '*.in' | wc -l)
		tars=$(find "$file.shards" -name '*.tar' -printf '%T@\n' | sort -n)
		begun=$(stat -c %Y "$file.shards/.key" 2>/dev/null || date +%s)
		echo "shards $name $(grep -c . <<<"$tars" || :) $all $(($(date +%s) - begun))"
	elif [ -d "$file.work" ]; then
		echo "begun $name"
	else
		echo "open $name"
	fi
done >"$work/files"
touch "$run/.times" 2>/dev/null || :

awk '
	function clock(s) { return s < 3600 ? sprintf("%d:%02d", s / 60, s % 60) : sprintf("%d:%02d:%02d", s / 3600, s % 3600 / 60, s % 60) }
	function stage(name) { sub(/^(iter[0-9]+|sft|seed)\//, "", name); return name }
	FILENAME ~ /\.times$/ { took[$1] = $2; like[stage($1)] = $2; next }
	{
		state = $1; name = $2; files++
		if (state == "there") {
			there++; past += took[name]
			printf "  %-32s %8s\n", name, name in took ? clock(took[name]) : "there"
			next
		}
		left = stage(name) in like ? like[stage(name)] : -1
		if (state == "shards" && $3 > 0)
			left = $5 / $3 * ($4 - $3)
		known = left < 0 ? "" : sprintf("about %s to go", clock(left))
		if (left < 0) unknown++; else rest += left
		if (state == "shards") printf "> %-32s %8s  %d of %d shards\n", name, known, $3, $4
		else if (state == "begun") printf "> %-32s %8s  in training\n", name, known
		else if (known != "") printf "- %-32s %8s\n", name, known
		else printf "- %s\n", name
	}
	END {
		printf "%d of %d files, %s", there, files, clock(past)
		if (there < files) printf "; about %s to go%s", clock(rest), unknown ? sprintf(" and %d files of which none was made yet", unknown) : ""
		print ""
	}' "$run/.times" "$work/files"
du -sh "$run" | awk '{ print $1 " on disk" }'

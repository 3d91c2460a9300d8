#!/bin/bash
# draw-prompts.sh SEED SHARE=NUMBER... FILE...
#
# Draws prompts from the files and deals them out: each gets "split", the name
# of its share. Every text is drawn once; a prompt without an id gets one. SEED
# shuffles them, "none" takes them as they come. Shares that are added behind
# the others leave those as they are. A line that is no prompt is left out.
# Exit status: 0; 1 misuse; 2 lines were left out; 3 there are too few prompts.
#
#   draw-prompts.sh 1 held-out=50 iter1=100 iter2=100 prompts.jsonl >drawn.jsonl
set -euo pipefail
export LC_ALL=C

[ $# -ge 3 ] || { sed -n '2s/^# /usage: /p' "$0" >&2; exit 1; }
seed=$1
shift
shares=()
while [[ ${1:-} =~ ^[a-z0-9-]+=[0-9]+$ ]]; do
	shares+=("$1")
	shift
done
[[ $seed =~ ^(none|[0-9]+)$ && ${#shares[@]} -gt 0 && $# -gt 0 ]] || { sed -n '2s/^# /usage: /p' "$0" >&2; exit 1; }

# Two lines of each: the text it is known by, and the record, still open at its
# end. A record that has an id stays as it is.
records()
{
	jq -Rr '
		select(test("[^[:space:]]")) | . as $line | (try fromjson catch null) as $record
		| if ($record | type) == "object" and ($record | has("prompt") or has("messages")) then
			($record.prompt // $record.messages | tojson),
			(if $record | has("id") and (has("split") | not) then $line
				else {id: "line-\(input_line_number)"} + $record | del(.split) | tojson end | sub("\\s*}\\s*$"; ""))
		  else "", "\(input_line_number)" end' "$@"
}

# The key to sort by is from the generator of Park and Miller, which is the
# same everywhere.
drawn()
{
	awk -v seed="$seed" '
		BEGIN { state = seed % 2147483646 + 1 }
		NR % 2 { text = $0; next }
		text == "" { print "draw-prompts.sh: line " $0 ": no prompt; left out" >"/dev/stderr"; bad = 2; next }
		seen[text]++ { next }
		{
			for (i = 0; i < 4; i++)
				state = state * 48271 % 2147483647
			printf "%d\t%s\n", seed == "none" ? 0 : state, $0
		}
		END { exit bad }' | { sort -s -n -k1,1 | cut -f2-; }
}

dealt()
{
	awk -v shares="${shares[*]}" '
		BEGIN {
			n = split(shares, share, " ")
			for (i = 1; i <= n; i++) {
				split(share[i], part, "=")
				for (j = 0; j < part[2]; j++)
					name[++needed] = part[1]
			}
		}
		NR <= needed { print $0 ",\"split\":\"" name[NR] "\"}" }
		END {
			if (NR < needed) {
				print "draw-prompts.sh: " needed " prompts are needed, and there are " NR >"/dev/stderr"
				exit 3
			}
		}'
}

set +e
records "$@" | drawn | dealt
status=("${PIPESTATUS[@]}")
[ "${status[0]}" -eq 0 ] || exit 3
[ "${status[2]}" -eq 0 ] || exit "${status[2]}"
exit "${status[1]}"

#!/bin/bash
# pairs-of.sh train|validation INPUT OUTPUT COMMAND [ARGUMENT]...
#
# The pairs (COMMAND is mr-pairs) of those records that the recipe trains on,
# or of those it validates on.
set -euo pipefail

split=$1 input=$2 output=$3
shift 3
# Within a string the quotes would be escaped: only the field itself matches.
invert=()
[ "$split" = validation ] || invert=(-v)
if grep -q "${invert[@]}" -F '"split":"validation"' "$input"; then
	grep "${invert[@]}" -F '"split":"validation"' "$input" | "$@" -q -o "$output"
else
	: >"$output"
fi
if [ "$split" = train ] && [ ! -s "$output" ]; then
	rm -f "$output"
	echo "pairs-of.sh: there is no pair to train on in $input; take more prompts, or a larger K or N" >&2
	exit 3
fi

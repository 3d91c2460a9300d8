#!/bin/bash
# judge-seed.sh [-n NUMBER] [FILE]...
#
# Makes mr-sft's training file of demonstrations of judging: reads records
# {"id","prompt","response","judgment"} (examples/judge-seed.jsonl where no
# file is named) and writes {"id","prompt":[...],"completion":[...]}, the
# prompt being what mr-judge would ask. NUMBER of them, the first ones; 0: all.
# TEMPLATE=FILE: with the template in FILE, as mr-judge --template FILE.
#
#   pipelines/judge-seed.sh | mr-sft --epochs 2 --batch 4 --lr 1e-4 -o judge.gguf
set -euo pipefail

root=$(dirname "$(dirname "$(realpath "$0")")")
[ -n "${MR_BIN:-}" ] || MR_BIN=$root/build/bin
[ -d "$MR_BIN" ] && PATH=$MR_BIN:$PATH

# The dot keeps the newlines at the end, which $() would drop.
if [ -n "${TEMPLATE:-}" ]; then
	template=$(cat -- "$TEMPLATE" && echo .)
else
	template=$(mr-judge --print-template && echo .)
fi
number=0
if [ "${1:-}" = -n ]; then
	number=$2
	shift 2
fi
[ $# -gt 0 ] || set -- "$root/examples/judge-seed.jsonl"

# Cut at the placeholders before any value is put in, so that a response
# which holds "{{prompt}}" stays as it is.
jq -c --arg template "${template%.}" '
	def text($field):
		if .[$field] | type == "string" then .[$field]
		else error("line \(input_line_number): \"\($field)\" is missing or no string") end;
	text("prompt") as $prompt | text("response") as $response | text("judgment") as $judgment
	| ($template | split("{{prompt}}") | map(split("{{response}}") | join($response)) | join($prompt)) as $asked
	| {id, prompt: [{role: "user", content: $asked}],
	   completion: [{role: "assistant", content: $judgment}]}' "$@" |
	awk -v number="$number" '!number || NR <= number'

#!/bin/bash
# demo.sh [NAME=VALUE]...
#
# One small iteration on the first prompts of examples/, with the default
# model, and its report: some minutes on two cores. The names are those of
# iteration.sh; only the defaults are smaller here.
set -euo pipefail

here=$(dirname "$(realpath "$0")")
[ -n "${MR_BIN:-}" ] || MR_BIN=$here/../build/bin
[ -d "$MR_BIN" ] && PATH=$(realpath "$MR_BIN"):$PATH
export MR_BIN

export OUT=${OUT:-demo} PROMPTS=${PROMPTS:-8} K=${K:-4} N=${N:-4} RHO=${RHO:-0.32} GUIDED=${GUIDED:-1}
export MAX_TOKENS=${MAX_TOKENS:-96} JUDGE_TOKENS=${JUDGE_TOKENS:-96} META_TOKENS=${META_TOKENS:-64}
export BATCH=${BATCH:-4} EPOCHS=${EPOCHS:-2}
for argument in "$@"; do
	[[ $argument != OUT=* ]] || OUT=${argument#OUT=}
done

status=0
"$here/iteration.sh" "$@" || status=$?
# 2: some records failed, which it has said
[ "$status" -eq 0 ] || [ "$status" -eq 2 ] || exit "$status"

"$here/report.sh" "$OUT" >"$OUT/report.md.part"
{
	echo
	echo '## The new model'
	echo
	echo '**Prompt**: Name three things that float on water.'
	echo
	jq -nc '{id: "new", prompt: "Name three things that float on water."}' |
		mr-sample -m "$OUT/model.gguf" -n 1 --temperature 0 --max-tokens 64 -q |
		jq -r '.responses[0].text | split("\n") | map("> " + .) | join("\n")'
} >>"$OUT/report.md.part"
mv -f "$OUT/report.md.part" "$OUT/report.md"
"$here/report.sh" --html "$OUT" >"$OUT/report.html.part"
mv -f "$OUT/report.html.part" "$OUT/report.html"
echo
cat "$OUT/report.md"
echo
echo "All files are in $OUT/; this report is $OUT/report.md, and to look at $OUT/report.html."
exit "$status"

#!/bin/bash
# one-iteration.sh MODEL PROMPTS FOLDER
#
# One iteration as a pipe, for who does without make: FOLDER/model.gguf is what
# comes after MODEL. The tools are in PATH. The values are those of the method's
# second iteration; the environment may have others, and GUIDED=1 for a small
# model. It stops where a record fails. What takes long is better spread, and
# then goes on after an interruption: see pipelines/spread.sh.
set -euo pipefail

model=$1 prompts=$2 out=$3
ask=(-q -m "$model" --seed "${SEED:-1}" --max-tokens "${MAX_TOKENS:-1024}")
judge=("${ask[@]}" ${GUIDED:+--guided})
mkdir -p "$out"

mr-sample "${ask[@]}" -n "${K:-7}" "$prompts" |
	mr-judge "${judge[@]}" -n "${N:-11}" |
	tee "$out/judged.jsonl" |
	mr-metajudge "${judge[@]}" >"$out/battles.jsonl"
mr-elo -q --max-chars "${JUDGE_CHARS:-1000}" "$out/battles.jsonl" |
	mr-lengthctl -q --rho "${RHO:-0.32}" |
	tee "$out/chosen.jsonl" |
	mr-pairs -q >"$out/pairs.jsonl"
mr-eval judge --format table "$out/judged.jsonl"
mr-eval pairs --format table "$out/pairs.jsonl"
mr-dpo -q -m "$model" --seed "${SEED:-1}" --epochs "${EPOCHS:-10}" --batch "${BATCH:-32}" --lr "${LR:-5e-6}" \
	-o "$out/model.gguf" "$out/pairs.jsonl" >"$out/dpo-log.jsonl"

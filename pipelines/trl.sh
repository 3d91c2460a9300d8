#!/bin/bash
# trl.sh PAIRS MODEL OUTPUT.gguf
#
# Trains by TRL's own command line in the place of mr-dpo: PAIRS as mr-pairs
# writes them, MODEL and OUTPUT.gguf as GGUF files, which mr-model turns into a
# folder for transformers and back. A line of JSON for each step goes to
# standard output, under the names that mr-dpo uses. TRL is not ours: whether
# the same seed gives the same model is up to it and the machine.
#
# Exit status: 0; 1 misuse; 3 it was not trained.
#
# From the environment, with the defaults:
#   BETA=0.1 LR=5e-6 EPOCHS=1 BATCH=32 SEED=1   as mr-dpo has them
#   EVAL=             pairs to choose the best epoch on
#   TRL='trl dpo'     how it is started; with MR_PYTHON: that, -m trl.scripts.dpo.
#                     On several GPUs: accelerate launch --num_processes 8 -m trl.scripts.dpo
#   PROCESSES=1       how many processes that starts (BATCH is shared by them)
#   DEVICE_BATCH=1    pairs that a device works on at once
#   DTYPE=float32     weights while training; bfloat16 takes half the memory
#   TYPE=F32          of OUTPUT.gguf's matrices: F32, F16, BF16, Q8_0, Q4_0
#   MAX_LENGTH=2048   tokens of a pair's prompt and answer; what is longer is cut
#   TRL_ARGUMENTS=    further ones, as "--use_peft --gradient_checkpointing"
set -euo pipefail

here=$(dirname "$(realpath "$0")")
[ -n "${MR_BIN:-}" ] || MR_BIN=$here/../build/bin
[ -d "$MR_BIN" ] && PATH=$(realpath "$MR_BIN"):$PATH

die()
{
	printf 'trl.sh: %s\n' "$*" >&2
	exit 3
}

if [ $# -ne 3 ]; then
	echo 'Usage: trl.sh PAIRS MODEL OUTPUT.gguf' >&2
	exit 1
fi
pairs=$1 model=$2 output=$3
: "${BETA:=0.1}" "${LR:=5e-6}" "${EPOCHS:=1}" "${BATCH:=32}" "${SEED:=1}" "${EVAL:=}"
: "${PROCESSES:=1}" "${DEVICE_BATCH:=1}" "${DTYPE:=float32}" "${TYPE:=F32}" "${MAX_LENGTH:=2048}"
: "${TRL:=${MR_PYTHON:+$MR_PYTHON -m trl.scripts.dpo}}" "${TRL:=trl dpo}"
for file in "$pairs" "$model" ${EVAL:+"$EVAL"}; do
	[ -r "$file" ] || die "$file cannot be read"
done
for name in BATCH PROCESSES DEVICE_BATCH; do
	[[ ${!name} =~ ^[1-9][0-9]*$ ]] || die "$name: \"${!name}\" is no number"
done
((BATCH % (PROCESSES * DEVICE_BATCH) == 0)) ||
	die "a batch of $BATCH does not go into $PROCESSES processes with $DEVICE_BATCH pairs each"
read -ra trl <<<"$TRL"
read -ra more <<<"${TRL_ARGUMENTS:-}"
command -v "${trl[0]}" >/dev/null || die "${trl[0]} is missing; pip install trl, or name it with TRL or MR_PYTHON"

# Beside the output: it takes some times the model's size for a while.
work=$output.trl
rm -rf "$work"
mkdir -p "$work/data" || die "$work cannot be made"
trap 'rm -rf "$work"' EXIT
trap 'exit 143' TERM INT HUP

mr-model convert -q --type F32 "$model" "$work/model/" || die "$model cannot be converted"
cp "$pairs" "$work/data/train.jsonl"
evaluation=()
if [ -n "$EVAL" ]; then
	cp "$EVAL" "$work/data/test.jsonl"
	evaluation=(--eval_strategy epoch --per_device_eval_batch_size "$DEVICE_BATCH"
		--load_best_model_at_end --metric_for_best_model eval_loss)
fi
# No model hub is asked, and nothing is left in the user's cache.
HF_HUB_OFFLINE=1 HF_DATASETS_CACHE=$work/cache "${trl[@]}" \
	--model_name_or_path "$work/model" --dataset_name "$work/data" --output_dir "$work/trained" \
	--beta "$BETA" --learning_rate "$LR" --lr_scheduler_type cosine --warmup_steps 0 --weight_decay 0 \
	--num_train_epochs "$EPOCHS" --per_device_train_batch_size "$DEVICE_BATCH" \
	--gradient_accumulation_steps $((BATCH / PROCESSES / DEVICE_BATCH)) \
	--max_length "$MAX_LENGTH" --dtype "$DTYPE" --bf16 "$([ "$DTYPE" = bfloat16 ] && echo true || echo false)" \
	--seed "$SEED" --logging_steps 1 --report_to none \
	--save_strategy epoch --save_total_limit 1 --save_only_model \
	"${evaluation[@]}" "${more[@]}" >&2 || die "TRL ended with status $?"

mr-model convert -q --type "$TYPE" "$work/trained/" "$output" || die "what TRL has written cannot be converted"
# The last checkpoint has the whole log.
log=$(printf '%s\n' "$work"/trained/checkpoint-*/trainer_state.json | sort -V | tail -n 1)
[ ! -e "$log" ] || jq -c '.log_history[] | select(has("loss") or has("eval_loss"))' "$log"

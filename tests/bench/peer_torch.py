#!/usr/bin/env python3
"""peer_torch.py MODEL THREADS [BUILD]

The figures dpo_pairs_per_s and dpo_first_epoch_pairs_per_s of dpo.c, of the
same model and the same four pairs in one step, by TRL's DPOTrainer in float32
on the CPU: as it comes, when it computes the reference in every step and all
activations twice; and as torch_tuned with the settings that are fastest for
it and leave a step the work that ours has. BUILD (build) has the mr-model
that makes the model a folder for transformers. Exit status 3 where the
packages torch, transformers, trl and datasets are not installed.
"""
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings

os.environ.update(HF_HUB_OFFLINE="1", TQDM_DISABLE="1", HF_DATASETS_DISABLE_PROGRESS_BARS="1")
warnings.simplefilter("ignore", FutureWarning)
try:
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, TrainerCallback
    from trl import DPOConfig, DPOTrainer
except ImportError as e:
    print(f"peer_torch: {e}", file=sys.stderr)
    sys.exit(3)

PAIRS, WARM_UP, REPEAT = "tests/golden/dpo-step1.json", 1, 2
PARTS = ("prompt_ids", "chosen_ids", "rejected_ids")


class TokenTrainer(DPOTrainer):
    """Takes pairs that are tokens already: those that dpo.c takes, whatever the model."""

    def _prepare_dataset(self, dataset, *_):
        return dataset


class Clock(TrainerCallback):
    """Seconds of each step: forward, backward, clipping and optimiser, as dpo.c counts them."""

    def __init__(self):
        self.seconds, self.cpu_seconds = [], []

    def on_step_begin(self, *_, **__):
        self.start, self.cpu = time.monotonic(), time.process_time()

    def on_step_end(self, *_, **__):
        self.seconds.append(time.monotonic() - self.start)
        self.cpu_seconds.append(time.process_time() - self.cpu)


# The reference's log-probabilities before the first step, all activations kept.
TUNED = {"precompute_ref_log_probs": True, "gradient_checkpointing": False}


def settings(folder, pairs, **more):
    """The task: what the steps are, and nothing beside them."""
    return DPOConfig(
        output_dir=folder, use_cpu=True, bf16=False,
        per_device_train_batch_size=pairs, max_steps=WARM_UP + REPEAT, max_length=1024, beta=0.1, learning_rate=1e-7,
        lr_scheduler_type="constant", weight_decay=0, max_grad_norm=1, logging_steps=1, save_strategy="no",
        report_to="none", disable_tqdm=True, **more)


def train(folder, **more):
    """Pairs a second, of the fastest step after the warm-up."""
    with open(PAIRS, encoding="utf-8") as f:
        pairs = json.load(f)["pairs"]
    clock = Clock()
    trainer = TokenTrainer(
        model=AutoModelForCausalLM.from_pretrained(folder + "/model", dtype=torch.float32),
        processing_class=AutoTokenizer.from_pretrained(folder + "/model"),
        args=settings(folder, len(pairs), **more), callbacks=[clock],
        train_dataset=Dataset.from_list([{part: p[part] for part in PARTS} for p in pairs]))
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    first = trainer.state.log_history[0]
    ours = sum(2 * len(p["prompt_ids"]) + len(p["chosen_ids"]) + len(p["rejected_ids"]) for p in pairs)
    if first["num_tokens"] != ours:
        sys.exit(f"peer_torch: TRL took {first['num_tokens']:.0f} tokens a step, the pairs have {ours}")
    print(f"peer_torch: {'tuned' if more else 'as it comes'}:",
          f"first step: loss {first['loss']:.4f}, gradient norm {first['grad_norm']:.3f}; seconds (of CPU) of each:",
          ", ".join(f"{s:.1f} ({c:.1f})" for s, c in zip(clock.seconds, clock.cpu_seconds)))
    return len(pairs) / min(clock.seconds[WARM_UP:])


def main():
    path, build = sys.argv[1], sys.argv[3] if len(sys.argv) > 3 else "build"
    torch.set_num_threads(int(sys.argv[2]))
    # stdout is for the figures alone, whatever the packages print
    with contextlib.redirect_stdout(sys.stderr), tempfile.TemporaryDirectory() as folder:
        convert = [os.path.join(build, "bin/mr-model"), "convert", "-q", "--type", "F32", path, folder + "/model/"]
        if subprocess.run(convert, check=False).returncode != 0:
            sys.exit("peer_torch: cannot convert " + path)
        value, tuned = train(folder), train(folder, **TUNED)
    # all of its epochs are like the first
    for name, pairs_per_s in (("torch_dpo_pairs_per_s", value), ("torch_dpo_first_epoch_pairs_per_s", value),
                              ("torch_tuned_dpo_pairs_per_s", tuned)):
        print(f"{name}\t{pairs_per_s:.3f}\tpairs/s", flush=True)


main()

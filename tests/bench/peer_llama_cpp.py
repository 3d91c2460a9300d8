#!/usr/bin/env python3
"""peer_llama_cpp.py MODEL THREADS

The figures of engine.c, of the same file and the same steps, by llama.cpp
through the Python package llama_cpp. Exit status 3 where it is not installed.
"""
import sys
import time

try:
    import llama_cpp as lc
except ImportError:
    sys.exit(3)

CONTEXT, PREFILL, REPEAT = 64, 512, 3


def figure(name, value):
    print(f"llama_cpp_{name}\t{value:.1f}\ttokens/s", flush=True)


class Context:
    """Sequences of one context; every step takes rows (sequence, token, position, logits)."""

    def __init__(self, model, threads, sequences, positions):
        p = lc.llama_context_default_params()
        p.n_ctx = sequences * positions
        p.n_batch = p.n_ubatch = PREFILL
        p.n_seq_max = sequences
        p.n_threads = p.n_threads_batch = threads
        self.context = lc.llama_init_from_model(model, p)
        self.batch = lc.llama_batch_init(PREFILL, 0, 1)
        if not self.context:
            sys.exit("llama_cpp: no context")

    def step(self, rows):
        b = self.batch
        b.n_tokens = len(rows)
        for i, (seq, token, pos, logits) in enumerate(rows):
            b.token[i] = token
            b.pos[i] = pos
            b.n_seq_id[i] = 1
            b.seq_id[i][0] = seq
            b.logits[i] = logits
        if lc.llama_decode(self.context, b) != 0:
            sys.exit("llama_cpp: a step failed")
        lc.llama_synchronize(self.context)

    def close(self):
        lc.llama_batch_free(self.batch)
        lc.llama_free(self.context)


def token(i):
    return 1000 + i * 7919 % 20000


def prefill(model, threads):
    best = 0
    for _ in range(REPEAT):
        c = Context(model, threads, 1, PREFILL)
        rows = [(0, token(i), i, i + 1 == PREFILL) for i in range(PREFILL)]
        start = time.monotonic()
        c.step(rows)
        best = max(best, PREFILL / (time.monotonic() - start))
        c.close()
    return best


def decode(model, threads, batch):
    steps = 32 if batch < 16 else 8
    c = Context(model, threads, batch, CONTEXT + REPEAT * steps)
    for s in range(batch):
        c.step([(s, token(i), i, i + 1 == CONTEXT) for i in range(CONTEXT)])
    best, at = 0, CONTEXT
    for _ in range(REPEAT):
        start = time.monotonic()
        for step in range(steps):
            c.step([(s, token(step * batch + s), at, True) for s in range(batch)])
            at += 1
        best = max(best, batch * steps / (time.monotonic() - start))
    c.close()
    return best


def amx():
    try:
        with open("/proc/cpuinfo", encoding="ascii") as f:
            return " amx_tile" in f.read()
    except OSError:
        return False


def main():
    path, threads = sys.argv[1], int(sys.argv[2])
    quiet = lc.llama_log_callback(lambda level, text, data: None)
    lc.llama_log_set(quiet, None)
    lc.llama_backend_init()
    p = lc.llama_model_default_params()
    p.n_gpu_layers = 0
    if amx():  # 0.3.36's AMX kernels crash on steps of several sequences
        p.use_extra_bufts = False
    model = lc.llama_model_load_from_file(path.encode(), p)
    if not model:
        sys.exit("llama_cpp: cannot read " + path)
    figure("prefill512_tps", prefill(model, threads))
    for batch in (1, 7, 16, 64):
        figure(f"decode_b{batch}_tps", decode(model, threads, batch))


main()

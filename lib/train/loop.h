/*
 * The training loop: epochs of batches, gradient accumulation, clipping,
 * the schedule, AdamW; a line of log a step. What a batch's loss is, is the
 * task's: see dpo.h and sft.h.
 */
#ifndef MR_TRAIN_LOOP_H
#define MR_TRAIN_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "train/examples.h"
#include "train/optim.h"
#include "train/train.h"

struct train_plan {
	double lr, beta1, beta2, eps, weight_decay, max_grad_norm;
	enum schedule schedule;
	int epochs, batch, warmup;
	int pack;               /* tokens that go through the model at once, where examples are shorter */
	bool shuffle;           /* each epoch in an order of its own, from rng_stream(seed, "", stage, epoch) */
	uint64_t seed;
	const char *stage;      /* "dpo/epoch" */
};

struct train_log {
	uint64_t step, steps;   /* done, of all */
	uint64_t tokens;        /* gone through since the start, prompts too */
	double loss;
	struct buf members;     /* the task's own: ,"name":value … */
	struct buf line;        /* JSON: step, epoch, loss, members, grad_norm, learning_rate; and a newline */
};

/* Adds the gradient of the mean loss over n examples; sets log->loss and
 * writes log->members (tokens is up to date already). -1 and a message that
 * names the record where the loss is not finite. */
typedef int train_batch(void *self, struct trainer *t, const uint32_t *which, uint32_t n,
    struct train_log *log, struct err *err);

struct train_task {
	const struct examples *examples;
	train_batch *batch;
	void *self;             /* batch's */
	int (*logged)(void *owner, const struct train_log *log, struct err *err);
	bool (*stopping)(void *owner);
	void *owner;            /* logged's and stopping's */
};

/* The order of an epoch: a permutation of 0 … n - 1. */
void train_order(const struct train_plan *p, int epoch, uint32_t *order, uint32_t n);
uint64_t train_steps(const struct train_plan *p, uint32_t examples);

/* 0: all steps done; 1: stopping() said so; -1 with a message: a loss or a
 * gradient that is not finite (with the records' ids), or logged() failed.
 * The weights are those of the last whole step. pool as in trainer_new; a:
 * initialised for the trainer's weights, its settings come from the plan. */
int train_run(const struct train_plan *p, struct trainer *t, struct pool *pool, struct adamw *a,
    const struct train_task *task, struct err *err);

#endif

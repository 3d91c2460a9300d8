/*
 * The training loop: epochs of batches, gradient accumulation, clipping,
 * the schedule, AdamW; a line of log a step; a validation set gone through
 * now and then, and the best weights on it kept. What a batch's loss is, is
 * the task's: see dpo.h and sft.h.
 *
 * Everything a run's next step depends on is in the weights, AdamW's moments
 * and a struct train_state; random numbers are functions of the seed and the
 * epoch. So a run that goes on from these three, between any two steps, ends
 * with the bytes of one that was never interrupted: see checkpoint.h.
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

/* What of the validation set says which weights are the best; the last ones
 * whatever it says. */
enum train_best { BEST_LOSS, BEST_ACCURACY, BEST_MARGIN, BEST_LAST };
int train_best_by_name(const char *name);       /* "loss", "accuracy", "margin", "last"; -1: unknown */

struct train_plan {
	double lr, beta1, beta2, eps, weight_decay, max_grad_norm;
	enum schedule schedule;
	int epochs, batch, warmup;
	int pack;               /* tokens that go through the model at once, where examples are shorter */
	int micro;              /* examples that do, at most; 0: as pack allows */
	bool shuffle;           /* each epoch in an order of its own, from rng_stream(seed, "", stage, epoch) */
	uint64_t seed;
	const char *stage;      /* "dpo/epoch" */
	double explode;         /* a gradient's norm this many times the mean of those before stops the run; 0: none does */
	int eval_every;         /* steps from one look at the validation set to the next; 0: an epoch's */
	enum train_best best;
	int patience;           /* looks without a better one, after which the run ends; 0: it goes on */
};

struct train_log {
	uint64_t step, steps;   /* done, of all */
	uint64_t tokens;        /* gone through since the start, prompts too */
	double loss;
	bool eval;              /* a line about the validation set */
	struct buf members;     /* the task's own: ,"name":value … */
	struct buf line;        /* JSON: step, epoch, loss, members, num_tokens, grad_norm, learning_rate; or
	                           step, epoch, eval_loss, members; and a newline */
};

/* Adds the gradient of the mean loss over n examples (of several ranks, its
 * share of it); sets log->loss and writes log->members (tokens is up to date
 * already). -1 and a message that names the record where the loss is not
 * finite. */
typedef int train_batch(void *self, struct trainer *t, const uint32_t *which, uint32_t n,
    struct train_log *log, struct err *err);

struct train_score {
	double loss, accuracy, margin;
};
/* The same for the whole validation set, without gradients. */
typedef int train_evaluate(void *self, struct trainer *t, struct train_log *log, struct train_score *score,
    struct err *err);

/* Where a run is, beside its weights and moments. All zero: at its start. */
struct train_state {
	uint64_t step, tokens;          /* done */
	double first_loss, last_loss;   /* of the first step, of the last one */
	double norms;                   /* the sum of the gradients' norms */
	uint64_t best_step;             /* 0: none yet */
	struct train_score best;        /* of that step */
	uint64_t since;                 /* looks since then */
	uint64_t ended;                 /* by patience */
};

struct train_task {
	const struct examples *examples;
	train_batch *batch;
	train_evaluate *evaluate;       /* NULL: there is no validation set */
	void *self;                     /* of both */
	struct train_state *state;      /* NULL: starts at the start */
	float *best;                    /* as many as the weights, filled at best_step; NULL: the last weights count */
	int (*logged)(void *owner, const struct train_log *log, struct err *err);
	bool (*stopping)(void *owner);
	/* NULL, or after each step and what belongs to it: a checkpoint may be made. */
	int (*stepped)(void *owner, const struct train_state *state, struct err *err);
	void *owner;            /* of these three */
};

/* The order of an epoch: a permutation of 0 … n - 1. */
void train_order(const struct train_plan *p, int epoch, uint32_t *order, uint32_t n);
uint64_t train_steps(const struct train_plan *p, uint32_t examples);
uint64_t train_epoch_steps(const struct train_plan *p, uint32_t examples);

/* 0: all steps done, or patience at its end; 1: stopping() said so; -1 with a
 * message: a loss or a gradient that is not finite or explodes (with the
 * records' ids), or logged() or stepped() failed. The weights are those of
 * the last whole step; after 0 the best ones, where they are kept. pool as in
 * trainer_new; a: initialised for the trainer's weights, its settings come
 * from the plan. */
int train_run(const struct train_plan *p, struct trainer *t, struct pool *pool, struct adamw *a,
    const struct train_task *task, struct err *err);

#endif

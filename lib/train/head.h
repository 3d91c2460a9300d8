/*
 * The output: final norm, logits, log-probabilities of the targets. Only the
 * rows that predict a target are computed, in blocks of rows and panels of
 * the vocabulary; the (N, V) logits are kept for the backward pass, or
 * computed again there, a panel at a time. Private to lib/train.
 */
#ifndef MR_TRAIN_HEAD_H
#define MR_TRAIN_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "train/layers.h"

enum { HEAD_ROWS = 1024, HEAD_PANEL = 2048 };   /* bounds of the logits computed at once */

/* Elements of logits, for N targets over V tokens. */
size_t head_logits(int N, int V, bool kept);

/* Room for N targets. */
struct head {
	float *hid, *dhid;      /* (N, C) */
	float *x;               /* (N, C) the rows before the norm */
	float *rstd;            /* (N) */
	int *row;               /* (N) the row of the tree that predicts target i */
	double *max, *sum;      /* (N) of the logits, running over the panels */
	float *target;          /* (N) the target's logit */
	int32_t *best;          /* (N) the likeliest token */
	float *logits;          /* of one panel, or of all, one after the other */
	bool kept;              /* all */
};

struct head_weights {
	float *norm, *output;   /* (C), (V, C); or their gradients; a gradient that is NULL is not wanted */
	const struct gguf_tensor *packed;       /* where output is NULL: it is read a panel at a time … */
	float *panel;           /* … into this, (min(V, HEAD_PANEL), C) */
};

/* logp[i] of target i of the tree; x: (T, C) the last layer's output. */
void head_forward(const struct pass *p, const struct head *h, const struct head_weights *w, const float *x,
    double *logp);
/* After head_forward: dx (T, C) += the gradient of sum over i of
 * scale[target i's segment] logp[i]. */
void head_backward(const struct pass *p, const struct head *h, const struct head_weights *w,
    const struct head_weights *g, const double *scale, float *dx);

#endif

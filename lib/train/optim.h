/* AdamW (Loshchilov and Hutter 2019; PyTorch's order of operations),
 * gradient clipping by the global norm, learning-rate schedules
 * (transformers' formulas). */
#ifndef MR_TRAIN_OPTIM_H
#define MR_TRAIN_OPTIM_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/pool.h"

struct adamw {
	double lr, beta1, beta2, eps, weight_decay;
	size_t decayed;         /* weight decay applies to elements [0, this): matrices, not norms */
	float *m, *v;           /* moments, n each */
	size_t n;
	uint64_t step;          /* steps done */
};
/* Takes the moments and zeroes them; the settings are the caller's to fill in. */
int adamw_init(struct adamw *a, size_t n, struct err *err);
/* w -= …, with the gradient scaled by scale first (clipping). */
void adamw_step(struct adamw *a, struct pool *pool, float *w, const float *g, double scale);
void adamw_free(struct adamw *a);

/* Euclidean norm in double, one fixed order of summation. */
double grad_norm(struct pool *pool, const float *g, size_t n);
/* What a gradient of this norm is scaled by (torch's clip_grad_norm_);
 * max_norm 0: never clipped. */
double grad_clip(double norm, double max_norm);

enum schedule { SCHEDULE_CONSTANT, SCHEDULE_LINEAR, SCHEDULE_COSINE };
int schedule_by_name(const char *name);         /* -1: unknown */
/* The factor on the learning rate in step (from 0) of total, the first
 * warmup of which rise linearly from 0. */
double schedule_factor(enum schedule s, uint64_t step, uint64_t warmup, uint64_t total);

#endif

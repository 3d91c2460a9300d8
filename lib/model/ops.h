/*
 * The model's small operations on rows of float32, forward only; shared by
 * the engine and the trainer. Each output element has one order of
 * accumulation, whatever the number of rows or threads.
 */
#ifndef MR_MODEL_OPS_H
#define MR_MODEL_OPS_H

#include <stddef.h>

/* y = x / sqrt(mean(x^2) + eps) * w; returns 1 / sqrt(…). (n) */
float op_rmsnorm(float *y, const float *x, const float *w, int n, float eps);

/* Which two of a head's first n = rope_dims elements make pair i of the
 * rotary embedding: a property of the architecture. */
enum rope_layout {
	ROPE_PAIRS,     /* (x[2i], x[2i + 1]) */
	ROPE_HALVES,    /* (x[i], x[i + n / 2]) */
};

/* Rotates the pairs of each of the heads by pos * inv_freq[i]; dir = 1
 * forward, -1 back (the backward pass). x: (heads, D), rope_dims <= 512 */
void op_rope(float *x, int heads, int head_size, int rope_dims, enum rope_layout layout, int pos,
    const float *inv_freq, int dir);

/* The same in two steps, where many layers turn by the same angles:
 * cosine, sine: (rope_dims / 2) */
void op_rope_angles(float *cosine, float *sine, int rope_dims, int pos, const float *inv_freq);
void op_rope_turn(float *x, int heads, int head_size, int rope_dims, enum rope_layout layout,
    const float *cosine, const float *sine, int dir);

/* y = silu(gate) * up. (n) */
void op_swiglu(float *y, const float *gate, const float *up, size_t n);

/* log sum exp over n, computed in double around the maximum. */
double op_logsumexp(const float *x, size_t n);

#endif

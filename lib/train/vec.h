/*
 * Elementwise loops of the trainer, and their sums. A sum is made of
 * sixteen partial sums over i mod 16, added as a fixed tree, so that it does
 * not depend on the vector width the compiler chose. exp is accurate to 2
 * units in the last place and never denormal: exp(-inf) is 1.6e-38.
 */
#ifndef MR_TRAIN_VEC_H
#define MR_TRAIN_VEC_H

#include <stddef.h>

float vec_max(const float *x, size_t n);                        /* n > 0; a NaN may be passed over */
float vec_dot(const float *x, const float *y, size_t n);
double vec_sumsq(const float *x, size_t n);                     /* accumulated in double */
void vec_add(float *y, const float *x, size_t n);               /* y += x */
void vec_scale(float *x, float a, size_t n);

/* sum of exp(x - shift) */
float vec_sum_exp(const float *x, float shift, size_t n);
/* x = exp(x - shift); returns their sum */
float vec_exp(float *x, float shift, size_t n);
/* x = a exp(x - shift) */
void vec_scaled_exp(float *x, float shift, float a, size_t n);
/* s = s * (dp - delta) * a, the backward of a softmax's row */
void vec_softmax_back(float *s, const float *dp, float delta, float a, size_t n);

/* y = silu(gate) * up */
void vec_swiglu(float *y, const float *gate, const float *up, size_t n);
/* dy comes in; dy becomes d gate, dup d up, act silu(gate) * up */
void vec_swiglu_back(float *dy, float *dup, float *act, const float *gate, const float *up, size_t n);

/* y = x * r * w */
void vec_norm(float *y, const float *x, const float *w, float r, size_t n);
/* dx += dy * w * r - x * c;  dw += dy * x * r */
void vec_norm_back(float *dx, float *dw, const float *dy, const float *x, const float *w, float r, float c,
    size_t n);
/* sum of a * b * c */
float vec_dot3(const float *a, const float *b, const float *c, size_t n);

/* One AdamW step of n elements; see optim.c for the constants. */
struct adamw_constants {
	float keep, beta1_left, beta2, beta2_left, step, inv_root, eps, grad_scale;
};
void vec_adamw(float *w, float *m, float *v, const float *g, const struct adamw_constants *k, size_t n);

#endif

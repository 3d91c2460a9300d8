/*
 * What one instruction set offers; private to lib/model. Three builds of the
 * same bodies (matmul_body.h, integer_body.h, attention_body.h) on lanes_*.h.
 *
 * AVX-512 and AVX2 do the same fused operations lane by lane and give the
 * same bits. The portable build multiplies, rounds and adds where the
 * compiler's target has no fused multiply-add: its last bits differ.
 */
#ifndef MR_MODEL_KERNELS_KERNELS_H
#define MR_MODEL_KERNELS_KERNELS_H

#include <stddef.h>

#include "model/gguf.h"

enum {
	KV_POSITIONS = 32,      /* positions in a block of the key/value cache */
	STRIPE = 64,            /* rows of x that a panel passes over: they fit the second-level cache */
	MAX_HEAD_SIZE = 512,    /* bound of the attention kernel's scratch */
	ATTEND_ROWS = 8,
};

/* The attention of the heads that share one key/value head, at some rows: they
 * pass over the cache side by side, so that rows whose sequences have blocks
 * in common find them in the first-level cache. */
struct attend {
	int rows;               /* at most ATTEND_ROWS */
	struct attend_row {
		const float *q;         /* (heads, D) */
		float *out;             /* (heads, D) */
		int n;                  /* positions seen, the row's own included */
		const float *const *blocks;     /* those of the row's sequence, in order */
	} row[ATTEND_ROWS];
	int heads, head_size;
	/* In a block: K as (D, KV_POSITIONS), V as (KV_POSITIONS, v_stride). */
	size_t k_at, v_at;
	int v_stride;           /* D rounded up to 16; what is beyond D is 0 */
	float scale;
};

/* x as integers, for quantised weights: blocks of 32 columns, x ~ q * scale.
 * It lies in stripes of STRIPE rows, the last one of what is left; in each,
 * the rows' blocks of the same columns stand side by side. */
struct rounded {
	int m;                  /* rows in all */
	int16_t *q;             /* stripes of (cols / 32, rows, 32), |q| <= 32767; of each four columns 0, 2, 1, 3 */
	float *scale, *sum;     /* stripes of (cols / 32, rows): scale, scale * the block's sum of q */
};

/* The rows of the stripe that begins at row x0 of m. */
static inline int stripe_rows(int m, int x0)
{
	return m - x0 < STRIPE ? m - x0 : STRIPE;
}

struct kernels {
	const char *name;
	/* Weights that are floating-point numbers: rows [row, row + rows) of w,
	 * at most panel_rows, times m <= STRIPE rows of x. */
	int panel_rows;
	void (*panel)(float *y, size_t ldy, const float *x, int m, const struct gguf_tensor *w, int64_t row,
	    int rows);
	/* Quantised weights: the same with rows [x0, x0 + m) of x, a whole stripe. */
	int int_panel_rows;
	void (*int_panel)(float *y, size_t ldy, const struct rounded *x, int x0, int m,
	    const struct gguf_tensor *w, int64_t row, int rows);
	/* Sets a row of x. */
	void (*round_row)(const struct rounded *x, int row, const float *from, size_t cols);
	/* dequantize_row, the same values. */
	void (*unpack)(enum tensor_type type, const void *src, float *dst, size_t n);
	void (*attend)(const struct attend *a);
	void (*swiglu)(float *y, const float *gate, const float *up, size_t n);
	/* y = exp((x - shift) * scale) */
	void (*exp)(float *y, const float *x, size_t n, float shift, float scale);
};

/* The best of this CPU, or what matmul_force chose. */
const struct kernels *kernels(void);

#endif

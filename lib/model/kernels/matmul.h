/*
 * y = x w^T for weights of any tensor type: x (m, cols), w (rows, cols),
 * y (m, ldy >= rows).
 *
 * matmul_fixed: every output element is the same sum in the same order,
 * whatever m, the tile or the thread: batch-invariant. AVX-512 and AVX2 give
 * the same bits; the portable build's last bits differ where the compiler's
 * target has no fused multiply-add.
 *   Types F32, F16, BF16: sixteen partial sums over k mod 16, added as a fixed
 * tree.
 *   Quantised types: x is rounded to sixteen bits, with a scale for each 32
 * columns; a block's sum is an integer, and blocks are added in order (see
 * integer_body.h). That is some 2^-16 of a block's largest number away from x.
 * matmul_blas: dequantises and calls cblas_sgemm: the plain reference.
 */
#ifndef MR_MODEL_KERNELS_MATMUL_H
#define MR_MODEL_KERNELS_MATMUL_H

#include "base/pool.h"
#include "model/gguf.h"

struct matmul {
	float *y;
	size_t ldy;
	const struct gguf_tensor *w;
};

/* Where x is rounded: zero-initialised, grows, serves one product at a time. */
struct matmul_room {
	void *memory;
	size_t size;
};
void matmul_room_free(struct matmul_room *room);

/* Several products of the same x, in one run of the pool. */
void matmul_fixed_n(struct pool *pool, struct matmul_room *room, const struct matmul *p, int n, const float *x,
    int m);
void matmul_fixed(struct pool *pool, struct matmul_room *room, float *y, size_t ldy, const float *x, int m,
    const struct gguf_tensor *w);
/* scratch: rows * cols floats */
void matmul_blas(float *y, size_t ldy, const float *x, int m, const struct gguf_tensor *w, float *scratch);

/* "avx512vnni", "avx512", "avx2", "portable": what matmul_fixed runs on this CPU. */
const char *matmul_kernel_name(void);
/* For the tests: forces one by name; -1 where this CPU lacks it. */
int matmul_force(const char *name);

#endif

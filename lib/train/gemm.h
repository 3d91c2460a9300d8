/*
 * Matrix products on all threads with the same bytes for any number of them:
 * the result is cut into tiles whose size depends on its shape only, each
 * tile is one cblas_sgemm on one thread, and no sum is ever split.
 */
#ifndef MR_TRAIN_GEMM_H
#define MR_TRAIN_GEMM_H

#include <stdbool.h>

#include "base/pool.h"

/* c (m, n) = scale a (m, k) b (k, n) + beta c, row-major; ta: a is stored
 * (k, m), tb: b is stored (n, k); a scale of 0 stands for 1. */
struct gemm {
	float *c;
	int ldc, m, n, k;
	const float *a;
	int lda;
	bool ta;
	const float *b;
	int ldb;
	bool tb;
	float beta, scale;
};

/* OpenBLAS's own threads off, for the whole process. */
void gemm_init(void);

/* All of them, side by side: none may read what another one writes. */
void gemm_run(struct pool *pool, const struct gemm *g, int n);

#endif

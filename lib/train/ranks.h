/*
 * Several processes that train one model, data-parallel: each takes its share
 * of a batch, and what they find is summed in the order of the ranks, so that
 * all go on with the same bits. Over MPI where the program was made with
 * MPI=1 and is run by mpirun; otherwise there is one rank, and nothing here
 * does anything. Every function that is said to be of all ranks must be
 * called by all of them, in the same order.
 */
#ifndef MR_TRAIN_RANKS_H
#define MR_TRAIN_RANKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Once, before anything else; and when all is done. */
void ranks_start(void);
void ranks_stop(void);
int ranks_rank(void);           /* 0 … ranks_count() - 1 */
int ranks_count(void);

/* This rank's part of n things: [*from, *to), as even as can be. */
void ranks_share(uint32_t n, uint32_t *from, uint32_t *to);

/* Of all ranks: x becomes the sum over ranks, 0 first. */
void ranks_sum(double *x, size_t n);
void ranks_sum_floats(float *x, size_t n);
/* Of all ranks: whether any of them says so. */
bool ranks_any(bool here);
/* Of all ranks: 0 where rc is 0 in each of them; else -1, and in every rank
 * the message of the first in which it is not. */
int ranks_agree(int rc, struct err *err);

#endif

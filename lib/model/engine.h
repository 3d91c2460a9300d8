/*
 * The forward pass with a key/value cache, for generation and scoring.
 *
 * A step takes rows: (sequence, token) pairs, any mix of prefill chunks and
 * single decoded tokens of many sequences; each row is appended to its
 * sequence. A row's logits do not depend on the other rows, the number of
 * threads or how a prompt was cut into steps: every product is computed by
 * one kernel with one order of accumulation per output element.
 *
 * The cache is made of blocks of positions, counted by reference, so that a
 * fork shares its parent's prefix.
 */
#ifndef MR_MODEL_ENGINE_H
#define MR_MODEL_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/pool.h"
#include "model/model.h"

struct engine;

struct engine_options {
	size_t kv_bytes;        /* bound of the cache; 0: 1 GiB, or one context's worth where that is more */
	bool exact;             /* products by OpenBLAS: the reference; not batch-invariant */
};

struct engine_row {
	int seq;
	int32_t token;
	bool logits;            /* this row's logits are wanted */
};

enum { ENGINE_MAX_ROWS = 256 };         /* rows in one step */

struct engine *engine_new(const struct model *m, struct pool *pool, const struct engine_options *o,
    struct err *err);
void engine_free(struct engine *e);

int engine_seq_new(struct engine *e);                   /* an empty sequence */
int engine_seq_fork(struct engine *e, int seq);         /* shares all positions of seq */
int engine_seq_fork_at(struct engine *e, int seq, int length);  /* shares the first ones */
void engine_seq_free(struct engine *e, int seq);
int engine_seq_length(const struct engine *e, int seq);

/* Cache blocks free now, and those that n more positions of a sequence
 * (-1: a new one) need; a caller makes room before it steps. */
int engine_blocks_free(const struct engine *e);
int engine_blocks_needed(const struct engine *e, int seq, int more);
int engine_blocks_total(const struct engine *e);

/* Positions that the cache could hold at most. */
int engine_positions(const struct engine *e);

/* 1 <= n <= ENGINE_MAX_ROWS; rows of one sequence stand together, in
 * order. logits: (number of rows that want them, V), in the order of rows.
 * -1 where the cache or the context is full or a token is out of range;
 * nothing was appended then. */
int engine_step(struct engine *e, const struct engine_row *rows, int n, float *logits, struct err *err);

#endif

/*
 * A tree of segments laid out as rows: T tokens one after the other, segment
 * by segment; where each row stands, which rows it attends to, and which
 * rows predict which tokens. Private to lib/train.
 */
#ifndef MR_TRAIN_TREE_H
#define MR_TRAIN_TREE_H

#include <stdint.h>

#include "base/err.h"
#include "train/train.h"

enum { TREE_BLOCK = 64 };       /* query rows of an attention block */

struct tree_segment {
	int start, len;         /* rows [start, start + len) */
	int pos;                /* position of its first token */
	int parent, root;       /* segments; parent -1 at a root */
};

struct tree_block {
	int seg, from, to;      /* rows [from, to) of one segment */
};

struct tree_target {
	int row;                /* whose output predicts … */
	int32_t id;             /* … this token … */
	int seg;                /* … of this segment */
};

struct tree {
	int nsegs, tokens, ntargets, nblocks, nroots;
	struct tree_segment *seg;
	int32_t *ids;           /* (T) */
	int *pos;               /* (T) */
	struct tree_block *block;
	struct tree_target *target;     /* (N) */
	int *roots;
};

/* Replaces what t held. -1 where a token, a parent or a length is wrong. */
int tree_build(struct tree *t, const struct segment *s, int n, int vocab, int context, struct err *err);
void tree_free(struct tree *t);

#endif

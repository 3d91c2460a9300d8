/*
 * Causal attention over a tree of segments, forward and backward, with the
 * keys in blocks and a running softmax (Milakov and Gimelshein 2018; Dao et
 * al. 2022): no (T, T) matrix is ever held. Private to lib/train.
 *
 * Rows hold heads side by side: q, out (T, H, D); k, v (T, Hkv, D). Head h
 * reads the keys of head h / (H / Hkv).
 */
#ifndef MR_TRAIN_ATTENTION_H
#define MR_TRAIN_ATTENTION_H

#include "base/pool.h"
#include "train/tree.h"

struct attention {
	const struct tree *tree;
	int heads, kv_heads, head_size;
	const float *q, *k, *v;
	float *out;             /* (T, H, D) */
	float *lse;             /* (H, T): log sum exp of each row's scaled scores */
	/* the backward's: d out comes in; d k and d v are per query head, to be
	 * summed over those that share a key head */
	const float *dout;      /* (T, H, D) */
	float *dq, *dk, *dv;    /* (T, H, D) each */
};

void attention_forward(struct pool *pool, const struct attention *a);
void attention_backward(struct pool *pool, const struct attention *a);

#endif

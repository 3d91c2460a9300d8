#include "train/attention.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

#include "train/vec.h"

enum { KEYS = 128 };            /* keys of a block; on the stack: TREE_BLOCK x KEYS scores */

/* A block of queries against a block of keys, one head. */
struct tile {
	int row, rows;          /* queries: rows [row, row + rows) */
	int key, keys;          /* keys: rows [key, key + keys) */
	bool diagonal;          /* of the same segment: causal */
};

static const float *at(const float *x, int row, int heads, int head, int size)
{
	return x + ((size_t)row * (size_t)heads + (size_t)head) * (size_t)size;
}

static float *at_mut(float *x, int row, int heads, int head, int size)
{
	return x + ((size_t)row * (size_t)heads + (size_t)head) * (size_t)size;
}

/* How many of the tile's keys query i attends to. */
static int visible(const struct tile *t, int i)
{
	int n = t->diagonal ? t->row + i - t->key + 1 : t->keys;

	return n < 0 ? 0 : n < t->keys ? n : t->keys;
}

/* (rows, keys) = scale x (rows, D) y (keys, D)^T */
static void scores(float *s, const struct tile *t, int d, const float *x, int ldx, const float *y, int ldy,
    float scale)
{
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, t->rows, t->keys, d, scale, x, ldx, y, ldy, 0, s,
	    KEYS);
}

typedef void tile_fn(const struct attention *a, const struct tile *t, int head, void *state);

/* Visits the keys of a query block: its own segment's, then its ancestors'. */
static void each_tile(const struct attention *a, const struct tree_block *b, int head, tile_fn *fn,
    void *state)
{
	for (int s = b->seg; s >= 0; s = a->tree->seg[s].parent) {
		const struct tree_segment *seg = &a->tree->seg[s];
		int end = s == b->seg ? b->to : seg->start + seg->len;

		for (int key = seg->start; key < end; key += KEYS) {
			struct tile t = { b->from, b->to - b->from, key, end - key < KEYS ? end - key : KEYS,
			    s == b->seg };
			fn(a, &t, head, state);
		}
	}
}

struct running {
	float max[TREE_BLOCK], sum[TREE_BLOCK];
};

static void forward_tile(const struct attention *a, const struct tile *t, int head, void *state)
{
	struct running *r = state;
	float s[TREE_BLOCK * KEYS];
	int d = a->head_size, ldq = a->heads * d, ldk = a->kv_heads * d, kv = head / (a->heads / a->kv_heads);
	float *out = at_mut(a->out, t->row, a->heads, head, d);

	scores(s, t, d, at(a->q, t->row, a->heads, head, d), ldq, at(a->k, t->key, a->kv_heads, kv, d), ldk,
	    1.0f / sqrtf((float)d));
	for (int i = 0; i < t->rows; i++) {
		float *row = s + i * KEYS, max, shrink;
		int n = visible(t, i);

		if (n > 0) {
			max = vec_max(row, (size_t)n);
			if (max > r->max[i]) {
				shrink = expf(r->max[i] - max);         /* exp(-inf) = 0 the first time */
				vec_scale(out + (size_t)i * (size_t)ldq, shrink, (size_t)d);
				r->sum[i] *= shrink;
				r->max[i] = max;
			}
			r->sum[i] += vec_exp(row, r->max[i], (size_t)n);
		}
		memset(row + n, 0, (size_t)(t->keys - n) * sizeof *row);
	}
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, t->rows, d, t->keys, 1, s, KEYS,
	    at(a->v, t->key, a->kv_heads, kv, d), ldk, 1, out, ldq);
}

static void forward_job(void *arg, int job)
{
	const struct attention *a = arg;
	const struct tree_block *b = &a->tree->block[job / a->heads];
	int head = job % a->heads, d = a->head_size;
	struct running r;

	for (int i = 0; i < b->to - b->from; i++) {
		r.max[i] = -INFINITY;
		r.sum[i] = 0;
		memset(at_mut(a->out, b->from + i, a->heads, head, d), 0, (size_t)d * sizeof(float));
	}
	each_tile(a, b, head, forward_tile, &r);
	for (int i = 0; i < b->to - b->from; i++) {
		vec_scale(at_mut(a->out, b->from + i, a->heads, head, d), 1.0f / r.sum[i], (size_t)d);
		a->lse[(size_t)head * (size_t)a->tree->tokens + (size_t)(b->from + i)] = r.max[i] + logf(r.sum[i]);
	}
}

void attention_forward(struct pool *pool, const struct attention *a)
{
	pool_run(pool, forward_job, (void *)a, a->tree->nblocks * a->heads);
}

/* With P = exp(S - lse): dV += P^T dO; dP = dO V^T; dS = P (dP - delta) with
 * delta = sum of dO O along the row; dQ += dS K; dK += dS^T Q. */
static void backward_tile(const struct attention *a, const struct tile *t, int head, void *state)
{
	const float *delta = state;
	float p[TREE_BLOCK * KEYS], dp[TREE_BLOCK * KEYS];
	int d = a->head_size, ldq = a->heads * d, ldk = a->kv_heads * d, kv = head / (a->heads / a->kv_heads);
	const float *q = at(a->q, t->row, a->heads, head, d), *dout = at(a->dout, t->row, a->heads, head, d);
	const float *k = at(a->k, t->key, a->kv_heads, kv, d), *v = at(a->v, t->key, a->kv_heads, kv, d);
	const float *lse = a->lse + (size_t)head * (size_t)a->tree->tokens + t->row;
	float scale = 1.0f / sqrtf((float)d);

	scores(p, t, d, q, ldq, k, ldk, scale);
	scores(dp, t, d, dout, ldq, v, ldk, 1);
	for (int i = 0; i < t->rows; i++) {
		int n = visible(t, i);

		if (n > 0)
			vec_exp(p + i * KEYS, lse[i], (size_t)n);
		memset(p + i * KEYS + n, 0, (size_t)(t->keys - n) * sizeof *p);
	}
	cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, t->keys, d, t->rows, 1, p, KEYS, dout, ldq, 1,
	    at_mut(a->dv, t->key, a->heads, head, d), ldq);
	for (int i = 0; i < t->rows; i++)
		vec_softmax_back(p + i * KEYS, dp + i * KEYS, delta[i], scale, (size_t)t->keys);
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, t->rows, d, t->keys, 1, p, KEYS, k, ldk, 1,
	    at_mut(a->dq, t->row, a->heads, head, d), ldq);
	cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, t->keys, d, t->rows, 1, p, KEYS, q, ldq, 1,
	    at_mut(a->dk, t->key, a->heads, head, d), ldq);
}

/* A head of a whole tree: what it adds to the keys' gradients comes in one
 * order. */
static void backward_job(void *arg, int job)
{
	const struct attention *a = arg;
	const struct tree *tree = a->tree;
	int root = tree->roots[job / a->heads], head = job % a->heads, d = a->head_size;
	float delta[TREE_BLOCK];

	for (int s = 0; s < tree->nsegs; s++) {
		const struct tree_segment *seg = &tree->seg[s];

		for (int row = seg->start; seg->root == root && row < seg->start + seg->len; row++) {
			memset(at_mut(a->dq, row, a->heads, head, d), 0, (size_t)d * sizeof(float));
			memset(at_mut(a->dk, row, a->heads, head, d), 0, (size_t)d * sizeof(float));
			memset(at_mut(a->dv, row, a->heads, head, d), 0, (size_t)d * sizeof(float));
		}
	}
	for (int i = 0; i < tree->nblocks; i++) {
		const struct tree_block *b = &tree->block[i];

		if (tree->seg[b->seg].root != root)
			continue;
		for (int j = 0; j < b->to - b->from; j++)
			delta[j] = vec_dot(at(a->dout, b->from + j, a->heads, head, d),
			    at(a->out, b->from + j, a->heads, head, d), (size_t)d);
		each_tile(a, b, head, backward_tile, delta);
	}
}

void attention_backward(struct pool *pool, const struct attention *a)
{
	pool_run(pool, backward_job, (void *)a, a->tree->nroots * a->heads);
}

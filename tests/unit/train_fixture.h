/* Small models and a tree of sequences, for the tests of the trainer. */
#ifndef MR_TRAIN_FIXTURE_H
#define MR_TRAIN_FIXTURE_H

#include "base/pool.h"
#include "train/train.h"
#include "train_reference.h"

/* Query heads in groups of 3, a head only part of which is rotated, a
 * vocabulary of more than one panel, sizes that are no multiple of anything. */
static const struct net_shape shapes[] = {
	{ .layers = 2, .width = 18, .heads = 6, .kv_heads = 2, .head_size = 6, .ffn = 26, .vocab = 2100,
	  .rope_dims = 4, .tied = true },
	{ .layers = 2, .width = 20, .heads = 2, .kv_heads = 2, .head_size = 10, .ffn = 31, .vocab = 300,
	  .rope_dims = 10, .tied = false },
	/* as qwen2 is, and a bias behind the attention */
	{ .layers = 2, .width = 18, .heads = 6, .kv_heads = 2, .head_size = 6, .ffn = 26, .vocab = 300,
	  .rope_dims = 4, .tied = true, .layout = ROPE_HALVES, .biased = true },
};

enum { SHAPES = sizeof shapes / sizeof *shapes };

/* A tree that crosses the attention's blocks of 64 queries and 128 keys: a
 * prompt with two completions, one of which goes on; and a tree of its own. */
enum { NSEGS = 5 };
static const int lengths[NSEGS] = { 70, 90, 33, 21, 12 }, parents[NSEGS] = { -1, 0, 0, 1, -1 };
static const bool targets[NSEGS] = { false, true, true, true, true };
static const double weights[NSEGS] = { 0, 0.7, -1.1, 0.4, 0.3 };
static int32_t tokens[NSEGS][128];
static struct segment tree[NSEGS];

static void make_tree(int vocab)
{
	struct rng r = rng_stream(11, "tree", "test", 0);

	for (int s = 0, at = 0; s < NSEGS; s++) {
		for (int i = 0; i < lengths[s]; i++, at++)
			tokens[s][i] = (int32_t)rng_below(&r, (uint64_t)at, (uint64_t)vocab);
		tree[s] = (struct segment){ tokens[s], lengths[s], parents[s], targets[s] };
	}
}

/* The whole sequence that ends with segment s; returns where s begins. */
static int path(int s, int32_t *ids, int *n)
{
	int from = 0;

	*n = 0;
	if (parents[s] >= 0)
		path(parents[s], ids, n);
	from = *n;
	memcpy(ids + *n, tokens[s], (size_t)lengths[s] * sizeof *ids);
	*n += lengths[s];
	return from;
}

static double ref_segment(const struct ref *r, int s)
{
	int32_t ids[256];
	double logp[256], sum = 0;
	int n, from = path(s, ids, &n);

	ref_logprobs(r, ids, n, from > 0 ? from : 1, logp, NULL);
	for (int i = from; i < n; i++)
		sum += logp[i];
	return sum;
}

/* sum of weights[s] logp of segment s */
static inline double ref_loss(const struct ref *r)
{
	double sum = 0;

	for (int s = 0; s < NSEGS; s++)
		if (targets[s])
			sum += weights[s] * ref_segment(r, s);
	return sum;
}

struct fixture {
	struct net *net;
	struct pool *pool;
	struct trainer *t;
	double *w;
	struct ref ref;
};

/* lora NULL: all weights are trained. */
static inline struct fixture fixture_with(const struct net_shape *s, int threads, const struct lora *lora)
{
	struct fixture f = { .net = net_new(s), .pool = pool_new(threads) };
	struct err err;

	make_tree(s->vocab);
	f.t = trainer_plan(&f.net->m, f.pool, lora, &err);
	if (!f.t || trainer_load(f.t, &err) != 0) {
		printf("not ok - %s\n", err.msg);
		exit(1);
	}
	f.w = calloc(f.net->n, sizeof *f.w);
	for (size_t i = 0; i < f.net->n; i++)
		f.w[i] = f.net->data[i];
	f.ref = (struct ref){ &f.net->m, f.w, f.net->data };
	return f;
}

static inline struct fixture fixture_new(const struct net_shape *s, int threads)
{
	return fixture_with(s, threads, NULL);
}

static inline void fixture_free(struct fixture *f)
{
	trainer_free(f->t);
	pool_free(f->pool);
	net_free(f->net);
	free(f->w);
}

#endif

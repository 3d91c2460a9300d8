/*
 * Low-rank adapters (Hu et al. 2021) over a model whose own weights stay as
 * the file has them: w + alpha / R b a in place of w. A layer at a time is
 * unpacked, with its adapters added, for the products. Private to lib/train.
 */
#ifndef MR_TRAIN_LORA_H
#define MR_TRAIN_LORA_H

#include "train/layers.h"
#include "train/train.h"

struct lora_matrix {
	const struct gguf_tensor *base; /* (out, in); NULL: no adapter */
	size_t a, b;                    /* where (R, in) and (out, R) are in the block of weights */
};

struct lora_parts {
	const struct model *m;
	struct lora set;
	float scale;
	size_t n;                       /* elements of all adapters, with padding */
	struct lora_matrix *matrix;     /* (L, LAYER_MATRICES) */
	struct adapter *adapter;        /* the same, as pointers */
};

/* Finds a place for each adapter, multiples of align elements apart. */
int lora_place(struct lora_parts *p, const struct model *m, const struct lora *set, size_t align,
    struct err *err);
void lora_free(struct lora_parts *p);
/* a uniform within 1 / sqrt(in), from rng_stream(seed, the tensor's name, "lora", 0); b is 0, as all
 * padding. */
void lora_start(struct lora_parts *p, float *w, float *g);
/* Fills what the pointers of to are for with layer l's weights, adapters added. */
void lora_unpack(const struct lora_parts *p, struct pool *pool, int l, const struct layer *to);
/* Adds to w, rows from … of tensor x, those of its adapter, if it has one. */
void lora_merge(const struct lora_parts *p, struct pool *pool, const struct gguf_tensor *x, size_t from,
    size_t rows, float *w);
/* As trainer_offset. */
ptrdiff_t lora_offset(const struct lora_parts *p, const char *name, size_t *n);
/* Writes the adapters alone. */
int lora_save(const struct lora_parts *p, const float *w, const char *path, struct err *err);

#endif

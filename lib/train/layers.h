/*
 * A layer's forward and backward pass, and the embedding's, on the
 * rows of a tree. Private to lib/train.
 *
 * Letters: T rows, C width, H query heads, Hkv key heads, D head size, F
 * feed-forward width. Matrices are [out][in], as in the file.
 */
#ifndef MR_TRAIN_LAYERS_H
#define MR_TRAIN_LAYERS_H

#include "base/pool.h"
#include "model/model.h"
#include "train/tree.h"

/* A layer's weights, or their gradients. */
struct layer {
	float *attn_norm;               /* (C) */
	float *q, *k, *v;               /* (H D, C), (Hkv D, C), (Hkv D, C) */
	float *o;                       /* (C, H D) */
	float *ffn_norm;                /* (C) */
	float *gate, *up, *down;        /* (F, C), (F, C), (C, F) */
	float *q_bias, *k_bias, *v_bias, *o_bias;       /* (H D), (Hkv D), (Hkv D), (C), or NULL */
};

/* The matrices that may have an adapter, in the order of struct layer. */
enum layer_matrix { LAYER_Q, LAYER_K, LAYER_V, LAYER_O, LAYER_GATE, LAYER_UP, LAYER_DOWN, LAYER_MATRICES };

/* A low-rank adapter of one matrix, which is in the weights already: only its
 * gradients are taken here. */
struct adapter {
	float *a, *b;                   /* (R, in), (out, R); NULL: none */
	float *da, *db;
};

/* What a layer's forward leaves for its backward. */
struct acts {
	float *x;                       /* (T, C) the layer's input */
	float *rstd_attn, *rstd_ffn;    /* (T) 1 / rms */
	float *q, *k, *v;               /* (T, H D), (T, Hkv D) rotated, (T, Hkv D) */
	float *att;                     /* (T, H D) */
	float *lse;                     /* (H, T) */
	float *mid;                     /* (T, C) after attention */
	float *gate, *up;               /* (T, F) */
};

/* Room to work in; the same for all layers. */
struct scratch {
	float *h;                       /* (T, C) normalised rows */
	float *act;                     /* (T, F) */
	float *dh;                      /* (T, C) */
	float *dgate, *dup;             /* (T, F) */
	float *datt, *dq, *dkh, *dvh;   /* (T, H D) each */
	float *dk, *dv;                 /* (T, Hkv D) */
	float *partial;                 /* (norm_blocks(T), C) */
	float *cos, *sin;               /* (T, rope_dims / 2) */
	float *xa[3], *dya[3];          /* (T, R) each: adapters' */
};

struct pass {
	struct pool *pool;
	const struct model_config *c;
	const struct tree *tree;
	struct scratch s;
	int rank;                       /* R of adapters; 0: there are none */
	double *attention;              /* seconds spent in it are added here */
	float scale;                    /* w + scale b a is what the layers are given as w */
};

int norm_blocks(int rows);

/* Fills cos and sin for the tree's positions. */
void rope_table(const struct pass *p, const float *inv_freq);

/* y[i] = norm(x[rows[i]]) for i < n, rows NULL: all in order; copy, where not
 * NULL, gets the rows as they are. */
void norm_forward(const struct pass *p, float *y, float *rstd, float *copy, const float *x, const int *rows,
    const float *w, int n);
/* dx += …, dw += … (not where it is NULL); dx, x, rstd and dy are (n, C). */
void norm_backward(const struct pass *p, float *dx, float *dw, const float *dy, const float *x,
    const float *w, const float *rstd, int n);

/* The rows of embd, or where that is NULL, of the file's tensor. */
void embed_forward(const struct pass *p, float *x, const struct gguf_tensor *packed, const float *embd);
/* dembd NULL: nothing to do */
void embed_backward(const struct pass *p, float *dembd, const float *dx);

/* out may be a->x where the activations are not kept; NULL: only they are
 * wanted, once more. */
void layer_forward(const struct pass *p, const struct layer *w, const struct acts *a, float *out);
/* dx: the gradient of the layer's output comes in, of its input goes out. A
 * gradient that is NULL in g is not wanted. adapters: LAYER_MATRICES, or NULL. */
void layer_backward(const struct pass *p, const struct layer *w, const struct layer *g,
    const struct adapter *adapters, const struct acts *a, float *dx);

#endif

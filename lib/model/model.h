/*
 * A model: the file, its sizes, its tensors found and checked, its tokenizer
 * and chat template. Read-only after model_open and shared by threads.
 * Architectures llama and qwen2 (ggml's names): RMSNorm, rotary embedding,
 * grouped-query attention, SwiGLU. They differ in the rotary layout (llama
 * files hold q and k rows, and biases, permuted for interleaved pairs; qwen2
 * files have halves) and in biases: q, k and v of qwen2 have them, those and
 * o of a llama file may.
 */
#ifndef MR_MODEL_MODEL_H
#define MR_MODEL_MODEL_H

#include "base/err.h"
#include "model/chat.h"
#include "model/gguf.h"
#include "model/ops.h"
#include "model/tokenizer.h"

struct model_config {
	const char *arch;       /* "llama", "qwen2": also the prefix of the file's keys */
	int layers;             /* L */
	int width;              /* C, embedding_length */
	int heads, kv_heads;    /* H, Hkv; heads is a multiple of kv_heads */
	int head_size;          /* D = C / H unless the file says otherwise */
	int ffn;                /* F, feed_forward_length */
	int vocab;              /* V */
	int context;            /* positions; no more than a sliding window, within which attention is full */
	float norm_eps;
	float rope_base;
	float rope_scale;       /* positions are divided by it */
	int rope_dims;
	enum rope_layout rope_layout;
	bool tied;              /* the output matrix is the embedding */
};

struct layer_tensors {  /* matrices are [rows out][cols in] */
	const struct gguf_tensor *attn_norm;            /* (C) */
	const struct gguf_tensor *q, *k, *v;            /* (H D, C), (Hkv D, C), (Hkv D, C) */
	const struct gguf_tensor *o;                    /* (C, H D) */
	const struct gguf_tensor *q_bias, *k_bias, *v_bias;     /* (H D), (Hkv D), (Hkv D) or NULL */
	const struct gguf_tensor *o_bias;               /* (C) or NULL */
	const struct gguf_tensor *ffn_norm;             /* (C) */
	const struct gguf_tensor *gate, *up, *down;     /* (F, C), (F, C), (C, F) */
};

struct model {
	char *path;
	struct gguf *gguf;
	struct model_config config;
	struct tokenizer *tokenizer;
	struct chat *chat;                              /* NULL: none in the file, none named */
	const struct gguf_tensor *embd;                 /* (V, C) */
	const struct gguf_tensor *output_norm;          /* (C) */
	const struct gguf_tensor *output;               /* (V, C); == embd where tied */
	struct layer_tensors *layer;                    /* L */
	float *rope_inv_freq;                           /* rope_dims / 2: base^(-2i/dims) over factors and scale */
};

/* Checks everything: the architecture, that each tensor is there with the
 * right shape and a readable type, the tokenizer's size, finite parameters.
 * chat_template: a family's name or NULL. */
struct model *model_open(const char *path, const char *chat_template, struct err *err);
void model_close(struct model *m);
/* Whether model_open knows an architecture of that name. */
bool model_knows(struct gguf_str arch);

#endif

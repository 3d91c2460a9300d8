/*
 * Hugging Face's folder of a llama model: config.json, tokenizer.json,
 * tokenizer_config.json, generation_config.json, and the weights
 * (safetensors.h). Private to lib/model.
 */
#ifndef MR_MODEL_HF_H
#define MR_MODEL_HF_H

#include "base/err.h"
#include "base/mem.h"
#include "model/model.h"

/* A tensor under both of its names. */
struct hf_tensor {
	char gguf[64], hf[80];
	int64_t rows, cols;             /* rows 0: a vector of cols elements */
	int heads;                      /* > 0: the rows of each head are in another order, hf_row */
};
/* All tensors of such a model, in order; *n of them. free() it. */
struct hf_tensor *hf_tensors(const struct model_config *c, size_t *n);
/*
 * A head of D rows: GGUF has row i + D / 2 behind row i, for the rotation of
 * neighbours; Hugging Face has the halves one behind the other. The row of
 * one that is row r of the other.
 */
int64_t hf_row_of_gguf(int64_t r, int head_size);
int64_t hf_gguf_row_of(int64_t r, int head_size);

/* Llama 3's factors of the rotary frequencies (factor[n], n = D / 2), as
 * "rope_type": "llama3" has them. */
struct hf_rope {
	double factor, low, high, original;     /* factor 0: none */
};
void hf_rope_factors(const struct hf_rope *r, double base, int n, float *factor);

/* Writes all but the weights into a folder. type: the weights'. */
int hf_write(const struct model *m, enum tensor_type type, const char *folder, struct err *err);

/* All but the weights, read and checked. */
struct hf {
	struct model_config config;
	struct hf_rope rope;
	const char *name;               /* the folder's own */
	const char *pre;                /* as in GGUF: "smollm" */
	const char **tokens;            /* V; those that the tokenizer lacks are [PADn] */
	int32_t *types;
	const char **merges;            /* "left right" */
	size_t nmerges;
	int32_t bos, eos, unknown, padding;     /* -1: none */
	bool adds_bos;
	const char *chat_template;      /* NULL: none */
	struct arena text;
};
struct hf *hf_read(const char *folder, struct err *err);
void hf_free(struct hf *h);
/* The metadata of a GGUF file of it, but general.file_type. */
int hf_put_metadata(const struct hf *h, struct gguf_writer *w, struct err *err);

/* Patterns of pre-tokenizers, as tokenizer.json has them. */
extern const char hf_split_digits[], hf_split_gpt2[], hf_split_llama3[], hf_split_qwen2[];

#endif

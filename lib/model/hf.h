/*
 * Hugging Face's folder of a llama, mistral or qwen2 model: config.json, tokenizer.json,
 * tokenizer_config.json, generation_config.json, and the weights
 * (safetensors.h). Private to lib/model.
 */
#ifndef MR_MODEL_HF_H
#define MR_MODEL_HF_H

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "model/model.h"

/* A tensor under both of its names. */
struct hf_tensor {
	char gguf[64], hf[80];
	int64_t rows, cols;             /* rows 0: a vector of cols elements */
	int heads;                      /* > 0: the rows of each head are in another order, hf_row */
};
/* All tensors of such a model, in order; *n of them. free() it. biased: q, k,
 * v and o of a llama have biases (q, k and v of a qwen2 always). */
struct hf_tensor *hf_tensors(const struct model_config *c, bool biased, size_t *n);
/* Whether any of them has one in this llama; those that it lacks are zeros to
 * Hugging Face. */
bool hf_model_biased(const struct model *m);
/*
 * A head of D rows: a llama's GGUF has row i + D / 2 behind row i, for the rotation of
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

/* A tokenizer as a GGUF file has it. */
struct hf_vocab {
	bool spm;                               /* SentencePiece */
	struct gguf_str *tokens, *merges;
	int32_t *types;
	size_t n, nmerges;
	int32_t bos, eos, unknown, padding;     /* -1: none */
	bool adds_bos, space_prefix;
	struct gguf_str pre, template;          /* template.s NULL: none */
	struct arena text;
};
/* v is to be freed in any case; g stays open as long. t: the same file's. */
int hf_vocab_read(const struct gguf *g, const struct tokenizer *t, struct hf_vocab *v, struct err *err);
void hf_vocab_free(struct hf_vocab *v);
/* tokenizer.json and tokenizer_config.json. context: the model's. */
int hf_write_tokenizer(const struct hf_vocab *v, int context, const char *folder, struct err *err);

/* A file of the folder: the text, which is emptied, and a newline. */
int hf_put_file(const char *folder, const char *name, struct buf *b, struct err *err);

/* How SentencePiece writes a space: U+2581. */
#define HF_SPACE "\xe2\x96\x81"
/*
 * SentencePiece has scores, tokenizer.json merges: each token's, out of all
 * pairs of tokens that together have its text; the best score's come first,
 * the shortest left part's first among them.
 */
int hf_spm_merges(const struct gguf *g, struct hf_vocab *v, struct err *err);

/* Writes all but the weights into a folder. type: the weights'. */
int hf_write(const struct model *m, enum tensor_type type, const char *folder, struct err *err);

/* All but the weights, read and checked. */
struct hf {
	struct model_config config;
	struct hf_rope rope;
	const char *name;               /* the folder's own */
	bool biased;                    /* as of hf_tensors */
	bool spm, space_prefix;         /* SentencePiece */
	const char *pre;                /* as in GGUF: "smollm" */
	float *scores;                  /* V, SentencePiece's; NULL: none */
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
/* The scores that give h's merges: 0 for the token of the first ones, -1 for
 * the next's, and so on; behind them, in their order, those that no merge makes. Merges that
 * lack a pair are refused: no scores give them. */
int hf_spm_scores(struct hf *h, struct err *err);
/* The metadata of a GGUF file of it, but general.file_type. */
int hf_put_metadata(const struct hf *h, struct gguf_writer *w, struct err *err);

/* Patterns of pre-tokenizers, as tokenizer.json has them. */
extern const char hf_split_digits[], hf_split_gpt2[], hf_split_llama3[], hf_split_qwen2[];

#endif

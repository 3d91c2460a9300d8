/*
 * SentencePiece's byte-pair encoding ("llama" in GGUF's terms): of all
 * neighbours whose texts together are a token, those that make the token of
 * the best score (the leftmost among equals) are merged first, until none are
 * left. A character that is no token is spelled in byte tokens (<0x0A>), or
 * is the unknown token where there are none.
 */
#ifndef MR_MODEL_SPM_H
#define MR_MODEL_SPM_H

#include "base/err.h"
#include "model/bpe.h"
#include "model/vocab.h"

struct spm;

/* v: indexed, its tokens with a space where the file has U+2581; it must
 * outlive this. score: v->n of them. byte_id: each byte's token, -1: none;
 * unknown: what stands for other characters, or -1. */
struct spm *spm_new(const struct vocab *v, const float *score, const int32_t byte_id[256],
    int32_t unknown, struct err *err);
void spm_free(struct spm *m);

struct spm_scratch {
	struct bpe_scratch merging;
	int32_t *symbols;
	size_t cap;
	struct ids ids;
};
void spm_scratch_free(struct spm_scratch *s);

/* Appends the text's tokens, behind a space where space is true. U+2581 in a
 * text is a space to it, as it is to SentencePiece. */
void spm_encode(const struct spm *m, struct spm_scratch *s, bool space, const char *text, size_t len,
    struct ids *out);

#endif

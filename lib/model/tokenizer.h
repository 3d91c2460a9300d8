/*
 * Text to token ids and back, of two kinds.
 *
 * Byte-level BPE ("gpt2" in GGUF's terms) with the pre-tokenizers smollm and
 * gpt-2, both by GPT-2's split pattern, and llama-bpe and qwen2 (split.h).
 * smollm's digits stand alone because no merge joins them. (Some programs cut
 * before and behind each digit first, so that white space in front of a digit
 * becomes one token; the reference that this is tested against, the model's
 * tokenizer in transformers, does not.) With llama-bpe a word that is a token
 * is taken whole, whatever its merges make of it. Texts for qwen2 are
 * normalised (nfc.h) first, between the special tokens in them.
 *
 * SentencePiece's BPE ("llama"; spm.h). A text is encoded behind a space,
 * also behind a control or a user-defined token within it, unless the file
 * says otherwise (tokenizer.ggml.add_space_prefix).
 *
 * Text from data is text: without parse_special no control token comes out
 * of tokenizer_encode, whatever the bytes. Control tokens are those that the
 * file calls so, and ordinary and user-defined ones that begin or end texts
 * or turns, and user-defined ones that are written <|…|>; other user-defined
 * ones are found in data too. Byte tokens and the unknown token do not come
 * of their own names ("<0x0A>") either.
 */
#ifndef MR_MODEL_TOKENIZER_H
#define MR_MODEL_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "model/gguf.h"

struct tokenizer;

struct ids {
	int32_t *v;
	size_t n, cap;
};
void ids_add(struct ids *a, int32_t id);
void ids_add_n(struct ids *a, const int32_t *v, size_t n);
void ids_free(struct ids *a);

/* The file may be closed afterwards. NULL with a message where it has another
 * tokenizer. */
struct tokenizer *tokenizer_new(const struct gguf *g, struct err *err);
void tokenizer_free(struct tokenizer *t);

/* Appends to out. Any bytes are accepted, also such as are not UTF-8; a byte
 * for which the vocabulary has no token (SmolLM2: 21 of them, such as 0x04
 * and 0xff) is left out, as the model's own tokenizer does. Time is linear in
 * len (n log n at worst within one word). */
void tokenizer_encode(const struct tokenizer *t, const char *text, size_t len, bool parse_special,
    struct ids *out);
/* Of a text that goes on behind another one: no space is put before it. */
void tokenizer_encode_more(const struct tokenizer *t, const char *text, size_t len, struct ids *out);
/* Appends the token's bytes (which may be part of a character). Control
 * tokens give nothing unless special is true; an id that is none gives U+FFFD. */
void tokenizer_decode(const struct tokenizer *t, int32_t id, bool special, struct buf *out);

/* A whole text's: without the space that SentencePiece puts before one. */
void tokenizer_decode_text(const struct tokenizer *t, const int32_t *ids, size_t n, struct buf *out);

int32_t tokenizer_size(const struct tokenizer *t);
/* The id of a control token by its text ("<|im_end|>"), or -1. */
int32_t tokenizer_control(const struct tokenizer *t, const char *text);
bool tokenizer_is_control(const struct tokenizer *t, int32_t id);
int32_t tokenizer_bos(const struct tokenizer *t);       /* -1: none */
int32_t tokenizer_eos(const struct tokenizer *t);
bool tokenizer_adds_bos(const struct tokenizer *t);
const char *tokenizer_describe(const struct tokenizer *t);      /* "byte-level BPE, smollm" */

#endif

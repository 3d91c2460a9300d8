/*
 * Byte-pair merging: of all neighbours in a word that have a merge, the one
 * of lowest rank (the leftmost among equals) is merged first, until none is
 * left (Sennrich et al. 2016, with GPT-2's order).
 */
#ifndef MR_MODEL_BPE_H
#define MR_MODEL_BPE_H

#include <stddef.h>
#include <stdint.h>

#include "model/tokenizer.h"

struct bpe;

enum { BPE_MAX_WORD = 1 << 28 };        /* symbols in one word */

/* Room for n merges; NULL where there is not enough memory. */
struct bpe *bpe_new(size_t n);
void bpe_free(struct bpe *b);
/* left right -> result. A pair that is there keeps its lower rank. */
void bpe_add(struct bpe *b, int32_t left, int32_t right, uint32_t rank, int32_t result);

/* Working memory, for any number of words, one after the other. */
struct bpe_scratch {
	struct bpe_symbol *symbols;
	struct bpe_candidate *heap;
	size_t symbols_cap, heap_cap, nheap;
};
void bpe_scratch_free(struct bpe_scratch *s);

/* Appends the word's tokens to out; ids: its n <= BPE_MAX_WORD bytes' tokens.
 * O(n log n). */
void bpe_merge(const struct bpe *b, struct bpe_scratch *s, const int32_t *ids, size_t n, struct ids *out);

#endif

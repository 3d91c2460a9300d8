/* A vocabulary's tokens, and the ordinary ones found by their bytes. */
#ifndef MR_MODEL_VOCAB_H
#define MR_MODEL_VOCAB_H

#include <stddef.h>
#include <stdint.h>

enum token_type {       /* numbers as in GGUF */
	TYPE_NORMAL = 1, TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_USER = 4, TYPE_UNUSED = 5, TYPE_BYTE = 6,
};

struct token {
	const char *s;          /* its bytes, as they stand in a text */
	size_t len;
	int type;
};

struct vocab {
	struct token *tokens;
	int32_t n;
	int32_t *table;         /* bytes -> id, open addressing, -1: free; NULL: not indexed */
	size_t mask;
};

uint64_t vocab_hash(const char *s, size_t len);
/* A table with room for n entries, all of them free; NULL where there is not enough memory. */
int32_t *vocab_table(size_t n, size_t *mask);
/* Indexes the tokens of type NORMAL; -1 where there is not enough memory. */
int vocab_index(struct vocab *v);
/* The first token of type NORMAL with these bytes, or -1. */
int32_t vocab_find(const struct vocab *v, const char *s, size_t len);

#endif

#include "model/vocab.h"

#include <string.h>

#include "base/mem.h"

uint64_t vocab_hash(const char *s, size_t len)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)s[i]) * 0x100000001b3u;
	return h ^ h >> 32;
}

int32_t *vocab_table(size_t n, size_t *mask)
{
	size_t size = 16;
	int32_t *table;

	while (size < 2 * n)
		size *= 2;
	*mask = size - 1;
	if ((table = mem_try(size, sizeof *table)))
		memset(table, -1, size * sizeof *table);
	return table;
}

/* Its place, or the free one where it would stand. */
static int32_t *place(const struct vocab *v, const char *s, size_t len)
{
	size_t i = (size_t)vocab_hash(s, len) & v->mask;

	for (; v->table[i] >= 0; i = (i + 1) & v->mask) {
		const struct token *t = &v->tokens[v->table[i]];
		if (t->len == len && memcmp(t->s, s, len) == 0)
			break;
	}
	return &v->table[i];
}

int vocab_index(struct vocab *v)
{
	if (!(v->table = vocab_table((size_t)v->n, &v->mask)))
		return -1;
	for (int32_t i = 0; i < v->n; i++) {
		const struct token *t = &v->tokens[i];
		int32_t *at = t->type == TYPE_NORMAL && t->len > 0 ? place(v, t->s, t->len) : NULL;

		if (at && *at < 0)
			*at = i;
	}
	return 0;
}

int32_t vocab_find(const struct vocab *v, const char *s, size_t len)
{
	return *place(v, s, len);
}

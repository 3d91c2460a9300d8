#include "model/bpe.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define NO_RANK UINT32_MAX
#define NONE UINT32_MAX

struct merge {
	int32_t left, right;
	uint32_t rank;          /* NO_RANK: a free place */
	int32_t result;
};

struct bpe {
	struct merge *table;    /* open addressing; at least half of it is free */
	size_t mask;
};

/* Symbols of a word, linked, so that a merge costs nothing but two links. */
struct bpe_symbol {
	int32_t id;             /* -1: merged into its left neighbour */
	uint32_t prev, next;
};

/* A merge that was possible when it was noted; left and right tell whether
 * it still is. */
struct bpe_candidate {
	uint64_t order;         /* rank, then position */
	int32_t left, right, result;
};

struct bpe *bpe_new(size_t n)
{
	struct bpe *b = mem_zalloc(1, sizeof *b);
	size_t size = 16;

	while (size < 2 * n && size < SIZE_MAX / 2)
		size *= 2;
	b->mask = size - 1;
	if (!(b->table = mem_try(size, sizeof *b->table))) {
		free(b);
		return NULL;
	}
	for (size_t i = 0; i < size; i++)
		b->table[i].rank = NO_RANK;
	return b;
}

void bpe_free(struct bpe *b)
{
	if (b)
		free(b->table);
	free(b);
}

static size_t pair_hash(int32_t left, int32_t right)
{
	uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u;

	return (size_t)(h ^ h >> 32);
}

/* Its place, or the free one where it would stand. */
static struct merge *place(const struct bpe *b, int32_t left, int32_t right)
{
	size_t i = pair_hash(left, right) & b->mask;

	while (b->table[i].rank != NO_RANK && (b->table[i].left != left || b->table[i].right != right))
		i = (i + 1) & b->mask;
	return &b->table[i];
}

void bpe_add(struct bpe *b, int32_t left, int32_t right, uint32_t rank, int32_t result)
{
	struct merge *m = place(b, left, right);

	if (rank < m->rank)
		*m = (struct merge){ left, right, rank, result };
}

void bpe_scratch_free(struct bpe_scratch *s)
{
	free(s->symbols);
	free(s->heap);
	*s = (struct bpe_scratch){ 0 };
}

static void heap_push(struct bpe_scratch *s, struct bpe_candidate c)
{
	size_t i = s->nheap++;

	if (s->nheap > s->heap_cap) {
		s->heap_cap = s->heap_cap ? 2 * s->heap_cap : 64;
		s->heap = mem_grow(s->heap, s->heap_cap, sizeof *s->heap);
	}
	while (i > 0 && c.order < s->heap[(i - 1) / 2].order) {
		s->heap[i] = s->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	s->heap[i] = c;
}

static struct bpe_candidate heap_pop(struct bpe_scratch *s)
{
	struct bpe_candidate top = s->heap[0], last = s->heap[--s->nheap];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < s->nheap) {
		if (child + 1 < s->nheap && s->heap[child + 1].order < s->heap[child].order)
			child++;
		if (last.order <= s->heap[child].order)
			break;
		s->heap[i] = s->heap[child];
		i = child;
	}
	s->heap[i] = last;
	return top;
}

/* Notes the merge of the symbol at i with the next one, if there is any. */
static void note(const struct bpe *b, struct bpe_scratch *s, uint32_t i)
{
	const struct bpe_symbol *left = &s->symbols[i], *right;
	const struct merge *m;

	if (left->next == NONE)
		return;
	right = &s->symbols[left->next];
	m = place(b, left->id, right->id);
	if (m->rank != NO_RANK) {
		uint64_t order = (uint64_t)m->rank << 32 | i;
		heap_push(s, (struct bpe_candidate){ order, left->id, right->id, m->result });
	}
}

static void link_symbols(struct bpe_scratch *s, const int32_t *ids, uint32_t n)
{
	if (n > s->symbols_cap) {
		s->symbols_cap = 2 * (size_t)n;
		s->symbols = mem_grow(s->symbols, s->symbols_cap, sizeof *s->symbols);
	}
	for (uint32_t i = 0; i < n; i++)
		s->symbols[i] = (struct bpe_symbol){ ids[i], i ? i - 1 : NONE, i + 1 < n ? i + 1 : NONE };
	s->nheap = 0;
}

void bpe_merge(const struct bpe *b, struct bpe_scratch *s, const int32_t *ids, size_t n, struct ids *out)
{
	if (n == 0)
		return;
	link_symbols(s, ids, (uint32_t)n);
	for (uint32_t i = 0; i + 1 < (uint32_t)n; i++)
		note(b, s, i);
	while (s->nheap > 0) {
		struct bpe_candidate c = heap_pop(s);
		uint32_t i = (uint32_t)c.order, next;
		struct bpe_symbol *left = &s->symbols[i];

		if (left->id != c.left || (next = left->next) == NONE || s->symbols[next].id != c.right)
			continue;
		left->id = c.result;
		left->next = s->symbols[next].next;
		if (left->next != NONE)
			s->symbols[left->next].prev = i;
		s->symbols[next].id = -1;
		if (left->prev != NONE)
			note(b, s, left->prev);
		note(b, s, i);
	}
	for (uint32_t i = 0; i != NONE; i = s->symbols[i].next)
		ids_add(out, s->symbols[i].id);
}

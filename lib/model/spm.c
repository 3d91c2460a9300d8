#include "model/spm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"

enum {
	SPACE_MARK = 0x2581,            /* how SentencePiece writes a space */
	CODE_POINTS = 0x110000,
	LONGEST = 256,                  /* bytes of a token that merges can make: bounds the loading */
};

/*
 * Symbols below v->n are tokens; a character that is none is the symbol
 * v->n + its code point, a byte that is not UTF-8 v->n + CODE_POINTS + byte:
 * tokens may be made of characters that are none.
 */
struct spm {
	const struct vocab *v;
	const int32_t *byte_id;
	int32_t unknown;
	struct bpe *bpe;
	bool words;             /* no token has a space behind something else: texts can be cut there */
};

static int32_t character(const struct spm *m, const char *s, size_t len, size_t *n)
{
	uint32_t cp = utf8_decode(s, len, n);
	int32_t id;

	if (cp == SPACE_MARK)
		cp = ' ';
	id = cp == ' ' ? vocab_find(m->v, " ", 1) : cp == UTF8_BAD ? -1 : vocab_find(m->v, s, *n);
	if (id >= 0)
		return id;
	return m->v->n + (cp == UTF8_BAD ? CODE_POINTS + (unsigned char)*s : (int32_t)cp);
}

/* The symbol that has this text, or -1. */
static int32_t symbol(const struct spm *m, const char *s, size_t len)
{
	int32_t id = vocab_find(m->v, s, len);
	size_t n;

	if (id >= 0)
		return id;
	id = character(m, s, len, &n);
	return n == len ? id : -1;
}

/* Adds all merges that make token id; counts them only where rank is NULL. */
static size_t add_merges(struct spm *m, int32_t id, const uint32_t *rank)
{
	const struct token *t = &m->v->tokens[id];
	size_t n, count = 0;

	if (t->type != TYPE_NORMAL || t->len > LONGEST || vocab_find(m->v, t->s, t->len) != id)
		return 0;
	for (size_t at = 0; at < t->len; at += n) {
		int32_t left = at ? symbol(m, t->s, at) : -1;
		int32_t right = left >= 0 ? symbol(m, t->s + at, t->len - at) : -1;

		utf8_decode(t->s + at, t->len - at, &n);
		if (right < 0)
			continue;
		count++;
		if (rank)
			bpe_add(m->bpe, left, right, rank[id], id);
	}
	return count;
}

struct scored {
	float score;
	int32_t id;
};

static int better_first(const void *a, const void *b)
{
	float x = ((const struct scored *)a)->score, y = ((const struct scored *)b)->score;

	return (x < y) - (x > y);
}

/* The best score has rank 0; equal scores have equal ranks. NULL: no memory. */
static uint32_t *ranks(const float *score, size_t n)
{
	struct scored *order = mem_try(n, sizeof *order);
	uint32_t *rank = mem_try(n, sizeof *rank), r = 0;

	for (size_t i = 0; order && i < n; i++)
		order[i] = (struct scored){ isnan(score[i]) ? -INFINITY : score[i], (int32_t)i };
	if (order && rank) {
		qsort(order, n, sizeof *order, better_first);
		for (size_t i = 0; i < n; i++) {
			r += i > 0 && order[i].score < order[i - 1].score;
			rank[order[i].id] = r;
		}
		free(order);
		return rank;
	}
	free(order);
	free(rank);
	return NULL;
}

static bool space_behind_others(const struct token *t)
{
	for (size_t i = 1; t->type == TYPE_NORMAL && i < t->len; i++)
		if (t->s[i] == ' ' && t->s[i - 1] != ' ')
			return true;
	return false;
}

struct spm *spm_new(const struct vocab *v, const float *score, const int32_t byte_id[256],
    int32_t unknown, struct err *err)
{
	struct spm *m = mem_zalloc(1, sizeof *m);
	uint32_t *rank = ranks(score, (size_t)v->n);
	size_t n = 0;

	*m = (struct spm){ .v = v, .byte_id = byte_id, .unknown = unknown, .words = true };
	for (int32_t id = 0; id < v->n; id++) {
		n += add_merges(m, id, NULL);
		m->words = m->words && !space_behind_others(&v->tokens[id]);
	}
	if (!rank || !(m->bpe = bpe_new(n))) {
		err_set(err, "not enough memory for %zu merges", n);
		free(rank);
		free(m);
		return NULL;
	}
	for (int32_t id = 0; id < v->n; id++)
		add_merges(m, id, rank);
	free(rank);
	return m;
}

void spm_free(struct spm *m)
{
	if (m)
		bpe_free(m->bpe);
	free(m);
}

void spm_scratch_free(struct spm_scratch *s)
{
	bpe_scratch_free(&s->merging);
	free(s->symbols);
	ids_free(&s->ids);
	*s = (struct spm_scratch){ 0 };
}

/* A character that is no token. Several unknown ones in a row are one. */
static void spell(const struct spm *m, int32_t symbol_id, struct ids *out)
{
	uint32_t cp = (uint32_t)(symbol_id - m->v->n);
	char s[4] = { (char)(cp - CODE_POINTS) };
	size_t n = cp < CODE_POINTS ? utf8_encode(cp, s) : 1;
	bool all = true;

	for (size_t i = 0; i < n; i++)
		all = all && m->byte_id[(unsigned char)s[i]] >= 0;
	for (size_t i = 0; all && i < n; i++)
		ids_add(out, m->byte_id[(unsigned char)s[i]]);
	if (!all && m->unknown >= 0 && (out->n == 0 || out->v[out->n - 1] != m->unknown))
		ids_add(out, m->unknown);
}

static void merge_word(const struct spm *m, struct spm_scratch *s, size_t n, struct ids *out)
{
	s->ids.n = 0;
	bpe_merge(m->bpe, &s->merging, s->symbols, n, &s->ids);
	for (size_t i = 0; i < s->ids.n; i++)
		if (s->ids.v[i] < m->v->n)
			ids_add(out, s->ids.v[i]);
		else
			spell(m, s->ids.v[i], out);
}

static void add_symbol(struct spm_scratch *s, size_t n, int32_t id)
{
	if (n == s->cap) {
		s->cap = s->cap ? 2 * s->cap : 256;
		s->symbols = mem_grow(s->symbols, s->cap, sizeof *s->symbols);
	}
	s->symbols[n] = id;
}

void spm_encode(const struct spm *m, struct spm_scratch *s, bool space, const char *text, size_t len,
    struct ids *out)
{
	size_t at = 0, n = 0, size;
	int32_t blank = character(m, " ", 1, &size);

	if (space)
		add_symbol(s, n++, blank);
	while (at < len) {
		int32_t id = character(m, text + at, len - at, &size);

		if (n == BPE_MAX_WORD || (m->words && n > 0 && id == blank && s->symbols[n - 1] != blank)) {
			merge_word(m, s, n, out);
			n = 0;
		}
		add_symbol(s, n++, id);
		at += size;
	}
	merge_word(m, s, n, out);
}

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "model/hf.h"
#include "model/vocab.h"

enum { LONGEST = 256 };         /* bytes of a token that merges can make, as in spm.c */

struct merge {
	float score;
	int32_t token;
	size_t left;            /* bytes */
};

static int in_order(const void *a, const void *b)
{
	const struct merge *x = a, *y = b;

	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	if (x->token != y->token)
		return x->token < y->token ? -1 : 1;
	return (x->left > y->left) - (x->left < y->left);
}

/* The ordinary tokens by their texts as the file has them. index->tokens and
 * its table are to be freed. */
static int make_index(struct vocab *index, size_t n, const int32_t *types, struct err *err)
{
	index->n = (int32_t)n;
	for (size_t i = 0; i < n; i++)
		index->tokens[i].type = types[i];
	return vocab_index(index) == 0 ? 0 : err_set(err, "not enough memory for a vocabulary of %zu tokens", n);
}

/* A text with a real space in it cannot come about: it would have been U+2581. */
static bool is_reached(const struct vocab *index, int32_t id)
{
	const struct token *t = &index->tokens[id];

	return t->type == TYPE_NORMAL && t->len <= LONGEST && !memchr(t->s, ' ', t->len) &&
	    vocab_find(index, t->s, t->len) == id;
}

/* All that make a token; counts them only where out is NULL. */
static size_t merges_of(const struct vocab *index, int32_t id, float score, struct merge *out)
{
	const struct token *t = &index->tokens[id];
	size_t count = 0, n;

	if (!is_reached(index, id))
		return 0;
	for (size_t at = 0; at < t->len; at += n) {
		utf8_decode(t->s + at, t->len - at, &n);
		if (at == 0 || vocab_find(index, t->s, at) < 0 ||
		    vocab_find(index, t->s + at, t->len - at) < 0)
			continue;
		if (out)
			out[count] = (struct merge){ isnan(score) ? -INFINITY : score, id, at };
		count++;
	}
	return count;
}

static int list_merges(const struct vocab *index, const float *score, struct hf_vocab *v, struct err *err)
{
	struct merge *all;
	size_t n = 0;

	for (int32_t id = 0; id < index->n; id++)
		n += merges_of(index, id, 0, NULL);
	if (!(all = mem_try(n + 1, sizeof *all)))
		return err_set(err, "not enough memory for %zu merges", n);
	n = 0;
	for (int32_t id = 0; id < index->n; id++)
		n += merges_of(index, id, score[id], all + n);
	qsort(all, n, sizeof *all, in_order);
	v->merges = mem_zalloc(n + 1, sizeof *v->merges);
	for (; v->nmerges < n; v->nmerges++) {
		const struct merge *m = &all[v->nmerges];
		const struct token *t = &index->tokens[m->token];
		char *s = arena_printf(&v->text, "%.*s %.*s", (int)m->left, t->s, (int)(t->len - m->left),
		    t->s + m->left);

		v->merges[v->nmerges] = (struct gguf_str){ s, t->len + 1 };
	}
	free(all);
	return 0;
}

int hf_spm_merges(const struct gguf *g, struct hf_vocab *v, struct err *err)
{
	const struct gguf_kv *scores = gguf_find(g, "tokenizer.ggml.scores");
	struct vocab index = { 0 };
	float *score;
	int r;

	if (!scores || scores->kind != GGUF_ARRAY || scores->elem != GGUF_F32 || scores->n != v->n)
		return err_set(err, "the file has no scores, one a token (tokenizer.ggml.scores)");
	score = mem_zalloc(v->n, sizeof *score);
	memcpy(score, scores->data, v->n * sizeof *score);
	index.tokens = mem_zalloc(v->n, sizeof *index.tokens);
	for (size_t i = 0; i < v->n; i++)
		index.tokens[i] = (struct token){ v->tokens[i].s, v->tokens[i].len, 0 };
	r = make_index(&index, v->n, v->types, err);
	if (r == 0)
		r = list_merges(&index, score, v, err);
	free(score);
	free(index.tokens);
	free(index.table);
	return r;
}

/* The token that "left right" makes, or -1. */
static int32_t result_of(const struct vocab *index, const char *merge, struct buf *whole)
{
	const char *space = *merge ? strchr(merge + 1, ' ') : NULL;

	if (!space)
		return -1;
	buf_reset(whole);
	buf_add(whole, merge, (size_t)(space - merge));
	buf_adds(whole, space + 1);
	return vocab_find(index, whole->data, whole->len);
}

int hf_spm_scores(struct hf *h, struct err *err)
{
	const size_t n = (size_t)h->config.vocab;
	struct vocab index = { .tokens = mem_zalloc(n, sizeof *index.tokens) };
	bool *scored = mem_zalloc(n, sizeof *scored);
	struct buf whole = { 0 };
	size_t wanted = 0;
	float next = 0;
	int r;

	h->scores = mem_zalloc(n, sizeof *h->scores);
	for (size_t i = 0; i < n; i++)
		index.tokens[i] = (struct token){ h->tokens[i], strlen(h->tokens[i]), 0 };
	r = make_index(&index, n, h->types, err);
	for (int32_t id = 0; r == 0 && id < index.n; id++)
		wanted += merges_of(&index, id, 0, NULL);
	if (r == 0 && wanted > h->nmerges)
		r = err_set(err, "tokenizer.json: %zu merges; SentencePiece's are all pairs that make a token, %zu",
		    h->nmerges, wanted);
	for (size_t i = 0; r == 0 && i < h->nmerges; i++) {
		int32_t id = result_of(&index, h->merges[i], &whole);

		if (id >= 0 && !scored[id]) {
			h->scores[id] = next--;
			scored[id] = true;
		}
	}
	for (size_t i = 0; i < n; i++)
		if (h->types[i] == TYPE_NORMAL && !scored[i])
			h->scores[i] = next--;
	buf_free(&whole);
	free(scored);
	free(index.tokens);
	free(index.table);
	return r;
}

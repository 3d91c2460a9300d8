#include "model/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "model/bpe.h"
#include "model/split.h"

enum { TYPE_NORMAL = 1, TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_USER = 4 };   /* as in GGUF */

struct token {
	const char *s;          /* its bytes */
	size_t len;
	int type;
};

/* A token that is found in a text before it is cut into words. */
struct special {
	const char *s;
	size_t len;
	int32_t id;
	bool control;           /* only where special tokens are parsed */
};

struct tokenizer {
	struct token *tokens;
	int32_t n;
	struct gguf_str *texts;         /* as in the file, in its mapping: while loading only */
	int32_t *table;                 /* text -> id, open addressing, -1: free; while loading only */
	size_t mask;
	int32_t byte_id[256];           /* -1: the vocabulary lacks it */
	struct bpe *bpe;
	struct special *specials;       /* by first byte, the longer one first */
	size_t nspecials;
	size_t first[257];              /* specials that begin with byte b: first[b] … first[b + 1] - 1 */
	int32_t bos, eos;
	bool adds_bos;
	const char *description;
	struct arena text;
};

void ids_add(struct ids *a, int32_t id)
{
	ids_add_n(a, &id, 1);
}

void ids_add_n(struct ids *a, const int32_t *v, size_t n)
{
	if (n > a->cap - a->n) {
		a->cap = a->cap ? 2 * a->cap : 64;
		if (a->cap < a->n + n)
			a->cap = a->n + n;
		a->v = mem_grow(a->v, a->cap, sizeof *a->v);
	}
	if (n)
		memcpy(a->v + a->n, v, n * sizeof *v);
	a->n += n;
}

void ids_free(struct ids *a)
{
	free(a->v);
	*a = (struct ids){ 0 };
}

/* GPT-2's alphabet: a byte that prints in Latin-1 stands for itself, the
 * others are given the code points from 256 on, in order. */
static bool is_printed(unsigned byte)
{
	return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

static void byte_alphabet(uint32_t code[256])
{
	uint32_t next = 256;

	for (unsigned b = 0; b < 256; b++)
		code[b] = is_printed(b) ? b : next++;
}

static uint64_t text_hash(struct gguf_str s)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < s.len; i++)
		h = (h ^ (unsigned char)s.s[i]) * 0x100000001b3u;
	return h ^ h >> 32;
}

/* The place of a text, or the free one where it would stand. */
static int32_t *text_place(const struct tokenizer *t, struct gguf_str s)
{
	size_t i = (size_t)text_hash(s) & t->mask;

	for (; t->table[i] >= 0; i = (i + 1) & t->mask) {
		struct gguf_str have = t->texts[t->table[i]];
		if (have.len == s.len && memcmp(have.s, s.s, s.len) == 0)
			break;
	}
	return &t->table[i];
}

static int make_table(struct tokenizer *t, struct err *err)
{
	size_t size = 16;

	while (size < 2 * (size_t)t->n)
		size *= 2;
	t->mask = size - 1;
	if (!(t->table = mem_try(size, sizeof *t->table)))
		return err_set(err, "not enough memory for a vocabulary of %d tokens", (int)t->n);
	memset(t->table, -1, size * sizeof *t->table);
	for (int32_t i = 0; i < t->n; i++) {
		int32_t *place = text_place(t, t->texts[i]);
		if (*place < 0)
			*place = i;
	}
	return 0;
}

/* The bytes that a text in GPT-2's alphabet stands for; the text itself
 * where it has other characters. */
static struct token unmapped(struct tokenizer *t, struct gguf_str s, int type, const int16_t byte_of[512])
{
	char *bytes = arena_strndup(&t->text, s.s, s.len);
	size_t len = 0, n;

	for (size_t i = 0; i < s.len; i += n) {
		uint32_t cp = utf8_decode(s.s + i, s.len - i, &n);
		if (cp >= 512 || byte_of[cp] < 0) {
			memcpy(bytes, s.s, s.len);
			return (struct token){ bytes, s.len, type };
		}
		bytes[len++] = (char)byte_of[cp];
	}
	bytes[len] = '\0';
	return (struct token){ bytes, len, type };
}

static void load_bytes(struct tokenizer *t, const uint32_t code[256])
{
	char text[4] = "";

	for (unsigned b = 0; b < 256; b++) {
		int32_t id = *text_place(t, (struct gguf_str){ text, utf8_encode(code[b], text) });
		t->byte_id[b] = id >= 0 && t->tokens[id].type != TYPE_CONTROL ? id : -1;
	}
}

/* A token that the file calls user-defined, but that is written like a
 * control token or ends texts: data must not become one. */
static bool acts_as_control(const struct tokenizer *t, int32_t id, struct gguf_str s)
{
	return id == t->bos || id == t->eos ||
	    (s.len > 4 && memcmp(s.s, "<|", 2) == 0 && memcmp(s.s + s.len - 2, "|>", 2) == 0);
}

static int load_tokens(struct tokenizer *t, const struct gguf *g, struct err *err)
{
	int32_t *types = NULL;
	uint32_t code[256];
	int16_t byte_of[512];
	size_t n = 0, ntypes;
	int found = gguf_get_strs(g, "tokenizer.ggml.tokens", &t->texts, &n, err);

	if (found <= 0)
		return found < 0 ? -1 : err_set(err, "the file has no vocabulary (tokenizer.ggml.tokens)");
	if (n == 0 || n > INT32_MAX / 2)
		return err_set(err, "a vocabulary of %zu tokens is not possible", n);
	t->n = (int32_t)n;
	if ((found = gguf_get_i32s(g, "tokenizer.ggml.token_type", &types, &ntypes, err)) < 0)
		return -1;
	if (found && ntypes != n) {
		free(types);
		return err_set(err, "%zu tokens, but %zu token types", n, ntypes);
	}
	memset(byte_of, -1, sizeof byte_of);
	byte_alphabet(code);
	for (unsigned b = 0; b < 256; b++)
		byte_of[code[b]] = (int16_t)b;
	if (!(t->tokens = mem_try(n, sizeof *t->tokens))) {
		free(types);
		return err_set(err, "not enough memory for a vocabulary of %zu tokens", n);
	}
	for (int32_t i = 0; i < t->n; i++) {
		struct gguf_str s = t->texts[i];
		int type = types ? types[i] : TYPE_NORMAL;

		if (type == TYPE_USER && acts_as_control(t, i, s))
			type = TYPE_CONTROL;
		if (type == TYPE_CONTROL || type == TYPE_USER)
			t->tokens[i] = (struct token){ arena_strndup(&t->text, s.s, s.len), s.len, type };
		else
			t->tokens[i] = unmapped(t, s, type, byte_of);
	}
	free(types);
	if (make_table(t, err) != 0)
		return -1;
	load_bytes(t, code);
	return 0;
}

/* A merge of tokens that are not in the vocabulary can never come about, and
 * one that makes a control token must not. */
static void load_merge(struct tokenizer *t, struct gguf_str s, uint32_t rank, struct buf *whole)
{
	const char *space = s.len > 1 ? memchr(s.s + 1, ' ', s.len - 1) : NULL;
	int32_t left, right, result;
	size_t len;

	if (!space || (len = (size_t)(space - s.s)) + 1 == s.len)
		return;
	buf_reset(whole);
	buf_add(whole, s.s, len);
	buf_add(whole, space + 1, s.len - len - 1);
	left = *text_place(t, (struct gguf_str){ s.s, len });
	right = *text_place(t, (struct gguf_str){ space + 1, s.len - len - 1 });
	result = *text_place(t, (struct gguf_str){ whole->data, whole->len });
	if (left >= 0 && right >= 0 && result >= 0 && t->tokens[result].type != TYPE_CONTROL)
		bpe_add(t->bpe, left, right, rank, result);
}

static int load_merges(struct tokenizer *t, const struct gguf *g, struct err *err)
{
	struct gguf_str *merges;
	struct buf whole = { 0 };
	size_t n;
	int found = gguf_get_strs(g, "tokenizer.ggml.merges", &merges, &n, err);

	if (found <= 0)
		return found < 0 ? -1 : err_set(err, "the file has no merges (tokenizer.ggml.merges)");
	if (n >= UINT32_MAX || !(t->bpe = bpe_new(n))) {
		free(merges);
		return err_set(err, "not enough memory for %zu merges", n);
	}
	for (size_t i = 0; i < n; i++)
		load_merge(t, merges[i], (uint32_t)i, &whole);
	buf_free(&whole);
	free(merges);
	return 0;
}

static int compare_specials(const void *a, const void *b)
{
	const struct special *x = a, *y = b;

	if (*x->s != *y->s)
		return (unsigned char)*x->s < (unsigned char)*y->s ? -1 : 1;
	if (x->len != y->len)
		return x->len > y->len ? -1 : 1;
	return (x->id > y->id) - (x->id < y->id);
}

static int load_specials(struct tokenizer *t, struct err *err)
{
	size_t n = 0, at = 0;

	for (int32_t i = 0; i < t->n; i++)
		n += t->tokens[i].type == TYPE_CONTROL || t->tokens[i].type == TYPE_USER;
	if (!(t->specials = mem_try(n, sizeof *t->specials)))
		return err_set(err, "not enough memory for %zu control tokens", n);
	for (int32_t i = 0; i < t->n; i++) {
		struct token *k = &t->tokens[i];
		if ((k->type == TYPE_CONTROL || k->type == TYPE_USER) && k->len > 0)
			t->specials[t->nspecials++] =
			    (struct special){ k->s, k->len, i, k->type == TYPE_CONTROL };
	}
	qsort(t->specials, t->nspecials, sizeof *t->specials, compare_specials);
	for (unsigned b = 0; b < 256; b++) {
		t->first[b] = at;
		while (at < t->nspecials && (unsigned char)*t->specials[at].s == b)
			at++;
	}
	t->first[256] = at;
	return 0;
}

static int load_id(const struct gguf *g, const char *key, int32_t *id, struct err *err)
{
	uint64_t v;
	int found = gguf_get_u64(g, key, &v, err);

	*id = -1;
	if (found <= 0)
		return found;
	if (v > INT32_MAX)
		return err_set(err, "\"%s\" is no token", key);
	*id = (int32_t)v;
	return 0;
}

static int load_settings(struct tokenizer *t, const struct gguf *g, struct err *err)
{
	if (load_id(g, "tokenizer.ggml.bos_token_id", &t->bos, err) != 0 ||
	    load_id(g, "tokenizer.ggml.eos_token_id", &t->eos, err) != 0 ||
	    gguf_get_bool(g, "tokenizer.ggml.add_bos_token", &t->adds_bos, err) < 0)
		return -1;
	return 0;
}

/* Up to 40 characters of a string in the file, safe to print. */
static const char *shown(struct gguf_str s, char out[41])
{
	size_t n = s.len < 40 ? s.len : 40;

	for (size_t i = 0; i < n; i++)
		out[i] = s.s[i] >= ' ' && s.s[i] <= '~' ? s.s[i] : '?';
	out[n] = '\0';
	return out;
}

/* Both are cut by split_gpt2. */
static const struct {
	const char *pre, *description;
} families[] = {
	{ "smollm", "byte-level BPE, smollm" },
	{ "gpt-2", "byte-level BPE, gpt-2" },
};

static int find_family(struct tokenizer *t, const struct gguf *g, struct err *err)
{
	struct gguf_str model, pre = { "default", 7 };
	char name[41];
	int found = gguf_get_str(g, "tokenizer.ggml.model", &model, err);

	if (found <= 0)
		return found < 0 ? -1 : err_set(err, "the file has no tokenizer (tokenizer.ggml.model)");
	if (!gguf_str_is(model, "gpt2"))
		return err_set(err,
		    "the tokenizer \"%s\"%s is not supported yet, \"gpt2\" (byte-level BPE) is",
		    shown(model, name), gguf_str_is(model, "llama") ? " (SentencePiece)" : "");
	if (gguf_get_str(g, "tokenizer.ggml.pre", &pre, err) < 0)
		return -1;
	for (size_t i = 0; i < sizeof families / sizeof *families; i++)
		if (gguf_str_is(pre, families[i].pre)) {
			t->description = families[i].description;
			return 0;
		}
	return err_set(err, "the pre-tokenizer \"%s\" is not supported yet, \"smollm\" and \"gpt-2\" are",
	    shown(pre, name));
}

struct tokenizer *tokenizer_new(const struct gguf *g, struct err *err)
{
	struct tokenizer *t = mem_zalloc(1, sizeof *t);
	bool done = find_family(t, g, err) == 0 && load_settings(t, g, err) == 0 &&
	    load_tokens(t, g, err) == 0 && load_merges(t, g, err) == 0 && load_specials(t, err) == 0;

	free(t->texts);
	free(t->table);
	t->texts = NULL;
	t->table = NULL;
	if (done && (t->bos >= t->n || t->eos >= t->n)) {
		err_set(err, "the vocabulary's first or last token is none of its %d tokens", (int)t->n);
		done = false;
	}
	if (!done) {
		tokenizer_free(t);
		return NULL;
	}
	return t;
}

void tokenizer_free(struct tokenizer *t)
{
	if (!t)
		return;
	free(t->tokens);
	free(t->specials);
	bpe_free(t->bpe);
	arena_free(&t->text);
	free(t);
}

struct encoder {
	const struct tokenizer *t;
	struct bpe_scratch scratch;
	int32_t *bytes;
	size_t cap;
	struct ids *out;
};

static void encode_word(struct encoder *e, const char *s, size_t len)
{
	size_t n = 0;

	if (len > e->cap) {
		e->cap = 2 * len;
		e->bytes = mem_grow(e->bytes, e->cap, sizeof *e->bytes);
	}
	for (size_t i = 0; i < len; i++) {
		int32_t id = e->t->byte_id[(unsigned char)s[i]];
		if (id >= 0)
			e->bytes[n++] = id;
	}
	bpe_merge(e->t->bpe, &e->scratch, e->bytes, n, e->out);
}

static void encode_span(struct encoder *e, const char *s, size_t len)
{
	while (len > 0) {
		size_t n = split_gpt2(s, len);
		if (n > BPE_MAX_WORD)
			n = BPE_MAX_WORD;
		encode_word(e, s, n);
		s += n;
		len -= n;
	}
}

/* The longest special token at s, or NULL. */
static const struct special *special_at(const struct tokenizer *t, const char *s, size_t len,
    bool parse_special)
{
	unsigned char b = (unsigned char)*s;

	for (size_t i = t->first[b]; i < t->first[b + 1]; i++) {
		const struct special *sp = &t->specials[i];
		if (sp->len <= len && (parse_special || !sp->control) && memcmp(sp->s, s, sp->len) == 0)
			return sp;
	}
	return NULL;
}

void tokenizer_encode(const struct tokenizer *t, const char *text, size_t len, bool parse_special,
    struct ids *out)
{
	struct encoder e = { .t = t, .out = out };
	size_t from = 0, at = 0;

	while (at < len) {
		const struct special *sp = special_at(t, text + at, len - at, parse_special);
		if (!sp) {
			at++;
			continue;
		}
		encode_span(&e, text + from, at - from);
		ids_add(out, sp->id);
		from = at += sp->len;
	}
	encode_span(&e, text + from, len - from);
	bpe_scratch_free(&e.scratch);
	free(e.bytes);
}

void tokenizer_decode(const struct tokenizer *t, int32_t id, bool special, struct buf *out)
{
	if (id < 0 || id >= t->n || t->tokens[id].type == TYPE_UNKNOWN)
		buf_adds(out, "\xef\xbf\xbd");
	else if (special || t->tokens[id].type != TYPE_CONTROL)
		buf_add(out, t->tokens[id].s, t->tokens[id].len);
}

int32_t tokenizer_size(const struct tokenizer *t)
{
	return t->n;
}

int32_t tokenizer_control(const struct tokenizer *t, const char *text)
{
	size_t len = strlen(text);
	unsigned char b = (unsigned char)*text;

	for (size_t i = t->first[b]; i < t->first[b + 1]; i++) {
		const struct special *sp = &t->specials[i];
		if (sp->control && sp->len == len && memcmp(sp->s, text, len) == 0)
			return sp->id;
	}
	return -1;
}

bool tokenizer_is_control(const struct tokenizer *t, int32_t id)
{
	return id >= 0 && id < t->n && t->tokens[id].type == TYPE_CONTROL;
}

int32_t tokenizer_bos(const struct tokenizer *t)
{
	return t->bos;
}

int32_t tokenizer_eos(const struct tokenizer *t)
{
	return t->eos;
}

bool tokenizer_adds_bos(const struct tokenizer *t)
{
	return t->adds_bos;
}

const char *tokenizer_describe(const struct tokenizer *t)
{
	return t->description;
}

#include "model/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "model/bpe.h"
#include "model/nfc.h"
#include "model/split.h"
#include "model/spm.h"
#include "model/vocab.h"

/* A token that is found in a text before it is cut into words. */
struct special {
	const char *s;
	size_t len;
	int32_t id;
	bool control;           /* only where special tokens are parsed */
};

struct family;

struct tokenizer {
	const struct family *family;
	struct vocab vocab;             /* indexed for families that look words up */
	struct gguf_str *texts;         /* as in the file, in its mapping: while loading only */
	int32_t *table;                 /* text -> id, open addressing, -1: free; while loading only */
	size_t mask;
	int32_t byte_id[256];           /* -1: the vocabulary lacks it */
	struct bpe *bpe;                /* byte-level */
	struct spm *spm;                /* SentencePiece */
	bool space_prefix;              /* a text is encoded behind a space */
	struct special *specials;       /* in the order of their bytes */
	size_t nspecials;
	size_t first[257];              /* specials that begin with byte b: first[b] … first[b + 1] - 1 */
	int32_t bos, eos, unknown;
	bool adds_bos;
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

/* The place of a text, or the free one where it would stand. */
static int32_t *text_place(const struct tokenizer *t, struct gguf_str s)
{
	size_t i = (size_t)vocab_hash(s.s, s.len) & t->mask;

	for (; t->table[i] >= 0; i = (i + 1) & t->mask) {
		struct gguf_str have = t->texts[t->table[i]];
		if (have.len == s.len && memcmp(have.s, s.s, s.len) == 0)
			break;
	}
	return &t->table[i];
}

static int make_table(struct tokenizer *t, struct err *err)
{
	if (!(t->table = vocab_table((size_t)t->vocab.n, &t->mask)))
		return err_set(err, "not enough memory for a vocabulary of %d tokens", (int)t->vocab.n);
	for (int32_t i = 0; i < t->vocab.n; i++) {
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
		t->byte_id[b] = id >= 0 && t->vocab.tokens[id].type != TYPE_CONTROL ? id : -1;
	}
}

static bool is_text(struct gguf_str s, const char *const *list)
{
	while (*list && !gguf_str_is(s, *list))
		list++;
	return *list != NULL;
}

/* A token that the file calls an ordinary or a user-defined one, but that
 * begins or ends texts or turns: data must not become one. */
static bool acts_as_control(const struct tokenizer *t, int32_t id, struct gguf_str s, int type)
{
	static const char *const turns[] = { "<start_of_turn>", "<end_of_turn>", "[INST]", "[/INST]",
		"[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", NULL };

	if (type != TYPE_NORMAL && type != TYPE_USER)
		return false;
	return id == t->bos || id == t->eos || is_text(s, turns) ||
	    (type == TYPE_USER && s.len > 4 && memcmp(s.s, "<|", 2) == 0 &&
	    memcmp(s.s + s.len - 2, "|>", 2) == 0);
}

/* SentencePiece's spelling of a byte, <0x0A>; -1 where it is none. */
static int byte_of_text(struct gguf_str s)
{
	static const char digits[] = "0123456789ABCDEF";
	const char *high, *low;

	if (s.len != 6 || memcmp(s.s, "<0x", 3) != 0 || s.s[5] != '>' || !s.s[3] || !s.s[4])
		return -1;
	high = strchr(digits, s.s[3]);
	low = strchr(digits, s.s[4]);
	return high && low ? (int)((high - digits) * 16 + (low - digits)) : -1;
}

/* A text with spaces where SentencePiece writes U+2581. */
static struct token unescaped(struct tokenizer *t, struct gguf_str s, int type)
{
	char *bytes = arena_strndup(&t->text, s.s, s.len);
	size_t len = 0;

	for (size_t i = 0; i < s.len; i++)
		if (s.len - i >= 3 && memcmp(s.s + i, "\xe2\x96\x81", 3) == 0) {
			bytes[len++] = ' ';
			i += 2;
		} else {
			bytes[len++] = s.s[i];
		}
	bytes[len] = '\0';
	return (struct token){ bytes, len, type };
}

static struct token spm_token(struct tokenizer *t, int32_t id, struct gguf_str s, int type)
{
	int byte = type == TYPE_BYTE ? byte_of_text(s) : -1;
	char c = (char)byte;

	if (byte >= 0) {
		t->byte_id[byte] = id;
		return (struct token){ arena_strndup(&t->text, &c, 1), 1, TYPE_BYTE };
	}
	return type == TYPE_CONTROL ? (struct token){ arena_strndup(&t->text, s.s, s.len), s.len, type } :
	    unescaped(t, s, type);
}

/* How a family's tokens are spelled, and its pre-tokenizer. */
struct family {
	const char *model, *pre;        /* pre NULL: any */
	const char *description;
	size_t (*split)(const char *s, size_t len);
	bool whole_words;               /* a word that is a token is not merged */
	bool spm;
	bool nfc;                       /* texts are normalised first */
};

static void load_texts(struct tokenizer *t, const int32_t *types)
{
	uint32_t code[256];
	int16_t byte_of[512];

	memset(t->byte_id, -1, sizeof t->byte_id);
	memset(byte_of, -1, sizeof byte_of);
	byte_alphabet(code);
	for (unsigned b = 0; b < 256; b++)
		byte_of[code[b]] = (int16_t)b;
	for (int32_t i = 0; i < t->vocab.n; i++) {
		struct gguf_str s = t->texts[i];
		int type = types ? types[i] : TYPE_NORMAL;

		if (acts_as_control(t, i, s, type))
			type = TYPE_CONTROL;
		if (t->family->spm)
			t->vocab.tokens[i] = spm_token(t, i, s, type);
		else if (type == TYPE_CONTROL || type == TYPE_USER)
			t->vocab.tokens[i] = (struct token){ arena_strndup(&t->text, s.s, s.len), s.len, type };
		else
			t->vocab.tokens[i] = unmapped(t, s, type, byte_of);
	}
}

/* Those that llama.cpp's files have where they do not say otherwise. */
static void default_spm_ids(struct tokenizer *t)
{
	if (t->vocab.n < 3)
		return;
	if (t->unknown < 0)
		t->unknown = 0;
	if (t->bos < 0)
		t->bos = 1;
	if (t->eos < 0)
		t->eos = 2;
}

static int load_tokens(struct tokenizer *t, const struct gguf *g, struct err *err)
{
	int32_t *types = NULL;
	size_t n = 0, ntypes;
	int found = gguf_get_strs(g, "tokenizer.ggml.tokens", &t->texts, &n, err);

	if (found <= 0)
		return found < 0 ? -1 : err_set(err, "the file has no vocabulary (tokenizer.ggml.tokens)");
	if (n == 0 || n > INT32_MAX / 2)
		return err_set(err, "a vocabulary of %zu tokens is not possible", n);
	t->vocab.n = (int32_t)n;
	if ((found = gguf_get_i32s(g, "tokenizer.ggml.token_type", &types, &ntypes, err)) < 0)
		return -1;
	if (found && ntypes != n) {
		free(types);
		return err_set(err, "%zu tokens, but %zu token types", n, ntypes);
	}
	if (!found && t->family->spm)
		return err_set(err, "the file has no token types (tokenizer.ggml.token_type)");
	if (!(t->vocab.tokens = mem_try(n, sizeof *t->vocab.tokens))) {
		free(types);
		return err_set(err, "not enough memory for a vocabulary of %zu tokens", n);
	}
	if (t->family->spm)
		default_spm_ids(t);
	load_texts(t, types);
	free(types);
	if ((t->family->spm || t->family->whole_words) && vocab_index(&t->vocab) != 0)
		return err_set(err, "not enough memory for a vocabulary of %zu tokens", n);
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
	if (left >= 0 && right >= 0 && result >= 0 && t->vocab.tokens[result].type != TYPE_CONTROL)
		bpe_add(t->bpe, left, right, rank, result);
}

static int load_merges(struct tokenizer *t, const struct gguf *g, struct err *err)
{
	struct gguf_str *merges;
	struct buf whole = { 0 };
	uint32_t code[256];
	size_t n;
	int found = gguf_get_strs(g, "tokenizer.ggml.merges", &merges, &n, err);

	if (found <= 0)
		return found < 0 ? -1 : err_set(err, "the file has no merges (tokenizer.ggml.merges)");
	if (n >= UINT32_MAX || !(t->bpe = bpe_new(n))) {
		free(merges);
		return err_set(err, "not enough memory for %zu merges", n);
	}
	if (make_table(t, err) != 0) {
		free(merges);
		return -1;
	}
	byte_alphabet(code);
	load_bytes(t, code);
	for (size_t i = 0; i < n; i++)
		load_merge(t, merges[i], (uint32_t)i, &whole);
	buf_free(&whole);
	free(merges);
	return 0;
}

/* tokenizer.ggml.scores, one a token; NULL with a message. */
static float *load_scores(const struct tokenizer *t, const struct gguf *g, struct err *err)
{
	const struct gguf_kv *kv = gguf_find(g, "tokenizer.ggml.scores");
	const size_t n = (size_t)t->vocab.n;
	float *score;

	if (!kv || kv->kind != GGUF_ARRAY || kv->elem != GGUF_F32 || kv->n != n || kv->size != n * sizeof *score) {
		err_set(err, "the file has no scores, one a token (tokenizer.ggml.scores)");
		return NULL;
	}
	if (!(score = mem_try(n, sizeof *score)))
		err_set(err, "not enough memory for a vocabulary of %zu tokens", n);
	else
		memcpy(score, kv->data, n * sizeof *score);
	return score;
}

static int load_spm(struct tokenizer *t, const struct gguf *g, struct err *err)
{
	float *score = load_scores(t, g, err);
	bool unknown = t->unknown >= 0 && t->unknown < t->vocab.n &&
	    t->vocab.tokens[t->unknown].type == TYPE_UNKNOWN;

	if (!score)
		return -1;
	t->spm = spm_new(&t->vocab, score, t->byte_id, unknown ? t->unknown : -1, err);
	free(score);
	return t->spm ? 0 : -1;
}

/* By bytes, a text before those that go on behind it. */
static int compare_specials(const void *a, const void *b)
{
	const struct special *x = a, *y = b;
	int c = memcmp(x->s, y->s, x->len < y->len ? x->len : y->len);

	if (c != 0)
		return c;
	if (x->len != y->len)
		return x->len < y->len ? -1 : 1;
	return (x->id > y->id) - (x->id < y->id);
}

static int load_specials(struct tokenizer *t, struct err *err)
{
	size_t n = 0, at = 0;

	for (int32_t i = 0; i < t->vocab.n; i++)
		n += t->vocab.tokens[i].type == TYPE_CONTROL || t->vocab.tokens[i].type == TYPE_USER;
	if (!(t->specials = mem_try(n, sizeof *t->specials)))
		return err_set(err, "not enough memory for %zu control tokens", n);
	for (int32_t i = 0; i < t->vocab.n; i++) {
		struct token *k = &t->vocab.tokens[i];
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
	t->adds_bos = t->space_prefix = t->family->spm;
	if (load_id(g, "tokenizer.ggml.bos_token_id", &t->bos, err) != 0 ||
	    load_id(g, "tokenizer.ggml.eos_token_id", &t->eos, err) != 0 ||
	    load_id(g, "tokenizer.ggml.unknown_token_id", &t->unknown, err) != 0 ||
	    gguf_get_bool(g, "tokenizer.ggml.add_bos_token", &t->adds_bos, err) < 0 ||
	    (t->family->spm &&
	    gguf_get_bool(g, "tokenizer.ggml.add_space_prefix", &t->space_prefix, err) < 0))
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

static const struct family families[] = {
	{ "gpt2", "smollm", "byte-level BPE, smollm", split_gpt2, false, false, false },
	{ "gpt2", "gpt-2", "byte-level BPE, gpt-2", split_gpt2, false, false, false },
	{ "gpt2", "llama-bpe", "byte-level BPE, llama-bpe", split_llama3, true, false, false },
	{ "gpt2", "qwen2", "byte-level BPE, qwen2", split_qwen2, false, false, true },
	{ "llama", NULL, "SentencePiece BPE", NULL, false, true, false },
};

static int find_family(struct tokenizer *t, const struct gguf *g, struct err *err)
{
	struct gguf_str model, pre = { "default", 7 };
	char name[41];
	bool known = false;
	int found = gguf_get_str(g, "tokenizer.ggml.model", &model, err);

	if (found <= 0)
		return found < 0 ? -1 : err_set(err, "the file has no tokenizer (tokenizer.ggml.model)");
	if (gguf_get_str(g, "tokenizer.ggml.pre", &pre, err) < 0)
		return -1;
	for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
		const struct family *f = &families[i];

		if (!gguf_str_is(model, f->model))
			continue;
		known = true;
		if (!f->pre || gguf_str_is(pre, f->pre)) {
			t->family = f;
			return 0;
		}
	}
	if (!known)
		return err_set(err, "the tokenizer \"%s\" is not supported; \"gpt2\" (byte-level BPE) and "
		    "\"llama\" (SentencePiece) are", shown(model, name));
	return err_set(err, "the pre-tokenizer \"%s\" is not supported; smollm, gpt-2, llama-bpe and qwen2 are",
	    shown(pre, name));
}

struct tokenizer *tokenizer_new(const struct gguf *g, struct err *err)
{
	struct tokenizer *t = mem_zalloc(1, sizeof *t);
	bool done = find_family(t, g, err) == 0 && load_settings(t, g, err) == 0 &&
	    load_tokens(t, g, err) == 0 && (t->family->spm ? load_spm : load_merges)(t, g, err) == 0 &&
	    load_specials(t, err) == 0;

	free(t->texts);
	free(t->table);
	t->texts = NULL;
	t->table = NULL;
	if (done && (t->bos >= t->vocab.n || t->eos >= t->vocab.n)) {
		err_set(err, "the vocabulary's first or last token is none of its %d tokens", (int)t->vocab.n);
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
	free(t->vocab.tokens);
	free(t->specials);
	free(t->vocab.table);
	bpe_free(t->bpe);
	spm_free(t->spm);
	arena_free(&t->text);
	free(t);
}

struct encoder {
	const struct tokenizer *t;
	struct bpe_scratch scratch;
	struct spm_scratch spm;
	int32_t *bytes;
	size_t cap;
	struct ids *out;
};

static void encode_word(struct encoder *e, const char *s, size_t len)
{
	int32_t whole = e->t->family->whole_words ? vocab_find(&e->t->vocab, s, len) : -1;
	size_t n = 0;

	if (whole >= 0) {
		ids_add(e->out, whole);
		return;
	}
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

static void encode_words(struct encoder *e, const char *s, size_t len)
{
	while (len > 0) {
		size_t n = e->t->family->split(s, len);
		if (n > BPE_MAX_WORD)
			n = BPE_MAX_WORD;
		encode_word(e, s, n);
		s += n;
		len -= n;
	}
}

/* begins: the text begins here, or behind a special token. */
static void encode_span(struct encoder *e, const char *s, size_t len, bool begins)
{
	if (e->t->spm && len > 0) {
		spm_encode(e->t->spm, &e->spm, begins && e->t->space_prefix, s, len, e->out);
	} else if (e->t->family->nfc && nfc_plain(s, len) < len) {
		struct buf normal = { 0 };

		nfc(s, len, &normal);
		encode_words(e, normal.data, normal.len);
		buf_free(&normal);
	} else {
		encode_words(e, s, len);
	}
}

/* The first special from lo to hi - 1 whose byte at depth is not below b;
 * all are longer than depth and the same up to it. */
static size_t lower_bound(const struct tokenizer *t, size_t lo, size_t hi, size_t depth, unsigned b)
{
	while (lo < hi) {
		size_t middle = lo + (hi - lo) / 2;
		if ((unsigned char)t->specials[middle].s[depth] < b)
			lo = middle + 1;
		else
			hi = middle;
	}
	return lo;
}

/* The longest special token at s, or NULL. A byte of it costs one search, so
 * that thousands of them ("<unused0>" …) cost no more than a few. */
static const struct special *special_at(const struct tokenizer *t, const char *s, size_t len,
    bool parse_special)
{
	size_t lo = t->first[(unsigned char)*s], hi = t->first[(unsigned char)*s + 1], depth = 1;
	const struct special *best = NULL;

	for (; lo < hi; depth++) {
		const struct special *found = NULL;

		for (; lo < hi && t->specials[lo].len == depth; lo++)
			if (!found && (parse_special || !t->specials[lo].control))
				found = &t->specials[lo];
		best = found ? found : best;
		if (depth == len)
			break;
		lo = lower_bound(t, lo, hi, depth, (unsigned char)s[depth]);
		hi = lower_bound(t, lo, hi, depth, (unsigned char)s[depth] + 1u);
	}
	return best;
}

static void encode(const struct tokenizer *t, const char *text, size_t len, bool parse_special, bool begins,
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
		encode_span(&e, text + from, at - from, begins);
		ids_add(out, sp->id);
		from = at += sp->len;
		begins = true;
	}
	encode_span(&e, text + from, len - from, begins);
	bpe_scratch_free(&e.scratch);
	spm_scratch_free(&e.spm);
	free(e.bytes);
}

void tokenizer_encode(const struct tokenizer *t, const char *text, size_t len, bool parse_special,
    struct ids *out)
{
	encode(t, text, len, parse_special, true, out);
}

void tokenizer_encode_more(const struct tokenizer *t, const char *text, size_t len, struct ids *out)
{
	encode(t, text, len, false, false, out);
}

void tokenizer_decode(const struct tokenizer *t, int32_t id, bool special, struct buf *out)
{
	if (id < 0 || id >= t->vocab.n || t->vocab.tokens[id].type == TYPE_UNKNOWN)
		buf_adds(out, "\xef\xbf\xbd");
	else if (special || t->vocab.tokens[id].type != TYPE_CONTROL)
		buf_add(out, t->vocab.tokens[id].s, t->vocab.tokens[id].len);
}

void tokenizer_decode_text(const struct tokenizer *t, const int32_t *ids, size_t n, struct buf *out)
{
	struct buf first = { 0 };
	size_t i = 0;

	if (n > 0 && t->space_prefix) {
		tokenizer_decode(t, ids[i++], false, &first);
		if (first.len > 0)
			buf_add(out, first.data + (*first.data == ' '), first.len - (*first.data == ' '));
		buf_free(&first);
	}
	while (i < n)
		tokenizer_decode(t, ids[i++], false, out);
}

int32_t tokenizer_size(const struct tokenizer *t)
{
	return t->vocab.n;
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
	return id >= 0 && id < t->vocab.n && t->vocab.tokens[id].type == TYPE_CONTROL;
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
	return t->family->description;
}

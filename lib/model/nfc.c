#include "model/nfc.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"

struct marks {          /* combining characters of a class */
	uint32_t first, last, ccc;
};
struct step {           /* second 0: a character that stands for another */
	uint32_t cp, first, second;
};

#include "model/nfc_tables.h"

enum { FIRST_TO_CHANGE = 0x300 };       /* below, all is in form C, and of class 0 */
enum { NO_CHARACTER = 0x110000 };       /* + a byte that is not UTF-8 */
enum {
	S_BASE = 0xac00, L_BASE = 0x1100, V_BASE = 0x1161, T_BASE = 0x11a7,     /* Hangul */
	L_COUNT = 19, V_COUNT = 21, T_COUNT = 28, S_COUNT = L_COUNT * V_COUNT * T_COUNT,
};

struct character {
	uint32_t cp, ccc;
};
struct text {
	struct character *v;
	size_t n, cap;
};

static uint32_t class_of(uint32_t cp)
{
	size_t lo = 0, hi = sizeof marks / sizeof *marks;

	while (lo < hi) {
		size_t middle = lo + (hi - lo) / 2;

		if (cp > marks[middle].last)
			lo = middle + 1;
		else if (cp < marks[middle].first)
			hi = middle;
		else
			return marks[middle].ccc;
	}
	return 0;
}

static const struct step *step_of(uint32_t cp)
{
	size_t lo = 0, hi = sizeof steps / sizeof *steps;

	while (lo < hi) {
		size_t middle = lo + (hi - lo) / 2;

		if (cp == steps[middle].cp)
			return &steps[middle];
		if (cp > steps[middle].cp)
			lo = middle + 1;
		else
			hi = middle;
	}
	return NULL;
}

static void add(struct text *t, uint32_t cp)
{
	if (t->n == t->cap) {
		t->cap = t->cap ? 2 * t->cap : 256;
		t->v = mem_grow(t->v, t->cap, sizeof *t->v);
	}
	t->v[t->n++] = (struct character){ cp, cp < FIRST_TO_CHANGE ? 0 : class_of(cp) };
}

static void decompose(struct text *t, uint32_t cp)
{
	uint32_t syllable = cp - S_BASE;
	const struct step *s;

	if (cp >= S_BASE && syllable < S_COUNT) {
		add(t, L_BASE + syllable / (V_COUNT * T_COUNT));
		add(t, V_BASE + syllable % (V_COUNT * T_COUNT) / T_COUNT);
		if (syllable % T_COUNT)
			add(t, T_BASE + syllable % T_COUNT);
	} else if ((s = step_of(cp))) {
		decompose(t, s->first);         /* a few steps deep at most */
		if (s->second)
			add(t, s->second);
	} else {
		add(t, cp);
	}
}

/* The n marks by their classes, those of one class in the order they had:
 * counted, as there may be many. */
static void sort_marks(struct character *v, size_t n)
{
	size_t at[257] = { 0 };
	struct character *old;
	bool sorted = true;

	for (size_t i = 1; i < n; i++)
		sorted = sorted && v[i].ccc >= v[i - 1].ccc;
	if (sorted)
		return;
	old = mem_grow(NULL, n, sizeof *old);
	memcpy(old, v, n * sizeof *old);
	for (size_t i = 0; i < n; i++)
		at[old[i].ccc + 1]++;
	for (size_t c = 1; c < 257; c++)
		at[c] += at[c - 1];
	for (size_t i = 0; i < n; i++)
		v[at[old[i].ccc]++] = old[i];
	free(old);
}

static void reorder(struct text *t)
{
	for (size_t i = 0, n; i < t->n; i += n + 1) {
		for (n = 0; i + n < t->n && t->v[i + n].ccc; n++)
			;
		sort_marks(t->v + i, n);
	}
}

/* What two characters are as one, or 0. */
static uint32_t composed(uint32_t a, uint32_t b)
{
	size_t lo = 0, hi = sizeof pairs / sizeof *pairs;

	if (a - L_BASE < L_COUNT && b - V_BASE < V_COUNT)
		return S_BASE + ((a - L_BASE) * V_COUNT + b - V_BASE) * T_COUNT;
	if (a - S_BASE < S_COUNT && (a - S_BASE) % T_COUNT == 0 && b > T_BASE && b < T_BASE + T_COUNT)
		return a + (b - T_BASE);
	while (lo < hi) {
		size_t middle = lo + (hi - lo) / 2;
		const struct step *s = &steps[pairs[middle]];

		if (s->first == a && s->second == b)
			return s->cp;
		if (s->first < a || (s->first == a && s->second < b))
			lo = middle + 1;
		else
			hi = middle;
	}
	return 0;
}

/* Each character goes into the last one of class 0 before it, where they have
 * a composition and nothing of its class, or of class 0, is between them. */
static void compose(struct text *t)
{
	struct character *starter = NULL;
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++) {
		struct character c = t->v[i];
		bool next = starter && starter == t->v + n - 1;         /* nothing between */
		uint32_t whole = starter && (next || (t->v[n - 1].ccc && t->v[n - 1].ccc < c.ccc)) ?
		    composed(starter->cp, c.cp) : 0;

		if (whole) {
			starter->cp = whole;
			continue;
		}
		t->v[n] = c;
		if (!c.ccc)
			starter = &t->v[n];
		n++;
	}
	t->n = n;
}

static void put(const struct text *t, struct buf *out)
{
	for (size_t i = 0; i < t->n; i++) {
		uint32_t cp = t->v[i].cp;
		char s[4] = { (char)(cp - NO_CHARACTER) };

		buf_add(out, s, cp < NO_CHARACTER ? utf8_encode(cp, s) : 1);
	}
}

size_t nfc_plain(const char *s, size_t len)
{
	size_t at = 0;

	/* U+0300 and all behind it begin with a byte from 0xcc on. */
	while (at < len && (unsigned char)s[at] < 0xcc)
		at++;
	return at;
}

void nfc(const char *s, size_t len, struct buf *out)
{
	struct text t = { 0 };

	for (size_t at = 0, n; at < len; at += n) {
		uint32_t cp = utf8_decode(s + at, len - at, &n);

		if (cp == UTF8_BAD) {
			n = 1;
			add(&t, NO_CHARACTER + (unsigned char)s[at]);
		} else {
			decompose(&t, cp);
		}
	}
	reorder(&t);
	compose(&t);
	put(&t, out);
	free(t.v);
}

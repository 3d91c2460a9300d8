#include "method/score.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "base/utf8.h"

/* Everything here works on one line: a value never stands on another line
 * than its "Score:", so a numbered list below it is not taken for one. */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_alnum(char c)
{
	return is_digit(c) || is_alpha(c);
}

/* The code point at s, its bytes in *n; 0 at the end of the text. */
static uint32_t peek(const char *s, size_t *n)
{
	if (*s == '\0') {
		*n = 0;
		return 0;
	}
	return utf8_decode(s, strnlen(s, 4), n);
}

static const char *skip_blanks(const char *s)
{
	for (;;) {
		if (*s == ' ' || *s == '\t')
			s++;
		else if (strncmp(s, "\xc2\xa0", 2) == 0)        /* no-break space */
			s += 2;
		else
			return s;
	}
}

/* Blanks, and what markdown and JSON put around a word or a number. */
static const char *skip_decoration(const char *s)
{
	for (;;) {
		const char *from = s;
		size_t n;

		s = skip_blanks(s);
		if (*s != '\0' && strchr("*_`\"'", *s))
			s++;
		switch (peek(s, &n)) {
		case 0x2018: case 0x2019: case 0x201c: case 0x201d:     /* curly quotes */
			s += n;
		}
		if (s == from)
			return s;
	}
}

static const char *skip_opening(const char *s)
{
	for (;;) {
		const char *from = s;

		s = skip_decoration(s);
		if (*s != '\0' && strchr("([{<", *s))
			s++;
		if (s == from)
			return s;
	}
}

/* The case does not matter; NULL where s does not begin with word. */
static const char *after_word(const char *s, const char *word)
{
	size_t n = strlen(word);

	return strncasecmp(s, word, n) == 0 && !is_alnum(s[n]) ? s + n : NULL;
}

/* Whether a word may begin at text[at]: not inside one ("underscore"), not as
 * the end of a compound ("sub-score", "max_score"). */
static bool word_begins(const char *text, size_t at)
{
	size_t i = at;

	while (i > 0 && text[i - 1] == '_')
		i--;
	if (i == at && i > 0 && text[i - 1] == '-')
		i--;
	return i == 0 || !is_alnum(text[i - 1]);
}

/* Looks for word, decoration, an optional "is", and a colon from *at on.
 * Returns what stands behind the colon and moves *at there; NULL: no more. */
static const char *next_field(const char *text, size_t *at, const char *word)
{
	for (; text[*at] != '\0'; ++*at) {
		const char *s = after_word(text + *at, word), *is;

		if (!s || !word_begins(text, *at))
			continue;
		s = skip_decoration(s);
		is = after_word(s, "is");
		s = is ? skip_decoration(is) : s;
		if (*s == ':')
			s++;
		else if (strncmp(s, "\xef\xbc\x9a", 3) == 0)    /* fullwidth colon */
			s += 3;
		else
			continue;
		*at = (size_t)(s - text);
		return s;
	}
	return NULL;
}

/* Digits with at most one point between or before them. NULL where there is
 * no number, or something that only begins like one (4th, 1e1, 4.5.1, 4:30,
 * 4½). No strtod: it reads other forms and depends on the locale. */
static const char *number(const char *s, double *value)
{
	double whole = 0, fraction = 0, scale = 1;
	size_t n;
	uint32_t c;

	if (!is_digit(*s) && !(*s == '.' && is_digit(s[1])))
		return NULL;
	for (; is_digit(*s); s++)
		whole = whole * 10 + (*s - '0');
	if (*s == '.' && is_digit(s[1])) {
		for (s++; is_digit(*s); s++) {
			if (scale < 1e15) {
				fraction = fraction * 10 + (*s - '0');
				scale *= 10;
			}
		}
	}
	/* one rounding where it is exact, as it is for 3.7 = 37 / 10 */
	*value = whole < 1e6 && scale <= 1e9 ? (whole * scale + fraction) / scale : whole + fraction / scale;
	if (is_alpha(*s) || ((*s == '.' || *s == ':') && is_digit(s[1])) || (*s == '_' && is_alnum(s[1])))
		return NULL;
	c = peek(s, &n);
	if ((c >= 0xbc && c <= 0xbe) || c == 0xb2 || c == 0xb3 || c == 0xb9 || (c >= 0x2150 && c <= 0x215f) ||
	    (c >= 0xff10 && c <= 0xff19))
		return NULL;
	return s;
}

static bool number_at(const char *s)
{
	return is_digit(*s) || (*s == '.' && is_digit(s[1]));
}

/* A hyphen, any of the dashes, the minus sign, a tilde: its bytes, or 0. */
static size_t dash(const char *s)
{
	size_t n;
	uint32_t c = peek(s, &n);

	return c == '-' || c == '~' || (c >= 0x2010 && c <= 0x2015) || c == 0x2212 ? n : 0;
}

static const char *any_word(const char *s, const char *const *words)
{
	const char *t;

	for (; *words; words++)
		if ((t = after_word(s, *words)))
			return t;
	return NULL;
}

/* Whether what follows a score makes it one of several: a range, a list, a
 * sum ("3-4", "3 or 4", "4, 5", "1 + 1"). */
static bool continues(const char *s)
{
	static const char *const words[] = { "to", "or", "and", NULL };
	const char *t;

	s = skip_decoration(s);
	if (*s == '+' || *s == '=' || number_at(s))
		return true;
	if (dash(s))
		return number_at(skip_opening(s + dash(s)));
	if (*s == ',' || *s == '/' || *s == '|')
		return number_at(skip_opening(s + 1));
	t = any_word(s, words);
	return t && number_at(skip_opening(t));
}

static const char *after_slash(const char *s)
{
	size_t n;
	uint32_t c = peek(s, &n);

	return c == '/' || c == 0x2044 || c == 0x2215 || c == 0xff0f ? s + n : NULL;
}

/* What the score is out of: "/ 5", "out of 5", "points (of 5)", "%". 1 with
 * *value and the rest, 0 where nothing is said, -1 where it is no number. */
static int total(const char **at, double *value)
{
	static const char *const units[] = { "point", "points", "star", "stars", "mark", "marks", NULL };
	const char *s = skip_decoration(*at), *t = any_word(s, units);
	size_t n;

	s = skip_opening(t ? t : s);
	if (peek(s, &n) == '%' || peek(s, &n) == 0xff05) {
		*value = 100;
		*at = s + n;
		return 1;
	}
	if ((t = after_word(s, "of")) && !number_at(skip_opening(t)))
		return 0;
	if (!t && !(t = after_slash(s)) && (t = after_word(s, "out")))
		t = after_word(skip_blanks(t), "of");
	if (!t)
		return 0;
	t = number(skip_opening(t), value);
	if (!t)
		return -1;
	*at = t;
	return 1;
}

static const char *skip_closing(const char *s)
{
	while (*s != '\0' && strchr(")]}>", *s))
		s++;
	return s;
}

/* The score behind one "Score:". */
static enum score_status score_here(const char *s, struct score_scale scale, double *score)
{
	double of = scale.hi;
	bool negative;

	s = skip_opening(s);
	negative = number_at(s + dash(s)) && dash(s) && *s != '~';
	if (negative)
		s += dash(s);
	else if (*s == '+')
		s++;
	s = number(s, score);
	if (!s)
		return SCORE_NONE;
	s = skip_closing(s);
	if (total(&s, &of) < 0)
		return SCORE_NONE;
	if (continues(skip_closing(s)))
		return SCORE_AMBIGUOUS;
	if (negative || of != scale.hi || *score < scale.lo || *score > scale.hi)
		return SCORE_RANGE;
	return SCORE_OK;
}

enum score_status score_parse(const char *text, struct score_scale scale, double *score)
{
	enum score_status all = SCORE_NONE;
	double first = 0, value;
	const char *s;
	size_t at = 0;

	while ((s = next_field(text, &at, "score"))) {
		enum score_status here = score_here(s, scale, &value);

		if (here == SCORE_NONE)
			continue;
		if (here == SCORE_AMBIGUOUS)
			return SCORE_AMBIGUOUS;
		if (all != SCORE_NONE && (here != all || (here == SCORE_OK && value != first)))
			return SCORE_AMBIGUOUS;
		all = here;
		first = value;
	}
	if (all == SCORE_OK)
		*score = first;
	return all;
}

const char *score_status_name(enum score_status s)
{
	static const char *const names[] = { "ok", "none", "range", "ambiguous" };

	return names[s];
}

/* What stands behind one "Winner:". */
enum found { FOUND_NOTHING, FOUND_A, FOUND_B, FOUND_TIE, FOUND_CONFLICT };

/* A or B, alone or after what it names. */
static const char *side(const char *s, enum found *which)
{
	static const char *const nouns[] = { "judgment", "judgement", "response", NULL };
	const char *t = any_word(s, nouns);

	s = t ? skip_opening(t) : s;
	if ((*s != 'A' && *s != 'a' && *s != 'B' && *s != 'b') || is_alnum(s[1]))
		return NULL;
	if (s[1] == '\'' || s[1] == '_' ? is_alnum(s[2]) : dash(s + 1) && is_alpha(s[1 + dash(s + 1)]))
		return NULL;            /* A's, A-grade */
	*which = *s == 'A' || *s == 'a' ? FOUND_A : FOUND_B;
	return s + 1;
}

static bool is_tie(const char *s)
{
	static const char *const words[] = { "tie", "tied", "draw", "neither", "both", NULL };
	const char *t;

	if (strncasecmp(s, "a ", 2) == 0)
		s = skip_decoration(s + 1);
	t = any_word(s, words);
	return t && !(*t == '-' && is_alnum(t[1]));
}

/* Whether a second side stands beside the first: "A/B", "A and tie"; or any
 * other choice: "A" or "Winner: B". A small "a" behind a comma is the article. */
static bool joined(const char *s)
{
	enum found other;
	const char *t;

	s = skip_decoration(s);
	if (after_word(s, "or"))
		return true;
	if (*s == ',')
		return (s = skip_opening(s + 1)), (*s == 'A' || *s == 'B') && side(s, &other);
	t = *s != '\0' && strchr("/|&+=<>~", *s) ? s + 1 : after_word(s, "and");
	return t && (is_tie(skip_opening(t)) || side(skip_opening(t), &other));
}

static enum found winner_here(const char *s)
{
	/* The same for A and B, so that the article "a" favours neither. */
	static const char *const go_on[] = {
		"is", "wins", "won", "has", "because", "since", "as", "for", "by", "with", "over", "due",
		NULL,
	};
	enum found which;

	s = skip_opening(s);
	if (is_tie(s))
		return FOUND_TIE;
	s = side(s, &which);
	if (!s)
		return FOUND_NOTHING;
	if (joined(s) || joined(skip_closing(s)))
		return FOUND_CONFLICT;
	s = skip_decoration(skip_closing(s));
	return is_alnum(*s) && !any_word(s, go_on) ? FOUND_NOTHING : which;
}

enum verdict verdict_parse(const char *text)
{
	static const enum verdict verdicts[] = { VERDICT_NONE, VERDICT_A, VERDICT_B, VERDICT_TIE };
	enum found all = FOUND_NOTHING;
	const char *s;
	size_t at = 0;

	while ((s = next_field(text, &at, "winner"))) {
		enum found here = winner_here(s);

		if (here == FOUND_NOTHING)
			continue;
		if (here == FOUND_CONFLICT || (all != FOUND_NOTHING && here != all))
			return VERDICT_NONE;
		all = here;
	}
	return verdicts[all];
}

#include "method/rouge.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct word {
	const char *s;
	size_t len;
};

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_high(char c)
{
	return (unsigned char)c > 127;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* The words of text, in *words (free it). */
static size_t split(const char *text, struct word **words)
{
	size_t n = 0, cap = 0;

	*words = NULL;
	while (*text != '\0') {
		const char *from = text;

		if (is_letter(*text))
			while (is_letter(*text))
				text++;
		else
			while (is_high(*text))
				text++;
		if (text == from) {
			text++;
			continue;
		}
		if (n == cap)
			*words = mem_grow(*words, cap = cap ? 2 * cap : 64, sizeof **words);
		(*words)[n++] = (struct word){ from, (size_t)(text - from) };
	}
	return n;
}

static bool same(const struct word *a, const struct word *b)
{
	if (a->len != b->len)
		return false;
	for (size_t i = 0; i < a->len; i++)
		if (lower(a->s[i]) != lower(b->s[i]))
			return false;
	return true;
}

/* Longest common subsequence: one row of the table, (nb + 1). */
static size_t lcs(const struct word *a, size_t na, const struct word *b, size_t nb)
{
	size_t *row = mem_zalloc(nb + 1, sizeof *row), length;

	for (size_t i = 0; i < na; i++) {
		size_t diagonal = 0;

		for (size_t j = 0; j < nb; j++) {
			size_t above = row[j + 1];

			if (same(&a[i], &b[j]))
				row[j + 1] = diagonal + 1;
			else if (row[j] > above)
				row[j + 1] = row[j];
			diagonal = above;
		}
	}
	length = row[nb];
	free(row);
	return length;
}

double rouge_l(const char *a, const char *b)
{
	struct word *wa, *wb;
	size_t na = split(a, &wa), nb = split(b, &wb);
	size_t common = lcs(wa, na, wb, nb);

	free(wa);
	free(wb);
	return common == 0 ? 0 : 2.0 * (double)common / (double)(na + nb);
}

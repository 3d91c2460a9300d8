#include "method/newprompt.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

struct piece {
	const char *s;
	size_t len;
};

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static struct piece trim(struct piece p)
{
	while (p.len > 0 && is_space(p.s[0]))
		p.s++, p.len--;
	while (p.len > 0 && is_space(p.s[p.len - 1]))
		p.len--;
	return p;
}

static size_t skip_set(struct piece p, size_t i, const char *set)
{
	while (i < p.len && strchr(set, p.s[i]))
		i++;
	return i;
}

/* Decimal digits from i on, their end returned, their value in *value (-1:
 * none, or more than nine). */
static size_t digits(struct piece p, size_t i, long *value)
{
	size_t from = i;

	*value = 0;
	for (; i < p.len && is_digit(p.s[i]) && i - from < 9; i++)
		*value = *value * 10 + (p.s[i] - '0');
	if (i == from || (i < p.len && is_digit(p.s[i])))
		*value = -1;
	return i;
}

/* Length of "Prompt 9:" or "New prompt:" with its decoration, or 0; *number
 * is -1 where the label has none. */
static size_t label(struct piece p, long *number)
{
	size_t i = skip_set(p, 0, "*_# ");

	if (p.len - i > 4 && strncasecmp(p.s + i, "new ", 4) == 0)
		i += 4;
	if (p.len - i < 7 || strncasecmp(p.s + i, "prompt", 6) != 0)
		return 0;
	i = skip_set(p, i + 6, " #");
	i = digits(p, i, number);
	i = skip_set(p, i, "*_ ");
	if (i >= p.len || p.s[i] != ':')
		return 0;
	return skip_set(p, i + 1, "*_ \t");
}

/* Length of "9. " or "9) ", or 0. */
static size_t numbered(struct piece p, long *number)
{
	size_t i = digits(p, 0, number);

	if (*number < 0 || i >= p.len || (p.s[i] != '.' && p.s[i] != ')'))
		return 0;
	i++;
	return i == p.len || is_space(p.s[i]) ? i : 0;
}

static size_t bullet(struct piece p)
{
	return p.len > 1 && (p.s[0] == '-' || p.s[0] == '*') && is_space(p.s[1]) ? 2 : 0;
}

static bool begins_next_item(struct piece line, long lead)
{
	long number;

	if (label(line, &number) > 0 && number >= 0)
		return true;
	return lead >= 0 && numbered(line, &number) > 0 && number == lead + 1;
}

static struct piece first_item(struct piece p, long lead)
{
	for (size_t i = 0; i < p.len; i++)
		if (p.s[i] == '\n') {
			struct piece rest = trim((struct piece){ p.s + i, p.len - i });

			if (begins_next_item(rest, lead)) {
				p.len = i;
				break;
			}
		}
	return p;
}

static bool contains(struct piece p, const char *s)
{
	return memmem(p.s, p.len, s, strlen(s)) != NULL;
}

static struct piece unquote(struct piece p)
{
	static const char *const pairs[][2] = {
		{ "\"", "\"" }, { "'", "'" }, { "`", "`" }, { "**", "**" },
		{ "\xe2\x80\x9c", "\xe2\x80\x9d" }, { "\xe2\x80\x98", "\xe2\x80\x99" },
		{ "\xc2\xab", "\xc2\xbb" },
	};

	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		size_t a = strlen(pairs[i][0]), b = strlen(pairs[i][1]);
		struct piece in = { p.s + a, p.len - a - b };

		if (p.len < a + b || memcmp(p.s, pairs[i][0], a) != 0 ||
		    memcmp(p.s + p.len - b, pairs[i][1], b) != 0)
			continue;
		if (!contains(in, pairs[i][0]) && !contains(in, pairs[i][1]))
			return in;
	}
	return p;
}

void newprompt_clean(const char *text, struct buf *out)
{
	struct piece p = trim((struct piece){ text, strlen(text) });
	long lead = -1, number;
	size_t n = label(p, &number);

	if (n == 0 && (n = numbered(p, &lead)) == 0) {
		lead = -1;
		n = bullet(p);
	}
	p = trim(first_item((struct piece){ p.s + n, p.len - n }, lead));
	p = trim(unquote(p));
	buf_add(out, p.s, p.len);
}

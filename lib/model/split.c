#include "model/split.h"

#include <stdbool.h>
#include <string.h>

#include "base/utf8.h"
#include "model/unicode.h"

enum class { END, LETTER, NUMBER, SPACE, OTHER };

/* Of the character at s, and its length; END where len is 0. */
static enum class class_at(const char *s, size_t len, size_t *n)
{
	uint32_t cp;

	*n = 0;
	if (len == 0)
		return END;
	cp = utf8_decode(s, len, n);
	if (cp == UTF8_BAD)
		return OTHER;
	if (unicode_letter(cp))
		return LETTER;
	if (unicode_number(cp))
		return NUMBER;
	return unicode_space(cp) ? SPACE : OTHER;
}

static size_t contraction(const char *s, size_t len)
{
	static const char *const endings[] = { "'s", "'t", "'re", "'ve", "'m", "'ll", "'d" };

	for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
		size_t n = strlen(endings[i]);
		if (n <= len && memcmp(s, endings[i], n) == 0)
			return n;
	}
	return 0;
}

/* White space but for the last of its characters, which belongs to the word
 * behind it; all of it where none follows; the character where it is one. */
static size_t space_run(const char *s, size_t len)
{
	size_t at = 0, last = 0, n;
	enum class c;

	while ((c = class_at(s + at, len - at, &n)) == SPACE) {
		last = at;
		at += n;
	}
	return c == END || last == 0 ? at : last;
}

size_t split_gpt2(const char *s, size_t len)
{
	size_t n, at = 0;
	enum class c = class_at(s, len, &n);

	if (*s == '\'' && (at = contraction(s, len)) > 0)
		return at;
	if (*s == ' ') {
		enum class next = class_at(s + 1, len - 1, &n);
		if (next != SPACE && next != END) {
			c = next;
			at = 1;
		}
	}
	if (c == SPACE)
		return space_run(s, len);
	while (class_at(s + at, len - at, &n) == c)
		at += n;
	return at;
}

/* In any case; the long s (U+017F) is an s, too. */
static size_t contraction_any_case(const char *s, size_t len)
{
	char lower[3] = "'";

	if (len >= 3 && memcmp(s, "'\xc5\xbf", 3) == 0)
		return 3;
	for (size_t i = 1; i < 3 && i < len; i++)
		lower[i] = (char)(s[i] >= 'A' && s[i] <= 'Z' ? s[i] + ('a' - 'A') : s[i]);
	return contraction(lower, len < 3 ? len : 3);
}

static bool is_newline(const char *s, size_t len)
{
	return len > 0 && (*s == '\n' || *s == '\r');
}

/* All up to the last line's end in it, or as in space_run. */
static size_t space_run_by_lines(const char *s, size_t len)
{
	size_t at = 0, lines = 0, n;

	while (class_at(s + at, len - at, &n) == SPACE) {
		at += n;
		if (is_newline(s + at - n, n))
			lines = at;
	}
	return lines ? lines : space_run(s, len);
}

static size_t run_of(enum class c, const char *s, size_t len, size_t at, size_t most)
{
	size_t n;

	for (; most > 0 && class_at(s + at, len - at, &n) == c; most--)
		at += n;
	return at;
}

static size_t split_by_lines(const char *s, size_t len, size_t digits)
{
	size_t n, next_n, at = 0;
	enum class c = class_at(s, len, &n), next = class_at(s + n, len - n, &next_n);

	if (*s == '\'' && (at = contraction_any_case(s, len)) > 0)
		return at;
	if (c == LETTER)
		return run_of(LETTER, s, len, 0, len);
	if (c == NUMBER)
		return run_of(NUMBER, s, len, 0, digits);
	if (next == LETTER && !is_newline(s, len))
		return run_of(LETTER, s, len, n, len);
	if (c == OTHER || (*s == ' ' && next == OTHER)) {
		at = run_of(OTHER, s, len, n, len);
		while (is_newline(s + at, len - at))
			at++;
		return at;
	}
	return space_run_by_lines(s, len);
}

size_t split_llama3(const char *s, size_t len)
{
	return split_by_lines(s, len, 3);
}

size_t split_qwen2(const char *s, size_t len)
{
	return split_by_lines(s, len, 1);
}

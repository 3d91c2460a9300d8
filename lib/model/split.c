#include "model/split.h"

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

#include "stats/markdown.h"

#include <stdbool.h>
#include <string.h>

static bool is_header(const char *s, size_t len)
{
	size_t n = 0;

	while (n < len && s[n] == '#')
		n++;
	return n >= 1 && n <= 6 && n < len && s[n] == ' ';
}

static bool is_item(const char *s, size_t len)
{
	size_t n = 0;

	if (len >= 2 && strchr("-*+", s[0]) && s[1] == ' ')
		return true;
	while (n < len && s[n] >= '0' && s[n] <= '9')
		n++;
	return n >= 1 && n + 1 < len && (s[n] == '.' || s[n] == ')') && s[n + 1] == ' ';
}

/* Spans between the same two marks, with something that is no blank at both ends. */
static size_t bold_spans(const char *s, size_t len)
{
	bool unclosed[2] = { false, false };    /* no span of * or of _ ends any more */
	size_t n = 0;

	for (size_t i = 0; i + 4 < len; i++) {
		size_t end = i + 3;

		if ((s[i] != '*' && s[i] != '_') || s[i + 1] != s[i] || s[i + 2] == ' ' || s[i + 2] == s[i] ||
		    unclosed[s[i] == '_'])
			continue;
		while (end + 1 < len && (s[end] != s[i] || s[end + 1] != s[i] || s[end - 1] == ' '))
			end++;
		if (end + 1 >= len) {
			unclosed[s[i] == '_'] = true;
			continue;
		}
		n++;
		i = end + 1;
	}
	return n;
}

struct markdown markdown_count(const char *text, size_t len)
{
	struct markdown m = { 0 };
	bool code = false;

	for (size_t at = 0, next; at < len; at = next + 1) {
		const char *line = text + at, *newline = memchr(line, '\n', len - at);
		size_t n = newline ? (size_t)(newline - line) : len - at, blank = 0;

		next = at + n;
		while (blank < n && (line[blank] == ' ' || line[blank] == '\t'))
			blank++;
		if (n - blank >= 3 && memcmp(line + blank, "```", 3) == 0)
			code = !code;
		else if (!code) {
			m.headers += blank < 4 && is_header(line + blank, n - blank);
			m.lists += is_item(line + blank, n - blank);
			m.bold += bold_spans(line, n);
		}
	}
	return m;
}

#include "method/guided.h"

#include <stdbool.h>
#include <string.h>

const struct score_scale guided_scale = { 0, 5 };
const char *const guided_scores[GUIDED_SCORES] = { " 0", " 1", " 2", " 3", " 4", " 5" };
const char *const guided_verdicts[GUIDED_VERDICTS] = { " A", " B", " tie" };
const enum verdict guided_verdict_values[GUIDED_VERDICTS] = { VERDICT_A, VERDICT_B, VERDICT_TIE };

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static size_t trimmed(const char *text, size_t len)
{
	while (len > 0 && is_space(text[len - 1]))
		len--;
	return len;
}

static bool score_decides(const char *text, int i)
{
	double score;

	return score_parse(text, guided_scale, &score) == SCORE_OK && score == i;
}

static bool verdict_decides(const char *text, int i)
{
	return verdict_parse(text) == guided_verdict_values[i];
}

/* Whether the text, continued by any of the choices, parses to that choice. */
static bool all_decide(struct buf *text, const char *const *choices, int n,
    bool (*decides)(const char *, int))
{
	size_t len = text->len;
	bool all = true;

	for (int i = 0; i < n && all; i++) {
		buf_adds(text, choices[i]);
		all = decides(text->data, i);
		text->len = len;
		text->data[len] = '\0';
	}
	return all;
}

static void prefix(const char *text, const char *lead, const char *const *choices, int n,
    bool (*decides)(const char *, int), struct buf *out)
{
	struct buf tried = { 0 };
	size_t end = trimmed(text, strlen(text));

	for (;;) {
		buf_reset(&tried);
		buf_add(&tried, text, end);
		buf_adds(&tried, end > 0 ? "\n\n" : "");
		buf_adds(&tried, lead);
		if (end == 0 || all_decide(&tried, choices, n, decides))
			break;
		while (end > 0 && text[end - 1] != '\n')
			end--;
		end = trimmed(text, end);
	}
	buf_add(out, tried.data, tried.len);
	buf_free(&tried);
}

void guided_score_prefix(const char *text, struct buf *out)
{
	prefix(text, "Score:", guided_scores, GUIDED_SCORES, score_decides, out);
}

void guided_verdict_prefix(const char *text, struct buf *out)
{
	prefix(text, "Winner:", guided_verdicts, GUIDED_VERDICTS, verdict_decides, out);
}

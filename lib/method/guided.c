#include "method/guided.h"

#include <string.h>

const struct score_scale guided_scale = { 0, 5 };
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

static bool is_score(const char *text, int i)
{
	double score;

	return score_parse(text, guided_scale, &score) == SCORE_OK && score == i;
}

static bool has_score(const char *text)
{
	double score;

	return score_parse(text, guided_scale, &score) == SCORE_OK;
}

static bool is_verdict(const char *text, int i)
{
	return verdict_parse(text) == guided_verdict_values[i];
}

static bool has_verdict(const char *text)
{
	return verdict_parse(text) != VERDICT_NONE;
}

const struct guided guided_score = {
	.lead = "Score:",
	.choices = (const char *const[]){ " 0", " 1", " 2", " 3", " 4", " 5" },
	.nchoices = GUIDED_SCORES,
	.is_choice = is_score,
	.parses = has_score,
};

const struct guided guided_verdict = {
	.lead = "Winner:",
	.choices = (const char *const[]){ " A", " B", " tie" },
	.nchoices = GUIDED_VERDICTS,
	.is_choice = is_verdict,
	.parses = has_verdict,
};

/* Whether the text, continued by any of the choices, parses to that choice. */
static bool all_decide(const struct guided *g, struct buf *text)
{
	size_t len = text->len;
	bool all = true;

	for (int i = 0; i < g->nchoices && all; i++) {
		buf_adds(text, g->choices[i]);
		all = g->is_choice(text->data, i);
		text->len = len;
		text->data[len] = '\0';
	}
	return all;
}

void guided_prefix(const struct guided *g, const char *text, struct buf *out)
{
	struct buf tried = { 0 };
	size_t end = trimmed(text, strlen(text));

	for (;;) {
		buf_reset(&tried);
		buf_add(&tried, text, end);
		buf_adds(&tried, end > 0 ? "\n\n" : "");
		buf_adds(&tried, g->lead);
		if (end == 0 || all_decide(g, &tried))
			break;
		while (end > 0 && text[end - 1] != '\n')
			end--;
		end = trimmed(text, end);
	}
	buf_add(out, tried.data, tried.len);
	buf_free(&tried);
}

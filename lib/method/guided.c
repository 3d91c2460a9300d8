#include "method/guided.h"

#include <string.h>

#include "method/verdict5.h"

const struct score_scale guided_scale = { 0, 5 };
const struct score_scale guided_grades = { 1, 10 };
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

static bool is_grade(const char *text, int i)
{
	double score;

	return score_parse(text, guided_grades, &score) == SCORE_OK && score == i + 1;
}

static bool has_grade(const char *text)
{
	double score;

	return score_parse(text, guided_grades, &score) == SCORE_OK;
}

static bool is_verdict5(const char *text, int i)
{
	int verdict;

	return verdict5_parse(text, &verdict) && verdict == 2 - i;
}

static bool has_verdict5(const char *text)
{
	int verdict;

	return verdict5_parse(text, &verdict);
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

/* "/10" behind it, so that 1 is not the beginning of 10. */
const struct guided guided_grade = {
	.lead = "Score:",
	.choices = (const char *const[]){ " 1/10", " 2/10", " 3/10", " 4/10", " 5/10", " 6/10", " 7/10", " 8/10",
		" 9/10", " 10/10" },
	.nchoices = GUIDED_GRADES,
	.is_choice = is_grade,
	.parses = has_grade,
};

const struct guided guided_verdict5 = {
	.lead = "Verdict:",
	.choices = (const char *const[]){ " A>>B", " A>B", " A=B", " B>A", " B>>A" },
	.nchoices = VERDICT5_LABELS,
	.is_choice = is_verdict5,
	.parses = has_verdict5,
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

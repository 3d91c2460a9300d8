/*
 * Any bytes as what a judge wrote. The parsers take every text; a forced
 * ending decides, whatever stands before it; a template's value is put in as
 * it is and never scanned.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "method/guided.h"
#include "method/rouge.h"
#include "method/score.h"
#include "method/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(int holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "fuzz_judge_text: %s\n", what);
		abort();
	}
}

static void check_score(const char *text)
{
	double score = -1;

	if (score_parse(text, guided_scale, &score) == SCORE_OK)
		demand(score >= guided_scale.lo && score <= guided_scale.hi, "a score outside the scale");
	verdict_parse(text);
}

static void check_endings(const char *text)
{
	struct buf b = { 0 };
	size_t len;

	guided_prefix(&guided_score, text, &b);
	len = b.len;
	for (int i = 0; i < GUIDED_SCORES; i++) {
		double score = -1;

		b.len = len;
		buf_adds(&b, guided_score.choices[i]);
		demand(score_parse(b.data, guided_scale, &score) == SCORE_OK && score == i,
		    "a forced score is not read");
	}
	buf_reset(&b);
	guided_prefix(&guided_verdict, text, &b);
	len = b.len;
	for (int i = 0; i < GUIDED_VERDICTS; i++) {
		b.len = len;
		buf_adds(&b, guided_verdict.choices[i]);
		demand(verdict_parse(b.data) == guided_verdict_values[i], "a forced verdict is not read");
	}
	buf_free(&b);
}

static void check_template(const char *text)
{
	static const char *const names[] = { "prompt", "response", NULL };
	const struct template_value values[] = { { "prompt", text }, { "response", "{{prompt}}" } };
	struct buf out = { 0 }, wanted = { 0 };
	struct err err = { "" };

	template_render("<{{prompt}}|{{response}}>", values, 2, &out);
	buf_printf(&wanted, "<%s|{{prompt}}>", text);
	demand(out.len == wanted.len && memcmp(out.data, wanted.data, out.len) == 0, "a value was changed");
	buf_reset(&out);
	if (template_check(text, names, &err) == 0)
		template_render(text, values, 2, &out);
	else
		demand(err.msg[0] != '\0', "a template was refused without a reason");
	buf_free(&out);
	buf_free(&wanted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	memcpy(text, data, size);
	text[size] = '\0';
	check_score(text);
	check_endings(text);
	check_template(text);
	if (strlen(text) < 2000)
		demand(rouge_l(text, text) >= 0, "a negative ROUGE-L");
	demand(utf8_length(text, strlen(text)) <= strlen(text), "more characters than bytes");
	free(text);
	return 0;
}

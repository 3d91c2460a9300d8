/* The tables of cases in tests/golden, which the man pages show too. */
#include <stdlib.h>

#include "method/score.h"
#include "unit/test.h"

static const struct score_scale scale = { 0, 5 };

static char *unescape(char *s)
{
	char *to = s, *from = s;

	for (; *from; from++) {
		if (*from == '\\' && from[1])
			*to++ = *++from == 'n' ? '\n' : *from == 't' ? '\t' : *from == 'r' ? '\r' : *from;
		else
			*to++ = *from;
	}
	*to = '\0';
	return s;
}

/* The next line of a table: up to n fields, unescaped. false at the end. */
static bool row(FILE *f, char *line, int size, char **field, int n)
{
	if (!f || !fgets(line, size, f))
		return false;
	line[strcspn(line, "\n")] = '\0';
	for (int i = 0; i < n; i++) {
		char *tab = line ? strchr(line, '\t') : NULL;

		field[i] = line ? line : "";
		if (tab)
			*tab = '\0';
		line = tab ? tab + 1 : NULL;
	}
	for (int i = 0; i < n; i++)
		if (*field[i])
			unescape(field[i]);
	return true;
}

static void score_cases(void)
{
	FILE *f = fopen("tests/golden/score-cases.tsv", "r");
	char line[1024], *field[3];
	int cases = 0;

	CHECK(f);
	while (row(f, line, sizeof line, field, 3)) {
		double score = -100;
		enum score_status status = score_parse(field[0], scale, &score);
		double want = strcmp(field[1], "ok") == 0 ? atof(field[2]) : -100;

		cases++;
		if (strcmp(score_status_name(status), field[1]) != 0 || score != want) {
			printf("# \"%s\": %s %g, wanted %s %s\n", field[0], score_status_name(status), score,
			    field[1], field[2]);
			test_ok = false;
		}
	}
	CHECK(cases > 100);
	if (f)
		fclose(f);
}

static enum verdict verdict_named(const char *name)
{
	return strcmp(name, "A") == 0 ? VERDICT_A : strcmp(name, "B") == 0 ? VERDICT_B :
	    strcmp(name, "tie") == 0 ? VERDICT_TIE : VERDICT_NONE;
}

static void verdict_cases(void)
{
	FILE *f = fopen("tests/golden/verdict-cases.tsv", "r");
	char line[1024], *field[2];
	int cases = 0;

	CHECK(f);
	while (row(f, line, sizeof line, field, 2)) {
		enum verdict got = verdict_parse(field[0]);

		cases++;
		if (got != verdict_named(field[1])) {
			printf("# \"%s\": %d, wanted %s\n", field[0], got, field[1]);
			test_ok = false;
		}
	}
	CHECK(cases > 80);
	if (f)
		fclose(f);
}

/* A parser that favoured a letter would look like position bias. Capital A
 * and B are swapped where they stand alone ("A tie" is no side). */
static void verdict_symmetry(void)
{
	FILE *f = fopen("tests/golden/verdict-cases.tsv", "r");
	char line[1024], *field[2];

	while (row(f, line, sizeof line, field, 2)) {
		enum verdict before = verdict_parse(field[0]), after;

		if (before == VERDICT_TIE)
			continue;
		for (char *s = field[0]; *s; s++)
			if (*s == 'A' || *s == 'B')
				*s = (char)('A' + 'B' - *s);
		after = verdict_parse(field[0]);
		if (strstr(field[0], "winner: b"))
			CHECK(after == VERDICT_B);
		else if (before == VERDICT_NONE)
			CHECK(after == VERDICT_NONE);
		else
			CHECK(after == (before == VERDICT_A ? VERDICT_B : VERDICT_A));
	}
	if (f)
		fclose(f);
}

static void other_scales(void)
{
	double score;

	CHECK(score_parse("Score: 7", (struct score_scale){ 1, 10 }, &score) == SCORE_OK && score == 7);
	CHECK(score_parse("Score: 0", (struct score_scale){ 1, 10 }, &score) == SCORE_RANGE);
	CHECK(score_parse("Score: 4/5", (struct score_scale){ 1, 10 }, &score) == SCORE_RANGE);
	CHECK(score_parse("Score: 4/10", (struct score_scale){ 1, 10 }, &score) == SCORE_OK && score == 4);
	CHECK(score_parse("Score: 45%", (struct score_scale){ 0, 100 }, &score) == SCORE_OK && score == 45);
}

/* Every byte after every prefix: no read past the end, no crash (under ASan). */
static void any_bytes(void)
{
	static const char *const leads[] = {
		"Score:", "Score: 4", "Score: 4/", "Score: 4 out of", "Score: 3 -", "Score: 3,",
		"Winner:", "Winner: A", "Winner: A,", "Winner: a ", "_Score", "-Winner is",
	};
	int none = 0;

	for (size_t i = 0; i < sizeof leads / sizeof *leads; i++) {
		for (int a = 1; a < 256; a++) {
			size_t n = strlen(leads[i]);
			char *text = malloc(n + 2);
			double score;

			memcpy(text, leads[i], n);
			text[n] = (char)a;
			text[n + 1] = '\0';
			none += score_parse(text, scale, &score) == SCORE_NONE;
			none += verdict_parse(text) == VERDICT_NONE;
			free(text);
		}
	}
	CHECK(none > 0);
}

static void long_texts(void)
{
	size_t n = 4 << 20;
	char *text = malloc(n + 20);
	double score;

	for (size_t i = 0; i < n; i++)
		text[i] = "score_*: "[i % 9];
	strcpy(text + n, "\nScore: 3");
	CHECK(score_parse(text, scale, &score) == SCORE_OK && score == 3);
	memset(text, '_', n);
	CHECK(score_parse(text, scale, &score) == SCORE_OK && score == 3);
	memset(text, '*', n);
	for (int i = 0; i < 6; i++)
		text[i] = "Score:"[i];
	CHECK(score_parse(text, scale, &score) == SCORE_OK && score == 3);
	free(text);
}

int main(void)
{
	TEST(score_cases);
	TEST(verdict_cases);
	TEST(verdict_symmetry);
	TEST(other_scales);
	TEST(any_bytes);
	TEST(long_texts);
	return tests_done();
}

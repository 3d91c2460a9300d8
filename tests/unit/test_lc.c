/* The length-controlled win rate against alpaca_eval 0.6.6 (scikit-learn 1.9.1). */
#include <stdlib.h>

#include "stats/eval.h"
#include "stats/lc.h"
#include "unit/test.h"

enum { N = 60 };

static double difficulty_of(int i)
{
	return 1.2 * sin(i);
}

static double sigma(double z)
{
	return 1 / (1 + exp(-z));
}

static int add_line(struct lc *lc, const char *line, int (*add)(struct lc *, const struct record *, struct err *),
    struct err *err)
{
	struct record rec;
	int rc = record_parse(&rec, line, strlen(line), err);

	if (rc == 0) {
		rc = add(lc, &rec, err);
		record_free(&rec);
	}
	return rc;
}

static int add_preference(struct lc *lc, const struct record *rec, struct err *err)
{
	double preference;

	return eval_preference(rec, false, &preference, err) != 0 ? -1 : lc_add(lc, rec, preference, err);
}

static void add_difficulties(struct lc *lc)
{
	char line[200];

	for (int i = 0; i < N; i++) {
		snprintf(line, sizeof line, "{\"index\":%d,\"difficulty\":%.17g}", i, difficulty_of(i));
		CHECK(add_line(lc, line, lc_add_difficulty, NULL) == 0);
	}
}

static void add_gamed(struct lc *lc)
{
	char line[300];

	for (int k = -1; k <= 1; k += 2) {
		for (int i = 0; i < N; i++) {
			snprintf(line, sizeof line,
			    "{\"id\":\"%d\",\"preference\":%.17g,\"std_delta_len\":%.17g,\"difficulty\":%.17g}", i,
			    sigma(2 * k + difficulty_of(i) + sin(11 * i + k)), -1.5 * k + 0.5 * cos(3 * i + k),
			    difficulty_of(i));
			CHECK(add_line(lc, line, lc_add_gamed, NULL) == 0);
		}
	}
}

/* Two of the 60 are unjudged: they are not fitted, but predicted. */
static void add_preferences(struct lc *lc)
{
	char line[300], preference[32];

	for (int i = 0; i < N; i++) {
		int l1 = 500 + i * 37 % 900, l2 = 300 + i * 91 % 1500;

		snprintf(preference, sizeof preference, "%.17g",
		    1 + sigma(1.3 * difficulty_of(i) - 0.8 + 0.002 * (l2 - l1) + 2 * sin(7 * i)));
		snprintf(line, sizeof line, "{\"id\":\"%d\",\"generator_1\":\"b\",\"generator_2\":\"m\",\"len_1\":%d,"
		    "\"len_2\":%d,\"preference\":%s}", i, l1, l2, i == 5 || i == 17 ? "null" : preference);
		CHECK(add_line(lc, line, add_preference, NULL) == 0);
		lc_group(lc, (size_t)i % 2);
	}
}

static void check_formula(enum lc_formula formula, double rate, double error, double C, double length,
    double difficulty, double model)
{
	struct lc *lc = lc_new(formula);
	struct lc_weights w;
	double se, halves;

	if (formula == LC_NOREG)
		add_difficulties(lc);
	if (formula == LC_V1)
		add_gamed(lc);
	add_preferences(lc);
	CHECK(lc_fit(lc, &w, NULL) == 0);
	CHECK_NEAR(lc_win_rate(lc, LC_EVERY, &se), rate, 1e-6);
	CHECK_NEAR(se, error, 1e-6);
	CHECK_NEAR(w.C, C, 1e-6 * C);
	CHECK_NEAR(w.length, length, 1e-8);
	CHECK_NEAR(w.model, model, 1e-8);
	if (formula == LC_MINIMAL)
		CHECK(isnan(w.difficulty));
	else
		CHECK_NEAR(w.difficulty, difficulty, 1e-8);
	halves = (lc_win_rate(lc, 0, &se) + lc_win_rate(lc, 1, &se)) / 2;
	CHECK_NEAR(halves, rate, 1e-6);
	lc_free(lc);
}

static void formulas_match_alpaca_eval(void)
{
	check_formula(LC_MINIMAL, 42.088637850040165, 0, 21.5443469, -0.7526707163446064, NAN, -0.31913578333887777);
	check_formula(LC_NOREG, 41.2656559022906, 1.838891574458288, 166.81005372, -0.8463966073587819,
	    0.7243540302976307, -0.4150130953871484);
	check_formula(LC_V1, 40.26481781993643, 1.847976249860821, 166.81005372, -1.1343992382276467,
	    0.7349564971241939, -0.4616961484890369);
}

/* One model's lengths, preferences and difficulties, all numbers. */
static void check_excerpt(enum lc_formula formula, int column)
{
	FILE *f = fopen("tests/golden/lc.tsv", "r");
	struct lc *lc = lc_new(formula);
	double want[4] = { 0 }, len[2], preference, difficulty, se;
	struct lc_weights w;
	char line[300];
	int n = 0;

	CHECK(f && fgets(line, sizeof line, f));
	CHECK(f && fscanf(f, "%lf %lf %lf %lf", &want[0], &want[1], &want[2], &want[3]) == 4);
	while (f && fscanf(f, "%lf %lf %lf %lf", &len[0], &len[1], &preference, &difficulty) == 4) {
		snprintf(line, sizeof line, "{\"id\":%d,\"difficulty\":%.17g}", n, difficulty);
		CHECK(add_line(lc, line, lc_add_difficulty, NULL) == 0);
		snprintf(line, sizeof line, "{\"id\":%d,\"len_1\":%.0f,\"len_2\":%.0f,\"preference\":%.17g}", n++, len[0],
		    len[1], preference);
		CHECK(add_line(lc, line, add_preference, NULL) == 0);
	}
	if (f)
		fclose(f);
	CHECK(n == 802 && lc_fit(lc, &w, NULL) == 0);
	CHECK_NEAR(lc_win_rate(lc, LC_EVERY, &se), want[column], 1e-6);
	CHECK_NEAR(se, want[column + 1], 1e-6);
	lc_free(lc);
}

static void numbers_match_alpaca_eval_excerpt(void)
{
	check_excerpt(LC_MINIMAL, 0);
	check_excerpt(LC_NOREG, 2);
}

static const char *golden_path(const char *name)
{
	static char path[4096];
	const char *folder = getenv("MR_GOLDEN");

	snprintf(path, sizeof path, "%s/alpacaeval/%s", folder ? folder : "../shared/golden", name);
	return path;
}

static void add_file(struct lc *lc, const char *name, int (*add)(struct lc *, const struct record *, struct err *))
{
	static char line[1 << 16];
	FILE *f = fopen(golden_path(name), "r");

	CHECK(f);
	while (f && fgets(line, sizeof line, f)) {
		line[strcspn(line, "\n")] = '\0';
		CHECK(add_line(lc, line, add, NULL) == 0);
	}
	if (f)
		fclose(f);
}

static void check_golden(const cJSON *want, enum lc_formula formula)
{
	struct lc *lc = lc_new(formula);
	struct lc_weights w;
	char name[300];
	double se;

	add_file(lc, "instruction_difficulty.jsonl", lc_add_difficulty);
	add_file(lc, "gamed_substitute.jsonl", lc_add_gamed);
	snprintf(name, sizeof name, "%s.lengths.jsonl", want->string);
	add_file(lc, name, add_preference);
	CHECK(lc_fit(lc, &w, NULL) == 0);
	snprintf(name, sizeof name, "length_controlled_%s", lc_formula_name(formula));
	CHECK_NEAR(lc_win_rate(lc, LC_EVERY, &se), cJSON_GetObjectItem(want, name)->valuedouble, 1e-6);
	snprintf(name, sizeof name, "length_controlled_%s_se", lc_formula_name(formula));
	CHECK_NEAR(se, cJSON_GetObjectItem(want, name)->valuedouble, 1e-6);
	lc_free(lc);
}

static cJSON *expected;

static bool read_expected(void)
{
	static char text[1 << 16];
	FILE *f = fopen(golden_path("expected.json"), "r");

	if (!f)
		return false;
	text[fread(text, 1, sizeof text - 1, f)] = '\0';
	fclose(f);
	expected = cJSON_Parse(text);
	return true;
}

static void numbers_match_alpaca_eval(void)
{
	const cJSON *model;
	int models = 0;

	cJSON_ArrayForEach(model, expected) {
		for (int formula = LC_MINIMAL; formula <= LC_V1; formula++)
			check_golden(model, (enum lc_formula)formula);
		models++;
	}
	CHECK(models == 12);
}

static void errors(void)
{
	static const char *const bad[][2] = {
		{ "{\"id\":1,\"preference\":0.5}", "\"difficulty\" is missing" },
		{ "{\"id\":1,\"preference\":0.5,\"difficulty\":1}", "\"std_delta_len\" is missing or no number" },
		{ "{\"id\":1,\"std_delta_len\":0.5,\"difficulty\":1}", "\"preference\" is missing" },
		{ "{\"id\":1,\"std_delta_len\":1,\"difficulty\":1,\"preference\":1.5}",
		  "\"preference\" is neither null nor a number from 0 to 1" },
		{ "{\"id\":1,\"std_delta_len\":1,\"difficulty\":1e7,\"preference\":1}",
		  "\"difficulty\" is not a number from -1e+06 to 1e+06" },
	};
	struct lc *lc = lc_new(LC_V1);
	struct lc_weights w;
	struct err err;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		CHECK(add_line(lc, bad[i][0], lc_add_gamed, &err) == -1);
		CHECK_STR(err.msg, bad[i][1]);
	}
	CHECK(add_line(lc, "{\"id\":7,\"difficulty\":1}", lc_add_difficulty, &err) == 0);
	CHECK(add_line(lc, "{\"id\":7,\"difficulty\":1}", lc_add_difficulty, &err) == -1);
	CHECK(lc_fit(lc, &w, &err) == -1);
	CHECK_STR(err.msg, "0 judged records are too few: cross-validation has 5 folds");
	lc_free(lc);
}

static void names(void)
{
	CHECK(lc_formula_by_name("v1") == LC_V1 && lc_formula_by_name("length_controlled_noreg") == LC_NOREG);
	CHECK(lc_formula_by_name("minimal") == LC_MINIMAL && lc_formula_by_name("v2") == -1);
	CHECK(lc_formula_by_name("") == -1);
}

int main(void)
{
	TEST(names);
	TEST(formulas_match_alpaca_eval);
	TEST(numbers_match_alpaca_eval_excerpt);
	if (read_expected())
		TEST(numbers_match_alpaca_eval);
	else
		printf("ok - numbers_match_alpaca_eval # SKIP no golden data here\n");
	cJSON_Delete(expected);
	TEST(errors);
	return tests_done();
}

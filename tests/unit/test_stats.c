#include <cjson/cJSON.h>
#include <stdlib.h>

#include "stats/entropy.h"
#include "stats/eval.h"
#include "stats/moments.h"
#include "stats/report.h"
#include "stats/winrate.h"
#include "unit/test.h"

static void moments_by_hand(void)
{
	struct moments m = { 0 };

	CHECK(moments_sd(&m) == 0);
	moments_add(&m, 2);
	CHECK(m.n == 1 && m.mean == 2 && m.min == 2 && m.max == 2 && moments_sd(&m) == 0);
	moments_add(&m, 4);
	moments_add(&m, 9);
	CHECK_NEAR(m.mean, 5, 1e-15);
	CHECK_NEAR(moments_sd(&m), sqrt(13), 1e-14);    /* (9 + 1 + 16) / 2 */
	CHECK(m.min == 2 && m.max == 9);
	moments_add(&m, -1);
	CHECK(m.min == -1);
}

/* 1.5 is a draw, 0 too; 1.9 is a win of 0.9. */
static void winrate_by_hand(void)
{
	static const double p[] = { 1, 2, 1.5, 0, 1.9, NAN };
	struct winrate_sum s = { 0 };
	struct winrate w = winrate_end(&s);

	CHECK(isnan(w.win_rate) && isnan(w.standard_error) && isnan(w.discrete_win_rate) && w.n_total == 0);
	for (int i = 0; i < 6; i++)
		winrate_add(&s, p[i]);
	w = winrate_end(&s);
	CHECK(w.n_total == 5 && w.n_wins == 2 && w.n_wins_base == 1 && w.n_draws == 2);
	CHECK_NEAR(w.win_rate, 58, 1e-12);              /* (0 + 1 + 0.5 + 0.5 + 0.9) / 5 */
	CHECK_NEAR(w.discrete_win_rate, 60, 1e-12);
	/* squared deviations 0.3364 + 0.1764 + 2 * 0.0064 + 0.1024 = 0.628 */
	CHECK_NEAR(w.standard_error, 100 * sqrt(0.628 / 4 / 5), 1e-12);
	s = (struct winrate_sum){ 0 };
	winrate_add(&s, 2);
	w = winrate_end(&s);
	CHECK(w.win_rate == 100 && isnan(w.standard_error));
}

/* One model's preferences and what alpaca_eval makes of them. */
static void numbers_match_alpaca_eval_excerpt(void)
{
	FILE *f = fopen("tests/golden/winrate.txt", "r");
	double want[6], preference;
	struct winrate_sum s = { 0 };
	struct winrate w;

	CHECK(f);
	for (int i = 0; i < 6; i++)
		CHECK(f && fscanf(f, "%lf", &want[i]) == 1);
	while (f && fscanf(f, "%lf", &preference) == 1)
		winrate_add(&s, preference);
	if (f)
		fclose(f);
	w = winrate_end(&s);
	CHECK_NEAR(w.win_rate, want[0], 1e-9);
	CHECK_NEAR(w.standard_error, want[1], 1e-9);
	CHECK_NEAR(w.discrete_win_rate, want[2], 1e-9);
	CHECK((double)w.n_wins == want[3] && (double)w.n_draws == want[4] && (double)w.n_total == want[5]);
}

static const char *golden_path(const char *name)
{
	static char path[4096];
	const char *folder = getenv("MR_GOLDEN");

	snprintf(path, sizeof path, "%s/alpacaeval/%s", folder ? folder : "../shared/golden", name);
	return path;
}

static double number(const cJSON *o, const char *key)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);

	return cJSON_IsNumber(v) ? v->valuedouble : NAN;
}

static void check_model(const cJSON *want)
{
	static char line[1 << 16];
	char name[300];
	struct tally t = { 0 };
	struct winrate w;
	struct err err;
	FILE *f;

	snprintf(name, sizeof name, "%s.lengths.jsonl", want->string);
	f = fopen(golden_path(name), "r");
	CHECK(f);
	while (f && fgets(line, sizeof line, f)) {
		struct record rec;

		CHECK(record_parse(&rec, line, strcspn(line, "\n"), &err) == 0);
		CHECK(eval_kind_by_name("winrate")->add(&rec, &t, &err) == 0);
		record_free(&rec);
	}
	if (f)
		fclose(f);
	w = winrate_end(&t.wins);
	CHECK_NEAR(w.win_rate, number(want, "win_rate"), 1e-9);
	CHECK_NEAR(w.standard_error, number(want, "standard_error"), 1e-9);
	CHECK_NEAR(w.discrete_win_rate, number(want, "discrete_win_rate"), 1e-9);
	CHECK((double)w.n_wins == number(want, "n_wins"));
	CHECK((double)w.n_draws == number(want, "n_draws"));
	CHECK((double)w.n_total == number(want, "n_total"));
	CHECK(w.n_wins + w.n_wins_base + w.n_draws == w.n_total);
	CHECK(trunc(t.length.mean) == number(want, "avg_length"));
}

static cJSON *expected;

static void numbers_match_alpaca_eval(void)
{
	const cJSON *model;
	int models = 0;

	cJSON_ArrayForEach(model, expected) {
		check_model(model);
		models++;
	}
	CHECK(models == 12);
}

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

static void entropy(void)
{
	size_t even[] = { 3, 3, 0, 3, 3 }, one[] = { 0, 7, 0 }, odd[] = { 1, 3 }, none[] = { 0, 0 };

	CHECK_NEAR(entropy_bits(even, 5), 2, 1e-15);
	CHECK(entropy_bits(one, 3) == 0);
	CHECK_NEAR(entropy_bits(odd, 2), 0.8112781244591328, 1e-15);
	CHECK(entropy_bits(none, 2) == 0);
}

static void reports(void)
{
	struct report r = { .by = "kind" };
	struct buf out = { 0 };

	report_row(&r, NULL);
	report_add(&r, "n", 12);
	report_add(&r, "rate", 0.5);
	report_row(&r, "a|b\n\xc3\xa4");
	report_add(&r, "n", 3);
	report_add(&r, "rate", NAN);
	report_write(&r, REPORT_JSON, &out);
	CHECK_STR(out.data, "{\"n\":12,\"rate\":0.5,\"by\":\"kind\",\"groups\":"
	    "[{\"group\":\"a|b\\n\xc3\xa4\",\"n\":3,\"rate\":null}]}\n");
	buf_reset(&out);
	report_write(&r, REPORT_TSV, &out);
	CHECK_STR(out.data, "kind\tn\trate\nall\t12\t0.5\na|b \xc3\xa4\t3\tNA\n");
	buf_reset(&out);
	report_write(&r, REPORT_TABLE, &out);
	CHECK_STR(out.data, "kind    n    rate\nall    12  0.5000\na|b \xc3\xa4   3       -\n");
	buf_reset(&out);
	report_write(&r, REPORT_MARKDOWN, &out);
	CHECK_STR(out.data, "| kind   |  n |   rate |\n|---|---:|---:|\n| all    | 12 | 0.5000 |\n"
	    "| a\\|b \xc3\xa4 |  3 |      - |\n");
	report_free(&r);
	buf_reset(&out);
	report_row(&r, NULL);
	report_add(&r, "n", 12);
	report_add(&r, "mean", 3.14159);
	report_write(&r, REPORT_TABLE, &out);
	CHECK_STR(out.data, "n             12\nmean        3.14\n");
	buf_reset(&out);
	report_write(&r, REPORT_JSON, &out);
	CHECK_STR(out.data, "{\"n\":12,\"mean\":3.14159}\n");
	report_free(&r);
	buf_free(&out);
	CHECK(report_format_by_name("tsv") == REPORT_TSV && report_format_by_name("xml") == -1);
}

int main(void)
{
	TEST(moments_by_hand);
	TEST(winrate_by_hand);
	TEST(numbers_match_alpaca_eval_excerpt);
	if (read_expected())
		TEST(numbers_match_alpaca_eval);
	else
		printf("ok - numbers_match_alpaca_eval # SKIP no golden data here\n");
	cJSON_Delete(expected);
	TEST(entropy);
	TEST(reports);
	return tests_done();
}

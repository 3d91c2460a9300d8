/* Correlations, Bradley-Terry and the bootstrap against scipy and numpy
 * (tests/golden/rank.tsv, bt.tsv), and Arena-Hard's interval against what it
 * promises. */
#include <stdlib.h>

#include "base/rng.h"
#include "method/verdict5.h"
#include "stats/arena.h"
#include "stats/bootstrap.h"
#include "stats/correlate.h"
#include "stats/logit.h"
#include "stats/markdown.h"
#include "unit/test.h"

enum { MOST = 64, PLAYERS = 6, ROUNDS = 400, RECORDS = 500, REPEATS = 400 };

/* Numbers with commas between; returns how many, *s behind them. */
static size_t numbers(char **s, double *v, size_t most)
{
	size_t n = 0;

	while (n < most) {
		v[n++] = strtod(*s, s);
		if (**s != ',')
			break;
		++*s;
	}
	return n;
}

static void correlations_match_scipy(void)
{
	FILE *f = fopen("tests/golden/rank.tsv", "r");
	char line[4096];
	int lines = 0;

	CHECK(f);
	while (f && fgets(line, sizeof line, f)) {
		double x[MOST], y[MOST];
		char *s = line;
		size_t n = numbers(&s, x, MOST);
		struct pearson p = { 0 };

		CHECK(numbers(&s, y, MOST) == n && n > 2);
		CHECK_NEAR(spearman(x, y, n), strtod(s, &s), 1e-12);
		CHECK_NEAR(kendall_tau_b(x, y, n), strtod(s, &s), 1e-12);
		for (size_t i = 0; i < n; i++)
			pearson_add(&p, x[i], y[i]);
		CHECK_NEAR(pearson_end(&p), strtod(s, &s), 1e-12);
		lines++;
	}
	if (f)
		fclose(f);
	CHECK(lines == 6);
}

static void correlations_by_hand(void)
{
	static const double up[] = { 1, 2, 3 }, down[] = { 3, 2, 1 }, flat[] = { 2, 2, 2 }, swap[] = { 2, 1, 3 };

	CHECK(spearman(up, up, 3) == 1 && kendall_tau_b(up, down, 3) == -1);
	CHECK_NEAR(spearman(up, swap, 3), 0.5, 1e-15);           /* 1 - 6 * 2 / (3 * 8) */
	CHECK_NEAR(kendall_tau_b(up, swap, 3), 1 / 3.0, 1e-15);  /* 2 pairs against 1 */
	CHECK(isnan(spearman(up, flat, 3)) && isnan(kendall_tau_b(flat, up, 3)));
	CHECK(isnan(spearman(up, up, 1)) && isnan(kendall_tau_b(up, up, 0)));
}

/* Every pair of players is two rows, a win and a loss; the first player's
 * strength is 0. */
static void bradley_terry_matches_scipy(void)
{
	FILE *f = fopen("tests/golden/bt.tsv", "r");
	char line[4096];
	int lines = 0;

	CHECK(f);
	while (f && fgets(line, sizeof line, f)) {
		double wins[PLAYERS * PLAYERS], want[PLAYERS], x[PLAYERS * PLAYERS * PLAYERS] = { 0 };
		double y[PLAYERS * PLAYERS], beta[PLAYERS] = { 0 };
		char *s = line;
		struct err err;

		CHECK(numbers(&s, wins, PLAYERS * PLAYERS) == PLAYERS * PLAYERS);
		CHECK(numbers(&s, want, PLAYERS) == PLAYERS - 1);
		for (int i = 0; i < PLAYERS; i++) {
			for (int k = 0; k < PLAYERS; k++) {
				double *row = x + (i * PLAYERS + k) * (PLAYERS - 1);

				y[i * PLAYERS + k] = 1;
				if (i > 0)
					row[i - 1] += 1;
				if (k > 0)
					row[k - 1] -= 1;
			}
		}
		CHECK(logit_fit(PLAYERS * PLAYERS, PLAYERS - 1, x, y, wins, 1e-6, beta, &err) == 0);
		for (int i = 0; i < PLAYERS - 1; i++)
			CHECK_NEAR(beta[i], want[i], 1e-7);
		lines++;
	}
	if (f)
		fclose(f);
	CHECK(lines == 4);
}

static void logit_refuses(void)
{
	double x[1] = { 1 }, y[1] = { 1 }, w[1] = { 1 }, beta[1] = { 0 };
	struct err err;

	CHECK(logit_fit(1, 0, x, y, w, 1e-4, beta, &err) == -1);
	CHECK(logit_fit(1, LOGIT_FEATURES + 1, x, y, w, 1e-4, beta, &err) == -1);
	/* won by one side alone: the ridge keeps it finite, s(-b) = ridge b */
	CHECK(logit_fit(1, 1, x, y, w, 1e-4, beta, &err) == 0);
	CHECK_NEAR(1 / (1 + exp(beta[0])), 1e-4 * beta[0], 1e-12);
	x[0] = NAN;
	CHECK(logit_fit(1, 1, x, y, w, 1e-4, beta, &err) == -1);
}

static void quantiles_match_numpy(void)
{
	double v[] = { 16, 2, 8, 1, 4 };
	static const double below[] = { -1, -2, -3, -4, 5, -6, -7, -8, -9 };

	bootstrap_sort(v, 5);
	CHECK_NEAR(bootstrap_quantile(v, 5, 0.025), 1.1, 1e-12);
	CHECK_NEAR(bootstrap_quantile(v, 5, 0.5), 4, 0);
	CHECK_NEAR(bootstrap_quantile(v, 5, 0.9), 12.8, 1e-12);
	CHECK_NEAR(bootstrap_quantile(v, 5, 0.975), 15.2, 1e-12);
	CHECK(bootstrap_quantile(v, 5, 1) == 16 && isnan(bootstrap_quantile(v, 0, 0.5)));
	CHECK_NEAR(bootstrap_p_value(below, 9), 0.4, 1e-15);     /* 2 (1 + 1) / (9 + 1) */
}

static void draws_are_all_and_repeat(void)
{
	double a[10], b[10], sum = 0;

	bootstrap_counts(1, "test", 3, 10, a);
	bootstrap_counts(1, "test", 3, 10, b);
	for (int i = 0; i < 10; i++) {
		CHECK(a[i] == b[i]);
		sum += a[i];
	}
	CHECK(sum == 10);
	bootstrap_counts(2, "test", 3, 10, b);
	CHECK(memcmp(a, b, sizeof a) != 0);
}

/* A game is won by the model with probability 0.4, one in five is strong. */
static struct arena_prompt games(const struct rng *r, uint64_t i)
{
	struct arena_prompt p = { 0 };

	for (uint64_t g = 0; g < 2; g++) {
		double weight = rng_uniform(r, 4 * i + 2 * g) < 0.2 ? 3 : 1;

		p.weight += weight;
		p.won += rng_uniform(r, 4 * i + 2 * g + 1) < 0.4 ? weight : 0;
	}
	return p;
}

static void arena_interval_covers(void)
{
	int covered = 0;

	for (uint64_t repeat = 0; repeat < REPEATS; repeat++) {
		struct rng r = rng_stream(7, "", "test/arena", repeat);
		struct arena_hard a = { 0 };
		struct arena_result result = { 0 };
		struct err err;

		for (uint64_t i = 0; i < RECORDS; i++) {
			struct arena_prompt p = games(&r, i);

			arena_hard_add_prompt(&a, &p);
		}
		CHECK(arena_hard_fit(&a, repeat, ROUNDS, &result, &err) == 0);
		covered += result.lower <= 40 && 40 <= result.upper;
		arena_hard_free(&a);
	}
	printf("# covered in %d of %d\n", covered, REPEATS);
	CHECK(covered >= 0.93 * REPEATS && covered <= 0.97 * REPEATS);
}

/* The model is better only where it is longer: at equal length it wins half. */
static void style_control_takes_length_out(void)
{
	struct arena_hard a = { .style = true };
	struct arena_result with, without;
	struct err err;

	for (int i = 0; i < 400; i++) {
		double longer = (i % 20 - 4) / 20.0, p = 1 / (1 + exp(-4 * longer));

		arena_hard_add_prompt(&a, &(struct arena_prompt){ .won = p, .weight = 1, .style = { longer } });
	}
	CHECK(arena_hard_fit(&a, 1, 50, &with, &err) == 0);
	CHECK_NEAR(with.win_rate, 50, 0.01);
	CHECK(with.style[0] > 0 && with.style[1] == 0);
	CHECK_NEAR(with.lower, 50, 0.05);       /* nothing is left to chance */
	CHECK_NEAR(with.upper, 50, 0.05);
	a.style = false;
	CHECK(arena_hard_fit(&a, 1, 50, &without, &err) == 0);
	CHECK(without.win_rate > 65 && isnan(without.style[0]));
	CHECK_NEAR(without.rating, 400 * log10(without.win_rate / (100 - without.win_rate)), 1e-9);
	arena_hard_free(&a);
}

static void verdicts_of_five(void)
{
	static const struct { const char *text; int verdict; } cases[] = {
		{ "Both are fine.\n\nVerdict: A>>B", 2 }, { "Verdict: A > B because", 1 },
		{ "My final verdict is: [[A=B]]", 0 },
		{ "verdict: **B=A**", 0 }, { "[[B>A]] and again [[B>A]].", -1 }, { "Verdict: B >> A", -2 },
		{ "Verdict: A>B\nVerdict: A>>B", 9 }, { "[[A>B]] Verdict: B>A", 9 }, { "A>B", 9 }, { "", 9 },
		{ "Verdict: A>Bob", 9 }, { "[[A>B]", 9 }, { "Verdict: A>>>B", 9 }, { "Verdict: A>A", 9 }, { "Verdict: A", 9 },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int verdict = 9;
		bool any = verdict5_parse(cases[i].text, &verdict);

		if ((any ? verdict : 9) != cases[i].verdict)
			printf("# %s\n", cases[i].text);
		CHECK((any ? verdict : 9) == cases[i].verdict);
	}
}

static void markdown_by_hand(void)
{
	static const char text[] = "# Title\n\n- one **b**\n * two\n3. three __c__ and **d e**\n"
	    "```\n# not this\n- nor this\n```\n#no\n2020 was **open\n** not bold **\n####### seven";
	struct markdown m = markdown_count(text, strlen(text));

	CHECK(m.headers == 1 && m.lists == 3 && m.bold == 3);
	m = markdown_count("", 0);
	CHECK(m.headers == 0 && m.lists == 0 && m.bold == 0);
}

int main(void)
{
	TEST(correlations_match_scipy);
	TEST(correlations_by_hand);
	TEST(bradley_terry_matches_scipy);
	TEST(logit_refuses);
	TEST(quantiles_match_numpy);
	TEST(draws_are_all_and_repeat);
	TEST(arena_interval_covers);
	TEST(style_control_takes_length_out);
	TEST(verdicts_of_five);
	TEST(markdown_by_hand);
	return tests_done();
}

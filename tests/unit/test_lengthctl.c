/* Cases worked out by hand. */
#include "base/utf8.h"
#include "method/lengthctl.h"
#include "unit/test.h"

#define V true
#define NONE { false, 0, 0 }

struct row {
	const char *what;
	struct scored r[7];
	size_t n;
	double rho;
	size_t max_chars;
	enum pick_status status;
	size_t chosen, rejected;
};

static const struct row rows[] = {
	/* scores 1 2 3 4 5, lengths 10 20 30 40 50 */
	{ "rho 0 is best against worst",
	  { { V, 1, 10 }, { V, 2, 20 }, { V, 3, 30 }, { V, 4, 40 }, { V, 5, 50 } }, 5, 0, 0, PICK_OK, 4, 0 },
	/* top [3.72, 5]: 4 and 5; bottom [1, 2.28]: 1 and 2 */
	{ "rho 0.32: shorter 4, longer 2",
	  { { V, 1, 10 }, { V, 2, 20 }, { V, 3, 30 }, { V, 4, 40 }, { V, 5, 50 } }, 5, 0.32, 0, PICK_OK, 3, 1 },
	/* top [3.4, 5], bottom [1, 2.6]: 3.4 and 2.6 stand on the bounds */
	{ "rho 0.4: bounds are inside",
	  { { V, 1, 10 }, { V, 2.6, 70 }, { V, 3.4, 5 }, { V, 4, 40 }, { V, 5, 50 } }, 5, 0.4, 0, PICK_OK, 2, 1 },
	{ "rho 0.4: just outside",
	  { { V, 1, 10 }, { V, 2.61, 70 }, { V, 3.39, 5 }, { V, 4, 40 }, { V, 5, 50 } }, 5, 0.4, 0, PICK_OK, 3, 0 },
	{ "rho 1: shortest against longest",
	  { { V, 1, 10 }, { V, 2, 20 }, { V, 3, 30 }, { V, 4, 40 }, { V, 5, 50 } }, 5, 1, 0, PICK_OK, 0, 4 },
	/* [4.2, 5] holds both good ones: the short one although it is worse */
	{ "a longer better, a shorter nearly as good",
	  { { V, 5, 900 }, { V, 4.5, 300 }, { V, 2.5, 400 } }, 3, 0.32, 0, PICK_OK, 1, 2 },
	{ "the same with rho 0",
	  { { V, 5, 900 }, { V, 4.5, 300 }, { V, 2.5, 400 } }, 3, 0, 0, PICK_OK, 0, 2 },
	/* bottom [1, 2.28]: the longer of the two bad ones */
	{ "a long bad one is rejected rather than a short worse one",
	  { { V, 5, 100 }, { V, 1, 50 }, { V, 2, 500 } }, 3, 0.32, 0, PICK_OK, 0, 2 },
	{ "equal lengths: the higher score is chosen",
	  { { V, 4, 30 }, { V, 5, 30 }, { V, 1, 10 } }, 3, 0.4, 0, PICK_OK, 1, 2 },
	{ "equal lengths: the lower score is rejected",
	  { { V, 5, 30 }, { V, 2, 40 }, { V, 1, 40 } }, 3, 0.4, 0, PICK_OK, 0, 2 },
	{ "equal in both: the lower index",
	  { { V, 5, 30 }, { V, 5, 30 }, { V, 1, 40 }, { V, 1, 40 } }, 4, 0, 0, PICK_OK, 0, 2 },
	{ "ties at the top: the shorter",
	  { { V, 5, 60 }, { V, 5, 30 }, { V, 1, 40 }, { V, 1, 70 } }, 4, 0, 0, PICK_OK, 1, 3 },
	{ "all equal",
	  { { V, 3, 10 }, { V, 3, 20 }, { V, 3, 30 } }, 3, 0.4, 0, PICK_ALL_EQUAL, 0, 0 },
	{ "none",
	  { NONE }, 0, 0, 0, PICK_TOO_FEW, 0, 0 },
	{ "one",
	  { { V, 3, 10 } }, 1, 0, 0, PICK_TOO_FEW, 0, 0 },
	{ "one with a score",
	  { NONE, { V, 3, 10 }, NONE }, 3, 0, 0, PICK_TOO_FEW, 0, 0 },
	{ "those without a score do not count",
	  { NONE, { V, 3, 10 }, NONE, { V, 4, 10 } }, 4, 0, 0, PICK_OK, 3, 1 },
	{ "rho 1, equal lengths: by the score",
	  { { V, 1, 10 }, { V, 5, 10 } }, 2, 1, 0, PICK_OK, 1, 0 },
	/* rho 0.6: top [2.6, 5], bottom [1, 3.4]; 3 is in both, the shortest above and the longest below */
	{ "both picks the same",
	  { { V, 5, 80 }, { V, 3, 40 }, { V, 1, 20 } }, 3, 0.6, 0, PICK_SAME, 0, 0 },
	{ "not longer than the limit",
	  { { V, 5, 80 }, { V, 1, 200 } }, 2, 0, 80, PICK_OK, 0, 1 },
	{ "longer than the limit",
	  { { V, 5, 81 }, { V, 1, 20 } }, 2, 0, 80, PICK_TOO_LONG, 0, 0 },
	{ "scores below zero (a reward model's)",
	  { { V, -3, 10 }, { V, -1, 10 }, { V, -2, 10 } }, 3, 0, 0,
	  PICK_OK, 1, 0 },
	{ "very large scores",
	  { { V, -1e308, 10 }, { V, 1e308, 10 } }, 2, 0, 0, PICK_OK, 1, 0 },
	{ "very near scores",
	  { { V, 1e6, 10 }, { V, 1e6 + 1e-5, 10 }, { V, 1e6 + 2e-5, 9 } }, 3, 0, 0, PICK_OK, 2, 0 },
};

static void table(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct row *w = &rows[i];
		size_t chosen = 0, rejected = 0;
		enum pick_status s = lengthctl_pick(w->r, w->n, w->rho, w->max_chars, &chosen, &rejected);

		if (s != w->status || chosen != w->chosen || rejected != w->rejected) {
			printf("# %s: %s %zu %zu\n", w->what, pick_status_name(s), chosen, rejected);
			test_ok = false;
		}
	}
}

/* 11/3 = 3.666… and rho 1/3 of [1, 5]: 3.666… is the bound, rounded otherwise. */
static void a_mean_on_the_bound_is_inside(void)
{
	double third[3] = { 4, 4, 3 }, mean;
	bool valid[3] = { true, true, true };
	struct scored r[3] = { { V, 5, 100 }, { V, 0, 10 }, { V, 1, 100 } };
	size_t chosen, rejected;

	mean = score_stats(third, valid, 3).mean;
	r[1].score = mean;
	CHECK(lengthctl_pick(r, 3, 1.0 / 3, 0, &chosen, &rejected) == PICK_OK);
	CHECK(chosen == 1 && rejected == 2);
}

/* What a last bit makes differ is equal. */
static void equal_but_for_rounding(void)
{
	struct scored r[2] = { { V, 0.1 + 0.2, 10 }, { V, 0.3, 20 } };
	size_t chosen, rejected;

	CHECK(r[0].score != r[1].score);
	CHECK(lengthctl_pick(r, 2, 0, 0, &chosen, &rejected) == PICK_ALL_EQUAL);
}

/* "äöü" has 6 bytes and 3 code points: shorter than "abcd". */
static void code_points_not_bytes(void)
{
	static const char *const text[3] = { "abcd", "\xc3\xa4\xc3\xb6\xc3\xbc", "\xf0\x9f\x98\x80\xf0\x9f\x98\x80" };
	struct scored r[3] = { { V, 5, 0 }, { V, 5, 0 }, { V, 1, 0 } };
	size_t chosen, rejected;

	for (int i = 0; i < 3; i++)
		r[i].length = utf8_length(text[i], strlen(text[i]));
	CHECK(r[0].length == 4 && r[1].length == 3 && r[2].length == 2);
	CHECK(lengthctl_pick(r, 3, 0, 0, &chosen, &rejected) == PICK_OK);
	CHECK(chosen == 1 && rejected == 2);
}

static void statistics(void)
{
	double score[5] = { 3, -7, 4, 5, 4 };
	bool valid[5] = { true, false, true, true, true }, none[5] = { false };
	struct score_stats s = score_stats(score, valid, 5);

	CHECK(s.n == 4);
	CHECK_NEAR(s.mean, 4, 0);
	CHECK_NEAR(s.var, 0.5, 1e-15);          /* (1 + 0 + 1 + 0) / 4 */
	s = score_stats(score, none, 5);
	CHECK(s.n == 0 && s.mean == 0 && s.var == 0);
	s = score_stats(score, valid, 1);
	CHECK(s.n == 1 && s.mean == 3 && s.var == 0);
}

int main(void)
{
	TEST(table);
	TEST(a_mean_on_the_bound_is_inside);
	TEST(equal_but_for_rounding);
	TEST(code_points_not_bytes);
	TEST(statistics);
	return tests_done();
}

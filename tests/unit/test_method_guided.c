#include "test.h"

#include "method/guided.h"

static const struct {
	const char *text, *score_prefix;
} scores[] = {
	{ "", "Score:" },
	{ " \n\t\n", "Score:" },
	{ "It is on topic.", "It is on topic.\n\nScore:" },
	{ "It is on topic. \n\n", "It is on topic.\n\nScore:" },
	{ "Good.\nThe score is high", "Good.\nThe score is high\n\nScore:" },
	{ "Good.\nScore:", "Good.\nScore:\n\nScore:" },
	{ "Good.\nScore: X", "Good.\nScore: X\n\nScore:" },
	/* out of range: the ending would contradict it */
	{ "Good.\nClear.\nScore: 7", "Good.\nClear.\n\nScore:" },
	{ "Good.\nScore: 4/10\nWell done.\n", "Good.\n\nScore:" },
	/* two scores: cut before the first of them */
	{ "Good.\nScore: 2\nBut complete.\nScore: 3", "Good.\n\nScore:" },
	{ "Score: 2 or 3", "Score:" },
	{ "Score: 2\nScore: 4", "Score:" },
	{ "First, score: 3-4, I think.\nYes.", "Score:" },
	{ "Gut.\r\n\r\nScore: 8\r\n", "Gut.\n\nScore:" },
};

static void score_prefixes(void)
{
	for (size_t i = 0; i < sizeof scores / sizeof *scores; i++) {
		struct buf b = { 0 };

		guided_prefix(&guided_score, scores[i].text, &b);
		CHECK_STR(b.data, scores[i].score_prefix);
		buf_free(&b);
	}
}

static void every_forced_score_is_the_parsed_one(void)
{
	for (size_t i = 0; i < sizeof scores / sizeof *scores; i++) {
		for (int s = 0; s < GUIDED_SCORES; s++) {
			struct buf b = { 0 };
			double got = -1;

			guided_prefix(&guided_score, scores[i].text, &b);
			buf_adds(&b, guided_score.choices[s]);
			CHECK(score_parse(b.data, guided_scale, &got) == SCORE_OK);
			CHECK_NEAR(got, s, 0);
			buf_free(&b);
		}
	}
}

/* Of the other scale and of the five verdicts: each choice parses to itself. */
static void grades_and_five_verdicts_parse(void)
{
	static const struct guided *const all[] = { &guided_grade, &guided_verdict5 };
	static const char *const texts[] = {
		"", "Fine.", "Score: 11\nVerdict: A>B\nVerdict: B>A", "[[A=B]] Score: 3\nScore: 4",
	};

	for (size_t k = 0; k < 2; k++) {
		for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
			for (int s = 0; s < all[k]->nchoices; s++) {
				struct buf b = { 0 };

				guided_prefix(all[k], texts[i], &b);
				buf_adds(&b, all[k]->choices[s]);
				CHECK(all[k]->parses(b.data) && all[k]->is_choice(b.data, s));
				CHECK(!all[k]->is_choice(b.data, s ? 0 : 1));
				buf_free(&b);
			}
		}
	}
}

static const struct {
	const char *text, *verdict_prefix;
} verdicts[] = {
	{ "", "Winner:" },
	{ "A is more exact.", "A is more exact.\n\nWinner:" },
	{ "A is more exact.\nWinner:", "A is more exact.\nWinner:\n\nWinner:" },
	{ "Both are fine.\nWinner: A\nNo.\nWinner: B", "Both are fine.\n\nWinner:" },
	{ "Fine.\nWinner: A or B\n", "Fine.\n\nWinner:" },
	{ "Winner: A/B", "Winner:" },
};

static void verdict_prefixes(void)
{
	for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++) {
		struct buf b = { 0 };

		guided_prefix(&guided_verdict, verdicts[i].text, &b);
		CHECK_STR(b.data, verdicts[i].verdict_prefix);
		buf_free(&b);
	}
}

static void every_forced_verdict_is_the_parsed_one(void)
{
	for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++) {
		for (int v = 0; v < GUIDED_VERDICTS; v++) {
			struct buf b = { 0 };

			guided_prefix(&guided_verdict, verdicts[i].text, &b);
			buf_adds(&b, guided_verdict.choices[v]);
			CHECK(verdict_parse(b.data) == guided_verdict_values[v]);
			buf_free(&b);
		}
	}
}

/* What was in out stays before it. */
static void appends(void)
{
	struct buf b = { 0 };

	buf_adds(&b, "x");
	guided_prefix(&guided_score, "y", &b);
	CHECK_STR(b.data, "xy\n\nScore:");
	buf_free(&b);
}

int main(void)
{
	TEST(score_prefixes);
	TEST(grades_and_five_verdicts_parse);
	TEST(every_forced_score_is_the_parsed_one);
	TEST(verdict_prefixes);
	TEST(every_forced_verdict_is_the_parsed_one);
	TEST(appends);
	return tests_done();
}

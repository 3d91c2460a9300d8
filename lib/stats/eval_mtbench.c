/* MT-Bench (Zheng et al., Judging LLM-as-a-Judge with MT-Bench and Chatbot
 * Arena, 2023): grades from 1 to 10, by turn. */
#include <math.h>

#include "stats/eval.h"

/* -1 is an old mark of a grade that could not be read. */
static int add_grade(const cJSON *object, const char *where, size_t turn, struct tally *t, struct err *err)
{
	double score;

	if (eval_score(object, where, &score, err) != 0)
		return -1;
	if (isnan(score) || score == -1) {
		t->ungraded++;
		return 0;
	}
	if (score < 1 || score > 10)
		return err_set(err, "%s: \"score\" is %g, not from 1 to 10", where, score);
	moments_add(&t->grade, score);
	moments_add(&t->turn[turn], score);
	return 0;
}

/* "turn" 1 or 2, 1 where it is missing. */
static int read_turn(const cJSON *rec, size_t *turn, struct err *err)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(rec, "turn");

	*turn = 0;
	if (!v)
		return 0;
	if (!cJSON_IsNumber(v) || (v->valuedouble != 1 && v->valuedouble != 2))
		return err_set(err, "\"turn\" is neither 1 nor 2");
	*turn = v->valuedouble == 2;
	return 0;
}

static int add(const struct record *rec, struct tally *t, struct err *err)
{
	const cJSON *responses, *r;
	size_t turn;

	if (read_turn(rec->json, &turn, err) != 0)
		return -1;
	if (record_has(rec, "score"))
		return add_grade(rec->json, "the record", turn, t, err);
	responses = record_array(rec, "responses", "run mr-sample and mr-judge --scale 1-10 first", err);
	if (!responses)
		return -1;
	cJSON_ArrayForEach(r, responses) {
		if (!cJSON_GetObjectItemCaseSensitive(r, "score"))
			return err_set(err, "a response has no \"score\"; run mr-judge --scale 1-10 first");
		if (add_grade(r, "a response", turn, t, err) != 0)
			return -1;
	}
	return 0;
}

static void show(struct report *r, const struct tally *t, const struct tally *whole)
{
	const struct moments *m = &t->grade;

	(void)whole;
	report_add(r, "n", (double)m->n);
	report_add(r, "n_ungraded", (double)t->ungraded);
	report_add(r, "score", m->n ? m->mean : NAN);
	report_add(r, "standard_error", m->n > 1 ? moments_sd(m) / sqrt((double)m->n) : NAN);
	report_add(r, "turn_1", t->turn[0].n ? t->turn[0].mean : NAN);
	report_add(r, "turn_2", t->turn[1].n ? t->turn[1].mean : NAN);
}

const struct eval_kind eval_mtbench = { "mtbench", "category", add, show };

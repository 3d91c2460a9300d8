#include "stats/agree.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "stats/correlate.h"
#include "stats/eval.h"

/* A response's score, or its rank, turned round. */
static int read_one(const cJSON *response, int i, bool ranks, double *score, struct err *err)
{
	const cJSON *rank = cJSON_GetObjectItemCaseSensitive(response, "rank");
	char where[40];

	snprintf(where, sizeof where, "responses[%d]", i);
	if (cJSON_GetObjectItemCaseSensitive(response, "score"))
		return eval_score(response, where, score, err);
	if (!ranks || !rank)
		return err_set(err, "%s: \"score\" is missing; run mr-judge first", where);
	if (!cJSON_IsNumber(rank) || !isfinite(rank->valuedouble))
		return err_set(err, "%s: \"rank\" is no number", where);
	*score = -rank->valuedouble;
	return 0;
}

/* The scores, n of them (the caller frees); of a preference, the one number. NULL: wrong. */
static double *read_scores(const struct record *rec, bool ranks, size_t *n, struct err *err)
{
	const cJSON *responses, *r;
	double *scores;
	int i = 0, rc = 0;

	if (!record_has(rec, "responses")) {
		scores = mem_zalloc(1, sizeof *scores);
		*n = 1;
		if (eval_preference(rec, false, scores, err) == 0)
			return scores;
		free(scores);
		return NULL;
	}
	responses = record_array(rec, "responses", "run mr-sample first", err);
	if (!responses)
		return NULL;
	*n = (size_t)cJSON_GetArraySize(responses);
	scores = mem_zalloc(*n + 1, sizeof *scores);
	cJSON_ArrayForEach(r, responses) {
		if (rc == 0)
			rc = read_one(r, i, ranks, &scores[i], err);
		i++;
	}
	if (rc == 0)
		return scores;
	free(scores);
	return NULL;
}

int agree_add_reference(struct agree *a, const struct record *rec, struct err *err)
{
	size_t n;
	double *scores = read_scores(rec, true, &n, err);

	if (!scores)
		return -1;
	if (!map_add(&a->ids, rec->id, (double)a->nrecords)) {
		free(scores);
		return err_set(err, "the id \"%.80s\" was there before; ids must differ", rec->id);
	}
	a->start = mem_grow(a->start, a->nrecords + 2, sizeof *a->start);
	a->scores = mem_grow(a->scores, a->nscores + n + 1, sizeof *a->scores);
	a->start[a->nrecords++] = a->nscores;
	for (size_t i = 0; i < n; i++)
		a->scores[a->nscores++] = scores[i];
	a->start[a->nrecords] = a->nscores;
	free(scores);
	return 0;
}

static int order(double x, double y)
{
	return (x > y) - (x < y);
}

static void add_pair(struct agree *a, int one, int other)
{
	a->pairs++;
	a->pairs_same += one == other;
	if (one != 0 && other != 0) {
		a->decided++;
		a->decided_same += one == other;
	}
}

static void add_responses(struct agree *a, const double *x, const double *y, size_t n)
{
	double rho = spearman(x, y, n), tau = kendall_tau_b(x, y, n);

	for (size_t i = 0; i < n; i++) {
		a->compared++;
		a->same += x[i] == y[i];
		for (size_t k = i + 1; k < n; k++)
			add_pair(a, order(x[i], x[k]), order(y[i], y[k]));
	}
	if (!isnan(rho))
		moments_add(&a->spearman, rho);
	if (!isnan(tau))
		moments_add(&a->kendall, tau);
}

static void add_preference(struct agree *a, double x, double y)
{
	int one = x == 0 ? 0 : order(x, 1.5), other = y == 0 ? 0 : order(y, 1.5);

	a->compared++;
	a->same += one == other;
	add_pair(a, one, other);
}

int agree_add(struct agree *a, const struct record *rec, struct err *err)
{
	const double *at = map_find(&a->ids, rec->id), *theirs;
	size_t n, kept = 0;
	double *x, *y;

	if (!at)
		return err_set(err, "the id \"%.80s\" is not in --against's file", rec->id);
	x = read_scores(rec, false, &n, err);
	if (!x)
		return -1;
	theirs = a->scores + a->start[(size_t)*at];
	if (a->start[(size_t)*at + 1] - a->start[(size_t)*at] != n) {
		free(x);
		return err_set(err, "the other judge scored another number of responses to \"%.80s\"", rec->id);
	}
	/* what either could not score is left out */
	y = mem_zalloc(n + 1, sizeof *y);
	for (size_t i = 0; i < n; i++) {
		if (isnan(x[i]) || isnan(theirs[i]))
			continue;
		x[kept] = x[i];
		y[kept++] = theirs[i];
	}
	if (record_has(rec, "responses"))
		add_responses(a, x, y, kept);
	else if (kept == 1)
		add_preference(a, x[0], y[0]);
	free(x);
	free(y);
	return 0;
}

static double percent(size_t part, size_t whole)
{
	return whole ? 100 * (double)part / (double)whole : NAN;
}

void agree_show(struct report *r, const struct agree *a)
{
	static const struct agree none = { 0 };

	a = a ? a : &none;
	report_add(r, "compared_n", (double)a->compared);
	report_add(r, "exact_rate", percent(a->same, a->compared));
	report_add(r, "pairs_n", (double)a->pairs);
	report_add(r, "agreement", percent(a->pairs_same, a->pairs));
	report_add(r, "decided_n", (double)a->decided);
	report_add(r, "agreement_without_ties", percent(a->decided_same, a->decided));
	report_add(r, "spearman", a->spearman.n ? a->spearman.mean : NAN);
	report_add(r, "kendall_tau_b", a->kendall.n ? a->kendall.mean : NAN);
	report_add(r, "ranked_n", (double)a->spearman.n);
}

void agree_free(struct agree *a)
{
	map_free(&a->ids);
	free(a->start);
	free(a->scores);
}

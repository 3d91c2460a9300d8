#include "stats/lc.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "stats/eval.h"
#include "stats/glm.h"
#include "stats/map.h"
#include "stats/moments.h"
#include "stats/sides.h"

static const double gamed_weight = 0.1;         /* alpaca_eval: lambda 0.2, by two baselines */
static const double most_difficulty = 1e6;

struct row {
	double y;               /* from 0 to 1; NaN: unjudged */
	double length;          /* len_1 - len_2; of a gamed baseline, standardised */
	double difficulty;
	size_t group;
};

struct lc {
	enum lc_formula formula;
	bool difficulties_given;
	struct map difficulties, ids;
	struct row *rows, *gamed;
	size_t n, ngamed, njudged;
	struct sides sides;
	struct moments whole, *groups;  /* of what is predicted */
	size_t ngroups;
};

static const char *const formulas[] = { "minimal", "noreg", "v1" };

int lc_formula_by_name(const char *name)
{
	static const char prefix[] = "length_controlled_";

	if (strncmp(name, prefix, sizeof prefix - 1) == 0)
		name += sizeof prefix - 1;
	for (int i = 0; i < 3; i++)
		if (strcmp(name, formulas[i]) == 0)
			return i;
	return -1;
}

const char *lc_formula_name(enum lc_formula formula)
{
	return formulas[formula];
}

struct lc *lc_new(enum lc_formula formula)
{
	struct lc *lc = mem_zalloc(1, sizeof *lc);

	lc->formula = formula;
	return lc;
}

void lc_free(struct lc *lc)
{
	if (!lc)
		return;
	map_free(&lc->difficulties);
	map_free(&lc->ids);
	free(lc->rows);
	free(lc->gamed);
	free(lc->groups);
	sides_free(&lc->sides);
	free(lc);
}

static const cJSON *member(const struct record *rec, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(rec->json, key);
}

/* "id", else "index", else what record_parse makes of the prompt. */
static const char *name_of(const struct record *rec, char text[32])
{
	const cJSON *index = record_has(rec, "id") ? NULL : member(rec, "index");

	if (cJSON_IsString(index) && *index->valuestring)
		return index->valuestring;
	if (!cJSON_IsNumber(index) || fabs(index->valuedouble) > 1e15)
		return rec->id;
	snprintf(text, 32, "%.17g", index->valuedouble);
	return text;
}

static int read_difficulty(const struct record *rec, double *difficulty, struct err *err)
{
	const cJSON *v = member(rec, "difficulty");

	v = v ? v : member(rec, "instruction_difficulty");
	if (!v)
		return err_set(err, "\"difficulty\" is missing");
	if (!cJSON_IsNumber(v) || !(fabs(v->valuedouble) <= most_difficulty))
		return err_set(err, "\"difficulty\" is not a number from -%g to %g", most_difficulty, most_difficulty);
	*difficulty = v->valuedouble;
	return 0;
}

int lc_add_difficulty(struct lc *lc, const struct record *rec, struct err *err)
{
	char text[32];
	const char *name = name_of(rec, text);
	double difficulty;

	if (read_difficulty(rec, &difficulty, err) != 0)
		return -1;
	if (!map_add(&lc->difficulties, name, difficulty))
		return err_set(err, "the id \"%.80s\" was there before; ids must differ", name);
	lc->difficulties_given = true;
	return 0;
}

static struct row *add_row(struct row **rows, size_t *n, struct row row)
{
	*rows = mem_grow(*rows, *n + 1, sizeof **rows);
	(*rows)[*n] = row;
	return &(*rows)[(*n)++];
}

int lc_add_gamed(struct lc *lc, const struct record *rec, struct err *err)
{
	const cJSON *preference = member(rec, "preference"), *length = member(rec, "std_delta_len");
	struct row row = { 0 };
	char text[32];

	if (read_difficulty(rec, &row.difficulty, err) != 0)
		return -1;
	if (!cJSON_IsNumber(length) || !isfinite(length->valuedouble))
		return err_set(err, "\"std_delta_len\" is missing or no number");
	if (!preference)
		return err_set(err, "\"preference\" is missing");
	if (!cJSON_IsNull(preference) && (!cJSON_IsNumber(preference) ||
	    !(preference->valuedouble >= 0 && preference->valuedouble <= 1)))
		return err_set(err, "\"preference\" is neither null nor a number from 0 to 1");
	row.length = length->valuedouble;
	row.y = preference->valuedouble;
	if (!lc->difficulties_given)
		map_add(&lc->difficulties, name_of(rec, text), row.difficulty);
	if (cJSON_IsNumber(preference))
		add_row(&lc->gamed, &lc->ngamed, row);
	return 0;
}

int lc_add(struct lc *lc, const struct record *rec, double preference, struct err *err)
{
	struct row row = { .y = preference == 0 ? 0.5 : preference - 1 };
	const double *difficulty;
	double len[2];
	char text[32];
	const char *name = name_of(rec, text);
	int rc = sides_check(&lc->sides, rec, err);

	if (rc != 0)
		return rc == SIDES_OTHER ? LC_OTHER : LC_BAD;
	for (int i = 0; i < 2; i++) {
		if (eval_length(rec, i + 1, &len[i], err) != 0)
			return LC_BAD;
		if (isnan(len[i]))
			return err_set(err, "\"len_%d\" is missing, and \"output_%d\" too", i + 1, i + 1);
		if (len[i] > 1e15)
			return err_set(err, "\"len_%d\" is no length", i + 1);
	}
	row.length = len[0] - len[1];
	if (lc->formula != LC_MINIMAL) {
		difficulty = map_find(&lc->difficulties, name);
		if (!difficulty)
			return err_set(err, "the id \"%.80s\" has no difficulty", name);
		row.difficulty = *difficulty;
	}
	if (!map_add(&lc->ids, name, 0))
		return err_set(err, "the id \"%.80s\" was there before; ids must differ", name);
	lc->njudged += isnan(row.y) ? 0 : 1;
	add_row(&lc->rows, &lc->n, row);
	sides_keep(&lc->sides, rec);
	return 0;
}

void lc_group(struct lc *lc, size_t group)
{
	lc->rows[lc->n - 1].group = group;
	if (group >= lc->ngroups)
		lc->ngroups = group + 1;
}

/* A row of the regression's matrix: length, (difficulty,) model. */
static void add_features(const struct lc *lc, const struct row *row, double length, double model, double weight,
    struct glm *d, double *x, double *y, double *w)
{
	size_t j = d->n * d->p;

	x[j++] = tanh(length);
	if (lc->formula != LC_MINIMAL)
		x[j++] = row->difficulty;
	x[j] = model;
	y[d->n] = row->y;
	w[d->n++] = weight;
}

static int regress(struct lc *lc, double sd, struct glm_cv *cv, struct err *err)
{
	size_t most = lc->n + lc->ngamed;
	struct glm d = { .p = lc->formula == LC_MINIMAL ? 2 : 3 };
	double *x = mem_zalloc(most * d.p, sizeof *x);
	double *y = mem_zalloc(most, sizeof *y), *w = mem_zalloc(most, sizeof *w);
	int rc;

	d.x = x;
	d.y = y;
	d.w = w;
	for (size_t i = 0; i < lc->ngamed && lc->formula == LC_V1; i++)
		add_features(lc, &lc->gamed[i], lc->gamed[i].length, 0, gamed_weight, &d, x, y, w);
	for (size_t i = 0; i < lc->n; i++)
		if (!isnan(lc->rows[i].y))
			add_features(lc, &lc->rows[i], sd > 0 ? lc->rows[i].length / sd : 0, 1, 1, &d, x, y, w);
	rc = glm_cv(&d, cv, err);
	free(x);
	free(y);
	free(w);
	return rc;
}

static void predict(struct lc *lc, const struct lc_weights *weights)
{
	lc->groups = mem_zalloc(lc->ngroups, sizeof *lc->groups);
	for (size_t i = 0; i < lc->n; i++) {
		const struct row *row = &lc->rows[i];
		double z = weights->model, p;

		if (lc->formula != LC_MINIMAL)
			z += weights->difficulty * row->difficulty;
		p = 100 * glm_sigmoid(z);
		moments_add(&lc->whole, p);
		if (lc->ngroups > 0)
			moments_add(&lc->groups[row->group], p);
	}
}

int lc_fit(struct lc *lc, struct lc_weights *weights, struct err *err)
{
	bool itself = sides_same(&lc->sides), minimal = lc->formula == LC_MINIMAL;
	struct moments length = { 0 };
	struct glm_cv cv = { 0 };
	double sd;

	*weights = (struct lc_weights){ 0, minimal ? NAN : 0, 0, NAN };
	for (size_t i = 0; i < lc->n; i++)
		moments_add(&length, lc->rows[i].length);
	sd = moments_sd(&length);
	if (!itself) {
		if (lc->njudged < GLM_FOLDS)
			return err_set(err, "%zu judged record%s too few: cross-validation has %d folds", lc->njudged,
			    lc->njudged == 1 ? " is" : "s are", GLM_FOLDS);
		if (length.min == length.max && length.min != 0)
			return err_set(err, "all lengths differ by %g; the length cannot be told from the model", length.min);
		if (lc->formula == LC_V1 && lc->ngamed == 0)
			return err_set(err, "the gamed baselines have no judged record");
		if (regress(lc, sd, &cv, err) != 0)
			return -1;
		weights->length = cv.beta[0];
		weights->difficulty = minimal ? NAN : cv.beta[1];
		weights->model = cv.beta[minimal ? 1 : 2];
		weights->C = cv.c[cv.best];
	}
	predict(lc, weights);
	return 0;
}

double lc_win_rate(const struct lc *lc, long group, double *standard_error)
{
	const struct moments *m = group < 0 ? &lc->whole : &lc->groups[group];

	*standard_error = m->n > 1 ? moments_sd(m) / sqrt((double)m->n) : NAN;
	return m->n ? m->mean : NAN;
}

void lc_show(struct report *r, const struct lc *lc, const struct lc_weights *weights, long group)
{
	static const struct lc_weights none = { NAN, NAN, NAN, NAN };
	double error, rate = lc_win_rate(lc, group, &error);

	weights = weights ? weights : &none;
	report_add(r, "length_controlled_winrate", rate);
	report_add(r, "lc_standard_error", error);
	report_add(r, "weight_length", weights->length);
	report_add(r, "weight_difficulty", weights->difficulty);
	report_add(r, "weight_model", weights->model);
	report_add(r, "C", weights->C);
}

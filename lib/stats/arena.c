#include "stats/arena.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "method/verdict5.h"
#include "stats/bootstrap.h"
#include "stats/eval.h"
#include "stats/logit.h"
#include "stats/markdown.h"

static const double ridge = 1e-4, strong = 3;

static const cJSON *member(const cJSON *object, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(object, key);
}

/* From "score", "label" or "winner": -2 … 2, how much better A is; none: no verdict. */
static int read_verdict(const cJSON *game, bool model_first, int *verdict, bool *none, struct err *err)
{
	const cJSON *v = member(game, "score");

	v = v ? v : member(game, "label");
	*none = false;
	if (cJSON_IsString(v) && verdict5_by_label(v->valuestring, verdict))
		return 0;
	if (cJSON_IsNull(v)) {
		*none = true;
		return 0;
	}
	if (v)
		return err_set(err, "\"games\": a verdict is none of A>>B, A>B, A=B, B>A, B>>A, null");
	v = member(game, "winner");
	if (!v)
		return err_set(err, "\"games\": a game has no \"score\", \"label\" or \"winner\"");
	*none = cJSON_IsNull(v);
	*verdict = 0;
	if (cJSON_IsNull(v) || (cJSON_IsString(v) && strcmp(v->valuestring, "tie") == 0))
		return 0;
	if (!cJSON_IsString(v) || (strcmp(v->valuestring, "model") != 0 && strcmp(v->valuestring, "baseline") != 0))
		return err_set(err, "\"games\": \"winner\" is none of \"model\", \"baseline\", \"tie\", null");
	*verdict = (strcmp(v->valuestring, "model") == 0) == model_first ? 1 : -1;
	return 0;
}

static int add_game(struct arena_hard *a, struct arena_prompt *p, const cJSON *game, int i, struct err *err)
{
	const cJSON *first = member(game, "first");
	bool model_first = i % 2 == 1, none;
	int verdict;

	if (cJSON_IsString(first))
		model_first = strcmp(first->valuestring, "model") == 0;
	if (read_verdict(game, model_first, &verdict, &none, err) != 0)
		return -1;
	a->games++;
	a->unjudged += none;
	if (none)
		return 0;
	verdict = model_first ? verdict : -verdict;
	a->verdicts[verdict + 2]++;
	p->weight += abs(verdict) == 2 ? strong : 1;
	p->won += verdict == 2 ? strong : verdict == 1 ? 1 : verdict == 0 ? 0.5 : 0;
	return 0;
}

/* The counts "headers_2" and so on, or those of the text "output_2". */
static int read_markdown(const struct record *rec, int side, double count[3], struct err *err)
{
	static const char *const names[3] = { "headers", "lists", "bold" };
	char key[20];
	const char *text;
	struct markdown m;
	int given = 0;

	for (int i = 0; i < 3; i++) {
		const cJSON *v;

		snprintf(key, sizeof key, "%s_%d", names[i], side);
		v = member(rec->json, key);
		if (!v)
			continue;
		if (!cJSON_IsNumber(v) || !(v->valuedouble >= 0 && v->valuedouble < 1e9))
			return err_set(err, "\"%s\" is no count", key);
		count[i] = v->valuedouble;
		given++;
	}
	if (given == 3)
		return 0;
	snprintf(key, sizeof key, "output_%d", side);
	if (!record_has(rec, key))
		return err_set(err, "--style needs \"%s\", or \"headers_%d\", \"lists_%d\" and \"bold_%d\"", key, side,
		    side, side);
	text = record_string(rec, key, err);
	if (!text)
		return -1;
	m = markdown_count(text, strlen(text));
	count[0] = (double)m.headers;
	count[1] = (double)m.lists;
	count[2] = (double)m.bold;
	return 0;
}

static int read_style(const struct record *rec, double style[ARENA_STYLES], struct err *err)
{
	double len[2], count[2][3];

	for (int i = 0; i < 2; i++) {
		if (eval_length(rec, i + 1, &len[i], err) != 0 || read_markdown(rec, i + 1, count[i], err) != 0)
			return -1;
		if (isnan(len[i]))
			return err_set(err, "--style needs \"len_%d\" or \"output_%d\"", i + 1, i + 1);
	}
	style[0] = len[0] + len[1] > 0 ? (len[1] - len[0]) / (len[1] + len[0]) : 0;
	for (int k = 0; k < 3; k++) {
		double base = count[0][k] / (len[0] + 1), model = count[1][k] / (len[1] + 1);

		style[k + 1] = (model - base) / (model + base + 1);
	}
	return 0;
}

void arena_hard_add_prompt(struct arena_hard *a, const struct arena_prompt *p)
{
	a->p = mem_grow(a->p, a->n + 1, sizeof *a->p);
	a->p[a->n++] = *p;
}

int arena_hard_add(struct arena_hard *a, const struct record *rec, struct err *err)
{
	const cJSON *games = record_array(rec, "games", "run mr-compare first", err), *g;
	struct arena_hard before = *a;
	struct arena_prompt p = { 0 };
	int rc = games ? sides_check(&a->sides, rec, err) : SIDES_BAD, i = 0;

	if (rc != 0)
		return rc == SIDES_OTHER ? ARENA_OTHER : ARENA_BAD;
	if (map_find(&a->ids, rec->id))
		return err_set(err, "the id \"%.80s\" was there before; ids must differ", rec->id);
	if (a->style && read_style(rec, p.style, err) != 0)
		return ARENA_BAD;
	cJSON_ArrayForEach(g, games) {
		if (add_game(a, &p, g, i++, err) != 0) {
			*a = before;
			return ARENA_BAD;
		}
	}
	map_add(&a->ids, rec->id, 0);
	sides_keep(&a->sides, rec);
	arena_hard_add_prompt(a, &p);
	return 0;
}

void arena_hard_free(struct arena_hard *a)
{
	free(a->p);
	sides_free(&a->sides);
	map_free(&a->ids);
}

/* The rows of the regression: the constant and the styles over their
 * standard deviations; targets; weights. */
struct design {
	size_t n, p;
	double *x, *y, *w, *weighted;   /* (n, p), (n), (n), (n) */
};

static struct design design(const struct arena_hard *a)
{
	struct design d = { .n = a->n, .p = a->style ? 1 + ARENA_STYLES : 1 };

	d.x = mem_zalloc(d.n * d.p, sizeof *d.x);
	d.y = mem_zalloc(d.n, sizeof *d.y);
	d.w = mem_zalloc(d.n, sizeof *d.w);
	d.weighted = mem_zalloc(d.n, sizeof *d.weighted);
	for (size_t i = 0; i < d.n; i++) {
		d.x[i * d.p] = 1;
		d.w[i] = a->p[i].weight;
		d.y[i] = d.w[i] > 0 ? a->p[i].won / d.w[i] : 0;
	}
	for (size_t k = 1; k < d.p; k++) {
		struct moments m = { 0 };
		double sd;

		for (size_t i = 0; i < d.n; i++)
			moments_add(&m, a->p[i].style[k - 1]);
		sd = moments_sd(&m);
		for (size_t i = 0; i < d.n; i++)
			d.x[i * d.p + k] = sd > 0 ? a->p[i].style[k - 1] / sd : 0;
	}
	return d;
}

static void design_free(struct design *d)
{
	free(d->x);
	free(d->y);
	free(d->w);
	free(d->weighted);
}

/* The win rate in 0 … 1 where record i counts count[i] times (NULL: once).
 * Without styles the maximum is known: the weighted share of the wins. */
static int win_rate(const struct design *d, const double *count, double *beta, double *rate, struct err *err)
{
	double won = 0, all = 0;

	for (size_t i = 0; i < d->n; i++) {
		d->weighted[i] = count ? count[i] * d->w[i] : d->w[i];
		won += d->weighted[i] * d->y[i];
		all += d->weighted[i];
	}
	*rate = all > 0 ? won / all : NAN;
	if (d->p == 1 || all <= 0)
		return 0;
	if (logit_fit(d->n, d->p, d->x, d->y, d->weighted, ridge, beta, err) != 0)
		return -1;
	*rate = 1 / (1 + exp(-beta[0]));
	return 0;
}

static int interval(const struct design *d, const double *beta, uint64_t seed, int rounds, struct arena_result *r,
    struct err *err)
{
	double *count = mem_zalloc(d->n, sizeof *count), *rates = mem_zalloc((size_t)rounds, sizeof *rates);
	double tried[1 + ARENA_STYLES];
	size_t n = 0;
	int rc = 0;

	for (int i = 0; i < rounds && rc == 0; i++) {
		bootstrap_counts(seed, "eval/arena", (uint64_t)i, d->n, count);
		memcpy(tried, beta, sizeof tried);
		rc = win_rate(d, count, tried, &rates[n], err);
		n += rc == 0 && !isnan(rates[n]);
	}
	bootstrap_sort(rates, n);
	r->lower = 100 * bootstrap_quantile(rates, n, 0.025);
	r->upper = 100 * bootstrap_quantile(rates, n, 0.975);
	free(count);
	free(rates);
	return rc;
}

int arena_hard_fit(const struct arena_hard *a, uint64_t seed, int rounds, struct arena_result *r, struct err *err)
{
	struct design d = design(a);
	double beta[1 + ARENA_STYLES] = { 0 }, rate;
	int rc = win_rate(&d, NULL, beta, &rate, err);

	if (rc == 0 && isnan(rate))
		rc = err_set(err, "there is no game with a verdict");
	if (rc == 0) {
		r->win_rate = 100 * rate;
		r->rating = rate > 0 && rate < 1 ? 400 / log(10) * log(rate / (1 - rate)) : NAN;
		for (int k = 0; k < ARENA_STYLES; k++)
			r->style[k] = a->style ? beta[k + 1] : NAN;
		rc = interval(&d, beta, seed, rounds, r, err);
	}
	design_free(&d);
	return rc;
}

void arena_hard_show(struct report *r, const struct arena_hard *a, const struct arena_result *result)
{
	static const char *const verdicts[] = { "much_worse", "worse", "same", "better", "much_better" };
	static const char *const styles[] = { "style_length", "style_headers", "style_lists", "style_bold" };

	report_add(r, "win_rate", result->win_rate);
	report_add(r, "lower", result->lower);
	report_add(r, "upper", result->upper);
	report_add(r, "rating", result->rating);
	report_add(r, "prompts", (double)a->n);
	report_add(r, "games", (double)a->games);
	report_add(r, "unjudged", (double)a->unjudged);
	for (int i = 0; i < ARENA_VERDICTS; i++)
		report_add(r, verdicts[i], (double)a->verdicts[i]);
	for (int i = 0; i < ARENA_STYLES && a->style; i++)
		report_add(r, styles[i], result->style[i]);
}

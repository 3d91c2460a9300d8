#include "stats/paired.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "stats/bootstrap.h"

static int add(struct map *m, struct sides *s, const struct record *rec, double preference, struct err *err)
{
	int rc = sides_check(s, rec, err);

	if (rc != 0)
		return rc == SIDES_OTHER ? PAIRED_OTHER : PAIRED_BAD;
	if (!map_add(m, rec->id, preference == 0 ? 0.5 : preference - 1))
		return err_set(err, "the id \"%.80s\" was there before; ids must differ", rec->id);
	sides_keep(s, rec);
	return 0;
}

int paired_add_first(struct paired *p, const struct record *rec, double preference, struct err *err)
{
	return add(&p->first, &p->sides[0], rec, preference, err);
}

int paired_add_second(struct paired *p, const struct record *rec, double preference, struct err *err)
{
	int rc = add(&p->second, &p->sides[1], rec, preference, err);
	const char *base[2] = { p->sides[0].names[0], p->sides[1].names[0] };
	const double *first = map_find(&p->first, rec->id), *second = map_find(&p->second, rec->id);

	if (rc != 0)
		return rc;
	if (base[0] && base[1] && strcmp(base[0], base[1]) != 0) {
		err_set(err, "the baseline is \"%.80s\", in the first file it is \"%.80s\"", base[1], base[0]);
		return PAIRED_OTHER;
	}
	if (!first || isnan(*first) || isnan(*second))
		return 0;
	moments_add(&p->rate[0], *first);
	moments_add(&p->rate[1], *second);
	p->difference = mem_grow(p->difference, p->n + 1, sizeof *p->difference);
	p->difference[p->n++] = *second - *first;
	return 0;
}

static double mean_of(const double *x, const double *count, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += count[i] * x[i];
	return sum / (double)n;
}

int paired_fit(struct paired *p, uint64_t seed, int rounds, struct paired_result *r, struct err *err)
{
	struct moments m = { 0 };
	double *count, *rates;

	if (p->n == 0)
		return err_set(err, "no prompt is judged in both files");
	count = mem_zalloc(p->n, sizeof *count);
	rates = mem_zalloc((size_t)rounds, sizeof *rates);
	for (int i = 0; i < rounds; i++) {
		bootstrap_counts(seed, "eval/compare", (uint64_t)i, p->n, count);
		rates[i] = 100 * mean_of(p->difference, count, p->n);
		moments_add(&m, rates[i]);
	}
	bootstrap_sort(rates, (size_t)rounds);
	*r = (struct paired_result){
		.rate = { 100 * p->rate[0].mean, 100 * p->rate[1].mean },
		.difference = 100 * (p->rate[1].mean - p->rate[0].mean),
		.standard_error = moments_sd(&m),
		.lower = bootstrap_quantile(rates, (size_t)rounds, 0.025),
		.upper = bootstrap_quantile(rates, (size_t)rounds, 0.975),
		.p_value = bootstrap_p_value(rates, (size_t)rounds),
		.n = p->n,
		.unpaired = p->first.n + p->second.n - 2 * p->n,
	};
	free(count);
	free(rates);
	return 0;
}

void paired_free(struct paired *p)
{
	map_free(&p->first);
	map_free(&p->second);
	sides_free(&p->sides[0]);
	sides_free(&p->sides[1]);
	free(p->difference);
}

void paired_show(struct report *r, const struct paired_result *result)
{
	report_add(r, "n", (double)result->n);
	report_add(r, "unpaired", (double)result->unpaired);
	report_add(r, "win_rate_a", result->rate[0]);
	report_add(r, "win_rate_b", result->rate[1]);
	report_add(r, "difference", result->difference);
	report_add(r, "standard_error", result->standard_error);
	report_add(r, "lower", result->lower);
	report_add(r, "upper", result->upper);
	report_add(r, "p_value", result->p_value);
}

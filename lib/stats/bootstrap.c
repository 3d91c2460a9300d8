#include "stats/bootstrap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

void bootstrap_counts(uint64_t seed, const char *stage, uint64_t round, size_t n, double *counts)
{
	struct rng r = rng_stream(seed, "", stage, round);

	memset(counts, 0, n * sizeof *counts);
	for (size_t i = 0; i < n; i++)
		counts[rng_below(&r, i, n)]++;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

void bootstrap_sort(double *values, size_t n)
{
	if (n > 0)
		qsort(values, n, sizeof *values, ascending);
}

double bootstrap_quantile(const double *sorted, size_t n, double q)
{
	double at = q * ((double)n - 1);
	size_t i;

	if (n == 0)
		return NAN;
	i = (size_t)at;
	if (i + 1 >= n)
		return sorted[n - 1];
	return sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]);
}

double bootstrap_p_value(const double *differences, size_t n)
{
	size_t below = 0, above = 0;

	for (size_t i = 0; i < n; i++) {
		below += differences[i] <= 0;
		above += differences[i] >= 0;
	}
	return fmin(1, 2 * (double)((below < above ? below : above) + 1) / ((double)n + 1));
}

/* Correlations. */
#ifndef MR_STATS_CORRELATE_H
#define MR_STATS_CORRELATE_H

#include <stddef.h>

/* Pearson's, streaming; zero-initialised. */
struct pearson {
	size_t n;
	double mx, my, sxx, syy, sxy;
};
void pearson_add(struct pearson *p, double x, double y);
double pearson_end(const struct pearson *p);    /* NaN where x or y does not vary */

/* Of n pairs; NaN where x or y does not vary. Spearman's takes the mean rank
 * of equal values; Kendall's tau-b takes n^2 steps:
 * (concordant - discordant) / sqrt((pairs - ties in x) (pairs - ties in y))
 * (Kendall, Rank Correlation Methods, 1948, chapter 3). */
double spearman(const double *x, const double *y, size_t n);
double kendall_tau_b(const double *x, const double *y, size_t n);

#endif

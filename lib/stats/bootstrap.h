/* Resampling with replacement (Efron and Tibshirani, An Introduction to the
 * Bootstrap, 1993, chapters 13 and 16), the same draws for the same seed. */
#ifndef MR_STATS_BOOTSTRAP_H
#define MR_STATS_BOOTSTRAP_H

#include <stddef.h>
#include <stdint.h>

/* How often each of n records is drawn in a round of n draws. */
void bootstrap_counts(uint64_t seed, const char *stage, uint64_t round, size_t n, double *counts);

/* Sorts the values; the quantile q between them is linear (numpy's default).
 * NaN where n = 0. */
void bootstrap_sort(double *values, size_t n);
double bootstrap_quantile(const double *sorted, size_t n, double q);

/* Two-sided p-value of "the difference is 0" from the rounds' differences:
 * twice the smaller tail, one counted more in each (Davison and Hinkley,
 * Bootstrap Methods and their Application, 1997, section 4.2). */
double bootstrap_p_value(const double *differences, size_t n);

#endif

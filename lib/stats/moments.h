/* Streaming mean, sample standard deviation, minimum, maximum (Welford). */
#ifndef MR_STATS_MOMENTS_H
#define MR_STATS_MOMENTS_H

#include <stddef.h>

struct moments {
	size_t n;
	double mean, m2, min, max;
};
void moments_add(struct moments *m, double x);
double moments_sd(const struct moments *m);     /* sample (n-1); 0 where n < 2 */

#endif

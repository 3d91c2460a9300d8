/* Quantiles of positive numbers in constant memory: buckets whose bounds
 * grow by 2 %, from 0.0001 to 1e6. */
#ifndef MR_BASE_HISTOGRAM_H
#define MR_BASE_HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_BUCKETS = 1164 };

struct histogram {              /* zero-initialise it */
	uint64_t count[HISTOGRAM_BUCKETS];
	uint64_t n;
};

void histogram_add(struct histogram *h, double x);
/* The least number that a part (0 to 1) of those added does not exceed, to
 * 2 %; 0 where there are none. */
double histogram_quantile(const struct histogram *h, double part);

#endif

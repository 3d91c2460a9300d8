#include "base/histogram.h"

#include <math.h>

#define LEAST 1e-4
#define GROWTH 1.02

void histogram_add(struct histogram *h, double x)
{
	const double at = x > LEAST ? ceil(log(x / LEAST) / log(GROWTH)) : 0;
	h->count[at < HISTOGRAM_BUCKETS ? (int)at : HISTOGRAM_BUCKETS - 1]++;
	h->n++;
}

double histogram_quantile(const struct histogram *h, double part)
{
	const double wanted = fmax(part * (double)h->n, 1);
	uint64_t sum = 0;
	for (int i = 0; i < HISTOGRAM_BUCKETS && h->n > 0; i++) {
		sum += h->count[i];
		if ((double)sum >= wanted)
			return LEAST * pow(GROWTH, i);
	}
	return 0;
}

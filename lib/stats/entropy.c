#include "stats/entropy.h"

#include <math.h>

double entropy_bits(const size_t *counts, size_t n)
{
	double total = 0, sum = 0;

	for (size_t i = 0; i < n; i++)
		total += (double)counts[i];
	for (size_t i = 0; i < n; i++)
		if (counts[i] > 0)
			sum -= (double)counts[i] / total * log2((double)counts[i] / total);
	return sum;
}

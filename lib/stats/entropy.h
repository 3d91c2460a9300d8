/* How spread out a distribution is. */
#ifndef MR_STATS_ENTROPY_H
#define MR_STATS_ENTROPY_H

#include <stddef.h>

/* -sum p log2 p, in bits, of the distribution that the counts give;
 * 0 log 0 = 0, and 0 where nothing was counted. */
double entropy_bits(const size_t *counts, size_t n);

#endif

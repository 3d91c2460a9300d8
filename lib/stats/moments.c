#include "stats/moments.h"

#include <math.h>

void moments_add(struct moments *m, double x)
{
	double d = x - m->mean;

	if (m->n == 0 || x < m->min)
		m->min = x;
	if (m->n == 0 || x > m->max)
		m->max = x;
	m->n++;
	m->mean += d / (double)m->n;
	m->m2 += d * (x - m->mean);
}

double moments_sd(const struct moments *m)
{
	return m->n < 2 ? 0 : sqrt(m->m2 / (double)(m->n - 1));
}

#include "stats/correlate.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

void pearson_add(struct pearson *p, double x, double y)
{
	double dx = x - p->mx, dy = y - p->my;

	p->n++;
	p->mx += dx / (double)p->n;
	p->my += dy / (double)p->n;
	p->sxx += dx * (x - p->mx);
	p->syy += dy * (y - p->my);
	p->sxy += dx * (y - p->my);
}

double pearson_end(const struct pearson *p)
{
	return p->sxx > 0 && p->syy > 0 ? p->sxy / sqrt(p->sxx * p->syy) : NAN;
}

struct place {
	double value;
	size_t at;
};

static int by_value(const void *a, const void *b)
{
	double x = ((const struct place *)a)->value, y = ((const struct place *)b)->value;

	return (x > y) - (x < y);
}

/* The ranks from 1; equal values share the mean of theirs. */
static double *ranks(const double *x, size_t n)
{
	struct place *p = mem_zalloc(n, sizeof *p);
	double *rank = mem_zalloc(n, sizeof *rank);

	for (size_t i = 0; i < n; i++)
		p[i] = (struct place){ x[i], i };
	qsort(p, n, sizeof *p, by_value);
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i; end < n && p[end].value == p[i].value; end++)
			;
		for (size_t k = i; k < end; k++)
			rank[p[k].at] = (double)(i + 1 + end) / 2;
	}
	free(p);
	return rank;
}

double spearman(const double *x, const double *y, size_t n)
{
	struct pearson p = { 0 };
	double *rx, *ry;

	if (n < 2)
		return NAN;
	rx = ranks(x, n);
	ry = ranks(y, n);
	for (size_t i = 0; i < n; i++)
		pearson_add(&p, rx[i], ry[i]);
	free(rx);
	free(ry);
	return pearson_end(&p);
}

double kendall_tau_b(const double *x, const double *y, size_t n)
{
	double balance = 0, nx = 0, ny = 0;

	for (size_t i = 0; i < n; i++) {
		for (size_t k = i + 1; k < n; k++) {
			int dx = (x[i] > x[k]) - (x[i] < x[k]), dy = (y[i] > y[k]) - (y[i] < y[k]);

			balance += dx * dy;
			nx += dx != 0;
			ny += dy != 0;
		}
	}
	return nx > 0 && ny > 0 ? balance / sqrt(nx * ny) : NAN;
}

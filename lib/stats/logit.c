#include "stats/logit.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { STEPS = 200 };

struct problem {
	size_t n, p;
	const double *x, *y, *w;
	double ridge;
};

static double dot(const double *a, const double *b, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += a[i] * b[i];
	return sum;
}

/* What is minimised; log(1 + e^z) without overflow. */
static double loss(const struct problem *d, const double *beta)
{
	double sum = d->ridge / 2 * dot(beta, beta, d->p);

	for (size_t i = 0; i < d->n; i++) {
		double z = dot(d->x + i * d->p, beta, d->p);

		if (d->w[i] > 0)
			sum += d->w[i] * (fmax(z, 0) + log1p(exp(-fabs(z))) - d->y[i] * z);
	}
	return sum;
}

static void derivatives(const struct problem *d, const double *beta, double *gradient, double *hessian)
{
	size_t p = d->p;

	memset(hessian, 0, p * p * sizeof *hessian);
	for (size_t j = 0; j < p; j++) {
		gradient[j] = d->ridge * beta[j];
		hessian[j * p + j] = d->ridge;
	}
	for (size_t i = 0; i < d->n; i++) {
		const double *x = d->x + i * p;
		double s;

		if (d->w[i] <= 0)
			continue;
		s = 1 / (1 + exp(-dot(x, beta, p)));
		for (size_t j = 0; j < p; j++) {
			gradient[j] += d->w[i] * (s - d->y[i]) * x[j];
			for (size_t k = 0; k <= j; k++)
				hessian[j * p + k] += d->w[i] * s * (1 - s) * x[j] * x[k];
		}
	}
}

/* x of h x = b in b, by Cholesky; h (p, p), its lower triangle, is used up. */
static int solve(double *h, double *b, size_t p)
{
	for (size_t j = 0; j < p; j++) {
		for (size_t k = 0; k < j; k++)
			h[j * p + k] = (h[j * p + k] - dot(h + j * p, h + k * p, k)) / h[k * p + k];
		h[j * p + j] -= dot(h + j * p, h + j * p, j);
		if (!(h[j * p + j] > 0))
			return -1;
		h[j * p + j] = sqrt(h[j * p + j]);
		b[j] = (b[j] - dot(h + j * p, b, j)) / h[j * p + j];
	}
	for (size_t j = p; j-- > 0;) {
		for (size_t k = j + 1; k < p; k++)
			b[j] -= h[k * p + j] * b[k];
		b[j] /= h[j * p + j];
	}
	return 0;
}

/* Goes the step, or as much of it as lowers the loss. So near to the maximum
 * that rounding decides about that, the whole step is right. */
static double advance(const struct problem *d, const double *step, bool near, double before, double *beta)
{
	double tried[LOGIT_FEATURES], now = before, share = 1;

	for (int i = 0; i < 40; i++, share /= 2) {
		for (size_t j = 0; j < d->p; j++)
			tried[j] = beta[j] - share * step[j];
		if (near)
			break;
		now = loss(d, tried);
		if (now <= before)
			break;
	}
	if (!(now <= before))
		return before;
	memcpy(beta, tried, d->p * sizeof *beta);
	return now;
}

int logit_fit(size_t n, size_t p, const double *x, const double *y, const double *w, double ridge, double *beta,
    struct err *err)
{
	struct problem d = { n, p, x, y, w, ridge };
	double gradient[LOGIT_FEATURES], hessian[LOGIT_FEATURES * LOGIT_FEATURES], before;

	if (p == 0 || p > LOGIT_FEATURES)
		return err_set(err, "%zu features; 1 to %d are possible", p, LOGIT_FEATURES);
	before = loss(&d, beta);
	for (int i = 0; i < STEPS; i++) {
		double largest = 0;

		derivatives(&d, beta, gradient, hessian);
		if (!isfinite(before) || solve(hessian, gradient, p) != 0)
			break;
		for (size_t j = 0; j < p; j++)
			largest = fmax(largest, fabs(gradient[j]) / (1 + fabs(beta[j])));
		before = advance(&d, gradient, largest < 1e-4, before, beta);
		if (largest < 1e-6)     /* what is left is about its square */
			return 0;
	}
	return err_set(err, "the regression does not converge");
}

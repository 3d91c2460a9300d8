#include "method/elo.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void omega_add(struct omega *o, const struct battle *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		o->win_first += b[i].winner == BATTLE_FIRST;
		o->win_second += b[i].winner == BATTLE_SECOND;
	}
}

void omega_weights(const struct omega *o, double *omega1, double *omega2)
{
	double first = (double)o->win_first, second = (double)o->win_second;

	if (first + second == 0) {
		*omega1 = *omega2 = 0.5;
		return;
	}
	*omega1 = second / (first + second);
	*omega2 = first / (first + second);
}

int elo_matrix(const struct battle *b, size_t nb, int n, double omega1, double omega2, double *B,
    struct err *err)
{
	for (size_t i = 0; i < nb; i++) {
		int m = b[i].first, k = b[i].second;

		if (m < 0 || k < 0 || m >= n || k >= n)
			return err_set(err, "battle %zu is between judgments %d and %d of %d", i, m, k, n);
		if (m == k)
			return err_set(err, "battle %zu is of judgment %d against itself", i, m);
		if (b[i].winner == BATTLE_FIRST)
			B[(size_t)m * (size_t)n + (size_t)k] += omega1;
		else if (b[i].winner == BATTLE_SECOND)
			B[(size_t)k * (size_t)n + (size_t)m] += omega2;
	}
	return 0;
}

static double log_sigmoid(double x)
{
	return x < 0 ? x - log1p(exp(x)) : -log1p(exp(-x));
}

static double sigmoid(double x)
{
	return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}

static double objective(const double *B, size_t n, double ridge, const double *e)
{
	double sum = 0;

	for (size_t m = 0; m < n; m++) {
		sum -= ridge / 2 * e[m] * e[m];
		for (size_t k = 0; k < n; k++)
			if (B[m * n + k] != 0)
				sum += B[m * n + k] * log_sigmoid(e[m] - e[k]);
	}
	return sum;
}

/* Gradient g (n) and minus the Hessian H (n, n) of the objective. */
static void derivatives(const double *B, size_t n, double ridge, const double *e, double *g, double *H)
{
	memset(H, 0, n * n * sizeof *H);
	for (size_t m = 0; m < n; m++) {
		g[m] = -ridge * e[m];
		H[m * n + m] = ridge;
	}
	for (size_t m = 0; m < n; m++) {
		for (size_t k = 0; k < m; k++) {
			double win = B[m * n + k], lose = B[k * n + m], p, h;

			if (win == 0 && lose == 0)
				continue;
			p = sigmoid(e[m] - e[k]);
			h = (win + lose) * p * (1 - p);
			g[m] += win * (1 - p) - lose * p;
			g[k] -= win * (1 - p) - lose * p;
			H[m * n + m] += h;
			H[k * n + k] += h;
			H[m * n + k] -= h;
			H[k * n + m] -= h;
		}
	}
}

/* Solves H x = g for a positive definite H (n, n), in place: Cholesky. */
static bool solve(double *H, double *g, size_t n)
{
	for (size_t j = 0; j < n; j++) {
		for (size_t i = j; i < n; i++) {
			double sum = H[i * n + j];

			for (size_t k = 0; k < j; k++)
				sum -= H[i * n + k] * H[j * n + k];
			if (i > j)
				H[i * n + j] = sum / H[j * n + j];
			else if (sum > 0)
				H[j * n + j] = sqrt(sum);
			else
				return false;
		}
	}
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < i; k++)
			g[i] -= H[i * n + k] * g[k];
		g[i] /= H[i * n + i];
	}
	for (size_t i = n; i-- > 0;) {
		for (size_t k = i + 1; k < n; k++)
			g[i] -= H[k * n + i] * g[k];
		g[i] /= H[i * n + i];
	}
	return true;
}

static double norm(const double *v, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += v[i] * v[i];
	return sqrt(sum);
}

/* One step of Newton's method, halved until the objective grows. Returns how
 * far e moved, or -1. */
static double newton_step(const double *B, size_t n, double ridge, double *e, double *g, double *H,
    double *tried)
{
	double now = objective(B, n, ridge, e), along = 0, scale = 1;

	derivatives(B, n, ridge, e, g, H);
	memcpy(tried, g, n * sizeof *tried);
	if (!solve(H, g, n))
		return -1;
	for (size_t i = 0; i < n; i++)
		along += tried[i] * g[i];       /* the gradient along the step, >= 0 */
	for (int halved = 0; halved < 60; halved++, scale /= 2) {
		for (size_t i = 0; i < n; i++)
			tried[i] = e[i] + scale * g[i];
		if (objective(B, n, ridge, tried) >= now + 1e-4 * scale * along - 1e-14 * fabs(now)) {
			memcpy(e, tried, n * sizeof *e);
			return scale * norm(g, n);
		}
	}
	return 0;               /* no gain is left above rounding */
}

int elo_fit(const double *B, int n, double ridge, double *epsilon, struct err *err)
{
	size_t len = n > 0 ? (size_t)n : 0;
	double *H, *g, *tried, moved = 1;

	if (n > ELO_MOST)
		return err_set(err, "%d judgments are more than can be rated (%d)", n, ELO_MOST);
	if (!(ridge > 0))
		return err_set(err, "the ridge must be greater than 0");
	memset(epsilon, 0, len * sizeof *epsilon);
	H = mem_try(len * len + 1, sizeof *H);
	if (!H)
		return err_set(err, "not enough memory to rate %d judgments", n);
	g = mem_zalloc(len + 1, sizeof *g);
	tried = mem_zalloc(len + 1, sizeof *tried);
	for (int i = 0; i < 200 && moved > 1e-10 * (1 + norm(epsilon, len)); i++)
		moved = newton_step(B, len, ridge, epsilon, g, H, tried);
	free(H);
	free(g);
	free(tried);
	if (moved < 0 || moved > 1e-4 * (1 + norm(epsilon, len)))
		return err_set(err, "the ratings do not converge; a larger --ridge helps");
	return 0;
}

void elo_scale(const double *epsilon, int n, double *elo)
{
	double mean = 0;

	for (int i = 0; i < n; i++)
		mean += epsilon[i] / n;
	for (int i = 0; i < n; i++)
		elo[i] = 1000 + 400 / log(10) * (epsilon[i] - mean);
}

void elo_best_worst(const double *elo, int n, int *best, int *worst)
{
	double high = -INFINITY, low = INFINITY;

	*best = *worst = 0;
	for (int i = 0; i < n; i++) {
		high = fmax(high, elo[i]);
		low = fmin(low, elo[i]);
	}
	for (int i = n; i-- > 0;) {
		if (elo[i] >= high - 0.01)
			*best = i;
		if (elo[i] <= low + 0.01)
			*worst = i;
	}
}

int meta_select(const double *var, int n, double u)
{
	double most = -1, slack;
	int ties = 0, pick;

	for (int i = 0; i < n; i++)
		if (var[i] >= 0)
			most = fmax(most, var[i]);
	if (most < 0)
		return -1;
	slack = 1e-12 * most;           /* the same scores in another order */
	for (int i = 0; i < n; i++)
		ties += var[i] >= 0 && var[i] >= most - slack;
	pick = (int)(u * ties);
	if (pick >= ties)
		pick = ties - 1;
	for (int i = 0; i < n; i++)
		if (var[i] >= 0 && var[i] >= most - slack && pick-- == 0)
			return i;
	return -1;
}

#include "stats/glm.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { P = GLM_FEATURES, ALL = -1 };    /* ALL: no fold is left out */
enum { MOST_STEPS = 100, MOST_SWEEPS = 1000, MOST_HALVINGS = 20 };

static int fold(const struct glm *d, size_t i)
{
	return (int)((d->n - 1 - i) % GLM_FOLDS);
}

double glm_sigmoid(double z)
{
	double e = exp(-fabs(z));

	return z >= 0 ? 1 / (1 + e) : e / (1 + e);
}

/* log(1 + exp(z)) */
static double softplus(double z)
{
	return fmax(z, 0) + log1p(exp(-fabs(z)));
}

static double dot(const double *a, const double *b, size_t p)
{
	double sum = 0;

	for (size_t j = 0; j < p; j++)
		sum += a[j] * b[j];
	return sum;
}

static double norm1(const double *b, size_t p)
{
	double sum = 0;

	for (size_t j = 0; j < p; j++)
		sum += fabs(b[j]);
	return sum;
}

/* MT19937 (Matsumoto and Nishimura, ACM TOMACS 1998). */
struct twister {
	uint32_t state[624];
	int at;
};

static void twister_seed(struct twister *t, uint32_t seed)
{
	t->state[0] = seed;
	for (uint32_t i = 1; i < 624; i++)
		t->state[i] = 1812433253u * (t->state[i - 1] ^ t->state[i - 1] >> 30) + i;
	t->at = 624;
}

static uint32_t twister_next(struct twister *t)
{
	uint32_t x, *s = t->state;

	for (int i = 0; i < 624 && t->at == 624; i++) {
		x = (s[i] & 0x80000000u) | (s[(i + 1) % 624] & 0x7fffffffu);
		s[i] = s[(i + 397) % 624] ^ x >> 1 ^ (x & 1 ? 0x9908b0dfu : 0);
		if (i == 623)
			t->at = 0;
	}
	x = s[t->at++];
	x ^= x >> 11;
	x ^= x << 7 & 0x9d2c5680u;
	x ^= x << 15 & 0xefc60000u;
	return x ^ x >> 18;
}

/* From 0 to n - 1 (Lemire, ACM TOMACS 2019). */
static uint32_t twister_below(struct twister *t, uint32_t n)
{
	uint64_t m = (uint64_t)twister_next(t) * n;

	while ((uint32_t)m < n && (uint32_t)m < -n % n)
		m = (uint64_t)twister_next(t) * n;
	return (uint32_t)(m >> 32);
}

/* scikit-learn draws each fit's seed from 0 to 2^31 - 2, and alpaca_eval has it
 * begin with 123. */
static struct twister seeds_new(void)
{
	struct twister t;

	twister_seed(&t, 123);
	return t;
}

static uint32_t seed_next(struct twister *seeds)
{
	uint32_t seed;

	do
		seed = twister_next(seeds) & 0x7fffffffu;
	while (seed == 0x7fffffffu);
	return seed;
}

/* One fit under way: d without one fold. */
struct fit {
	const struct glm *d;
	int left_out;
	double C, samples;      /* rows as ones and zeros, those of no weight left out */
	double ratio;           /* the rarer of ones and zeros, over all */
	double beta[P];
	double g[P], h[P][P];   /* slope and curvature of the smooth part at beta */
	double to[P];           /* where the model step goes */
	double norm0;           /* the violation at the start */
	size_t order[P];
	struct twister random;
};

static void start(struct fit *f, uint32_t seed)
{
	const struct glm *d = f->d;
	double ones = 0, zeros = 0;

	for (size_t i = 0; i < d->n; i++) {
		if (fold(d, i) == f->left_out || d->w[i] == 0)
			continue;
		ones += d->y[i] > 0;
		zeros += d->y[i] < 1;
	}
	f->samples = fmax(ones + zeros, 1);
	f->ratio = fmax(fmin(ones, zeros), 1) / f->samples;
	for (size_t j = 0; j < d->p; j++)
		f->order[j] = j;
	twister_seed(&f->random, seed);
}

/* The objective at b less that at beta. */
static double change(const struct fit *f, const double *b)
{
	const struct glm *d = f->d;
	double sum = 0;

	for (size_t i = 0; i < d->n; i++) {
		double from, to;

		if (fold(d, i) == f->left_out)
			continue;
		from = dot(d->x + i * d->p, f->beta, d->p);
		to = dot(d->x + i * d->p, b, d->p);
		sum += d->w[i] * (softplus(to) - softplus(from) - d->y[i] * (to - from));
	}
	return f->C * sum + norm1(b, d->p) - norm1(f->beta, d->p);
}

static void derivatives(struct fit *f)
{
	const struct glm *d = f->d;

	memset(f->g, 0, sizeof f->g);
	memset(f->h, 0, sizeof f->h);
	for (size_t i = 0; i < d->n; i++) {
		const double *x = d->x + i * d->p;
		double mu, slope, curve;

		if (fold(d, i) == f->left_out)
			continue;
		mu = glm_sigmoid(dot(x, f->beta, d->p));
		slope = f->C * d->w[i] * (mu - d->y[i]);
		curve = f->C * d->w[i] * mu * (1 - mu);
		for (size_t j = 0; j < d->p; j++) {
			f->g[j] += slope * x[j];
			for (size_t k = 0; k <= j; k++)
				f->h[j][k] += curve * x[j] * x[k];
		}
	}
	for (size_t j = 0; j < d->p; j++) {
		f->h[j][j] += 1e-12;
		for (size_t k = 0; k < j; k++)
			f->h[k][j] = f->h[j][k];
	}
}

/* How far 0 is from the subgradients of a coordinate at b with slope g; NaN of
 * NaN. */
static double violation(double b, double g)
{
	return b > 0 ? fabs(g + 1) : b < 0 ? fabs(g - 1) : fabs(g) <= 1 ? 0 : fabs(g) - 1;
}

static bool is_idle(double b, double g, double most)
{
	return b == 0 && fabs(g) < 1 - most;
}

static void swap(size_t *a, size_t *b)
{
	size_t t = *a;

	*a = *b;
	*b = t;
}

/* One sweep of coordinate descent over the first *active of f->order in a
 * random order; coordinates that rest at 0 leave. Returns the sum of the
 * violations that it met, and the largest of them. */
static double sweep(struct fit *f, size_t *active, double idle, double *most)
{
	size_t p = f->d->p;
	double sum = 0;

	*most = 0;
	for (size_t i = 0; i < *active; i++)
		swap(&f->order[i], &f->order[i + twister_below(&f->random, (uint32_t)(*active - i))]);
	for (size_t i = 0; i < *active; i++) {
		size_t j = f->order[i];
		double slope = f->g[j], curve = f->h[j][j], at = f->to[j], free, off;

		for (size_t k = 0; k < p; k++)
			slope += f->h[j][k] * (f->to[k] - f->beta[k]);
		if (is_idle(at, slope, idle)) {
			swap(&f->order[i--], &f->order[--*active]);
			continue;
		}
		off = violation(at, slope);
		*most = fmax(*most, off);
		sum += off;
		free = at - slope / curve;
		free = free > 1 / curve ? free - 1 / curve : free < -1 / curve ? free + 1 / curve : 0;
		if (fabs(free - at) >= 1e-12)
			f->to[j] = fabs(free - at) <= 10 ? free : at + copysign(10, free - at);
	}
	return sum;
}

/* Minimises the quadratic model until the violation is small; the number of
 * sweeps it took. */
static int model_step(struct fit *f, size_t active, double small)
{
	size_t left = active;
	double idle = INFINITY, most;
	int n = 0;

	memcpy(f->to, f->beta, sizeof f->to);
	while (n < MOST_SWEEPS) {
		double off = sweep(f, &left, idle / f->samples, &most);

		n++;
		idle = most;
		if (off > small)
			continue;
		if (left == active)
			break;
		left = active;  /* once more with those that rested */
		idle = INFINITY;
	}
	return n;
}

/* Halves the step until the objective falls by a share of what was promised. */
static void line_search(struct fit *f)
{
	size_t p = f->d->p;
	double promised = norm1(f->to, p) - norm1(f->beta, p);

	for (size_t j = 0; j < p; j++)
		promised += f->g[j] * (f->to[j] - f->beta[j]);
	for (int i = 0; i < MOST_HALVINGS && change(f, f->to) > 0.01 * promised; i++, promised /= 2)
		for (size_t j = 0; j < p; j++)
			f->to[j] = (f->to[j] + f->beta[j]) / 2;
	memcpy(f->beta, f->to, sizeof f->beta);
}

static int fit(const struct glm *d, int left_out, double C, double tolerance, struct twister *seeds, double *beta,
    struct err *err)
{
	struct fit f = { .d = d, .left_out = left_out, .C = C };
	double inner = 1, idle = INFINITY;

	start(&f, seed_next(seeds));
	for (int step = 0; step < MOST_STEPS; step++) {
		double sum = 0, most = 0;
		size_t active = d->p;

		derivatives(&f);
		for (size_t i = 0; i < active; i++) {
			size_t j = f.order[i];
			double off = violation(f.beta[j], f.g[j]);

			if (is_idle(f.beta[j], f.g[j], idle / f.samples)) {
				swap(&f.order[i--], &f.order[--active]);
				continue;
			}
			most = fmax(most, off);
			sum += off;
		}
		if (!isfinite(sum))
			return err_set(err, "the regression's numbers grow too large");
		if (step == 0)
			f.norm0 = sum;
		if (sum <= tolerance * f.ratio * f.norm0)
			break;
		if (model_step(&f, active, inner * f.norm0) == 1)
			inner /= 4;
		line_search(&f);
		idle = most;
	}
	memcpy(beta, f.beta, d->p * sizeof *beta);
	return 0;
}

int glm_fit(const struct glm *d, double C, double tolerance, double *beta, struct err *err)
{
	struct twister seeds = seeds_new();

	return fit(d, ALL, C, tolerance, &seeds, beta, err);
}

static double fold_loss(const struct glm *d, int k, const double *beta)
{
	double sum = 0;
	size_t n = 0;

	for (size_t i = 0; i < d->n; i++) {
		double p;

		if (fold(d, i) != k)
			continue;
		p = glm_sigmoid(dot(d->x + i * d->p, beta, d->p));
		p = fmin(fmax(p, 1e-15), 1 - 1e-15);
		sum -= d->w[i] * (d->y[i] * log(p) + (1 - d->y[i]) * log(1 - p));
		n++;
	}
	return sum / (double)n;
}

int glm_cv(const struct glm *d, struct glm_cv *cv, struct err *err)
{
	memset(cv, 0, sizeof *cv);
	if (d->n < GLM_FOLDS)
		return err_set(err, "%zu records are too few for %d folds", d->n, GLM_FOLDS);
	for (int step = 0; step < GLM_STEPS; step++)
		cv->c[step] = pow(10, -4 + step * 8.0 / (GLM_STEPS - 1));
	for (int k = 0; k < GLM_FOLDS; k++) {
		struct twister seeds = seeds_new();
		double beta[P];

		for (int step = 0; step < GLM_STEPS; step++) {
			if (fit(d, k, cv->c[step], GLM_TOLERANCE, &seeds, beta, err) != 0)
				return -1;
			cv->loss[step] += fold_loss(d, k, beta) / GLM_FOLDS;
		}
	}
	for (size_t step = 1; step < GLM_STEPS; step++)
		if (cv->loss[step] < cv->loss[cv->best])
			cv->best = step;
	return glm_fit(d, cv->c[cv->best], GLM_TOLERANCE, cv->beta, err);
}

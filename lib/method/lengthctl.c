#include "method/lengthctl.h"

#include <float.h>
#include <math.h>

struct interval {
	double lo, hi;
};

/* Of the valid responses: their number and S_min, S_max. */
static size_t score_range(const struct scored *r, size_t n, struct interval *s)
{
	size_t valid = 0;

	for (size_t i = 0; i < n; i++) {
		if (!r[i].valid)
			continue;
		if (valid == 0 || r[i].score < s->lo)
			s->lo = r[i].score;
		if (valid == 0 || r[i].score > s->hi)
			s->hi = r[i].score;
		valid++;
	}
	return valid;
}

static bool inside(const struct scored *r, struct interval in)
{
	return r->valid && r->score >= in.lo && r->score <= in.hi;
}

static size_t shortest(const struct scored *r, size_t n, struct interval in)
{
	size_t best = n;

	for (size_t i = 0; i < n; i++)
		if (inside(&r[i], in) && (best == n || r[i].length < r[best].length ||
		    (r[i].length == r[best].length && r[i].score > r[best].score)))
			best = i;
	return best;
}

static size_t longest(const struct scored *r, size_t n, struct interval in)
{
	size_t best = n;

	for (size_t i = 0; i < n; i++)
		if (inside(&r[i], in) && (best == n || r[i].length > r[best].length ||
		    (r[i].length == r[best].length && r[i].score < r[best].score)))
			best = i;
	return best;
}

enum pick_status lengthctl_pick(const struct scored *r, size_t n, double rho, size_t max_chars,
    size_t *chosen, size_t *rejected)
{
	struct interval s = { 0, 0 }, top, bottom;
	double spread, slack;
	size_t c, d;

	if (score_range(r, n, &s) < 2)
		return PICK_TOO_FEW;
	spread = fmin(s.hi - s.lo, DBL_MAX);
	/* Means of the same scores in another order may differ in a last bit. */
	if (spread <= 1e-12 * fmax(fabs(s.hi), fabs(s.lo)))
		return PICK_ALL_EQUAL;
	/* A mean on the bound must not fall outside by rounding. Written this
	 * way round, S_max and S_min themselves are always inside. */
	slack = 1e-9 * spread;
	top = (struct interval){ s.hi - rho * spread - slack, s.hi };
	bottom = (struct interval){ s.lo, s.lo + rho * spread + slack };
	c = shortest(r, n, top);
	d = longest(r, n, bottom);
	if (c == d)
		return PICK_SAME;
	if (max_chars > 0 && r[c].length > max_chars)
		return PICK_TOO_LONG;
	*chosen = c;
	*rejected = d;
	return PICK_OK;
}

const char *pick_status_name(enum pick_status s)
{
	static const char *const names[] = { "a pair", "fewer than two scored responses", "all scores equal",
		"both picks the same response", "chosen response too long" };

	return names[s];
}

struct score_stats score_stats(const double *score, const bool *valid, size_t n)
{
	struct score_stats s = { 0, 0, 0 };

	/* The sum of whole and half points is exact in any order. */
	for (size_t i = 0; i < n; i++) {
		if (valid[i]) {
			s.mean += score[i];
			s.n++;
		}
	}
	if (s.n == 0)
		return s;
	s.mean /= s.n;
	for (size_t i = 0; i < n; i++)
		if (valid[i])
			s.var += (score[i] - s.mean) * (score[i] - s.mean) / s.n;
	return s;
}

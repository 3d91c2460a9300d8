#include "stats/winrate.h"

#include <math.h>

void winrate_add(struct winrate_sum *s, double preference)
{
	double x, d;

	if (isnan(preference))
		return;
	x = preference == 0 ? 0.5 : preference - 1;
	d = x - s->sum;
	s->n++;
	s->sum += d / (double)s->n;
	s->sum2 += d * (x - s->sum);
	s->wins += x > 0.5;
	s->wins_base += x < 0.5;
	s->draws += x == 0.5;
}

struct winrate winrate_end(const struct winrate_sum *s)
{
	double n = (double)s->n;
	struct winrate w = { NAN, NAN, NAN, s->wins, s->wins_base, s->draws, s->n };

	if (s->n > 0) {
		w.win_rate = 100 * s->sum;
		w.discrete_win_rate = 100 * ((double)s->wins + 0.5 * (double)s->draws) / n;
	}
	if (s->n > 1)
		w.standard_error = 100 * sqrt(s->sum2 / (n - 1) / n);
	return w;
}

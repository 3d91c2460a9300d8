/* Win rates as AlpacaEval counts them (alpaca_eval's pairwise metrics). */
#ifndef MR_STATS_WINRATE_H
#define MR_STATS_WINRATE_H

#include <stddef.h>

/* Preferences in [1, 2]: 1 = the baseline wins, 2 = the model wins, 1.5 a
 * draw; NaN = unjudged and left out (0, alpaca_eval's old mark of a draw,
 * counts as 1.5). */
struct winrate {
	double win_rate, standard_error;        /* percent */
	double discrete_win_rate;               /* percent: wins 1, draws 0.5 */
	size_t n_wins, n_wins_base, n_draws, n_total;
};

struct winrate_sum {    /* streaming */
	double sum, sum2;       /* Welford's mean and squared deviation */
	size_t wins, wins_base, draws, n;
};
void winrate_add(struct winrate_sum *s, double preference);
/* The rates are NaN where nothing was judged, the error where n_total < 2. */
struct winrate winrate_end(const struct winrate_sum *s);

#endif

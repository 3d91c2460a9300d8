/* Judgments rated by the meta-judge's battles (Wu et al., section 2.3). */
#ifndef MR_METHOD_ELO_H
#define MR_METHOD_ELO_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum battle_winner { BATTLE_NULL, BATTLE_FIRST, BATTLE_SECOND, BATTLE_TIE };

struct battle {
	int first, second;      /* indices of judgments; first was shown first */
	enum battle_winner winner;
};

/* Verdicts won by position, over the whole data set. */
struct omega {
	uint64_t win_first, win_second;
};
void omega_add(struct omega *o, const struct battle *b, size_t n);
/* omega1 = win_second / (win_first + win_second), omega2 = win_first / (…);
 * 0.5 each where nothing was won. */
void omega_weights(const struct omega *o, double *omega1, double *omega2);

/* Adds the battles to B (n x n, row-major, zeroed by the caller):
 * B[m][k] = omega1 [r_mk = 1] + omega2 [r_km = -1]. A pair that was battled
 * more than once in the same order counts each time. -1: an index out of
 * range or a judgment against itself. */
int elo_matrix(const struct battle *b, size_t nb, int n, double omega1, double omega2, double *B,
    struct err *err);

/* Most judgments that elo_fit takes: it needs n^2 numbers and n^3 steps. */
enum { ELO_MOST = 2048 };

/* epsilon[n] = argmax sum B[m][k] log sigma(e_m - e_k) - ridge/2 sum e^2
 * (Bradley-Terry; the ridge keeps it finite where one judgment wins all;
 * ridge > 0). Newton's method; the objective is strictly concave. */
int elo_fit(const double *B, int n, double ridge, double *epsilon, struct err *err);

/* elo[i] = 1000 + 400 / ln 10 (e_i - mean e). */
void elo_scale(const double *epsilon, int n, double *elo);

/* Highest and lowest; equal within 0.01: the lower index. */
void elo_best_worst(const double *elo, int n, int *best, int *worst);

/* Index of the response with the highest score variance among n (those with
 * count < 2 have var < 0 and never win); ties by the random number u in
 * [0, 1). -1 where there is none. */
int meta_select(const double *var, int n, double u);

#endif

/*
 * Logistic regression without an intercept: for row i with features x_i,
 * target y_i from 0 to 1 and weight w_i, the maximum over beta of
 *
 *     sum_i w_i [y_i log s(x_i . beta) + (1 - y_i) log s(-x_i . beta)] - ridge/2 |beta|^2,
 *
 * by Newton's method. With a feature for each player, 1 for the first and -1
 * for the second of a game, it is the Bradley-Terry model (Bradley and Terry,
 * Biometrika 1952); the ridge keeps it finite where a player wins all.
 */
#ifndef MR_STATS_LOGIT_H
#define MR_STATS_LOGIT_H

#include <stddef.h>

#include "base/err.h"

enum { LOGIT_FEATURES = 64 };

/* x (n, p), y (n), w (n); ridge > 0. beta (p) is where the search begins and
 * then the maximum. -1: more than LOGIT_FEATURES, or it did not converge. */
int logit_fit(size_t n, size_t p, const double *x, const double *y, const double *w, double ridge, double *beta,
    struct err *err);

#endif

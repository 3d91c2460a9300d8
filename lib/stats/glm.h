/*
 * Logistic regression on probabilities, with an L1 penalty and without an
 * intercept: for row i with features x_i, target y_i from 0 to 1 and weight
 * w_i, the minimum over beta of
 *
 *     C sum_i w_i [log(1 + exp(z_i)) - y_i z_i] + sum_j |beta_j|,   z_i = x_i . beta
 *
 * which is the cross entropy of y_i and sigma(z_i): what liblinear's solver 6
 * minimises where each row is given twice, as a 1 weighing w_i y_i and as a 0
 * weighing w_i (1 - y_i) (Fan et al., LIBLINEAR, JMLR 2008, equation 3).
 *
 * The minimiser is newGLMNET (Yuan, Ho and Lin, JMLR 2012, algorithm 3):
 * Newton steps on a quadratic model, whose minimum is sought by coordinate
 * descent in random order and never more exactly than needed. Where it stops
 * is as much part of published numbers as the objective is: at scikit-learn's
 * tolerance the answer may be 0.06 points of win rate away from the exact
 * minimum, and cross-validation often decides between penalties whose losses
 * differ by less than that. So tolerance, step limits and random numbers are
 * scikit-learn's. With a small tolerance the answer is the exact minimum.
 */
#ifndef MR_STATS_GLM_H
#define MR_STATS_GLM_H

#include <stddef.h>

#include "base/err.h"

enum { GLM_FEATURES = 8, GLM_FOLDS = 5, GLM_STEPS = 10 };

#define GLM_TOLERANCE 1e-4      /* scikit-learn's */

/* Borrowed. */
struct glm {
	size_t n, p;            /* rows; features, at most GLM_FEATURES */
	const double *x;        /* (n, p) */
	const double *y;        /* (n), from 0 to 1 */
	const double *w;        /* (n), not negative */
};

double glm_sigmoid(double z);

/* beta (p): the minimum, from 0 until the violation of its conditions has
 * fallen to tolerance times the rarer class's share of what it was, or for
 * 100 steps. -1: numbers too large for it. */
int glm_fit(const struct glm *d, double C, double tolerance, double *beta, struct err *err);

struct glm_cv {
	double c[GLM_STEPS];            /* 1e-4 … 1e4, evenly in the logarithm */
	double loss[GLM_STEPS];         /* of the rows left out: the mean of the folds' means */
	size_t best;                    /* the smallest C of those with the least loss */
	double beta[GLM_FEATURES];      /* fitted with it on all rows */
};

/*
 * Chooses C by cross-validation as scikit-learn's LogisticRegressionCV (Cs
 * 10) with GroupKFold does where each row is a group: row i is in fold
 * (n - 1 - i) mod 5. A fold's loss is the mean over its rows of w_i times the
 * cross entropy, probabilities cut at 1e-15. -1: fewer rows than folds, or as
 * glm_fit.
 */
int glm_cv(const struct glm *d, struct glm_cv *cv, struct err *err);

#endif

/*
 * The length-controlled win rate of AlpacaEval 2 (Dubois et al., Length-
 * Controlled AlpacaEval, 2024, section 3), with the formulas of alpaca_eval
 * 0.6.6: a logistic regression of the preference on
 *
 *     tanh((len_1 - len_2) / sd)      the difference of the lengths
 *     the instruction's difficulty    not in "minimal"
 *     1                               the model
 *
 * and then the mean of what it predicts where the lengths are equal. "v1"
 * also fits the judgments of two gamed baselines, outputs of one model made
 * longer or shorter, each weighing 0.1, without the last term. Holds three
 * numbers a record.
 */
#ifndef MR_STATS_LC_H
#define MR_STATS_LC_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "record/record.h"
#include "stats/report.h"

enum lc_formula { LC_MINIMAL, LC_NOREG, LC_V1 };

/* minimal, noreg, v1, also behind "length_controlled_"; -1: none of these. */
int lc_formula_by_name(const char *name);
const char *lc_formula_name(enum lc_formula formula);

struct lc;
struct lc *lc_new(enum lc_formula formula);
void lc_free(struct lc *lc);

/* Records of the files beside the preferences, before those are added. Both
 * are known by "id", or by "index" where there is none, and have a
 * "difficulty" (or "instruction_difficulty"). A gamed baseline's record also
 * has a "preference" from 0 to 1 (null: left out) and "std_delta_len"; where
 * no difficulty was added before, its difficulties are the instructions'. */
int lc_add_difficulty(struct lc *lc, const struct record *rec, struct err *err);
int lc_add_gamed(struct lc *lc, const struct record *rec, struct err *err);

/* A preference record, its preference read already (from 1 to 2, 0 a draw, NaN
 * unjudged: only predicted). LC_BAD: the record is wrong, and not added;
 * LC_OTHER: it compares other models than those before. */
enum { LC_BAD = -1, LC_OTHER = -2 };
int lc_add(struct lc *lc, const struct record *rec, double preference, struct err *err);
/* Puts the last record into a group, from 0; then every record has one. */
void lc_group(struct lc *lc, size_t group);

struct lc_weights {
	double length, difficulty, model;       /* difficulty NaN in "minimal" */
	double C;                               /* the penalty's, chosen by cross-validation; NaN: no fit */
};

/* Once. -1: nothing to fit. A model against itself (generator_1 and generator_2 are
 * the same name) is not fitted: it wins 50 %. */
int lc_fit(struct lc *lc, struct lc_weights *weights, struct err *err);

enum { LC_EVERY = -1 };
/* After lc_fit: the mean in percent over a group or LC_EVERY, and its standard
 * error (NaN where there are no two records). */
double lc_win_rate(const struct lc *lc, long group, double *standard_error);
/* Adds both to a row, and the weights, which are the whole's: NULL for a group. */
void lc_show(struct report *r, const struct lc *lc, const struct lc_weights *weights, long group);

#endif

/* The difference of two models, each preferred or not to the same baseline on
 * the same prompts, with a paired bootstrap: a round draws prompts. */
#ifndef MR_STATS_PAIRED_H
#define MR_STATS_PAIRED_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "record/record.h"
#include "stats/map.h"
#include "stats/moments.h"
#include "stats/report.h"
#include "stats/sides.h"

/* Zero-initialised. Preferences as eval_preference gives them. */
struct paired {
	struct map first, second;       /* preferences by id */
	struct sides sides[2];
	double *difference;             /* (n) second less first, where both are judged, from -1 to 1 */
	size_t n;
	struct moments rate[2];
};

struct paired_result {
	double rate[2];                 /* percent */
	double difference, standard_error, lower, upper;        /* points; of the rounds; 95 % */
	double p_value;                 /* two-sided */
	size_t n, unpaired;             /* pairs; records that have no judged other */
};

/* PAIRED_BAD: an id that was there in the same file; PAIRED_OTHER: the two
 * baselines differ, or the file compares more than one model. */
enum { PAIRED_BAD = -1, PAIRED_OTHER = -2 };
int paired_add_first(struct paired *p, const struct record *rec, double preference, struct err *err);
int paired_add_second(struct paired *p, const struct record *rec, double preference, struct err *err);
/* -1: no prompt is judged in both. */
int paired_fit(struct paired *p, uint64_t seed, int rounds, struct paired_result *r, struct err *err);
/* Adds the result to a row. */
void paired_show(struct report *r, const struct paired_result *result);
void paired_free(struct paired *p);

#endif

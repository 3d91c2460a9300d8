/*
 * What the reports of mr-eval count in a record: one tally for the whole
 * input, one more for each group. Memory does not grow with the input.
 */
#ifndef MR_STATS_EVAL_H
#define MR_STATS_EVAL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "record/record.h"
#include "stats/correlate.h"
#include "stats/moments.h"
#include "stats/report.h"
#include "stats/winrate.h"

enum { TALLY_SCORES = 6 };      /* points 0 … 5 */
enum { TALLY_BINS = 321 };      /* of 1/64 from 0 to 5 */
enum { TALLY_TURNS = 2 };

/* Zero-initialised, but for unit; lengths in code points. Each report uses
 * its own part. */
struct tally {
	bool unit;              /* preferences are from 0 to 1, not from 1 to 2 */
	size_t records;
	/* winrate, lengths */
	struct winrate_sum wins;
	size_t unjudged;
	struct moments length, base_length;
	/* judge */
	size_t responses, judgments, scored, guided;
	struct moments judgment_score, response_score, variance;
	size_t points[TALLY_SCORES], other_points;
	struct pearson score_length;    /* of a response's mean score and its length */
	bool density;           /* the kernel density is wanted */
	size_t bins[TALLY_BINS];        /* of the responses' mean scores */
	/* meta */
	size_t compared, battles, first, second, tie, none;
	size_t higher, higher_won;      /* decided battles of unequal scores; won by the higher */
	size_t equal, equal_first;      /* … of equal scores; won by the first shown */
	struct moments elo_spread;      /* highest less lowest of a record */
	/* mtbench */
	struct moments grade, turn[TALLY_TURNS];
	size_t ungraded;
	/* pairs */
	struct moments prompt, chosen, rejected;
	size_t chosen_longer;
};

struct eval_kind {
	const char *name;
	const char *by;         /* the field whose groups are shown unless another is asked for, or NULL */
	/* Counts a record. -1: a field is missing or wrong; what the tally
	 * holds is then undefined. */
	int (*add)(const struct record *rec, struct tally *t, struct err *err);
	/* Adds the tally's numbers to the report's row; whole is the tally of
	 * all records and decides which columns there are. */
	void (*show)(struct report *r, const struct tally *t, const struct tally *whole);
};

/* A "score" that is a number, or NaN where it is null or not there. */
int eval_score(const cJSON *object, const char *where, double *score, struct err *err);
/* A record's preference on the scale from 1 to 2 (unit: it is given from 0 to
 * 1); NaN where it is null. 0 on the scale from 1 to 2 stays 0: a draw. */
int eval_preference(const struct record *rec, bool unit, double *preference, struct err *err);
/* The length of a preference's output 1 or 2: "len_2", or the text "output_2";
 * NaN where there is neither. */
int eval_length(const struct record *rec, int side, double *length, struct err *err);

extern const struct eval_kind eval_mtbench;

/* winrate, mtbench, lengths, judge, meta, pairs; NULL: none of these. */
const struct eval_kind *eval_kind_by_name(const char *name);

#endif

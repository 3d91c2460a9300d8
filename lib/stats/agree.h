/*
 * How far two judges agree: on records with the same ids, each judge's score
 * of the same responses, or each judge's preference. Exact: the same score
 * (or the same winner). By pair order: for every two responses of a prompt,
 * the same one is better, or neither is; without ties, only where both judges
 * prefer one. Rank correlations are of a prompt's responses, and the mean over
 * the prompts that have one.
 */
#ifndef MR_STATS_AGREE_H
#define MR_STATS_AGREE_H

#include <stddef.h>

#include "base/err.h"
#include "record/record.h"
#include "stats/map.h"
#include "stats/moments.h"
#include "stats/report.h"

/* Zero-initialised. Holds the reference's numbers, a double a response. */
struct agree {
	struct map ids;                 /* a record's place in start */
	size_t *start, nrecords;
	double *scores;
	size_t nscores;
	size_t compared, same;          /* responses, or preferences */
	size_t pairs, pairs_same, decided, decided_same;
	struct moments spearman, kendall;
};

/* "responses", each with "score", or in the reference "rank" (1 is the best);
 * else "preference" or "winner". -1: it is wrong, or its id was there. */
int agree_add_reference(struct agree *a, const struct record *rec, struct err *err);
/* -1: it is wrong, or is not the reference's. */
int agree_add(struct agree *a, const struct record *rec, struct err *err);
void agree_show(struct report *r, const struct agree *a);       /* NULL: numbers that are not there */
void agree_free(struct agree *a);

#endif

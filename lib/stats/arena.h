/*
 * Arena-Hard (Li et al., From Crowdsourced Data to High-Quality Benchmarks,
 * 2024): two games a prompt, sides swapped, each with one of five verdicts,
 * of which the strong ones count three times and a tie is half a win. The
 * model's strength against the baseline is the Bradley-Terry model's, with
 * style control the logistic regression's constant beside features of style:
 *
 *     (len_2 - len_1) / (len_2 + len_1)               length
 *     (d_2 - d_1) / (d_2 + d_1 + 1), d = count / (len + 1)   headers, lists, bold
 *
 * each over its standard deviation; the mean is not taken off: with one model
 * and one baseline it is what the control is for. A bootstrap round draws
 * records, whose two games stay together: drawing games one by one, and
 * strong ones three times, would make the interval too narrow.
 */
#ifndef MR_STATS_ARENA_H
#define MR_STATS_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "record/record.h"
#include "stats/map.h"
#include "stats/report.h"
#include "stats/sides.h"

enum { ARENA_STYLES = 4 };      /* length, headers, lists, bold */
enum { ARENA_VERDICTS = 5 };

/* A record's two games, from the model's side. */
struct arena_prompt {
	double won, weight;             /* sum of weight times 0, 0.5, 1; sum of weights */
	double style[ARENA_STYLES];     /* as above, not yet divided */
};

/* Zero-initialised but for style; names, ids and counts are of what was added. */
struct arena_hard {
	bool style;
	struct arena_prompt *p;
	size_t n;
	struct sides sides;
	struct map ids;
	size_t games, unjudged;
	size_t verdicts[ARENA_VERDICTS];        /* the model is much worse … much better */
};

/* "games", each with "score" (or "label": A>>B, A>B, A=B, B>A, B>>A, or null)
 * or mr-compare's "winner"; game 1 shows the baseline as A, game 2 the model,
 * unless "first" says otherwise. ARENA_BAD: the record is wrong, and not
 * added; ARENA_OTHER: it compares other models than those before. */
enum { ARENA_BAD = -1, ARENA_OTHER = -2 };
int arena_hard_add(struct arena_hard *a, const struct record *rec, struct err *err);
/* The same from numbers. */
void arena_hard_add_prompt(struct arena_hard *a, const struct arena_prompt *p);
void arena_hard_free(struct arena_hard *a);

struct arena_result {
	double win_rate, lower, upper;  /* of the model, percent; 95 % */
	double rating;                  /* above the baseline, 400 / ln 10 beta; NaN where all or nothing was won */
	double style[ARENA_STYLES];     /* coefficients; NaN without style control */
};
/* -1: no game with a verdict. With style control a small ridge, 1e-4 on
 * |beta|^2/2, keeps the coefficients finite. */
int arena_hard_fit(const struct arena_hard *a, uint64_t seed, int rounds, struct arena_result *r, struct err *err);
/* Adds the result and the counts behind it to a row. */
void arena_hard_show(struct report *r, const struct arena_hard *a, const struct arena_result *result);

#endif

/*
 * Forced endings. A judge that ends without a usable score (or verdict) can
 * be asked for it once more: what it wrote is continued by the lead-in
 * ("Score:", "Winner:"), and only the allowed answers may follow.
 *
 * The finished text has to parse to the answer that was forced, by the same
 * parser as every other judgment. A text that is ambiguous would stay so
 * whatever follows; it is therefore cut: the longest beginning is kept, the
 * whole text or a number of whole lines, for which the ending decides.
 */
#ifndef MR_METHOD_GUIDED_H
#define MR_METHOD_GUIDED_H

#include <stdbool.h>

#include "base/buf.h"
#include "method/score.h"

enum { GUIDED_SCORES = 6, GUIDED_GRADES = 10, GUIDED_VERDICTS = 3 };

extern const struct score_scale guided_scale;                           /* 0 … 5 */
extern const struct score_scale guided_grades;                          /* 1 … 10 */
extern const enum verdict guided_verdict_values[GUIDED_VERDICTS];       /* of the choices */

struct guided {
	const char *lead;
	/* Continuations of the lead-in, each with the blank before it. */
	const char *const *choices;
	int nchoices;
	bool (*is_choice)(const char *text, int choice);        /* it parses to that choice's value */
	bool (*parses)(const char *text);                       /* it has a usable value of its own */
};
extern const struct guided guided_score;        /* choice i is score i */
extern const struct guided guided_grade;        /* choice i is grade i + 1, "3/10" */
extern const struct guided guided_verdict;      /* A, B, tie */
extern const struct guided guided_verdict5;     /* A>>B … B>>A, as in verdict5_labels */

/* Appends to out the text as far as it is kept, without white space at its
 * end, an empty line (where anything was kept) and the lead-in. */
void guided_prefix(const struct guided *g, const char *text, struct buf *out);

#endif

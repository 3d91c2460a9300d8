/*
 * Scores and verdicts out of what a judge wrote. Tolerant of decoration,
 * never of ambiguity: one value or none. The table of cases is in
 * mr-judge(1) and mr-metajudge(1). Only the judge's own text is ever parsed.
 */
#ifndef MR_METHOD_SCORE_H
#define MR_METHOD_SCORE_H

enum score_status {
	SCORE_OK,
	SCORE_NONE,             /* no "Score:" with a number behind it */
	SCORE_RANGE,            /* outside lo … hi, or out of another total (4/10) */
	SCORE_AMBIGUOUS,        /* two scores that differ, or a range (3-4) */
};

struct score_scale {
	double lo, hi;          /* the rubric's: 0, 5 */
};

/* *score is set where the status is SCORE_OK. */
enum score_status score_parse(const char *text, struct score_scale scale, double *score);
const char *score_status_name(enum score_status s);     /* "ok", "none", "range", "ambiguous" */

enum verdict {
	VERDICT_NONE,           /* unparsable or contradictory: counts as a tie, is null in the record */
	VERDICT_A,
	VERDICT_B,
	VERDICT_TIE,
};
enum verdict verdict_parse(const char *text);

#endif

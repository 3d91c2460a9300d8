/* Length-controlled choice of the actor's pair (Wu et al., section 2.2). */
#ifndef MR_METHOD_LENGTHCTL_H
#define MR_METHOD_LENGTHCTL_H

#include <stdbool.h>
#include <stddef.h>

struct scored {
	bool valid;             /* it has at least one valid judgment */
	double score;           /* the mean of its valid scores */
	size_t length;          /* Unicode code points */
};

enum pick_status {
	PICK_OK,
	PICK_TOO_FEW,           /* fewer than two valid responses */
	PICK_ALL_EQUAL,         /* S_max = S_min */
	PICK_SAME,              /* both picks are the same response */
	PICK_TOO_LONG,          /* the chosen one is longer than max_chars */
};

/*
 * With S_max, S_min over the valid ones and rho in [0, 1]: chosen is the
 * shortest with score in [(1-rho) S_max + rho S_min, S_max], rejected the
 * longest with score in [S_min, (1-rho) S_min + rho S_max]. Equal lengths:
 * the higher score is chosen, the lower rejected; then the lower index.
 * Interval bounds are compared with a tolerance of 1e-9 of the spread.
 * max_chars 0: no limit. chosen and rejected are set where PICK_OK.
 */
enum pick_status lengthctl_pick(const struct scored *r, size_t n, double rho, size_t max_chars,
    size_t *chosen, size_t *rejected);
const char *pick_status_name(enum pick_status s);

/* Mean, population variance and count of the valid scores of a response. */
struct score_stats {
	double mean, var;
	int n;
};
struct score_stats score_stats(const double *score, const bool *valid, size_t n);

#endif

/*
 * Which server a request goes to: the one with the fewest in flight. One
 * that two requests in a row did not reach (or that was silent to the end of
 * their time-out, for others too) is set aside, and a single request tries it
 * again after half a second, then after twice as long each time. No I/O; time
 * is an argument.
 */
#ifndef MR_LLM_ENDPOINTS_H
#define MR_LLM_ENDPOINTS_H

#include <stdbool.h>

#include "base/err.h"

struct endpoint {
	char *base;             /* "http://host:8000/v1" */
	char *url;              /* what is posted to */
	int inflight;
	int failures;           /* in a row */
	bool aside, probed;     /* probed: a request is on its way to see whether it is back */
	double pause, until;
	double answered;        /* when it last did */
};

struct endpoints {
	struct endpoint *v;
	int n;
	int turn;               /* of those with equally few in flight */
	int naside;
	double down_since;      /* where all are set aside */
};

/* -1 where one of the base URLs is none (see http_base_url). */
int endpoints_open(struct endpoints *e, const char *const *bases, int n, struct err *err);
void endpoints_close(struct endpoints *e);

/* Its index, another one than avoid (-1: none) where there is one; -1 where
 * all are set aside. *probe: it is, and this request tries it. The caller
 * counts inflight. */
int endpoints_pick(struct endpoints *e, int avoid, double now, bool *probe);

enum endpoints_change { ENDPOINT_SAME, ENDPOINT_ASIDE, ENDPOINT_BACK };

/* What came of a request that began then: an answer of any kind, or silence. */
enum endpoints_change endpoints_result(struct endpoints *e, int i, bool answered, bool probe, double began,
    double now);

/* When the next one that was set aside is due; 0: none is. */
double endpoints_due(const struct endpoints *e);
/* Whether all have been set aside for longer than so many seconds. */
bool endpoints_hopeless(const struct endpoints *e, double patience, double now);

#endif

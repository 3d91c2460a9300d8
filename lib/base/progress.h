/*
 * One line on standard error that is rewritten a few times a second:
 * "mr-judge: 12/40 records, 0.8/s, 153 tokens/s, ETA 0:35"; where the total
 * is not known but the part of it is, "12 records (30 %), …". Drawn when
 * standard error is a terminal (or mode is PROGRESS_ALWAYS, then a line each,
 * at most one in two seconds). It never writes when mode is PROGRESS_NEVER.
 */
#ifndef MR_BASE_PROGRESS_H
#define MR_BASE_PROGRESS_H

#include <stdint.h>

enum progress_mode { PROGRESS_AUTO, PROGRESS_ALWAYS, PROGRESS_NEVER };

struct progress {
	const char *name, *unit;        /* "mr-judge", "records" */
	enum progress_mode mode;
	double start, last;             /* seconds, monotonic */
	double fraction;                /* 0 … 1 done, < 0 where unknown */
	uint64_t done, total, tokens;   /* total 0: unknown */
	int drawn, tty;
};

double now_seconds(void);       /* CLOCK_MONOTONIC */
void progress_start(struct progress *p, const char *name, const char *unit, enum progress_mode mode);
void progress_update(struct progress *p);       /* after changing done, tokens or fraction */
void progress_clear(struct progress *p);        /* before another line goes to standard error */

#endif

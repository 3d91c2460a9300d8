/*
 * Many POSTs side by side over kept-alive connections: libcurl's multi
 * interface, driven by epoll, so that a turn costs what has happened and not
 * what is in flight.
 *
 * A post that was added goes to one of the endpoints and comes back with an
 * answer or the reason why there was none; the caller looks at it, and is
 * done with it, or has it tried again later. From its first attempt to its
 * end a post takes one of the places in flight, also while it waits.
 */
#ifndef MR_LLM_TRANSFER_H
#define MR_LLM_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "llm/llm.h"

struct post {
	char *body;             /* the caller's, as is the post; both stay till it has come back */
	size_t len;
	size_t most;            /* bytes that an answer may have */
	/* what came back */
	long status;            /* 0: no answer, see error */
	struct buf answer;      /* freed by the caller */
	char error[256];
	bool permanent;         /* another attempt would end the same way */
	double retry_after;     /* seconds; -1: not told */
	double seconds;         /* from the first byte sent to the last received */
	const char *endpoint;   /* its base URL; NULL: there was none to send it to */
	int attempts;           /* those that counted */
	/* transfer.c's own */
	struct post *next;
	double due, began;
	int at;                 /* endpoint, or -1 */
	bool started, probe;
};

struct transfer;

/* options: .model is not looked at. */
struct transfer *transfer_open(const struct llm_options *o, struct err *err);
/* Posts that have not come back are the caller's still: see transfer_drop. */
void transfer_close(struct transfer *t);
/* Calls back for each post that is queued, in flight or waiting, and forgets
 * them. */
void transfer_drop(struct transfer *t, void (*drop)(struct post *p));

void transfer_add(struct transfer *t, struct post *p);
/* A post that came back: again after its backoff, at least after so many
 * seconds (-1: no such wish). false: its attempts are used up. */
bool transfer_retry(struct transfer *t, struct post *p, double at_least);
/* A post that came back, with another body: at once, and not a retry. */
void transfer_again(struct transfer *t, struct post *p);

/* 1: *p came back; 0: there is nothing left to wait for, or an interrupt or
 * the watched descriptor came first; -1 on a failure of the system. */
int transfer_next(struct transfer *t, struct post **p, struct err *err);

void transfer_watch(struct transfer *t, int fd);        /* -1: none */
void transfer_stop(struct transfer *t);                 /* no attempt begins any more */
bool transfer_stopped(const struct transfer *t);        /* by that, or the budget of requests is spent */
int transfer_waiting(const struct transfer *t);         /* added and never begun */
int transfer_jobs(const struct transfer *t);
uint64_t transfer_requests(const struct transfer *t);   /* attempts begun */
uint64_t transfer_retries(const struct transfer *t);
const char *transfer_endpoint(const struct transfer *t, int i);

#endif

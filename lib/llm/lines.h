/*
 * The insides of transfer.h, shared by transfer.c (which post goes where, and
 * when) and lines.c (libcurl's handles and sockets).
 */
#ifndef MR_LLM_LINES_H
#define MR_LLM_LINES_H

#include <curl/curl.h>

#include "base/rng.h"
#include "llm/endpoints.h"
#include "llm/transfer.h"

struct queue {
	struct post *head, **end;
};

/* A handle of libcurl, and the post that it carries. */
struct line {
	CURL *easy;
	struct post *post;
	struct transfer *t;
	struct line *next;              /* among the free ones */
	struct line *before, *behind;   /* among the busy ones, by when they were last heard of */
	double heard;
	bool too_long;
	char error[CURL_ERROR_SIZE];
};

struct transfer {
	struct llm_servers o;
	CURLM *multi;
	struct curl_slist *headers;
	struct line *lines, *free;      /* jobs of them */
	struct line *quietest, *latest; /* the busy ones' ends */
	struct line **by_socket;        /* the line that a socket serves now, or NULL */
	int nsockets;
	int epoll, watched;
	bool readable;                  /* the watched descriptor */
	double curl_due;                /* when libcurl wants to be called; 0: not at all */
	struct endpoints ends;
	double patience;
	struct queue added, again, done;
	struct post **waiting;          /* for their backoff: a heap, the first one due on top */
	int nwaiting, nadded, inflight, places;
	bool stopped;
	uint64_t requests, retries;
	char silence[200];              /* why the last server that did not answer did not */
	struct rng jitter;
	void (*tick)(void *arg);
	void *tick_arg;
};

/* Makes the handles, all of them free, and what they share. */
int lines_open(struct transfer *t, struct err *err);
void lines_close(struct transfer *t);

/* Makes a free line ready for a post, which goes to this URL: it is busy. */
void line_load(struct line *l, struct post *p, const char *url);
void line_unload(struct line *l);
/* Something happened on a socket. */
void line_hear(struct transfer *t, int fd);
/* When the first of the busy lines will have been silent for too long;
 * INFINITY: never. */
double lines_idle_due(const struct transfer *t);

/* Whether another attempt would fail in the same way. */
bool line_is_permanent(CURLcode rc);
/* Whether the server cannot be reached, or said nothing at all. */
bool line_is_silence(const struct line *l, CURLcode rc);

#endif

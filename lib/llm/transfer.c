#include "llm/transfer.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/progress.h"
#include "llm/common.h"
#include "llm/http_rules.h"
#include "llm/lines.h"

#define TICK_SECONDS 0.2

enum { MOST_EVENTS = 256 };

static void push(struct queue *q, struct post *p)
{
	p->next = NULL;
	*q->end = p;
	q->end = &p->next;
}

static struct post *pop(struct queue *q)
{
	struct post *p = q->head;
	if (p && !(q->head = p->next))
		q->end = &q->head;
	return p;
}

/* Up or down from place i, to where the heap is one. */
static void settle(struct transfer *t, int i)
{
	struct post **h = t->waiting, *p = h[i];
	for (; i > 0 && h[(i - 1) / 2]->due > p->due; i = (i - 1) / 2)
		h[i] = h[(i - 1) / 2];
	for (int child; (child = 2 * i + 1) < t->nwaiting; i = child) {
		child += child + 1 < t->nwaiting && h[child + 1]->due < h[child]->due;
		if (h[child]->due >= p->due)
			break;
		h[i] = h[child];
	}
	h[i] = p;
}

static void wait_until(struct transfer *t, struct post *p, double due)
{
	p->due = due;
	t->waiting[t->nwaiting++] = p;
	settle(t, t->nwaiting - 1);
}

static struct post *take_first(struct transfer *t)
{
	struct post *p = t->waiting[0];
	if (--t->nwaiting > 0) {
		t->waiting[0] = t->waiting[t->nwaiting];
		settle(t, 0);
	}
	return p;
}

static int check_key(const char *key, struct err *err)
{
	for (const char *s = key; s && *s; s++)
		if (*s <= 0x20 || *s == 0x7f)
			return err_set(err, "the key has a character that no key has (a blank, a line's end, "
			    "or one that is not ASCII)");
	return 0;
}

struct transfer *transfer_open(const struct llm_options *o, struct err *err)
{
	struct timespec now;
	struct transfer *t = mem_zalloc(1, sizeof *t);
	t->o = o->servers;
	t->tick = o->tick;
	t->tick_arg = o->tick_arg;
	t->epoll = t->watched = -1;
	t->added.end = &t->added.head;
	t->again.end = &t->again.head;
	t->done.end = &t->done.head;
	if (t->o.jobs <= 0)
		t->o.jobs = LLM_JOBS;
	if (t->o.jobs > LLM_MOST_JOBS)
		t->o.jobs = LLM_MOST_JOBS;
	if (t->o.timeout <= 0)
		t->o.timeout = LLM_TIMEOUT;
	if (t->o.connect_timeout <= 0)
		t->o.connect_timeout = LLM_CONNECT_TIMEOUT;
	t->patience = http_patience(t->o.retries);
	t->waiting = mem_zalloc((size_t)t->o.jobs + 1, sizeof(*t->waiting));
	/* Only when to try again depends on it, and two processes should differ. */
	clock_gettime(CLOCK_REALTIME, &now);
	t->jitter = rng_stream((uint64_t)now.tv_nsec, "", "backoff", (uint64_t)getpid());
	if (check_key(t->o.key, err) == 0 && curl_global_init(CURL_GLOBAL_DEFAULT) == 0 &&
	    endpoints_open(&t->ends, t->o.endpoints, t->o.nendpoints, err) == 0 && lines_open(t, err) == 0)
		return t;
	transfer_close(t);
	return NULL;
}

void transfer_close(struct transfer *t)
{
	if (!t)
		return;
	lines_close(t);
	endpoints_close(&t->ends);
	free(t->waiting);
	free(t);
}

void transfer_drop(struct transfer *t, void (*drop)(struct post *p))
{
	struct post *p;
	for (int i = 0; i < t->o.jobs; i++) {
		if (!(p = t->lines[i].post))
			continue;
		line_unload(&t->lines[i]);
		drop(p);
	}
	while (t->nwaiting > 0)
		drop(take_first(t));
	while ((p = pop(&t->added)) || (p = pop(&t->again)) || (p = pop(&t->done)))
		drop(p);
	t->nadded = t->inflight = t->places = 0;
}

void transfer_add(struct transfer *t, struct post *p)
{
	p->at = -1;
	push(&t->added, p);
	t->nadded++;
}

static void take_place(struct transfer *t, struct post *p)
{
	t->places += !p->started;
	p->started = true;
	buf_reset(&p->answer);
}

bool transfer_retry(struct transfer *t, struct post *p, double at_least)
{
	if (p->permanent || p->attempts > t->o.retries)
		return false;
	const int attempt = p->attempts > 0 ? p->attempts : 1;
	const double delay = http_backoff(attempt, rng_uniform(&t->jitter, t->requests + t->retries++));
	take_place(t, p);
	wait_until(t, p, now_seconds() + fmax(delay, at_least));
	return true;
}

void transfer_again(struct transfer *t, struct post *p)
{
	take_place(t, p);
	push(&t->again, p);
}

static void launch(struct transfer *t, struct post *p, int at, bool probe)
{
	struct line *l = t->free;
	take_place(t, p);
	p->at = at;
	p->probe = probe;
	p->status = 0;
	p->retry_after = -1;
	p->permanent = false;
	p->endpoint = t->ends.v[at].base;
	p->began = now_seconds();
	p->attempts++;
	t->requests++;
	t->inflight++;
	t->ends.v[at].inflight++;
	line_load(l, p, t->ends.v[at].url);
	curl_multi_add_handle(t->multi, l->easy);
}

/* There is no server left to send it to. */
static void give_up(struct transfer *t, struct post *p)
{
	const struct endpoint *e = &t->ends.v[p->at >= 0 ? p->at : 0];
	snprintf(p->error, sizeof p->error, "%s (no server answers)", t->silence);
	p->status = 0;
	p->permanent = true;
	p->endpoint = e->base;
	push(&t->done, p);
}

/* The next post that may begin, still in its queue. */
static struct queue *next_in_line(struct transfer *t)
{
	return t->again.head ? &t->again : t->added.head && t->places < t->o.jobs ? &t->added : NULL;
}

bool transfer_stopped(const struct transfer *t)
{
	return t->stopped || (t->o.budget_requests > 0 && t->requests >= t->o.budget_requests);
}

static void begin_posts(struct transfer *t)
{
	const double now = now_seconds();
	const bool hopeless = endpoints_hopeless(&t->ends, t->patience, now);
	struct queue *q;
	bool probe;
	while (t->nwaiting > 0 && (t->waiting[0]->due <= now || hopeless))
		push(&t->again, take_first(t));
	while (t->free && !transfer_stopped(t) && (q = next_in_line(t))) {
		const int at = endpoints_pick(&t->ends, q->head->at, now, &probe);
		if (at < 0 && !hopeless)
			break;
		struct post *p = pop(q);
		t->nadded -= q == &t->added;
		if (at >= 0)
			launch(t, p, at, probe);
		else
			give_up(t, p);
	}
}

static void note_change(struct transfer *t, const struct post *p, enum endpoints_change change)
{
	char line[400];
	if (change == ENDPOINT_SAME || !t->o.note)
		return;
	if (change == ENDPOINT_ASIDE)
		snprintf(line, sizeof line, "%s: %s; it is set aside and tried again later", p->endpoint, p->error);
	else
		snprintf(line, sizeof line, "%s answers again", p->endpoint);
	t->o.note(t->o.note_arg, line);
}

static void take_result(struct transfer *t, struct line *l, CURLcode rc)
{
	struct post *p = l->post;
	curl_off_t took = 0;
	long status = 0;
	curl_easy_getinfo(l->easy, CURLINFO_TOTAL_TIME_T, &took);
	curl_easy_getinfo(l->easy, CURLINFO_RESPONSE_CODE, &status);
	p->seconds = (double)took / 1e6;
	p->status = rc == CURLE_OK ? status : 0;
	p->permanent = line_is_permanent(rc);
	if (l->too_long)
		snprintf(p->error, sizeof p->error, "the answer is longer than the %zu bytes it could need", p->most);
	else
		snprintf(p->error, sizeof p->error, "%s", *l->error ? l->error : curl_easy_strerror(rc));
	const bool silence = rc != CURLE_OK && line_is_silence(l, rc);
	if (silence)
		snprintf(t->silence, sizeof t->silence, "%.199s", p->error);
	if (silence && p->probe)
		p->attempts--;          /* it only found out what was known */
	if (rc == CURLE_OK || silence || p->probe)
		note_change(t, p, endpoints_result(&t->ends, p->at, !silence, p->probe, p->began, now_seconds()));
	t->ends.v[p->at].inflight--;
	t->inflight--;
	line_unload(l);
	push(&t->done, p);
}

static void take_results(struct transfer *t)
{
	CURLMsg *m;
	int left;
	while ((m = curl_multi_info_read(t->multi, &left))) {
		struct line *l = NULL;
		const CURLcode rc = m->data.result;
		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&l);
		take_result(t, l, rc);
	}
	while (lines_idle_due(t) <= now_seconds()) {
		struct line *l = t->quietest;
		snprintf(l->error, sizeof l->error, "timed out: nothing came for %g seconds", t->o.idle_timeout);
		take_result(t, l, CURLE_OPERATION_TIMEDOUT);
	}
}

/* Milliseconds until something is due, -1: nothing is. */
static int sleep_time(const struct transfer *t)
{
	const double now = now_seconds();
	double until = fmin(t->tick ? now + TICK_SECONDS : INFINITY, lines_idle_due(t));
	if (t->curl_due > 0)
		until = fmin(until, t->curl_due);
	if (t->nwaiting > 0)
		until = fmin(until, t->waiting[0]->due);
	if (t->again.head || t->added.head || t->nwaiting > 0) {
		if (endpoints_due(&t->ends) > 0)
			until = fmin(until, fmax(endpoints_due(&t->ends), now + 0.001));
		if (endpoints_hopeless(&t->ends, 0, now))
			until = fmin(until, fmax(t->ends.down_since + t->patience, now + 0.001));
	}
	return isinf(until) ? -1 : until <= now ? 0 : (int)fmin(ceil((until - now) * 1000), 60000);
}

static int work(struct transfer *t, struct err *err)
{
	struct epoll_event events[MOST_EVENTS];
	int running;
	const int n = epoll_wait(t->epoll, events, MOST_EVENTS, sleep_time(t));
	if (n < 0 && errno != EINTR)
		return err_sys(err, "waiting for servers failed");
	for (int i = 0; i < n; i++) {
		const int fd = events[i].data.fd;
		const unsigned e = events[i].events;
		if (fd == t->watched)
			t->readable = true;
		if (fd == t->watched || fd == llm_wake_fd())
			continue;
		line_hear(t, fd);
		curl_multi_socket_action(t->multi, fd, (e & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0) |
		    (e & EPOLLOUT ? CURL_CSELECT_OUT : 0) | (e & EPOLLERR ? CURL_CSELECT_ERR : 0), &running);
	}
	if (t->curl_due > 0 && now_seconds() >= t->curl_due) {
		t->curl_due = 0;
		curl_multi_socket_action(t->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
	take_results(t);
	return 0;
}

int transfer_next(struct transfer *t, struct post **p, struct err *err)
{
	t->readable = false;
	for (;;) {
		if (llm_interrupted())
			return 0;
		begin_posts(t);
		if ((*p = pop(&t->done))) {
			t->places -= (*p)->started;
			(*p)->started = false;
			return 1;
		}
		if (t->readable || (t->inflight == 0 && (transfer_stopped(t) ||
		    (t->nwaiting == 0 && !t->again.head && !t->added.head))))
			return 0;
		if (work(t, err) != 0)
			return -1;
		if (t->tick)
			t->tick(t->tick_arg);
	}
}

void transfer_watch(struct transfer *t, int fd)
{
	struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };
	if (fd == t->watched)
		return;
	if (t->watched >= 0)
		epoll_ctl(t->epoll, EPOLL_CTL_DEL, t->watched, &e);
	t->watched = fd >= 0 && epoll_ctl(t->epoll, EPOLL_CTL_ADD, fd, &e) == 0 ? fd : -1;
}

void transfer_stop(struct transfer *t)
{
	t->stopped = true;
}

int transfer_waiting(const struct transfer *t)
{
	return t->nadded;
}

int transfer_jobs(const struct transfer *t)
{
	return t->o.jobs;
}

uint64_t transfer_requests(const struct transfer *t)
{
	return t->requests;
}

uint64_t transfer_retries(const struct transfer *t)
{
	return t->retries;
}

const char *transfer_endpoint(const struct transfer *t, int i)
{
	return i >= 0 && i < t->ends.n ? t->ends.v[i].base : NULL;
}

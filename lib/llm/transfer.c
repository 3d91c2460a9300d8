#include "llm/transfer.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>

#include "base/mem.h"
#include "base/progress.h"
#include "base/rng.h"
#include "llm/common.h"
#include "llm/endpoints.h"
#include "llm/http_rules.h"

#define TICK_SECONDS 0.2
#define CONNECT_SECONDS 10
#define TIMEOUT_SECONDS 600

enum {
	DEFAULT_JOBS = 16,
	MOST_EVENTS = 256,
	MOST_REDIRECTS = 4,
	KEEPALIVE_SECONDS = 60,         /* silence after which TCP asks whether the host is there */
};

struct queue {
	struct post *head, **end;
};

/* A handle of libcurl, and the post that it carries. */
struct line {
	CURL *easy;
	struct post *post;
	struct transfer *t;
	struct line *next;              /* among the free ones */
	bool too_long;
	char error[CURL_ERROR_SIZE];
};

struct transfer {
	struct llm_servers o;
	CURLM *multi;
	struct curl_slist *headers;
	struct line *lines, *free;      /* jobs of them */
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
	struct rng jitter;
	void (*tick)(void *arg);
	void *tick_arg;
};

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

static size_t on_body(char *data, size_t size, size_t n, void *line)
{
	struct line *l = line;
	n *= size;
	if (n > l->post->most - l->post->answer.len) {
		l->too_long = true;
		return 0;
	}
	buf_add(&l->post->answer, data, n);
	return n;
}

static size_t on_header(char *data, size_t size, size_t n, void *line)
{
	static const char name[] = "retry-after:";
	struct line *l = line;
	char value[128];
	n *= size;
	if (n >= 5 && memcmp(data, "HTTP/", 5) == 0)
		l->post->retry_after = -1;      /* another answer, behind a redirect */
	if (n >= sizeof name && n < sizeof value && strncasecmp(data, name, sizeof name - 1) == 0) {
		memcpy(value, data + sizeof name - 1, n - sizeof name + 1);
		value[n - sizeof name + 1] = '\0';
		l->post->retry_after = http_retry_after(value, time(NULL));
	}
	return n;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *transfer, void *known)
{
	struct transfer *t = transfer;
	struct epoll_event e = { .data.fd = fd };
	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		epoll_ctl(t->epoll, EPOLL_CTL_DEL, fd, &e);
		return 0;
	}
	e.events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
	if (!known || epoll_ctl(t->epoll, EPOLL_CTL_MOD, fd, &e) != 0)
		epoll_ctl(t->epoll, EPOLL_CTL_ADD, fd, &e);
	curl_multi_assign(t->multi, fd, t);
	return 0;
}

static int on_timer(CURLM *multi, long ms, void *transfer)
{
	struct transfer *t = transfer;
	(void)multi;
	t->curl_due = ms < 0 ? 0 : now_seconds() + (double)ms / 1000;
	return 0;
}

static long milliseconds(double seconds)
{
	return seconds > 0 ? (long)fmax(1, fmin(seconds, 1e6) * 1000) : 0;
}

static void allow_protocols(CURL *easy, bool tls)
{
#if LIBCURL_VERSION_NUM >= 0x075500
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, tls ? "https" : "http,https");
#else
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
	curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS,
	    (long)(tls ? CURLPROTO_HTTPS : CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}

/* What is the same for all posts of a handle. The key is a bearer token and
 * no header of ours, so that libcurl keeps it from other hosts. */
static int set_up_line(struct transfer *t, struct line *l)
{
	const struct llm_servers *o = &t->o;
	CURL *e = l->easy = curl_easy_init();
	l->t = t;
	if (!e)
		return -1;
	curl_easy_setopt(e, CURLOPT_PRIVATE, l);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, l->error);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_POST, 1L);
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->headers);
	curl_easy_setopt(e, CURLOPT_USERAGENT, "meta-rewarding/" MR_VERSION);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, l);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, l);
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(e, CURLOPT_MAXREDIRS, (long)MOST_REDIRECTS);
	curl_easy_setopt(e, CURLOPT_POSTREDIR, (long)CURL_REDIR_POST_ALL);
	curl_easy_setopt(e, CURLOPT_UNRESTRICTED_AUTH, 0L);
	curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(e, CURLOPT_TCP_KEEPIDLE, (long)KEEPALIVE_SECONDS);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, milliseconds(o->connect_timeout));
	curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, milliseconds(o->timeout));
	if (o->idle_timeout > 0) {
		curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L);
		curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)ceil(o->idle_timeout));
	}
	if (o->key) {
		curl_easy_setopt(e, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
		curl_easy_setopt(e, CURLOPT_XOAUTH2_BEARER, o->key);
	}
	l->next = t->free;
	t->free = l;
	return 0;
}

static int set_up_multi(struct transfer *t, struct err *err)
{
	struct epoll_event e = { .events = EPOLLIN };
	t->headers = curl_slist_append(t->headers, "Content-Type: application/json");
	t->headers = curl_slist_append(t->headers, "Accept: application/json");
	t->headers = curl_slist_append(t->headers, "Expect:");
	t->multi = curl_multi_init();
	t->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!t->multi || !t->headers || t->epoll < 0)
		return err_sys(err, "no connections can be made");
	e.data.fd = llm_wake_fd();
	if (e.data.fd < 0 || epoll_ctl(t->epoll, EPOLL_CTL_ADD, e.data.fd, &e) != 0)
		return err_sys(err, "no connections can be made");
	curl_multi_setopt(t->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(t->multi, CURLMOPT_SOCKETDATA, t);
	curl_multi_setopt(t->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(t->multi, CURLMOPT_TIMERDATA, t);
	curl_multi_setopt(t->multi, CURLMOPT_MAXCONNECTS, (long)t->o.jobs + 1);
	t->lines = mem_zalloc((size_t)t->o.jobs, sizeof *t->lines);
	for (int i = 0; i < t->o.jobs; i++)
		if (set_up_line(t, &t->lines[i]) != 0)
			return err_set(err, "libcurl gives no handle");
	return 0;
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
		t->o.jobs = DEFAULT_JOBS;
	if (t->o.jobs > LLM_MOST_JOBS)
		t->o.jobs = LLM_MOST_JOBS;
	if (t->o.timeout <= 0)
		t->o.timeout = TIMEOUT_SECONDS;
	if (t->o.connect_timeout <= 0)
		t->o.connect_timeout = CONNECT_SECONDS;
	t->patience = http_patience(t->o.retries);
	t->waiting = mem_zalloc((size_t)t->o.jobs + 1, sizeof(*t->waiting));
	/* Only when to try again depends on it, and two processes should differ. */
	clock_gettime(CLOCK_REALTIME, &now);
	t->jitter = rng_stream((uint64_t)now.tv_nsec, "", "backoff", (uint64_t)getpid());
	if (check_key(t->o.key, err) == 0 && curl_global_init(CURL_GLOBAL_DEFAULT) == 0 &&
	    endpoints_open(&t->ends, t->o.endpoints, t->o.nendpoints, err) == 0 && set_up_multi(t, err) == 0)
		return t;
	transfer_close(t);
	return NULL;
}

void transfer_close(struct transfer *t)
{
	if (!t)
		return;
	for (int i = 0; t->lines && i < t->o.jobs; i++) {
		if (t->lines[i].post)
			curl_multi_remove_handle(t->multi, t->lines[i].easy);
		curl_easy_cleanup(t->lines[i].easy);
	}
	curl_multi_cleanup(t->multi);
	curl_slist_free_all(t->headers);
	endpoints_close(&t->ends);
	if (t->epoll >= 0)
		close(t->epoll);
	free(t->lines);
	free(t->waiting);
	free(t);
}

void transfer_drop(struct transfer *t, void (*drop)(struct post *p))
{
	struct post *p;
	for (int i = 0; i < t->o.jobs; i++) {
		if (!(p = t->lines[i].post))
			continue;
		curl_multi_remove_handle(t->multi, t->lines[i].easy);
		t->lines[i].post = NULL;
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
	const char *url = t->ends.v[at].url;
	t->free = l->next;
	take_place(t, p);
	l->post = p;
	l->too_long = false;
	l->error[0] = '\0';
	p->at = at;
	p->probe = probe;
	p->status = 0;
	p->retry_after = -1;
	p->permanent = false;
	p->endpoint = t->ends.v[at].base;
	p->attempts++;
	t->requests++;
	t->inflight++;
	t->ends.v[at].inflight++;
	curl_easy_setopt(l->easy, CURLOPT_URL, url);
	curl_easy_setopt(l->easy, CURLOPT_POSTFIELDS, p->body);
	curl_easy_setopt(l->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)p->len);
	allow_protocols(l->easy, strncmp(url, "https:", 6) == 0);
	curl_multi_add_handle(t->multi, l->easy);
}

/* There is no server left to send it to. */
static void give_up(struct transfer *t, struct post *p)
{
	const struct endpoint *e = &t->ends.v[p->at >= 0 ? p->at : 0];
	if (!p->error[0])
		snprintf(p->error, sizeof p->error, "no server answers");
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

/* Whether another attempt would fail in the same way. */
static bool is_permanent(CURLcode rc)
{
	return rc == CURLE_PEER_FAILED_VERIFICATION || rc == CURLE_SSL_CACERT_BADFILE || rc == CURLE_URL_MALFORMAT ||
	    rc == CURLE_UNSUPPORTED_PROTOCOL || rc == CURLE_TOO_MANY_REDIRECTS || rc == CURLE_WRITE_ERROR;
}

/* Whether the server cannot be reached, or said nothing at all. */
static bool is_silence(CURLcode rc, const struct line *l)
{
	curl_off_t first = 0;
	if (rc == CURLE_OPERATION_TIMEDOUT)
		curl_easy_getinfo(l->easy, CURLINFO_STARTTRANSFER_TIME_T, &first);
	return (rc == CURLE_OPERATION_TIMEDOUT && first == 0) || rc == CURLE_COULDNT_CONNECT ||
	    rc == CURLE_COULDNT_RESOLVE_HOST || rc == CURLE_COULDNT_RESOLVE_PROXY || rc == CURLE_SSL_CONNECT_ERROR;
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
	p->permanent = is_permanent(rc);
	if (l->too_long)
		snprintf(p->error, sizeof p->error, "the answer is longer than the %zu bytes it could need", p->most);
	else
		snprintf(p->error, sizeof p->error, "%s", *l->error ? l->error : curl_easy_strerror(rc));
	const bool silence = rc != CURLE_OK && is_silence(rc, l);
	if (silence && p->probe)
		p->attempts--;          /* it only found out what was known */
	if (rc == CURLE_OK || silence || p->probe)
		note_change(t, p, endpoints_result(&t->ends, p->at, !silence, p->probe, now_seconds()));
	t->ends.v[p->at].inflight--;
	t->inflight--;
	curl_multi_remove_handle(t->multi, l->easy);
	l->post = NULL;
	l->next = t->free;
	t->free = l;
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
}

/* Milliseconds until something is due, -1: nothing is. */
static int sleep_time(const struct transfer *t)
{
	const double now = now_seconds();
	double until = t->tick ? now + TICK_SECONDS : INFINITY;
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
		else if (fd != llm_wake_fd())
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

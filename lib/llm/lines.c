#include "llm/lines.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/progress.h"
#include "llm/common.h"
#include "llm/http_rules.h"

enum {
	MOST_REDIRECTS = 4,
	KEEPALIVE_SECONDS = 60,         /* silence after which TCP asks whether the host is there */
};

static void leave_busy(struct line *l)
{
	struct transfer *t = l->t;
	*(l->before ? &l->before->behind : &t->quietest) = l->behind;
	*(l->behind ? &l->behind->before : &t->latest) = l->before;
}

static void join_busy(struct line *l)
{
	struct transfer *t = l->t;
	l->heard = now_seconds();
	l->before = t->latest;
	l->behind = NULL;
	*(l->before ? &l->before->behind : &t->quietest) = l;
	t->latest = l;
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
	struct line *l = NULL;
	if (what != CURL_POLL_REMOVE)
		curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&l);
	if (fd >= t->nsockets) {
		t->by_socket = mem_grow(t->by_socket, (size_t)fd + 1, sizeof(*t->by_socket));
		while (t->nsockets <= fd)
			t->by_socket[t->nsockets++] = NULL;
	}
	t->by_socket[fd] = l;
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
	if (o->ca_file)
		curl_easy_setopt(e, CURLOPT_CAINFO, o->ca_file);
	if (o->key) {
		curl_easy_setopt(e, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
		curl_easy_setopt(e, CURLOPT_XOAUTH2_BEARER, o->key);
	}
	l->next = t->free;
	t->free = l;
	return 0;
}

int lines_open(struct transfer *t, struct err *err)
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

void lines_close(struct transfer *t)
{
	for (int i = 0; t->lines && i < t->o.jobs; i++) {
		if (t->lines[i].post)
			curl_multi_remove_handle(t->multi, t->lines[i].easy);
		curl_easy_cleanup(t->lines[i].easy);
	}
	curl_multi_cleanup(t->multi);
	curl_slist_free_all(t->headers);
	if (t->epoll >= 0)
		close(t->epoll);
	free(t->lines);
	free(t->by_socket);
}

void line_hear(struct transfer *t, int fd)
{
	struct line *l = fd < t->nsockets ? t->by_socket[fd] : NULL;
	if (l && l->post) {
		leave_busy(l);
		join_busy(l);
	}
}

void line_load(struct line *l, struct post *p, const char *url)
{
	l->t->free = l->next;
	l->post = p;
	l->too_long = false;
	l->error[0] = '\0';
	join_busy(l);
	curl_easy_setopt(l->easy, CURLOPT_URL, url);
	curl_easy_setopt(l->easy, CURLOPT_POSTFIELDS, l->post->body);
	curl_easy_setopt(l->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)l->post->len);
	allow_protocols(l->easy, strncmp(url, "https:", 6) == 0);
}

void line_unload(struct line *l)
{
	leave_busy(l);
	curl_multi_remove_handle(l->t->multi, l->easy);
	l->post = NULL;
	l->next = l->t->free;
	l->t->free = l;
}

double lines_idle_due(const struct transfer *t)
{
	return t->o.idle_timeout > 0 && t->quietest ? t->quietest->heard + t->o.idle_timeout : INFINITY;
}

bool line_is_permanent(CURLcode rc)
{
	return rc == CURLE_PEER_FAILED_VERIFICATION || rc == CURLE_SSL_CACERT_BADFILE || rc == CURLE_URL_MALFORMAT ||
	    rc == CURLE_UNSUPPORTED_PROTOCOL || rc == CURLE_TOO_MANY_REDIRECTS || rc == CURLE_WRITE_ERROR;
}

bool line_is_silence(const struct line *l, CURLcode rc)
{
	curl_off_t first = 0;
	if (rc == CURLE_OPERATION_TIMEDOUT)
		curl_easy_getinfo(l->easy, CURLINFO_STARTTRANSFER_TIME_T, &first);
	return (rc == CURLE_OPERATION_TIMEDOUT && first == 0) || rc == CURLE_COULDNT_CONNECT ||
	    rc == CURLE_COULDNT_RESOLVE_HOST || rc == CURLE_COULDNT_RESOLVE_PROXY || rc == CURLE_SSL_CONNECT_ERROR;
}

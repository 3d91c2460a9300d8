/*
 * server [OPTION]...: a server for the tests that speaks as much of OpenAI's
 * chat protocol as the tools use, on 127.0.0.1, and fails on demand.
 *
 * An answer depends on the request alone (model, messages, temperature, seed,
 * index of the choice), so that a run can be compared with another; without
 * a seed also on how often the same request came before. It is a few common
 * words; where the last user message ends with one of the tools' rubrics, a
 * judgment that has a score or a verdict most of the time; where such a
 * message wants no more than a few tokens, the bare score or verdict.
 *
 * Whether an attempt fails is drawn from the request's bytes and the number
 * of attempts before it: a repeated run fails in the same places, and a
 * repeated request is drawn again.
 *
 * One thread, poll(2), any number of connections.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/opts.h"
#include "base/sha256.h"
#include "helper/server/answer.h"
#include "helper/server/fault.h"
#include "helper/server/request.h"

enum { DRIP_NS = 100 * 1000 * 1000, HUGE_PIECE = 1 << 16 };

static int port, delay, lifetime = 300, retry_after, fixed_status, die_after;
static const char *port_file, *log_file, *faults, *reject_text, *key_file, *redirect, *body_file, *header_line;
static bool refuse_n, no_seed, huge, echo, help;
static struct answer_options how = { .model = "test" };
static bool one_model;

static struct opt options[] = {
	{ OPT_INT, "port", .value = &port, .arg = "N", .help = "listen there [a free one]", .min = 0, .max = 65535 },
	{ OPT_STRING, "port-file", .value = &port_file, .arg = "FILE", .help = "write the port to FILE when ready" },
	{ OPT_STRING, "log", .value = &log_file, .arg = "FILE", .help = "write a JSON line for each request to FILE" },
	{ OPT_INT, "lifetime", .value = &lifetime, .arg = "S", .help = "end by itself after S seconds [{}]" },
	{ OPT_INT, "delay", .value = &delay, .arg = "MS", .help = "answer after MS milliseconds [{}]" },
	{ OPT_STRING, "faults", .value = &faults, .arg = "NAME=PERCENT,...",
	  .help = "fail so often: 429, 500, 503, reset (amid the body), close (before an answer), garbage (no JSON), "
	      "truncated (JSON cut off), empty (no choices), slow (a byte each 100 ms), hang (no answer)" },
	{ OPT_INT, "retry-after", .value = &retry_after, .arg = "S", .help = "the header, with 429 and 503" },
	{ OPT_STRING, "reject-400", .value = &reject_text, .arg = "TEXT",
	  .help = "400 for a request whose body has TEXT" },
	{ OPT_FLAG, "no-n", .value = &how.no_n, .help = "one choice, whatever n" },
	{ OPT_FLAG, "refuse-n", .value = &refuse_n, .help = "400 where n > 1" },
	{ OPT_FLAG, "no-seed", .value = &no_seed, .help = "400 where there is a seed" },
	{ OPT_FLAG, "no-logprobs", .value = &how.no_logprobs, .help = "no log-probabilities, wanted or not" },
	{ OPT_FLAG, "length", .value = &how.length, .help = "finish_reason: length" },
	{ OPT_STRING, "key", .value = &key_file, .arg = "FILE", .help = "401 without the key in FILE" },
	{ OPT_FLAG, "echo", .value = &echo, .help = "errors tell the Authorization header, as no server should" },
	{ OPT_STRING, "redirect", .value = &redirect, .arg = "URL",
	  .help = "302 to URL with the path behind it; with --status, that one" },
	{ OPT_FLAG, "huge", .value = &huge, .help = "a body without end" },
	{ OPT_STRING, "body", .value = &body_file, .arg = "FILE", .help = "this body for every answer" },
	{ OPT_INT, "status", .value = &fixed_status, .arg = "N", .help = "this status for every answer" },
	{ OPT_STRING, "header", .value = &header_line, .arg = "LINE", .help = "a header more in every answer" },
	{ OPT_STRING, "models", .value = &how.model, .arg = "NAME",
	  .help = "the model there is; 404 for others [test, and any other]" },
	{ OPT_INT, "die-after", .value = &die_after, .arg = "N", .help = "exit when N requests have come" },
	{ OPT_FLAG, "help", .value = &help, .help = "this text" },
	{ .kind = OPT_END },
};

enum state { READING, WAITING, WRITING };

struct conn {
	int fd;
	enum state state;
	struct buf in, out;
	size_t sent;
	int64_t due;                    /* WAITING: the answer's time; WRITING: the next byte's, of a drip */
	enum fault fault;
	bool last;                      /* close it after this answer */
	bool continued;                 /* 100 Continue was said */
};

static struct {
	struct conn *conn;
	struct pollfd *poll;
	size_t nconns, cap;
	int listener, in_flight;
	long requests;
	int64_t start;
	FILE *log;
	struct buf key, body;           /* of --key and --body */
	double percent[NFAULTS];
	struct attempts attempts;
} sv;

static volatile sig_atomic_t stopping;

static void on_signal(int sig)
{
	(void)sig;
	stopping = 1;
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "server: %s\n", what);
	exit(1);
}

static int fail(struct buf *body, int status, const struct request *q, const char *message)
{
	struct buf text = { 0 };

	buf_adds(&text, message);
	if (echo)
		buf_printf(&text, "; you sent Authorization: %.*s", (int)q->key_len, q->key_len ? q->key : "");
	buf_reset(body);
	buf_adds(body, "{\"error\":{\"message\":");
	buf_json_string(body, text.data, text.len);
	buf_printf(body, ",\"type\":\"%s\",\"param\":null,\"code\":%d}}\n",
	    status < 500 ? "invalid_request_error" : "server_error", status);
	buf_free(&text);
	return status;
}

static bool key_is_right(const struct request *q)
{
	return q->key_len == 7 + sv.key.len && strncmp(q->key, "Bearer ", 7) == 0 &&
	    memcmp(q->key + 7, sv.key.data, sv.key.len) == 0;
}

/* The status, and the body of the answer to a chat request. */
static int chat(const struct request *q, unsigned attempt, struct buf *body)
{
	cJSON *j = cJSON_ParseWithLength(q->body, q->body_len);
	const cJSON *n = cJSON_GetObjectItemCaseSensitive(j, "n");
	const char *model = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(j, "model"));
	int status = 200;

	if (!q->post)
		status = fail(body, 405, q, "POST is wanted");
	else if (!cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(j, "messages")))
		status = fail(body, 400, q, "the body is no JSON object with messages");
	else if (reject_text && memmem(q->body, q->body_len, reject_text, strlen(reject_text)))
		status = fail(body, 400, q, "this is not accepted here");
	else if (no_seed && cJSON_HasObjectItem(j, "seed"))
		status = fail(body, 400, q, "Unrecognized request argument supplied: seed");
	else if (refuse_n && cJSON_IsNumber(n) && n->valuedouble > 1)
		status = fail(body, 400, q, "n must be 1: only one completion choice is supported");
	else if (one_model && (!model || strcmp(model, how.model) != 0))
		status = fail(body, 404, q, "The model does not exist.");
	else
		answer_json(&how, j, attempt, body);
	cJSON_Delete(j);
	return status;
}

static int answer(const struct request *q, unsigned attempt, struct buf *body)
{
	if (redirect)
		return fixed_status ? fixed_status : 302;
	if (key_file && !key_is_right(q))
		return fail(body, 401, q, "Incorrect API key provided");
	if (body_file) {
		buf_add(body, sv.body.data, sv.body.len);
		return fixed_status ? fixed_status : 200;
	}
	if (fixed_status)
		return fail(body, fixed_status, q, "so it was told to say");
	if (q->path_len == 7 && memcmp(q->path, "/health", 7) == 0) {
		buf_adds(body, "{\"status\":\"ok\"}\n");
		return 200;
	}
	if (q->path_len == 10 && memcmp(q->path, "/v1/models", 10) == 0) {
		buf_adds(body, "{\"object\":\"list\",\"data\":[{\"id\":");
		buf_json_string(body, how.model, strlen(how.model));
		buf_adds(body, ",\"object\":\"model\"}]}\n");
		return 200;
	}
	if (q->path_len == 20 && memcmp(q->path, "/v1/chat/completions", 20) == 0)
		return chat(q, attempt, body);
	return fail(body, 404, q, "there is nothing at this path");
}

/* What the fault makes of an answer; those that concern its sending are
 * send_answer's. */
static int spoil(enum fault f, int status, const struct request *q, struct buf *body)
{
	switch (f) {
	case F_429: return fail(body, 429, q, "too many requests");
	case F_500: return fail(body, 500, q, "the server failed");
	case F_503: return fail(body, 503, q, "the server is busy");
	case F_GARBAGE:
		buf_reset(body);
		buf_adds(body, "<html><body>It works!</body></html>\n");
		return 200;
	case F_EMPTY:
		buf_reset(body);
		buf_adds(body, "{\"object\":\"chat.completion\",\"choices\":[],\"usage\":null}\n");
		return 200;
	case F_TRUNCATED:
		body->len = body->len * 2 / 3;
		return status;
	case F_CLOSE:
	case F_HANG:
		return 0;
	default:
		return status;
	}
}

static void put_answer(struct conn *c, const struct request *q, int status, const struct buf *body)
{
	buf_reset(&c->out);
	buf_printf(&c->out, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\n", status, status_reason(status));
	if (retry_after && (status == 429 || status == 503))
		buf_printf(&c->out, "Retry-After: %d\r\n", retry_after);
	if (redirect)
		buf_printf(&c->out, "Location: %s%.*s\r\n", redirect, (int)q->path_len, q->path);
	if (header_line)
		buf_printf(&c->out, "%s\r\n", header_line);
	if (c->last)
		buf_adds(&c->out, "Connection: close\r\n");
	if (huge)
		buf_adds(&c->out, "\r\n{\"choices\":[{\"message\":{\"content\":\"");
	else
		buf_printf(&c->out, "Content-Length: %zu\r\n\r\n", body->len);
	if (!huge && body->len)
		buf_add(&c->out, body->data, body->len);
	if (c->fault == F_RESET)
		c->out.len -= (body->len + 1) / 2;
}

static void log_request(const struct request *q, const char *hex, unsigned attempt, int status, enum fault f)
{
	if (!sv.log)
		return;
	fprintf(sv.log, "{\"at\":%.3f,\"path\":\"%.*s\",\"has_key\":%s,\"status\":%d,\"fault\":\"%s\",\"attempt\":%u,"
	    "\"sha256\":\"%s\",\"bytes\":%zu,\"in_flight\":%d}\n", (double)(now_ns() - sv.start) / 1e9, (int)q->path_len,
	    q->path, q->key ? "true" : "false", status, fault_names[f], attempt, hex, q->body_len, sv.in_flight);
	fflush(sv.log);
}

/* A request is whole: decides on the answer, which goes out when it is due. */
static void take_request(struct conn *c, const struct request *q)
{
	struct buf body = { 0 };
	struct sha256 sha;
	unsigned attempt;
	char hex[65];
	int status;

	sha256_init(&sha);
	sha256_add(&sha, q->body, q->body_len);
	sha256_end_hex(&sha, hex);
	attempt = attempts_count(&sv.attempts, hex);
	c->fault = q->post ? fault_draw(sv.percent, hex, attempt) : NO_FAULT;
	status = spoil(c->fault, answer(q, attempt, &body), q, &body);
	c->last = q->last || huge;
	c->continued = false;
	put_answer(c, q, status, &body);
	c->state = WAITING;
	c->due = now_ns() + (int64_t)delay * 1000000;
	c->sent = 0;
	sv.in_flight++;
	sv.requests++;
	log_request(q, hex, attempt, status, c->fault);
	memmove(c->in.data, c->in.data + q->end, c->in.len - q->end);
	c->in.len -= q->end;
	buf_free(&body);
}

static void close_conn(size_t i)
{
	struct conn *c = &sv.conn[i];

	sv.in_flight -= c->state != READING;
	close(c->fd);
	buf_free(&c->in);
	buf_free(&c->out);
	*c = sv.conn[--sv.nconns];
}

/* A reset, not an orderly end. */
static void reset_conn(size_t i)
{
	struct linger now = { .l_onoff = 1 };

	setsockopt(sv.conn[i].fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	close_conn(i);
}

static void accept_conns(void)
{
	int fd, one = 1;

	while ((fd = accept4(sv.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		if (sv.nconns == sv.cap) {
			sv.cap = sv.cap ? 2 * sv.cap : 64;
			sv.conn = mem_grow(sv.conn, sv.cap, sizeof *sv.conn);
			sv.poll = mem_grow(sv.poll, sv.cap + 1, sizeof *sv.poll);
		}
		sv.conn[sv.nconns++] = (struct conn){ .fd = fd };
	}
}

/* Each of the following returns false where the connection is at its end. */

static bool next_request(struct conn *c)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct request q = { 0 };
	int got = request_parse(&c->in, &q);

	if (got > 0)
		take_request(c, &q);
	else if (got == 0 && q.expects && !c->continued)
		return c->continued = send(c->fd, go_on, sizeof go_on - 1, MSG_NOSIGNAL) > 0;
	return got >= 0;
}

static bool receive(struct conn *c)
{
	char chunk[65536];
	ssize_t n = recv(c->fd, chunk, sizeof chunk, 0);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		return false;
	buf_add(&c->in, chunk, (size_t)n);
	return next_request(c);
}

static bool send_answer(struct conn *c)
{
	size_t n = c->out.len - c->sent;
	ssize_t did;

	if (c->fault == F_SLOW && n > 1)
		n = 1;
	did = n ? send(c->fd, c->out.data + c->sent, n, MSG_NOSIGNAL) : 0;
	if (did < 0)
		return errno == EAGAIN || errno == EINTR;
	c->sent += (size_t)did;
	c->due = now_ns() + (c->fault == F_SLOW ? DRIP_NS : 0);
	if (c->sent < c->out.len)
		return true;
	if (huge) {
		buf_reserve(&c->out, HUGE_PIECE);
		memset(c->out.data, 'x', HUGE_PIECE);
		c->out.len = HUGE_PIECE;
		c->sent = 0;
		return true;
	}
	sv.in_flight--;
	c->state = READING;
	return !c->last && c->fault != F_RESET && next_request(c);
}

static void serve(size_t i, short events, int64_t now)
{
	struct conn *c = &sv.conn[i];
	bool open = true;

	if (c->state == READING && events)
		open = receive(c);
	else if (events & (POLLERR | POLLHUP | POLLRDHUP))
		open = false;
	else if (c->state == WAITING && c->due <= now && c->fault != F_HANG) {
		c->state = WRITING;
		open = c->fault != F_CLOSE;
	}
	if (open && c->state == WRITING && c->due <= now)
		open = send_answer(c);
	if (!open && c->fault == F_RESET)
		reset_conn(i);
	else if (!open)
		close_conn(i);
}

/* Fills sv.poll; how long nothing is due, in ns. */
static int64_t prepare_poll(int64_t now)
{
	int64_t wait = 1000000000;

	for (size_t i = 0; i < sv.nconns; i++) {
		const struct conn *c = &sv.conn[i];
		bool early = c->state != READING && c->due > now;

		sv.poll[i + 1] = (struct pollfd){ .fd = c->fd, .events = POLLRDHUP };
		if (c->state == READING)
			sv.poll[i + 1].events |= POLLIN;
		else if (c->state == WRITING && !early)
			sv.poll[i + 1].events |= POLLOUT;
		if (early && c->due - now < wait)
			wait = c->due - now;
		else if (c->state == WAITING && !early && c->fault != F_HANG)
			wait = 0;
	}
	sv.poll[0] = (struct pollfd){ .fd = sv.listener, .events = POLLIN };
	return wait;
}

static void run(void)
{
	int64_t end = sv.start + (int64_t)lifetime * 1000000000, now = now_ns();

	while (!stopping && now < end && !(die_after && sv.requests >= die_after)) {
		int64_t wait = prepare_poll(now);
		struct timespec t = { .tv_sec = wait / 1000000000, .tv_nsec = wait % 1000000000 };

		if (ppoll(sv.poll, sv.nconns + 1, &t, NULL) < 0 && errno != EINTR)
			die("poll");
		now = now_ns();
		/* from the end, as a closed one's place is taken by the last */
		for (size_t i = sv.nconns; i-- > 0;)
			serve(i, sv.poll[i + 1].revents, now);
		if (sv.poll[0].revents)
			accept_conns();
	}
	while (sv.nconns)
		die_after ? reset_conn(0) : close_conn(0);
}

static void read_file(const char *path, struct buf *b)
{
	FILE *f = fopen(path, "rb");
	int c;

	if (!f)
		die(path);
	while ((c = getc(f)) != EOF)
		buf_addc(b, (char)c);
	fclose(f);
}

static void start(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)port) };
	socklen_t len = sizeof at;
	struct buf name = { 0 };
	int one = 1;
	FILE *f;

	sv.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (sv.listener < 0 || setsockopt(sv.listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
	    bind(sv.listener, (struct sockaddr *)&at, len) != 0 || listen(sv.listener, 1024) != 0 ||
	    getsockname(sv.listener, (struct sockaddr *)&at, &len) != 0)
		die("no port can be had");
	sv.poll = mem_grow(sv.poll, 1, sizeof *sv.poll);
	sv.start = now_ns();
	if (!port_file)
		return;
	/* whole under its name, for who waits for it */
	buf_printf(&name, "%s.tmp", port_file);
	f = fopen(name.data, "w");
	if (!f || fprintf(f, "%d\n", ntohs(at.sin_port)) < 0 || fclose(f) != 0 || rename(name.data, port_file) != 0)
		die(port_file);
	buf_free(&name);
}

static void read_options(int argc, char **argv)
{
	struct opt *const tables[] = { options, NULL };
	struct buf text = { 0 };
	struct err err;
	int operands;

	if (opts_parse(tables, argc, argv, &operands, &err) != 0)
		die(err.msg);
	if (help) {
		opts_help(tables, &text);
		printf("usage: server [OPTION]...\n%s", text.data);
		exit(0);
	}
	one_model = strcmp(how.model, "test") != 0;
	if (faults && fault_parse(faults, sv.percent) != 0)
		die("--faults: NAME=PERCENT,... is wanted, of the names that --help tells");
	if (key_file)
		read_file(key_file, &sv.key);
	while (sv.key.len && sv.key.data[sv.key.len - 1] == '\n')
		sv.key.len--;
	if (body_file)
		read_file(body_file, &sv.body);
	if (log_file && !(sv.log = fopen(log_file, "a")))
		die(log_file);
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_signal };

	read_options(argc, argv);
	sigemptyset(&sa.sa_mask);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	start();
	run();
	close(sv.listener);
	if (sv.log)
		fclose(sv.log);
	buf_free(&sv.key);
	buf_free(&sv.body);
	attempts_free(&sv.attempts);
	free(sv.conn);
	free(sv.poll);
	return 0;
}

#include "llm/http.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/histogram.h"
#include "base/mem.h"
#include "base/rng.h"
#include "llm/choices.h"
#include "llm/common.h"
#include "llm/http_rules.h"
#include "llm/transfer.h"
#include "llm/wire.h"

enum {
	CHOICE_TOKENS = 16,             /* room for a choice, and for some words before it */
	ANSWER_BYTES = 64 << 10,        /* of an answer, besides its texts */
	TOKEN_BYTES = 64,               /* of a token's text as JSON; a common one has 4 */
	TOP_BYTES = 512,                /* of each alternative with its probability */
	BYTES_A_TOKEN = 4,              /* where a server does not count them */
};

/* A request as llm_submit took it. */
struct ask {
	void *tag;
	char *messages;                 /* a JSON array */
	struct llm_params params;
	uint64_t seed, first;
	char *id, *stage;
	char **choice_texts;
	char *prefix;
	struct choices choices;         /* n = 0: none */
	struct llm_completion *completions;
	int n;
	int left;                       /* calls that have not ended */
	struct err *err;                /* of the first one that failed */
};

/* One HTTP request: continuations first … first + n - 1 of the ask. */
struct call {
	struct post post;               /* first, so that a post is a call */
	struct ask *ask;
	int first, n;
	unsigned without;               /* WIRE_… that it leaves out */
};

struct http {
	struct llm llm;                 /* first, so that an llm is an http */
	struct transfer *transfer;
	char *model, *key;
	unsigned without;               /* what these servers do not take */
	bool answered;                  /* one of them has answered as it should */
	struct llm_usage usage;
	uint64_t budget_tokens, tokens; /* counted or estimated */
	struct histogram latency;
	struct err fatal;
};

static struct http *http_of(const struct llm *l)
{
	return (struct http *)l;
}

static void ask_free(struct ask *a)
{
	for (int i = 0; i < a->choices.n; i++)
		free(a->choice_texts[i]);
	llm_completions_free(a->completions, a->n);
	free(a->choice_texts);
	free(a->messages);
	free(a->prefix);
	free(a->id);
	free(a->stage);
	free(a->err);
	free(a);
}

static void call_free(struct call *c)
{
	free(c->post.body);
	buf_free(&c->post.answer);
	free(c);
}

static void drop(struct post *p)
{
	struct call *c = (struct call *)p;
	if (--c->ask->left == 0)
		ask_free(c->ask);
	call_free(c);
}

static void http_close(struct llm *l)
{
	struct http *h = http_of(l);
	if (h->transfer)
		transfer_drop(h->transfer, drop);
	transfer_close(h->transfer);
	if (h->key)
		memset(h->key, 0, strlen(h->key));
	free(h->key);
	free(h->model);
	free(h);
}

static struct wire_request wire_of(const struct http *h, const struct call *c)
{
	const struct ask *a = c->ask;
	const struct rng rng = rng_stream(a->seed, a->id, a->stage, a->first + (uint64_t)c->first);
	struct wire_request w = { .model = h->model, .messages = a->messages, .params = a->params, .n = c->n,
		.seed = (uint32_t)(rng_u64(&rng, 1) >> 33), .without = c->without };
	if (a->choices.n > 0) {
		w.n = 1;
		w.logprobs = true;
		w.params.max_tokens = CHOICE_TOKENS;
		if (!(c->without & WIRE_LOGPROBS)) {    /* the draw is ours */
			w.params.temperature = w.params.top_p = 1;
			w.params.top_k = 0;
		}
	}
	return w;
}

/* Bytes that the call's answer may have. */
static size_t answer_bytes(const struct wire_request *w)
{
	const size_t a_token = TOKEN_BYTES + (w->logprobs ? (WIRE_TOP + 1) * TOP_BYTES : 0);
	const double bytes = ANSWER_BYTES + (double)w->n * w->params.max_tokens * (double)a_token;
	return bytes < 1e9 ? (size_t)bytes : 1000 * 1000 * 1000;
}

static void write_body(const struct http *h, struct call *c)
{
	const struct wire_request w = wire_of(h, c);
	struct buf body = { 0 };
	wire_request(&w, &body);
	free(c->post.body);
	c->post.len = body.len;
	c->post.body = buf_take(&body);
	c->post.most = answer_bytes(&w);
}

/* Continuations first … first + n - 1, in as many calls as that takes. */
static void add_calls(struct http *h, struct ask *a, int first, int n, unsigned without)
{
	int each = without & WIRE_N ? 1 : HTTP_MOST_N;
	if (a->choices.n > 0)           /* one tells the probabilities for all */
		each = without & WIRE_LOGPROBS ? 1 : n;
	for (int i = 0; i < n; i += each) {
		struct call *c = mem_zalloc(1, sizeof *c);
		*c = (struct call){ .ask = a, .first = first + i, .n = n - i < each ? n - i : each,
			.without = without };
		write_body(h, c);
		a->left++;
		transfer_add(h->transfer, &c->post);
	}
}

static void copy_choices(struct ask *a, const struct llm_request *r)
{
	a->choice_texts = mem_zalloc((size_t)r->nchoices, sizeof *a->choice_texts);
	for (int i = 0; i < r->nchoices; i++)
		a->choice_texts[i] = mem_strdup(r->choices[i]);
	a->prefix = r->prefix ? mem_strdup(r->prefix) : NULL;
	a->choices = (struct choices){ (const char *const *)a->choice_texts, r->nchoices, a->prefix };
}

static int http_submit(struct llm *l, const struct llm_request *r, void *tag, struct err *err)
{
	struct http *h = http_of(l);
	struct buf messages = { 0 };
	if (r->prefix && r->nchoices <= 0)
		return err_set(err, "a server cannot continue a text that was begun");
	struct ask *a = mem_zalloc(1, sizeof *a);
	a->tag = tag;
	a->params = r->params;
	a->seed = r->seed;
	a->first = r->first;
	a->id = mem_strdup(r->id ? r->id : "");
	a->stage = mem_strdup(r->stage ? r->stage : "");
	a->n = r->n;
	a->completions = mem_zalloc((size_t)r->n, sizeof *a->completions);
	if (r->nchoices > 0)
		copy_choices(a, r);
	buf_addc(&messages, '[');
	for (int i = 0; i < r->nmessages; i++)
		wire_message(&messages, r->messages[i].role, r->messages[i].content);
	if (a->choices.n > 0)
		choices_ask(&a->choices, &messages);
	buf_addc(&messages, ']');
	a->messages = buf_take(&messages);
	add_calls(h, a, 0, a->n, h->without);
	return 0;
}

static void end_ask(struct http *h, struct ask *a)
{
	struct llm_answer *answer = mem_zalloc(1, sizeof *answer);
	answer->tag = a->tag;
	answer->err = a->err;
	a->err = NULL;
	if (!answer->err) {
		answer->completions = a->completions;
		answer->n = a->n;
		a->completions = NULL;
	}
	ask_free(a);
	llm_put_done(&h->llm, answer);
}

static void end_call(struct http *h, struct call *c)
{
	struct ask *a = c->ask;
	call_free(c);
	if (--a->left == 0)
		end_ask(h, a);
}

static void fail_call(struct http *h, struct call *c, const char *why)
{
	struct ask *a = c->ask;
	char message[sizeof a->err->msg];
	snprintf(message, sizeof message, "%s", why);
	http_hide(message, h->key);     /* a server may repeat it */
	if (!a->err) {
		a->err = mem_zalloc(1, sizeof *a->err);
		if (c->post.attempts > 1)
			err_set(a->err, "%s: %s (%d attempts)", c->post.endpoint, message, c->post.attempts);
		else
			err_set(a->err, "%s: %s", c->post.endpoint, message);
	}
	end_call(h, c);
}

static void retry_call(struct http *h, struct call *c, const char *why)
{
	if (!transfer_retry(h->transfer, &c->post, c->post.retry_after))
		fail_call(h, c, why);
}

/* The call's continuations once more, in calls without these members. */
static void ask_otherwise(struct http *h, struct call *c, unsigned without)
{
	struct ask *a = c->ask;
	const bool split = c->n > 1 && (without & ~c->without & (a->choices.n > 0 ? WIRE_LOGPROBS : WIRE_N));
	c->without |= without;
	if (split) {
		add_calls(h, a, c->first, c->n, c->without);
		end_call(h, c);
		return;
	}
	c->post.attempts--;
	write_body(h, c);
	transfer_again(h->transfer, &c->post);
}

static void take_texts(struct call *c, struct wire_answer *w)
{
	for (int i = 0; i < c->n; i++) {
		struct llm_completion *out = &c->ask->completions[c->first + i];
		*out = (struct llm_completion){ .text = w->choices[i].text, .finish = w->choices[i].finish,
			.choice = -1, .tokens = c->n == 1 && w->tokens_out <= INT_MAX ? (int)w->tokens_out : -1 };
		w->choices[i].text = NULL;
	}
}

static bool take_probabilities(struct call *c, const struct wire_answer *w)
{
	const struct ask *a = c->ask;
	double *logprob = mem_zalloc((size_t)a->choices.n, sizeof *logprob);
	if (!w->choices[0].logprobs || !choices_logprobs(&a->choices, w->choices[0].logprobs, logprob)) {
		free(logprob);
		return false;
	}
	choice_normalise(logprob, a->choices.n);
	for (int i = c->first; i < c->first + c->n; i++) {
		const struct rng rng = rng_stream(a->seed, a->id, a->stage, a->first + (uint64_t)i);
		a->completions[i] = choice_complete(a->choices.texts, logprob, a->choices.n, a->params.temperature,
		    rng_uniform(&rng, 0));
	}
	free(logprob);
	return true;
}

static void take_choice_text(struct call *c, const struct wire_answer *w)
{
	struct ask *a = c->ask;
	const int i = choices_find(&a->choices, w->choices[0].text);
	struct llm_completion *out = &a->completions[c->first];
	out->choice = i;
	out->text = mem_strdup(i >= 0 ? a->choices.texts[i] : w->choices[0].text);
	out->tokens = -1;
}

static void count_answer(struct http *h, const struct call *c, const struct wire_answer *w)
{
	const int64_t in = w->tokens_in, out = w->tokens_out;
	size_t text = 0;
	for (int i = 0; i < w->n; i++)
		text += strlen(w->choices[i].text);
	h->usage.tokens_in += in > 0 ? (uint64_t)in : 0;
	h->usage.tokens_out += out > 0 ? (uint64_t)out : 0;
	h->tokens += in >= 0 ? (uint64_t)in : c->post.len / BYTES_A_TOKEN;
	h->tokens += out >= 0 ? (uint64_t)out : text / BYTES_A_TOKEN;
	histogram_add(&h->latency, c->post.seconds);
	if (h->budget_tokens > 0 && h->tokens >= h->budget_tokens)
		transfer_stop(h->transfer);
}

/* A well-formed answer: the continuations, or the sign that the server did
 * not heed a member of the request. */
static void take_answer(struct http *h, struct call *c, struct wire_answer *w)
{
	struct ask *a = c->ask;
	count_answer(h, c, w);
	h->answered = true;
	h->without |= c->without;       /* it was right to leave them out */
	if (a->choices.n > 0) {
		const bool asked = !(c->without & WIRE_LOGPROBS);
		if (!asked || !take_probabilities(c, w)) {
			if (asked && c->n > 1) {
				ask_otherwise(h, c, WIRE_LOGPROBS);
				return;
			}
			if (asked && !w->choices[0].logprobs) {
				h->without |= WIRE_LOGPROBS;
				ask_otherwise(h, c, WIRE_LOGPROBS);
				return;
			}
			take_choice_text(c, w);
		}
	} else if (w->n < c->n) {
		h->without |= WIRE_N;
		ask_otherwise(h, c, WIRE_N);
		return;
	} else {
		take_texts(c, w);
	}
	end_call(h, c);
}

/* The key or the model is wrong: so will it be for all. */
static bool is_fatal(const struct http *h, long status)
{
	return !h->answered && (status == 401 || status == 403 || status == 404);
}

static void take_refusal(struct http *h, struct call *c, const struct wire_error *e)
{
	const struct wire_request w = wire_of(h, c);
	char why[sizeof e->message + 40];
	unsigned refused = wire_refused(e, wire_members(&w));
	if (e->status >= 500 && e->status != 501)
		refused &= WIRE_LOGPROBS;       /* some break over it */
	else if (e->status != 400 && e->status != 422 && e->status != 501)
		refused = 0;
	snprintf(why, sizeof why, "%ld: %s", e->status, e->message);
	if (refused) {
		ask_otherwise(h, c, refused);
	} else if (http_is_temporary(e->status)) {
		retry_call(h, c, why);
	} else {
		if (is_fatal(h, e->status) && !*h->fatal.msg) {
			http_hide(why, h->key);
			err_set(&h->fatal, "%s: %s", c->post.endpoint, why);
		}
		fail_call(h, c, why);
	}
}

static void take_post(struct http *h, struct call *c)
{
	struct post *p = &c->post;
	struct wire_answer w;
	struct wire_error e;
	struct err err;
	if (p->status == 0) {
		retry_call(h, c, p->error);
	} else if (p->status < 200 || p->status > 299) {
		wire_error(p->answer.data ? p->answer.data : "", p->answer.len, p->status, &e);
		take_refusal(h, c, &e);
	} else if (wire_answer(p->answer.data ? p->answer.data : "", p->answer.len, &w, &err) == 0) {
		take_answer(h, c, &w);
		wire_answer_free(&w);
	} else if (wire_is_error(p->answer.data ? p->answer.data : "", p->answer.len, &e)) {
		take_refusal(h, c, &e);
	} else {
		retry_call(h, c, err.msg);
	}
}

static int http_next(struct llm *l, struct llm_answer **answer, struct err *err)
{
	struct http *h = http_of(l);
	for (;;) {
		struct post *p;
		if (*h->fatal.msg)
			return err_set(err, "%s", h->fatal.msg);
		if ((*answer = llm_take_done(l)))
			return 1;
		const int got = transfer_next(h->transfer, &p, err);
		if (got <= 0)
			return got;
		take_post(h, (struct call *)p);
	}
}

static int http_waiting(const struct llm *l)
{
	return transfer_waiting(http_of(l)->transfer);
}

static int http_jobs(const struct llm *l)
{
	return transfer_jobs(http_of(l)->transfer);
}

static const char *http_spent(const struct llm *l)
{
	const struct http *h = http_of(l);
	if (!transfer_stopped(h->transfer))
		return NULL;
	return h->budget_tokens > 0 && h->tokens >= h->budget_tokens ? "tokens" : "requests";
}

static void http_watch(struct llm *l, int fd)
{
	transfer_watch(http_of(l)->transfer, fd);
}

static struct llm_usage http_usage(const struct llm *l)
{
	const struct http *h = http_of(l);
	struct llm_usage u = h->usage;
	u.requests = transfer_requests(h->transfer);
	u.retries = transfer_retries(h->transfer);
	return u;
}

static double http_latency(const struct llm *l, double part)
{
	return histogram_quantile(&http_of(l)->latency, part);
}

static const char *http_endpoint(const struct llm *l, int i)
{
	return transfer_endpoint(http_of(l)->transfer, i);
}

static const struct llm_door door = {
	.submit = http_submit, .waiting = http_waiting, .batch = http_jobs, .next = http_next,
	.usage = http_usage, .close = http_close, .spent = http_spent, .watch = http_watch,
	.latency = http_latency, .endpoint = http_endpoint,
};

struct llm *http_open(const struct llm_options *o, struct err *err)
{
	struct http *h;
	if (!o->model || !*o->model) {
		err_set(err, "the model has no name; say which one the server shall use");
		return NULL;
	}
	h = mem_zalloc(1, sizeof *h);
	h->llm.does = &door;
	h->model = mem_strdup(o->model);
	h->key = o->servers.key ? mem_strdup(o->servers.key) : NULL;
	h->budget_tokens = o->servers.budget_tokens;
	h->transfer = transfer_open(o, err);
	if (!h->transfer) {
		http_close(&h->llm);
		return NULL;
	}
	return &h->llm;
}

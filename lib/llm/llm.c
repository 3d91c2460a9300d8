/* The door: what a request must be, interrupts, answers. It knows none of the
 * kinds of models (open.c does), so that a program that opens none is linked
 * with none. */
#include "llm/llm.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"
#include "llm/common.h"

enum { MOST_COMPLETIONS = 1 << 20 };

static volatile sig_atomic_t interrupted;
static volatile sig_atomic_t woken_by = -1;     /* the writing end of wake_fd's pipe */

void llm_interrupt(void)
{
	const int saved = errno;
	interrupted = 1;
	if (woken_by >= 0 && write(woken_by, "", 1) < 0)
		interrupted = 1;        /* full: it is readable already */
	errno = saved;
}

int llm_wake_fd(void)
{
	static int fds[2] = { -1, -1 };
	if (fds[0] < 0 && pipe2(fds, O_NONBLOCK | O_CLOEXEC) == 0)
		woken_by = fds[1];
	return fds[0];
}

bool llm_interrupted(void)
{
	char some[64];
	if (!interrupted)
		return false;
	interrupted = 0;
	while (woken_by >= 0 && read(llm_wake_fd(), some, sizeof some) > 0)
		;
	return true;
}

static int check_text(const char *text, const char *what, int i, struct err *err)
{
	const size_t len = strlen(text), good = utf8_check(text, len);
	if (good < len)
		return err_set(err, "%s %d is not UTF-8 at byte %zu", what, i + 1, good + 1);
	return 0;
}

static int check_request(const struct llm_request *r, struct err *err)
{
	const struct llm_params *p = &r->params;
	if (r->n < 1 || r->n > MOST_COMPLETIONS)
		return err_set(err, "%d completions; 1 to %d are possible", r->n, MOST_COMPLETIONS);
	if (!isfinite(p->temperature) || p->temperature < 0)
		return err_set(err, "a temperature of %g; it must not be negative", p->temperature);
	if (!r->nchoices && (!(p->top_p > 0 && p->top_p <= 1) || p->top_k < 0 || p->max_tokens < 1))
		return err_set(err, "top-p %g, top-k %d, %d tokens: out of range", p->top_p, p->top_k,
		    p->max_tokens);
	for (int i = 0; i < r->nmessages; i++)
		if (check_text(r->messages[i].content, "message", i, err) != 0)
			return -1;
	if (r->prefix && check_text(r->prefix, "prefix", 0, err) != 0)
		return -1;
	for (int i = 0; i < r->nchoices; i++) {
		if (check_text(r->choices[i], "choice", i, err) != 0)
			return -1;
		if (!*r->choices[i])
			return err_set(err, "choice %d is empty", i + 1);
	}
	return 0;
}

int llm_submit(struct llm *l, const struct llm_request *r, void *tag, struct err *err)
{
	return check_request(r, err) != 0 ? -1 : l->does->submit(l, r, tag, err);
}

int llm_waiting(const struct llm *l)
{
	return l->does->waiting(l);
}

int llm_batch(const struct llm *l)
{
	return l->does->batch(l);
}

int llm_next(struct llm *l, struct llm_answer **answer, struct err *err)
{
	return l->does->next(l, answer, err);
}

const char *llm_spent(const struct llm *l)
{
	return l->does->spent ? l->does->spent(l) : NULL;
}

void llm_watch(struct llm *l, int fd)
{
	if (l->does->watch)
		l->does->watch(l, fd);
}

struct llm_usage llm_usage(const struct llm *l)
{
	return l->does->usage(l);
}

double llm_latency(const struct llm *l, double part)
{
	return l->does->latency ? l->does->latency(l, part) : 0;
}

const char *llm_model_path(const struct llm *l)
{
	return l->does->model_path ? l->does->model_path(l) : NULL;
}

const char *llm_endpoint(const struct llm *l, int i)
{
	return l->does->endpoint ? l->does->endpoint(l, i) : NULL;
}

void llm_close(struct llm *l)
{
	struct llm_answer *a;
	if (!l)
		return;
	while ((a = llm_take_done(l)))
		llm_answer_free(a);
	l->does->close(l);
}

void llm_put_done(struct llm *l, struct llm_answer *a)
{
	if (l->done)
		l->done_last->next = a;
	else
		l->done = a;
	l->done_last = a;
}

struct llm_answer *llm_take_done(struct llm *l)
{
	struct llm_answer *a = l->done;
	if (a)
		l->done = a->next;
	return a;
}

void llm_completions_free(struct llm_completion *c, int n)
{
	for (int i = 0; c && i < n; i++) {
		free(c[i].text);
		free(c[i].logprobs);
	}
	free(c);
}

void llm_answer_free(struct llm_answer *a)
{
	if (!a)
		return;
	llm_completions_free(a->completions, a->n);
	free(a->err);
	free(a);
}

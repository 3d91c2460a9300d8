/*
 * The one door to a language model: "n continuations of these messages".
 * Implemented by local.c (lib/model, in this process) and by http.c (servers
 * that speak OpenAI's chat completions). Requests are queued and run side by
 * side; an answer does not depend on what runs beside it.
 */
#ifndef MR_LLM_LLM_H
#define MR_LLM_LLM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/message.h"

struct llm_params {
	double temperature;     /* 0: greedy */
	double top_p;           /* (0, 1]; 1: off */
	int top_k;              /* 0: off */
	int max_tokens;         /* > 0 */
};

struct llm_request {
	const struct message *messages;
	int nmessages;
	/* Text that the assistant has already written and that is continued;
	 * NULL: none. It is data: no control tokens in it. A server continues it
	 * only by a choice. */
	const char *prefix;
	/* Where nchoices > 0 nothing is generated: the answer is one of these
	 * texts (all different), sampled from their probabilities as
	 * continuations, renormalised, at the temperature (0: the most likely).
	 * A server is asked which one it is (see choices.h). */
	const char *const *choices;
	int nchoices;
	int n;                  /* continuations wanted, >= 1 */
	struct llm_params params;
	/* Continuation j draws from rng_stream(seed, id, stage, first + j). */
	uint64_t seed;
	const char *id, *stage;
	uint64_t first;
};

enum llm_finish { LLM_STOP, LLM_LENGTH };

struct llm_completion {
	char *text;             /* UTF-8 (broken bytes and U+0000 became U+FFFD), without the turn's end */
	int tokens;             /* generated, the end-of-turn token not counted; -1: a server did not tell */
	enum llm_finish finish;
	int choice;             /* index into choices, or -1: nothing was chosen */
	double *logprobs;       /* nchoices renormalised log-probabilities at temperature 1, or NULL */
};

struct llm_answer {
	void *tag;              /* as given to llm_submit */
	struct llm_completion *completions;
	int n;
	struct err *err;        /* NULL, or why the request failed (then n = 0) */
	struct llm_answer *next;        /* private */
};

/* Servers, all of them with the same model. 0 is a default, but for retries. */
struct llm_servers {
	const char *const *endpoints;   /* base URLs, "http://host:8000" or "http://host:8000/v1" */
	int nendpoints;                 /* 0: none, the model runs in this process */
	const char *key;                /* sent as a bearer token; NULL: none */
	const char *ca_file;            /* certificates to trust, in PEM; NULL: the system's */
	int jobs;                       /* requests in flight, at most LLM_MOST_JOBS */
	double timeout, connect_timeout, idle_timeout;  /* seconds, of one attempt */
	int retries;                    /* attempts after the first one, >= 0 */
	uint64_t budget_requests, budget_tokens;        /* 0: no bound */
	/* NULL, or told what the user should know at once: a server that does
	 * not answer, and that it does again. */
	void (*note)(void *arg, const char *line);
	void *note_arg;
};

enum {
	LLM_MOST_JOBS = 4096,
	/* the defaults; times in seconds */
	LLM_JOBS = 16,
	LLM_TIMEOUT = 600,
	LLM_CONNECT_TIMEOUT = 10,
};

struct llm_options {
	const char *model;      /* a GGUF file; with endpoints the model's name on the servers */
	struct llm_servers servers;
	const char *chat_template;  /* a family's name ("chatml"), or NULL: recognised from the file */
	int threads;            /* <= 0: cpus_available() */
	int batch;              /* sequences decoded side by side, >= 1; 0: default (32) */
	size_t kv_bytes;        /* bound of the key/value cache; 0: default */
	bool exact;             /* the float32 reference path (OpenBLAS) */
	void (*tick)(void *arg);        /* NULL, or called between steps of work: for a progress line */
	void *tick_arg;
};

struct llm_usage {
	uint64_t requests;      /* to a server: every attempt */
	uint64_t retries;       /* those of them that were not the first */
	uint64_t tokens_in, tokens_out;
};

struct llm;

struct llm *llm_open(const struct llm_options *o, struct err *err);
/* Copies the request. -1 with a message where it can never run: longer than
 * the context, not UTF-8. Nothing is queued then. */
int llm_submit(struct llm *l, const struct llm_request *r, void *tag, struct err *err);
/* Continuations that are queued and not yet running: the caller keeps this
 * at about llm_batch() (with servers: the requests in flight) to keep all
 * slots busy. A request with choices counts as one. */
int llm_waiting(const struct llm *l);
int llm_batch(const struct llm *l);
/* Works until a request is done: 1 and *answer (release with
 * llm_answer_free); 0 where nothing is queued; -1 on a failure of the whole
 * engine. Returns 0 early after llm_interrupt(), which a signal handler may
 * call (one interrupt ends one wait; the work is not lost). Answers come in
 * any order. -1 too where servers refuse the key or the model from the
 * start. */
int llm_next(struct llm *l, struct llm_answer **answer, struct err *err);
/* Which budget is spent, or NULL. No request is begun any more; those in
 * flight are still answered, then llm_next returns 0. */
const char *llm_spent(const struct llm *l);
/* With servers, llm_next also returns 0 when fd (-1: none) can be read. */
void llm_watch(struct llm *l, int fd);
void llm_interrupt(void);
void llm_answer_free(struct llm_answer *a);
struct llm_usage llm_usage(const struct llm *l);
/* Seconds within which this part (0 to 1) of the requests that a server has
 * answered were answered, to 2 %; 0 where there were none. */
double llm_latency(const struct llm *l, double part);
/* The model's file, or NULL; base URL i of the servers, normalised, or NULL
 * behind the last one. */
const char *llm_model_path(const struct llm *l);
const char *llm_endpoint(const struct llm *l, int i);
void llm_close(struct llm *l);

#endif

/* What the files of this room share. */
#ifndef MR_LLM_COMMON_H
#define MR_LLM_COMMON_H

#include "llm/llm.h"

struct local;
struct http;

/* llm.h's functions, as open.c has them. */
struct llm_door {
	int (*submit)(struct llm *l, const struct llm_request *r, void *tag, struct err *err);
	int (*waiting)(const struct llm *l);
	int (*batch)(const struct llm *l);
	int (*next)(struct llm *l, struct llm_answer **answer, struct err *err);
	const char *(*spent)(const struct llm *l);
	void (*watch)(struct llm *l, int fd);
	struct llm_usage (*usage)(const struct llm *l);
	double (*latency)(const struct llm *l, double part);
	const char *(*model_path)(const struct llm *l);
	const char *(*endpoint)(const struct llm *l, int i);
	void (*close)(struct llm *l);
};

struct llm {
	const struct llm_door *does;
	/* one of these is there */
	struct local *local;    /* a model in this process (local.h) */
	struct http *http;      /* servers (http.h) */
};

/* Whether llm_interrupt() was called; it is forgotten then. */
bool llm_interrupted(void);
/* A descriptor that becomes readable with an interrupt, for those that sleep;
 * -1 where the system has none left. llm_interrupted() empties it. */
int llm_wake_fd(void);

/* The bytes as valid UTF-8 without U+0000: each bad one became U+FFFD. */
char *text_clean(const char *s, size_t len);

/* x[i] - log sum exp x, n of them */
void choice_normalise(double *x, int n);
/* One of n, by their normalised log-probabilities at a temperature; u is
 * uniform in [0, 1). The likeliest at 0. */
int choice_draw(const double *logprob, int n, double temperature, double u);

#endif

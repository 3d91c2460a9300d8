/* What the files of this room share. */
#ifndef MR_LLM_COMMON_H
#define MR_LLM_COMMON_H

#include "llm/llm.h"

/* llm.h's functions, of one kind of model. */
struct llm_door {
	int (*submit)(struct llm *l, const struct llm_request *r, void *tag, struct err *err);
	int (*waiting)(const struct llm *l);
	int (*batch)(const struct llm *l);
	int (*next)(struct llm *l, struct llm_answer **answer, struct err *err);
	struct llm_usage (*usage)(const struct llm *l);
	void (*close)(struct llm *l);
	/* NULL where there is no such thing */
	const char *(*model_path)(const struct llm *l);
	const char *(*spent)(const struct llm *l);
	void (*watch)(struct llm *l, int fd);
	double (*latency)(const struct llm *l, double part);
	const char *(*endpoint)(const struct llm *l, int i);
};

/* What every kind begins with: struct local (local.h), struct http (http.c). */
struct llm {
	const struct llm_door *does;
	struct llm_answer *done, *done_last;    /* those that llm_next has not given yet */
};

/* Puts an answer behind the others that wait; takes the first one, or NULL. */
void llm_put_done(struct llm *l, struct llm_answer *a);
struct llm_answer *llm_take_done(struct llm *l);

void llm_completions_free(struct llm_completion *c, int n);

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
/* The completion that is the text so drawn. Its tokens are not counted. */
struct llm_completion choice_complete(const char *const *texts, const double *logprob, int n, double temperature,
    double u);

#endif

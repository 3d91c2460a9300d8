/* What the files of this room share. */
#ifndef MR_LLM_COMMON_H
#define MR_LLM_COMMON_H

#include "llm/llm.h"

struct local;
struct http;

/* One of them is there. */
struct llm {
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

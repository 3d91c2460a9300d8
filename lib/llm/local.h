/*
 * The local model's insides, shared by local.c (requests and answers),
 * schedule.c (which rows run next) and prefix.c (prompts kept in the cache).
 */
#ifndef MR_LLM_LOCAL_H
#define MR_LLM_LOCAL_H

#include "base/pool.h"
#include "base/rng.h"
#include "llm/common.h"
#include "model/engine.h"
#include "model/model.h"
#include "model/sampler.h"

/* A request's work is cut into branches that continue its prompt: one for
 * each continuation, or one for each choice whose probability is wanted. */
struct request {
	struct request *next;
	void *tag;
	struct ids prompt;
	struct llm_params params;       /* max_tokens cut to what the context leaves */
	uint64_t seed, first;
	char *id, *stage;
	int n;
	int nchoices;
	char **choice_text;
	struct ids *choice;
	double *score;                  /* of each choice: log-probability */
	int branches, started, ended;
	struct llm_completion *completions;     /* n */
	int seq;                        /* the prompt's, while it is needed; else -1 */
	float *logits;                  /* those after the whole prompt; NULL before */
};

/* A running branch. A continuation feeds the token drawn last; a choice
 * feeds its tokens but the last one. */
struct branch {
	struct request *r;              /* NULL: a free slot */
	int index;                      /* of the continuation or choice */
	int seq;
	struct rng rng;
	struct ids out;                 /* tokens drawn */
	int fed;                        /* tokens of the choice that were fed */
	int row, nrows;                 /* its logits in the step that runs */
	int32_t drawn;
	struct sampler_scratch *scratch;
};

struct prefix {
	struct ids ids;
	int seq;
	uint64_t used;
};

enum { MAX_PREFIXES = 64 };

struct local {
	struct llm llm;                 /* first, so that an llm is a local */
	struct model *model;
	struct pool *pool;
	struct engine *engine;
	int batch;
	int32_t end_of_turn, eos;
	struct request *head, *tail;    /* as they came; the head's prompt runs or its branches start */
	struct branch *slots;           /* batch of them */
	int nrunning;
	float *logits;                  /* of a step: (max_logits, V) */
	int max_logits;
	struct sampler_scratch *scratch;
	struct prefix prefixes[MAX_PREFIXES];
	int nprefixes;
	uint64_t clock;
	bool keep_prefixes;
	struct llm_usage usage;
	void (*tick)(void *arg);
	void *tick_arg;
};

static inline struct local *local_of(const struct llm *l)
{
	return (struct local *)l;
}

/* As llm_open, where there are no servers. */
struct llm *local_open(const struct llm_options *o, struct err *err);

/* For the tests: whether prompts are kept for later requests. The answers
 * are the same. */
void local_keep_prefixes(struct local *l, bool keep);

/* schedule.c */
void local_schedule(struct local *l);                     /* starts what there is room for */
int local_step(struct local *l, struct err *err);         /* runs one step of the engine */

/* local.c: called by the schedule when a request's branches have all ended */
void local_answer(struct local *l, struct request *r);
void local_completion(const struct local *l, struct llm_completion *c, const struct ids *out,
    enum llm_finish finish);

/* prefix.c */
/* A sequence that holds the longest known beginning of ids, at most all but
 * the last of them (that one's logits are needed); an empty one at worst. */
int prefix_take(struct local *l, const struct ids *ids);
/* Keeps a sequence, which it owns from now on. */
void prefix_keep(struct local *l, const struct ids *ids, int seq);
/* Forgets the one used longest ago; false where there is none. */
bool prefix_drop(struct local *l);

#endif

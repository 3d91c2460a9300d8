/*
 * Models behind servers that speak OpenAI's chat completions
 * (POST BASE/chat/completions).
 *
 * A request becomes HTTP requests ("calls"): one for up to HTTP_MOST_N
 * continuations, by the member "n"; one for each continuation where the
 * servers do not know that member. A call's bytes depend on the request and
 * on what the servers can do, never on time, order or what runs beside it.
 */
#ifndef MR_LLM_HTTP_H
#define MR_LLM_HTTP_H

#include "llm/llm.h"

enum { HTTP_MOST_N = 128 };

/* As llm_open, where there are servers. */
struct llm *http_open(const struct llm_options *o, struct err *err);

#endif

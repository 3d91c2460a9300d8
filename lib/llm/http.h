/*
 * Models behind servers that speak OpenAI's chat completions
 * (POST BASE/chat/completions). What llm.h says of its functions; the
 * requests are those that llm_submit has checked.
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

struct http *http_open(const struct llm_options *o, struct err *err);
int http_submit(struct http *h, const struct llm_request *r, void *tag, struct err *err);
int http_waiting(const struct http *h);
int http_jobs(const struct http *h);
int http_next(struct http *h, struct llm_answer **answer, struct err *err);
const char *http_spent(const struct http *h);
void http_watch(struct http *h, int fd);
struct llm_usage http_usage(const struct http *h);
double http_latency(const struct http *h, double part);
const char *http_endpoint(const struct http *h, int i);
void http_close(struct http *h);

#endif

/*
 * OpenAI's chat completions as JSON: what is sent, and what comes back. Pure
 * functions; an answer may be any bytes.
 * https://platform.openai.com/docs/api-reference/chat/create
 */
#ifndef MR_LLM_WIRE_H
#define MR_LLM_WIRE_H

#include <cjson/cJSON.h>

#include "base/buf.h"
#include "llm/llm.h"

/* Members that not every server takes. */
enum {
	WIRE_N = 1,
	WIRE_SEED = 2,
	WIRE_LOGPROBS = 4,
	WIRE_MAX_TOKENS = 8,    /* under this name; "max_completion_tokens" otherwise */
	WIRE_TOP_K = 16,        /* never left out: it would change the answer unseen */
};

enum { WIRE_TOP = 20 };         /* the most alternatives a server tells of a token */

struct wire_request {
	const char *model;
	const char *messages;   /* a JSON array, as wire_messages writes it */
	struct llm_params params;
	int n;
	uint32_t seed;          /* below 2^31 */
	bool logprobs;
	unsigned without;       /* WIRE_… that are left out */
};

/* Appends {"role":…,"content":…} objects with commas between and before, but
 * for the very first of an open array. */
void wire_message(struct buf *out, const char *role, const char *content);

/* The body of a POST. "n" only above 1, "top_k" only above 0. */
void wire_request(const struct wire_request *r, struct buf *out);
/* Which of the WIRE_… members such a body has. */
unsigned wire_members(const struct wire_request *r);

struct wire_choice {
	char *text;             /* as in struct llm_completion */
	enum llm_finish finish;
	const cJSON *logprobs;  /* its "logprobs", or NULL; the answer's */
};

struct wire_answer {
	cJSON *json;
	struct wire_choice *choices;    /* in the order of their "index" */
	int n;
	int64_t tokens_in, tokens_out;  /* of all choices together; -1: not told */
};

/* 0, or -1 with a message where these bytes are no answer with one choice at
 * least (nothing to free then). A null content is an empty text; any
 * finish_reason that says that the text was cut off is LLM_LENGTH. */
int wire_answer(const char *body, size_t len, struct wire_answer *a, struct err *err);
void wire_answer_free(struct wire_answer *a);

/* What the body of a refusal says, in one line of at most 300 bytes, and the
 * member that it is about ("" where it does not tell). An answer with status
 * 200 may hold an error as well: then true, and the status that it names, or
 * 500. */
struct wire_error {
	char message[301];
	char param[41];
	long status;
};
void wire_error(const char *body, size_t len, long status, struct wire_error *e);
bool wire_is_error(const char *body, size_t len, struct wire_error *e);

/* Which of the members that were sent the refusal is about: those that it
 * names; 0: none. */
unsigned wire_refused(const struct wire_error *e, unsigned sent);

#endif

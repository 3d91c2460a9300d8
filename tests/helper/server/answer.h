/* What the test server says: the body of a chat completion. */
#ifndef MR_TESTS_HELPER_SERVER_ANSWER_H
#define MR_TESTS_HELPER_SERVER_ANSWER_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "base/buf.h"

struct answer_options {
	const char *model;      /* in the answer, where the request names none */
	bool no_n, no_logprobs, length;
};

/* The request is an object with messages; attempt counts the same requests
 * before it, and matters where there is no seed. */
void answer_json(const struct answer_options *o, const cJSON *request, unsigned attempt, struct buf *body);

#endif

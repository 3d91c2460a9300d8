/* HTTP/1.1 requests, as much of it as the test server needs. */
#ifndef MR_TESTS_HELPER_SERVER_REQUEST_H
#define MR_TESTS_HELPER_SERVER_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

struct request {
	bool post;
	const char *path, *body, *key;  /* in the buffer; key: what Authorization says, or NULL */
	size_t path_len, body_len, key_len;
	bool last;                      /* Connection: close */
	bool expects;                   /* Expect: 100-continue; set as soon as the head is there */
	size_t end;                     /* bytes of the buffer that it took */
};

/* 1: a whole request stands at the buffer's beginning (the chunks of its body
 * are joined in place), 0: more has to be read, -1: this is no request. */
int request_parse(struct buf *in, struct request *q);

const char *status_reason(int status);

#endif

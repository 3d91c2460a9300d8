/* What holds for any HTTP client that is patient: addresses and waiting.
 * Pure functions. */
#ifndef MR_LLM_HTTP_RULES_H
#define MR_LLM_HTTP_RULES_H

#include <stdbool.h>
#include <time.h>

#include "base/err.h"

/* The base URL of an endpoint, ending in its version and without a slash:
 * "http://host:8000" and "http://host:8000/v1/" both give
 * "http://host:8000/v1"; a path that names a version ("/v1beta/openai") stays
 * as it is, and "/chat/completions" at the end is taken off. NULL for what is
 * no http or https URL, has a user, a password, a query or a fragment; then
 * the message does not repeat it. To be freed with free(). */
char *http_base_url(const char *text, struct err *err);

/* Seconds from now that a Retry-After header's value asks for: a number, or a
 * date (RFC 9110, 10.2.3); at most an hour. -1 where it says neither. */
double http_retry_after(const char *value, time_t now);

/* Seconds before attempt + 1 (attempt: those there were, from 1): 0.2 s,
 * doubled each time up to 20 s, of which a part between a half and the whole
 * is taken: u is uniform in [0, 1). */
double http_backoff(int attempt, double u);

/* The longest that all backoffs of so many retries take together. */
double http_patience(int retries);

/* Whether an answer with this status may be another one the next time. */
bool http_is_temporary(long status);

/* Puts stars over a secret (NULL: none) wherever it stands in the text, and
 * over a beginning of it, of four bytes at least, where the text ends. */
void http_hide(char *text, const char *secret);

#endif

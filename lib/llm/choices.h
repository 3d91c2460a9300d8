/*
 * "Which of these texts?", asked of a chat server, which can neither continue
 * a text exactly nor be held to some answers. What is portable: the text so
 * far as the assistant's turn, a user's turn that asks for the ending alone,
 * and the probabilities of the answer's first token ("top_logprobs").
 *
 * That token tells the choices apart only where they begin differently.
 * Where they do not ("A>>B", "A>B"), each gets a label, which is asked for.
 * Pure functions.
 */
#ifndef MR_LLM_CHOICES_H
#define MR_LLM_CHOICES_H

#include <stdbool.h>

#include <cjson/cJSON.h>

#include "base/buf.h"

struct choices {
	const char *const *texts;
	int n;
	const char *prefix;     /* what they would continue, or NULL */
};

/* Appends the turns to an open JSON array of messages. Without a prefix there
 * are none: the conversation has asked already. */
void choices_ask(const struct choices *c, struct buf *messages);

/* What "logprobs" of an answer says of each choice: log-probabilities, not
 * normalised, -INFINITY for those it does not tell of. false: nothing. */
bool choices_logprobs(const struct choices *c, const cJSON *logprobs, double *out);

/* Which choice an answer's text is, or -1. */
int choices_find(const struct choices *c, const char *text);

#endif

/*
 * Chat templates, by family. The family is recognised from the template in
 * the file (tokenizer.chat_template); the Jinja in it is not run. Control
 * tokens are placed as ids; roles and contents are encoded as plain text.
 * ChatML: a default system message in the file's template is used where the
 * conversation has none.
 */
#ifndef MR_MODEL_CHAT_H
#define MR_MODEL_CHAT_H

#include "base/err.h"
#include "base/message.h"
#include "model/gguf.h"
#include "model/tokenizer.h"

struct chat;

/* family: NULL to recognise it, or a name ("chatml"). The tokenizer must
 * outlive it. NULL with a message that names --chat-template where the
 * template is none that is known or the vocabulary lacks its tokens. */
struct chat *chat_new(const struct gguf *g, const struct tokenizer *t, const char *family, struct err *err);
void chat_free(struct chat *c);
const char *chat_family(const struct chat *c);
/* The system message of a conversation that has none; NULL: no such turn. */
const char *chat_default_system(const struct chat *c);

/* The conversation, each turn closed, and where open is true the opening of
 * the assistant's turn. Appends to out; -1 for a role that is none of
 * system, user, assistant (nothing is appended then). */
int chat_render(const struct chat *c, const struct message *m, int n, bool open, struct ids *out,
    struct err *err);
/* What follows an open assistant's turn: the text and the turn's closing
 * (for ChatML <|im_end|> and a newline): the trainer's completion. */
void chat_completion(const struct chat *c, const char *text, struct ids *out);
/* The token that ends the assistant's turn. */
int32_t chat_end_of_turn(const struct chat *c);

#endif

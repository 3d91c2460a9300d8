/*
 * Chat templates, by family: chatml, llama2, llama3 (with 3.1's dates),
 * mistral, zephyr and gemma. The family is recognised from the template in
 * the file (tokenizer.chat_template); the Jinja in it is not run. What
 * families' templates differ in is read from it: the default system message
 * (or none), the first token, whether contents are trimmed, and for mistral
 * its spaces and the system message's place (the first user's message, the
 * last one, or [SYSTEM_PROMPT]). Where the template would refuse a system
 * message (old Mistral, Gemma), it stands before the first user's message.
 * The first token is also put where the file has all texts begin with it
 * (tokenizer.ggml.add_bos_token).
 *
 * Control tokens are placed as ids; roles and contents are encoded as plain
 * text, so that data cannot forge a turn. What llama2, mistral and zephyr
 * write as plain text where their vocabulary has no token for it ([INST],
 * <<SYS>>, <|user|> …) is cut into single characters where a content spells
 * it: its text stays, but its tokens are never the mark's. (A model can read
 * the characters all the same; it was not trained to obey them.)
 */
#ifndef MR_MODEL_CHAT_H
#define MR_MODEL_CHAT_H

#include "base/err.h"
#include "base/message.h"
#include "model/gguf.h"
#include "model/tokenizer.h"

struct chat;

/* family: NULL to recognise it, or its name. The tokenizer must
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
/* The beginning of an open assistant's turn: text that an answer goes on from. */
void chat_continue(const struct chat *c, const char *text, struct ids *out);
/* What follows an open assistant's turn: the text and the turn's closing
 * (for ChatML <|im_end|> and a newline): the trainer's completion. */
void chat_completion(const struct chat *c, const char *text, struct ids *out);
/* The token that ends the assistant's turn. */
int32_t chat_end_of_turn(const struct chat *c);

#endif

/* Preference pairs as TRL's DPOTrainer reads them. */
#ifndef MR_METHOD_PAIRS_H
#define MR_METHOD_PAIRS_H

#include "base/buf.h"
#include "base/message.h"

/* One JSON object and a newline: {"id","role","prompt":[…],"chosen":[…],
 * "rejected":[…]}; extra is NULL or JSON members to put behind role
 * ("\"category\":\"coding\""). */
void pair_write(struct buf *out, const char *id, const char *role, const struct message *prompt, int nprompt,
    const char *chosen, const char *rejected, const char *extra);

#endif

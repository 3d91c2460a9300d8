/*
 * What is trained on, as token ids: a preference pair, or a demonstration.
 * A prompt is rendered with the model's chat template up to the opening of
 * the assistant's turn; a completion is the text and the turn's closing.
 */
#ifndef MR_TRAIN_EXAMPLES_H
#define MR_TRAIN_EXAMPLES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "model/model.h"
#include "record/record.h"
#include "train/train.h"

/* What a pair is of, by the record's "role". */
enum example_role { ROLE_NONE, ROLE_ACTOR, ROLE_JUDGE, EXAMPLE_ROLES };
const char *example_role_name(enum example_role role);  /* "", "actor", "judge" */

/* A prompt and one or two completions of it. */
struct example {
	char *id;
	int32_t *ids;           /* the prompt, then completion[0], then completion[1] */
	int prompt;             /* tokens */
	int completion[2];      /* tokens; [1] is 0 for a demonstration */
	enum example_role role;
};

struct examples {
	struct example *v;
	uint32_t n;
};

/* "prompt" (text, or messages the last of which is not the assistant's),
 * "chosen" and "rejected" (text, or one assistant message each): the record
 * of mr-pairs and of TRL's DPOTrainer. -1 with a message; nothing is added. */
int examples_add_pair(struct examples *e, const struct record *r, const struct model *m, struct err *err);
/* "messages" (the last one is the assistant's), or "prompt" and "completion"
 * (as chosen above). */
int examples_add_demo(struct examples *e, const struct record *r, const struct model *m, struct err *err);
/* Takes the last one away again. */
void examples_drop_last(struct examples *e);
void examples_free(struct examples *e);

int example_tokens(const struct example *e);    /* of the prompt and all completions */
int example_targets(const struct example *e);   /* of all completions */
int example_length(const struct example *e);    /* of the prompt and the longest completion */

/* Its segments: the prompt at index first, then each completion, a target.
 * Returns how many: 2 or 3. */
int example_segments(const struct example *e, struct segment *s, int first);

/* How many of v[which[0]], v[which[1]] … have together at most limit tokens:
 * what goes through the model side by side. At least 1, at most n. */
uint32_t examples_pack(const struct examples *e, const uint32_t *which, uint32_t n, int limit);
/* The same with at most micro of them; 0: no bound. */
uint32_t examples_micro(const struct examples *e, const uint32_t *which, uint32_t n, int limit, int micro);

/* Whether there are both actor's and judge's pairs. */
bool examples_mixed(const struct examples *e);

#endif

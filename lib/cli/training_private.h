/* What training.c, validation.c and checkpoints.c share. */
#ifndef MR_CLI_TRAINING_PRIVATE_H
#define MR_CLI_TRAINING_PRIVATE_H

#include "cli/training.h"

/* Each adds its options at to, returns how many; there is room for 16. */
size_t validation_options(struct training *t, struct opt *to);
size_t checkpoint_options(struct training *t, struct opt *to);

/* Ends the program with status 1 where the options do not go together. */
void validation_check(struct training *t);
void checkpoint_check(struct training *t);

/* Reads --eval's file; ends the program where a record of it is wrong. */
void validation_read(struct training *t, training_add *add);
/* "length" or "prompt" of the example is beyond the limits: counted. */
bool training_too_long(const struct training *t, const struct example *e, struct training_left_out *out);

/* Takes the folder, looks whether its checkpoint is one of this run. */
void checkpoint_start(struct training *t);
/* Reads it, where --resume found one, and writes its log. */
void checkpoint_resume(struct training *t);
/* Between steps: writes a checkpoint where it is time, or where now is true. */
int checkpoint_step(struct training *t, const struct train_state *s, bool now, struct err *err);
/* The model is written: nothing to go on from is needed. */
void checkpoint_end(struct training *t);
/* "", or what is said behind an error about the checkpoint that is kept. */
const char *checkpoint_kept(const struct training *t);

#endif

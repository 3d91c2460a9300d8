/*
 * A training run's state in a file, from which it can go on: where it is, its
 * log up to there, weights, AdamW's moments, the best weights. Written whole
 * or not at all (base/outfile.h), and ended by its SHA-256, so that a file
 * that was damaged is told from one that is good. In the byte order of the
 * machine.
 */
#ifndef MR_TRAIN_CHECKPOINT_H
#define MR_TRAIN_CHECKPOINT_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "train/loop.h"
#include "train/optim.h"

struct checkpoint {
	struct buf made_by;             /* the owner's text: what the run depends on */
	struct buf log;                 /* the run's log so far */
	struct train_state state;
	float *w, *best;                /* n each; best: NULL where it is not kept */
	struct adamw *adamw;            /* m, v and step; of n elements */
	size_t n;
};

int checkpoint_write(const char *path, const struct checkpoint *c, struct err *err);

/* In two steps, so that made_by can be looked at before the rest is read:
 * checkpoint_open reads made_by, log and state (c's buffers are replaced);
 * checkpoint_load reads the arrays into those of c. NULL and -1 with a message
 * that names the file. checkpoint_close ends both. */
struct checkpoint_file;
struct checkpoint_file *checkpoint_open(const char *path, struct checkpoint *c, struct err *err);
int checkpoint_load(struct checkpoint_file *f, struct checkpoint *c, struct err *err);
void checkpoint_close(struct checkpoint_file *f);

#endif

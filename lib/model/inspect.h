/* What is in a model file, told to people and to programs; and whether all of it can be read. */
#ifndef MR_MODEL_INSPECT_H
#define MR_MODEL_INSPECT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/* Appends a description of the file: a few lines of text, or one line of
 * JSON. Whatever a GGUF file holds is described, also what cannot be used
 * here; -1 with a message where it is no GGUF file. */
int model_describe(const char *path, bool json, struct buf *out, struct err *err);

struct model_check {
	uint64_t tensors, values;
	char sha256[65];
};

/* Reads all of the file: every value of every tensor must be finite. -1 with
 * a message where not, or where stopping (may be NULL) said so. */
int model_check(const char *path, bool (*stopping)(void), struct model_check *result, struct err *err);

#endif

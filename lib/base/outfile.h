/*
 * Output that appears whole or not at all. With a path, bytes go to a file
 * beside it (same directory, name + ".part-" + pid), which out_commit syncs
 * and renames; out_abort removes it. Without a path they go to standard
 * output, in whole pieces as given to out_write (one call, one or more whole
 * lines). What is not a regular file (/dev/null, a FIFO, /dev/stdout) is
 * written directly; a file that is replaced keeps its mode. Every write and
 * the close are checked: a full disk or a closed pipe is an error with a
 * message.
 */
#ifndef MR_BASE_OUTFILE_H
#define MR_BASE_OUTFILE_H

#include <stddef.h>

#include "base/err.h"

struct outfile;

/* path NULL or "-": standard output. NULL with a message on error (a
 * directory, no permission, …), before any work is done. The messages of this
 * file name the file: "out.jsonl: cannot write: No space left on device". */
struct outfile *out_open(const char *path, struct err *err);
int out_write(struct outfile *o, const void *data, size_t len, struct err *err);
int out_flush(struct outfile *o, struct err *err);
/* Both free o. out_commit returns 0, or -1 with a message, and then nothing
 * of the file is left behind. */
int out_commit(struct outfile *o, struct err *err);
void out_abort(struct outfile *o);

/* A file of its own in one go, whole or not at all. */
int out_file(const char *path, const void *data, size_t len, struct err *err);

/* Removes every unfinished file; callable from a signal handler. */
void out_abort_all(void);

#endif

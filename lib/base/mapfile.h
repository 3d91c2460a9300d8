/* A whole regular file, mapped read-only: shared with every process that maps it. */
#ifndef MR_BASE_MAPFILE_H
#define MR_BASE_MAPFILE_H

#include <stddef.h>

#include "base/err.h"

struct mapfile {
	const unsigned char *data;      /* NULL: nothing is mapped */
	size_t size;                    /* > 0 */
};

/* kind: what the file should be ("a GGUF file"), for the message about a
 * directory or an empty file; or NULL. -1 with a message that does not name
 * the file. */
int mapfile_open(struct mapfile *m, const char *path, const char *kind, struct err *err);
void mapfile_close(struct mapfile *m);

#endif

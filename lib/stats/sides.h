/* One model against one baseline at a time: the names that a preference record
 * gives them, "generator_2" and "generator_1". */
#ifndef MR_STATS_SIDES_H
#define MR_STATS_SIDES_H

#include <stdbool.h>

#include "base/err.h"
#include "record/record.h"

/* Zero-initialised; baseline, model; NULL: not said. */
struct sides {
	char *names[2];
	bool known;             /* there was a record */
};
enum { SIDES_BAD = -1, SIDES_OTHER = -2 };
/* SIDES_BAD: a name is no text; SIDES_OTHER: they are not those of the record
 * that was kept. */
int sides_check(const struct sides *s, const struct record *rec, struct err *err);
void sides_keep(struct sides *s, const struct record *rec);     /* of a record that was checked */
bool sides_same(const struct sides *s);         /* a model against itself */
void sides_free(struct sides *s);

#endif

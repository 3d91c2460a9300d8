/* The parts of a report: a tally for each value of a field. */
#ifndef MR_STATS_GROUPS_H
#define MR_STATS_GROUPS_H

#include "base/buf.h"
#include "stats/eval.h"

struct group {
	char *name;
	struct tally t;
};
/* Zero-initialised but for fresh. */
struct groups {
	struct tally fresh;     /* what a new group begins with */
	struct group *v;
	size_t *order;          /* their indices, by name */
	size_t n;
};

/* The value of the field by as text: a string's, or a number's or true's as
 * it stands; "(none)" where there is none. -1: an array or an object. */
int group_name(const struct record *rec, const char *by, struct buf *name, struct err *err);
/* The group of that name, made where there is none; valid until the next call. */
struct group *group_find(struct groups *s, const char *name);
void groups_free(struct groups *s);

#endif

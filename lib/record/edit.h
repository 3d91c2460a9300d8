/* What a stage changes in a record; private to this room. */
#ifndef MR_RECORD_EDIT_H
#define MR_RECORD_EDIT_H

#include <stddef.h>

struct edit {
	char *field;
	char *value;            /* its new value; NULL: the old one with the inner edits */
	size_t index;           /* of an inner edit: the element it is for */
	struct edit *inner;     /* edits of the elements of this field's value, in the order they came */
	size_t ninner, cap;
};

void edits_free(struct edit *e, size_t n);

#endif

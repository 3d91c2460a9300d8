#include "record/edit.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "record/record.h"

void edits_free(struct edit *e, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		edits_free(e[i].inner, e[i].ninner);
		free(e[i].field);
		free(e[i].value);
	}
	free(e);
}

/* A copy on one line: outside of strings, where JSON has no line ends, they
 * are white space. */
static char *copy_value(const char *value)
{
	char *copy = mem_strdup(value);
	for (char *p = copy; (p = strpbrk(p, "\r\n")); )
		*p = ' ';
	return copy;
}

static struct edit *edit_of(struct record *r, const char *field)
{
	for (size_t i = 0; i < r->nedits; i++)
		if (strcmp(r->edits[i].field, field) == 0)
			return &r->edits[i];
	r->edits = mem_grow(r->edits, r->nedits + 1, sizeof(*r->edits));
	r->edits[r->nedits] = (struct edit){ .field = mem_strdup(field) };
	return &r->edits[r->nedits++];
}

void record_set(struct record *r, const char *field, const char *value)
{
	struct edit *e = edit_of(r, field);
	edits_free(e->inner, e->ninner);
	e->inner = NULL;
	e->ninner = e->cap = 0;
	free(e->value);
	e->value = copy_value(value);
}

void record_set_in(struct record *r, const char *array, size_t index, const char *field, const char *value)
{
	struct edit *e = edit_of(r, array);
	if (e->ninner == e->cap) {
		e->cap = e->cap ? e->cap * 2 : 8;
		e->inner = mem_grow(e->inner, e->cap, sizeof(*e->inner));
	}
	e->inner[e->ninner++] = (struct edit){
		.field = mem_strdup(field), .value = copy_value(value), .index = index,
	};
}

/* Inner edits in the order of the elements; those of one element stay in the
 * order they came, which is that of their addresses. */
static int by_element(const void *a, const void *b)
{
	const struct edit *x = *(const struct edit *const *)a, *y = *(const struct edit *const *)b;
	if (x->index != y->index)
		return x->index < y->index ? -1 : 1;
	return (x > y) - (x < y);
}

static void put_object(struct buf *out, const char *text, struct json_span object,
    const struct edit *const *edits, size_t n);

/* The array with the edits in its elements. */
static void put_array(struct buf *out, const char *text, struct json_span array, const struct edit *e)
{
	const struct edit **order = mem_zalloc(e->ninner, sizeof(*order));
	for (size_t i = 0; i < e->ninner; i++)
		order[i] = &e->inner[i];
	qsort(order, e->ninner, sizeof(*order), by_element);
	struct json_each each = json_each(text, array);
	struct json_span key, value;
	size_t done = array.start, next = 0;
	bool is_array = each.close == ']';
	for (size_t i = 0; is_array && next < e->ninner && json_each_next(&each, &key, &value); i++) {
		size_t n = 0;
		while (next + n < e->ninner && order[next + n]->index == i)
			n++;
		if (n && text[value.start] == '{') {
			buf_add(out, text + done, value.start - done);
			put_object(out, text, value, order + next, n);
			done = value.end;
		}
		next += n;
	}
	buf_add(out, text + done, array.end - done);
	free(order);
}

/* The new value of a field whose old one stands at old. */
static void put_value(struct buf *out, const char *text, struct json_span old, const struct edit *e)
{
	if (e->value) {
		text = e->value;
		old = (struct json_span){ 0, strlen(text) };
	}
	if (e->ninner)
		put_array(out, text, old, e);
	else
		buf_add(out, text + old.start, old.end - old.start);
}

/* The last edit of the field with this key, SIZE_MAX where there is none. */
static size_t edit_for(const char *text, struct json_span key, const struct edit *const *edits, size_t n)
{
	while (n-- > 0)
		if (json_equals(text, key, edits[n]->field))
			return n;
	return SIZE_MAX;
}

/* Whether edit i makes a new field: no member has it, no later edit sets it. */
static bool is_new(const char *text, struct json_span object, const struct edit *const *edits, size_t n,
    size_t i)
{
	struct json_span value;
	for (size_t j = i + 1; j < n; j++)
		if (strcmp(edits[j]->field, edits[i]->field) == 0)
			return false;
	return edits[i]->value && !json_member(text, object, edits[i]->field, &value);
}

/* The object with the edits: changed members in their places, new ones
 * behind the last. */
static void put_object(struct buf *out, const char *text, struct json_span object,
    const struct edit *const *edits, size_t n)
{
	struct json_each each = json_each(text, object);
	struct json_span key, value;
	size_t done = object.start, last = each.at;
	bool empty = true;
	while (json_each_next(&each, &key, &value)) {
		size_t i = edit_for(text, key, edits, n);
		if (i != SIZE_MAX) {
			buf_add(out, text + done, value.start - done);
			put_value(out, text, value, edits[i]);
			done = value.end;
		}
		last = value.end;
		empty = false;
	}
	buf_add(out, text + done, last - done);
	for (size_t i = 0; i < n; i++) {
		if (!is_new(text, object, edits, n, i))
			continue;
		if (!empty)
			buf_addc(out, ',');
		empty = false;
		buf_json_string(out, edits[i]->field, strlen(edits[i]->field));
		buf_addc(out, ':');
		put_value(out, text, (struct json_span){ 0, 0 }, edits[i]);
	}
	buf_add(out, text + last, object.end - last);
}

void record_write(const struct record *r, struct buf *out)
{
	const struct edit **edits = mem_zalloc(r->nedits, sizeof(*edits));
	for (size_t i = 0; i < r->nedits; i++)
		edits[i] = &r->edits[i];
	buf_reserve(out, r->len + 1);
	put_object(out, r->line, (struct json_span){ 0, r->len }, edits, r->nedits);
	buf_addc(out, '\n');
	free(edits);
}

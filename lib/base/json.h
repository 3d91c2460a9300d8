/*
 * JSON text as bytes (RFC 8259). cJSON reads values; this file finds where
 * they stand, so that a stage can add a field and leave every other byte as
 * it came. Strings and numbers are written by buf_json_* (base/buf.h).
 */
#ifndef MR_BASE_JSON_H
#define MR_BASE_JSON_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

struct json_span {
	size_t start, end;      /* bytes [start, end) of the text */
};

/* Strictly one JSON value and white space around it: UTF-8, no control
 * characters in strings, no leading zeros, no lone surrogates, depth <= 512.
 * The message says what is wrong and where, bytes counted from 1: "not JSON:
 * a value is missing at byte 17", "not UTF-8 at byte 5". */
int json_check(const char *text, size_t len, struct err *err);

/* All that follow expect text that json_check has passed. A span may begin
 * with white space. */

/* The members of an object, or the elements of an array, in turn; of any
 * other value there are none. json_each_next: 1, or 0 at the end; key (in
 * its quotes) is empty for an element. No white space in either span. */
struct json_each {
	const char *text;
	size_t at;
	char close;
};
struct json_each json_each(const char *text, struct json_span container);
int json_each_next(struct json_each *e, struct json_span *key, struct json_span *value);
/* 1 where the string in this span, its escapes resolved, equals s. */
int json_equals(const char *text, struct json_span string, const char *s);

/* 1: found (of a key that is there twice, the first), 0: not. */
int json_member(const char *text, struct json_span object, const char *key, struct json_span *value);
int json_element(const char *text, struct json_span array, size_t index, struct json_span *value);
/* 1 where the object has a key twice. */
int json_key_twice(const char *text, struct json_span object, const char *key);
/* 1 where a string inside the span holds an escaped U+0000. */
int json_has_nul(const char *text, struct json_span value);

#endif

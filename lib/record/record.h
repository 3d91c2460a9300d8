/*
 * A record: one line of JSON Lines (see mr-records(5)). Parsed once, edited
 * by splicing: what a stage does not set comes out with the same bytes.
 *
 * Ownership: the record owns the line, the cJSON tree and the edits; the
 * strings returned by the getters live as long as the record.
 */
#ifndef MR_RECORD_RECORD_H
#define MR_RECORD_RECORD_H

#include <stdbool.h>
#include <stddef.h>

#include <cjson/cJSON.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/message.h"
#include "base/sha256.h"

struct record {
	char *line;             /* without the newline */
	size_t len;
	cJSON *json;            /* an object */
	char *id;               /* "id" as text; or "sha256:" and 32 hex digits (of the prompt) */
	struct edit *edits;     /* one for each field of the record that is changed */
	size_t nedits;
	bool escaped_nul;       /* there is a \u0000 somewhere in the line */
};

/* Copies the line. -1: not JSON, not UTF-8, not an object, an "id" that is
 * neither a string (not empty) nor a number, a key twice in one object at any
 * level, a key with U+0000; one message, and nothing to free. A record
 * without a prompt has its whole line hashed for its id. */
int record_parse(struct record *r, const char *line, size_t len, struct err *err);
void record_free(struct record *r);

/* Getters. On a missing field or the wrong type, -1 (NULL) and a message
 * such as: "responses" is missing; run mr-sample first. A string with an
 * escaped U+0000 in it is an error here, never a silent cut. */
const char *record_string(const struct record *r, const char *key, struct err *err);
/* "messages" ([{"role","content"}, …]), or "prompt" (a string, or such an
 * array) as one user message. At least one message; the last one is not the
 * assistant's and not empty. *m is allocated in a, its strings are the
 * record's. Returns the count or -1. */
int record_messages(const struct record *r, struct arena *a, struct message **m, struct err *err);
/* The array under key, every element of which is an object; hint says which
 * tool makes it ("run mr-sample first"). */
const cJSON *record_array(const struct record *r, const char *key, const char *hint, struct err *err);
/* String and number members of an object inside the record; where names it
 * in messages ("responses[2]"). record_text checks U+0000 too. */
const char *record_text(const struct record *r, const cJSON *object, const char *where, const char *key,
    struct err *err);
bool record_has(const struct record *r, const char *key);

/* Sets a field to a JSON value (text): in the record itself, or in element
 * index of the array under key. A field that is there is replaced in its
 * place, a new one goes behind the last one; what is around keeps its bytes.
 * Setting the same field twice: the last one stands; a field set as a whole
 * replaces what was set in its elements before, and later edits go into its
 * new value. An element that is not there, or no object, takes no field. The
 * getters go on giving what was read. */
void record_set(struct record *r, const char *field, const char *value);
void record_set_in(struct record *r, const char *array, size_t index, const char *field, const char *value);
/* Adds the line with the edits, and a newline, to out. */
void record_write(const struct record *r, struct buf *out);

/* Lines from files in turn, or from standard input where there are none
 * ("-" is standard input too). Constant memory but for the line itself. */
struct reader {
	char **paths;
	int npaths, next;
	const char *name;       /* of the current file; "standard input" for stdin */
	long lineno;            /* of the current line, from 1 */
	int fd;
	struct buf ahead;       /* bytes read and not yet given out */
	size_t ahead_at;
	bool at_end;            /* of the current file */
	char *line;             /* the current line, without its newline; in ahead, until the next call */
	size_t len;
	double bytes_done, bytes_total; /* total 0 where unknown (a pipe) */
	struct sha256 hash;     /* of every byte read */
};

/* Every file is looked at before anything is read: a directory, or one that
 * is not there or not readable, is an error whose message names it. */
int reader_open(struct reader *r, char **paths, int npaths, struct err *err);
/* 1: a line (blank ones, and a byte order mark at a file's start, are passed
 * over); 0: the end, or a signal's handler ran while it waited (calling again
 * goes on where it was); -1: a read error; the message does not name the file
 * (name and lineno do). */
int reader_next(struct reader *r, struct err *err);
/* Whether reader_next would not have to wait for a slow pipe: the next whole
 * line is in memory, the file is a regular one, or poll(2) says there is
 * something to read (or the end). It may still wait for the rest of a line. */
bool reader_ready(struct reader *r);
void reader_close(struct reader *r);

#endif

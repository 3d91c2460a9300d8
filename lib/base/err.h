/*
 * Errors go up as values. A function that can fail takes a struct err as its
 * last argument, returns -1 (or NULL), and leaves one line in it: what is
 * wrong and what to do, without the program's name, the file or a newline;
 * whoever prints it adds those. err may be NULL where the caller does not
 * want the message.
 */
#ifndef MR_BASE_ERR_H
#define MR_BASE_ERR_H

struct err {
	char msg[512];
};

/* Sets the message (cut at its buffer's end, on a character's boundary).
 * Always returns -1, so that `return err_set(err, …);` reads well. */
int err_set(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The same, followed by ": " and strerror(errno). */
int err_sys(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif

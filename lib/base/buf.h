/*
 * A growable array of bytes. Zero-initialise it; after the first add, data
 * is always followed by a NUL that len does not count. The owner calls
 * buf_free, or takes the bytes with buf_take (to be freed with free()).
 */
#ifndef MR_BASE_BUF_H
#define MR_BASE_BUF_H

#include <stddef.h>

struct buf {
	char *data;
	size_t len, cap;
};

void buf_reserve(struct buf *b, size_t more);
void buf_add(struct buf *b, const void *data, size_t len);
void buf_adds(struct buf *b, const char *s);
void buf_addc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_reset(struct buf *b);          /* len = 0, memory kept */
char *buf_take(struct buf *b);          /* never NULL; b is empty afterwards */
void buf_free(struct buf *b);

/* JSON text: a string in quotes (bytes that are not UTF-8 become U+FFFD),
 * and the shortest decimal that reads back as the same double (null for NaN
 * and the infinities). */
void buf_json_string(struct buf *b, const char *s, size_t len);
void buf_json_number(struct buf *b, double x);

#endif

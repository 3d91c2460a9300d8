#include "base/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void buf_reserve(struct buf *b, size_t more)
{
	if (b->data && b->cap - b->len > more)
		return;
	size_t need = more < SIZE_MAX - b->len ? b->len + more + 1 : SIZE_MAX;
	size_t cap = b->cap < SIZE_MAX / 2 ? b->cap * 2 : need;
	if (cap < need)
		cap = need;
	if (cap < 64)
		cap = 64;
	b->data = mem_grow(b->data, cap, 1);
	b->cap = cap;
	b->data[b->len] = '\0';
}

void buf_add(struct buf *b, const void *data, size_t len)
{
	buf_reserve(b, len);
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void buf_adds(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_addc(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	buf_reserve(b, 0);
	int n = vsnprintf(b->data + b->len, b->cap - b->len, fmt, ap);
	va_end(ap);
	/* Only a text beyond INT_MAX bytes fails, which is a want of room too. */
	size_t len = n < 0 ? SIZE_MAX : (size_t)n;
	if (len >= b->cap - b->len) {
		buf_reserve(b, len);
		vsnprintf(b->data + b->len, len + 1, fmt, again);
	}
	va_end(again);
	b->len += len;
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	if (b->data)
		b->data[0] = '\0';
}

char *buf_take(struct buf *b)
{
	buf_reserve(b, 0);
	char *data = b->data;
	*b = (struct buf){ 0 };
	return data;
}

void buf_free(struct buf *b)
{
	free(b->data);
	*b = (struct buf){ 0 };
}

#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Not further than cap - 1, and not inside a UTF-8 sequence. */
static size_t cut(const char *s, size_t len, size_t cap)
{
	if (len < cap)
		return len;
	size_t n = cap - 1;
	size_t back = n;
	while (back > 0 && n - back < 4 && ((unsigned char)s[back] & 0xc0) == 0x80)
		back--;
	return ((unsigned char)s[back] & 0xc0) == 0x80 ? n : back;
}

/* The message is made aside, since an argument may be err->msg itself. */
static void store(struct err *err, const char *text)
{
	size_t len = strlen(text), n = cut(text, len, sizeof(err->msg));
	memcpy(err->msg, text, n);
	err->msg[n] = '\0';
}

int err_set(struct err *err, const char *fmt, ...)
{
	if (!err)
		return -1;
	char text[sizeof(err->msg) + 8];
	va_list ap;
	va_start(ap, fmt);
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	va_end(ap);
	store(err, text);
	return -1;
}

int err_sys(struct err *err, const char *fmt, ...)
{
	int saved = errno;
	if (!err)
		return -1;
	char text[sizeof(err->msg) + 8], why[128];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		n = 0;
	if ((size_t)n < sizeof(text))
		snprintf(text + n, sizeof(text) - (size_t)n, ": %s", strerror_r(saved, why, sizeof(why)));
	store(err, text);
	errno = saved;
	return -1;
}

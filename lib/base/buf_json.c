#include "base/buf.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"

/* Bytes that stand for themselves in a JSON string. */
static size_t plain_run(const char *s, size_t len)
{
	size_t i = 0;
	while (i < len) {
		unsigned char c = (unsigned char)s[i];
		size_t n = 1;
		if (c < 0x20 || c == '"' || c == '\\' ||
		    (c >= 0x80 && utf8_decode(s + i, len - i, &n) == UTF8_BAD))
			break;
		i += n;
	}
	return i;
}

static void escape(struct buf *b, unsigned char c)
{
	switch (c) {
	case '"': buf_adds(b, "\\\""); break;
	case '\\': buf_adds(b, "\\\\"); break;
	case '\b': buf_adds(b, "\\b"); break;
	case '\f': buf_adds(b, "\\f"); break;
	case '\n': buf_adds(b, "\\n"); break;
	case '\r': buf_adds(b, "\\r"); break;
	case '\t': buf_adds(b, "\\t"); break;
	default:
		if (c < 0x20)
			buf_printf(b, "\\u%04x", c);
		else
			buf_adds(b, "\xef\xbf\xbd");
	}
}

void buf_json_string(struct buf *b, const char *s, size_t len)
{
	buf_addc(b, '"');
	while (len) {
		size_t n = plain_run(s, len);
		buf_add(b, s, n);
		s += n;
		len -= n;
		if (len) {
			escape(b, (unsigned char)*s++);
			len--;
		}
	}
	buf_addc(b, '"');
}

void buf_json_number(struct buf *b, double x)
{
	if (!isfinite(x)) {
		buf_adds(b, "null");
		return;
	}
	/* A normal double that fewer digits name is printed with those by 15. */
	char text[40];
	for (int digits = fabs(x) < DBL_MIN ? 1 : 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, x);
		if (strtod(text, NULL) == x)
			break;
	}
	buf_adds(b, text);
}

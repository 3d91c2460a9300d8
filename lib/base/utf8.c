#include "base/utf8.h"

uint32_t utf8_decode(const char *s, size_t len, size_t *n)
{
	const unsigned char *p = (const unsigned char *)s;
	uint32_t c = p[0];
	*n = 1;
	if (c < 0x80)
		return c;
	size_t more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
	if (c < 0xc2 || c > 0xf4 || len <= more)
		return UTF8_BAD;
	/* The second byte's range excludes overlong forms, surrogates and
	 * what is beyond U+10FFFF. */
	unsigned char low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
	unsigned char high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
	if (p[1] < low || p[1] > high)
		return UTF8_BAD;
	uint32_t cp = (c & (0x3fu >> more)) << 6 | (p[1] & 0x3fu);
	for (size_t i = 2; i <= more; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return UTF8_BAD;
		cp = cp << 6 | (p[i] & 0x3fu);
	}
	*n = more + 1;
	return cp;
}

size_t utf8_encode(uint32_t cp, char out[4])
{
	if (cp < 0x80) {
		out[0] = (char)cp;
		return 1;
	}
	if (cp < 0x800) {
		out[0] = (char)(0xc0 | cp >> 6);
		out[1] = (char)(0x80 | (cp & 0x3f));
		return 2;
	}
	if ((cp >= 0xd800 && cp <= 0xdfff) || cp > 0x10ffff)
		cp = 0xfffd;
	if (cp < 0x10000) {
		out[0] = (char)(0xe0 | cp >> 12);
		out[1] = (char)(0x80 | (cp >> 6 & 0x3f));
		out[2] = (char)(0x80 | (cp & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | cp >> 18);
	out[1] = (char)(0x80 | (cp >> 12 & 0x3f));
	out[2] = (char)(0x80 | (cp >> 6 & 0x3f));
	out[3] = (char)(0x80 | (cp & 0x3f));
	return 4;
}

size_t utf8_check(const char *s, size_t len)
{
	for (size_t i = 0, n; i < len; i += n)
		if (utf8_decode(s + i, len - i, &n) == UTF8_BAD)
			return i;
	return len;
}

size_t utf8_length(const char *s, size_t len)
{
	size_t count = 0;
	for (size_t i = 0, n; i < len; i += n, count++)
		utf8_decode(s + i, len - i, &n);
	return count;
}

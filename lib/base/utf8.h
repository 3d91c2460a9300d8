/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, up to U+10FFFF. */
#ifndef MR_BASE_UTF8_H
#define MR_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

#define UTF8_BAD 0xffffffffu

/* The code point at s (len >= 1 bytes left) and its number of bytes in *n;
 * UTF8_BAD with *n = 1 where the bytes are not UTF-8. */
uint32_t utf8_decode(const char *s, size_t len, size_t *n);

/* Writes 1 to 4 bytes to out, returns how many. */
size_t utf8_encode(uint32_t cp, char out[4]);

/* Offset of the first byte that is not UTF-8, or len. */
size_t utf8_check(const char *s, size_t len);

/* Number of code points; every byte that is not UTF-8 counts as one. */
size_t utf8_length(const char *s, size_t len);

#endif

/* The compression function, plain and with the SHA instructions of x86-64;
 * private to sha256.c and to its test. */
#ifndef MR_BASE_SHA256_COMPRESS_H
#define MR_BASE_SHA256_COMPRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern const uint32_t sha256_k[64];
void sha256_portable_compress(uint32_t h[8], const unsigned char *p, size_t blocks);

/* False on a machine without them. */
bool sha256_x86_usable(void);
void sha256_x86_compress(uint32_t h[8], const unsigned char *p, size_t blocks);

#endif

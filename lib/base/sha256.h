/* SHA-256 (FIPS 180-4). */
#ifndef MR_BASE_SHA256_H
#define MR_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct sha256 {
	uint32_t h[8];
	uint64_t bytes;
	unsigned char block[64];
};

void sha256_init(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *data, size_t len);
void sha256_end(struct sha256 *s, unsigned char out[32]);
void sha256_end_hex(struct sha256 *s, char hex[65]);
/* Of a whole file; 0, or -1 with a message. */
int sha256_file(const char *path, char hex[65], struct err *err);

#endif

#include "base/sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sha256_compress.h"

#define FILE_CHUNK ((size_t)1 << 18)

const uint32_t sha256_k[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t ror(uint32_t x, int n)
{
	return x >> n | x << (32 - n);
}

static uint32_t load_be(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void store_be(unsigned char *p, uint32_t x)
{
	p[0] = (unsigned char)(x >> 24);
	p[1] = (unsigned char)(x >> 16);
	p[2] = (unsigned char)(x >> 8);
	p[3] = (unsigned char)x;
}

/* One round; the caller rotates the names of the eight words. */
#define ROUND(a, b, c, d, e, f, g, h, i) do { \
	uint32_t t1 = h + (ror(e, 6) ^ ror(e, 11) ^ ror(e, 25)) + \
	    (g ^ (e & (f ^ g))) + sha256_k[i] + w[(i) & 15]; \
	uint32_t t2 = (ror(a, 2) ^ ror(a, 13) ^ ror(a, 22)) + ((a & b) | (c & (a | b))); \
	d += t1; \
	h = t1 + t2; \
} while (0)

static void schedule(uint32_t w[16])
{
	for (int i = 0; i < 16; i++) {
		uint32_t x = w[(i + 1) & 15], y = w[(i + 14) & 15];
		w[i] += w[(i + 9) & 15] +
		    (ror(x, 7) ^ ror(x, 18) ^ x >> 3) + (ror(y, 17) ^ ror(y, 19) ^ y >> 10);
	}
}

void sha256_portable_compress(uint32_t s[8], const unsigned char *p, size_t blocks)
{
	for (; blocks; blocks--, p += 64) {
		uint32_t w[16];
		uint32_t a = s[0], b = s[1], c = s[2], d = s[3];
		uint32_t e = s[4], f = s[5], g = s[6], h = s[7];
		for (int i = 0; i < 16; i++)
			w[i] = load_be(p + 4 * i);
		for (int i = 0; i < 64; i += 8) {
			if (i && i % 16 == 0)
				schedule(w);
			ROUND(a, b, c, d, e, f, g, h, i);
			ROUND(h, a, b, c, d, e, f, g, i + 1);
			ROUND(g, h, a, b, c, d, e, f, i + 2);
			ROUND(f, g, h, a, b, c, d, e, i + 3);
			ROUND(e, f, g, h, a, b, c, d, i + 4);
			ROUND(d, e, f, g, h, a, b, c, i + 5);
			ROUND(c, d, e, f, g, h, a, b, i + 6);
			ROUND(b, c, d, e, f, g, h, a, i + 7);
		}
		s[0] += a, s[1] += b, s[2] += c, s[3] += d;
		s[4] += e, s[5] += f, s[6] += g, s[7] += h;
	}
}

static void compress(uint32_t s[8], const unsigned char *p, size_t blocks)
{
	if (sha256_x86_usable())
		sha256_x86_compress(s, p, blocks);
	else
		sha256_portable_compress(s, p, blocks);
}

void sha256_init(struct sha256 *s)
{
	*s = (struct sha256){ .h = {
		0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
		0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
	} };
}

void sha256_add(struct sha256 *s, const void *data, size_t len)
{
	const unsigned char *p = data;
	size_t held = s->bytes % 64;
	s->bytes += len;
	if (held) {
		size_t n = len < 64 - held ? len : 64 - held;
		if (n)
			memcpy(s->block + held, p, n);
		if (held + n < 64)
			return;
		compress(s->h, s->block, 1);
		p += n;
		len -= n;
	}
	if (len >= 64) {
		compress(s->h, p, len / 64);
		p += len / 64 * 64;
		len %= 64;
	}
	if (len)
		memcpy(s->block, p, len);
}

void sha256_end(struct sha256 *s, unsigned char out[32])
{
	uint64_t bits = s->bytes * 8;
	unsigned char tail[72] = { 0x80 };
	size_t pad = 1 + (119 - s->bytes % 64) % 64;
	store_be(tail + pad, (uint32_t)(bits >> 32));
	store_be(tail + pad + 4, (uint32_t)bits);
	sha256_add(s, tail, pad + 8);
	for (int i = 0; i < 8; i++)
		store_be(out + 4 * i, s->h[i]);
}

void sha256_end_hex(struct sha256 *s, char hex[65])
{
	unsigned char out[32];
	sha256_end(s, out);
	for (int i = 0; i < 32; i++) {
		hex[2 * i] = "0123456789abcdef"[out[i] >> 4];
		hex[2 * i + 1] = "0123456789abcdef"[out[i] & 15];
	}
	hex[64] = '\0';
}

static int add_descriptor(struct sha256 *s, int fd, struct err *err)
{
	unsigned char *chunk = mem_grow(NULL, FILE_CHUNK, 1);
	ssize_t n;
	while ((n = read(fd, chunk, FILE_CHUNK)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		sha256_add(s, chunk, (size_t)n);
	}
	if (n < 0)
		err_sys(err, "cannot read");
	free(chunk);
	return n < 0 ? -1 : 0;
}

int sha256_file(const char *path, char hex[65], struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, "cannot open");
	struct sha256 s;
	sha256_init(&s);
	int bad = add_descriptor(&s, fd, err);
	close(fd);
	if (bad)
		return -1;
	sha256_end_hex(&s, hex);
	return 0;
}

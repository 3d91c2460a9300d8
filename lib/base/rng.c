#include "base/rng.h"

#include <string.h>

#include "base/sha256.h"

__extension__ typedef unsigned __int128 u128;

void philox4x32(const uint32_t key[2], const uint32_t ctr[4], uint32_t out[4])
{
	uint32_t k0 = key[0], k1 = key[1];
	uint32_t c0 = ctr[0], c1 = ctr[1], c2 = ctr[2], c3 = ctr[3];
	for (int round = 0; round < 10; round++) {
		uint64_t p0 = (uint64_t)0xd2511f53 * c0, p1 = (uint64_t)0xcd9e8d57 * c2;
		c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
		c1 = (uint32_t)p1;
		c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
		c3 = (uint32_t)p0;
		k0 += 0x9e3779b9;
		k1 += 0xbb67ae85;
	}
	out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

static void put_le64(unsigned char out[8], uint64_t x)
{
	for (int i = 0; i < 8; i++)
		out[i] = (unsigned char)(x >> (8 * i));
}

static uint32_t get_le32(const unsigned char *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

struct rng rng_stream(uint64_t seed, const char *id, const char *stage, uint64_t index)
{
	struct sha256 s;
	unsigned char number[8], hash[32];
	sha256_init(&s);
	put_le64(number, seed);
	sha256_add(&s, number, 8);
	sha256_add(&s, id, strlen(id) + 1);
	sha256_add(&s, stage, strlen(stage) + 1);
	put_le64(number, index);
	sha256_add(&s, number, 8);
	sha256_end(&s, hash);
	return (struct rng){
		.key = { get_le32(hash), get_le32(hash + 4) },
		.ctr = { get_le32(hash + 8), get_le32(hash + 12) },
	};
}

uint64_t rng_u64(const struct rng *r, uint64_t i)
{
	uint32_t ctr[4] = { (uint32_t)i, (uint32_t)(i >> 32), r->ctr[0], r->ctr[1] }, out[4];
	philox4x32(r->key, ctr, out);
	return out[0] | (uint64_t)out[1] << 32;
}

double rng_uniform(const struct rng *r, uint64_t i)
{
	return (double)(rng_u64(r, i) >> 11) * 0x1p-53;
}

/* The high half of a 128-bit product: off from uniform by less than n / 2^64,
 * and, unlike rejection, one draw for each i. */
uint64_t rng_below(const struct rng *r, uint64_t i, uint64_t n)
{
	return (uint64_t)((u128)rng_u64(r, i) * n >> 64);
}

void rng_shuffle(const struct rng *r, uint32_t *perm, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		perm[i] = i;
	for (uint32_t i = n; i > 1; i--) {
		uint32_t j = (uint32_t)rng_below(r, i - 1, i), t = perm[i - 1];
		perm[i - 1] = perm[j];
		perm[j] = t;
	}
}

/*
 * Counter-based random numbers: Philox4x32-10 (Salmon et al., SC 2011).
 * A stream is named by (seed, id, stage, index); its i-th draw is a pure
 * function of the name and i. So a draw does not depend on threads, batch,
 * order, split or resume, which is what makes "the same seed gives the same
 * bytes" hold.
 */
#ifndef MR_BASE_RNG_H
#define MR_BASE_RNG_H

#include <stdint.h>

struct rng {
	uint32_t key[2];
	uint32_t ctr[2];        /* the high half of the counter, from the name */
};

/* The stream of a name: key and counter are the first bytes of
 * SHA-256(seed as 8 bytes LE, id, NUL, stage, NUL, index as 8 bytes LE). */
struct rng rng_stream(uint64_t seed, const char *id, const char *stage, uint64_t index);

uint64_t rng_u64(const struct rng *r, uint64_t i);
double rng_uniform(const struct rng *r, uint64_t i);                 /* [0, 1), 53 bits */
uint64_t rng_below(const struct rng *r, uint64_t i, uint64_t n);     /* 0 … n-1, n > 0 */
/* Fills perm with 0 … n-1 in random order (Fisher-Yates; draws 1 … n-1). */
void rng_shuffle(const struct rng *r, uint32_t *perm, uint32_t n);

/* The raw block function, for the tests' known answers. */
void philox4x32(const uint32_t key[2], const uint32_t ctr[4], uint32_t out[4]);

#endif

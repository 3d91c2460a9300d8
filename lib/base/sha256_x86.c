#include "base/sha256_compress.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>
#include <stdatomic.h>

bool sha256_x86_usable(void)
{
	/* What cpuid says is kept: in a virtual machine it is slow. */
	static atomic_int known;        /* 0: not asked yet, 1: no, 2: yes */
	unsigned a, b, c, d;
	int answer = atomic_load_explicit(&known, memory_order_relaxed);
	if (!answer) {
		bool usable = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSSE3) && (c & bit_SSE4_1) &&
		    __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA);
		answer = usable ? 2 : 1;
		atomic_store_explicit(&known, answer, memory_order_relaxed);
	}
	return answer == 2;
}

__attribute__((target("sha,ssse3,sse4.1")))
void sha256_x86_compress(uint32_t h[8], const unsigned char *p, size_t blocks)
{
	const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
	/* The instructions want the words as A B E F and C D G H. */
	__m128i abcd = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)h), 0xb1);
	__m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(h + 4)), 0x1b);
	__m128i s0 = _mm_alignr_epi8(abcd, efgh, 8), s1 = _mm_blend_epi16(efgh, abcd, 0xf0);
	for (; blocks; blocks--, p += 64) {
		__m128i w[4], before0 = s0, before1 = s1;
#pragma GCC unroll 16
		for (int i = 0; i < 16; i++) {
			__m128i *now = &w[i & 3], last = w[(i + 3) & 3];
			if (i < 4)
				*now = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(p + 16 * i)), swap);
			else
				*now = _mm_sha256msg2_epu32(_mm_add_epi32(
				    _mm_sha256msg1_epu32(*now, w[(i + 1) & 3]),
				    _mm_alignr_epi8(last, w[(i + 2) & 3], 4)), last);
			__m128i m = _mm_add_epi32(*now, _mm_loadu_si128((const __m128i *)(sha256_k + 4 * i)));
			s1 = _mm_sha256rnds2_epu32(s1, s0, m);
			s0 = _mm_sha256rnds2_epu32(s0, s1, _mm_shuffle_epi32(m, 0x0e));
		}
		s0 = _mm_add_epi32(s0, before0);
		s1 = _mm_add_epi32(s1, before1);
	}
	abcd = _mm_shuffle_epi32(s0, 0x1b);
	efgh = _mm_shuffle_epi32(s1, 0xb1);
	_mm_storeu_si128((__m128i *)h, _mm_blend_epi16(abcd, efgh, 0xf0));
	_mm_storeu_si128((__m128i *)(h + 4), _mm_alignr_epi8(efgh, abcd, 8));
}

#else

bool sha256_x86_usable(void)
{
	return false;
}

void sha256_x86_compress(uint32_t h[8], const unsigned char *p, size_t blocks)
{
	(void)h, (void)p, (void)blocks;
}

#endif

/* For AVX2 and for what has more: rounding x to integers, and loads. */
#ifndef MR_MODEL_KERNELS_COMMON_AVX2_H
#define MR_MODEL_KERNELS_COMMON_AVX2_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The largest magnitude; larger than any where one is not a number. */
static inline float largest_of_32(const float *x)
{
	const __m256i sign = _mm256_set1_epi32(0x7fffffff);
	__m256i a = _mm256_and_si256(_mm256_loadu_si256((const void *)x), sign);
	for (int i = 8; i < 32; i += 8)
		a = _mm256_max_epi32(a, _mm256_and_si256(_mm256_loadu_si256((const void *)(x + i)), sign));
	__m128i b = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
	b = _mm_max_epi32(b, _mm_shuffle_epi32(b, 0x4e));
	b = _mm_max_epi32(b, _mm_shuffle_epi32(b, 0xb1));
	return _mm_cvtss_f32(_mm_castsi128_ps(b));
}

/* q = x * by, rounded to the nearest, of each four 0, 2, 1, 3; their sum. */
static inline int round_32(int16_t *q, const float *x, float by)
{
	const __m256 f = _mm256_set1_ps(by);
	__m256i sum = _mm256_setzero_si256();
	for (int i = 0; i < 32; i += 16) {
		__m256i a = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i), f));
		__m256i b = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i + 8), f));
		sum = _mm256_add_epi32(sum, _mm256_add_epi32(a, b));
		a = _mm256_shuffle_epi32(a, 0xd8);
		b = _mm256_shuffle_epi32(b, 0xd8);
		a = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
		_mm256_storeu_si256((void *)(q + i), a);
	}
	__m128i s = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
	s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
	s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
	return _mm_cvtsi128_si32(s);
}

static inline __m128i sixteen_bytes(const unsigned char *p)
{
	return _mm_loadu_si128((const void *)p);
}

static inline __m128i four_words(const unsigned char *p, size_t stride)
{
	int v[4];
	for (size_t i = 0; i < 4; i++)
		memcpy(&v[i], p + i * stride, sizeof v[i]);
	return _mm_setr_epi32(v[0], v[1], v[2], v[3]);
}

/* Four bytes of each of eight rows, stride bytes apart. */
static inline __m256i eight_words(const unsigned char *p, size_t stride)
{
	return _mm256_setr_m128i(four_words(p, stride), four_words(p + 4 * stride, stride));
}

#endif

/* Sixteen lanes in two registers, one after the other. */
#include <immintrin.h>
#include <string.h>

#include "model/kernels/common_avx2.h"

#define LANES 8
#define TILE_M 2        /* 2 x 6 accumulators of 16 registers */
#define TILE_N 6
#define ROW_VECS 2      /* of integers: 2 x 6 accumulators */
#define INT_TILE 6

typedef __m256 vec;
typedef int ivec __attribute__((vector_size(32)));
typedef unsigned uivec __attribute__((vector_size(32)));
typedef short hvec __attribute__((vector_size(32)));
typedef unsigned short uhvec __attribute__((vector_size(32)));

static inline vec v_load(const float *p)
{
	return _mm256_loadu_ps(p);
}

/* For several uses: compilers would load it again for each of them. */
static inline vec v_load_once(const float *p)
{
	vec a = v_load(p);
	__asm__("" : "+x"(a));
	return a;
}

static inline void v_store(float *p, vec a)
{
	_mm256_storeu_ps(p, a);
}

static inline vec v_set1(float a)
{
	return _mm256_set1_ps(a);
}

static inline vec v_fma(vec a, vec b, vec c)
{
	return _mm256_fmadd_ps(a, b, c);
}

static inline vec v_max(vec a, vec b)
{
	return _mm256_max_ps(a, b);
}

static inline float v_largest(vec a)
{
	__m128 m = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
	m = _mm_max_ps(m, _mm_movehl_ps(m, m));
	return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

static inline vec v_min(vec a, vec b)
{
	return _mm256_min_ps(a, b);
}

static inline vec v_load_f16(const void *p)
{
	return _mm256_cvtph_ps(_mm_loadu_si128(p));
}

static inline vec v_load_bf16(const void *p)
{
	return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(p)), 16));
}

static inline vec v_set1_f16(const void *p)
{
	short h;
	memcpy(&h, p, sizeof(h));
	return _mm256_cvtph_ps(_mm_set1_epi16(h));
}

/* Sixteen signed bytes b as floats: b * d + m. */
static inline void v_store_i8(float *p, __m128i b, vec d, vec m)
{
	_mm256_storeu_ps(p, _mm256_fmadd_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(b)), d, m));
	b = _mm_srli_si128(b, 8);
	_mm256_storeu_ps(p + 8, _mm256_fmadd_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(b)), d, m));
}

/* Half floats of the low and the high halves of the lanes. */
struct two_vecs {
	vec low, high;
};

static inline struct two_vecs two_f16(uivec h)
{
	const __m256i order = _mm256_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15,
	    0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
	const __m256i a = _mm256_permute4x64_epi64(_mm256_shuffle_epi8((__m256i)h, order), 0xd8);
	return (struct two_vecs){ _mm256_cvtph_ps(_mm256_castsi256_si128(a)),
		_mm256_cvtph_ps(_mm256_extracti128_si256(a, 1)) };
}

/* Two numbers, in every lane. */
static inline hvec h_pair(const int16_t *p)
{
	int pair;
	memcpy(&pair, p, sizeof pair);
	return (hvec)_mm256_set1_epi32(pair);
}

/* Each lane's two products, added to c: now, for a compiler that first makes
 * all the products runs out of registers. */
static inline ivec h_madd(hvec a, hvec b, ivec c)
{
	c += (ivec)_mm256_madd_epi16((__m256i)a, (__m256i)b);
	__asm__("" : "+x"(c));
	return c;
}

/* Four bytes of each of eight rows, stride bytes apart. */
static inline uivec gather1(const unsigned char *p, size_t stride)
{
	return (uivec)eight_words(p, stride);
}

/* Sixteen bytes: v[i] has bytes 4 i … 4 i + 3 of each. */
static inline void gather4(const unsigned char *p, size_t stride, uhvec v[4])
{
	__m256i r[4];
	for (size_t i = 0; i < 4; i++)
		r[i] = _mm256_inserti128_si256(_mm256_castsi128_si256(sixteen_bytes(p + i * stride)),
		    sixteen_bytes(p + (i + 4) * stride), 1);
	const __m256i a = _mm256_unpacklo_epi32(r[0], r[1]), b = _mm256_unpackhi_epi32(r[0], r[1]);
	const __m256i c = _mm256_unpacklo_epi32(r[2], r[3]), d = _mm256_unpackhi_epi32(r[2], r[3]);
	v[0] = (uhvec)_mm256_unpacklo_epi64(a, c);
	v[1] = (uhvec)_mm256_unpackhi_epi64(a, c);
	v[2] = (uhvec)_mm256_unpacklo_epi64(b, d);
	v[3] = (uhvec)_mm256_unpackhi_epi64(b, d);
}

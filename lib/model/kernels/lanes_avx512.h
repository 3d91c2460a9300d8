/* Sixteen lanes in one register. */
#include <immintrin.h>
#include <string.h>

#include "model/kernels/common_avx2.h"

#define LANES 16
#define TILE_M 4        /* 4 x 6 accumulators of 32 registers */
#define TILE_N 6
#define ROW_VECS 2      /* of integers: 2 x 12 accumulators */
#define INT_TILE 12

typedef __m512 vec;
typedef int ivec __attribute__((vector_size(64)));
typedef unsigned uivec __attribute__((vector_size(64)));
typedef short hvec __attribute__((vector_size(64)));
typedef unsigned short uhvec __attribute__((vector_size(64)));

static inline vec v_load(const float *p)
{
	return _mm512_loadu_ps(p);
}

/* For several uses: compilers would load it again for each of them. */
static inline vec v_load_once(const float *p)
{
	vec a = v_load(p);
	__asm__("" : "+v"(a));
	return a;
}

static inline void v_store(float *p, vec a)
{
	_mm512_storeu_ps(p, a);
}

static inline vec v_set1(float a)
{
	return _mm512_set1_ps(a);
}

static inline vec v_fma(vec a, vec b, vec c)
{
	return _mm512_fmadd_ps(a, b, c);
}

static inline vec v_max(vec a, vec b)
{
	return _mm512_max_ps(a, b);
}

static inline float v_largest(vec a)
{
	return _mm512_reduce_max_ps(a);
}

static inline vec v_min(vec a, vec b)
{
	return _mm512_min_ps(a, b);
}

static inline vec v_load_f16(const void *p)
{
	return _mm512_cvtph_ps(_mm256_loadu_si256(p));
}

static inline vec v_load_bf16(const void *p)
{
	return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(p)), 16));
}

static inline vec v_set1_f16(const void *p)
{
	short h;
	memcpy(&h, p, sizeof(h));
	return _mm512_cvtph_ps(_mm256_set1_epi16(h));
}

/* Sixteen signed bytes b as floats: b * d + m. */
static inline void v_store_i8(float *p, __m128i b, vec d, vec m)
{
	_mm512_storeu_ps(p, _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(b)), d, m));
}

/* Half floats of the low and the high halves of the lanes. */
struct two_vecs {
	vec low, high;
};

static inline struct two_vecs two_f16(uivec h)
{
	return (struct two_vecs){ _mm512_cvtph_ps(_mm512_cvtepi32_epi16((__m512i)h)),
		_mm512_cvtph_ps(_mm512_cvtepi32_epi16((__m512i)(h >> 16))) };
}

/* Two numbers, in every lane. */
static inline hvec h_pair(const int16_t *p)
{
	int pair;
	memcpy(&pair, p, sizeof pair);
	return (hvec)_mm512_set1_epi32(pair);
}

/* Each lane's two products, added to c: now, for a compiler that first makes
 * all the products runs out of registers. */
static inline ivec h_madd(hvec a, hvec b, ivec c)
{
#ifdef __AVX512VNNI__
	c = (ivec)_mm512_dpwssd_epi32((__m512i)c, (__m512i)a, (__m512i)b);
#else
	c += (ivec)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#endif
	__asm__("" : "+v"(c));
	return c;
}

/* Four bytes of each of sixteen rows, stride bytes apart. */
static inline uivec gather1(const unsigned char *p, size_t stride)
{
	return (uivec)_mm512_inserti64x4(_mm512_castsi256_si512(eight_words(p, stride)),
	    eight_words(p + 8 * stride, stride), 1);
}

/* Sixteen bytes: v[i] has bytes 4 i … 4 i + 3 of each. */
static inline void gather4(const unsigned char *p, size_t stride, uhvec v[4])
{
	__m512i r[4];
	for (size_t i = 0; i < 4; i++) {
		r[i] = _mm512_castsi128_si512(sixteen_bytes(p + i * stride));
		r[i] = _mm512_inserti32x4(r[i], sixteen_bytes(p + (i + 4) * stride), 1);
		r[i] = _mm512_inserti32x4(r[i], sixteen_bytes(p + (i + 8) * stride), 2);
		r[i] = _mm512_inserti32x4(r[i], sixteen_bytes(p + (i + 12) * stride), 3);
	}
	const __m512i a = _mm512_unpacklo_epi32(r[0], r[1]), b = _mm512_unpackhi_epi32(r[0], r[1]);
	const __m512i c = _mm512_unpacklo_epi32(r[2], r[3]), d = _mm512_unpackhi_epi32(r[2], r[3]);
	v[0] = (uhvec)_mm512_unpacklo_epi64(a, c);
	v[1] = (uhvec)_mm512_unpackhi_epi64(a, c);
	v[2] = (uhvec)_mm512_unpacklo_epi64(b, d);
	v[3] = (uhvec)_mm512_unpackhi_epi64(b, d);
}

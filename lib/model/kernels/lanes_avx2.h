/* Sixteen lanes in two registers, one after the other. */
#include <immintrin.h>
#include <string.h>

#define LANES 8
#define TILE_M 2        /* 2 x 6 accumulators of 16 registers */
#define TILE_N 6

typedef __m256 vec;
typedef int ivec __attribute__((vector_size(32)));

static inline vec v_load(const float *p)
{
	return _mm256_loadu_ps(p);
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

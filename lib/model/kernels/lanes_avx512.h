/* Sixteen lanes in one register. */
#include <immintrin.h>
#include <string.h>

#define LANES 16
#define TILE_M 4        /* 4 x 6 accumulators of 32 registers */
#define TILE_N 6

typedef __m512 vec;
typedef int ivec __attribute__((vector_size(64)));

static inline vec v_load(const float *p)
{
	return _mm512_loadu_ps(p);
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

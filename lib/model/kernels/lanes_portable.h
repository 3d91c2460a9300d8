/* Sixteen lanes in four vectors of any machine's, one after the other. */
#include <math.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "model/quant.h"

#define LANES 4
#define TILE_M 2
#define TILE_N 6
#define ROW_VECS 2
#define INT_TILE 4

typedef float vec __attribute__((vector_size(16)));
typedef int ivec __attribute__((vector_size(16)));
typedef unsigned uivec __attribute__((vector_size(16)));
typedef short hvec __attribute__((vector_size(16)));
typedef unsigned short uhvec __attribute__((vector_size(16)));

static inline vec v_load(const float *p)
{
	vec a;
	memcpy(&a, p, sizeof(a));
	return a;
}

/* For several uses: compilers would load it again for each of them. */
static inline vec v_load_once(const float *p)
{
	vec a = v_load(p);
	return a;
}

static inline void v_store(float *p, vec a)
{
	memcpy(p, &a, sizeof(a));
}

static inline vec v_set1(float a)
{
	return (vec){ a, a, a, a };
}

static inline vec v_fma(vec a, vec b, vec c)
{
	return a * b + c;
}

static inline vec v_select(ivec mask, vec a, vec b)
{
	return (vec)((mask & (ivec)a) | (~mask & (ivec)b));
}

/* As x86 has them: b where either is not a number. */
static inline vec v_max(vec a, vec b)
{
	return v_select(a > b, a, b);
}

static inline float v_largest(vec a)
{
	float most = a[0];
	for (int i = 1; i < LANES; i++)
		most = a[i] > most ? a[i] : most;
	return most;
}

static inline vec v_min(vec a, vec b)
{
	return v_select(a < b, a, b);
}

/* Half floats of the low and the high halves of the lanes. */
struct two_vecs {
	vec low, high;
};

static inline struct two_vecs two_f16(uivec h)
{
	struct two_vecs x;
	for (int i = 0; i < LANES; i++) {
		x.low[i] = f16_to_f32((uint16_t)(h[i] & 0xffff));
		x.high[i] = f16_to_f32((uint16_t)(h[i] >> 16));
	}
	return x;
}

/* Two numbers, in every lane. */
static inline hvec h_pair(const int16_t *p)
{
	return (hvec){ p[0], p[1], p[0], p[1], p[0], p[1], p[0], p[1] };
}

/* Each lane's two products, added to c. */
static inline ivec h_madd(hvec a, hvec b, ivec c)
{
#ifdef __SSE2__
	return c + (ivec)_mm_madd_epi16((__m128i)a, (__m128i)b);
#else
	for (int i = 0; i < LANES; i++)
		c[i] += a[2 * i] * b[2 * i] + a[2 * i + 1] * b[2 * i + 1];
	return c;
#endif
}

/* Four bytes of each of four rows, stride bytes apart. */
static inline uivec gather1(const unsigned char *p, size_t stride)
{
	uivec v;
	for (size_t i = 0; i < LANES; i++) {
		unsigned a;
		memcpy(&a, p + i * stride, sizeof a);
		v[i] = a;
	}
	return v;
}

/* Sixteen bytes: v[i] has bytes 4 i … 4 i + 3 of each. */
static inline void gather4(const unsigned char *p, size_t stride, uhvec v[4])
{
	for (size_t i = 0; i < 4; i++)
		v[i] = (uhvec)gather1(p + 4 * i, stride);
}

/* The largest magnitude; NaN where one is not a number. */
static inline float largest_of_32(const float *x)
{
	float most = 0;
	for (int i = 0; i < 32; i++) {
		const float a = fabsf(x[i]);
		if (!(a <= most))
			most = a;
		if (most != most)
			break;
	}
	return most;
}

/* q = x * by, rounded to the nearest, of each four 0, 2, 1, 3; their sum. */
static inline int round_32(int16_t *q, const float *x, float by)
{
	static const int order[4] = { 0, 2, 1, 3 };
	int sum = 0;
	for (int i = 0; i < 32; i++) {
		const int v = (int)lrintf(x[i] * by);
		q[i / 4 * 4 + order[i % 4]] = (int16_t)v;
		sum += v;
	}
	return sum;
}

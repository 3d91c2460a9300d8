/* Sixteen lanes in four vectors of any machine's, one after the other. */
#include <string.h>

#define LANES 4
#define TILE_M 2
#define TILE_N 6

typedef float vec __attribute__((vector_size(16)));
typedef int ivec __attribute__((vector_size(16)));

static inline vec v_load(const float *p)
{
	vec a;
	memcpy(&a, p, sizeof(a));
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

static inline vec v_min(vec a, vec b)
{
	return v_select(a < b, a, b);
}

/* Quantising: float32 values to blocks. What the blocks hold is told in quant.c. */
#include "model/quant.h"

#include <math.h>
#include <string.h>

static void store16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static void store32(uint8_t *p, uint32_t v)
{
	store16(p, (uint16_t)v);
	store16(p + 2, (uint16_t)(v >> 16));
}

/* v as an integer in [low, high]; NaN gives low. */
static int clamp_int(float v, int low, int high)
{
	if (!(v >= (float)low))
		return low;
	return v > (float)high ? high : (int)v;
}

/* The first value that is farthest from 0. */
static float extreme_of(const float *x, int n)
{
	float extreme = 0;

	for (int i = 0; i < n; i++)
		extreme = fabsf(x[i]) > fabsf(extreme) ? x[i] : extreme;
	return extreme;
}

/* Widens [*min, *max] to hold them all. */
static void range_of(const float *x, int n, float *min, float *max)
{
	for (int i = 0; i < n; i++) {
		*min = fminf(*min, x[i]);
		*max = fmaxf(*max, x[i]);
	}
}

/* The formats of 32 choose scale and rounding as ggml's reference
 * quantiser does, so that a file written here is the file written there. */

static void write_q8_0(const float *x, uint8_t *b)
{
	float amax = 0;

	for (int j = 0; j < 32; j++)
		amax = fmaxf(amax, fabsf(x[j]));
	float d = amax / 127, inverse = d != 0 ? 1 / d : 0;
	store16(b, f32_to_f16(d));
	for (int j = 0; j < 32; j++)
		b[2 + j] = (uint8_t)(int8_t)clamp_int(roundf(x[j] * inverse), -127, 127);
}

static void write_q4_0(const float *x, uint8_t *b)
{
	float d = extreme_of(x, 32) / -8, inverse = d != 0 ? 1 / d : 0;
	store16(b, f32_to_f16(d));
	for (int j = 0; j < 16; j++) {
		int low = clamp_int(x[j] * inverse + 8.5f, 0, 15);
		int high = clamp_int(x[j + 16] * inverse + 8.5f, 0, 15);
		b[2 + j] = (uint8_t)(low | high << 4);
	}
}

static void write_q4_1(const float *x, uint8_t *b)
{
	float min = x[0], max = x[0];

	range_of(x, 32, &min, &max);
	float d = (max - min) / 15, inverse = d != 0 ? 1 / d : 0;
	store16(b, f32_to_f16(d));
	store16(b + 2, f32_to_f16(min));
	for (int j = 0; j < 16; j++) {
		int low = clamp_int((x[j] - min) * inverse + 0.5f, 0, 15);
		int high = clamp_int((x[j + 16] - min) * inverse + 0.5f, 0, 15);
		b[4 + j] = (uint8_t)(low | high << 4);
	}
}

static void write_q5_0(const float *x, uint8_t *b)
{
	float d = extreme_of(x, 32) / -16, inverse = d != 0 ? 1 / d : 0;
	uint32_t high = 0;

	store16(b, f32_to_f16(d));
	memset(b + 6, 0, 16);
	for (int j = 0; j < 32; j++) {
		int q = clamp_int(x[j] * inverse + 16.5f, 0, 31);
		b[6 + j % 16] |= (uint8_t)((q & 15) << j / 16 * 4);
		high |= (uint32_t)(q >> 4) << j;
	}
	store32(b + 2, high);
}

static void write_q5_1(const float *x, uint8_t *b)
{
	float min = x[0], max = x[0];
	uint32_t high = 0;

	range_of(x, 32, &min, &max);
	float d = (max - min) / 31, inverse = d != 0 ? 1 / d : 0;
	store16(b, f32_to_f16(d));
	store16(b + 2, f32_to_f16(min));
	memset(b + 8, 0, 16);
	for (int j = 0; j < 32; j++) {
		int q = clamp_int((x[j] - min) * inverse + 0.5f, 0, 31);
		b[8 + j % 16] |= (uint8_t)((q & 15) << j / 16 * 4);
		high |= (uint32_t)(q >> 4) << j;
	}
	store32(b + 4, high);
}

/* The formats of 256. A sub-block's values lie on a grid, d (q - zero) - m for
 * q = 0 … top, which is sought by least squares: from a few grids, the widest
 * of which spans all values, each value to its nearest point, and then the d
 * and m that suit these points best. With a zero of 0, m >= 0; else m is 0. */
struct grid {
	float d, m;
	int zero, top;
};

enum { SUB = 32, STARTS = 6 };  /* a sub-block's most values; grids tried */

static void nearest(const struct grid *g, const float *x, int n, int *q)
{
	float inverse = g->d != 0 ? 1 / g->d : 0, half = (float)g->zero + 0.5f;

	for (int i = 0; i < n; i++)
		q[i] = clamp_int((x[i] + g->m) * inverse + half, 0, g->top);
}

static double squared_error(const struct grid *g, const float *x, int n, const int *q)
{
	double sum = 0;

	for (int i = 0; i < n; i++) {
		double e = (double)(g->d * (float)(q[i] - g->zero) - g->m - x[i]);
		sum += e * e;
	}
	return sum;
}

static void least_squares(struct grid *g, const float *x, int n, const int *q)
{
	double sq = 0, sqq = 0, sx = 0, sxq = 0, det;

	for (int i = 0; i < n; i++) {
		double v = q[i] - g->zero;
		sq += v;
		sqq += v * v;
		sx += (double)x[i];
		sxq += (double)x[i] * v;
	}
	det = n * sqq - sq * sq;
	if (g->zero == 0 && det > 0) {
		g->d = (float)((n * sxq - sq * sx) / det);
		g->m = (float)((sq * sxq - sqq * sx) / det);
	}
	if ((g->zero != 0 || g->m < 0) && sqq > 0) {
		g->d = (float)(sxq / sqq);
		g->m = 0;
	}
}

static struct grid best_grid(const float *x, int n, int zero, int top)
{
	struct grid best = { 0, 0, zero, top };
	float min = 0, max = x[0], extreme = extreme_of(x, n);
	double least = INFINITY;
	int q[SUB];

	range_of(x, n, &min, &max);
	for (int i = 0; i < STARTS; i++) {
		float part = 1 - 0.04f * (float)i;
		struct grid g = { zero ? extreme * part / (float)-zero : (max - min) * part / (float)top,
			zero ? 0 : -min * part, zero, top };
		nearest(&g, x, n, q);
		least_squares(&g, x, n, q);
		nearest(&g, x, n, q);
		double e = squared_error(&g, x, n, q);
		if (e < least) {
			least = e;
			best = g;
		}
	}
	return best;
}

/* The largest of the eight in 63 steps; how many steps each takes, in steps. */
static float six_bits(const float *v, int *steps, uint8_t *d)
{
	float most = 0, step;

	for (int j = 0; j < 8; j++)
		most = fmaxf(most, v[j]);
	store16(d, f32_to_f16(most / 63));
	step = f16_to_f32(f32_to_f16(most / 63));
	for (int j = 0; j < 8; j++)
		steps[j] = step != 0 ? clamp_int(v[j] / step + 0.5f, 0, 63) : 0;
	return step;
}

/* The reverse of k_scales. */
static void store_k_scales(uint8_t *s, const int *scale, const int *min)
{
	for (int j = 0; j < 4; j++) {
		s[j] = (uint8_t)(scale[j] | scale[j + 4] >> 4 << 6);
		s[j + 4] = (uint8_t)(min[j] | min[j + 4] >> 4 << 6);
		s[j + 8] = (uint8_t)((scale[j + 4] & 15) | (min[j + 4] & 15) << 4);
	}
}

/* fifth: where the fifth bits go; NULL: Q4_K. q: where the low ones go. */
static void write_k(const float *x, uint8_t *b, uint8_t *fifth, uint8_t *low)
{
	float d[8], m[8];
	int scale[8], min[8], q[SUB];

	for (int j = 0; j < 8; j++) {
		struct grid g = best_grid(x + j * 32, 32, 0, fifth ? 31 : 15);
		d[j] = g.d;
		m[j] = g.m;
	}
	float step = six_bits(d, scale, b), min_step = six_bits(m, min, b + 2);
	store_k_scales(b + 4, scale, min);
	memset(low, 0, 128);
	if (fifth)
		memset(fifth, 0, 32);
	for (int j = 0; j < 8; j++) {
		struct grid g = { step * (float)scale[j], min_step * (float)min[j], 0, fifth ? 31 : 15 };
		nearest(&g, x + j * 32, 32, q);
		for (int i = 0; i < 32; i++) {
			low[j / 2 * 32 + i] |= (uint8_t)((q[i] & 15) << j % 2 * 4);
			if (fifth)
				fifth[i] |= (uint8_t)(q[i] >> 4 << j);
		}
	}
}

static void write_q6_k(const float *x, uint8_t *b)
{
	float d[16], most = 0, step;
	int q[SUB];

	for (int j = 0; j < 16; j++) {
		d[j] = best_grid(x + j * 16, 16, 32, 63).d;
		most = fmaxf(most, fabsf(d[j]));
	}
	store16(b + 208, f32_to_f16(most / 127));
	step = f16_to_f32(f32_to_f16(most / 127));
	memset(b, 0, 192);
	for (int j = 0; j < 16; j++) {
		uint8_t *low = b + j / 8 * 64 + j % 4 * 16, *high = b + 128 + j / 8 * 32 + j % 2 * 16;
		int scale = step != 0 ? clamp_int(roundf(d[j] / step), -127, 127) : 0;
		struct grid g = { step * (float)scale, 0, 32, 63 };
		b[192 + j] = (uint8_t)(int8_t)scale;
		nearest(&g, x + j * 16, 16, q);
		for (int i = 0; i < 16; i++) {
			low[i] |= (uint8_t)((q[i] & 15) << j / 4 % 2 * 4);
			high[i] |= (uint8_t)(q[i] >> 4 << j / 2 % 4 * 2);
		}
	}
}

static void write_block(enum tensor_type type, const float *x, uint8_t *b)
{
	switch (type) {
	case TENSOR_Q8_0: write_q8_0(x, b); break;
	case TENSOR_Q4_0: write_q4_0(x, b); break;
	case TENSOR_Q4_1: write_q4_1(x, b); break;
	case TENSOR_Q5_0: write_q5_0(x, b); break;
	case TENSOR_Q5_1: write_q5_1(x, b); break;
	case TENSOR_Q4_K: write_k(x, b, NULL, b + 16); break;
	case TENSOR_Q5_K: write_k(x, b, b + 16, b + 48); break;
	case TENSOR_Q6_K: write_q6_k(x, b); break;
	default: break;
	}
}

void quantize_row(enum tensor_type type, const float *src, void *dst, size_t n)
{
	uint8_t *b = dst;
	size_t i;

	switch (type) {
	case TENSOR_F32:
		memcpy(dst, src, n * sizeof *src);
		break;
	case TENSOR_F16:
		for (i = 0; i < n; i++)
			store16(b + 2 * i, f32_to_f16(src[i]));
		break;
	case TENSOR_BF16:
		for (i = 0; i < n; i++)
			store16(b + 2 * i, f32_to_bf16(src[i]));
		break;
	default: {
		size_t len = tensor_block_len(type), size = tensor_block_size(type);
		for (i = 0; len && i < n; i += len, b += size)
			write_block(type, src + i, b);
	}
	}
}

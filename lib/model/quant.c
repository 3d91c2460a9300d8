#include "model/quant.h"

#include <string.h>
#include <strings.h>

/* Blocks' sizes, of types that are only named too, so that a file's tensors
 * can be measured and listed. */
static const struct {
	unsigned type;
	const char *name;
	unsigned short len, size;
	bool readable, writable;
} types[] = {
	{TENSOR_F32, "F32", 1, 4, true, true},
	{TENSOR_F16, "F16", 1, 2, true, true},
	{TENSOR_BF16, "BF16", 1, 2, true, true},
	{TENSOR_Q4_0, "Q4_0", 32, 18, true, true},
	{TENSOR_Q4_1, "Q4_1", 32, 20, true, true},
	{TENSOR_Q5_0, "Q5_0", 32, 22, true, true},
	{TENSOR_Q5_1, "Q5_1", 32, 24, true, true},
	{TENSOR_Q8_0, "Q8_0", 32, 34, true, true},
	{TENSOR_Q4_K, "Q4_K", 256, 144, true, true},
	{TENSOR_Q5_K, "Q5_K", 256, 176, true, true},
	{TENSOR_Q6_K, "Q6_K", 256, 210, true, true},
	{10, "Q2_K", 256, 84, false, false},
	{11, "Q3_K", 256, 110, false, false},
	{16, "IQ2_XXS", 256, 66, false, false},
	{17, "IQ2_XS", 256, 74, false, false},
	{18, "IQ3_XXS", 256, 98, false, false},
	{19, "IQ1_S", 256, 50, false, false},
	{20, "IQ4_NL", 32, 18, false, false},
	{21, "IQ3_S", 256, 110, false, false},
	{22, "IQ2_S", 256, 82, false, false},
	{23, "IQ4_XS", 256, 136, false, false},
	{24, "I8", 1, 1, false, false},
	{25, "I16", 1, 2, false, false},
	{26, "I32", 1, 4, false, false},
	{27, "I64", 1, 8, false, false},
	{28, "F64", 1, 8, false, false},
	{29, "IQ1_M", 256, 56, false, false},
	{34, "TQ1_0", 256, 54, false, false},
	{35, "TQ2_0", 256, 66, false, false},
	{39, "MXFP4", 32, 17, false, false},
};

enum { NTYPES = sizeof types / sizeof *types };

static int find_type(unsigned type)
{
	for (int i = 0; i < NTYPES; i++)
		if (types[i].type == type)
			return i;
	return -1;
}

const char *tensor_type_name(unsigned type)
{
	int i = find_type(type);
	return i < 0 ? NULL : types[i].name;
}

int tensor_type_by_name(const char *name)
{
	for (int i = 0; i < NTYPES; i++)
		if (strcasecmp(types[i].name, name) == 0)
			return (int)types[i].type;
	return -1;
}

size_t tensor_block_len(unsigned type)
{
	int i = find_type(type);
	return i < 0 ? 0 : types[i].len;
}

size_t tensor_block_size(unsigned type)
{
	int i = find_type(type);
	return i < 0 ? 0 : types[i].size;
}

bool tensor_readable(unsigned type)
{
	int i = find_type(type);
	return i >= 0 && types[i].readable;
}

bool tensor_writable(unsigned type)
{
	int i = find_type(type);
	return i >= 0 && types[i].writable;
}

static inline float bits_float(uint32_t u)
{
	float f;
	memcpy(&f, &u, sizeof f);
	return f;
}

static inline uint32_t float_bits(float f)
{
	uint32_t u;
	memcpy(&u, &f, sizeof u);
	return u;
}

/* Without branches, so that a row becomes vector code, and without float
 * subnormals, which are slow. */
static inline float half(uint16_t h)
{
	uint32_t m = (uint32_t)(h & 0x7fffu) << 13, e = h & 0x7c00u;
	uint32_t normal = m + 0x38000000u;                      /* 127 - 15 more in the exponent */
	uint32_t special = m | 0x7f800000u;
	uint32_t tiny = float_bits((float)(int)(h & 0x3ffu) * 0x1p-24f);
	uint32_t u = e == 0 ? tiny : e == 0x7c00u ? special : normal;
	return bits_float(u | (uint32_t)(h & 0x8000u) << 16);
}

float f16_to_f32(uint16_t h)
{
	return half(h);
}

/* x / 2^shift, rounded to the nearest, halves to even. */
static uint32_t shift_even(uint32_t x, unsigned shift)
{
	uint32_t rest = x & ((1u << shift) - 1), tie = 1u << (shift - 1);
	x >>= shift;
	return x + (rest > tie || (rest == tie && (x & 1)));
}

uint16_t f32_to_f16(float f)
{
	uint32_t u = float_bits(f), sign = u >> 16 & 0x8000u, m = u & 0x7fffffffu;

	if (m > 0x7f800000u)
		return (uint16_t)(sign | 0x7e00u | (m >> 13 & 0x1ffu));
	if (m >= 0x47800000u)                           /* 65536 */
		return (uint16_t)(sign | 0x7c00u);
	if (m >= 0x38800000u)                           /* 2^-14, the smallest normal half */
		return (uint16_t)(sign | shift_even(m - 0x38000000u, 13));
	if (m < 0x33000000u)                            /* 2^-25 */
		return (uint16_t)sign;
	return (uint16_t)(sign | shift_even((m & 0x7fffffu) | 0x800000u, 126 - (m >> 23)));
}

float bf16_to_f32(uint16_t h)
{
	return bits_float((uint32_t)h << 16);
}

uint16_t f32_to_bf16(float f)
{
	uint32_t u = float_bits(f);

	if ((u & 0x7fffffffu) > 0x7f800000u)
		return (uint16_t)(u >> 16 | 0x40u);
	return (uint16_t)((u + 0x7fffu + (u >> 16 & 1)) >> 16);
}

static inline uint16_t load16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t load32(const uint8_t *p)
{
	return (uint32_t)load16(p) | (uint32_t)load16(p + 2) << 16;
}

/* One block each. b: the block's bytes; restrict, so that the loops become
 * vector code. */

static inline void read_q4_0(const uint8_t *restrict b, float *restrict y)
{
	float d = half(load16(b));
	for (int j = 0; j < 16; j++) {
		y[j] = d * (float)((b[2 + j] & 15) - 8);
		y[j + 16] = d * (float)((b[2 + j] >> 4) - 8);
	}
}

static inline void read_q4_1(const uint8_t *restrict b, float *restrict y)
{
	float d = half(load16(b)), m = half(load16(b + 2));
	for (int j = 0; j < 16; j++) {
		y[j] = d * (float)(b[4 + j] & 15) + m;
		y[j + 16] = d * (float)(b[4 + j] >> 4) + m;
	}
}

static inline void read_q5_0(const uint8_t *restrict b, float *restrict y)
{
	float d = half(load16(b));
	uint32_t high = load32(b + 2);
	for (int j = 0; j < 16; j++) {
		y[j] = d * (float)((int)((b[6 + j] & 15u) | (high >> j & 1) << 4) - 16);
		y[j + 16] = d * (float)((int)((b[6 + j] >> 4) | (high >> (j + 16) & 1) << 4) - 16);
	}
}

static inline void read_q5_1(const uint8_t *restrict b, float *restrict y)
{
	float d = half(load16(b)), m = half(load16(b + 2));
	uint32_t high = load32(b + 4);
	for (int j = 0; j < 16; j++) {
		y[j] = d * (float)(int)((b[8 + j] & 15u) | (high >> j & 1) << 4) + m;
		y[j + 16] = d * (float)(int)((b[8 + j] >> 4) | (high >> (j + 16) & 1) << 4) + m;
	}
}

static inline void read_q8_0(const uint8_t *restrict b, float *restrict y)
{
	float d = half(load16(b));
	for (int j = 0; j < 32; j++)
		y[j] = d * (float)(int8_t)b[2 + j];
}

/* Q4_K and Q5_K: eight 6-bit scales and minima in twelve bytes. The first
 * four of each fill the low bits of bytes 0-3 and 4-7; the others have their
 * low nibbles in bytes 8-11 and their top two bits on top of those. */
static void k_scales(const uint8_t *s, int j, int *scale, int *min)
{
	if (j < 4) {
		*scale = s[j] & 63;
		*min = s[j + 4] & 63;
	} else {
		*scale = (s[j + 4] & 15) | s[j - 4] >> 6 << 4;
		*min = s[j + 4] >> 4 | s[j] >> 6 << 4;
	}
}

/* fifth: bytes that hold a fifth bit for sub-block j at bit j; NULL: Q4_K. */
static inline void read_k(const uint8_t *restrict b, const uint8_t *fifth, const uint8_t *q,
    float *restrict y)
{
	float d = half(load16(b)), dmin = half(load16(b + 2));

	for (int j = 0; j < 8; j++, y += 32) {
		int scale, min;
		k_scales(b + 4, j, &scale, &min);
		float ds = d * (float)scale, m = dmin * (float)min;
		const uint8_t *sub = q + j / 2 * 32;
		int shift = j % 2 * 4;
		for (int i = 0; i < 32; i++) {
			int v = sub[i] >> shift & 15;
			if (fifth)
				v |= (fifth[i] >> j & 1) << 4;
			y[i] = ds * (float)v - m;
		}
	}
}

/* Two halves of 128; in each, sub-blocks 0 and 1 of 32 have the low nibbles
 * of the low bits' bytes, 2 and 3 the high ones; the two high bits of
 * sub-block k stand at bit 2k. */
static void read_q6_k(const uint8_t *restrict b, float *restrict y)
{
	const uint8_t *scales = b + 192;
	float d = half(load16(b + 208));

	for (int j = 0; j < 16; j++) {
		const uint8_t *low = b + j / 8 * 64 + j % 4 * 16, *high = b + 128 + j / 8 * 32 + j % 2 * 16;
		int low_shift = j / 4 % 2 * 4, high_shift = j / 2 % 4 * 2;
		float scale = d * (float)(int8_t)scales[j];
		for (int i = 0; i < 16; i++) {
			int v = (low[i] >> low_shift & 15) | (high[i] >> high_shift & 3) << 4;
			y[j * 16 + i] = scale * (float)(v - 32);
		}
	}
}

static void read_block(enum tensor_type type, const uint8_t *b, float *y)
{
	switch (type) {
	case TENSOR_Q5_0: read_q5_0(b, y); break;
	case TENSOR_Q5_1: read_q5_1(b, y); break;
	case TENSOR_Q4_K: read_k(b, NULL, b + 16, y); break;
	case TENSOR_Q5_K: read_k(b, b + 16, b + 48, y); break;
	case TENSOR_Q6_K: read_q6_k(b, y); break;
	default: break;
	}
}

void dequantize_row(enum tensor_type type, const void *src, float *dst, size_t n)
{
	const uint8_t *b = src;
	size_t i;

	switch (type) {
	case TENSOR_F32:
		memcpy(dst, src, n * sizeof *dst);
		break;
	case TENSOR_F16:
		for (i = 0; i < n; i++)
			dst[i] = half(load16(b + 2 * i));
		break;
	case TENSOR_BF16:
		for (i = 0; i < n; i++)
			dst[i] = bits_float((uint32_t)load16(b + 2 * i) << 16);
		break;
	case TENSOR_Q4_0:
		for (i = 0; i < n; i += 32, b += 18)
			read_q4_0(b, dst + i);
		break;
	case TENSOR_Q4_1:
		for (i = 0; i < n; i += 32, b += 20)
			read_q4_1(b, dst + i);
		break;
	case TENSOR_Q8_0:
		for (i = 0; i < n; i += 32, b += 34)
			read_q8_0(b, dst + i);
		break;
	default: {
		size_t len = tensor_block_len(type), size = tensor_block_size(type);
		for (i = 0; len && i < n; i += len, b += size)
			read_block(type, b, dst + i);
	}
	}
}

/*
 * The product's inner part, for one instruction set: included once by each
 * cpu_*.c after its lanes_*.h.
 *
 * An output element is sum over k of x[k] w[k] in sixteen partial sums, the
 * one of lane l over k = l, l + 16, …, in order; then s[l] + s[l + 8],
 * neighbours in pairs three times. Weights are unpacked a panel at a time
 * (TILE_N rows, CHUNK columns) into a buffer that stays in the first-level
 * cache while all rows of x pass by. Partial sums live in memory between
 * chunks, so that neither the chunk nor the tile shows in the result.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "model/kernels/kernels.h"
#include "model/quant.h"

#define INLINE static inline __attribute__((always_inline))
/* The loops over a tile, so that it stays in registers. */
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

enum {
	CHUNK = 768,            /* columns; a multiple of every block's length and of 16 */
	TILE = TILE_M * TILE_N,
};

/* acc (tm, TILE_N, 16) += the products over k16 groups of sixteen columns;
 * the first ones begin with 0. */
INLINE void tile(const int tm, const float *x, size_t ldx, const float *w, size_t k16, float *acc, bool first)
{
	for (int h = 0; h < 16; h += LANES) {
		vec s[TILE];
		UNROLL
		for (int i = 0; i < tm * TILE_N; i++)
			s[i] = first ? v_set1(0.0f) : v_load(acc + i * 16 + h);
		const float *xk = x + h, *wk = w + h;
		for (size_t k = 0; k < k16; k++, xk += 16, wk += 16) {
			vec a[TILE_M];
			UNROLL
			for (int i = 0; i < tm; i++)
				a[i] = v_load(xk + (size_t)i * ldx);
			UNROLL
			for (int j = 0; j < TILE_N; j++) {
				const vec b = v_load(wk + j * CHUNK);
				UNROLL
				for (int i = 0; i < tm; i++)
					s[i * TILE_N + j] = v_fma(a[i], b, s[i * TILE_N + j]);
			}
		}
		UNROLL
		for (int i = 0; i < tm * TILE_N; i++)
			v_store(acc + i * 16 + h, s[i]);
	}
}

static void tiles(int tm, const float *x, size_t ldx, const float *w, size_t k16, float *acc, bool first)
{
	switch (tm) {
	case 1:
		tile(1, x, ldx, w, k16, acc, first);
		break;
#if TILE_M > 1
	case 2:
		tile(2, x, ldx, w, k16, acc, first);
		break;
#endif
#if TILE_M > 2
	case 3:
		tile(3, x, ldx, w, k16, acc, first);
		break;
	case 4:
		tile(4, x, ldx, w, k16, acc, first);
		break;
#endif
	}
}

#ifdef __AVX2__
/* Four elements' partial sums, added. */
INLINE void sum4(float *y, const float *acc)
{
	__m256 s[4];
	UNROLL
	for (int i = 0; i < 4; i++)
		s[i] = _mm256_add_ps(_mm256_loadu_ps(acc + i * 16), _mm256_loadu_ps(acc + i * 16 + 8));
	const __m256 t = _mm256_hadd_ps(_mm256_hadd_ps(s[0], s[1]), _mm256_hadd_ps(s[2], s[3]));
	_mm_storeu_ps(y, _mm_add_ps(_mm256_castps256_ps128(t), _mm256_extractf128_ps(t, 1)));
}
#else
INLINE void sum4(float *y, const float *acc)
{
	for (int i = 0; i < 4; i++, acc += 16) {
		float s[8];
		for (int l = 0; l < 8; l++)
			s[l] = acc[l] + acc[l + 8];
		y[i] = ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
	}
}
#endif

/* y (m, rows) = acc (m, TILE_N, 16), added; acc is a whole tile's. */
INLINE void sums(float *y, size_t ldy, const float *acc, int m, int rows)
{
	float s[(TILE + 3) / 4 * 4];
	for (int i = 0; i < m * TILE_N; i += 4)
		sum4(s + i, acc + i * 16);
	for (int i = 0; i < m; i++, y += ldy)
		if (rows == TILE_N)
			memcpy(y, s + i * TILE_N, TILE_N * sizeof(float));
		else
			memcpy(y, s + i * TILE_N, (size_t)rows * sizeof(float));
}

#ifdef __AVX2__
/* Weights come from memory once a step, while nothing else waits there: they
 * are asked for a few panels before they are needed. */
INLINE void fetch_ahead(const unsigned char *p)
{
	__builtin_prefetch((const void *)((uintptr_t)p + 4096));
}

/* The four-bit types: sixteen low halves of the bytes, then sixteen high
 * ones. Every product d * q is exact, so that fused is the same; adding -0
 * changes nothing. */
#ifdef __AVX512F__
/* A block's sixteen possible values are one register, and looked up in it. */
static void unpack_q4(const unsigned char *src, float *dst, size_t n, bool min)
{
	const size_t header = min ? 4 : 2, size = header + 16;
	const vec q = min ? (vec){ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 } :
	    (vec){ -8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7 };
	while (n > 0) {
		float scales[CHUNK / 32][4];    /* the first two of each are d and m */
		const size_t blocks = n < CHUNK ? n / 32 : CHUNK / 32;
		for (size_t i = 0; i < blocks; i++)
			_mm_storeu_ps(scales[i], _mm_maskz_cvtph_ps(15, _mm_loadl_epi64((const void *)(src + i * size))));
		for (size_t i = 0; i < blocks; i++, src += size, dst += 32) {
			fetch_ahead(src);
			const vec values = v_fma(q, v_set1(scales[i][0]), v_set1(min ? scales[i][1] : -0.0f));
			const __m512i at = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)(src + header)));
			v_store(dst, _mm512_permutexvar_ps(at, values));
			v_store(dst + 16, _mm512_permutexvar_ps(_mm512_srli_epi32(at, 4), values));
		}
		n -= blocks * 32;
	}
}
#else
static void unpack_q4(const unsigned char *src, float *dst, size_t n, bool min)
{
	const __m128i low = _mm_set1_epi8(15), eight = _mm_set1_epi8(8);
	for (size_t i = 0; i < n; i += 32, dst += 32) {
		const vec d = v_set1_f16(src), m = min ? v_set1_f16(src + 2) : v_set1(-0.0f);
		src += min ? 4 : 2;
		fetch_ahead(src);
		const __m128i q = _mm_loadu_si128((const void *)src);
		__m128i a = _mm_and_si128(q, low), b = _mm_and_si128(_mm_srli_epi16(q, 4), low);
		if (!min) {
			a = _mm_sub_epi8(a, eight);
			b = _mm_sub_epi8(b, eight);
		}
		v_store_i8(dst, a, d, m);
		v_store_i8(dst + 16, b, d, m);
		src += 16;
	}
}
#endif

static void unpack_q8_0(const unsigned char *src, float *dst, size_t n)
{
	for (size_t i = 0; i < n; i += 32, dst += 32, src += 34) {
		const vec d = v_set1_f16(src), m = v_set1(-0.0f);
		fetch_ahead(src);
		v_store_i8(dst, _mm_loadu_si128((const void *)(src + 2)), d, m);
		v_store_i8(dst + 16, _mm_loadu_si128((const void *)(src + 18)), d, m);
	}
}

/* Byte i is 16 where bit i is set. */
INLINE __m128i fifth_bits(uint32_t bits)
{
	const __m128i place = _mm_set1_epi64x((long long)0x8040201008040201);
	const __m128i twice = _mm_set_epi8(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0);
	const __m128i b = _mm_and_si128(_mm_shuffle_epi8(_mm_cvtsi32_si128((int)bits), twice), place);
	return _mm_and_si128(_mm_cmpeq_epi8(b, place), _mm_set1_epi8(16));
}

/* As four bits, and 32 bits of fifth ones in front of them. */
static void unpack_q5(const unsigned char *src, float *dst, size_t n, bool min)
{
	const __m128i low = _mm_set1_epi8(15), off = _mm_set1_epi8(min ? 0 : 16);
	for (size_t i = 0; i < n; i += 32, dst += 32) {
		const vec d = v_set1_f16(src), m = min ? v_set1_f16(src + 2) : v_set1(-0.0f);
		uint32_t high;
		src += min ? 4 : 2;
		fetch_ahead(src);
		memcpy(&high, src, sizeof high);
		const __m128i q = _mm_loadu_si128((const void *)(src + 4));
		const __m128i a = _mm_or_si128(_mm_and_si128(q, low), fifth_bits(high));
		const __m128i b = _mm_or_si128(_mm_and_si128(_mm_srli_epi16(q, 4), low), fifth_bits(high >> 16));
		v_store_i8(dst, _mm_sub_epi8(a, off), d, m);
		v_store_i8(dst + 16, _mm_sub_epi8(b, off), d, m);
		src += 20;
	}
}

/* Eight scales times d and eight minima times -dmin: exact, at 17 bits, as
 * are the products of the scales with five more. */
INLINE void k_scales(const unsigned char *src, float *scale, float *min)
{
	const uint32_t six = 0x3f3f3f3f, four = 0x0f0f0f0f, two = 0x03030303;
	uint32_t u[3], s[2], m[2];
	memcpy(u, src + 4, sizeof u);
	s[0] = u[0] & six;
	s[1] = (u[2] & four) | (u[0] >> 6 & two) << 4;
	m[0] = u[1] & six;
	m[1] = (u[2] >> 4 & four) | (u[1] >> 6 & two) << 4;
	const __m256 d = _mm256_set1_ps(f16_to_f32((uint16_t)(src[0] | src[1] << 8)));
	const __m256 dmin = _mm256_set1_ps(-f16_to_f32((uint16_t)(src[2] | src[3] << 8)));
	_mm256_storeu_ps(scale, _mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(
	    _mm_loadl_epi64((const void *)s)))));
	_mm256_storeu_ps(min, _mm256_mul_ps(dmin, _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(
	    _mm_loadl_epi64((const void *)m)))));
}

/* Q4_K, Q5_K: 32 bytes hold two sub-blocks of 32 in their halves; bit j of
 * the fifth bits' 32 bytes is sub-block j's. */
static void unpack_k(const unsigned char *src, float *dst, size_t n, bool five)
{
	const __m128i low = _mm_set1_epi8(15), one = _mm_set1_epi8(1), two = _mm_set1_epi8(2);
	for (size_t i = 0; i < n; i += 256) {
		float scale[8], min[8];
		k_scales(src, scale, min);
		__m128i fifth[2] = { _mm_loadu_si128((const void *)(src + 16)),
			_mm_loadu_si128((const void *)(src + 32)) };
		src += five ? 48 : 16;
		for (int p = 0; p < 4; p++, src += 32, dst += 64) {
			fetch_ahead(src);
			for (int h = 0; h < 2; h++) {
				const __m128i q = _mm_loadu_si128((const void *)(src + 16 * h));
				__m128i a = _mm_and_si128(q, low), b = _mm_and_si128(_mm_srli_epi16(q, 4), low);
				if (five) {
					a = _mm_or_si128(a, _mm_slli_epi16(_mm_and_si128(fifth[h], one), 4));
					b = _mm_or_si128(b, _mm_slli_epi16(_mm_and_si128(fifth[h], two), 3));
					fifth[h] = _mm_srli_epi16(fifth[h], 2);
				}
				v_store_i8(dst + 16 * h, a, v_set1(scale[2 * p]), v_set1(min[2 * p]));
				v_store_i8(dst + 32 + 16 * h, b, v_set1(scale[2 * p + 1]), v_set1(min[2 * p + 1]));
			}
		}
	}
}

/* One sub-block of sixteen: four low bits and, at the place of bits 4 and 5, two high ones. */
INLINE void store_q6(float *dst, __m128i low, __m128i high, float scale)
{
	const __m128i q = _mm_or_si128(_mm_and_si128(low, _mm_set1_epi8(15)),
	    _mm_and_si128(high, _mm_set1_epi8(48)));
	v_store_i8(dst, _mm_sub_epi8(q, _mm_set1_epi8(32)), v_set1(scale), v_set1(-0.0f));
}

/* Two halves of 128: 64 bytes of low bits, then, behind both, 32 of high ones. */
static void unpack_q6_k(const unsigned char *src, float *dst, size_t n)
{
	for (size_t i = 0; i < n; i += 256, src += 210) {
		const __m256 d = _mm256_set1_ps(f16_to_f32((uint16_t)(src[208] | src[209] << 8)));
		float scale[16];
		for (int j = 0; j < 16; j += 8)
			_mm256_storeu_ps(scale + j, _mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(
			    _mm_loadl_epi64((const void *)(src + 192 + j))))));
		for (int j = 0; j < 4; j++)
			fetch_ahead(src + 64 * j);
		for (int h = 0; h < 2; h++, dst += 128)
			for (int k = 0; k < 2; k++) {
				const unsigned char *q = src + 64 * h + 16 * k;
				const float *s = scale + 8 * h + k;
				const __m128i a = _mm_loadu_si128((const void *)q);
				const __m128i b = _mm_loadu_si128((const void *)(q + 32));
				const __m128i high = _mm_loadu_si128((const void *)(src + 128 + 32 * h + 16 * k));
				store_q6(dst + 16 * k, a, _mm_slli_epi16(high, 4), s[0]);
				store_q6(dst + 32 + 16 * k, b, _mm_slli_epi16(high, 2), s[2]);
				store_q6(dst + 64 + 16 * k, _mm_srli_epi16(a, 4), high, s[4]);
				store_q6(dst + 96 + 16 * k, _mm_srli_epi16(b, 4), _mm_srli_epi16(high, 2), s[6]);
			}
	}
}

static void unpack_16(enum tensor_type type, const unsigned char *src, float *dst, size_t n)
{
	for (; n >= LANES; n -= LANES, src += 2 * LANES, dst += LANES)
		v_store(dst, type == TENSOR_F16 ? v_load_f16(src) : v_load_bf16(src));
	if (n)
		dequantize_row(type, src, dst, n);
}
#endif

static void unpack(enum tensor_type type, const void *src, float *dst, size_t n)
{
	switch (type) {
#ifdef __AVX2__
	case TENSOR_Q4_0:
		unpack_q4(src, dst, n, false);
		break;
	case TENSOR_Q4_1:
		unpack_q4(src, dst, n, true);
		break;
	case TENSOR_Q8_0:
		unpack_q8_0(src, dst, n);
		break;
	case TENSOR_Q5_0:
		unpack_q5(src, dst, n, false);
		break;
	case TENSOR_Q5_1:
		unpack_q5(src, dst, n, true);
		break;
	case TENSOR_Q4_K:
		unpack_k(src, dst, n, false);
		break;
	case TENSOR_Q5_K:
		unpack_k(src, dst, n, true);
		break;
	case TENSOR_Q6_K:
		unpack_q6_k(src, dst, n);
		break;
	case TENSOR_F16:
	case TENSOR_BF16:
		unpack_16(type, src, dst, n);
		break;
#endif
	case TENSOR_F32:
		memcpy(dst, src, n * sizeof(float));
		break;
	default:
		dequantize_row(type, src, dst, n);
	}
}

/* Columns [k, k + n) of the panel's rows; zeros up to a multiple of sixteen
 * and in the rows that are not there. */
static void unpack_panel(float *buf, const struct gguf_tensor *w, int64_t row, int rows, size_t k, size_t n)
{
	const size_t block = tensor_block_len(w->type), size = tensor_block_size(w->type);
	const size_t row_size = (size_t)w->dims[0] / block * size;
	const unsigned char *src = (const unsigned char *)w->data + (size_t)row * row_size + k / block * size;
	const size_t padded = (n + 15) / 16 * 16;
	for (int j = 0; j < TILE_N; j++, src += row_size, buf += CHUNK) {
		const size_t have = j < rows ? n : 0;
		if (have)
			unpack(w->type, src, buf, n);
		memset(buf + have, 0, (padded - have) * sizeof(float));
	}
}

/* n columns at x; the last ones, where they are no sixteen, from a copy. */
INLINE void tiles_any(int tm, const float *x, size_t ldx, const float *w, size_t n, float *acc,
    bool first)
{
	const size_t k16 = n / 16, rest = n % 16;
	tiles(tm, x, ldx, w, k16, acc, first);
	if (rest) {
		float tail[TILE_M * 16] = { 0 };
		for (int i = 0; i < tm; i++)
			memcpy(tail + i * 16, x + (size_t)i * ldx + k16 * 16, rest * sizeof(float));
		tiles(tm, tail, 16, w + k16 * 16, 1, acc, false);
	}
}

/* One chunk of columns. */
static void chunk(float *y, size_t ldy, const float *x, size_t ldx, int m, const float *buf, size_t n,
    int rows, float *acc, bool first, bool last)
{
	/* Where there is one chunk only, one tile's sums are enough: they stay
	 * in the first-level cache, beside the panel. */
	const size_t step = first && last ? 0 : TILE * 16;
	for (int i = 0; i < m; i += TILE_M, acc += step) {
		const int tm = m - i < TILE_M ? m - i : TILE_M;
		tiles_any(tm, x + (size_t)i * ldx, ldx, buf, n, acc, first);
		if (last)
			sums(y + (size_t)i * ldy, ldy, acc, tm, rows);
	}
}

static void panel(float *y, size_t ldy, const float *x, int m, const struct gguf_tensor *w, int64_t row,
    int rows)
{
	_Alignas(64) float buf[TILE_N * CHUNK];
	_Alignas(64) float acc[STRIPE * TILE_N * 16];
	const size_t cols = (size_t)w->dims[0];
	for (size_t k = 0; k < cols; k += CHUNK) {
		const size_t n = cols - k < CHUNK ? cols - k : CHUNK;
		unpack_panel(buf, w, row, rows, k, n);
		chunk(y, ldy, x + k, cols, m, buf, n, rows, acc, k == 0, k + n == cols);
	}
}

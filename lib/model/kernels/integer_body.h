/*
 * Products of quantised weights, for one instruction set: included once by
 * each cpu_*.c after matmul_body.h.
 *
 * Weights are small integers times a scale a block, some with a minimum. x
 * comes as sixteen-bit integers with a scale for each 32 columns (struct
 * rounded), so that a block's sum of products is an integer below 2^27: exact,
 * in any order. An output element is, block after block from 0,
 *
 *     y = fma(sum, weight's scale * x's scale, y)
 *     y = fma(weight's minimum, x's sum, y)       in types that have one
 *
 * the same for every tile, batch, thread and vector width. Lanes are rows of
 * w: a panel (PANEL rows, INT_CHUNK columns) is unpacked from the file's own
 * blocks, transposed, into a buffer that stays in the first-level cache while
 * all rows of x pass by. A lane has two columns side by side, which one
 * instruction multiplies and adds: of each group of four 0 and 2, then 1 and
 * 3, for so bytes fall apart with shifts alone.
 */
#include <math.h>

enum {
	PANEL = ROW_VECS * LANES,
	INT_CHUNK = 512,        /* columns; a multiple of every block's length */
	MOST_BYTES = INT_CHUNK / 32 * 34,       /* of so many columns, in any type */
	HALF = 2 * LANES,       /* numbers in a vector of halves of lanes */
	GROUP = 2 * ROW_VECS * HALF,    /* numbers of a group's four columns */
};

struct weights {
	const unsigned char *at;                /* the first row, where the chunk begins */
	size_t stride;                          /* bytes from row to row */
	uintptr_t ahead;                        /* the address of what will be wanted soon */
	_Alignas(64) int16_t w[INT_CHUNK / 4 * GROUP];
	_Alignas(64) float scale[INT_CHUNK / 16][PANEL];
	_Alignas(64) float min[INT_CHUNK / 32][PANEL];
};

/* The columns of a group: 0 and 2, 1 and 3; of the rows of one vector. */
struct group {
	uhvec even, odd;
};

INLINE struct group low_halves(uhvec bytes)
{
	return (struct group){ bytes & 15, bytes >> 8 & 15 };
}

INLINE struct group high_halves(uhvec bytes)
{
	return (struct group){ bytes >> 4 & 15, bytes >> 12 };
}

/* Rows of a stripe of x, from one row and block on. */
struct x_rows {
	const int16_t *q;               /* (blocks, m, 32) */
	const float *scale, *sum;       /* (blocks, m) */
	size_t m;                       /* the stripe's rows; where a single one is multiplied, 1 */
	float *acc;                     /* (rows, PANEL): where the products are added up */
};

/*
 * Unpacked numbers go into the buffer, or, where x has one row only (one is
 * not NULL: a constant of the inlined code), at once into the sum of their
 * block. Scales go into the buffer anyway.
 */

/* Of each vector of rows: bytes of the file, or sums of a block. */
struct bytes4 {
	uhvec v[ROW_VECS][4];           /* four groups */
};
struct sums {
	ivec v[ROW_VECS];
};

/* Four bytes of each row of the vector j. */
INLINE uivec gather_words(const struct weights *b, int j, size_t at)
{
	return gather1(b->at + (size_t)(j * LANES) * b->stride + at, b->stride);
}

/* Sixteen bytes of each row. */
INLINE struct bytes4 gather_rows(const struct weights *b, size_t at)
{
	struct bytes4 x;
	UNROLL
	for (int j = 0; j < ROW_VECS; j++)
		gather4(b->at + (size_t)(j * LANES) * b->stride + at, b->stride, x.v[j]);
	return x;
}

/* Group g of the vector of rows j, each number less off; s: its block's sum. */
INLINE void put(struct weights *b, int j, const struct x_rows *one, int g, struct group x, unsigned short off,
    struct sums *s)
{
	x.even -= off;
	x.odd -= off;
	if (one) {
		s->v[j] = h_madd(h_pair(one->q + 4 * g), (hvec)x.even, s->v[j]);
		s->v[j] = h_madd(h_pair(one->q + 4 * g + 2), (hvec)x.odd, s->v[j]);
	} else {
		int16_t *w = b->w + g * GROUP + j * HALF;
		memcpy(w, &x.even, sizeof x.even);
		memcpy(w + ROW_VECS * HALF, &x.odd, sizeof x.odd);
	}
}

/* A block is at its end: its sum, with scale i, and its minimum, which are
 * those of x's block, are added. */
INLINE void finish(const struct weights *b, const struct x_rows *one, size_t i, size_t block, bool min,
    const struct sums *s)
{
	if (!one)
		return;
	UNROLL
	for (int j = 0; j < ROW_VECS; j++) {
		float *y = one->acc + j * LANES;
		vec a = v_fma(__builtin_convertvector(s->v[j], vec),
		    v_load(b->scale[i] + j * LANES) * v_set1(one->scale[block]), v_load(y));
		if (min)
			a = v_fma(v_load(b->min[block] + j * LANES), v_set1(one->sum[block]), a);
		v_store(y, a);
	}
}

/* Weights come from memory once a step, while nothing else waits there: with
 * n bytes of each row as many are asked for, a panel ahead, into the second
 * cache: a first-level cache awaits too few lines at once for the memory's
 * bandwidth. */
INLINE void fetch_ahead_rows(struct weights *b, size_t n)
{
	for (size_t i = 0; i < n * PANEL; i += 64)
		__builtin_prefetch((const void *)(b->ahead + i), 0, 2);
	b->ahead += n * PANEL;
}

/* A block's scales, half floats, and minima behind them. */
INLINE void put_scales(struct weights *b, size_t block, size_t at, bool min)
{
	UNROLL
	for (int j = 0; j < ROW_VECS; j++) {
		const struct two_vecs x = two_f16(gather_words(b, j, at));
		v_store(b->scale[block] + j * LANES, x.low);
		if (min)
			v_store(b->min[block] + j * LANES, x.high);
	}
}

INLINE void rows_q4(struct weights *b, const struct x_rows *one, size_t n, bool min)
{
	const size_t header = min ? 4 : 2;
	for (size_t block = 0, at = 0; block < n / 32; block++, at += header + 16) {
		fetch_ahead_rows(b, header + 16);
		put_scales(b, block, at, min);
		const struct bytes4 x = gather_rows(b, at + header);
		const int g = (int)block * 8;
		struct sums s = { { { 0 } } };
		UNROLL
		for (int i = 0; i < 4; i++)
			UNROLL
			for (int j = 0; j < ROW_VECS; j++) {
				put(b, j, one, g + i, low_halves(x.v[j][i]), min ? 0 : 8, &s);
				put(b, j, one, g + 4 + i, high_halves(x.v[j][i]), min ? 0 : 8, &s);
			}
		finish(b, one, block, block, min, &s);
	}
}

INLINE void rows_q8_0(struct weights *b, const struct x_rows *one, size_t n)
{
	for (size_t block = 0, at = 0; block < n / 32; block++, at += 34) {
		struct sums s = { { { 0 } } };
		fetch_ahead_rows(b, 34);
		put_scales(b, block, at, false);
		UNROLL
		for (int h = 0; h < 2; h++) {
			const struct bytes4 x = gather_rows(b, at + 2 + 16 * (size_t)h);
			UNROLL
			for (int i = 0; i < 4; i++)
				UNROLL
				for (int j = 0; j < ROW_VECS; j++)
					put(b, j, one, (int)block * 8 + 4 * h + i, (struct group){
						(uhvec)((hvec)(x.v[j][i] << 8) >> 8),
						(uhvec)((hvec)x.v[j][i] >> 8) }, 0, &s);
		}
		finish(b, one, block, block, false, &s);
	}
}

/* Adds each number's fifth bit: those of the group are the lowest four of bits. */
INLINE struct group with_fifth(struct group x, uivec bits)
{
	x.even |= (uhvec)((bits << 4 & 0x10) | (bits << 18 & 0x100000));
	x.odd |= (uhvec)((bits << 3 & 0x10) | (bits << 17 & 0x100000));
	return x;
}

INLINE void rows_q5(struct weights *b, const struct x_rows *one, size_t n, bool min)
{
	const size_t header = min ? 4 : 2;
	for (size_t block = 0, at = 0; block < n / 32; block++, at += header + 20) {
		fetch_ahead_rows(b, header + 20);
		put_scales(b, block, at, min);
		const struct bytes4 x = gather_rows(b, at + header + 4);
		const int g = (int)block * 8;
		struct sums s = { { { 0 } } };
		UNROLL
		for (int j = 0; j < ROW_VECS; j++) {
			const uivec bits = gather_words(b, j, at + header);
			UNROLL
			for (int i = 0; i < 4; i++) {
				put(b, j, one, g + i, with_fifth(low_halves(x.v[j][i]), bits >> 4 * i),
				    min ? 0 : 16, &s);
				put(b, j, one, g + 4 + i, with_fifth(high_halves(x.v[j][i]), bits >> (16 + 4 * i)),
				    min ? 0 : 16, &s);
			}
		}
		finish(b, one, block, block, min, &s);
	}
}

/* Eight scales times d and eight minima times -dmin: exact, at 17 bits. */
INLINE void put_k_scales(struct weights *b, size_t block, size_t at)
{
	for (int r = 0; r < PANEL; r++) {
		const unsigned char *src = b->at + (size_t)r * b->stride + at, *s = src + 4;
		const float d = f16_to_f32((uint16_t)(src[0] | src[1] << 8));
		const float dmin = -f16_to_f32((uint16_t)(src[2] | src[3] << 8));
		for (size_t i = block; i < block + 4; i++, s++) {
			b->scale[i][r] = d * (float)(s[0] & 63);
			b->scale[i + 4][r] = d * (float)((s[8] & 15) | s[0] >> 6 << 4);
			b->min[i][r] = dmin * (float)(s[4] & 63);
			b->min[i + 4][r] = dmin * (float)(s[8] >> 4 | s[4] >> 6 << 4);
		}
	}
}

/* Of each byte the bit s, as the fifth of a number. */
INLINE struct group with_bit(struct group x, uhvec bytes, int s)
{
	x.even |= (bytes >> s & 1) << 4;
	x.odd |= (bytes >> (8 + s) & 1) << 4;
	return x;
}

/* 256 numbers are four times 32 low halves of bytes, then their high ones;
 * fifth bits, where there are any, are a bit of each of 32 bytes in front. */
INLINE void rows_k(struct weights *b, const struct x_rows *one, size_t n, bool fifth)
{
	for (size_t first = 0, at = 0; first < n / 32; first += 8, at += fifth ? 176 : 144) {
		const size_t bits = at + 16, bytes = bits + (fifth ? 32 : 0);
		fetch_ahead_rows(b, fifth ? 176 : 144);
		put_k_scales(b, first, at);
		for (size_t c = 0; c < 4; c++) {
			const size_t block = first + 2 * c;
			const int bit = 2 * (int)c;
			struct sums low = { { { 0 } } }, high = low;
			UNROLL
			for (size_t h = 0; h < 2; h++) {
				const struct bytes4 x = gather_rows(b, bytes + 32 * c + 16 * h);
				struct bytes4 u = { { { { 0 } } } };
				if (fifth)
					u = gather_rows(b, bits + 16 * h);
				UNROLL
				for (int i = 0; i < 4; i++)
					UNROLL
					for (int j = 0; j < ROW_VECS; j++) {
						const int g = (int)block * 8 + 4 * (int)h + i;
						put(b, j, one, g, with_bit(low_halves(x.v[j][i]), u.v[j][i], bit),
						    0, &low);
						put(b, j, one, g + 8, with_bit(high_halves(x.v[j][i]), u.v[j][i],
						    bit + 1), 0, &high);
					}
			}
			finish(b, one, block, block, true, &low);
			finish(b, one, block + 1, block + 1, true, &high);
		}
	}
}

/* Two more bits of each number: bits s and s + 1 of each byte. */
INLINE struct group with_two(struct group x, uhvec bytes, int s)
{
	x.even |= (bytes >> s & 3) << 4;
	x.odd |= (bytes >> (8 + s) & 3) << 4;
	return x;
}

INLINE void put_q6_k_scales(struct weights *b, size_t first, size_t at, size_t half)
{
	for (int r = 0; r < PANEL; r++) {
		const unsigned char *src = b->at + (size_t)r * b->stride + at;
		const float d = f16_to_f32((uint16_t)(src[208] | src[209] << 8));
		for (size_t i = 0; i < 8; i++)
			b->scale[first + i][r] = d * (float)(int8_t)src[192 + 8 * half + i];
	}
}

/* Two halves of 128: 64 bytes of low bits, then, behind both, 32 of high
 * ones; a scale for each sixteen numbers. */
INLINE void rows_q6_k(struct weights *b, const struct x_rows *one, size_t n)
{
	for (size_t i128 = 0; i128 < n / 128; i128++) {
		const size_t half = i128 % 2, at = i128 / 2 * 210, block = i128 * 4, scale = i128 * 8;
		struct sums s[8] = { { { { 0 } } } };
		fetch_ahead_rows(b, 105);
		put_q6_k_scales(b, scale, at, half);
		UNROLL
		for (int k = 0; k < 2; k++) {           /* of each 32 columns a half */
			const size_t more = 16 * (size_t)k;
			const struct bytes4 x = gather_rows(b, at + 64 * half + more);
			const struct bytes4 y = gather_rows(b, at + 64 * half + 32 + more);
			const struct bytes4 u = gather_rows(b, at + 128 + 32 * half + more);
			UNROLL
			for (int i = 0; i < 4; i++)
				UNROLL
				for (int j = 0; j < ROW_VECS; j++) {
					const int g = (int)block * 8 + 4 * k + i;
					const uhvec xi = x.v[j][i], yi = y.v[j][i], ui = u.v[j][i];
					put(b, j, one, g, with_two(low_halves(xi), ui, 0), 32, &s[k]);
					put(b, j, one, g + 8, with_two(low_halves(yi), ui, 2), 32, &s[k + 2]);
					put(b, j, one, g + 16, with_two(high_halves(xi), ui, 4), 32, &s[k + 4]);
					put(b, j, one, g + 24, with_two(high_halves(yi), ui, 6), 32, &s[k + 6]);
				}
		}
		UNROLL
		for (size_t i = 0; i < 8; i++)
			finish(b, one, scale + i, block + i / 2, false, &s[i]);
	}
}

/* n columns of the panel's rows, unpacked into the buffer and, below, times
 * the one row of x. */
#define ROWS(name, call, call_one) \
	static __attribute__((noinline)) void int_unpack_##name(struct weights *b, size_t n) \
	{ \
		call; \
	} \
	static __attribute__((noinline)) void int_multiply_##name(struct weights *b, const struct x_rows *x, size_t n) \
	{ \
		call_one; \
	}
ROWS(q4_0, rows_q4(b, NULL, n, false), rows_q4(b, x, n, false))
ROWS(q4_1, rows_q4(b, NULL, n, true), rows_q4(b, x, n, true))
ROWS(q5_0, rows_q5(b, NULL, n, false), rows_q5(b, x, n, false))
ROWS(q5_1, rows_q5(b, NULL, n, true), rows_q5(b, x, n, true))
ROWS(q8_0, rows_q8_0(b, NULL, n), rows_q8_0(b, x, n))
ROWS(q4_k, rows_k(b, NULL, n, false), rows_k(b, x, n, false))
ROWS(q5_k, rows_k(b, NULL, n, true), rows_k(b, x, n, true))
ROWS(q6_k, rows_q6_k(b, NULL, n), rows_q6_k(b, x, n))

static const struct int_type {
	void (*unpack)(struct weights *b, size_t n);
	void (*multiply)(struct weights *b, const struct x_rows *x, size_t n);
	int groups;             /* of four columns, that have a scale */
	bool min;
} int_types[] = {
	[TENSOR_Q4_0] = { int_unpack_q4_0, int_multiply_q4_0, 8, false },
	[TENSOR_Q4_1] = { int_unpack_q4_1, int_multiply_q4_1, 8, true },
	[TENSOR_Q5_0] = { int_unpack_q5_0, int_multiply_q5_0, 8, false },
	[TENSOR_Q5_1] = { int_unpack_q5_1, int_multiply_q5_1, 8, true },
	[TENSOR_Q8_0] = { int_unpack_q8_0, int_multiply_q8_0, 8, false },
	[TENSOR_Q4_K] = { int_unpack_q4_k, int_multiply_q4_k, 8, true },
	[TENSOR_Q5_K] = { int_unpack_q5_k, int_multiply_q5_k, 8, true },
	[TENSOR_Q6_K] = { int_unpack_q6_k, int_multiply_q6_k, 4, false },
};

/* tm rows of x times blocks of 32 columns; groups of four columns have a
 * scale of their own (8, or 4 in Q6_K). */
INLINE void int_tile(const int tm, const int groups, const bool min, const struct x_rows *rows,
    const struct weights *b, int blocks)
{
	const struct x_rows x = *rows;  /* which no store into acc can change */
	const int16_t *w = b->w;
	const float *scale = b->scale[0];
	for (int block = 0; block < blocks; block++) {
		const size_t first = (size_t)block * x.m;
		const int16_t *q = x.q + first * 32;
		for (int h = 0; h < 8; h += groups) {
			ivec s[INT_TILE * ROW_VECS];
			UNROLL
			for (int i = 0; i < tm * ROW_VECS; i++)
				s[i] = (ivec){ 0 };
			UNROLL
			for (int g = 0; g < 2 * groups; g++, w += ROW_VECS * HALF, q += 2) {
				hvec v[ROW_VECS];
				UNROLL
				for (int j = 0; j < ROW_VECS; j++)
					memcpy(&v[j], w + j * HALF, sizeof v[j]);
				UNROLL
				for (int i = 0; i < tm; i++) {
					const hvec a = h_pair(q + i * 32);
					UNROLL
					for (int j = 0; j < ROW_VECS; j++)
						s[i * ROW_VECS + j] = h_madd(a, v[j], s[i * ROW_VECS + j]);
				}
			}
			UNROLL
			for (int i = 0; i < tm; i++) {
				const size_t at = first + (size_t)i;
				const vec d = v_set1(x.scale[at]), sum = v_set1(min ? x.sum[at] : 0);
				UNROLL
				for (int j = 0; j < ROW_VECS; j++) {
					float *y = x.acc + i * PANEL + j * LANES;
					vec a = v_fma(__builtin_convertvector(s[i * ROW_VECS + j], vec),
					    v_load(scale + j * LANES) * d, v_load(y));
					if (min)
						a = v_fma(v_load(b->min[block] + j * LANES), sum, a);
					v_store(y, a);
				}
			}
			scale += PANEL;
			/* compilers would keep the sums on the stack, too */
			__asm__("" : : : "memory");
		}
	}
}

/* One function for each height of a tile and kind of type: compilers do not
 * get on with all of them in one. */
#define TILES(n) \
	static __attribute__((noinline)) void int_tile_##n(int groups, bool min, const struct x_rows *x, \
	    const struct weights *b, int blocks) \
	{ \
		if (groups == 4) \
			int_tile(n, 4, false, x, b, blocks); \
		else if (min) \
			int_tile(n, 8, true, x, b, blocks); \
		else \
			int_tile(n, 8, false, x, b, blocks); \
	}
TILES(1)
TILES(2)
TILES(3)
TILES(4)
#if INT_TILE > 4
TILES(5)
TILES(6)
#endif
#if INT_TILE > 6
TILES(7)
TILES(8)
TILES(9)
TILES(10)
TILES(11)
TILES(12)
#endif

static void int_tiles(int tm, const struct int_type *type, const struct x_rows *x, const struct weights *b,
    int blocks)
{
	static void (*const tile_of[])(int, bool, const struct x_rows *, const struct weights *, int) = {
		NULL, int_tile_1, int_tile_2, int_tile_3, int_tile_4,
#if INT_TILE > 4
		int_tile_5, int_tile_6,
#endif
#if INT_TILE > 6
		int_tile_7, int_tile_8, int_tile_9, int_tile_10, int_tile_11, int_tile_12,
#endif
	};
	tile_of[tm](type->groups, type->min, x, b, blocks);
}

/* Where the matrix ends before the panel does: its rows' n bytes, and zeros. */
static void copy_rows(struct weights *b, unsigned char *to, int rows, size_t n)
{
	memset(to, 0, PANEL * n);
	for (int r = 0; r < rows; r++)
		memcpy(to + (size_t)r * n, b->at + (size_t)r * b->stride, n);
	b->at = to;
	b->stride = n;
}

static void int_panel(float *y, size_t ldy, const struct rounded *x, int x0, int m, const struct gguf_tensor *w,
    int64_t row, int rows)
{
	_Alignas(64) float acc[STRIPE * PANEL];
	const size_t cols = (size_t)w->dims[0], len = tensor_block_len(w->type), size = tensor_block_size(w->type);
	const size_t row_size = cols / len * size, blocks = cols / 32;
	unsigned char spare[PANEL * MOST_BYTES];
	const struct int_type *type = &int_types[w->type];
	struct weights b;
	b.ahead = (uintptr_t)w->data + (size_t)(row + PANEL) * row_size;
	memset(acc, 0, (size_t)m * PANEL * sizeof(float));
	for (size_t k = 0; k < cols; k += INT_CHUNK) {
		const size_t n = cols - k < INT_CHUNK ? cols - k : INT_CHUNK;
		b.at = (const unsigned char *)w->data + (size_t)row * row_size + k / len * size;
		b.stride = row_size;
		if (rows < PANEL)
			copy_rows(&b, spare, rows, n / len * size);
		if (m > 1)
			type->unpack(&b, n);
		/* tiles of equal height, or one row less */
		for (int i = 0, left = (m + INT_TILE - 1) / INT_TILE, tm; left > 0; left--, i += tm) {
			const size_t first = (size_t)x0 * blocks + k / 32 * (size_t)m + (size_t)i;
			const struct x_rows some = { x->q + first * 32, x->scale + first, x->sum + first, (size_t)m,
				acc + i * PANEL };
			tm = (m - i + left - 1) / left;
			if (m > 1)
				int_tiles(tm, type, &some, &b, (int)n / 32);
			else
				type->multiply(&b, &some, n);
		}
	}
	for (int i = 0; i < m; i++, y += ldy)
		if (rows == PANEL)
			memcpy(y, acc + i * PANEL, PANEL * sizeof(float));
		else
			memcpy(y, acc + i * PANEL, (size_t)rows * sizeof(float));
}

/* A row of x as integers: |q| <= 32767. What is not a number, or too large
 * for one, makes its block's scale NaN, and so all that is made of it. */
static void round_row(const struct rounded *x, int row, const float *from, size_t cols)
{
	const int x0 = row / STRIPE * STRIPE;
	const size_t m = (size_t)stripe_rows(x->m, x0);
	size_t at = (size_t)x0 * (cols / 32) + (size_t)(row - x0);
	for (size_t k = 0; k < cols; k += 32, from += 32, at += m) {
		int16_t *q = x->q + at * 32;
		float *scale = x->scale + at, *sum = x->sum + at;
		const float most = largest_of_32(from);
		if (!(most <= 3e38f) || most < 1e-30f) {
			*scale = *sum = most < 1e-30f ? 0 : NAN;
			memset(q, 0, 32 * sizeof *q);
			continue;
		}
		*scale = most / 32767.0f;
		*sum = *scale * (float)round_32(q, from, 32767.0f / most);
	}
}

/* Products: one order of sums, whatever the shape, the machine or the threads. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/rng.h"
#include "model/kernels/kernels.h"
#include "model/kernels/matmul.h"
#include "model/quant.h"
#include "test.h"

enum { MOST_M = 70, MOST_ROWS = 64, MOST_COLS = 2048 };

static const enum tensor_type types[] = {
	TENSOR_F32, TENSOR_F16, TENSOR_BF16, TENSOR_Q8_0, TENSOR_Q4_0, TENSOR_Q4_1,
	TENSOR_Q5_0, TENSOR_Q5_1, TENSOR_Q4_K, TENSOR_Q5_K, TENSOR_Q6_K,
};
static const char *const names[] = { "avx512vnni", "avx512", "avx2", "portable" };

enum { NTYPES = sizeof types / sizeof *types, NNAMES = sizeof names / sizeof *names };

static const char *best;        /* this CPU's */
static struct pool *pool;
static struct matmul_room room;
static float x[MOST_M * MOST_COLS], y[MOST_M * MOST_ROWS], z[MOST_M * MOST_ROWS], row[MOST_COLS];
static unsigned char bytes[MOST_ROWS * MOST_COLS * sizeof(float)];
static struct gguf_tensor w;

/* Random weights, whose values are of order 1 in every type: random bytes
 * with small half floats where a block has its scales. */
static void make_weights(enum tensor_type type, int rows, int cols)
{
	const struct rng r = rng_stream(7, tensor_type_name(type), "weights", (uint64_t)cols);
	const size_t n = (size_t)rows * (size_t)cols;
	const size_t size = n / tensor_block_len(type) * tensor_block_size(type);
	w = (struct gguf_tensor){
		.name = "w", .ndims = 2, .dims = { cols, rows, 1, 1 }, .type = type, .data = bytes,
		.size = size,
	};
	for (int k = 0; k < rows && tensor_writable(type); k++) {
		for (int i = 0; i < cols; i++)
			row[i] = (float)rng_uniform(&r, (uint64_t)k * (uint64_t)cols + (uint64_t)i) - 0.5f;
		quantize_row(type, row, bytes + (size_t)k * (size / (size_t)rows), (size_t)cols);
	}
	if (tensor_writable(type))
		return;
	for (size_t i = 0; i < size; i++)
		bytes[i] = (unsigned char)rng_below(&r, i, 256);
	for (size_t i = 0; i < size; i += tensor_block_size(type)) {
		const uint16_t d = f32_to_f16(0.01f);
		memcpy(bytes + i, &d, sizeof d);
		memcpy(bytes + i + 2, &d, sizeof d);
		memcpy(bytes + i + tensor_block_size(type) - 2, &d, sizeof d);
	}
}

static void make_x(int m, int cols)
{
	const struct rng r = rng_stream(7, "x", "activations", 0);
	for (int i = 0; i < m * cols; i++)
		x[i] = 2 * (float)rng_uniform(&r, (uint64_t)i) - 1;
}

static const float *weight_row(int i)
{
	dequantize_row(w.type, (const char *)w.data + (size_t)i * (w.size / (size_t)w.dims[1]), row,
	    (size_t)w.dims[0]);
	return row;
}

/* The order of sums that the header promises, written out. */
static float in_order(const float *a, const float *b, int n)
{
	float s[16] = { 0 };
	for (int k = 0; k < n; k++)
		s[k % 16] = fmaf(a[k], b[k], s[k % 16]);
	for (int l = 0; l < 8; l++)
		s[l] += s[l + 8];
	return ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
}

/* A block of 32 numbers as the header says x is rounded: |q| <= 32767. */
static float rounded(const float *a, int *q)
{
	float most = 0;
	for (int i = 0; i < 32; i++)
		most = fmaxf(most, fabsf(a[i]));
	for (int i = 0; i < 32; i++)
		q[i] = (int)nearbyintf(a[i] * (32767 / most));
	return most / 32767;
}

/* The sum of row j of w, whose blocks have a scale in front, and a minimum
 * behind it where min is true, with a: integers first, blocks in order. */
static float in_blocks(const float *a, int j, bool min)
{
	const size_t size = tensor_block_size(w.type);
	const float *value = weight_row(j);
	float sum = 0;
	for (int k = 0; k < w.dims[0]; k += 32) {
		const unsigned char *b = (const unsigned char *)w.data +
		    (size_t)(j * w.dims[0] + k) / 32 * size;
		const float d = f16_to_f32((uint16_t)(b[0] | b[1] << 8));
		const float m = min ? f16_to_f32((uint16_t)(b[2] | b[3] << 8)) : 0;
		int q[32], all = 0;
		long products = 0;
		const float dx = rounded(a + k, q);
		for (int i = 0; i < 32; i++) {
			products += lrint(((double)value[k + i] - (double)m) / (double)d) * q[i];
			all += q[i];
		}
		sum = fmaf((float)products, d * dx, sum);
		if (min)
			sum = fmaf(m, dx * (float)all, sum);
	}
	return sum;
}

/* What rounding x may change in a sum with b: half a unit of its block each. */
static double from_rounding(const float *a, const float *b, int n)
{
	double most = 0, sum = 0;
	for (int k = 0; k < n; k++) {
		if (k % 32 == 0) {
			most = 0;
			for (int i = 0; i < 32; i++)
				most = fmax(most, fabs((double)a[k + i]));
		}
		sum += most / 32767 / 2 * fabs((double)b[k]);
	}
	return sum;
}

static double in_double(const float *a, const float *b, int n)
{
	double s = 0;
	for (int k = 0; k < n; k++)
		s += (double)a[k] * (double)b[k];
	return s;
}

static bool same(const float *a, const float *b, size_t n)
{
	return memcmp(a, b, n * sizeof *a) == 0;
}

static void every_kernel_sums_in_the_promised_order(void)
{
	static const int shapes[][2] = { { 64, 256 }, { 13, 512 }, { 1, 1024 }, { 7, 2048 } };
	for (int t = 0; t < NTYPES; t++)
		for (int s = 0; s < 4; s++) {
			const int rows = shapes[s][0], cols = shapes[s][1], m = 9;
			if (!tensor_readable(types[t]))
				continue;
			make_weights(types[t], rows, cols);
			make_x(m, cols);
			for (int k = 0; k < NNAMES; k++) {
				if (matmul_force(names[k]) != 0)
					continue;
				const bool fused = strcmp(names[k], "portable") != 0;
				const bool quantised = tensor_block_len(types[t]) > 1;
				const bool min = types[t] == TENSOR_Q4_1 || types[t] == TENSOR_Q5_1;
				matmul_fixed(pool, &room, y, MOST_ROWS, x, m, &w);
				for (int j = 0; j < rows; j++) {
					const float *wj = weight_row(j);
					for (int i = 0; i < m; i++) {
						const float got = y[i * MOST_ROWS + j];
						if (fused && !quantised)
							CHECK(got == in_order(x + i * cols, wj, cols));
						else if (fused && tensor_block_len(types[t]) == 32)
							CHECK(got == in_blocks(x + i * cols, j, min));
						/* relative to what is added up */
						CHECK_NEAR(got, in_double(x + i * cols, wj, cols),
						    1e-5 * sqrt(cols) * 4 +
						    (quantised ? from_rounding(x + i * cols, wj, cols) : 0));
					}
				}
			}
		}
}

static void columns_need_no_multiple_of_sixteen(void)
{
	static const int all[] = { 1, 5, 15, 17, 31, 100, 767, 769, 1000 };
	for (size_t c = 0; c < sizeof all / sizeof *all; c++) {
		const int cols = all[c], m = 5, rows = 11;
		make_weights(c % 2 ? TENSOR_F32 : TENSOR_F16, rows, cols);
		make_x(m, cols);
		for (int k = 0; k < NNAMES; k++) {
			if (matmul_force(names[k]) != 0)
				continue;
			matmul_fixed(pool, &room, y, MOST_ROWS, x, m, &w);
			for (int i = 0; i < m * rows; i++) {
				const float *xi = x + i / rows * cols, *wj = weight_row(i % rows);
				const float got = y[i / rows * MOST_ROWS + i % rows];
				if (strcmp(names[k], "portable") != 0)
					CHECK(got == in_order(xi, wj, cols));
				CHECK_NEAR(got, in_double(xi, wj, cols), 1e-5 * sqrt(cols) * 4);
			}
		}
	}
}

static void a_row_is_the_same_in_every_batch(void)
{
	const int rows = 50, cols = 1536;        /* three chunks, four panels */
	for (int k = 0; k < NNAMES; k++) {
		if (matmul_force(names[k]) != 0)
			continue;
		for (int t = 0; t < NTYPES; t++) {
			if (!tensor_readable(types[t]))
				continue;
			make_weights(types[t], rows, cols);
			make_x(MOST_M, cols);
			matmul_fixed(pool, &room, y, MOST_ROWS, x, MOST_M, &w);
			/* few rows, and a stripe and one row more */
			for (int m = 1; m <= STRIPE + 1; m += m == 13 ? STRIPE + 1 - m : 1)
				for (int i = 0; i + m <= MOST_M; i += 17) {
					matmul_fixed(pool, &room, z, MOST_ROWS, x + i * cols, m, &w);
					for (int r = 0; r < m; r++)
						CHECK(same(z + r * MOST_ROWS, y + (i + r) * MOST_ROWS, (size_t)rows));
				}
		}
	}
}

static void threads_and_several_products_at_once_change_nothing(void)
{
	struct pool *two = pool_new(2), *five = pool_new(5);
	const int rows = 61, cols = 576, m = 66;
	matmul_force(best);
	make_weights(TENSOR_Q8_0, rows, cols);
	make_x(m, cols);
	matmul_fixed(pool, &room, y, MOST_ROWS, x, m, &w);
	matmul_fixed(two, &room, z, MOST_ROWS, x, m, &w);
	for (int i = 0; i < m; i++)
		CHECK(same(y + i * MOST_ROWS, z + i * MOST_ROWS, (size_t)rows));
	struct gguf_tensor some = w;
	some.dims[1] = 30;
	const struct matmul both[] = { { z, MOST_ROWS, &some }, { z + 30, MOST_ROWS, &some } };
	memset(z, 0, sizeof z);
	matmul_fixed_n(five, &room, both, 2, x, m);
	for (int i = 0; i < m; i++) {
		CHECK(same(y + i * MOST_ROWS, z + i * MOST_ROWS, 30));
		CHECK(same(y + i * MOST_ROWS, z + i * MOST_ROWS + 30, 30));
	}
	pool_free(two);
	pool_free(five);
}

static void avx2_and_avx512_give_the_same_bits(void)
{
	static const char *const wider[] = { "avx512", "avx512vnni" };
	const int rows = 37, cols = 1536, m = 27;
	for (int i = 0; i < 2; i++)
		for (int t = 0; t < NTYPES; t++) {
			if (matmul_force(wider[i]) != 0) {
				printf("# this CPU has no %s: nothing to compare\n", wider[i]);
				break;
			}
			if (!tensor_readable(types[t]))
				continue;
			make_weights(types[t], rows, cols);
			make_x(m, cols);
			matmul_fixed(pool, &room, y, MOST_ROWS, x, m, &w);
			CHECK(matmul_force("avx2") == 0);
			matmul_fixed(pool, &room, z, MOST_ROWS, x, m, &w);
			for (int j = 0; j < m; j++)
				CHECK(same(y + j * MOST_ROWS, z + j * MOST_ROWS, (size_t)rows));
		}
}

static void unpacked_weights_are_those_of_dequantize_row(void)
{
	static float got[MOST_COLS];
	for (int k = 0; k < NNAMES; k++) {
		if (matmul_force(names[k]) != 0)
			continue;
		for (int t = 0; t < NTYPES; t++) {
			/* rows of half floats of any length */
			const int cols = tensor_block_len(types[t]) == 1 ? 1003 : 1024;
			if (!tensor_readable(types[t]))
				continue;
			make_weights(types[t], 8, cols);
			for (int j = 0; j < 8; j++) {
				kernels()->unpack(types[t], (const char *)w.data + (size_t)j * (w.size / 8),
				    got, (size_t)cols);
				CHECK(same(got, weight_row(j), (size_t)cols));
			}
		}
		/* every finite half float as a scale */
		for (int t = 0; t < NTYPES; t++) {
			static unsigned char block[MOST_COLS];
			const size_t len = tensor_block_len(types[t]), size = tensor_block_size(types[t]);
			const size_t at = types[t] == TENSOR_Q6_K ? 208 : 0;
			const struct rng r = rng_stream(8, tensor_type_name(types[t]), "scales", 0);
			for (uint32_t s = 0; len > 1 && s < 0x10000; s++) {
				const uint16_t d = (uint16_t)s, min = (uint16_t)(rng_below(&r, s, 0x7c00) | (s & 0x8000u));
				for (size_t i = 0; i < size && s % 16 == 0; i++)
					block[i] = (unsigned char)rng_below(&r, 0x10000 + s * size + i, 256);
				if ((s & 0x7c00u) == 0x7c00u)
					continue;
				memcpy(block + at, &d, sizeof d);
				if (types[t] == TENSOR_Q4_1 || types[t] == TENSOR_Q5_1 || types[t] == TENSOR_Q4_K ||
				    types[t] == TENSOR_Q5_K)
					memcpy(block + 2, &min, sizeof min);
				kernels()->unpack(types[t], block, got, len);
				dequantize_row(types[t], block, row, len);
				CHECK(same(got, row, len));
			}
		}
		/* a negative scale times nothing */
		const uint16_t d = f32_to_f16(-0.25f);
		unsigned char block[34] = { 0 };
		float wanted[32];
		memcpy(block, &d, sizeof d);
		kernels()->unpack(TENSOR_Q8_0, block, got, 32);
		dequantize_row(TENSOR_Q8_0, block, wanted, 32);
		CHECK(same(got, wanted, 32));
	}
}

static void the_reference_agrees(void)
{
	static float scratch[MOST_ROWS * MOST_COLS];
	const int rows = 64, cols = 576, m = 33;
	matmul_force(best);
	make_weights(TENSOR_Q4_1, rows, cols);
	make_x(m, cols);
	matmul_fixed(pool, &room, y, MOST_ROWS, x, m, &w);
	matmul_blas(z, MOST_ROWS, x, m, &w, scratch);
	for (int i = 0; i < m; i++)
		for (int j = 0; j < rows; j++)
			CHECK_NEAR(y[i * MOST_ROWS + j], z[i * MOST_ROWS + j],
			    1e-4 + from_rounding(x + i * cols, weight_row(j), cols));
}

/* What is not a number makes nothing but its own rows no number; a block of
 * zeros is exactly 0; tiny numbers, which no scale can hold, are 0. */
static void strange_numbers_stay_in_their_rows(void)
{
	const int rows = 19, cols = 576, m = 5;
	for (int k = 0; k < NNAMES; k++) {
		if (matmul_force(names[k]) != 0)
			continue;
		make_weights(TENSOR_Q4_0, rows, cols);
		make_x(m, cols);
		x[0 * cols + 40] = NAN;
		x[1 * cols + 575] = INFINITY;
		memset(x + 2 * cols, 0, (size_t)cols * sizeof *x);
		for (int i = 0; i < cols; i++)
			x[3 * cols + i] = 1e-38f;
		matmul_fixed(pool, &room, y, MOST_ROWS, x, m, &w);
		for (int j = 0; j < rows; j++) {
			CHECK(isnan(y[j]) && isnan(y[MOST_ROWS + j]));
			CHECK(y[2 * MOST_ROWS + j] == 0 && y[3 * MOST_ROWS + j] == 0);
			CHECK_NEAR(y[4 * MOST_ROWS + j], in_double(x + 4 * cols, weight_row(j), cols), 1e-3);
		}
	}
}

static void kernels_are_forced_by_name(void)
{
	CHECK(matmul_force("portable") == 0);
	CHECK_STR(matmul_kernel_name(), "portable");
	CHECK(matmul_force("mmx") == -1);
	CHECK_STR(matmul_kernel_name(), "portable");
}

int main(void)
{
	best = matmul_kernel_name();
	pool = pool_new(1);
	TEST(every_kernel_sums_in_the_promised_order);
	TEST(columns_need_no_multiple_of_sixteen);
	TEST(a_row_is_the_same_in_every_batch);
	TEST(threads_and_several_products_at_once_change_nothing);
	TEST(avx2_and_avx512_give_the_same_bits);
	TEST(unpacked_weights_are_those_of_dequantize_row);
	TEST(the_reference_agrees);
	TEST(strange_numbers_stay_in_their_rows);
	TEST(kernels_are_forced_by_name);
	matmul_room_free(&room);
	pool_free(pool);
	return tests_done();
}

/* Tensor types: hand-worked blocks, and gguf-py's values (tests/golden/quant.txt). */
#include <float.h>
#include <stdlib.h>

#include "model/quant.h"
#include "test.h"

static void halves_by_hand(void)
{
	CHECK(f16_to_f32(0x3c00) == 1);
	CHECK(f16_to_f32(0xc000) == -2);
	CHECK(f16_to_f32(0x3555) == 0.333251953125f);
	CHECK(f16_to_f32(0x7bff) == 65504);
	CHECK(f16_to_f32(0x0001) == 0x1p-24f);
	CHECK(f16_to_f32(0x03ff) == 1023 * 0x1p-24f);
	CHECK(f16_to_f32(0x0400) == 0x1p-14f);
	CHECK(f16_to_f32(0x8000) == 0 && signbit(f16_to_f32(0x8000)));
	CHECK(f16_to_f32(0x7c00) == INFINITY);
	CHECK(f16_to_f32(0xfc00) == -INFINITY);
	CHECK(isnan(f16_to_f32(0x7e01)));
}

static void halves_round_to_even(void)
{
	static const struct { float x; unsigned h; } cases[] = {
		{ 0, 0 }, { -0.0f, 0x8000 }, { 1, 0x3c00 }, { -2, 0xc000 },
		{ 1 + 0x1p-11f, 0x3c00 },               /* halfway: the even one below */
		{ 1 + 3 * 0x1p-11f, 0x3c02 },           /* halfway: the even one above */
		{ 1 + 0x1p-11f + 0x1p-20f, 0x3c01 },
		{ 65504, 0x7bff }, { 65519, 0x7bff }, { 65520, 0x7c00 },
		{ 1e30f, 0x7c00 }, { -INFINITY, 0xfc00 },
		{ 0x1p-14f, 0x0400 }, { 0x1p-14f - 0x1p-25f, 0x0400 }, { 0x1p-24f, 1 }, { 3 * 0x1p-24f, 3 },
		{ 0x1p-25f, 0 }, { 0x1p-25f + 0x1p-40f, 1 }, { 3 * 0x1p-25f, 2 },
		{ 1e-30f, 0 }, { FLT_TRUE_MIN, 0 },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		CHECK(f32_to_f16(cases[i].x) == cases[i].h);
	CHECK((f32_to_f16(NAN) & 0x7fff) > 0x7c00);
}

static void every_half_comes_back(void)
{
	for (unsigned h = 0; h < 0x10000; h++) {
		float f = f16_to_f32((uint16_t)h);
		if (isnan(f))
			CHECK((h & 0x7fff) > 0x7c00 && (f32_to_f16(f) & 0x7fff) > 0x7c00);
		else
			CHECK(f32_to_f16(f) == h);
	}
}

static void bf16_rounds_to_even(void)
{
	CHECK(f32_to_bf16(1) == 0x3f80);
	CHECK(f32_to_bf16(1 + 0x1p-8f) == 0x3f80);              /* halfway: even */
	CHECK(f32_to_bf16(1 + 3 * 0x1p-8f) == 0x3f82);
	CHECK(f32_to_bf16(1 + 0x1p-8f + 0x1p-23f) == 0x3f81);
	CHECK(f32_to_bf16(FLT_MAX) == 0x7f80);
	CHECK(f32_to_bf16(-INFINITY) == 0xff80);
	CHECK((f32_to_bf16(NAN) & 0x7fff) > 0x7f80);
	CHECK(bf16_to_f32(0x4049) == 3.140625f);
	CHECK(isnan(bf16_to_f32(f32_to_bf16(NAN))));
}

/* d = 0.5; the first byte 0x1f: elements 0 and 16. */
static void blocks_by_hand(void)
{
	static const unsigned char half_minus_one[] = { 0x00, 0x38, 0x00, 0xbc };
	unsigned char b[34] = { 0x00, 0x38 };
	float y[32];

	b[2] = 0x1f;
	b[17] = 0x80;
	dequantize_row(TENSOR_Q4_0, b, y, 32);
	CHECK(y[0] == 3.5f && y[16] == -3.5f);          /* (15 - 8) / 2, (1 - 8) / 2 */
	CHECK(y[15] == -4 && y[31] == 0);
	CHECK(y[1] == -4 && y[17] == -4);

	memcpy(b, half_minus_one, 4);                   /* d = 0.5, m = -1 */
	memset(b + 4, 0, 16);
	b[4] = 0x1f;
	dequantize_row(TENSOR_Q4_1, b, y, 32);
	CHECK(y[0] == 6.5f && y[16] == -0.5f && y[1] == -1 && y[31] == -1);

	memset(b, 0, sizeof b);
	memcpy(b, half_minus_one, 2);
	b[2] = 0x01;                                    /* the fifth bits of elements 0 and 31 */
	b[5] = 0x80;
	b[6] = 0x1f;
	dequantize_row(TENSOR_Q5_0, b, y, 32);
	CHECK(y[0] == 7.5f && y[16] == -7.5f && y[31] == 0 && y[1] == -8);

	memset(b, 0, sizeof b);
	memcpy(b, half_minus_one, 2);
	b[2] = 127;
	b[33] = 0x80;
	dequantize_row(TENSOR_Q8_0, b, y, 32);
	CHECK(y[0] == 63.5f && y[31] == -64 && y[5] == 0);
}

static void names_and_sizes(void)
{
	CHECK_STR(tensor_type_name(TENSOR_Q4_1), "Q4_1");
	CHECK(tensor_type_by_name("q8_0") == TENSOR_Q8_0);
	CHECK(tensor_type_by_name("bf16") == TENSOR_BF16);
	CHECK(tensor_type_by_name("Q9_9") == -1);
	CHECK(tensor_type_name(4) == NULL && tensor_block_len(4) == 0 && tensor_block_size(4) == 0);
	CHECK(!tensor_readable(4) && !tensor_writable(4) && !tensor_readable(0xffffffffu));
	CHECK(tensor_block_len(TENSOR_Q6_K) == 256 && tensor_block_size(TENSOR_Q6_K) == 210);
	CHECK(tensor_readable(TENSOR_Q6_K) && tensor_writable(TENSOR_Q6_K));
	CHECK(!tensor_readable(10) && !tensor_writable(10) && tensor_block_size(10) == 84);     /* Q2_K: named, not read */
	CHECK(tensor_writable(TENSOR_Q4_0) && tensor_writable(TENSOR_F16));
}

static size_t unhex(const char *s, unsigned char *out)
{
	size_t n = 0;
	unsigned b;

	for (; sscanf(s, "%2x", &b) == 1; s += 2)
		out[n++] = (unsigned char)b;
	return n;
}

static void check_line(char *line, int *nread, int *nwritten)
{
	unsigned char bytes[512], written[512];
	float want[256], got[256];
	char *name = strtok(line, " "), *what = strtok(NULL, " "), *hex = strtok(NULL, " "), *v;
	int type = tensor_type_by_name(name);
	size_t nbytes = unhex(hex, bytes), n = 0;

	while (n < 256 && (v = strtok(NULL, " \n")))
		want[n++] = strtof(v, NULL);
	CHECK(type >= 0);
	if (type < 0)
		return;
	CHECK(n / tensor_block_len((unsigned)type) * tensor_block_size((unsigned)type) == nbytes);
	if (strcmp(what, "read") == 0) {
		dequantize_row((enum tensor_type)type, bytes, got, n);
		for (size_t i = 0; i < n; i++)
			CHECK(got[i] == want[i]);
		++*nread;
	} else {
		quantize_row((enum tensor_type)type, want, written, n);
		CHECK(memcmp(written, bytes, nbytes) == 0);
		++*nwritten;
	}
}

static void same_as_the_reference(void)
{
	FILE *f = fopen("tests/golden/quant.txt", "r");
	char *line = NULL;
	size_t cap = 0;
	int nread = 0, nwritten = 0;

	CHECK(f != NULL);
	while (f && getline(&line, &cap, f) > 0)
		if (*line != '#')
			check_line(line, &nread, &nwritten);
	CHECK(nread == 10 && nwritten == 7);
	free(line);
	if (f)
		fclose(f);
}

/* Reading what was written: the largest error, and the root of the mean
 * square of the errors, of numbers that are evenly spread over [-4, 4): the
 * latter of a grid of that step is step / sqrt(12). */
static void written_rows_come_back(void)
{
	static const struct { enum tensor_type type; double step, most, mean; } types[] = {
		{ TENSOR_F32, 0, 0, 0 }, { TENSOR_F16, 4.0 / 2048, 0.5, 0.8 }, { TENSOR_BF16, 4.0 / 256, 0.5, 0.8 },
		{ TENSOR_Q8_0, 4.0 / 127, 0.57, 1.02 }, { TENSOR_Q6_K, 8.0 / 63, 0.9, 0.92 },
		{ TENSOR_Q5_K, 8.0 / 31, 0.8, 0.92 }, { TENSOR_Q5_1, 8.0 / 31, 0.57, 0.97 },
		{ TENSOR_Q5_0, 8.0 / 31, 1.02, 1.02 }, { TENSOR_Q4_K, 8.0 / 15, 0.8, 0.92 },
		{ TENSOR_Q4_1, 8.0 / 15, 0.57, 0.97 }, { TENSOR_Q4_0, 8.0 / 15, 1.02, 1.06 },
	};
	static float x[1536], y[1536];
	static unsigned char b[1536 * 4];
	unsigned state = 1;

	for (int i = 0; i < 1536; i++) {
		state = state * 1664525u + 1013904223u;
		x[i] = ((float)(state >> 8) * 0x1p-24f - 0.5f) * 8;
	}
	for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
		double most = 0, sum = 0;
		quantize_row(types[t].type, x, b, 1536);
		dequantize_row(types[t].type, b, y, 1536);
		for (int i = 0; i < 1536; i++) {
			double e = fabs((double)y[i] - (double)x[i]);
			most = e > most ? e : most;
			sum += e * e;
		}
		CHECK(most <= types[t].step * types[t].most);
		CHECK(sqrt(sum / 1536) <= types[t].step / sqrt(12) * types[t].mean);
	}
}

/* Sub-blocks of the K types that have one value, one sign, or other sizes than their neighbours. */
static void uneven_blocks_come_back(void)
{
	static const struct { enum tensor_type type; double part; } types[] = {
		{ TENSOR_Q4_K, 1.0 / 15 }, { TENSOR_Q5_K, 1.0 / 31 }, { TENSOR_Q6_K, 1.0 / 32 },
	};
	float x[256], y[256];
	unsigned char b[256];

	for (int i = 0; i < 256; i++) {
		const int part = i / 32;
		const float rising = 1 + (float)(i % 32) / 16;

		x[i] = part == 0 ? 0 : part == 1 ? -3 : part == 2 ? 3 : part == 3 ? rising : part == 4 ? -rising :
		    sinf((float)i) * (float)(part - 4);
	}
	for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
		quantize_row(types[t].type, x, b, 256);
		dequantize_row(types[t].type, b, y, 256);
		for (int i = 0; i < 256; i++) {
			CHECK(i >= 32 || y[i] == 0);
			CHECK_NEAR(y[i], x[i], 3 * types[t].part);
		}
	}
}

static void no_number_is_no_crash(void)
{
	static const enum tensor_type types[] = {
		TENSOR_F16, TENSOR_BF16, TENSOR_Q8_0, TENSOR_Q4_0, TENSOR_Q4_1, TENSOR_Q5_0, TENSOR_Q5_1,
		TENSOR_Q4_K, TENSOR_Q5_K, TENSOR_Q6_K,
	};
	static const float bad[] = { NAN, INFINITY, -INFINITY, FLT_MAX, -FLT_MAX, FLT_TRUE_MIN };
	unsigned char b[1024];
	float x[256];

	for (size_t t = 0; t < sizeof types / sizeof *types; t++)
		for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
			for (int j = 0; j < 256; j++)
				x[j] = j % 3 ? (float)j : bad[i];
			memset(b, 0xee, sizeof b);
			quantize_row(types[t], x, b, 256);
			CHECK(b[256 / tensor_block_len(types[t]) * tensor_block_size(types[t])] == 0xee);
		}
	memset(x, 0, sizeof x);
	for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
		quantize_row(types[t], x, b, 256);
		dequantize_row(types[t], b, x, 256);
		CHECK(x[0] == 0 && x[31] == 0 && x[255] == 0);
	}
}

int main(void)
{
	TEST(halves_by_hand);
	TEST(halves_round_to_even);
	TEST(every_half_comes_back);
	TEST(bf16_rounds_to_even);
	TEST(blocks_by_hand);
	TEST(names_and_sizes);
	TEST(same_as_the_reference);
	TEST(written_rows_come_back);
	TEST(uneven_blocks_come_back);
	TEST(no_number_is_no_crash);
	return tests_done();
}

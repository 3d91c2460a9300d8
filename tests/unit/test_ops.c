/* The small operations, against what they are by definition. */
#include <stdlib.h>

#include "base/rng.h"
#include "model/kernels/kernels.h"
#include "model/kernels/matmul.h"
#include "model/ops.h"
#include "test.h"

static const char *const names[] = { "avx512vnni", "avx512", "avx2", "portable" };

enum { NNAMES = sizeof names / sizeof *names, N = 1000 };

static void fill(float *v, int n, double scale, uint64_t index)
{
	const struct rng r = rng_stream(3, "ops", "test", index);
	for (int i = 0; i < n; i++)
		v[i] = (float)((2 * rng_uniform(&r, (uint64_t)i) - 1) * scale);
}

static bool same(const float *a, const float *b, size_t n)
{
	return memcmp(a, b, n * sizeof *a) == 0;
}

static void rmsnorm_by_hand(void)
{
	/* mean of squares of (3, 4, 0, 0) is 25/4 */
	const float x[] = { 3, 4, 0, 0 }, w[] = { 1, 2, 3, 4 };
	float y[4];
	CHECK_NEAR(op_rmsnorm(y, x, w, 4, 0), 0.4, 1e-7);
	CHECK_NEAR(y[0], 1.2, 1e-6);
	CHECK_NEAR(y[1], 3.2, 1e-6);
	CHECK(y[2] == 0 && y[3] == 0);
	CHECK_NEAR(op_rmsnorm(y, x, w, 4, 93.75f), 0.1, 1e-8);
}

static void rmsnorm_of_any_length(void)
{
	float x[N], w[N], y[N];
	fill(x, N, 2, 0);
	fill(w, N, 1, 1);
	for (int n = 1; n <= N; n += 37) {
		double ss = 0;
		for (int i = 0; i < n; i++)
			ss += (double)x[i] * (double)x[i];
		const double scale = 1 / sqrt(ss / n + 1e-5);
		CHECK_NEAR(op_rmsnorm(y, x, w, n, 1e-5f), scale, 1e-6 * scale);
		for (int i = 0; i < n; i++)
			CHECK_NEAR(y[i], x[i] * scale * w[i], 1e-5);
	}
}

static void rope_turns_pairs_and_back(void)
{
	/* two heads of six, of which four turn: by pos and by pos / 2 */
	const float inv_freq[] = { 1, 0.5f };
	float x[12] = { 1, 0, 0, 1, 5, 6, 1, 2, 3, 4, 7, 8 }, before[12];
	memcpy(before, x, sizeof x);
	op_rope(x, 2, 6, 4, ROPE_PAIRS, 0, inv_freq, 1);
	CHECK(same(x, before, 12));
	op_rope(x, 2, 6, 4, ROPE_PAIRS, 3, inv_freq, 1);
	CHECK_NEAR(x[0], cos(3), 1e-6);
	CHECK_NEAR(x[1], sin(3), 1e-6);
	CHECK_NEAR(x[2], -sin(1.5), 1e-6);
	CHECK_NEAR(x[3], cos(1.5), 1e-6);
	CHECK(x[4] == 5 && x[5] == 6 && x[10] == 7 && x[11] == 8);
	CHECK_NEAR(x[6], cos(3) - 2 * sin(3), 1e-6);
	CHECK_NEAR(x[7], sin(3) + 2 * cos(3), 1e-6);
	op_rope(x, 2, 6, 4, ROPE_PAIRS, 3, inv_freq, -1);
	for (int i = 0; i < 12; i++)
		CHECK_NEAR(x[i], before[i], 1e-6);
}

static void rope_turns_halves_and_back(void)
{
	/* (x[0], x[2]) by pos, (x[1], x[3]) by pos / 2 */
	const float inv_freq[] = { 1, 0.5f };
	float x[12] = { 1, 0, 0, 1, 5, 6, 1, 2, 3, 4, 7, 8 }, before[12];
	memcpy(before, x, sizeof x);
	op_rope(x, 2, 6, 4, ROPE_HALVES, 3, inv_freq, 1);
	CHECK_NEAR(x[0], cos(3), 1e-6);
	CHECK_NEAR(x[1], -sin(1.5), 1e-6);
	CHECK_NEAR(x[2], sin(3), 1e-6);
	CHECK_NEAR(x[3], cos(1.5), 1e-6);
	CHECK(x[4] == 5 && x[5] == 6 && x[10] == 7 && x[11] == 8);
	CHECK_NEAR(x[6], cos(3) - 3 * sin(3), 1e-6);
	CHECK_NEAR(x[8], sin(3) + 3 * cos(3), 1e-6);
	CHECK_NEAR(x[9], 2 * sin(1.5) + 4 * cos(1.5), 1e-6);
	op_rope(x, 2, 6, 4, ROPE_HALVES, 3, inv_freq, -1);
	for (int i = 0; i < 12; i++)
		CHECK_NEAR(x[i], before[i], 1e-6);
}

static void swiglu_is_silu_times_up(void)
{
	float gate[N], up[N], y[N], first[N];
	int seen = 0;
	fill(gate, N, 12, 2);
	fill(up, N, 3, 3);
	gate[0] = 0;
	gate[1] = 200;
	gate[2] = -200;
	for (int k = 0; k < NNAMES; k++) {
		if (matmul_force(names[k]) != 0)
			continue;
		for (int n = 1; n <= N; n += 111) {
			op_swiglu(y, gate, up, (size_t)n);
			for (int i = 0; i < n; i++) {
				const double wanted = gate[i] / (1 + exp(-(double)gate[i])) * up[i];
				CHECK_NEAR(y[i], wanted, 1e-6 * fabs(wanted) + 1e-30);
			}
		}
		/* AVX2 and AVX-512 agree to the bit */
		op_swiglu(y, gate, up, N);
		if (strcmp(names[k], "portable") != 0 && seen++)
			CHECK(same(first, y, N));
		memcpy(first, y, sizeof y);
	}
}

static void exponential_is_right_to_the_last_bits(void)
{
	float x[N], y[N];
	for (int i = 0; i < N; i++)
		x[i] = -87 + 0.087f * (float)i;
	x[0] = -88;
	x[1] = -INFINITY;
	x[2] = -1e30f;
	x[3] = 0;
	for (int k = 0; k < NNAMES; k++) {
		if (matmul_force(names[k]) != 0)
			continue;
		kernels()->exp(y, x, N, 0, 1);
		CHECK(y[0] == 0 && y[1] == 0 && y[2] == 0 && y[3] == 1);
		for (int i = 4; i < N; i++)
			CHECK_NEAR(y[i] / exp(x[i]), 1, 2.5e-7);
		kernels()->exp(y, x, 7, 5, 0.5f);
		CHECK_NEAR(y[3], exp(-2.5), 1e-8);
	}
}

static void logsumexp_does_not_overflow(void)
{
	const float x[] = { 1000, 1000, -1000 }, y[] = { 0, 0, 0, 0 }, z[] = { -INFINITY, -INFINITY };
	CHECK_NEAR(op_logsumexp(x, 3), 1000 + log(2), 1e-12);
	CHECK_NEAR(op_logsumexp(y, 4), log(4), 1e-15);
	CHECK(op_logsumexp(z, 2) == -INFINITY);
}

enum { BLOCKS = 4, D = 40, STRIDE = 48, GROUP = 5, V_AT = KV_POSITIONS * D };

static float block[BLOCKS][KV_POSITIONS * (D + STRIDE)];
static const float *blocks[BLOCKS];

/* softmax(q k / sqrt(D)) v, in double. */
static void attend_by_definition(const float *q, int n, double *out)
{
	double p[BLOCKS * KV_POSITIONS], max = -INFINITY, sum = 0;
	for (int i = 0; i < n; i++) {
		const float *k = blocks[i / KV_POSITIONS] + i % KV_POSITIONS;
		p[i] = 0;
		for (int d = 0; d < D; d++)
			p[i] += (double)q[d] * (double)k[d * KV_POSITIONS];
		p[i] /= sqrt(D);
		max = p[i] > max ? p[i] : max;
	}
	for (int i = 0; i < n; i++)
		sum += p[i] = exp(p[i] - max);
	for (int d = 0; d < D; d++) {
		out[d] = 0;
		for (int i = 0; i < n; i++)
			out[d] += p[i] / sum *
			    (double)blocks[i / KV_POSITIONS][V_AT + i % KV_POSITIONS * STRIDE + d];
	}
}

/* One row alone, and beside others that see fewer positions, of the same blocks. */
static void attention_is_softmax_of_scores_times_values(void)
{
	static float q[ATTEND_ROWS][GROUP * D], out[ATTEND_ROWS][GROUP * D], alone[GROUP * D], first[GROUP * D];
	double wanted[D];
	for (int b = 0; b < BLOCKS; b++) {
		fill(block[b], KV_POSITIONS * (D + STRIDE), 3, 10 + (uint64_t)b);
		blocks[b] = block[b];
	}
	fill(q[0], ATTEND_ROWS * GROUP * D, 2, 20);
	for (int n = 1; n <= BLOCKS * KV_POSITIONS; n += n < 34 ? 1 : 13)
		for (int k = 0, seen = 0; k < NNAMES; k++) {
			if (matmul_force(names[k]) != 0)
				continue;
			struct attend a = { .rows = 1, .heads = GROUP, .head_size = D, .k_at = 0, .v_at = V_AT,
				.v_stride = STRIDE, .scale = 1 / sqrtf(D) };
			a.row[0] = (struct attend_row){ q[0], alone, n, blocks };
			kernels()->attend(&a);
			for (int h = 0; h < GROUP; h++) {
				attend_by_definition(q[0] + h * D, n, wanted);
				for (int d = 0; d < D; d++)
					CHECK_NEAR(alone[h * D + d], wanted[d], 2e-5);
			}
			a.rows = ATTEND_ROWS;
			for (int r = 0; r < a.rows; r++)
				a.row[r] = (struct attend_row){ q[r], out[r], r == 5 ? n : (n * (r + 1) + 7) / 8, blocks };
			a.row[5].q = q[0];
			kernels()->attend(&a);
			CHECK(same(alone, out[5], GROUP * D));
			attend_by_definition(q[2] + D, a.row[2].n, wanted);
			for (int d = 0; d < D; d++)
				CHECK_NEAR(out[2][D + d], wanted[d], 2e-5);
			/* AVX2 and AVX-512 agree to the bit */
			if (strcmp(names[k], "portable") != 0 && seen++)
				CHECK(same(first, alone, GROUP * D));
			memcpy(first, alone, sizeof alone);
		}
}

int main(void)
{
	TEST(rmsnorm_by_hand);
	TEST(rmsnorm_of_any_length);
	TEST(rope_turns_pairs_and_back);
	TEST(rope_turns_halves_and_back);
	TEST(swiglu_is_silu_times_up);
	TEST(exponential_is_right_to_the_last_bits);
	TEST(logsumexp_does_not_overflow);
	TEST(attention_is_softmax_of_scores_times_values);
	return tests_done();
}

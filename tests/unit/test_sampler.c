/* Draws, against distributions worked out by hand or by sorting. */
#include <stdlib.h>

#include "base/rng.h"
#include "model/kernels/matmul.h"
#include "model/sampler.h"
#include "test.h"

enum { V = 5000 };

static struct sampler_scratch *scratch;
static float logits[V];

static int draw(double temperature, double top_p, int top_k, int vocab, double u)
{
	return sample_token(&(struct sampler){ temperature, top_p, top_k }, logits, vocab, u, scratch);
}

static void set(const double *p, int n)
{
	for (int i = 0; i < n; i++)
		logits[i] = (float)log(p[i]);
}

static void greedy_takes_the_lowest_id_of_the_largest(void)
{
	logits[0] = 1;
	logits[1] = 3;
	logits[2] = 3;
	logits[3] = -1;
	for (int u = 0; u < 10; u++)
		CHECK(draw(0, 1, 0, 4, u / 10.0) == 1);
	CHECK(draw(1, 1, 1, 4, 0.99) == 1);
	CHECK(draw(1, 1e-9, 0, 4, 0.99) == 1);
}

/* Without limits the draw walks the ids in order. */
static void a_plain_draw_follows_the_probabilities(void)
{
	set((const double[]){ 0.1, 0.2, 0.3, 0.4 }, 4);
	CHECK(draw(1, 1, 0, 4, 0) == 0);
	CHECK(draw(1, 1, 0, 4, 0.0999) == 0);
	CHECK(draw(1, 1, 0, 4, 0.1001) == 1);
	CHECK(draw(1, 1, 0, 4, 0.2999) == 1);
	CHECK(draw(1, 1, 0, 4, 0.3001) == 2);
	CHECK(draw(1, 1, 0, 4, 0.5999) == 2);
	CHECK(draw(1, 1, 0, 4, 0.6001) == 3);
	CHECK(draw(1, 1, 0, 4, 0.9999999) == 3);
}

/* At temperature 1/2 the probabilities are as 1, 4, 9, 16 of 30. */
static void temperature_sharpens(void)
{
	set((const double[]){ 0.1, 0.2, 0.3, 0.4 }, 4);
	CHECK(draw(0.5, 1, 0, 4, 0.0332) == 0);
	CHECK(draw(0.5, 1, 0, 4, 0.0335) == 1);
	CHECK(draw(0.5, 1, 0, 4, 0.1665) == 1);
	CHECK(draw(0.5, 1, 0, 4, 0.1668) == 2);
	CHECK(draw(0.5, 1, 0, 4, 0.4665) == 2);
	CHECK(draw(0.5, 1, 0, 4, 0.4668) == 3);
}

/* With limits it walks from the most probable down. */
static void top_k_keeps_k(void)
{
	set((const double[]){ 0.1, 0.2, 0.3, 0.4 }, 4);
	CHECK(draw(1, 1, 2, 4, 0.5714) == 3);           /* 4/7 */
	CHECK(draw(1, 1, 2, 4, 0.5715) == 2);
	CHECK(draw(1, 1, 2, 4, 0.9999) == 2);
	CHECK(draw(1, 1, 4, 4, 0.05) == 0);             /* all of them: no limit */
	CHECK(draw(1, 1, 400, 4, 0.05) == 0);
}

static void top_p_keeps_the_fewest_that_reach_p(void)
{
	set((const double[]){ 0.1, 0.2, 0.3, 0.4 }, 4);
	CHECK(draw(1, 0.39, 0, 4, 0.9999) == 3);
	CHECK(draw(1, 0.41, 0, 4, 0.5714) == 3);        /* 0.4 and 0.3 */
	CHECK(draw(1, 0.69, 0, 4, 0.5715) == 2);
	CHECK(draw(1, 0.69, 0, 4, 0.9999) == 2);
	CHECK(draw(1, 0.71, 0, 4, 0.7779) == 1);        /* 4, 3, 2 of 9 */
	CHECK(draw(1, 0.91, 0, 4, 0.9999) == 0);
	/* after top-k: of 4/7 and 3/7, half is the first alone */
	CHECK(draw(1, 0.5, 2, 4, 0.9999) == 3);
	CHECK(draw(1, 0.6, 2, 4, 0.9999) == 2);
}

static void equal_logits_are_ordered_by_id(void)
{
	set((const double[]){ 0.25, 0.25, 0.25, 0.25 }, 4);
	CHECK(draw(1, 1, 2, 4, 0.49) == 0);
	CHECK(draw(1, 1, 2, 4, 0.51) == 1);
	CHECK(draw(1, 0.74, 0, 4, 0.99) == 2);
}

static int by_logit(const void *a, const void *b)
{
	const int i = *(const int *)a, j = *(const int *)b;
	return logits[i] != logits[j] ? (logits[i] < logits[j]) - (logits[i] > logits[j]) : (i > j) - (i < j);
}

/* The same by sorting everything, in double. */
static int by_sorting(double temperature, double top_p, int top_k, double u, double *margin)
{
	static int id[V];
	static double p[V];
	double mass = 0, kept = 0, sum = 0;
	int n = top_k > 0 && top_k < V ? top_k : V, m = 0, i = 0;
	for (int k = 0; k < V; k++)
		id[k] = k;
	qsort(id, V, sizeof *id, by_logit);
	for (int k = 0; k < n; k++)
		mass += p[k] = exp(((double)logits[id[k]] - (double)logits[id[0]]) / temperature);
	while (m < n && (m == 0 || kept < top_p * mass))
		kept += p[m++];
	*margin = fabs(kept - p[m - 1] - top_p * mass) / mass;
	*margin = fmin(*margin, fabs(kept - top_p * mass) / mass);
	while (i < m - 1 && (sum += p[i]) <= u * kept)
		i++;
	*margin = fmin(*margin, fmin(fabs(sum - u * kept), fabs(sum - p[i] - u * kept)) / kept);
	return id[i];
}

static void a_large_vocabulary_agrees_with_sorting(void)
{
	static const struct {
		double temperature, top_p;
		int top_k;
	} cases[] = {
		{ 0.8, 0.95, 0 }, { 1, 0.5, 0 }, { 2, 0.999, 0 },
		{ 1, 1, 50 }, { 0.7, 0.9, 200 }, { 5, 0.3, 4999 },
	};
	const struct rng r = rng_stream(1, "sampler", "test", 0);
	int tried = 0;
	for (uint64_t t = 0; t < 50; t++) {
		for (int i = 0; i < V; i++)
			logits[i] = (float)(4 * (rng_uniform(&r, t * 10000 + (uint64_t)i) - 0.5) *
			    (rng_uniform(&r, t * 10000 + 5000 + (uint64_t)i) * 4));
		for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
			const double u = rng_uniform(&r, 1000000 + t * 100 + c);
			double margin;
			const double temperature = cases[c].temperature, p = cases[c].top_p;
			const int k = cases[c].top_k, wanted = by_sorting(temperature, p, k, u, &margin);
			/* too near an edge for float32 weights to say */
			if (margin < 1e-6)
				continue;
			CHECK(draw(temperature, p, k, V, u) == wanted);
			tried++;
		}
	}
	CHECK(tried > 200);
}

static void a_draw_has_no_memory(void)
{
	const struct rng r = rng_stream(2, "sampler", "test", 0);
	int first[20];
	for (int i = 0; i < V; i++)
		logits[i] = (float)(8 * rng_uniform(&r, (uint64_t)i));
	for (int i = 0; i < 20; i++)
		first[i] = draw(0.8, 0.95, i % 3 * 10, V, i / 20.0);
	for (int i = 19; i >= 0; i--)
		CHECK(draw(0.8, 0.95, i % 3 * 10, V, i / 20.0) == first[i]);
}

static void odd_logits_give_a_token(void)
{
	logits[0] = NAN;
	logits[1] = -INFINITY;
	logits[2] = 2;
	logits[3] = NAN;
	CHECK(draw(0, 1, 0, 4, 0.5) == 2);
	CHECK(draw(1, 1, 0, 4, 0.5) == 2);
	CHECK(draw(1, 0.9, 0, 4, 0.5) == 2);
	CHECK(draw(1e-300, 1, 0, 4, 0.5) == 2);
	for (int i = 0; i < 4; i++)
		logits[i] = NAN;
	const int id = draw(1, 0.9, 2, 4, 0.5);
	CHECK(id >= 0 && id < 4);
}

int main(void)
{
	scratch = sampler_scratch_new(V);
	TEST(greedy_takes_the_lowest_id_of_the_largest);
	TEST(a_plain_draw_follows_the_probabilities);
	TEST(temperature_sharpens);
	TEST(top_k_keeps_k);
	TEST(top_p_keeps_the_fewest_that_reach_p);
	TEST(equal_logits_are_ordered_by_id);
	TEST(a_large_vocabulary_agrees_with_sorting);
	TEST(a_draw_has_no_memory);
	TEST(odd_logits_give_a_token);
	sampler_scratch_free(scratch);
	return tests_done();
}

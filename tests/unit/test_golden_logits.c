/*
 * Log-probabilities against transformers' float32 ones: the whole engine, on
 * the reference path and on the batch-invariant kernels.
 */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "model/engine.h"
#include "model/kernels/matmul.h"
#include "model/ops.h"
#include "test.h"

enum { CHUNK = 48, TOP = 20 };


/* With sanitizers, long sequences take minutes to say what they say without
 * them: there are the short ones only. */
#if defined(__SANITIZE_ADDRESS__)
enum { SLOW = 1 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
enum { SLOW = 1 };
#else
enum { SLOW = 0 };
#endif
#else
enum { SLOW = 0 };
#endif

static const char *path;                /* of the model's file */
static cJSON *golden;
static bool exact, small;
static double worst, sum;               /* of the differences seen: the largest, all of them */
static long compared;

/* In nats: what float32 may be off, and what x rounded to sixteen bits makes
 * of it (on the kernels' path, for quantised weights), each and on average. */
static const double TOLERANCE = 2e-3, ROUNDED = 2e-2, ROUNDED_MEAN = 1e-3;

static double tolerance(void)
{
	return exact ? TOLERANCE : ROUNDED;
}

static cJSON *read_json(const char *name)
{
	FILE *f = fopen(name, "rb");
	if (!f)
		return NULL;
	char *text = NULL;
	size_t n = 0;
	cJSON *json = getdelim(&text, &n, EOF, f) > 0 ? cJSON_Parse(text) : NULL;
	free(text);
	fclose(f);
	return json;
}

static int number(const cJSON *array, int i)
{
	return (int)cJSON_GetArrayItem(array, i)->valuedouble;
}

static double real(const cJSON *array, int i)
{
	return cJSON_GetArrayItem(array, i)->valuedouble;
}

static void compare(double got, double wanted)
{
	const double d = fabs(got - wanted);
	worst = d > worst ? d : worst;
	sum += d;
	compared++;
	CHECK_NEAR(got, wanted, tolerance());
}

/* The twenty best of the last position, by log-probability: each wanted id
 * has the wanted value, and no other token is better than the last of them. */
static void check_top(const float *logits, int vocab, const cJSON *ids, const cJSON *logprobs)
{
	const double z = op_logsumexp(logits, (size_t)vocab);
	double least = 0;
	int better = 0;
	for (int i = 0; i < TOP; i++) {
		const double p = logits[number(ids, i)] - z;
		compare(p, real(logprobs, i));
		least = p < least ? p : least;
	}
	for (int i = 0; i < vocab; i++)
		better += logits[i] - z > least + tolerance();
	CHECK(better < TOP);
}

static void check_sequence(const struct model *m, struct engine *e, const cJSON *s)
{
	const cJSON *ids = cJSON_GetObjectItemCaseSensitive(s, "ids");
	const cJSON *next = cJSON_GetObjectItemCaseSensitive(s, "next_logprob");
	const int n = cJSON_GetArraySize(ids), vocab = m->config.vocab;
	struct engine_row rows[CHUNK];
	struct err err;
	float *logits = mem_try((size_t)CHUNK * (size_t)vocab, sizeof *logits);
	const int seq = engine_seq_new(e);
	CHECK(n > 0 && cJSON_GetArraySize(next) == n - 1);
	for (int at = 0, more; at < n; at += more) {
		more = n - at < CHUNK ? n - at : CHUNK;
		for (int i = 0; i < more; i++)
			rows[i] = (struct engine_row){ seq, number(ids, at + i), true };
		CHECK(engine_step(e, rows, more, logits, &err) == 0);
		for (int i = 0; i < more && at + i + 1 < n; i++) {
			const float *l = logits + (size_t)i * (size_t)vocab;
			compare(l[number(ids, at + i + 1)] - op_logsumexp(l, (size_t)vocab),
			    real(next, at + i));
		}
		if (at + more == n)
			check_top(logits + (size_t)(more - 1) * (size_t)vocab, vocab,
			    cJSON_GetObjectItemCaseSensitive(s, "last_top20_ids"),
			    cJSON_GetObjectItemCaseSensitive(s, "last_top20_logprob"));
	}
	engine_seq_free(e, seq);
	free(logits);
}

static int argmax(const float *x, int n)
{
	int best = 0;
	for (int i = 1; i < n; i++)
		best = x[i] > x[best] ? i : best;
	return best;
}

static void prefill(struct engine *e, int seq, const cJSON *ids, float *logits)
{
	const int n = cJSON_GetArraySize(ids);
	struct engine_row rows[ENGINE_MAX_ROWS];
	struct err err;
	CHECK(n > 0 && n <= ENGINE_MAX_ROWS);
	for (int i = 0; i < n && i < ENGINE_MAX_ROWS; i++)
		rows[i] = (struct engine_row){ seq, number(ids, i), i == n - 1 };
	CHECK(engine_step(e, rows, n, logits, &err) == 0);
}

/* All continuations side by side: 64 tokens each, or less where the end of
 * the turn came first. */
static void check_greedy(const struct model *m, struct engine *e, const cJSON *all)
{
	enum { MOST = 8 };
	const int n = cJSON_GetArraySize(all), vocab = m->config.vocab;
	const cJSON *ids[MOST];
	int seq[MOST], running = 0;
	struct engine_row rows[MOST];
	struct err err;
	float *logits = mem_try((size_t)MOST * (size_t)vocab, sizeof *logits);
	CHECK(n > 0 && n <= MOST);
	for (int i = 0; i < n && i < MOST; i++) {
		const cJSON *g = cJSON_GetArrayItem(all, i);
		ids[i] = cJSON_GetObjectItemCaseSensitive(g, "greedy_ids");
		seq[i] = engine_seq_new(e);
		prefill(e, seq[i], cJSON_GetObjectItemCaseSensitive(g, "prompt_ids"),
		    logits + (size_t)i * (size_t)vocab);
		running += cJSON_GetArraySize(ids[i]) > 0;
	}
	CHECK(running == n);
	for (int t = 0; running > 0; t++) {
		running = 0;
		for (int i = 0, slot = 0; i < n; i++) {
			if (t >= cJSON_GetArraySize(ids[i]))
				continue;
			const int best = argmax(logits + (size_t)slot++ * (size_t)vocab, vocab);
			CHECK(best == number(ids[i], t));
			if (t + 1 < cJSON_GetArraySize(ids[i]))
				rows[running++] = (struct engine_row){ seq[i], number(ids[i], t), true };
		}
		if (running > 0)
			CHECK(engine_step(e, rows, running, logits, &err) == 0);
	}
	for (int i = 0; i < n; i++)
		engine_seq_free(e, seq[i]);
	free(logits);
}

/* All logits of a sequence, in steps of chunk rows. */
static float *run(const struct model *m, int threads, const cJSON *ids, int chunk)
{
	struct pool *pool = pool_new(threads);
	struct err err = { "" };
	struct engine *e = engine_new(m, pool, &(struct engine_options){ 0 }, &err);
	const int n = cJSON_GetArraySize(ids), vocab = m->config.vocab, seq = engine_seq_new(e);
	float *logits = mem_try((size_t)n * (size_t)vocab, sizeof *logits);
	struct engine_row rows[CHUNK];
	for (int at = 0, more; at < n; at += more) {
		more = n - at < chunk ? n - at : chunk;
		for (int i = 0; i < more; i++)
			rows[i] = (struct engine_row){ seq, number(ids, at + i), true };
		CHECK(engine_step(e, rows, more, logits + (size_t)at * (size_t)vocab, &err) == 0);
	}
	engine_free(e);
	pool_free(pool);
	return logits;
}

static void logits_are_the_same_bits_in_every_cut_and_with_any_threads(void)
{
	static const struct {
		int threads, chunk;
	} ways[] = { { 1, 1 }, { 2, 7 }, { 3, 33 } };
	struct err err = { "" };
	struct model *m = model_open(path, NULL, &err);
	const cJSON *s = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(golden, "sequences"), 1);
	const cJSON *ids = cJSON_GetObjectItemCaseSensitive(s, "ids");
	const int n = cJSON_GetArraySize(ids);
	CHECK(m && n > 30);
	if (!m)
		return;
	float *wanted = run(m, 2, ids, CHUNK);
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
		float *got = run(m, ways[i].threads, ids, ways[i].chunk);
		CHECK(memcmp(got, wanted, (size_t)n * (size_t)m->config.vocab * sizeof *got) == 0);
		free(got);
	}
	free(wanted);
	model_close(m);
}

static void check_file(void)
{
	struct err err = { "" };
	struct pool *pool = pool_new(0);
	struct model *m = model_open(path, NULL, &err);
	struct engine *e = m ? engine_new(m, pool, &(struct engine_options){ .exact = exact }, &err) : NULL;
	const cJSON *s, *sequences = cJSON_GetObjectItemCaseSensitive(golden, "sequences");
	worst = sum = 0;
	compared = 0;
	if (!e)
		printf("# %s: %s\n", path, err.msg);
	CHECK(e);
	if (e && !sequences)
		check_sequence(m, e, golden);
	if (e && sequences) {
		cJSON_ArrayForEach(s, sequences) {
			const cJSON *s_ids = cJSON_GetObjectItemCaseSensitive(s, "ids");
			if (cJSON_GetArraySize(s_ids) < (SLOW ? 100 : 10000))
				check_sequence(m, e, s);
		}
		if (!SLOW || !exact)
			check_greedy(m, e, cJSON_GetObjectItemCaseSensitive(golden, "greedy"));
	}
	CHECK(compared > 0 && sum / (double)compared < ROUNDED_MEAN);
	printf("# %s, %s: the largest difference is %.2g, the mean %.2g\n", path,
	    exact ? "reference path" : matmul_kernel_name(), worst, sum / (double)compared);
	engine_free(e);
	model_close(m);
	pool_free(pool);
}

static void log_probabilities_match_transformers_reference_path(void)
{
	exact = true;
	check_file();
}

/* The best kernels; with a small model all that this CPU has. */
static void log_probabilities_match_transformers_kernels(void)
{
	static const char *const names[] = { "avx512vnni", "avx512", "avx2", "portable" };
	const char *best = matmul_kernel_name();
	exact = false;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if ((small || strcmp(names[i], best) == 0) && matmul_force(names[i]) == 0)
			check_file();
	matmul_force(best);
}

/* One file of the golden data, or what is kept of it here. */
static void test_file(const char *file, const char *json, bool is_small)
{
	path = file;
	small = is_small;
	golden = read_json(json);
	if (!golden || access(file, R_OK) != 0) {
		printf("ok - log_probabilities_match_transformers # SKIP %s or %s is not there\n", file,
		    json);
	} else {
		TEST(log_probabilities_match_transformers_reference_path);
		TEST(log_probabilities_match_transformers_kernels);
		if (cJSON_GetObjectItemCaseSensitive(golden, "sequences"))
			TEST(logits_are_the_same_bits_in_every_cut_and_with_any_threads);
	}
	cJSON_Delete(golden);
}

int main(void)
{
	static const char *const types[] = { "q8_0", "q4_0", "q5_0", "q4_k", "q6_k" };
	const char *dir = getenv("MR_GOLDEN"), *model = getenv("MR_MODEL");
	char file[4096], json[4096];
	dir = dir ? dir : "../shared/golden";
	snprintf(json, sizeof json, "%s/model/logits-smollm2.json", dir);
	test_file(model ? model : "models/SmolLM2-135M-Instruct.Q4_1.gguf",
	    access(json, R_OK) == 0 ? json : "tests/golden/logits-excerpt.json", false);
	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		snprintf(file, sizeof file, "%s/tiny/tiny-llama-rope3-%s.gguf", dir, types[i]);
		snprintf(json, sizeof json, "%s/tiny/tiny-llama-rope3-%s.json", dir, types[i]);
		test_file(file, json, true);
	}
	return tests_done();
}

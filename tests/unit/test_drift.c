/*
 * How far the kernels' log-probabilities are from the float32 reference path,
 * on a real model and a text of 2,000 tokens: for each tensor type that can be
 * written from that model and each instruction set of this CPU. The model's
 * own type gets the whole text with the best kernels; the others its
 * beginning, unless MR_DRIFT_TOKENS says how much of it.
 */
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "model/convert.h"
#include "model/engine.h"
#include "model/kernels/matmul.h"
#include "model/ops.h"
#include "test.h"

/* Nats a token, and of the perplexity. */
static const double MEAN = 0.02, PERPLEXITY = 0.005;

enum { TEXT_TOKENS = 2000, CHUNK = 64 };
#if defined(__SANITIZE_ADDRESS__)
enum { WHOLE = 16, PART = 4 };          /* sanitizers make it slow */
#else
enum { WHOLE = TEXT_TOKENS, PART = 32 };
#endif

static const char *const names[] = { "avx512vnni", "avx512", "avx2", "portable" };
enum { NNAMES = sizeof names / sizeof *names };

static const char *model_path, *best;
static struct ids ids;
static int part = PART;

/* Log-probabilities of tokens 1 … n - 1; NULL kernel: the reference path. */
static double *logprobs(const struct model *m, const char *kernel, int n)
{
	struct pool *pool = pool_new(0);
	struct err err = { "" };
	struct engine *e = engine_new(m, pool, &(struct engine_options){ .exact = !kernel }, &err);
	const size_t vocab = (size_t)m->config.vocab;
	float *logits = mem_try((size_t)CHUNK * vocab, sizeof *logits);
	double *p = mem_zalloc((size_t)n, sizeof *p);
	struct engine_row rows[CHUNK];
	const int seq = engine_seq_new(e);
	if (kernel)
		matmul_force(kernel);
	for (int at = 0, more; at < n; at += more) {
		more = n - at < CHUNK ? n - at : CHUNK;
		for (int i = 0; i < more; i++)
			rows[i] = (struct engine_row){ seq, ids.v[at + i], true };
		CHECK(engine_step(e, rows, more, logits, &err) == 0);
		for (int i = 0; i < more && at + i + 1 < n; i++) {
			const float *l = logits + (size_t)i * vocab;
			p[at + i] = (double)l[ids.v[at + i + 1]] - op_logsumexp(l, vocab);
		}
	}
	matmul_force(best);
	free(logits);
	engine_free(e);
	pool_free(pool);
	return p;
}

static void compare(const char *type, const char *kernel, const double *reference, const double *p, int n)
{
	double mean = 0, most = 0, sum = 0, sum_reference = 0;
	for (int i = 0; i < n - 1; i++) {
		const double d = fabs(p[i] - reference[i]);
		mean += d / (n - 1);
		most = fmax(most, d);
		sum += p[i] / (n - 1);
		sum_reference += reference[i] / (n - 1);
	}
	const double change = exp(sum_reference - sum) - 1;
	CHECK(mean <= MEAN);
	CHECK(fabs(change) <= PERPLEXITY);
	printf("# %s, %s, %d tokens: perplexity %.4f, %+.5f %%; log-probabilities differ by %.2g, at most %.2g\n",
	    type, kernel, n, exp(-sum), 100 * change, mean, most);
}

static void check_file(const char *path, const char *type, int whole)
{
	struct err err = { "" };
	struct model *m = model_open(path, NULL, &err);
	CHECK(m);
	if (!m)
		return;
	double *reference = logprobs(m, NULL, whole);
	for (int k = 0; k < NNAMES; k++) {
		if (matmul_force(names[k]) != 0)
			continue;
		const int n = strcmp(names[k], best) == 0 ? whole : part < whole ? part : whole;
		double *p = logprobs(m, names[k], n);
		compare(type, names[k], reference, p, n);
		free(p);
	}
	free(reference);
	model_close(m);
}

static void the_model_itself(void)
{
	struct err err = { "" };
	struct model *m = model_open(model_path, NULL, &err);
	CHECK(m);
	if (!m)
		return;
	printf("# the text has %zu tokens\n", ids.n);
	CHECK(ids.n >= TEXT_TOKENS);
	model_close(m);
	check_file(model_path, "as it is", WHOLE);
}

static void every_type_that_can_be_written(void)
{
	static const enum tensor_type types[] = {
		TENSOR_F32, TENSOR_F16, TENSOR_BF16, TENSOR_Q8_0, TENSOR_Q6_K, TENSOR_Q5_K, TENSOR_Q5_1, TENSOR_Q5_0,
		TENSOR_Q4_K, TENSOR_Q4_1, TENSOR_Q4_0,
	};
	const char *dir = getenv("TMPDIR");
	for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
		struct err err = { "" };
		char path[4096];
		snprintf(path, sizeof path, "%s/mr-drift-%ld.gguf", dir ? dir : "/tmp", (long)getpid());
		CHECK(convert_gguf(model_path, path, types[t], &(struct convert_hooks){ 0 }, &err) == 0);
		check_file(path, tensor_type_name(types[t]), part);
		unlink(path);
	}
}

/* The text's tokens; false where the model or the text is not there. */
static bool read_text(void)
{
	FILE *f = fopen("tests/golden/drift.txt", "rb");
	struct err err = { "" };
	struct model *m = f && access(model_path, R_OK) == 0 ? model_open(model_path, NULL, &err) : NULL;
	char *text = NULL;
	size_t size = 0;
	const ssize_t len = m ? getdelim(&text, &size, EOF, f) : 0;
	if (len > 0)
		tokenizer_encode(m->tokenizer, text, (size_t)len, false, &ids);
	free(text);
	if (f)
		fclose(f);
	model_close(m);
	return ids.n > 0;
}

int main(void)
{
	const char *path = getenv("MR_MODEL"), *tokens = getenv("MR_DRIFT_TOKENS");
	model_path = path ? path : "models/SmolLM2-135M-Instruct.Q4_1.gguf";
	best = matmul_kernel_name();
	if (tokens && atoi(tokens) > 1)
		part = atoi(tokens) < TEXT_TOKENS ? atoi(tokens) : TEXT_TOKENS;
	if (!read_text()) {
		printf("ok - drift # SKIP %s is not there\n", model_path);
		return tests_done();
	}
	TEST(the_model_itself);
	TEST(every_type_that_can_be_written);
	ids_free(&ids);
	return tests_done();
}

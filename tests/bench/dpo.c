/* Training's speed: pairs a second, forward and backward and optimiser, on
 * the first batch of golden/dpo; useful operations against the machine's own
 * sgemm peak, measured in the same run with the same number of threads. */
#include <stdio.h>
#include <stdlib.h>

#include <cblas.h>
#include <cjson/cJSON.h>

#include "base/mem.h"
#include "base/pool.h"
#include "base/progress.h"
#include "train/dpo.h"
#include "train/optim.h"

enum { SIZE = 1024, REPEAT = 4 };

struct peak {
	float *a, *b, *c;       /* c: one for each job */
};

static void peak_job(void *arg, int job)
{
	const struct peak *p = arg;

	for (int i = 0; i < REPEAT; i++)
		cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, SIZE, SIZE, SIZE, 1, p->a, SIZE, p->b, SIZE, 0,
		    p->c + (size_t)job * SIZE * SIZE, SIZE);
}

/* FLOP/s of one large product a thread; the best of three. */
static double sgemm_peak(struct pool *pool)
{
	size_t n = (size_t)SIZE * SIZE, threads = (size_t)pool_threads(pool);
	struct peak p = { mem_grow(NULL, n, sizeof(float)), mem_grow(NULL, n, sizeof(float)),
	    mem_grow(NULL, n * threads, sizeof(float)) };
	double best = 0;

	for (size_t i = 0; i < n; i++)
		p.a[i] = p.b[i] = (float)(i % 13) - 6;
	for (int i = 0; i < 3; i++) {
		double start = now_seconds(), rate;

		pool_run(pool, peak_job, &p, (int)threads);
		rate = 2.0 * SIZE * SIZE * SIZE * REPEAT * (double)threads / (now_seconds() - start);
		best = rate > best ? rate : best;
	}
	free(p.a);
	free(p.b);
	free(p.c);
	return best;
}

static void read_pairs(struct examples *e, const char *path)
{
	static const char *const parts[] = { "prompt_ids", "chosen_ids", "rejected_ids" };
	char *text = mem_zalloc(1 << 20, 1);
	FILE *f = fopen(path, "rb");
	const cJSON *p, *x;
	cJSON *j;

	if (!f || fread(text, 1, (1 << 20) - 1, f) == 0 || !(j = cJSON_Parse(text)))
		exit(1);
	fclose(f);
	cJSON_ArrayForEach(p, cJSON_GetObjectItemCaseSensitive(j, "pairs")) {
		struct example *to = &e->v[e->n++];
		int n = 0, count[3] = { 0 };

		to->ids = mem_zalloc(4096, sizeof *to->ids);
		for (int i = 0; i < 3; i++)
			cJSON_ArrayForEach(x, cJSON_GetObjectItemCaseSensitive(p, parts[i])) {
				to->ids[n++] = x->valueint;
				count[i]++;
			}
		to->prompt = count[0];
		to->completion[0] = count[1];
		to->completion[1] = count[2];
	}
	cJSON_Delete(j);
	free(text);
}

int main(void)
{
	const char *path = getenv("MR_MODEL"), *threads = getenv("THREADS");
	struct err err;
	struct model *m = model_open(path && *path ? path : "models/SmolLM2-135M-Instruct.Q4_1.gguf", NULL, &err);
	struct pool *pool = pool_new(threads ? atoi(threads) : 0);
	struct trainer *t = m ? trainer_new(m, pool, &err) : NULL;
	struct example pairs[4] = { 0 };
	struct examples e = { pairs, 0 };
	const uint32_t which[4] = { 0, 1, 2, 3 };
	struct adamw adamw = { .lr = 1e-7, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8 };
	double flops = 0, best = 1e30, optimiser = 0, peak, took;
	struct train_log log = { 0 };
	struct dpo_run run;
	float *w;
	size_t n;

	if (!t || (w = trainer_weights(t, &n), adamw_init(&adamw, n, &err)) != 0) {
		fprintf(stderr, "dpo: %s\n", err.msg);
		return 1;
	}
	read_pairs(&e, "tests/golden/dpo-step1.json");
	dpo_run_init(&run, &e, 0.1, 1024);
	for (uint32_t i = 0; i < e.n; i++)
		flops += trainer_flops(t, example_tokens(&pairs[i]), example_targets(&pairs[i]));
	peak = sgemm_peak(pool);
	for (int i = 0; i < 4; i++) {   /* the first is the warm-up, also of the reference */
		double start = now_seconds(), stepped;

		trainer_zero_grads(t);
		if ((i ? dpo_batch(&run, t, which, e.n, &log, &err) : dpo_reference(&run, t, which, e.n, &err)) != 0)
			return 1;
		stepped = now_seconds();
		adamw_step(&adamw, pool, w, trainer_grads(t), grad_clip(grad_norm(pool, trainer_grads(t), n), 1));
		took = now_seconds() - start;
		if (i > 0 && took < best) {
			best = took;
			optimiser = now_seconds() - stepped;
		}
	}
	printf("dpo: %d threads, sgemm peak %.0f GFLOP/s\n", pool_threads(pool), peak * 1e-9);
	printf("dpo_pairs_per_s %.3f\n", e.n / best);
	printf("dpo_vs_peak %.3f\n", flops / best / peak);
	printf("dpo_optimiser_share %.3f\n", optimiser / best);
	return 0;
}

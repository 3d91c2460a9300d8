/* Training's speed: pairs a second, forward and backward and optimiser, on
 * the first batch of golden/dpo; useful operations against the machine's own
 * sgemm peak, measured in the same run with the same number of threads. */
#include <cjson/cJSON.h>

#include "bench.h"
#include "train/dpo.h"
#include "train/optim.h"

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

enum { FORWARD, BACKWARD, ATTENTION, HEAD, OPTIMISER, SHARES };

static const char *const share_names[SHARES] = {
	"dpo_forward_share", "dpo_backward_share", "dpo_attention_share", "dpo_head_share", "dpo_optimiser_share",
};

int main(void)
{
	struct err err;
	struct model *m = model_open(bench_model(), NULL, &err);
	struct pool *pool = pool_new(bench_threads());
	struct trainer *t = m ? trainer_new(m, pool, &err) : NULL;
	struct example pairs[4] = { 0 };
	struct examples e = { pairs, 0 };
	const uint32_t which[4] = { 0, 1, 2, 3 };
	struct adamw adamw = { .lr = 1e-7, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8 };
	double flops = 0, best = 1e30, best_cpu = 1e30, share[SHARES] = { 0 }, peak, peak_cpu = 0, took, reference;
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
	peak = sgemm_peak(pool, &peak_cpu);
	for (int i = 0; i < 4; i++) {   /* the first is the warm-up, also of the reference */
		double again = sgemm_peak(pool, &peak_cpu);
		double start = now_seconds(), cpu = cpu_seconds(), stepped;
		struct trainer_seconds before = trainer_seconds(t), after;

		peak = again > peak ? again : peak;
		trainer_zero_grads(t);
		if ((i ? dpo_batch(&run, t, which, e.n, &log, &err) : dpo_reference(&run, t, which, e.n, &err)) != 0)
			return 1;
		stepped = now_seconds();
		adamw_step(&adamw, pool, w, trainer_grads(t), grad_clip(grad_norm(pool, trainer_grads(t), n), 1));
		took = now_seconds() - start;
		cpu = cpu_seconds() - cpu;
		best_cpu = i > 0 && cpu < best_cpu ? cpu : best_cpu;
		if (i == 0 || took >= best)
			continue;
		best = took;
		after = trainer_seconds(t);
		share[FORWARD] = (after.forward - before.forward) / took;
		share[BACKWARD] = (after.backward - before.backward) / took;
		share[ATTENTION] = (after.attention - before.attention) / took;
		share[HEAD] = (after.head - before.head) / took;
		share[OPTIMISER] = (start + took - stepped) / took;
	}
	reference = now_seconds();
	if (dpo_reference(&run, t, which, e.n, &err) != 0)
		return 1;
	reference = now_seconds() - reference;
	figure("dpo_sgemm_peak_gflops", peak * 1e-9, "GFLOP/s");
	figure("dpo_pairs_per_s", e.n / best, "pairs/s");
	figure("dpo_first_epoch_pairs_per_s", e.n / (best + reference), "pairs/s");
	figure("dpo_vs_peak", flops / best / peak, "ratio");
	figure("dpo_vs_peak_cpu", flops / best_cpu / peak_cpu, "ratio");
	for (int i = 0; i < SHARES; i++)
		figure(share_names[i], share[i], "ratio");
	return 0;
}

#include "train/sft.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "record/json.h"

/* Demonstrations side by side, forward and backward: their part of the mean
 * over tokens. */
static int add_demos(const struct examples *demos, struct trainer *t, const uint32_t *which, uint32_t k,
    double tokens, double *loss, double *correct, struct err *err)
{
	struct segment *s = mem_zalloc(2 * (size_t)k, sizeof *s);
	double *logps = mem_zalloc(2 * (size_t)k, sizeof *logps);
	int *right = mem_zalloc(2 * (size_t)k, sizeof *right), rc;

	for (uint32_t i = 0; i < k; i++)
		example_segments(&demos->v[which[i]], s + 2 * i, (int)(2 * i));
	rc = trainer_forward(t, s, (int)(2 * k), true, logps, right, err);
	for (uint32_t i = 0; rc == 0 && i < k; i++) {
		double *logp = &logps[2 * i + 1];

		if (!isfinite(*logp))
			rc = err_set(err, "the loss of record %.100s is not finite", demos->v[which[i]].id);
		*loss -= *logp / tokens;
		*correct += right[2 * i + 1];
		*logp = -1 / tokens;    /* now the slope */
	}
	if (rc == 0)
		rc = trainer_backward(t, logps, err);
	free(s);
	free(logps);
	free(right);
	return rc;
}

int sft_batch(void *self, struct trainer *t, const uint32_t *which, uint32_t n, struct train_log *log,
    struct err *err)
{
	const struct sft_run *r = self;
	double tokens = 0, correct = 0;

	for (uint32_t i = 0; i < n; i++)
		tokens += r->demos->v[which[i]].completion[0];
	log->loss = 0;
	for (uint32_t i = 0, k; i < n; i += k) {
		k = examples_pack(r->demos, which + i, n - i, r->pack);
		if (add_demos(r->demos, t, which + i, k, tokens, &log->loss, &correct, err) != 0)
			return -1;
	}
	buf_adds(&log->members, ",\"mean_token_accuracy\":");
	json_number(&log->members, correct / tokens);
	buf_printf(&log->members, ",\"num_tokens\":%llu", (unsigned long long)log->tokens);
	return 0;
}

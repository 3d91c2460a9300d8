#include "train/sft.h"

#include <math.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "train/ranks.h"

struct totals {
	double loss, correct;   /* the loss is a mean over tokens */
};

/* Demonstrations side by side, forward, and backward where train is true:
 * their part of the mean over tokens. */
static int add_demos(const struct examples *demos, struct trainer *t, const uint32_t *which, uint32_t k,
    double tokens, bool train, struct totals *sum, struct err *err)
{
	struct segment *s = mem_zalloc(2 * (size_t)k, sizeof *s);
	double *logps = mem_zalloc(2 * (size_t)k, sizeof *logps);
	int *right = mem_zalloc(2 * (size_t)k, sizeof *right), rc;

	for (uint32_t i = 0; i < k; i++)
		example_segments(&demos->v[which[i]], s + 2 * i, (int)(2 * i));
	rc = trainer_forward(t, s, (int)(2 * k), train, logps, right, err);
	for (uint32_t i = 0; rc == 0 && i < k; i++) {
		double *logp = &logps[2 * i + 1];

		if (!isfinite(*logp))
			rc = err_set(err, "the loss of record %.100s is not finite", demos->v[which[i]].id);
		sum->loss -= *logp / tokens;
		sum->correct += right[2 * i + 1];
		*logp = -1 / tokens;    /* now the slope */
	}
	if (rc == 0 && train)
		rc = trainer_backward(t, logps, err);
	free(s);
	free(logps);
	free(right);
	return rc;
}

/* A batch, each rank its share of it. */
static int go_through(const struct sft_run *r, const struct examples *demos, struct trainer *t,
    const uint32_t *which, uint32_t n, bool train, const char *prefix, struct train_log *log,
    double *accuracy, struct err *err)
{
	struct totals sum = { 0 };
	double tokens = 0;
	uint32_t from, to;
	int rc = 0;

	for (uint32_t i = 0; i < n; i++)
		tokens += demos->v[which[i]].completion[0];
	ranks_share(n, &from, &to);
	for (uint32_t k; rc == 0 && from < to; from += k) {
		k = examples_micro(demos, which + from, to - from, r->pack, r->micro);
		rc = add_demos(demos, t, which + from, k, tokens, train, &sum, err);
	}
	if (ranks_agree(rc, err) != 0)
		return -1;
	ranks_sum(&sum.loss, 2);
	log->loss = sum.loss;
	*accuracy = sum.correct / tokens;
	buf_printf(&log->members, ",\"%smean_token_accuracy\":", prefix);
	buf_json_number(&log->members, *accuracy);
	return 0;
}

int sft_batch(void *self, struct trainer *t, const uint32_t *which, uint32_t n, struct train_log *log,
    struct err *err)
{
	const struct sft_run *r = self;
	double accuracy;

	return go_through(r, r->demos, t, which, n, true, "", log, &accuracy, err);
}

int sft_evaluate(void *self, struct trainer *t, struct train_log *log, struct train_score *score,
    struct err *err)
{
	const struct sft_run *r = self;
	uint32_t n = r->eval->n, *which = mem_zalloc(n + (size_t)1, sizeof *which);
	int rc;

	for (uint32_t i = 0; i < n; i++)
		which[i] = i;
	*score = (struct train_score){ 0 };
	rc = go_through(r, r->eval, t, which, n, false, "eval_", log, &score->accuracy, err);
	score->loss = log->loss;
	free(which);
	return rc;
}

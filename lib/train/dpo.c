#include "train/dpo.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "record/json.h"

struct dpo dpo_loss(double logp_chosen, double logp_rejected, double ref_chosen, double ref_rejected,
    double beta)
{
	struct dpo d = { .reward_chosen = beta * (logp_chosen - ref_chosen),
	    .reward_rejected = beta * (logp_rejected - ref_rejected) };
	double margin = d.reward_chosen - d.reward_rejected, e = exp(-fabs(margin));

	/* log(1 + e^-margin) and its slope, without overflow on either side */
	d.loss = log1p(e) + (margin < 0 ? -margin : 0);
	d.d_chosen = -beta * (margin < 0 ? 1 : e) / (1 + e);
	d.d_rejected = -d.d_chosen;
	return d;
}

int dpo_logps(const struct examples *pairs, struct trainer *t, const uint32_t *which, uint32_t n, bool keep,
    double (*logps)[2], struct err *err)
{
	struct segment *s = mem_zalloc(3 * (size_t)n, sizeof *s);
	double *all = mem_zalloc(3 * (size_t)n, sizeof *all);
	int rc;

	for (uint32_t i = 0; i < n; i++)
		example_segments(&pairs->v[which[i]], s + 3 * i, (int)(3 * i));
	rc = trainer_forward(t, s, (int)(3 * n), keep, all, NULL, err);
	for (uint32_t i = 0; rc == 0 && i < n; i++) {
		logps[i][0] = all[3 * i + 1];
		logps[i][1] = all[3 * i + 2];
		if (!isfinite(logps[i][0]) || !isfinite(logps[i][1]))
			rc = err_set(err, "the log-probabilities of record %.100s are not finite",
			    pairs->v[which[i]].id);
	}
	free(s);
	free(all);
	return rc;
}

void dpo_run_init(struct dpo_run *d, const struct examples *pairs, double beta, int pack)
{
	*d = (struct dpo_run){ .pairs = pairs, .beta = beta, .pack = pack,
	    .ref = mem_zalloc(pairs->n + (size_t)1, sizeof *d->ref) };
}

void dpo_run_free(struct dpo_run *d)
{
	free(d->ref);
	d->ref = NULL;
}

int dpo_reference(struct dpo_run *d, struct trainer *t, const uint32_t *which, uint32_t n, struct err *err)
{
	double (*logps)[2] = mem_zalloc(n, sizeof *logps);
	int rc = 0;

	for (uint32_t i = 0, k; rc == 0 && i < n; i += k) {
		k = examples_pack(d->pairs, which + i, n - i, d->pack);
		rc = dpo_logps(d->pairs, t, which + i, k, false, logps, err);
		for (uint32_t j = 0; rc == 0 && j < k; j++)
			memcpy(d->ref[which[i + j]], logps[j], sizeof logps[j]);
	}
	free(logps);
	return rc;
}

enum { REWARD_CHOSEN, REWARD_REJECTED, MARGIN, ACCURACY, LOGP_CHOSEN, LOGP_REJECTED, METRICS };

static const char *const metric_names[METRICS] = {
	"rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies",
	"logps/chosen", "logps/rejected",
};

/* The loss of pairs that have gone forward, as their part of the mean over a
 * batch of n, and its slopes: three a pair, as their segments are. */
static void add_losses(const struct dpo_run *d, const uint32_t *which, uint32_t k, double (*logps)[2],
    double n, double *loss, double metrics[METRICS], double *dlogps)
{
	for (uint32_t i = 0; i < k; i++) {
		const double *ref = d->ref[which[i]];
		struct dpo x = dpo_loss(logps[i][0], logps[i][1], ref[0], ref[1], d->beta);

		dlogps[3 * i] = 0;
		dlogps[3 * i + 1] = x.d_chosen / n;
		dlogps[3 * i + 2] = x.d_rejected / n;
		*loss += x.loss / n;
		metrics[REWARD_CHOSEN] += x.reward_chosen / n;
		metrics[REWARD_REJECTED] += x.reward_rejected / n;
		metrics[MARGIN] += (x.reward_chosen - x.reward_rejected) / n;
		metrics[ACCURACY] += (x.reward_chosen > x.reward_rejected) / n;
		metrics[LOGP_CHOSEN] += logps[i][0] / n;
		metrics[LOGP_REJECTED] += logps[i][1] / n;
	}
}

int dpo_batch(void *self, struct trainer *t, const uint32_t *which, uint32_t n, struct train_log *log,
    struct err *err)
{
	const struct dpo_run *d = self;
	double metrics[METRICS] = { 0 }, (*logps)[2] = mem_zalloc(n, sizeof *logps);
	double *dlogps = mem_zalloc(3 * (size_t)n, sizeof *dlogps);
	int rc = 0;

	log->loss = 0;
	for (uint32_t i = 0, k; rc == 0 && i < n; i += k) {
		k = examples_pack(d->pairs, which + i, n - i, d->pack);
		rc = dpo_logps(d->pairs, t, which + i, k, true, logps, err);
		if (rc == 0) {
			add_losses(d, which + i, k, logps, n, &log->loss, metrics, dlogps);
			rc = trainer_backward(t, dlogps, err);
		}
	}
	for (int i = 0; rc == 0 && i < METRICS; i++) {
		buf_printf(&log->members, ",\"%s\":", metric_names[i]);
		json_number(&log->members, metrics[i]);
	}
	free(logps);
	free(dlogps);
	return rc;
}

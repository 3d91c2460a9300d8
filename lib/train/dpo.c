#include "train/dpo.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "train/ranks.h"

/* -log sigma(x), without overflow on either side */
static double softplus_minus(double x)
{
	return log1p(exp(-fabs(x))) + (x < 0 ? -x : 0);
}

/* 1 - sigma(x) */
static double sigmoid_minus(double x)
{
	double e = exp(-fabs(x));

	return (x < 0 ? 1 : e) / (1 + e);
}

int dpo_form_by_name(const char *name)
{
	static const char *const names[] = { "sigmoid", "ipo", "norm-sigmoid" };

	for (int i = 0; i < 3; i++)
		if (strcmp(name, names[i]) == 0)
			return i;
	return -1;
}

struct dpo dpo_pair(const struct dpo_settings *s, const double logp[2], const double ref[2],
    const int tokens[2])
{
	double length[2] = { 1, 1 }, margin, smooth = s->label_smoothing, slope;
	struct dpo d;

	if (s->form != DPO_SIGMOID) {
		length[0] = tokens[0];
		length[1] = tokens[1];
	}
	d.reward_chosen = s->beta * (logp[0] - ref[0]) / length[0];
	d.reward_rejected = s->beta * (logp[1] - ref[1]) / length[1];
	margin = d.reward_chosen - d.reward_rejected;
	if (s->form == DPO_IPO) {
		double off = (logp[0] - ref[0]) / length[0] - (logp[1] - ref[1]) / length[1] - 1 / (2 * s->beta);

		d.loss = off * off;
		slope = 2 * off;
	} else {
		d.loss = (1 - smooth) * softplus_minus(margin) + (smooth > 0 ? smooth * softplus_minus(-margin) : 0);
		slope = -s->beta * ((1 - smooth) * sigmoid_minus(margin) - smooth * sigmoid_minus(-margin));
	}
	d.d_chosen = slope / length[0];
	d.d_rejected = -slope / length[1];
	return d;
}

struct dpo dpo_loss(double logp_chosen, double logp_rejected, double ref_chosen, double ref_rejected,
    double beta)
{
	const struct dpo_settings sigmoid = { .form = DPO_SIGMOID, .beta = beta };
	const double logp[2] = { logp_chosen, logp_rejected }, ref[2] = { ref_chosen, ref_rejected };

	return dpo_pair(&sigmoid, logp, ref, (int[2]){ 1, 1 });
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
	*d = (struct dpo_run){ .pairs = pairs, .settings = { .beta = beta }, .pack = pack,
	    .ref = mem_zalloc(pairs->n + (size_t)1, sizeof *d->ref) };
}

void dpo_run_eval(struct dpo_run *d, const struct examples *eval)
{
	d->eval = eval;
	d->eval_ref = mem_zalloc(eval->n + (size_t)1, sizeof *d->eval_ref);
}

void dpo_run_free(struct dpo_run *d)
{
	free(d->ref);
	free(d->eval_ref);
	d->ref = d->eval_ref = NULL;
}

/* This rank's share of which, its log-probabilities into its part of logps. */
static int share_of_logps(const struct dpo_run *d, const struct examples *pairs, struct trainer *t,
    const uint32_t *which, uint32_t n, double (*logps)[2], struct err *err)
{
	uint32_t from, to;
	int rc = 0;

	ranks_share(n, &from, &to);
	for (uint32_t k; rc == 0 && from < to; from += k) {
		k = examples_micro(pairs, which + from, to - from, d->pack, d->micro);
		rc = dpo_logps(pairs, t, which + from, k, false, logps + from, err);
	}
	return ranks_agree(rc, err);
}

static int reference(const struct dpo_run *d, const struct examples *pairs, double (*ref)[2],
    struct trainer *t, const uint32_t *which, uint32_t n, struct err *err)
{
	double (*logps)[2] = mem_zalloc(n, sizeof *logps);
	int rc = share_of_logps(d, pairs, t, which, n, logps, err);

	if (rc == 0)
		ranks_sum(logps[0], 2 * (size_t)n);     /* each is 0 but in one rank */
	for (uint32_t i = 0; rc == 0 && i < n; i++)
		memcpy(ref[which[i]], logps[i], sizeof logps[i]);
	free(logps);
	return rc;
}

int dpo_reference(struct dpo_run *d, struct trainer *t, const uint32_t *which, uint32_t n, struct err *err)
{
	return reference(d, d->pairs, d->ref, t, which, n, err);
}

static uint32_t *count_up(uint32_t from, uint32_t n)
{
	uint32_t *v = mem_zalloc(n + (size_t)1, sizeof *v);

	for (uint32_t i = 0; i < n; i++)
		v[i] = from + i;
	return v;
}

int dpo_reference_eval(struct dpo_run *d, struct trainer *t, uint32_t from, uint32_t n, struct err *err)
{
	uint32_t *which = count_up(from, n);
	int rc = reference(d, d->eval, d->eval_ref, t, which, n, err);

	free(which);
	return rc;
}

enum {
	PAIRS, LOSS, REWARD_CHOSEN, REWARD_REJECTED, MARGIN, ACCURACY, LOGP_CHOSEN, LOGP_REJECTED, METRICS
};

static const char *const metric_names[METRICS] = {
	"pairs", "loss", "rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies",
	"logps/chosen", "logps/rejected",
};

/* Sums over the pairs gone through. */
struct totals {
	double by_role[EXAMPLE_ROLES][METRICS];
	double chosen_logp;
};

/* What a batch is taken through with: its pairs, their reference, its size. */
struct batch {
	const struct examples *pairs;
	const double (*ref)[2];
	double n, chosen_tokens;
};

/* Pairs that have gone forward are added to the totals; their slopes, three a
 * pair as their segments are, are of their part in the mean over the batch. */
static void add_pairs(const struct dpo_run *d, const struct batch *b, const uint32_t *which, uint32_t k,
    double (*logps)[2], struct totals *sum, double *dlogps)
{
	for (uint32_t i = 0; i < k; i++) {
		const struct example *e = &b->pairs->v[which[i]];
		struct dpo x = dpo_pair(&d->settings, logps[i], b->ref[which[i]], e->completion);
		double *m = sum->by_role[e->role];

		dlogps[3 * i] = 0;
		dlogps[3 * i + 1] = x.d_chosen / b->n;
		dlogps[3 * i + 2] = x.d_rejected / b->n;
		if (d->settings.nll_weight > 0)
			dlogps[3 * i + 1] -= d->settings.nll_weight / b->chosen_tokens;
		m[PAIRS]++;
		m[LOSS] += x.loss;
		m[REWARD_CHOSEN] += x.reward_chosen;
		m[REWARD_REJECTED] += x.reward_rejected;
		m[MARGIN] += x.reward_chosen - x.reward_rejected;
		m[ACCURACY] += x.reward_chosen > x.reward_rejected;
		m[LOGP_CHOSEN] += logps[i][0];
		m[LOGP_REJECTED] += logps[i][1];
		sum->chosen_logp += logps[i][0];
	}
}

/* This rank's share of a batch forward, and backward where train is true;
 * then the totals of all ranks. */
static int go_through(const struct dpo_run *d, const struct batch *b, struct trainer *t,
    const uint32_t *which, uint32_t n, bool train, struct totals *sum, struct err *err)
{
	double (*logps)[2] = mem_zalloc(n, sizeof *logps), *dlogps = mem_zalloc(3 * (size_t)n, sizeof *dlogps);
	uint32_t from, to;
	int rc = 0;

	*sum = (struct totals){ 0 };
	ranks_share(n, &from, &to);
	for (uint32_t k; rc == 0 && from < to; from += k) {
		k = examples_micro(b->pairs, which + from, to - from, d->pack, d->micro);
		rc = dpo_logps(b->pairs, t, which + from, k, train, logps, err);
		if (rc == 0)
			add_pairs(d, b, which + from, k, logps, sum, dlogps);
		if (rc == 0 && train)
			rc = trainer_backward(t, dlogps, err);
	}
	rc = ranks_agree(rc, err);
	if (rc == 0)
		ranks_sum(sum->by_role[0], sizeof *sum / sizeof(double));
	free(logps);
	free(dlogps);
	return rc;
}

static void member(struct train_log *log, const char *prefix, const char *role, const char *name, double x)
{
	buf_printf(&log->members, ",\"%s%s%s%s\":", prefix, role, *role ? "/" : "", name);
	buf_json_number(&log->members, x);
}

static void write_means(struct train_log *log, const char *prefix, const char *role, const double m[METRICS])
{
	if (*role)
		member(log, prefix, role, metric_names[PAIRS], m[PAIRS]);
	for (int i = *role ? LOSS : REWARD_CHOSEN; i < METRICS; i++)
		member(log, prefix, role, metric_names[i], m[i] / m[PAIRS]);    /* of none: null */
}

/* The means of a batch; roles apart where the training data have several. */
static void write_metrics(const struct dpo_run *d, const struct batch *b, const struct totals *sum,
    const char *prefix, struct train_log *log, double all[METRICS])
{
	double nll = -sum->chosen_logp / b->chosen_tokens;

	memset(all, 0, METRICS * sizeof *all);
	for (int role = 0; role < EXAMPLE_ROLES; role++)
		for (int i = 0; i < METRICS; i++)
			all[i] += sum->by_role[role][i];
	log->loss = all[LOSS] / all[PAIRS] + (d->settings.nll_weight > 0 ? d->settings.nll_weight * nll : 0);
	write_means(log, prefix, "", all);
	if (d->settings.nll_weight > 0)
		member(log, prefix, "", "nll_loss", nll);
	if (!examples_mixed(d->pairs))
		return;
	for (int role = 1; role < EXAMPLE_ROLES; role++)
		write_means(log, prefix, example_role_name((enum example_role)role), sum->by_role[role]);
}

static double chosen_tokens(const struct examples *pairs, const uint32_t *which, uint32_t n)
{
	double tokens = 0;

	for (uint32_t i = 0; i < n; i++)
		tokens += pairs->v[which[i]].completion[0];
	return tokens;
}

int dpo_batch(void *self, struct trainer *t, const uint32_t *which, uint32_t n, struct train_log *log,
    struct err *err)
{
	const struct dpo_run *d = self;
	struct batch b = { d->pairs, (const double (*)[2])d->ref, n, chosen_tokens(d->pairs, which, n) };
	struct totals sum;
	double all[METRICS];

	if (go_through(d, &b, t, which, n, true, &sum, err) != 0)
		return -1;
	write_metrics(d, &b, &sum, "", log, all);
	return 0;
}

int dpo_evaluate(void *self, struct trainer *t, struct train_log *log, struct train_score *score,
    struct err *err)
{
	const struct dpo_run *d = self;
	uint32_t n = d->eval->n, *which = count_up(0, n);
	struct batch b = { d->eval, (const double (*)[2])d->eval_ref, n, chosen_tokens(d->eval, which, n) };
	struct totals sum;
	double all[METRICS];
	int rc = go_through(d, &b, t, which, n, false, &sum, err);

	free(which);
	if (rc != 0)
		return -1;
	write_metrics(d, &b, &sum, "eval_", log, all);
	*score = (struct train_score){ log->loss, all[ACCURACY] / all[PAIRS], all[MARGIN] / all[PAIRS] };
	return 0;
}

/* Direct preference optimisation: the sigmoid form (Rafailov et al. 2023),
 * IPO (Azar et al. 2023), and a sigmoid of length-normalised log-ratios
 * (after Meng et al. 2024, with a reference model). */
#ifndef MR_TRAIN_DPO_H
#define MR_TRAIN_DPO_H

#include <stdbool.h>

#include "base/err.h"
#include "train/examples.h"
#include "train/loop.h"
#include "train/train.h"

/* For one pair. */
struct dpo {
	double loss;
	double reward_chosen, reward_rejected;
	double d_chosen, d_rejected;            /* d loss / d logp */
};

/* Equation 7: -log sigma(beta * margin); a reward is beta (logp - ref). */
struct dpo dpo_loss(double logp_chosen, double logp_rejected, double ref_chosen, double ref_rejected,
    double beta);

enum dpo_form { DPO_SIGMOID, DPO_IPO, DPO_NORM_SIGMOID };
int dpo_form_by_name(const char *name);         /* "sigmoid", "ipo", "norm-sigmoid"; -1: unknown */

struct dpo_settings {
	enum dpo_form form;
	double beta;
	double label_smoothing;         /* the share of labels that are the wrong way round; not for IPO */
	double nll_weight;              /* of the chosen's mean negative log-likelihood a token, over a batch */
};

/* One pair's loss of a form, without the likelihood term; [0] is chosen, [1]
 * rejected. Of a log-ratio x = logp - ref, divided by its completion's tokens
 * for all but the sigmoid, the reward is beta x; the loss is
 *   sigmoid, norm-sigmoid   -(1 - s) log sigma(m) - s log sigma(-m),  m = reward[0] - reward[1]
 *   ipo                     (x[0] - x[1] - 1 / (2 beta))^2
 * with s the label smoothing (as in TRL). */
struct dpo dpo_pair(const struct dpo_settings *d, const double logp[2], const double ref[2],
    const int tokens[2]);

/* A run's own state. */
struct dpo_run {
	const struct examples *pairs, *eval;    /* eval: NULL, or the validation set */
	struct dpo_settings settings;
	int pack, micro;        /* tokens and pairs at once; see loop.h */
	double (*ref)[2];       /* log p of chosen and rejected before the first step; owned */
	double (*eval_ref)[2];
};

/* The sigmoid without smoothing or likelihood, no validation set: the fields
 * can be set afterwards, the validation set by dpo_run_eval. */
void dpo_run_init(struct dpo_run *d, const struct examples *pairs, double beta, int pack);
void dpo_run_eval(struct dpo_run *d, const struct examples *eval);
void dpo_run_free(struct dpo_run *d);

/* log p of chosen and rejected of n pairs that go through the model side by
 * side, each prompt once for both. -1 where one is not finite. */
int dpo_logps(const struct examples *pairs, struct trainer *t, const uint32_t *which, uint32_t n, bool keep,
    double (*logps)[2], struct err *err);

/* The reference log-probabilities of a batch. Gone through in the batches of
 * the first epoch, they are to the last bit what its first step finds. Of all
 * ranks. */
int dpo_reference(struct dpo_run *d, struct trainer *t, const uint32_t *which, uint32_t n, struct err *err);
/* The same of the validation set's pairs [from, from + n). */
int dpo_reference_eval(struct dpo_run *d, struct trainer *t, uint32_t from, uint32_t n, struct err *err);

/* self: a struct dpo_run. TRL's names in the log: rewards/chosen,
 * rewards/rejected, rewards/margins, rewards/accuracies, logps/chosen,
 * logps/rejected (means over the batch); nll_loss where it has a weight.
 * Where the data are both actor and judge pairs, then for each of them
 * actor/pairs, actor/loss and so on (null where the batch has none). */
train_batch dpo_batch;
train_evaluate dpo_evaluate;

#endif

/* Direct preference optimisation (Rafailov et al. 2023), the sigmoid form. */
#ifndef MR_TRAIN_DPO_H
#define MR_TRAIN_DPO_H

#include <stdbool.h>

#include "base/err.h"
#include "train/examples.h"
#include "train/loop.h"
#include "train/train.h"

/* Equation 7, for one pair. */
struct dpo {
	double loss;                            /* -log sigma(beta * margin) */
	double reward_chosen, reward_rejected;  /* beta (logp - ref) */
	double d_chosen, d_rejected;            /* d loss / d logp */
};

struct dpo dpo_loss(double logp_chosen, double logp_rejected, double ref_chosen, double ref_rejected,
    double beta);

/* A run's own state. */
struct dpo_run {
	const struct examples *pairs;
	double beta;
	int pack;               /* tokens at once; see loop.h */
	double (*ref)[2];       /* log p of chosen and rejected before the first step; owned */
};

void dpo_run_init(struct dpo_run *d, const struct examples *pairs, double beta, int pack);
void dpo_run_free(struct dpo_run *d);

/* log p of chosen and rejected of n pairs that go through the model side by
 * side, each prompt once for both. -1 where one is not finite. */
int dpo_logps(const struct examples *pairs, struct trainer *t, const uint32_t *which, uint32_t n, bool keep,
    double (*logps)[2], struct err *err);

/* The reference log-probabilities of a batch. Gone through in the batches of
 * the first epoch, they are to the last bit what its first step finds. */
int dpo_reference(struct dpo_run *d, struct trainer *t, const uint32_t *which, uint32_t n, struct err *err);

/* self: a struct dpo_run. TRL's names in the log: rewards/chosen,
 * rewards/rejected, rewards/margins, rewards/accuracies, logps/chosen,
 * logps/rejected (means over the batch). */
train_batch dpo_batch;

#endif

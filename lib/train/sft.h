/* Supervised fine-tuning: negative log-likelihood of the completion's tokens,
 * the mean over all of a batch (as TRL's SFTTrainer with
 * completion_only_loss). */
#ifndef MR_TRAIN_SFT_H
#define MR_TRAIN_SFT_H

#include "train/examples.h"
#include "train/loop.h"
#include "train/train.h"

struct sft_run {
	const struct examples *demos;
	int pack, micro;                /* tokens and demonstrations at once; see loop.h */
	const struct examples *eval;    /* NULL, or the validation set */
};

/* self: a struct sft_run. TRL's name in the log: mean_token_accuracy. The
 * validation set's margin is 0. */
train_batch sft_batch;
train_evaluate sft_evaluate;

#endif

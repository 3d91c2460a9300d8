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
	int pack;               /* tokens at once; see loop.h */
};

/* self: a struct sft_run. TRL's names in the log: mean_token_accuracy,
 * num_tokens (gone through since the start). */
train_batch sft_batch;

#endif

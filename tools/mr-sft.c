/* mr-sft: demonstrations → a model that answers like them. */
#include "cli/training.h"
#include "train/sft.h"

static struct training t = {
	.what = "demonstrations", .schedule_name = "cosine",
	.plan = { .lr = 2e-5, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .max_grad_norm = 1, .epochs = 3,
	    .batch = 8, .stage = "sft/epoch" },
};

static const struct opt options[] = {
	{ .kind = OPT_END },
};

static struct cli_tool tool = {
	.name = "mr-sft",
	.usage = "[OPTION]... -o FILE [FILE]...",
	.summary = "Train a model on demonstrations: on their answers' tokens, not their prompts'.\n"
	    "Writes one line of JSON for each step to standard output.",
};

int main(int argc, char **argv)
{
	struct sft_run run;

	training_start(&t, &tool, options, argc, argv);
	training_read(&t, examples_add_demo);
	training_open(&t);
	run = (struct sft_run){ &t.examples, t.plan.pack, t.plan.micro, &t.eval };
	return training_run(&t, sft_batch, sft_evaluate, &run);
}

/* mr-dpo: preference pairs → a model that prefers the chosen ones. */
#include <stdlib.h>

#include "cli/training.h"
#include "train/dpo.h"

static struct training t = {
	.what = "pairs", .schedule_name = "cosine",
	.plan = { .lr = 5e-6, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .max_grad_norm = 1, .epochs = 1,
	    .batch = 32, .stage = "dpo/epoch" },
};
static double beta = 0.1;

static const struct opt options[] = {
	{ OPT_GROUP, .help = "Loss" },
	{ OPT_DOUBLE, "beta", .value = &beta, .arg = "X",
	    .help = "how close to stay to the model that came in [{}]",
	    .min = 1e-6, .max = 1e3 },
	{ .kind = OPT_END },
};

static struct cli_tool tool = {
	.name = "mr-dpo",
	.usage = "[OPTION]... -o FILE [FILE]...",
	.summary = "Train a model on preference pairs by direct preference optimisation.\n"
	    "Writes one line of JSON for each step to standard output.",
};

static void reference(struct dpo_run *run)
{
	uint32_t n = t.examples.n, batch = (uint32_t)t.plan.batch, *order = mem_zalloc(n, sizeof *order);
	struct err err;

	train_order(&t.plan, 0, order, n);
	for (uint32_t i = 0; i < n && !cli_stopping(); i += batch) {
		training_progress(&t, "reference pairs", i, n);
		if (dpo_reference(run, t.trainer, order + i, n - i < batch ? n - i : batch, &err) != 0)
			cli_die(&t.cli, EXIT_NOTHING, "%s: %s", t.cli.model, err.msg);
	}
	free(order);
}

int main(int argc, char **argv)
{
	struct dpo_run run;
	int status;

	training_start(&t, &tool, options, argc, argv);
	training_read(&t, examples_add_pair);
	training_open(&t);
	dpo_run_init(&run, &t.examples, beta, t.plan.pack);
	reference(&run);
	status = training_run(&t, dpo_batch, &run);
	dpo_run_free(&run);
	return status;
}

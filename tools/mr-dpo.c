/* mr-dpo: preference pairs → a model that prefers the chosen ones. */
#include <stdlib.h>

#include "cli/training.h"
#include "train/dpo.h"
#include "train/ranks.h"

static struct training t = {
	.what = "pairs", .has_margin = true, .schedule_name = "cosine",
	.plan = { .lr = 5e-6, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .max_grad_norm = 1, .epochs = 1,
	    .batch = 32, .stage = "dpo/epoch" },
};
static struct dpo_settings settings = { .beta = 0.1 };
static const char *loss_name = "sigmoid";

static const struct opt options[] = {
	{ OPT_GROUP, .help = "Loss" },
	{ OPT_STRING, "loss", .value = &loss_name, .arg = "NAME",
	    .help = "sigmoid, ipo, or norm-sigmoid: with log-ratios a token [{}]" },
	{ OPT_DOUBLE, "beta", .value = &settings.beta, .arg = "X",
	    .help = "how close to stay to the model that came in [{}]",
	    .min = 1e-6, .max = 1e3 },
	{ OPT_DOUBLE, "label-smoothing", .value = &settings.label_smoothing, .arg = "X",
	    .help = "the share of pairs taken to be the wrong way round [{}]", .min = 0, .max = 0.499999 },
	{ OPT_DOUBLE, "nll-weight", .value = &settings.nll_weight, .arg = "X",
	    .help = "of the chosen's negative log-likelihood a token, added to the loss [{}]", .min = 0,
	    .max = 1e6 },
	{ .kind = OPT_END },
};

static struct cli_tool tool = {
	.name = "mr-dpo",
	.usage = "[OPTION]... -o FILE [FILE]...",
	.summary = "Train a model on preference pairs by direct preference optimisation.\n"
	    "Writes one line of JSON for each step to standard output.",
};

static void check_loss(void)
{
	int form = dpo_form_by_name(loss_name);

	if (form < 0)
		cli_usage(&t.cli, "--loss: \"%s\" is none of sigmoid, ipo, norm-sigmoid", loss_name);
	if (form == DPO_IPO && settings.label_smoothing > 0)
		cli_usage(&t.cli, "--label-smoothing does not go with --loss ipo");
	settings.form = (enum dpo_form)form;
}

static void check(int rc, const struct err *err)
{
	if (rc != 0)
		cli_die(&t.cli, EXIT_NOTHING, "%s: %s", t.cli.model, err->msg);
}

static void reference(struct dpo_run *run)
{
	uint32_t n = t.examples.n, m = t.eval.n, batch = (uint32_t)t.plan.batch;
	uint32_t *order = mem_zalloc(n, sizeof *order);
	struct err err;

	train_order(&t.plan, 0, order, n);
	for (uint32_t i = 0; i < n && !ranks_any(cli_stopping()); i += batch) {
		training_progress(&t, "reference pairs", i, n + m);
		check(dpo_reference(run, t.trainer, order + i, n - i < batch ? n - i : batch, &err), &err);
	}
	for (uint32_t i = 0; i < m && !ranks_any(cli_stopping()); i += batch) {
		training_progress(&t, "reference pairs", n + i, n + m);
		check(dpo_reference_eval(run, t.trainer, i, m - i < batch ? m - i : batch, &err), &err);
	}
	free(order);
}

int main(int argc, char **argv)
{
	struct dpo_run run;
	int status;

	training_start(&t, &tool, options, argc, argv);
	check_loss();
	training_read(&t, examples_add_pair);
	training_open(&t);
	dpo_run_init(&run, &t.examples, settings.beta, t.plan.pack);
	dpo_run_eval(&run, &t.eval);
	run.settings = settings;
	run.micro = t.plan.micro;
	if (!training_load_reference(&t, run.ref, run.eval_ref)) {
		reference(&run);
		training_save_reference(&t, run.ref, run.eval_ref);
	}
	status = training_run(&t, dpo_batch, dpo_evaluate, &run);
	dpo_run_free(&run);
	return status;
}

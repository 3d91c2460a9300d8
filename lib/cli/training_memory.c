#include "cli/training_memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cli/training.h"

void training_memory_defaults(struct training_memory *m)
{
	*m = (struct training_memory){ .alpha = 32, .targets = "q,k,v,o,gate,up,down" };
}

static bool given(const struct training *t, const char *name)
{
	for (const struct opt *o = t->cli.tool->options; o->kind != OPT_END; o++)
		if (o->name && strcmp(o->name, name) == 0)
			return o->given;
	return false;
}

void training_memory_check(struct training *t)
{
	static const char *const of_adapters[] = { "lora-alpha", "lora-targets", "merge" };
	struct training_memory *m = &t->memory;
	uint64_t bytes;
	unsigned targets;
	struct err err;

	if (m->limit && memory_parse(m->limit, &bytes, &err) != 0)
		cli_usage(&t->cli, "--mem: %s", err.msg);
	if (lora_targets(m->targets, &targets, &err) != 0)
		cli_usage(&t->cli, "--lora-targets: %s", err.msg);
	for (size_t i = 0; i < sizeof of_adapters / sizeof *of_adapters; i++)
		if (m->rank == 0 && given(t, of_adapters[i]))
			cli_usage(&t->cli, "--%s says nothing without --lora-rank R", of_adapters[i]);
	if (m->rank > 0 && !m->merged && given(t, "type"))
		cli_usage(&t->cli, "--type is of the whole model, with --merge; adapters are F32");
}

/* What of the examples goes through the model at once, in this order and n at
 * a time: raises *tokens and *targets to the most of it. */
static void largest_of(const struct training *t, const struct examples *e, const uint32_t *order, uint32_t n,
    int *tokens, int *targets)
{
	for (uint32_t i = 0, end = 0, k; i < e->n; i += k) {
		int sum = 0, sum_targets = 0;

		if (i == end)
			end = e->n - i < n ? e->n : i + n;
		k = examples_micro(e, order + i, end - i, t->plan.pack, t->plan.micro);
		for (uint32_t j = i; j < i + k; j++) {
			sum += example_tokens(&e->v[order[j]]);
			sum_targets += example_targets(&e->v[order[j]]);
		}
		*tokens = sum > *tokens ? sum : *tokens;
		*targets = sum_targets > *targets ? sum_targets : *targets;
	}
}

static void largest(const struct training *t, int *tokens, int *targets)
{
	const uint32_t n = t->examples.n > t->eval.n ? t->examples.n : t->eval.n;
	uint32_t *order = mem_zalloc(n, sizeof *order);

	*tokens = *targets = 0;
	for (int epoch = 0; epoch < (t->plan.shuffle ? t->plan.epochs : 1); epoch++) {
		train_order(&t->plan, epoch, order, t->examples.n);
		largest_of(t, &t->examples, order, (uint32_t)t->plan.batch, tokens, targets);
	}
	for (uint32_t i = 0; i < t->eval.n; i++)
		order[i] = i;
	largest_of(t, &t->eval, order, t->eval.n, tokens, targets);
	free(order);
}

/* The best weights are kept beside those that are trained. */
static bool keeps_best(const struct training *t)
{
	return t->eval.n > 0 && t->plan.best != BEST_LAST;
}

struct needs {
	double here;            /* the process as it is, the model's file, the products' room */
	double weights;         /* with gradients and moments, and the best ones */
	double tokens;          /* the forward and backward pass */
};

static double total(const struct needs *n)
{
	return n->here + n->weights + n->tokens;
}

/* The room in which OpenBLAS packs its factors, for each thread (measured). */
enum { PACKED = 2 << 20 };

static struct needs needs_of(struct training *t, int tokens, int targets, int again)
{
	size_t n;

	trainer_weights(t->trainer, &n);
	trainer_recompute(t->trainer, again);
	return (struct needs){
		.here = (double)memory_used() + (double)t->model->gguf->file.size +
		    (double)PACKED * pool_threads(t->pool),
		.weights = (keeps_best(t) ? 5.0 : 4.0) * sizeof(float) * (double)n,
		.tokens = (double)trainer_bytes(t->trainer, tokens, targets, true),
	};
}

/* As little as fits is computed again: nothing, the logits, then as few layers. */
static struct needs fit(struct training *t, int tokens, int targets, int *again)
{
	struct training_memory *m = &t->memory;
	int layers = t->model->config.layers;
	struct needs needs;
	uint64_t limit;
	struct err err;

	if (!m->limit || memory_parse(m->limit, &limit, &err) != 0)
		limit = memory_available() + memory_used();
	for (*again = -1; ; ++*again) {
		needs = needs_of(t, tokens, targets, *again);
		if (limit == 0 || total(&needs) <= (double)limit)
			return needs;
		if (*again == layers)
			break;
	}
	cli_die(&t->cli, EXIT_NOTHING, "training needs %.4g MiB of memory, and %s %.4g: try a smaller --pack%s, "
	    "--max-length%s", total(&needs) / (1 << 20), m->limit ? "--mem allows" : "the machine has",
	    (double)limit / (1 << 20), m->rank ? " or --lora-rank" : "", m->rank ? "" : ", or adapters (--lora-rank)");
}

static void say(struct training *t, const struct needs *n, int tokens, int again)
{
	const double mib = 1 << 20;
	size_t trained;

	trainer_weights(t->trainer, &trained);
	cli_warn(&t->cli, "%u %s, %llu steps; %.4g MiB of memory: %.4g for %.4g million weights%s in training, "
	    "%.4g for %d tokens at once, %.4g for the rest", t->examples.n, t->what,
	    (unsigned long long)train_steps(&t->plan, t->examples.n), total(n) / mib, n->weights / mib,
	    (double)trained / 1e6, t->memory.rank ? " of adapters" : "", n->tokens / mib, tokens, n->here / mib);
	if (again == 0)
		cli_warn(&t->cli, "the logits are computed again in the backward pass, to keep within that");
	if (again > 0)
		cli_warn(&t->cli, "the logits and %d of %d layers are computed again in the backward pass, to keep within "
		    "that", again, t->model->config.layers);
}

void training_memory_open(struct training *t)
{
	const struct training_memory *m = &t->memory;
	struct lora lora = { .rank = m->rank, .alpha = m->alpha, .seed = t->plan.seed, .merged = m->merged };
	struct cli *c = &t->cli;
	int tokens, targets, again;
	struct needs needs;
	struct err err;
	size_t n;

	if (lora_targets(m->targets, &lora.targets, &err) != 0 ||
	    !(t->trainer = trainer_plan(t->model, t->pool, m->rank ? &lora : NULL, &err)) ||
	    trainer_check_type(t->trainer, t->type, &err) != 0)
		cli_die(c, EXIT_NOTHING, "%s: %s", c->model, err.msg);
	largest(t, &tokens, &targets);
	needs = fit(t, tokens, targets, &again);
	if (!c->quiet)
		say(t, &needs, tokens, again);
	trainer_weights(t->trainer, &n);
	if (keeps_best(t) && !(t->best = mem_try(n, sizeof *t->best)))
		cli_die(c, EXIT_NOTHING, "not enough memory for the best weights (%.1f GiB)",
		    (double)n * sizeof *t->best / (1 << 30));
	if (trainer_load(t->trainer, &err) != 0 ||
	    trainer_reserve(t->trainer, tokens, targets, true, &err) != 0 || adamw_init(&t->adamw, n, &err) != 0)
		cli_die(c, EXIT_NOTHING, "%s", err.msg);
}

void training_memory_note(struct training *t)
{
	buf_printf(&t->cli.notes, ", peak memory %.4g MiB", (double)memory_peak() / (1 << 20));
}

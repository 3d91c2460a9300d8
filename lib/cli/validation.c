/* --eval: the validation set of mr-dpo and mr-sft. */
#include <stdlib.h>
#include <string.h>

#include "cli/training_private.h"

size_t validation_options(struct training *t, struct opt *to)
{
	const struct opt table[] = {
		{ OPT_GROUP, .help = "Validation" },
		{ OPT_STRING, "eval", .value = &t->eval_file, .arg = "FILE",
		    .help = "go through these records too, without training on them; their lines of log "
		    "have names with eval_" },
		{ OPT_INT, "eval-every", .value = &t->plan.eval_every, .arg = "N",
		    .help = "each N steps, and at the end; 0: at each epoch's end [{}]", .min = 0, .max = 1e9 },
		{ OPT_STRING, "best", .value = &t->best_name, .arg = "WHICH",
		    .help = "keep the weights that are best on them by loss, accuracy or margin; "
		    "last: the last ones [{}]" },
		{ OPT_INT, "patience", .value = &t->plan.patience, .arg = "N",
		    .help = "end after N times without a better one; 0: never [{}]", .min = 0, .max = 1e9 },
	};

	memcpy(to, table, sizeof table);
	return sizeof table / sizeof *table;
}

void validation_check(struct training *t)
{
	int best = train_best_by_name(t->best_name);

	if (best < 0)
		cli_usage(&t->cli, "--best: \"%s\" is none of loss, accuracy, margin, last", t->best_name);
	if (best == BEST_MARGIN && !t->has_margin)
		cli_usage(&t->cli, "--best margin: demonstrations have no margin");
	if (t->plan.patience > 0 && (!t->eval_file || best == BEST_LAST))
		cli_usage(&t->cli, "--patience needs --eval FILE, and --best loss, accuracy or margin");
	t->plan.best = (enum train_best)best;
}

static void wrong(struct training *t, const struct reader *r, const struct err *err)
{
	cli_die(&t->cli, EXIT_NOTHING, "%s:%ld: %s", r->name, r->lineno, err->msg);
}

static void read_line(struct training *t, const struct reader *in, training_add *add)
{
	int context = t->model->config.context;
	const struct example *e;
	struct record r;
	struct err err;

	if (record_parse(&r, in->line, in->len, &err) != 0)
		wrong(t, in, &err);
	if (add(&t->eval, &r, t->model, &err) != 0)
		wrong(t, in, &err);
	e = &t->eval.v[t->eval.n - 1];
	if (training_too_long(t, e, &t->eval_left_out)) {
		examples_drop_last(&t->eval);
	} else if (example_length(e) > context) {
		err_set(&err, "%d tokens, more than the model's context of %d", example_length(e), context);
		wrong(t, in, &err);
	}
	record_free(&r);
}

void validation_read(struct training *t, training_add *add)
{
	char *path = (char *)t->eval_file;
	struct reader in = { 0 };
	struct err err;
	int rc;

	if (!path)
		return;
	if (reader_open(&in, &path, 1, &err) != 0)
		cli_die(&t->cli, EXIT_NOTHING, "%s", err.msg);
	while ((rc = reader_next(&in, &err)) > 0)
		read_line(t, &in, add);
	if (rc < 0)
		wrong(t, &in, &err);
	reader_close(&in);
	if (t->eval.n == 0)
		cli_die(&t->cli, EXIT_NOTHING, "%s: no %s are left to validate with", path, t->what);
}

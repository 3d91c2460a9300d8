#include "cli/training_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/sha256.h"
#include "train/ranks.h"

static void add_options(struct training *t, struct cli_tool *tool, const struct opt *own)
{
	struct train_plan *p = &t->plan;
	const struct opt common[] = {
		{ OPT_GROUP, .help = "Training" },
		{ OPT_STRING, "output", 'o', &t->out, .arg = "FILE", .help = "write the trained model, a GGUF file, "
		    "whole or not at all (needed)" },
		{ OPT_STRING, "type", .value = &t->type_name, .arg = "TYPE",
		    .help = "its matrices' type: F32, F16, BF16 or Q8_0 [{}]" },
		{ OPT_INT, "epochs", .value = &p->epochs, .arg = "N", .help = "times through the data [{}]",
		    .min = 1, .max = 1e6 },
		{ OPT_INT, "batch", .value = &p->batch, .arg = "N", .help = "records of a step [{}]",
		    .min = 1, .max = 1e6 },
		{ OPT_INT, "pack", .value = &p->pack, .arg = "N",
		    .help = "tokens that go through the model at once, where records are shorter; "
		    "more is faster and takes more memory [{}]", .min = 1, .max = 1 << 20 },
		{ OPT_INT, "micro-batch", .value = &p->micro, .arg = "N",
		    .help = "records that do, at most; 0: as --pack allows [{}]", .min = 0, .max = 1e6 },
		{ OPT_DOUBLE, "lr", .value = &p->lr, .arg = "X", .help = "learning rate [{}]", .min = 0, .max = 1 },
		{ OPT_STRING, "schedule", .value = &t->schedule_name, .arg = "NAME",
		    .help = "its course: cosine, linear or constant [{}]" },
		{ OPT_INT, "warmup", .value = &p->warmup, .arg = "N",
		    .help = "first steps, in which it rises from 0 [{}]",
		    .min = 0, .max = 1e9 },
		{ OPT_DOUBLE, "weight-decay", .value = &p->weight_decay, .arg = "X",
		    .help = "AdamW's, on matrices [{}]", .min = 0, .max = 1e3 },
		{ OPT_DOUBLE, "max-grad-norm", .value = &p->max_grad_norm, .arg = "X",
		    .help = "clip the gradient to this norm; 0: never [{}]", .min = 0, .max = 1e9 },
		{ OPT_DOUBLE, "adam-beta1", .value = &p->beta1, .arg = "X", .help = "AdamW's [{}]",
		    .min = 0, .max = 0.999999999 },
		{ OPT_DOUBLE, "adam-beta2", .value = &p->beta2, .arg = "X", .help = "AdamW's [{}]",
		    .min = 0, .max = 0.999999999 },
		{ OPT_DOUBLE, "adam-eps", .value = &p->eps, .arg = "X", .help = "AdamW's [{}]", .min = 1e-30,
		    .max = 1 },
		{ OPT_INT, "max-length", .value = &t->max_length, .arg = "N",
		    .help = "leave records of more tokens out; 0: what the model's context holds [{}]",
		    .min = 0, .max = 1e9 },
		{ OPT_INT, "max-prompt-length", .value = &t->max_prompt, .arg = "N",
		    .help = "leave records out whose prompt has more tokens; 0: none [{}]", .min = 0, .max = 1e9 },
		{ OPT_DOUBLE, "explode", .value = &p->explode, .arg = "X",
		    .help = "stop where a gradient's norm is more than X times the mean of those before; "
		    "0: never [{}]", .min = 0, .max = 1e12 },
		{ OPT_FLAG, "no-shuffle", .value = &t->no_shuffle, .help = "go through the records in their order" },
		TRAINING_MEMORY_OPTIONS(&t->memory),
	};
	size_t n = 0, ncommon = sizeof common / sizeof *common;

	while (own[n].kind != OPT_END)
		n++;
	tool->options = mem_zalloc(n + ncommon + 2 * 16 + 1, sizeof *own);      /* the last is OPT_END */
	memcpy(tool->options, own, n * sizeof *own);
	memcpy(tool->options + n, common, sizeof common);
	n += ncommon;
	n += validation_options(t, tool->options + n);
	checkpoint_options(t, tool->options + n);
	tool->needs = CLI_WEIGHTS | CLI_INPUT | CLI_SEED | CLI_ANY_ID;
}

static void check_options(struct training *t)
{
	static const enum tensor_type types[] = { TENSOR_F32, TENSOR_F16, TENSOR_BF16, TENSOR_Q8_0 };
	int type = tensor_type_by_name(t->type_name), schedule = schedule_by_name(t->schedule_name);
	bool known = false;

	if (!t->out || strcmp(t->out, "-") == 0)
		cli_usage(&t->cli, "-o FILE is needed: where the trained model goes");
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		known |= type == (int)types[i];
	if (!known)
		cli_usage(&t->cli, "--type: \"%s\" is none of F32, F16, BF16, Q8_0", t->type_name);
	if (schedule < 0)
		cli_usage(&t->cli, "--schedule: \"%s\" is none of cosine, linear, constant", t->schedule_name);
	t->type = (enum tensor_type)type;
	t->plan.schedule = (enum schedule)schedule;
	t->plan.shuffle = !t->no_shuffle;
	t->plan.seed = t->cli.seed;
	training_memory_check(t);
	validation_check(t);
	checkpoint_check(t);
	for (int i = 0; ranks_count() > 1 && i < t->cli.noperands + (t->cli.noperands == 0); i++)
		if (t->cli.noperands == 0 || strcmp(t->cli.operands[i], "-") == 0)
			cli_usage(&t->cli, "under mpirun the records come from FILEs, which every process reads");
}

/* Of several processes the first one alone says and writes something. */
static void one_speaks(void)
{
	ranks_start();
	if (ranks_rank() > 0 && (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr)))
		exit(EXIT_NOTHING);
}

/* A place where nothing can be written is better known before than after. */
static void try_output(struct training *t)
{
	struct outfile *o;
	struct err err;

	o = out_open(t->out, &err);
	if (!o)
		cli_die(&t->cli, EXIT_NOTHING, "%s", err.msg);
	out_abort(o);
}

static void one_writes(struct training *t)
{
	if (ranks_rank() > 0) {
		out_abort(t->cli.rejects_out);
		t->cli.rejects_out = NULL;
	} else {
		try_output(t);
	}
}

void training_start(struct training *t, struct cli_tool *tool, const struct opt *own, int argc, char **argv)
{
	struct cli *c = &t->cli;
	struct err err;

	t->type_name = "F32";
	t->best_name = "loss";
	t->plan.pack = 1024;
	training_memory_defaults(&t->memory);
	t->plan.explode = 1000;
	one_speaks();
	add_options(t, tool, own);
	cli_start(c, tool, argc, argv);
	check_options(t);
	if (!c->model)
		cli_die(c, EXIT_NOTHING, "no model: name one with -m FILE or MR_MODEL, or run: mr-model fetch");
	t->model = model_open(c->model, c->llm.chat_template, &err);
	if (!t->model)
		cli_die(c, EXIT_NOTHING, "%s: %s", c->model, err.msg);
	else if (!t->model->chat)
		cli_die(c, EXIT_NOTHING, "%s: the file has no chat template; name its family with --chat-template",
		    c->model);
	one_writes(t);
}

bool training_too_long(const struct training *t, const struct example *e, struct training_left_out *out)
{
	bool length = t->max_length > 0 && example_length(e) > t->max_length;
	bool prompt = !length && t->max_prompt > 0 && e->prompt > t->max_prompt;

	out->length += length;
	out->prompt += prompt;
	return length || prompt;
}

/* False where the last example read is not to be kept. */
static bool fits(struct training *t, const struct record *r)
{
	const struct example *e = &t->examples.v[t->examples.n - 1];
	int length = example_length(e), context = t->model->config.context;
	struct err err;

	if (training_too_long(t, e, &t->left_out))
		return false;
	if (length <= context)
		return true;
	err_set(&err, "%d tokens, more than the model's context of %d", length, context);
	cli_reject(&t->cli, r, &err);
	return false;
}

void training_read(struct training *t, training_add *add)
{
	const struct training_left_out *out = &t->left_out;
	struct cli *c = &t->cli;
	struct record r;
	struct err err;

	while (!cli_stopping() && cli_next_record(c, &r)) {
		if (t->examples.n == INT32_MAX)
			cli_die(c, EXIT_NOTHING, "more than %d %s", INT32_MAX, t->what);
		if (add(&t->examples, &r, t->model, &err) != 0)
			cli_reject(c, &r, &err);
		else if (!fits(t, &r))
			examples_drop_last(&t->examples);
		record_free(&r);
	}
	c->ndone = t->examples.n;
	if (cli_stopping() || (c->ndone == 0 && out->length + out->prompt == 0))
		exit(cli_finish(c));    /* says why, exits */
	if (c->ndone == 0)
		cli_die(c, EXIT_NOTHING, "no %s are left: %llu longer than --max-length %d, %llu with a prompt longer "
		    "than --max-prompt-length %d, %llu failed", t->what, (unsigned long long)out->length, t->max_length,
		    (unsigned long long)out->prompt, t->max_prompt, (unsigned long long)c->nfailed);
	validation_read(t, add);
}

void training_open(struct training *t)
{
	t->pool = pool_new(t->cli.llm.threads);
	training_memory_open(t);
	checkpoint_start(t);
}

void training_progress(struct training *t, const char *unit, uint64_t done, uint64_t total)
{
	struct progress *p = &t->cli.progress;

	if (done == 0)
		progress_start(p, t->cli.tool->name, unit, t->cli.progress_mode);
	p->done = done;
	p->total = total;
	progress_update(p);
	if (done == total)
		progress_clear(p);
}

static int logged(void *arg, const struct train_log *log, struct err *err)
{
	struct training *t = arg;
	struct cli *c = &t->cli;

	if (ranks_rank() > 0)
		return 0;
	cli_write(c, log->line.data, log->line.len);
	if (out_flush(c->out, err) != 0)
		return -1;
	if (t->folder)
		buf_add(&t->log, log->line.data, log->line.len);
	c->progress.done = log->step;
	c->progress.tokens = log->tokens - t->tokens_before;
	progress_update(&c->progress);
	return 0;
}

static int stepped(void *arg, const struct train_state *s, struct err *err)
{
	return checkpoint_step(arg, s, false, err);
}

static bool stopping(void *arg)
{
	(void)arg;
	return cli_stopping();
}

/* "the best of …" for the summary, members for the manifest. */
static void tell_best(struct training *t, struct buf *manifest, struct buf *notes)
{
	const struct train_state *s = &t->state;

	if (t->eval.n == 0)
		return;
	buf_printf(manifest, ",\"eval\":{\"%s\":%u,\"left_out\":%llu,\"best\":\"%s\",\"step\":%llu,\"loss\":", t->what,
	    t->eval.n, (unsigned long long)(t->eval_left_out.length + t->eval_left_out.prompt), t->best_name,
	    (unsigned long long)s->best_step);
	buf_json_number(manifest, s->best.loss);
	buf_adds(manifest, ",\"accuracy\":");
	buf_json_number(manifest, s->best.accuracy);
	if (t->has_margin) {
		buf_adds(manifest, ",\"margin\":");
		buf_json_number(manifest, s->best.margin);
	}
	buf_adds(manifest, "}");
	if (t->eval_left_out.length + t->eval_left_out.prompt)
		buf_printf(notes, "%llu too long left out of --eval, ",
		    (unsigned long long)(t->eval_left_out.length + t->eval_left_out.prompt));
	buf_printf(notes, "the model is that of step %llu%s%s, eval loss %.4f, accuracy %.3f, ",
	    (unsigned long long)s->best_step, t->plan.best == BEST_LAST ? "" : ", the best by ",
	    t->plan.best == BEST_LAST ? "" : t->best_name, s->best.loss, s->best.accuracy);
}

static void manifest(struct training *t)
{
	struct buf none = { 0 };
	const char *base = strrchr(t->out, '/');
	struct buf b = { 0 };
	struct err err;
	char hex[65];

	base = base ? base + 1 : t->out;
	if (sha256_file(t->out, hex, &err) != 0)
		cli_die(&t->cli, EXIT_NOTHING, "%s: %s", t->out, err.msg);
	buf_printf(&b, "\"training\":{\"%s\":%u,\"left_out\":%llu,\"left_out_prompts\":%llu,\"batch\":%d,\"steps\":%llu,"
	    "\"tokens\":%llu", t->what, t->examples.n, (unsigned long long)t->left_out.length,
	    (unsigned long long)t->left_out.prompt, t->plan.batch, (unsigned long long)t->state.step,
	    (unsigned long long)t->state.tokens);
	tell_best(t, &b, &none);
	buf_free(&none);
	buf_adds(&b, "},\n \"output\":{\"file\":");
	buf_json_string(&b, base, strlen(base));
	buf_printf(&b, ",\"sha256\":\"%s\"}", hex);
	cli_manifest_add(&t->cli, b.data);
	buf_free(&b);
	if (cli_manifest(&t->cli, t->out, &err) != 0)
		cli_die(&t->cli, EXIT_NOTHING, "%s", err.msg);
	t->cli.manifest = NULL;         /* it is written */
}

static int finish(struct training *t)
{
	double took = now_seconds() - t->started;
	struct buf none = { 0 };
	struct cli *c = &t->cli;
	int status;

	if (t->left_out.length)
		buf_printf(&c->notes, "%llu longer than --max-length left out, ", (unsigned long long)t->left_out.length);
	if (t->left_out.prompt)
		buf_printf(&c->notes, "%llu with a prompt longer than --max-prompt-length left out, ",
		    (unsigned long long)t->left_out.prompt);
	tell_best(t, &none, &c->notes);
	buf_free(&none);
	buf_printf(&c->notes, "%llu steps%s, loss %.4f to %.4f, %.1f s, %.1f tokens/s",
	    (unsigned long long)t->state.step, t->state.ended ? " (then --patience ended)" : "",
	    t->state.first_loss, t->state.last_loss, took,
	    took > 0 ? (double)(t->state.tokens - t->tokens_before) / took : 0);
	training_memory_note(t);
	status = cli_finish(c);
	ranks_stop();
	free(t->best);
	buf_free(&t->made_by);
	buf_free(&t->log);
	examples_free(&t->eval);
	adamw_free(&t->adamw);
	trainer_free(t->trainer);
	pool_free(t->pool);
	model_close(t->model);
	examples_free(&t->examples);
	free(c->tool->options);
	return status;
}

static void save(struct training *t)
{
	struct err err;

	if (ranks_rank() > 0)
		return;
	if (trainer_save(t->trainer, t->out, t->type, &err) != 0)
		cli_die(&t->cli, EXIT_NOTHING, "%s%s", err.msg, checkpoint_kept(t));
	manifest(t);
	checkpoint_end(t);
}

/* Stopped by a signal: what was done is not lost. */
static void save_for_later(struct training *t)
{
	struct err err;

	if (checkpoint_step(t, &t->state, true, &err) != 0)
		cli_warn(&t->cli, "%s%s", err.msg, checkpoint_kept(t));
	else if (t->saved && !t->cli.quiet)
		cli_warn(&t->cli, "step %llu is the checkpoint's; --resume goes on from it",
		    (unsigned long long)t->saved);
}

int training_run(struct training *t, train_batch *batch, train_evaluate *evaluate, void *self)
{
	struct train_task task = { .examples = &t->examples, .batch = batch, .self = self,
	    .evaluate = t->eval.n ? evaluate : NULL, .state = &t->state, .best = t->best,
	    .logged = logged, .stepped = stepped, .stopping = stopping, .owner = t };
	struct cli *c = &t->cli;
	struct err err;
	int rc;

	checkpoint_resume(t);
	t->tokens_before = t->state.tokens;
	training_progress(t, "steps", 0, train_steps(&t->plan, t->examples.n));
	t->started = now_seconds();
	rc = train_run(&t->plan, t->trainer, t->pool, &t->adamw, &task, &err);
	if (rc < 0)
		cli_die(c, EXIT_NOTHING, "%s; no model was written%s", err.msg, checkpoint_kept(t));
	progress_clear(&c->progress);
	if (rc == 0)
		save(t);
	else
		save_for_later(t);
	return finish(t);
}

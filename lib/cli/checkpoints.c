/* --checkpoint and --resume of mr-dpo and mr-sft, and the reference
 * log-probabilities that are kept in the same folder. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/private.h"
#include "cli/training_private.h"
#include "train/checkpoint.h"
#include "train/ranks.h"

#define STATE "checkpoint"
#define REFERENCE "reference.jsonl"

size_t checkpoint_options(struct training *t, struct opt *to)
{
	const struct opt table[] = {
		{ OPT_GROUP, .help = "Checkpoints" },
		{ OPT_STRING, "checkpoint", .value = &t->folder, .arg = "DIR",
		    .help = "keep in this folder what a run that is stopped or killed can go on from" },
		{ OPT_INT, "checkpoint-every", .value = &t->checkpoint_every, .arg = "N",
		    .help = "written each N steps, and at the end; 0: at each epoch's end [{}]", .min = 0, .max = 1e9 },
		{ OPT_FLAG, "resume", .value = &t->resume,
		    .help = "go on from there, where there is one; the log begins with the steps done before" },
	};

	memcpy(to, table, sizeof table);
	return sizeof table / sizeof *table;
}

void checkpoint_check(struct training *t)
{
	if (!t->folder && t->resume)
		cli_usage(&t->cli, "--resume needs --checkpoint DIR: where to go on from");
	if (!t->folder && t->checkpoint_every)
		cli_usage(&t->cli, "--checkpoint-every needs --checkpoint DIR: where they go");
}

static const char *in_folder(const struct training *t, struct buf *b, const char *name)
{
	buf_reset(b);
	buf_printf(b, "%s/%s", t->folder, name);
	return b->data;
}

/* One run at a time; what killed ones have left unfinished is removed. */
static void take_folder(struct training *t)
{
	struct cli *c = &t->cli;
	struct dirent *d;
	DIR *dir;

	if (mkdir(t->folder, 0777) != 0 && errno != EEXIST)
		cli_die(c, EXIT_NOTHING, "%s: cannot be made: %s", t->folder, strerror(errno));
	t->lock = open(t->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = t->lock >= 0 ? opendir(t->folder) : NULL;
	if (!dir)
		cli_die(c, EXIT_NOTHING, "%s: cannot be opened: %s", t->folder, strerror(errno));
	if (flock(t->lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
		cli_die(c, EXIT_NOTHING, "%s: another run is using this folder", t->folder);
	while ((d = readdir(dir)))
		if (strncmp(d->d_name, STATE ".part-", sizeof STATE ".part-" - 1) == 0 ||
		    strncmp(d->d_name, REFERENCE ".part-", sizeof REFERENCE ".part-" - 1) == 0)
			unlinkat(dirfd(dir), d->d_name, 0);
	closedir(dir);
}

static void hash_number(struct sha256 *s, int64_t x)
{
	sha256_add(s, &x, sizeof x);
}

static void add_data(struct buf *b, const char *name, const struct examples *e)
{
	struct sha256 s;
	char hex[65];

	sha256_init(&s);
	for (uint32_t i = 0; i < e->n; i++) {
		const struct example *x = &e->v[i];

		hash_number(&s, x->prompt);
		hash_number(&s, x->completion[0]);
		hash_number(&s, x->completion[1]);
		hash_number(&s, x->role);
		sha256_add(&s, x->ids, (size_t)example_tokens(x) * sizeof *x->ids);
	}
	sha256_end_hex(&s, hex);
	buf_printf(b, ",\"%s\":\"%s\"", name, hex);
}

/* What a run depends on: {"tool","version","ranks","model","data","eval","options"}. */
static void describe(struct training *t)
{
	/* what changes nothing of the way there, or is told by a hash */
	static const char *const not_telling[] = {
		"output", "type", "merge", "mem", "rejects", "manifest", "model", "chat-template", "threads", "progress",
		"quiet", "help", "version", "checkpoint", "checkpoint-every", "resume", "eval", NULL,
	};
	struct buf *b = &t->made_by;
	struct err err;
	char hex[65];

	if (sha256_file(t->cli.model, hex, &err) != 0)
		cli_die(&t->cli, EXIT_NOTHING, "%s: %s", t->cli.model, err.msg);
	buf_printf(b, "{\"tool\":\"%s\",\"version\":\"%s\",\"ranks\":%d,\"model\":\"%s\"", t->cli.tool->name,
	    MR_VERSION, ranks_count(), hex);
	add_data(b, "data", &t->examples);
	add_data(b, "eval", &t->eval);
	buf_adds(b, ",\"options\":");
	opts_json(t->cli.priv->tables, not_telling, b);
	buf_adds(b, "}");
}

/* The first member that is another one in two objects: 1, and its name and
 * both values as text (not there: null). */
static int difference(const cJSON *there, const cJSON *here, struct buf *name, struct buf *a, struct buf *b)
{
	const cJSON *side[2] = { there, here }, *x;

	for (int i = 0; i < 2; i++) {
		cJSON_ArrayForEach(x, side[i]) {
			const cJSON *y = cJSON_GetObjectItemCaseSensitive(side[1 - i], x->string);
			char *text[2] = { cJSON_PrintUnformatted(x), y ? cJSON_PrintUnformatted(y) : NULL };
			bool same = y && strcmp(text[0], text[1]) == 0;

			if (!same) {
				buf_adds(name, x->string);
				buf_adds(i ? b : a, text[0]);
				buf_adds(i ? a : b, text[1] ? text[1] : "null");
			}
			cJSON_free(text[0]);
			cJSON_free(text[1]);
			if (!same)
				return 1;
		}
	}
	return 0;
}

/* What changed, where a checkpoint was made by another run. */
static int compare(const struct training *t, const char *made_by, struct err *err)
{
	static const char *const hashes[] = { "model", "data", "eval" }, *const said[] = {
		"another model", "other data (or another chat template)", "another validation set" };
	cJSON *there = cJSON_Parse(made_by), *here = cJSON_Parse(t->made_by.data);
	const cJSON *options[2] = { cJSON_GetObjectItemCaseSensitive(there, "options"),
	    cJSON_GetObjectItemCaseSensitive(here, "options") };
	struct buf name = { 0 }, a = { 0 }, b = { 0 };
	int rc = 0;

	if (difference(options[0], options[1], &name, &a, &b)) {
		rc = err_set(err, "is of a run with other settings: --%s was %s, and is %s now", name.data, a.data, b.data);
	} else if (difference(there, here, &name, &a, &b)) {
		rc = err_set(err, "is of another run: %s was %s, and is %s now", name.data, a.data, b.data);
		for (int i = 0; i < 3; i++)
			if (strcmp(name.data, hashes[i]) == 0)
				err_set(err, "is of a run with %s", said[i]);
	}
	cJSON_Delete(there);
	cJSON_Delete(here);
	buf_free(&name);
	buf_free(&a);
	buf_free(&b);
	return rc;
}

static struct checkpoint contents(struct training *t)
{
	struct checkpoint c = { .best = t->best, .adamw = &t->adamw };

	c.w = trainer_weights(t->trainer, &c.n);
	return c;
}

void checkpoint_start(struct training *t)
{
	struct checkpoint c = contents(t);
	struct buf path = { 0 };
	struct err err;

	if (!t->folder)
		return;
	if (ranks_rank() == 0)
		take_folder(t);
	describe(t);
	in_folder(t, &path, STATE);
	if (access(path.data, F_OK) == 0) {
		t->from = checkpoint_open(path.data, &c, &err);
		if (!t->from)
			cli_die(&t->cli, EXIT_NOTHING, "%s", err.msg);
		if (!t->resume)
			cli_die(&t->cli, EXIT_NOTHING, "%s: there is a checkpoint, of step %llu; --resume goes on from it, "
			    "or remove it", path.data, (unsigned long long)c.state.step);
		if (compare(t, c.made_by.data, &err) != 0)
			cli_die(&t->cli, EXIT_NOTHING, "%s: %s", path.data, err.msg);
		t->state = c.state;
		t->log = c.log;
		t->saved = c.state.step;
	} else if (t->resume && !t->cli.quiet) {
		cli_warn(&t->cli, "%s: there is no checkpoint yet: this run begins at the beginning", t->folder);
	}
	buf_free(&c.made_by);
	buf_free(&path);
}

void checkpoint_resume(struct training *t)
{
	struct checkpoint c = contents(t);
	struct err err;

	if (!t->from)
		return;
	if (checkpoint_load(t->from, &c, &err) != 0)
		cli_die(&t->cli, EXIT_NOTHING, "%s", err.msg);
	checkpoint_close(t->from);
	t->from = NULL;
	if (!t->cli.quiet)
		cli_warn(&t->cli, "going on behind step %llu", (unsigned long long)t->state.step);
	if (ranks_rank() > 0)
		return;
	cli_write(&t->cli, t->log.data, t->log.len);
	if (out_flush(t->cli.out, &err) != 0)
		cli_die(&t->cli, EXIT_NOTHING, "%s", err.msg);
}

static bool is_due(const struct training *t, const struct train_state *s)
{
	uint64_t every = t->checkpoint_every > 0 ? (uint64_t)t->checkpoint_every :
	    train_epoch_steps(&t->plan, t->examples.n);

	return s->step % every == 0 || s->ended || s->step == train_steps(&t->plan, t->examples.n);
}

int checkpoint_step(struct training *t, const struct train_state *s, bool now, struct err *err)
{
	struct checkpoint c = contents(t);
	struct buf path = { 0 };
	int rc;

	if (!t->folder || ranks_rank() > 0 || s->step == 0 || s->step == t->saved || !(now || is_due(t, s)))
		return 0;
	c.made_by = t->made_by;
	c.log = t->log;
	c.state = *s;
	rc = checkpoint_write(in_folder(t, &path, STATE), &c, err);
	if (rc == 0)
		t->saved = s->step;
	buf_free(&path);
	return rc;
}

const char *checkpoint_kept(const struct training *t)
{
	static char said[128];

	if (t->folder && t->saved)
		snprintf(said, sizeof said, "; the checkpoint of step %llu is kept, --resume goes on from it",
		    (unsigned long long)t->saved);
	return said;
}

void checkpoint_end(struct training *t)
{
	struct buf path = { 0 };

	if (!t->folder || ranks_rank() > 0)
		return;
	unlink(in_folder(t, &path, STATE));
	close(t->lock);
	buf_free(&path);
}

/* The reference's first line. What it depends on to the last bit, beside
 * model and data, are the tokens that went through the model at once. */
static void reference_head(const struct training *t, struct buf *b)
{
	const struct train_plan *p = &t->plan;
	cJSON *made_by = cJSON_Parse(t->made_by.data);

	buf_printf(b, "{\"model\":\"%s\",\"data\":\"%s\",\"eval\":\"%s\",\"batch\":%d,\"micro_batch\":%d,\"pack\":%d,"
	    "\"shuffle\":%s,\"seed\":%llu,\"ranks\":%d}",
	    cJSON_GetObjectItemCaseSensitive(made_by, "model")->valuestring,
	    cJSON_GetObjectItemCaseSensitive(made_by, "data")->valuestring,
	    cJSON_GetObjectItemCaseSensitive(made_by, "eval")->valuestring, p->batch, p->micro, p->pack,
	    p->shuffle ? "true" : "false", (unsigned long long)p->seed, ranks_count());
	cJSON_Delete(made_by);
}

/* 1: the reference is this run's; 0: of another order; -1 and a message: of
 * another model or other data. */
static int same_head(const struct training *t, const char *line, struct err *err)
{
	struct buf wanted = { 0 }, name = { 0 }, a = { 0 }, b = { 0 };
	cJSON *there = cJSON_Parse(line), *here;
	int rc = 1;

	reference_head(t, &wanted);
	here = cJSON_Parse(wanted.data);
	if (!cJSON_IsObject(there)) {
		rc = err_set(err, "is damaged; remove it");
	} else if (difference(there, here, &name, &a, &b)) {
		const char *what = strcmp(name.data, "model") == 0 ? "model" : strcmp(name.data, "data") == 0 ?
		    "set of pairs" : strcmp(name.data, "eval") == 0 ? "validation set" : NULL;

		rc = !what ? 0 : err_set(err, "was made with another %s; remove it, or name another folder", what);
	}
	cJSON_Delete(there);
	cJSON_Delete(here);
	buf_free(&wanted);
	buf_free(&name);
	buf_free(&a);
	buf_free(&b);
	return rc;
}

static bool read_values(FILE *f, double (*v)[2], uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (fscanf(f, " [%lf,%lf]", &v[i][0], &v[i][1]) != 2)
			return false;
	return true;
}

bool training_load_reference(struct training *t, double (*ref)[2], double (*eval_ref)[2])
{
	struct buf path = { 0 };
	char *line = NULL;
	size_t cap = 0;
	struct err err;
	int same;
	FILE *f;

	if (!t->folder)
		return false;
	f = fopen(in_folder(t, &path, REFERENCE), "r");
	if (!f) {
		buf_free(&path);
		return false;
	}
	same = same_head(t, getline(&line, &cap, f) > 0 ? line : "", &err);
	if (same == 1 && (!read_values(f, ref, t->examples.n) || !read_values(f, eval_ref, t->eval.n)))
		same = err_set(&err, "is damaged; remove it");
	if (same < 0)
		cli_die(&t->cli, EXIT_NOTHING, "%s: %s", path.data, err.msg);
	fclose(f);
	free(line);
	buf_free(&path);
	return same == 1;
}

static void add_values(struct buf *b, double (*v)[2], uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		buf_adds(b, "[");
		buf_json_number(b, v[i][0]);
		buf_adds(b, ",");
		buf_json_number(b, v[i][1]);
		buf_adds(b, "]\n");
	}
}

void training_save_reference(struct training *t, double (*ref)[2], double (*eval_ref)[2])
{
	struct buf path = { 0 }, b = { 0 };
	struct err err;

	if (!t->folder || ranks_rank() > 0 || cli_stopping())
		return;
	reference_head(t, &b);
	buf_adds(&b, "\n");
	add_values(&b, ref, t->examples.n);
	add_values(&b, eval_ref, t->eval.n);
	if (out_file(in_folder(t, &path, REFERENCE), b.data, b.len, &err) != 0)
		cli_die(&t->cli, EXIT_NOTHING, "%s", err.msg);
	buf_free(&b);
	buf_free(&path);
}

/*
 * The loop over records. Jobs stand in a list in the order of the input;
 * the model works on all of them, and the head leaves as soon as it is done.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/private.h"

/* Bounds of what is held behind a slow record: jobs in this process, where all
 * are about equally fast; with servers, jobs and bytes, since a request that
 * is tried again and again should not stop the others. */
enum { MOST_JOBS = 256, MOST_SERVER_JOBS = 1 << 16, MOST_HELD = 64 << 20, JOB_BYTES = 512 };

struct loop {
	struct cli *c;
	job_step *step;
	void *tool;
	struct job *head, *tail;
	int njobs;
	size_t held;
	bool eof;
};

static void report(struct cli *c, const char *file, long lineno, const char *line, size_t len, const struct err *why)
{
	struct err err;

	cli_warn(c, "%s:%ld: %s", file, lineno, why->msg);
	c->nfailed++;
	if (c->rejects_out &&
	    (out_write(c->rejects_out, line, len, &err) != 0 || out_write(c->rejects_out, "\n", 1, &err) != 0))
		cli_die(c, EXIT_NOTHING, "%s", err.msg);
}

void cli_reject(struct cli *c, const struct record *r, const struct err *err)
{
	report(c, c->reader.name, c->reader.lineno, r->line, r->len, err);
}

int cli_next_record(struct cli *c, struct record *r)
{
	struct reader *in = &c->reader;
	struct err err;
	int got;

	while ((got = reader_next(in, &err)) == 1) {
		c->nread++;
		if (record_parse(r, in->line, in->len, &err) != 0) {
			report(c, in->name, in->lineno, in->line, in->len, &err);
			continue;
		}
		if (id_set_has(&c->priv->resumed, r->id)) {
			c->nskipped++;
			record_free(r);
			continue;
		}
		if (!(c->tool->needs & CLI_ANY_ID) && !id_set_add(&c->priv->seen, r->id)) {
			err_set(&err, "the id \"%.80s\" was there before; ids must differ", r->id);
			cli_reject(c, r, &err);
			record_free(r);
			continue;
		}
		return 1;
	}
	if (got < 0)
		cli_die(c, EXIT_NOTHING, "%s: %s", in->name, err.msg);
	return 0;
}

/* What a request's answer comes back with. */
struct ask {
	struct job *job;
	int slot;
};

int job_ask(struct job *job, struct llm_request *r, struct err *err)
{
	struct cli *c = job->cli;
	struct ask *ask = mem_zalloc(1, sizeof *ask);

	if (r->params.max_tokens == 0)
		r->params = c->params;
	r->seed = c->seed;
	r->id = job->rec.id;
	*ask = (struct ask){ job, job->nanswers };
	if (llm_submit(c->model_handle, r, ask, err) != 0) {
		free(ask);
		return -1;
	}
	job->answers = mem_grow(job->answers, (size_t)job->nanswers + 1, sizeof *job->answers);
	job->answers[job->nanswers++] = NULL;
	job->pending++;
	return 0;
}

static void free_answers(struct job *job)
{
	for (int i = 0; i < job->nanswers; i++)
		if (job->answers[i])
			llm_answer_free(job->answers[i]);
	free(job->answers);
	job->answers = NULL;
	job->nanswers = 0;
}

/* Of a job that has ended only what will be written is kept: the output, or
 * the record as it came. */
static void seal(struct loop *l, struct job *job)
{
	struct record kept = { 0 };

	if (!job->failed && !job->silent && job->out.len == 0)
		record_write(&job->rec, &job->out);
	free_answers(job);
	arena_free(&job->arena);
	if (job->failed) {
		kept.line = job->rec.line;
		kept.len = job->rec.len;
		job->rec.line = NULL;
	}
	record_free(&job->rec);
	job->rec = kept;
	job->held = JOB_BYTES + job->rec.len + job->out.cap;
	l->held += job->held;
}

/* Runs the tool's step; the job ends where it asked nothing, or failed. */
static void run_step(struct loop *l, struct job *job)
{
	if (!job->failed && l->step(l->tool, job, &job->err) != 0)
		job->failed = true;
	job->step++;
	job->ended = job->pending == 0;
	if (job->ended)
		seal(l, job);
}

static void take_answer(struct loop *l, struct llm_answer *answer)
{
	struct ask *ask = answer->tag;
	struct job *job = ask->job;

	job->answers[ask->slot] = answer;
	free(ask);
	if (answer->err && !job->failed) {
		job->failed = true;
		job->err = *answer->err;
	}
	if (--job->pending == 0)
		run_step(l, job);
}

static void start_job(struct loop *l, struct record *rec)
{
	struct job *job = mem_zalloc(1, sizeof *job);

	job->rec = *rec;
	job->cli = l->c;
	job->file = l->c->reader.name;
	job->lineno = l->c->reader.lineno;
	if (l->tail)
		l->tail->next = job;
	else
		l->head = job;
	l->tail = job;
	l->njobs++;
	run_step(l, job);
}

static void free_job(struct job *job)
{
	free_answers(job);
	record_free(&job->rec);
	arena_free(&job->arena);
	buf_free(&job->out);
	free(job);
}

static void write_job(struct cli *c, struct job *job)
{
	if (job->failed) {
		report(c, job->file, job->lineno, job->rec.line, job->rec.len, &job->err);
		return;
	}
	c->ndone++;
	if (!job->silent)
		cli_write(c, job->out.data, job->out.len);
}

static void drop_head(struct loop *l)
{
	struct job *job = l->head;

	l->head = job->next;
	if (!l->head)
		l->tail = NULL;
	l->njobs--;
	l->held -= job->held;
	free_job(job);
}

/* Writes the jobs at the head that have ended. */
static void write_ended(struct loop *l)
{
	while (l->head && l->head->ended) {
		write_job(l->c, l->head);
		drop_head(l);
	}
}

/* A budget is spent: what has ended is written, the others are left to
 * another run. */
static void write_what_ended(struct loop *l)
{
	while (l->head) {
		if (l->head->ended)
			write_job(l->c, l->head);
		drop_head(l);
	}
}

void cli_show_progress(struct cli *c)
{
	struct progress *p = &c->progress;
	struct reader *in = &c->reader;

	p->done = c->ndone + c->nfailed;
	p->fraction = in->bytes_total > 0 && c->nread > 0
	    ? in->bytes_done / in->bytes_total * (double)(p->done + c->nskipped) / (double)c->nread : -1;
	if (c->model_handle)
		p->tokens = llm_usage(c->model_handle).tokens_out;
	progress_update(p);
}

/* Whether the model has slots that nothing waits for. */
static bool has_room(const struct loop *l)
{
	const struct cli *c = l->c;
	bool servers = cli_has_servers(c);

	if (l->eof || cli_stopping() || !c->model_handle || llm_spent(c->model_handle))
		return false;
	return l->njobs < (servers ? MOST_SERVER_JOBS : MOST_JOBS) && (!servers || l->held < MOST_HELD) &&
	    llm_waiting(c->model_handle) < llm_batch(c->model_handle);
}

/* More records are read while there is room; but not by blocking on a slow
 * pipe while there is work to do. */
static bool wants_more(const struct loop *l)
{
	if (l->eof || cli_stopping())
		return false;
	return l->njobs == 0 || (has_room(l) && reader_ready(&l->c->reader));
}

static void read_one(struct loop *l)
{
	struct cli *c = l->c;
	struct record rec;

	if (!cli_next_record(c, &rec)) {
		l->eof = true;
	} else if (c->model_handle && llm_spent(c->model_handle)) {
		c->spent = true;
		c->nread--;
		record_free(&rec);
	} else {
		start_job(l, &rec);
		write_ended(l);
	}
}

/* Waits for an answer and takes it. */
static void wait_for_one(struct loop *l)
{
	struct cli *c = l->c;
	bool servers = cli_has_servers(c);
	struct llm_answer *answer;
	struct err err;
	int got;

	llm_watch(c->model_handle, has_room(l) ? c->reader.fd : -1);
	got = llm_next(c->model_handle, &answer, &err);
	if (got < 0)
		cli_die(c, EXIT_NOTHING, "%s", err.msg);
	if (got > 0)
		take_answer(l, answer);
	else if (cli_stopping())
		return;
	else if (llm_spent(c->model_handle))
		c->spent = true;
	else if (!servers || !has_room(l))
		cli_die(c, EXIT_NOTHING, "the model lost a request; this is a bug");
	write_ended(l);
}

void cli_records(struct cli *c, job_step *step, void *tool)
{
	struct loop l = { .c = c, .step = step, .tool = tool };

	do {
		while (wants_more(&l) && !c->spent) {
			read_one(&l);
			cli_show_progress(c);
		}
		if (l.njobs > 0 && !cli_stopping() && !c->spent) {
			wait_for_one(&l);
			cli_show_progress(c);
		}
	} while (!cli_stopping() && !c->spent && (l.njobs > 0 || !l.eof));
	if (c->spent)
		write_what_ended(&l);
	while (l.head)
		drop_head(&l);
}

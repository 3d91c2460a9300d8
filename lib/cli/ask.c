#include "cli/ask.h"

#include <string.h>

#include "method/template.h"

const char *ask_template(struct cli *c, const char *path, const char *builtin, const char *const *names)
{
	struct err err;
	char *text;

	if (!path)
		return builtin;
	text = cli_text_file(c, path, &err);
	if (!text)
		cli_die(c, EXIT_NOTHING, "%s: %s", path, err.msg);
	if (template_check(text, names, &err) < 0)
		cli_die(c, EXIT_NOTHING, "%s: %s", path, err.msg);
	return text;
}

const char *ask_render(struct job *job, const char *template, const struct template_value *values, int n)
{
	struct buf text = { 0 };
	const char *kept;

	template_render(template, values, n, &text);
	kept = arena_strndup(&job->arena, text.len ? text.data : "", text.len);
	buf_free(&text);
	return kept;
}

static char *keep(struct job *job, const char *s)
{
	return arena_strndup(&job->arena, s, strlen(s));
}

static struct message *user_message(struct job *job, const char *text)
{
	struct message *m = arena_alloc(&job->arena, sizeof(*m));

	m->role = "user";
	m->content = keep(job, text);
	return m;
}

int ask_user(struct job *job, const char *text, int n, const char *stage, uint64_t first, struct err *err)
{
	struct llm_request r = { 0 };

	r.messages = user_message(job, text);
	r.nmessages = 1;
	r.n = n;
	r.stage = keep(job, stage);
	r.first = first;
	return job_ask(job, &r, err);
}

const struct llm_completion *ask_answer(const struct job *job, int answer, int j, struct err *err)
{
	const struct llm_answer *a = answer < job->nanswers ? job->answers[answer] : NULL;

	if (a && a->err) {
		err_set(err, "%s", a->err->msg);
		return NULL;
	}
	if (!a || j >= a->n) {
		err_set(err, "the model gave no answer");
		return NULL;
	}
	return &a->completions[j];
}

static int take_opinions(const struct job *job, struct opinion *o, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		const struct llm_completion *c = ask_answer(job, o[i].request, o[i].j, err);

		if (!c)
			return -1;
		o[i].text = c->text;
		o[i].finish = c->finish;
		o[i].ending = -1;
	}
	return 0;
}

static void ask_ending(struct job *job, struct opinion *o, const struct guided *g)
{
	struct llm_request r = { .nmessages = 1, .n = 1, .choices = g->choices, .nchoices = g->nchoices };
	struct buf prefix = { 0 };

	guided_prefix(g, o->text, &prefix);
	o->prefix = arena_strndup(&job->arena, prefix.data, prefix.len);
	buf_free(&prefix);
	r.messages = user_message(job, o->asked);
	r.prefix = o->prefix;
	r.stage = arena_printf(&job->arena, "%s/guided", o->stage);
	r.first = (uint64_t)o->j;
	o->ending = job->nanswers;
	if (job_ask(job, &r, NULL) != 0)
		o->ending = -1;
}

static int take_endings(struct job *job, struct opinion *o, size_t n, const struct guided *g, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		const struct llm_completion *c;

		if (o[i].ending < 0)
			continue;
		if (!(c = ask_answer(job, o[i].ending, 0, err)))
			return -1;
		if (c->choice < 0)      /* a server that would not choose */
			continue;
		o[i].text = arena_printf(&job->arena, "%s%s", o[i].prefix, g->choices[c->choice]);
		o[i].guided = true;
	}
	return 1;
}

int ask_opinions(struct job *job, struct opinion *o, size_t n, const struct guided *g, bool force, struct err *err)
{
	int asked = job->nanswers;

	if (job->step > 1)
		return take_endings(job, o, n, g, err);
	if (take_opinions(job, o, n, err) != 0)
		return -1;
	for (size_t i = 0; force && i < n; i++)
		if (!g->parses(o[i].text))
			ask_ending(job, &o[i], g);
	return job->nanswers == asked;
}

const char *finish_name(enum llm_finish finish)
{
	return finish == LLM_STOP ? "stop" : "length";
}

void clear_fields(struct record *r, const char *const *fields)
{
	for (; *fields; fields++)
		if (record_has(r, *fields))
			record_set(r, *fields, "null");
}

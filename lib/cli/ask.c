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

int ask_ending(struct job *job, const char *text, const char *prefix, const char *const *choices,
    int nchoices, const char *stage, uint64_t first, struct err *err)
{
	struct llm_request r = { 0 };

	r.messages = user_message(job, text);
	r.nmessages = 1;
	r.prefix = keep(job, prefix);
	r.choices = choices;
	r.nchoices = nchoices;
	r.n = 1;
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

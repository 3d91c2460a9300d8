/*
 * Requests as the tools that judge make them: a template filled in, sent as
 * one user message, and where need be a forced ending.
 */
#ifndef MR_CLI_ASK_H
#define MR_CLI_ASK_H

#include "cli/cli.h"
#include "method/guided.h"
#include "method/template.h"

/* The built-in template, or the file's where path is not NULL. Exits 3 with
 * one line where the file cannot be read or its placeholders are not names
 * (NULL-ended). Lives as long as the program. */
const char *ask_template(struct cli *c, const char *path, const char *builtin, const char *const *names);

/* A template with its values, in the job's arena. */
const char *ask_render(struct job *job, const char *template, const struct template_value *values, int n);

/* n continuations of text, as one user message. Strings are copied into the
 * job's arena. */
int ask_user(struct job *job, const char *text, int n, const char *stage, uint64_t first, struct err *err);

/* Completion j of the job's answer; NULL and the reason where it failed. */
const struct llm_completion *ask_answer(const struct job *job, int answer, int j, struct err *err);

/* What a judge is asked for, a score or a verdict: completion j of a request
 * made with ask_user. */
struct opinion {
	const char *asked, *stage;      /* as given to ask_user; they live as long as the job */
	int request, j;
	/* the answer */
	const char *text;
	enum llm_finish finish;
	bool guided;                    /* its ending was forced */
	int ending;                     /* private: the ending's request, or -1 */
	const char *prefix;
};

/* The later steps of a job whose first one asked for n opinions. 1: their
 * texts are final; 0: endings were asked for those that do not parse (where
 * force is set), their random stream is the stage with "/guided" behind it;
 * -1: an answer failed. Where the context has no room for an ending, or a
 * server would not choose one, the opinion stays as it is. */
int ask_opinions(struct job *job, struct opinion *o, size_t n, const struct guided *g, bool force, struct err *err);

const char *finish_name(enum llm_finish finish);        /* "stop", "length" */

/* Sets those of the NULL-ended fields that the record has to null: what was
 * made from fields that a tool now replaces. */
void clear_fields(struct record *r, const char *const *fields);

#endif

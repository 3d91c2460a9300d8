/*
 * Requests as the tools that judge make them: a template filled in, sent as
 * one user message, and where need be a forced ending.
 */
#ifndef MR_CLI_ASK_H
#define MR_CLI_ASK_H

#include "cli/cli.h"

/* The built-in template, or the file's where path is not NULL. Exits 3 with
 * one line where the file cannot be read or its placeholders are not names
 * (NULL-ended). Lives as long as the program. */
const char *ask_template(struct cli *c, const char *path, const char *builtin, const char *const *names);

/* n continuations of text, as one user message. Strings are copied into the
 * job's arena. */
int ask_user(struct job *job, const char *text, int n, const char *stage, uint64_t first, struct err *err);
/* One of choices behind the prefix that the assistant has written. */
int ask_ending(struct job *job, const char *text, const char *prefix, const char *const *choices,
    int nchoices, const char *stage, uint64_t first, struct err *err);

/* Completion j of the job's answer; NULL and the reason where it failed. */
const struct llm_completion *ask_answer(const struct job *job, int answer, int j, struct err *err);

const char *finish_name(enum llm_finish finish);        /* "stop", "length" */

/* Sets those of the NULL-ended fields that the record has to null: what was
 * made from fields that a tool now replaces. */
void clear_fields(struct record *r, const char *const *fields);

#endif

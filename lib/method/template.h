/*
 * Prompt templates: text with {{placeholders}}. Values are put in once and
 * never scanned again, so a response cannot name a placeholder. Each built-in
 * template is ours; any is overridable by a file (--template).
 */
#ifndef MR_METHOD_TEMPLATE_H
#define MR_METHOD_TEMPLATE_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/message.h"

/* Built-in texts. What is common comes first, so that prefixes are shared:
 * judge: rubric, {{prompt}}, {{response}}; metajudge: rubric, {{prompt}},
 * {{response}}, {{judgment_a}}, {{judgment_b}}; prompts: {{examples}};
 * compare, compare_token (one letter is the answer), compare_five (five
 * verdicts): {{prompt}}, {{response_a}}, {{response_b}}; grade (1 to 10):
 * as judge. */
extern const char template_judge[];
extern const char template_metajudge[];
extern const char template_prompts[];
extern const char template_compare[];
extern const char template_compare_token[];
extern const char template_compare_five[];
extern const char template_grade[];

struct template_value {
	const char *name;       /* without the braces */
	const char *text;
};

/* 0 where text uses each of the NULL-ended names at least once and no other
 * placeholder; else -1 and a message naming the placeholder. */
int template_check(const char *text, const char *const *names, struct err *err);
void template_render(const char *text, const struct template_value *values, int n, struct buf *out);

/* A conversation as one text, for {{prompt}}: a single user message is its
 * content; otherwise each turn is "User: …" / "Assistant: …" / "System: …",
 * a blank line between. */
void template_conversation(const struct message *m, int n, struct buf *out);

/* First 16 hex digits of the template's SHA-256: ties judgments to the
 * template that asked for them. */
void template_tag(const char *text, char tag[17]);

#endif

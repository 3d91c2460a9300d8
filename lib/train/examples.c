#include "train/examples.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static bool is_role(const char *role)
{
	return strcmp(role, "system") == 0 || strcmp(role, "user") == 0 || strcmp(role, "assistant") == 0;
}

/* A text as one message of this role, or an array of messages. The count. */
static int read_messages(const struct record *r, const char *key, const char *role, struct arena *a,
    struct message **out, struct err *err)
{
	const cJSON *field = cJSON_GetObjectItemCaseSensitive(r->json, key), *item;
	struct message *m;
	char where[64];
	int n = 0;

	if (cJSON_IsString(field)) {
		*out = m = arena_alloc(a, sizeof *m);
		*m = (struct message){ role, record_string(r, key, err) };
		return m->content ? 1 : -1;
	}
	if (!field || cJSON_IsNull(field))
		return err_set(err, "\"%s\" is missing", key);
	if (!cJSON_IsArray(field) || cJSON_GetArraySize(field) == 0)
		return err_set(err, "\"%s\" is neither a text nor messages", key);
	*out = m = arena_alloc(a, (size_t)cJSON_GetArraySize(field) * sizeof *m);
	cJSON_ArrayForEach(item, field) {
		snprintf(where, sizeof where, "%s[%d]", key, n);
		if (!cJSON_IsObject(item))
			return err_set(err, "\"%s\" is not a message", where);
		m[n].role = record_text(r, item, where, "role", err);
		m[n].content = m[n].role ? record_text(r, item, where, "content", err) : NULL;
		if (!m[n].content)
			return -1;
		if (!is_role(m[n].role))
			return err_set(err, "%s: the role \"%.40s\" is none of system, user, assistant", where,
			    m[n].role);
		n++;
	}
	return n;
}

/* A completion's text, which is nothing but the assistant's turn. It may be
 * empty: a model that has nothing to say ends its turn at once, and that can
 * be preferred or not. */
static const char *read_completion(const struct record *r, const char *key, struct arena *a, struct err *err)
{
	struct message *m;
	int n = read_messages(r, key, "assistant", a, &m, err);

	if (n < 0)
		return NULL;
	if (n != 1 || strcmp(m[0].role, "assistant") != 0) {
		err_set(err, "\"%s\" is not one message of the assistant", key);
		return NULL;
	}
	return m[0].content;
}

const char *example_role_name(enum example_role role)
{
	static const char *const names[EXAMPLE_ROLES] = { "", "actor", "judge" };

	return names[role];
}

static enum example_role role_of(const struct record *r)
{
	const cJSON *role = cJSON_GetObjectItemCaseSensitive(r->json, "role");

	for (int i = ROLE_NONE + 1; cJSON_IsString(role) && i < EXAMPLE_ROLES; i++)
		if (strcmp(role->valuestring, example_role_name((enum example_role)i)) == 0)
			return (enum example_role)i;
	return ROLE_NONE;
}

static int add(struct examples *e, const struct record *r, const struct model *model,
    const struct message *prompt, int nprompt, const char *const completion[2], struct err *err)
{
	struct ids ids = { 0 };
	struct example x = { 0 };
	size_t before;

	if (chat_render(model->chat, prompt, nprompt, true, &ids, err) != 0) {
		ids_free(&ids);
		return -1;
	}
	before = ids.n;
	for (int i = 0; i < 2 && completion[i]; i++) {
		chat_completion(model->chat, completion[i], &ids);
		x.completion[i] = ids.n <= INT_MAX ? (int)(ids.n - before - (size_t)(i ? x.completion[0] : 0)) : 0;
	}
	if (ids.n > INT_MAX) {
		ids_free(&ids);
		return err_set(err, "has too many tokens");
	}
	x.prompt = (int)before;
	x.id = mem_strdup(r->id);
	x.role = role_of(r);
	x.ids = ids.v;
	if ((e->n & (e->n - 1)) == 0)
		e->v = mem_grow(e->v, e->n ? 2 * (size_t)e->n : 1, sizeof *e->v);
	e->v[e->n++] = x;
	return 0;
}

static int prompt_of(const struct record *r, struct arena *a, struct message **m, struct err *err)
{
	int n = read_messages(r, "prompt", "user", a, m, err);

	if (n > 0 && strcmp((*m)[n - 1].role, "assistant") == 0)
		return err_set(err, "the last message of \"prompt\" is the assistant's");
	return n;
}

int examples_add_pair(struct examples *e, const struct record *r, const struct model *m, struct err *err)
{
	struct arena a = { 0 };
	struct message *prompt;
	const char *text[2];
	int n = prompt_of(r, &a, &prompt, err), rc = -1;

	if (n > 0 && (text[0] = read_completion(r, "chosen", &a, err)) &&
	    (text[1] = read_completion(r, "rejected", &a, err)))
		rc = add(e, r, m, prompt, n, text, err);
	arena_free(&a);
	return rc;
}

static int add_conversation(struct examples *e, const struct record *r, const struct model *m,
    struct arena *a, struct err *err)
{
	const char *text[2] = { NULL };
	struct message *messages;
	int n = read_messages(r, "messages", "user", a, &messages, err);

	if (n < 0)
		return -1;
	if (n < 2 || strcmp(messages[n - 1].role, "assistant") != 0)
		return err_set(err, "\"messages\" does not end with an answer of the assistant");
	if (messages[n - 1].content[0] == '\0')
		return err_set(err, "the last message is empty");
	text[0] = messages[n - 1].content;
	return add(e, r, m, messages, n - 1, text, err);
}

int examples_add_demo(struct examples *e, const struct record *r, const struct model *m, struct err *err)
{
	struct arena a = { 0 };
	const char *text[2] = { NULL };
	struct message *prompt;
	int n, rc = -1;

	if (record_has(r, "messages"))
		rc = add_conversation(e, r, m, &a, err);
	else if ((n = prompt_of(r, &a, &prompt, err)) > 0 &&
	    (text[0] = read_completion(r, "completion", &a, err)))
		rc = *text[0] ? add(e, r, m, prompt, n, text, err) : err_set(err, "\"completion\" is empty");
	arena_free(&a);
	return rc;
}

void examples_drop_last(struct examples *e)
{
	e->n--;
	free(e->v[e->n].id);
	free(e->v[e->n].ids);
}

void examples_free(struct examples *e)
{
	while (e->n)
		examples_drop_last(e);
	free(e->v);
	e->v = NULL;
}

int example_targets(const struct example *e)
{
	return e->completion[0] + e->completion[1];
}

int example_tokens(const struct example *e)
{
	return e->prompt + example_targets(e);
}

int example_length(const struct example *e)
{
	return e->prompt + (e->completion[0] > e->completion[1] ? e->completion[0] : e->completion[1]);
}

int example_segments(const struct example *e, struct segment *s, int first)
{
	const int32_t *ids = e->ids + e->prompt;
	int n = 0;

	s[n++] = (struct segment){ .ids = e->ids, .n = e->prompt, .parent = -1 };
	for (int i = 0; i < 2 && e->completion[i] > 0; ids += e->completion[i++])
		s[n++] = (struct segment){ .ids = ids, .n = e->completion[i], .parent = first, .target = true };
	return n;
}

uint32_t examples_pack(const struct examples *e, const uint32_t *which, uint32_t n, int limit)
{
	int64_t tokens = 0;
	uint32_t i;

	for (i = 0; i < n; i++) {
		tokens += example_tokens(&e->v[which[i]]);
		if (i > 0 && tokens > limit)
			break;
	}
	return i;
}

uint32_t examples_micro(const struct examples *e, const uint32_t *which, uint32_t n, int limit, int micro)
{
	return examples_pack(e, which, micro > 0 && (uint32_t)micro < n ? (uint32_t)micro : n, limit);
}

bool examples_mixed(const struct examples *e)
{
	bool there[EXAMPLE_ROLES] = { false };

	for (uint32_t i = 0; i < e->n; i++)
		there[e->v[i].role] = true;
	return there[ROLE_ACTOR] && there[ROLE_JUDGE];
}

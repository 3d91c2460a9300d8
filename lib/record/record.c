#include "record/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "record/edit.h"

static struct json_span whole(const struct record *r)
{
	return (struct json_span){ 0, r->len };
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A key that an object, or one inside it, has twice; NULL where there is none. */
static const char *key_twice(const cJSON *node)
{
	const char *found = NULL;
	size_t n = 0;
	for (const cJSON *c = node->child; c && !found; c = c->next, n++)
		if (c->child)
			found = key_twice(c);
	if (found || n < 2 || !cJSON_IsObject(node))
		return found;
	const char **keys = mem_zalloc(n, sizeof(*keys));
	n = 0;
	for (const cJSON *c = node->child; c; c = c->next)
		keys[n++] = c->string;
	qsort(keys, n, sizeof(*keys), by_text);
	for (size_t i = 1; i < n && !found; i++)
		if (strcmp(keys[i - 1], keys[i]) == 0)
			found = keys[i];
	free(keys);
	return found;
}

/* cJSON would cut such a key and mistake it for a shorter one. */
static bool nul_in_key(const char *text, struct json_span value)
{
	struct json_each e = json_each(text, value);
	struct json_span k, v;
	while (json_each_next(&e, &k, &v))
		if (json_has_nul(text, k) || nul_in_key(text, v))
			return true;
	return false;
}

/* The place in the line of a node of the tree: both are walked side by side. */
static bool locate(const char *text, struct json_span span, const cJSON *node, const cJSON *target,
    struct json_span *found)
{
	struct json_each e = json_each(text, span);
	struct json_span k, v;
	*found = span;
	if (node == target)
		return true;
	for (const cJSON *c = node->child; c && json_each_next(&e, &k, &v); c = c->next)
		if (locate(text, v, c, target, found))
			return true;
	return false;
}

/* Whether the text of a string node was cut by cJSON at a U+0000. */
static bool is_cut(const struct record *r, const cJSON *string)
{
	struct json_span span;
	return r->escaped_nul &&
	    (!locate(r->line, whole(r), r->json, string, &span) || json_has_nul(r->line, span));
}

static void hash_prompt(struct record *r)
{
	struct sha256 s;
	struct arena a = { 0 };
	struct message *m;
	char hex[65];
	sha256_init(&s);
	int n = record_messages(r, &a, &m, NULL);
	for (int i = 0; i < n; i++) {
		sha256_add(&s, m[i].role, strlen(m[i].role) + 1);
		sha256_add(&s, m[i].content, strlen(m[i].content) + 1);
	}
	if (n < 0)
		sha256_add(&s, r->line, r->len);
	arena_free(&a);
	sha256_end_hex(&s, hex);
	struct buf b = { 0 };
	buf_printf(&b, "sha256:%.32s", hex);
	r->id = buf_take(&b);
}

static int set_id(struct record *r, struct err *err)
{
	struct json_span span;
	const cJSON *id = cJSON_GetObjectItemCaseSensitive(r->json, "id");
	if (!id) {
		hash_prompt(r);
		return 0;
	}
	if (cJSON_IsNumber(id) && json_member(r->line, whole(r), "id", &span)) {
		r->id = mem_strndup(r->line + span.start, span.end - span.start);
		return 0;
	}
	if (!cJSON_IsString(id))
		return err_set(err, "\"id\" is neither a string nor a number");
	if (is_cut(r, id))
		return err_set(err, "\"id\" holds a U+0000");
	if (!*id->valuestring)
		return err_set(err, "\"id\" is empty");
	r->id = mem_strdup(id->valuestring);
	return 0;
}

static int parse(struct record *r, struct err *err)
{
	if (json_check(r->line, r->len, err) < 0)
		return -1;
	if (r->line[strspn(r->line, " \t\r\n")] != '{')
		return err_set(err, "not a JSON object");
	r->escaped_nul = json_has_nul(r->line, whole(r));
	if (r->escaped_nul && nul_in_key(r->line, whole(r)))
		return err_set(err, "a key holds a U+0000");
	r->json = cJSON_ParseWithLength(r->line, r->len);
	if (!r->json)
		return err_set(err, "not enough memory, or a number of too many digits");
	const char *key = key_twice(r->json);
	if (key)
		return err_set(err, "the key \"%.100s\" is there twice", key);
	return set_id(r, err);
}

int record_parse(struct record *r, const char *line, size_t len, struct err *err)
{
	*r = (struct record){ .line = mem_strndup(line, len), .len = len };
	if (parse(r, err) == 0)
		return 0;
	record_free(r);
	return -1;
}

void record_free(struct record *r)
{
	edits_free(r->edits, r->nedits);
	cJSON_Delete(r->json);
	free(r->line);
	free(r->id);
	*r = (struct record){ 0 };
}

/* where: "responses[2]", or NULL for the record itself. */
static const char *text_of(const struct record *r, const cJSON *object, const char *where, const char *key,
    struct err *err)
{
	const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, key);
	const char *colon = where ? ": " : "", *wrong = NULL;
	if (!where)
		where = "";
	if (!value)
		wrong = "is missing";
	else if (!cJSON_IsString(value))
		wrong = "is not a string";
	else if (is_cut(r, value))
		wrong = "holds a U+0000";
	if (!wrong)
		return value->valuestring;
	err_set(err, "%s%s\"%s\" %s", where, colon, key, wrong);
	return NULL;
}

const char *record_string(const struct record *r, const char *key, struct err *err)
{
	return text_of(r, r->json, NULL, key, err);
}

const char *record_text(const struct record *r, const cJSON *object, const char *where, const char *key,
    struct err *err)
{
	return text_of(r, object, where, key, err);
}

bool record_has(const struct record *r, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(r->json, key) != NULL;
}

const cJSON *record_array(const struct record *r, const char *key, const char *hint, struct err *err)
{
	const cJSON *array = cJSON_GetObjectItemCaseSensitive(r->json, key), *item;
	size_t i = 0;
	if (!array) {
		err_set(err, "\"%s\" is missing%s%s", key, hint ? "; " : "", hint ? hint : "");
		return NULL;
	}
	if (!cJSON_IsArray(array)) {
		err_set(err, "\"%s\" is not an array", key);
		return NULL;
	}
	cJSON_ArrayForEach(item, array) {
		if (!cJSON_IsObject(item)) {
			err_set(err, "%s[%zu] is not an object", key, i);
			return NULL;
		}
		i++;
	}
	return array;
}

static int message(const struct record *r, const cJSON *item, const char *where, struct message *m,
    struct err *err)
{
	if (!cJSON_IsObject(item))
		return err_set(err, "%s is not an object", where);
	if (!(m->role = text_of(r, item, where, "role", err)) ||
	    !(m->content = text_of(r, item, where, "content", err)))
		return -1;
	static const char *const roles[] = { "system", "user", "assistant" };
	for (int i = 0; i < 3; i++)
		if (strcmp(m->role, roles[i]) == 0)
			return 0;
	return err_set(err, "%s: the role \"%.40s\" is not system, user or assistant", where, m->role);
}

static int messages(const struct record *r, const cJSON *array, const char *key, struct arena *a,
    struct message **m, struct err *err)
{
	char where[80];
	const cJSON *item;
	int n = 0, count = cJSON_GetArraySize(array);
	if (count == 0)
		return err_set(err, "\"%s\" has no message", key);
	*m = arena_alloc(a, (size_t)count * sizeof(**m));
	cJSON_ArrayForEach(item, array) {
		snprintf(where, sizeof(where), "%s[%d]", key, n);
		if (message(r, item, where, &(*m)[n], err) < 0)
			return -1;
		n++;
	}
	if (strcmp((*m)[n - 1].role, "assistant") == 0)
		return err_set(err, "the last message is the assistant's; there is nothing to answer");
	if (!*(*m)[n - 1].content)
		return err_set(err, "the last message is empty");
	return n;
}

int record_messages(const struct record *r, struct arena *a, struct message **m, struct err *err)
{
	const char *key = "messages";
	const cJSON *value = cJSON_GetObjectItemCaseSensitive(r->json, key);
	if (value && !cJSON_IsArray(value))
		return err_set(err, "\"messages\" is not an array");
	if (!value)
		value = cJSON_GetObjectItemCaseSensitive(r->json, key = "prompt");
	if (!value)
		return err_set(err, "\"prompt\" (or \"messages\") is missing");
	if (cJSON_IsArray(value))
		return messages(r, value, key, a, m, err);
	if (!cJSON_IsString(value))
		return err_set(err, "\"prompt\" is neither a string nor an array of messages");
	const char *text = record_string(r, key, err);
	if (!text)
		return -1;
	if (!*text)
		return err_set(err, "\"prompt\" is empty");
	*m = arena_alloc(a, sizeof(**m));
	**m = (struct message){ "user", text };
	return 1;
}

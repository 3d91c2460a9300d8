/*
 * Any bytes as a record's line: parse, ask the getters, set fields, write,
 * parse again. A line that is a record must come out with the same bytes
 * where nothing is set, and be a record with the new values where it is.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "record/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(int holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "fuzz_record: %s\n", what);
		abort();
	}
}

static void get_everything(const struct record *r)
{
	struct arena a = { 0 };
	struct message *m;
	struct err e = { "" };
	int n = record_messages(r, &a, &m, &e);
	demand(n > 0 || e.msg[0], "no messages and no message");
	for (int i = 0; i < n; i++)
		demand(strlen(m[i].role) > 0 && m[i].content, "a message without a role");
	for (const cJSON *c = r->json->child; c; c = c->next) {
		const cJSON *array = record_array(r, c->string, NULL, &e), *item;
		record_string(r, c->string, &e);
		demand(record_has(r, c->string), "a key that is not there");
		cJSON_ArrayForEach(item, array)
			record_text(r, item, "x", "text", &e);
	}
	arena_free(&a);
}

/* The first array of the record that holds an object; its index in *at. */
static const cJSON *find_array(const struct record *r, size_t *at)
{
	for (const cJSON *c = r->json->child; c; c = c->next) {
		*at = 0;
		for (const cJSON *item = cJSON_IsArray(c) ? c->child : NULL; item; item = item->next, ++*at)
			if (cJSON_IsObject(item))
				return c;
	}
	return NULL;
}

static void edit_and_write(const uint8_t *data, size_t size)
{
	struct record r, again;
	struct buf out = { 0 };
	struct err e = { "" };
	size_t at = 0;
	demand(record_parse(&r, (const char *)data, size, &e) == 0, "a record that parsed before");
	const cJSON *array = find_array(&r, &at);
	record_set(&r, "score", "4");
	record_set(&r, "new field", "[{},{\"x\":1}]");
	record_set_in(&r, "new field", 1, "x", "\"y\"");
	if (array) {
		record_set_in(&r, array->string, at, "score", "5");
		record_set_in(&r, array->string, at, "\"", "null");
	}
	if (r.json->child)
		record_set(&r, r.json->child->string, "\"first\"");
	record_set(&r, "score", "3.5");
	record_set(&r, "id", "\"z\"");
	record_write(&r, &out);
	demand(out.len > 0 && out.data[out.len - 1] == '\n', "no newline at the end");
	demand(record_parse(&again, out.data, out.len - 1, &e) == 0, e.msg);
	demand(strcmp(again.id, "z") == 0, "the id that was set");
	const cJSON *score = cJSON_GetObjectItemCaseSensitive(again.json, "score");
	demand(score && score->valuedouble == 3.5, "the score that was set");
	record_free(&again);
	record_free(&r);
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct record r;
	struct err e = { "" };
	if (record_parse(&r, (const char *)data, size, &e) < 0) {
		demand(e.msg[0] != '\0', "an error without a message");
		return 0;
	}
	struct buf out = { 0 };
	record_write(&r, &out);
	demand(out.len == size + 1 && memcmp(out.data, data, size) == 0,
	    "an unchanged record with other bytes");
	buf_free(&out);
	get_everything(&r);
	record_free(&r);
	edit_and_write(data, size);
	return 0;
}

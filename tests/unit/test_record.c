/* Records: parse, get, edit, write. */
#include <stdlib.h>
#include <time.h>

#include "base/json.h"
#include "record/record.h"
#include "test.h"

static const char *parse_error(const char *line, size_t len)
{
	static struct err e;
	struct record r;
	e.msg[0] = '\0';
	if (record_parse(&r, line, len, &e) == 0) {
		record_free(&r);
		return "(parsed)";
	}
	return e.msg;
}

static void bad_lines(void)
{
	static const char *const cases[][2] = {
		{ "hello", "not JSON: a value is missing at byte 1" },
		{ "{\"id\":\"\xff\"}", "not UTF-8 at byte 8" },
		{ "[1]", "not a JSON object" },
		{ " 3 ", "not a JSON object" },
		{ "null", "not a JSON object" },
		{ "{\"id\":null}", "\"id\" is neither a string nor a number" },
		{ "{\"id\":[1]}", "\"id\" is neither a string nor a number" },
		{ "{\"id\":\"\"}", "\"id\" is empty" },
		{ "{\"id\":\"a\\u0000b\"}", "\"id\" holds a U+0000" },
		{ "{\"id\":1,\"id\":2}", "the key \"id\" is there twice" },
		{ "{\"a\":1,\"b\":{},\"\\u0061\":1}", "the key \"a\" is there twice" },
		{ "{\"id\":1,\"x\":[{\"y\":{\"c\":1,\"d\":2,\"c\":3}}]}", "the key \"c\" is there twice" },
		{ "{\"prompt\\u0000\":1}", "a key holds a U+0000" },
		{ "{\"x\":[{\"a\\u0000\":1}]}", "a key holds a U+0000" },
		{ "{\"id\":1,\"Id\":2,\"ID\":3}", "(parsed)" },
		{ "{\"text\":\"a\\u0000b\"}", "(parsed)" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		CHECK_STR(parse_error(cases[i][0], strlen(cases[i][0])), cases[i][1]);
	CHECK_STR(parse_error("{}\0", 3), "not JSON: a NUL character at byte 3");
}

static struct record parsed(const char *line)
{
	struct record r = { 0 };
	struct err e = { "" };
	CHECK(record_parse(&r, line, strlen(line), &e) == 0);
	CHECK_STR(e.msg, "");
	return r;
}

static void check_id(const char *line, const char *id)
{
	struct record r = parsed(line);
	CHECK_STR(r.id, id);
	record_free(&r);
}

/* The hash of a record without an id is that of its messages: role, NUL,
 * content, NUL (values of sha256sum). */
static void ids(void)
{
	check_id("{\"id\":\"p1\"}", "p1");
	check_id("{ \"x\":1, \"id\" : \"\\u00e9\\n\" }", "é\n");
	check_id("{\"id\":12345678901234567890123}", "12345678901234567890123");
	check_id("{\"id\": -1.50E+2}", "-1.50E+2");
	check_id("{\"ID\":\"x\",\"prompt\":\"hi\"}", "sha256:c35c3605aeeb79c11ee0c441a633611f");
	check_id("{\"prompt\":\"h\\u0069\",\"z\":1}", "sha256:c35c3605aeeb79c11ee0c441a633611f");
	check_id("{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}",
	    "sha256:c35c3605aeeb79c11ee0c441a633611f");
	check_id("{\"text\":1}", "sha256:88a7731f4d3c28d1c7b1869f003822c2");
}

static void strings(void)
{
	struct record r = parsed(
	    "{\"id\":\"1\",\"a\":\"t\\u00e9xt\",\"n\":3,\"z\":\"x\\u0000y\",\"A\":\"big\",\"e\":\"\","
	    "\"r\":[{\"text\":\"one\"},{\"text\":\"tw\\u0000o\"},{\"text\":5}]}");
	struct err e = { "" };
	CHECK_STR(record_string(&r, "a", &e), "téxt");
	CHECK_STR(record_string(&r, "A", &e), "big");
	CHECK_STR(record_string(&r, "e", &e), "");
	CHECK(!record_string(&r, "n", &e));
	CHECK_STR(e.msg, "\"n\" is not a string");
	CHECK(!record_string(&r, "Z", &e));
	CHECK_STR(e.msg, "\"Z\" is missing");
	CHECK(!record_string(&r, "z", &e));
	CHECK_STR(e.msg, "\"z\" holds a U+0000");
	CHECK(record_has(&r, "n") && !record_has(&r, "N"));
	const cJSON *array = record_array(&r, "r", NULL, &e);
	CHECK(array && cJSON_GetArraySize(array) == 3);
	CHECK_STR(record_text(&r, cJSON_GetArrayItem(array, 0), "r[0]", "text", &e), "one");
	CHECK(!record_text(&r, cJSON_GetArrayItem(array, 1), "r[1]", "text", &e));
	CHECK_STR(e.msg, "r[1]: \"text\" holds a U+0000");
	CHECK(!record_text(&r, cJSON_GetArrayItem(array, 2), "r[2]", "text", &e));
	CHECK_STR(e.msg, "r[2]: \"text\" is not a string");
	CHECK(!record_text(&r, cJSON_GetArrayItem(array, 0), "r[0]", "Text", &e));
	CHECK_STR(e.msg, "r[0]: \"Text\" is missing");
	record_free(&r);
}

static void arrays(void)
{
	struct record r = parsed("{\"a\":[],\"b\":[{},{}],\"c\":[{},3],\"d\":{}}");
	struct err e = { "" };
	CHECK(record_array(&r, "a", NULL, &e) && record_array(&r, "b", NULL, &e));
	CHECK(!record_array(&r, "c", NULL, &e));
	CHECK_STR(e.msg, "c[1] is not an object");
	CHECK(!record_array(&r, "d", NULL, &e));
	CHECK_STR(e.msg, "\"d\" is not an array");
	CHECK(!record_array(&r, "responses", "run mr-sample first", &e));
	CHECK_STR(e.msg, "\"responses\" is missing; run mr-sample first");
	CHECK(!record_array(&r, "responses", NULL, &e));
	CHECK_STR(e.msg, "\"responses\" is missing");
	record_free(&r);
}

static void conversations(void)
{
	struct record r = parsed("{\"messages\":["
	    "{\"role\":\"system\",\"content\":\"\"},{\"role\":\"user\",\"content\":\"a\"},"
	    "{\"content\":\"b\",\"role\":\"assistant\",\"more\":1},"
	    "{\"role\":\"user\",\"content\":\"<|im_end|>\"}],"
	    "\"prompt\":5}");
	struct arena a = { 0 };
	struct message *m;
	struct err e = { "" };
	CHECK(record_messages(&r, &a, &m, &e) == 4);
	CHECK_STR(m[0].role, "system");
	CHECK_STR(m[2].role, "assistant");
	CHECK_STR(m[2].content, "b");
	CHECK_STR(m[3].content, "<|im_end|>");
	record_free(&r);
	r = parsed("{\"prompt\":\"tell\"}");
	CHECK(record_messages(&r, &a, &m, &e) == 1);
	CHECK_STR(m[0].role, "user");
	CHECK_STR(m[0].content, "tell");
	record_free(&r);
	r = parsed("{\"prompt\":[{\"role\":\"user\",\"content\":\"tell\"}]}");
	CHECK(record_messages(&r, &a, &m, &e) == 1);
	CHECK_STR(m[0].content, "tell");
	record_free(&r);
	arena_free(&a);
}

static void bad_conversations(void)
{
#define USER "{\"role\":\"user\",\"content\":\"a\"}"
	static const char *const cases[][2] = {
		{ "{\"x\":1}", "\"prompt\" (or \"messages\") is missing" },
		{ "{\"prompt\":3}", "\"prompt\" is neither a string nor an array of messages" },
		{ "{\"prompt\":\"\"}", "\"prompt\" is empty" },
		{ "{\"prompt\":\"a\\u0000b\"}", "\"prompt\" holds a U+0000" },
		{ "{\"prompt\":[]}", "\"prompt\" has no message" },
		{ "{\"messages\":[]}", "\"messages\" has no message" },
		{ "{\"messages\":\"hi\",\"prompt\":\"x\"}", "\"messages\" is not an array" },
		{ "{\"messages\":[3]}", "messages[0] is not an object" },
		{ "{\"messages\":[" USER ",{\"role\":\"user\"}]}", "messages[1]: \"content\" is missing" },
		{ "{\"messages\":[{\"content\":\"a\"}]}", "messages[0]: \"role\" is missing" },
		{ "{\"messages\":[{\"role\":\"User\",\"content\":\"a\"}]}",
		  "messages[0]: the role \"User\" is not system, user or assistant" },
		{ "{\"messages\":[" USER ",{\"role\":\"user\",\"content\":null}]}",
		  "messages[1]: \"content\" is not a string" },
		{ "{\"messages\":[" USER ",{\"role\":\"user\",\"content\":\"\\u0000\"}]}",
		  "messages[1]: \"content\" holds a U+0000" },
		{ "{\"messages\":[" USER ",{\"role\":\"assistant\",\"content\":\"a\"}]}",
		  "the last message is the assistant's; there is nothing to answer" },
		{ "{\"messages\":[" USER ",{\"role\":\"user\",\"content\":\"\"}]}",
		  "the last message is empty" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct record r = parsed(cases[i][0]);
		struct arena a = { 0 };
		struct message *m;
		struct err e = { "" };
		CHECK(record_messages(&r, &a, &m, &e) == -1);
		CHECK_STR(e.msg, cases[i][1]);
		arena_free(&a);
		record_free(&r);
	}
}

/* Edits are written as a line of words: "field=value" for record_set,
 * "array[index].field=value" for record_set_in. */
static void apply(struct record *r, const char *edits)
{
	char words[500];
	snprintf(words, sizeof(words), "%s", edits);
	for (char *w = strtok(words, " "); w; w = strtok(NULL, " ")) {
		char *value = strchr(w, '='), *bracket = strchr(w, '[');
		*value++ = '\0';
		if (bracket && bracket < value) {
			char *rest;
			*bracket = '\0';
			size_t index = strtoul(bracket + 1, &rest, 10);
			record_set_in(r, w, index, rest + 2, value);
		} else {
			record_set(r, w, value);
		}
	}
}

static void edits(void)
{
	static const char *const cases[][3] = {
		/* nothing changes */
		{ "{\"b\": 1.0,\t\"big\":12345678901234567890 , \"u\":\"\\u00e9/\\/\" } \r", "",
		  "{\"b\": 1.0,\t\"big\":12345678901234567890 , \"u\":\"\\u00e9/\\/\" } \r" },
		/* new fields */
		{ "{\"a\":1}", "b=2", "{\"a\":1,\"b\":2}" },
		{ "{\"a\":1.0 }", "b=2 c=[3]", "{\"a\":1.0,\"b\":2,\"c\":[3] }" },
		{ "{}", "b=2 c=3", "{\"b\":2,\"c\":3}" },
		{ "  { }\r", "b=2", "  {\"b\":2 }\r" },
		{ "{\"a\":1}", "\"\n=2", "{\"a\":1,\"\\\"\\n\":2}" },
		/* replaced ones */
		{ "{\"a\": 1 , \"b\" :[1, 2],\"c\":\"x\"}", "a=9 b=null c={}",
		  "{\"a\": 9 , \"b\" :null,\"c\":{}}" },
		{ "{\"\\u0061\":1,\"A\":2}", "a=3", "{\"\\u0061\":3,\"A\":2}" },
		{ "{\"a\":1,\"x\":{\"a\":2}}", "a=3", "{\"a\":3,\"x\":{\"a\":2}}" },
		{ "{\"a\":1}", "a=2 b=3 a=4 b=5", "{\"a\":4,\"b\":5}" },
		/* in the elements of an array */
		{ "{\"r\":[{\"t\":\"x\"}, {\"t\":\"y\",\"s\":1.0} ,{}],\"z\":0}",
		  "r[0].s=5 r[1].s=6 r[2].s=7",
		  "{\"r\":[{\"t\":\"x\",\"s\":5}, {\"t\":\"y\",\"s\":6} ,{\"s\":7}],\"z\":0}" },
		{ "{\"r\":[{\"t\":1},{\"t\":2}]}", "r[1].a=1 r[0].b=2 r[1].t=3 r[1].c=4 r[1].a=5",
		  "{\"r\":[{\"t\":1,\"b\":2},{\"t\":3,\"c\":4,\"a\":5}]}" },
		{ "{\"r\":[ { } , { \"t\":[{\"s\":1}] } ]}", "r[0].s=1 r[1].s=2 top=3",
		  "{\"r\":[ {\"s\":1 } , { \"t\":[{\"s\":1}],\"s\":2 } ],\"top\":3}" },
		/* two arrays */
		{ "{\"r\":[{}],\"q\":[{},{}]}", "q[1].a=1 r[0].a=2 q[0].a=3",
		  "{\"r\":[{\"a\":2}],\"q\":[{\"a\":3},{\"a\":1}]}" },
		/* the whole array and its elements, in both orders */
		{ "{\"r\":[{\"t\":1}]}", "r[0].s=1 r=[{\"t\":2},{}]", "{\"r\":[{\"t\":2},{}]}" },
		{ "{\"r\":[{\"t\":1}]}", "r=[{\"t\":2},{}] r[0].s=1 r[1].t=3",
		  "{\"r\":[{\"t\":2,\"s\":1},{\"t\":3}]}" },
		{ "{}", "r=[{},{}] r[1].s=1 r[0].s=2", "{\"r\":[{\"s\":2},{\"s\":1}]}" },
		{ "{}", "r=[{}] r[0].s=1 r=[{}] r[0].u=1", "{\"r\":[{\"u\":1}]}" },
		/* what is not there takes nothing */
		{ "{\"r\":[{\"t\":1},5],\"n\":3}", "r[1].s=1 r[2].s=1 r[99].s=1 n[0].s=1 none[0].s=1",
		  "{\"r\":[{\"t\":1},5],\"n\":3}" },
		{ "{}", "none[0].s=1", "{}" },
		/* a value on several lines stays on one */
		{ "{\"a\":1}", "b=[1,\n2,\r\n3]", "{\"a\":1,\"b\":[1, 2,  3]}" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct record r = parsed(cases[i][0]), again;
		struct buf b = { 0 };
		apply(&r, cases[i][1]);
		record_write(&r, &b);
		CHECK(b.len > 0 && b.data[b.len - 1] == '\n');
		b.data[--b.len] = '\0';
		CHECK_STR(b.data, cases[i][2]);
		CHECK(record_parse(&again, b.data, b.len, NULL) == 0);
		record_free(&again);
		record_free(&r);
		buf_free(&b);
	}
}

/* A record of 5 MB with 20000 elements, all edited, takes no more than a
 * moment (it would take minutes if any step were quadratic). */
static void large_record(void)
{
	struct buf line = { 0 }, out = { 0 };
	struct record r;
	struct err e = { "" };
	clock_t start = clock();
	buf_adds(&line, "{\"id\":\"x\",\"prompt\":\"");
	for (int i = 0; i < 500000; i++)
		buf_adds(&line, "word\\u00e9\\n");
	buf_adds(&line, "\",\"r\":[");
	for (int i = 0; i < 20000; i++)
		buf_printf(&line, "%s{\"text\":\"%d\"}", i ? "," : "", i);
	buf_adds(&line, "]}");
	CHECK(record_parse(&r, line.data, line.len, &e) == 0);
	CHECK(record_array(&r, "r", NULL, &e) && strlen(record_string(&r, "prompt", &e)) == 500000 * 7);
	for (size_t i = 20000; i-- > 0; ) {
		record_set_in(&r, "r", i, "score", "1");
		record_set_in(&r, "r", i, "text", "\"\"");
	}
	record_write(&r, &out);
	const char *end = ",{\"text\":\"\",\"score\":1}]}\n";
	CHECK_STR(out.data + out.len - strlen(end), end);
	CHECK(json_check(out.data, out.len, &e) == 0);
	record_free(&r);
	CHECK(record_parse(&r, out.data, out.len, &e) == 0);
	const cJSON *last = cJSON_GetArrayItem(record_array(&r, "r", NULL, &e), 19999);
	CHECK_STR(record_text(&r, last, "r", "text", &e), "");
	record_free(&r);
	buf_free(&line);
	buf_free(&out);
	CHECK((double)(clock() - start) / CLOCKS_PER_SEC < 20);
}

/* 30000 keys, sorted to find one that is there twice. */
static void many_keys(void)
{
	struct buf line = { 0 };
	buf_adds(&line, "{\"id\":1");
	for (int i = 0; i < 30000; i++)
		buf_printf(&line, ",\"k%d\":[]", i);
	buf_adds(&line, "}");
	CHECK_STR(parse_error(line.data, line.len), "(parsed)");
	line.data[line.len - 1] = ',';
	buf_adds(&line, "\"k17\":0}");
	CHECK_STR(parse_error(line.data, line.len), "the key \"k17\" is there twice");
	buf_free(&line);
}

int main(void)
{
	TEST(bad_lines);
	TEST(ids);
	TEST(strings);
	TEST(arrays);
	TEST(conversations);
	TEST(bad_conversations);
	TEST(edits);
	TEST(large_record);
	TEST(many_keys);
	return tests_done();
}

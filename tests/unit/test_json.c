/* JSON as bytes: json.h. */
#include <stdint.h>
#include <stdlib.h>

#include "base/json.h"
#include "test.h"

static struct json_span all(const char *text)
{
	return (struct json_span){ 0, strlen(text) };
}

static void valid_texts(void)
{
	static const char *const valid[] = {
		"{}", "[]", "0", "-0", "1", "-1.5e+10", "0.0", "1E5", "0e-0", "true", "false", "null",
		"\"\"", " {} \t\r\n",
		"[1,2 , 3]", "{\"a\":1,\"a\":2}", "{ \"a\" : [ { } , [ ] , \"x\" ] , \"b\" : null }",
		"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u0000\"", "\"\\ud83d\\ude00\"", "\"\\uD83D\\uDE00\"",
		"\"é€😀\x7f\"",
		"1234567890123456789012345678901234567890", "[[[[[[]]]]]]",
	};
	for (size_t i = 0; i < sizeof(valid) / sizeof(*valid); i++) {
		struct err e = { "" };
		CHECK(json_check(valid[i], strlen(valid[i]), &e) == 0);
		CHECK_STR(e.msg, "");
	}
}

static void invalid_texts(void)
{
	static const char *const cases[][2] = {
		{ "", "not JSON: a value is missing at byte 1" },
		{ "  ", "not JSON: a value is missing at byte 3" },
		{ "hello", "not JSON: a value is missing at byte 1" },
		{ "nul", "not JSON: a value is missing at byte 1" },
		{ "NaN", "not JSON: a value is missing at byte 1" },
		{ "nullx", "not JSON: something follows the value at byte 5" },
		{ "{} {}", "not JSON: something follows the value at byte 4" },
		{ "1 2", "not JSON: something follows the value at byte 3" },
		{ "'a'", "not JSON: a value is missing at byte 1" },
		{ "[1,]", "not JSON: a value is missing at byte 4" },
		{ "[,1]", "not JSON: a value is missing at byte 2" },
		{ "[1 2]", "not JSON: \",\" or \"]\" is missing at byte 4" },
		{ "[1", "not JSON: \",\" or \"]\" is missing at byte 3" },
		{ "[", "not JSON: a value is missing at byte 2" },
		{ "]", "not JSON: a value is missing at byte 1" },
		{ "[}", "not JSON: a value is missing at byte 2" },
		{ "[1}", "not JSON: \",\" or \"]\" is missing at byte 3" },
		{ "{\"a\":1]", "not JSON: \",\" or \"}\" is missing at byte 7" },
		{ "{\"a\":1,}", "not JSON: a key in quotes is missing at byte 8" },
		{ "{a:1}", "not JSON: a key in quotes is missing at byte 2" },
		{ "{1:1}", "not JSON: a key in quotes is missing at byte 2" },
		{ "{\"a\"}", "not JSON: \":\" is missing at byte 5" },
		{ "{\"a\":}", "not JSON: a value is missing at byte 6" },
		{ "{\"a\":1", "not JSON: \",\" or \"}\" is missing at byte 7" },
		{ "\"abc", "not JSON: the text ends inside a string at byte 5" },
		{ "\"abc\\", "not JSON: an escape that JSON does not have at byte 6" },
		{ "\"a\\x\"", "not JSON: an escape that JSON does not have at byte 4" },
		{ "\"a\tb\"", "not JSON: a control character in a string at byte 3" },
		{ "\"a\nb\"", "not JSON: a control character in a string at byte 3" },
		{ "\"\\u12g4\"", "not JSON: a hexadecimal digit is missing at byte 6" },
		{ "\"\\u12", "not JSON: a hexadecimal digit is missing at byte 6" },
		{ "\"\\ud83d\"", "not JSON: half of a surrogate pair at byte 2" },
		{ "\"x\\ude00\"", "not JSON: half of a surrogate pair at byte 3" },
		{ "\"\\ud83d\\u0041\"", "not JSON: half of a surrogate pair at byte 2" },
		{ "\"\\ud83d\\ud83d\"", "not JSON: half of a surrogate pair at byte 2" },
		{ "\"\\ud83d\\n\"", "not JSON: half of a surrogate pair at byte 2" },
		{ "01", "not JSON: a number with a leading zero at byte 2" },
		{ "-01", "not JSON: a number with a leading zero at byte 3" },
		{ "-", "not JSON: a digit is missing at byte 2" },
		{ "+1", "not JSON: a value is missing at byte 1" },
		{ ".5", "not JSON: a value is missing at byte 1" },
		{ "1.", "not JSON: a digit is missing at byte 3" },
		{ "1.e5", "not JSON: a digit is missing at byte 3" },
		{ "1e", "not JSON: a digit is missing at byte 3" },
		{ "1e+", "not JSON: a digit is missing at byte 4" },
		{ "0x10", "not JSON: something follows the value at byte 2" },
		{ "/* */1", "not JSON: a value is missing at byte 1" },
		{ "\xef\xbb\xbf{}", "not JSON: a value is missing at byte 1" },
		{ "\"\xff\"", "not UTF-8 at byte 2" },
		{ "\"\xc0\xaf\"", "not UTF-8 at byte 2" },
		{ "\"ok\xed\xa0\x80\"", "not UTF-8 at byte 4" },
		{ "{} \xe2\x82", "not UTF-8 at byte 4" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct err e = { "" };
		CHECK(json_check(cases[i][0], strlen(cases[i][0]), &e) == -1);
		CHECK_STR(e.msg, cases[i][1]);
	}
}

static void nul_bytes(void)
{
	static const struct { const char *text; size_t len; const char *msg; } cases[] = {
		{ "\0", 1, "not JSON: a NUL character at byte 1" },
		{ "{}\0", 3, "not JSON: a NUL character at byte 3" },
		{ "\"a\0b\"", 5, "not JSON: a NUL character at byte 3" },
		{ "\"a\\\0\"", 5, "not JSON: a NUL character at byte 4" },
		{ "[1\0]", 4, "not JSON: a NUL character at byte 3" },
		{ "tru\0", 4, "not JSON: a value is missing at byte 1" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct err e = { "" };
		CHECK(json_check(cases[i].text, cases[i].len, &e) == -1);
		CHECK_STR(e.msg, cases[i].msg);
	}
}

/* The text is read up to len only, in a block that ends there. */
static void every_prefix_fails(void)
{
	const char *text = "{\"a\":[1.5e3,true,null,\"x\\n\\ud83d\\ude00é\",{\"b\":{}}],\"c\":false}";
	size_t len = strlen(text);
	for (size_t n = 0; n <= len; n++) {
		char *part = malloc(n ? n : 1);
		memcpy(part, text, n);
		CHECK(json_check(part, n, NULL) == (n == len ? 0 : -1));
		free(part);
	}
}

static void depth(void)
{
	char text[2100];
	struct err e = { "" };
	memset(text, '[', 512);
	memset(text + 512, ']', 512);
	CHECK(json_check(text, 1024, &e) == 0);
	memset(text, '[', 513);
	memset(text + 513, ']', 513);
	CHECK(json_check(text, 1026, &e) == -1);
	CHECK_STR(e.msg, "not JSON: nested deeper than 512 at byte 513");
	size_t n = 10000000;
	char *deep = malloc(n);
	memset(deep, '[', n);
	CHECK(json_check(deep, n, &e) == -1);
	free(deep);
}

static const char *value_of(const char *text, struct json_span v)
{
	static char out[200];
	snprintf(out, sizeof(out), "%.*s", (int)(v.end - v.start), text + v.start);
	return out;
}

static void members(void)
{
	const char *text = " {\"a\" : 1.0 , \"b\":\"x,\\\"}\", \"\\u0063\\ud83d\\ude00\":[ 1,{\"a\":2}] ,"
	    "\"\":null,\"A\":true,\"n\\\\\":-5,\"a\":9 } ";
	static const char *const cases[][2] = {
		{ "a", "1.0" }, { "b", "\"x,\\\"}\"" }, { "c😀", "[ 1,{\"a\":2}]" }, { "", "null" },
		{ "A", "true" },
		{ "n\\", "-5" },
	};
	static const char *const absent[] = { "c", "B", "aa", "n", "x,", "\\u0063" };
	struct json_span v;
	CHECK(json_check(text, strlen(text), NULL) == 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		CHECK(json_member(text, all(text), cases[i][0], &v) == 1);
		CHECK_STR(value_of(text, v), cases[i][1]);
	}
	for (size_t i = 0; i < sizeof(absent) / sizeof(*absent); i++)
		CHECK(json_member(text, all(text), absent[i], &v) == 0);
	CHECK(json_key_twice(text, all(text), "a") && !json_key_twice(text, all(text), "b"));
	CHECK(json_member("{}", all("{}"), "a", &v) == 0 && json_member("{ }", all("{ }"), "a", &v) == 0);
	CHECK(json_member("[\"a\",1]", all("[\"a\",1]"), "a", &v) == 0 && json_member("7", all("7"), "a",
	    &v) == 0);
}

static void elements(void)
{
	const char *text = "[ 1 ,\"a]\" , [2,3],{\"x\":[4]},null,-1.5e3 ]";
	static const char *const want[] = { "1", "\"a]\"", "[2,3]", "{\"x\":[4]}", "null", "-1.5e3" };
	struct json_span v;
	for (size_t i = 0; i < 6; i++) {
		CHECK(json_element(text, all(text), i, &v) == 1);
		CHECK_STR(value_of(text, v), want[i]);
	}
	CHECK(json_element(text, all(text), 6, &v) == 0);
	CHECK(json_element("[]", all("[]"), 0, &v) == 0);
	CHECK(json_element("{\"a\":1}", all("{\"a\":1}"), 0, &v) == 0);
	CHECK(json_element("null", all("null"), 0, &v) == 0);
}

static void escaped_nul(void)
{
	static const struct { const char *text; int has; } cases[] = {
		{ "\"a\\u0000\"", 1 }, { "{\"a\":[\"\\u0000b\"]}", 1 }, { "\"\\\\u0000\"", 0 },
		{ "\"\\\\\\u0000\"", 1 },
		{ "\"u0000\"", 0 }, { "\"\\u00000\"", 1 }, { "\"\\u0001\"", 0 }, { "\"\\\\\"", 0 },
		{ "[1]", 0 },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		CHECK(json_has_nul(cases[i].text, all(cases[i].text)) == cases[i].has);
	CHECK(json_has_nul("[\"\\u0000\",1]", (struct json_span){ 10, 11 }) == 0);
}

static void equal_strings(void)
{
	const char *text = "\"a\\n\\u00e9\\ud83d\\ude00\\/\\u0000\"";
	CHECK(json_check(text, strlen(text), NULL) == 0);
	CHECK(!json_equals(text, all(text), "a\né😀/"));
	CHECK(json_equals("\"a\\n\\u00e9\\ud83d\\ude00\\/\"", all("\"a\\n\\u00e9\\ud83d\\ude00\\/\""),
	    "a\né😀/"));
	CHECK(!json_equals("\"ab\"", all("\"ab\""), "a") && !json_equals("\"a\"", all("\"a\""), "ab"));
	CHECK(json_equals("\"\"", all("\"\""), ""));
}

/* What is written is read back, for every ASCII character. */
static void strings_come_back(void)
{
	for (int c = 0; c < 128; c++) {
		char s[3] = { 'x', (char)c, 0 };
		struct buf b = { 0 };
		buf_json_string(&b, s, 2);
		CHECK(json_check(b.data, b.len, NULL) == 0);
		CHECK(json_equals(b.data, (struct json_span){ 0, b.len }, s) == (c != 0));
		CHECK(json_has_nul(b.data, (struct json_span){ 0, b.len }) == (c == 0));
		buf_free(&b);
	}
}

static void numbers_come_back(void)
{
	uint64_t bits = 1;
	for (int i = 0; i < 100000; i++) {
		double x;
		struct buf b = { 0 };
		bits = bits * 6364136223846793005u + 1442695040888963407u;
		memcpy(&x, &bits, sizeof(x));
		buf_json_number(&b, x);
		CHECK(json_check(b.data, b.len, NULL) == 0);
		CHECK(!isfinite(x) || strtod(b.data, NULL) == x);
		buf_free(&b);
	}
}

int main(void)
{
	TEST(valid_texts);
	TEST(invalid_texts);
	TEST(nul_bytes);
	TEST(every_prefix_fails);
	TEST(depth);
	TEST(members);
	TEST(elements);
	TEST(escaped_nul);
	TEST(equal_strings);
	TEST(strings_come_back);
	TEST(numbers_come_back);
	return tests_done();
}

#include "base/json.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/utf8.h"

enum { MAX_DEPTH = 512 };

struct check {
	const char *text;
	size_t at, len;
	int depth;
	char closes[MAX_DEPTH];         /* what ends each open container */
	const char *wrong;
};

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static size_t skip_space(const char *text, size_t at, size_t len)
{
	while (at < len && is_space(text[at]))
		at++;
	return at;
}

/* The next byte, NUL at the end (which is nowhere allowed either). */
static char peek(const struct check *c)
{
	return c->at < c->len ? c->text[c->at] : '\0';
}

static char peek_token(struct check *c)
{
	c->at = skip_space(c->text, c->at, c->len);
	return peek(c);
}

static bool wrong(struct check *c, const char *what)
{
	c->wrong = what;
	return false;
}

/* The four digits of \uXXXX; at stands behind the u. */
static bool check_hex4(struct check *c, uint32_t *unit)
{
	*unit = 0;
	for (int i = 0; i < 4; i++, c->at++) {
		char x = peek(c);
		if (!is_digit(x) && !(x >= 'a' && x <= 'f') && !(x >= 'A' && x <= 'F'))
			return wrong(c, "a hexadecimal digit is missing");
		*unit = *unit << 4 | (uint32_t)(is_digit(x) ? x - '0' : (x | 0x20) - 'a' + 10);
	}
	return true;
}

/* at stands behind the backslash. */
static bool check_escape(struct check *c)
{
	uint32_t unit;
	char x = peek(c);
	if (x == '\0' || !strchr("\"\\/bfnrtu", x))
		return wrong(c, "an escape that JSON does not have");
	c->at++;
	if (x != 'u')
		return true;
	size_t start = c->at - 2;
	if (!check_hex4(c, &unit))
		return false;
	if (unit < 0xd800 || unit > 0xdfff)
		return true;
	bool pair = unit < 0xdc00 && peek(c) == '\\' && c->at + 1 < c->len && c->text[c->at + 1] == 'u';
	if (pair) {
		c->at += 2;
		if (!check_hex4(c, &unit))
			return false;
		pair = unit >= 0xdc00 && unit <= 0xdfff;
	}
	if (pair)
		return true;
	c->at = start;
	return wrong(c, "half of a surrogate pair");
}

static bool check_string(struct check *c)
{
	for (c->at++; c->at < c->len; ) {
		unsigned char x = (unsigned char)c->text[c->at];
		if (x < 0x20)
			return wrong(c, "a control character in a string");
		c->at++;
		if (x == '"')
			return true;
		if (x == '\\' && !check_escape(c))
			return false;
	}
	return wrong(c, "the text ends inside a string");
}

static bool check_digits(struct check *c)
{
	if (!is_digit(peek(c)))
		return wrong(c, "a digit is missing");
	while (is_digit(peek(c)))
		c->at++;
	return true;
}

static bool check_number(struct check *c)
{
	if (peek(c) == '-')
		c->at++;
	if (peek(c) == '0') {
		c->at++;
		if (is_digit(peek(c)))
			return wrong(c, "a number with a leading zero");
	} else if (!check_digits(c)) {
		return false;
	}
	if (peek(c) == '.') {
		c->at++;
		if (!check_digits(c))
			return false;
	}
	if (peek(c) == 'e' || peek(c) == 'E') {
		c->at++;
		if (peek(c) == '+' || peek(c) == '-')
			c->at++;
		return check_digits(c);
	}
	return true;
}

static bool check_word(struct check *c, const char *word)
{
	size_t n = strlen(word);
	if (c->len - c->at < n || memcmp(c->text + c->at, word, n) != 0)
		return wrong(c, "a value is missing");
	c->at += n;
	return true;
}

static bool check_key(struct check *c)
{
	if (peek_token(c) != '"')
		return wrong(c, "a key in quotes is missing");
	if (!check_string(c))
		return false;
	if (peek_token(c) != ':')
		return wrong(c, "\":\" is missing");
	c->at++;
	return true;
}

/* A value up to its end, or the beginning of a container (*opened), then up
 * to where its first value stands. */
static bool check_value(struct check *c, bool *opened)
{
	char x = peek_token(c);
	*opened = false;
	if (x == '"')
		return check_string(c);
	if (x == '-' || is_digit(x))
		return check_number(c);
	if (x != '{' && x != '[')
		return check_word(c, x == 't' ? "true" : x == 'f' ? "false" : "null");
	if (c->depth == MAX_DEPTH)
		return wrong(c, "nested deeper than 512");
	char close = x == '{' ? '}' : ']';
	c->at++;
	if (peek_token(c) == close) {
		c->at++;
		return true;
	}
	c->closes[c->depth++] = close;
	*opened = true;
	return close != '}' || check_key(c);
}

static bool check_text(struct check *c)
{
	bool opened;
	for (;;) {
		if (!check_value(c, &opened))
			return false;
		if (opened)
			continue;
		while (c->depth && peek_token(c) == c->closes[c->depth - 1]) {
			c->at++;
			c->depth--;
		}
		if (c->depth == 0)
			break;
		bool object = c->closes[c->depth - 1] == '}';
		if (peek(c) != ',')
			return wrong(c, object ? "\",\" or \"}\" is missing" : "\",\" or \"]\" is missing");
		c->at++;
		if (object && !check_key(c))
			return false;
	}
	peek_token(c);
	return c->at == c->len || wrong(c, "something follows the value");
}

int json_check(const char *text, size_t len, struct err *err)
{
	struct check c = { .text = text, .len = len };
	size_t good = utf8_check(text, len);
	if (good < len)
		return err_set(err, "not UTF-8 at byte %zu", good + 1);
	if (check_text(&c))
		return 0;
	if (c.at < len && text[c.at] == '\0')
		return err_set(err, "not JSON: a NUL character at byte %zu", c.at + 1);
	return err_set(err, "not JSON: %s at byte %zu", c.wrong, c.at + 1);
}

/* From here on the text is known to be JSON, so that no end is looked for. */

/* Behind the string that begins at at. */
static size_t skip_string(const char *text, size_t at)
{
	for (at++; text[at] != '"'; at++)
		if (text[at] == '\\')
			at++;
	return at + 1;
}

/* Behind the value that begins at at, inside a container. */
static size_t skip_value(const char *text, size_t at)
{
	int depth = 0;
	do {
		switch (text[at]) {
		case '"':
			at = skip_string(text, at);
			continue;
		case '{':
		case '[':
			depth++;
			break;
		case '}':
		case ']':
			depth--;
			break;
		default:
			if (depth)
				break;
			while (!is_space(text[at]) && !strchr(",]}", text[at]))
				at++;
			continue;
		}
		at++;
	} while (depth);
	return at;
}

struct json_each json_each(const char *text, struct json_span container)
{
	size_t at = skip_space(text, container.start, container.end);
	char open = at < container.end ? text[at] : '\0';
	return (struct json_each){ text, at + 1, open == '{' ? '}' : open == '[' ? ']' : '\0' };
}

int json_each_next(struct json_each *e, struct json_span *key, struct json_span *value)
{
	if (!e->close)
		return 0;
	size_t at = skip_space(e->text, e->at, SIZE_MAX);
	if (e->text[at] == ',')
		at = skip_space(e->text, at + 1, SIZE_MAX);
	if (e->text[at] == e->close) {
		e->at = at;
		return 0;
	}
	*key = (struct json_span){ at, at };
	if (e->close == '}') {
		key->end = skip_string(e->text, at);
		at = skip_space(e->text, key->end, SIZE_MAX);
		at = skip_space(e->text, at + 1, SIZE_MAX);
	}
	*value = (struct json_span){ at, skip_value(e->text, at) };
	e->at = value->end;
	return 1;
}

static uint32_t hex4(const char *s)
{
	uint32_t unit = 0;
	for (int i = 0; i < 4; i++)
		unit = unit << 4 | (uint32_t)(is_digit(s[i]) ? s[i] - '0' : (s[i] | 0x20) - 'a' + 10);
	return unit;
}

/* The bytes of the escape that begins at s (its backslash); *n: its length. */
static size_t resolve(const char *s, char out[4], size_t *n)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	*n = 2;
	if (s[1] != 'u') {
		out[0] = to[strchr(from, s[1]) - from];
		return 1;
	}
	uint32_t cp = hex4(s + 2);
	*n = 6;
	if (cp >= 0xd800 && cp <= 0xdbff) {
		cp = 0x10000 + ((cp - 0xd800) << 10) + (hex4(s + 8) - 0xdc00);
		*n = 12;
	}
	return utf8_encode(cp, out);
}

int json_equals(const char *text, struct json_span string, const char *s)
{
	size_t at = string.start + 1, end = string.end - 1, left = strlen(s);
	while (at < end) {
		char one[4] = { text[at] };
		size_t n = 1, out = text[at] == '\\' ? resolve(text + at, one, &n) : 1;
		if (out > left || memcmp(one, s, out) != 0)
			return 0;
		s += out;
		left -= out;
		at += n;
	}
	return left == 0;
}

int json_member(const char *text, struct json_span object, const char *key, struct json_span *value)
{
	struct json_each e = json_each(text, object);
	struct json_span k, v;
	while (e.close == '}' && json_each_next(&e, &k, &v)) {
		if (json_equals(text, k, key)) {
			*value = v;
			return 1;
		}
	}
	return 0;
}

int json_element(const char *text, struct json_span array, size_t index, struct json_span *value)
{
	struct json_each e = json_each(text, array);
	struct json_span k, v;
	while (e.close == ']' && json_each_next(&e, &k, &v)) {
		if (index-- == 0) {
			*value = v;
			return 1;
		}
	}
	return 0;
}

int json_key_twice(const char *text, struct json_span object, const char *key)
{
	struct json_each e = json_each(text, object);
	struct json_span k, v;
	int n = 0;
	while (e.close == '}' && json_each_next(&e, &k, &v))
		n += json_equals(text, k, key);
	return n > 1;
}

int json_has_nul(const char *text, struct json_span value)
{
	/* A backslash stands only in a string, and there begins an escape. */
	for (size_t at = value.start; at < value.end; at++) {
		const char *next = memchr(text + at, '\\', value.end - at);
		if (!next)
			return 0;
		at = (size_t)(next - text) + 1;
		if (text[at] == 'u' && memcmp(text + at + 1, "0000", 4) == 0)
			return 1;
	}
	return 0;
}

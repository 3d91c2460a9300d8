#include "method/template.h"

#include <stdbool.h>
#include <string.h>

#include "base/sha256.h"

static bool name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* The next {{name}} from s on: where it begins, its name, and its end in
 * *end; NULL: none. Braces around anything else are text. */
static const char *placeholder(const char *s, const char **name, size_t *len, const char **end)
{
	while ((s = strstr(s, "{{"))) {
		const char *p = s + 2;

		while (name_char(*p))
			p++;
		if (p > s + 2 && p[0] == '}' && p[1] == '}') {
			*name = s + 2;
			*len = (size_t)(p - *name);
			*end = p + 2;
			return s;
		}
		s++;
	}
	return NULL;
}

static bool is_name(const char *name, size_t len, const char *want)
{
	return strlen(want) == len && memcmp(name, want, len) == 0;
}

static bool is_used(const char *text, const char *want)
{
	const char *name, *end;
	size_t len;

	for (; placeholder(text, &name, &len, &end); text = end)
		if (is_name(name, len, want))
			return true;
	return false;
}

int template_check(const char *text, const char *const *names, struct err *err)
{
	const char *name, *end;
	size_t len;

	for (const char *const *want = names; *want; want++)
		if (!is_used(text, *want))
			return err_set(err, "the template does not use {{%s}}", *want);
	for (; placeholder(text, &name, &len, &end); text = end) {
		const char *const *want = names;

		while (*want && !is_name(name, len, *want))
			want++;
		if (!*want)
			return err_set(err, "the template uses {{%.*s}}, which has no value here",
			    len > 64 ? 64 : (int)len, name);
	}
	return 0;
}

void template_render(const char *text, const struct template_value *values, int n, struct buf *out)
{
	const char *at, *name, *end;
	size_t len;

	while ((at = placeholder(text, &name, &len, &end))) {
		int i = 0;

		buf_add(out, text, (size_t)(at - text));
		while (i < n && !is_name(name, len, values[i].name))
			i++;
		if (i < n)
			buf_adds(out, values[i].text);
		else
			buf_add(out, at, (size_t)(end - at));
		text = end;
	}
	buf_adds(out, text);
}

static const char *speaker(const char *role)
{
	if (strcmp(role, "user") == 0)
		return "User";
	if (strcmp(role, "assistant") == 0)
		return "Assistant";
	return strcmp(role, "system") == 0 ? "System" : role;
}

void template_conversation(const struct message *m, int n, struct buf *out)
{
	if (n == 1 && strcmp(m[0].role, "user") == 0) {
		buf_adds(out, m[0].content);
		return;
	}
	for (int i = 0; i < n; i++) {
		if (i > 0)
			buf_adds(out, "\n\n");
		buf_adds(out, speaker(m[i].role));
		buf_adds(out, ": ");
		buf_adds(out, m[i].content);
	}
}

void template_tag(const char *text, char tag[17])
{
	struct sha256 s;
	char hex[65];

	sha256_init(&s);
	sha256_add(&s, text, strlen(text));
	sha256_end_hex(&s, hex);
	memcpy(tag, hex, 16);
	tag[16] = '\0';
}

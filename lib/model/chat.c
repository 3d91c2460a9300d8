#include "model/chat.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

struct chat {
	const struct tokenizer *tokenizer;
	int32_t start, end;     /* <|im_start|>, <|im_end|> */
	char *system;           /* the default system message; NULL: none */
};

#define START "<|im_start|>"
#define END "<|im_end|>"

static const char *find(const char *s, const char *end, const char *what)
{
	return memmem(s, (size_t)(end - s), what, strlen(what));
}

static bool starts_with(const char *s, const char *end, const char *what)
{
	size_t n = strlen(what);

	return (size_t)(end - s) >= n && memcmp(s, what, n) == 0;
}

/* A Jinja string literal's text from s on (quote: what closes it), or plain
 * template text (quote 0) up to the first tag. */
static void read_text(const char *s, const char *end, char quote, struct buf *out)
{
	for (; s < end; s++) {
		if (quote ? *s == quote : starts_with(s, end, "{{") || starts_with(s, end, "{%"))
			return;
		if (quote && *s == '\\' && s + 1 < end) {
			s++;
			buf_addc(out, *s == 'n' ? '\n' : *s == 't' ? '\t' : *s == 'r' ? '\r' : *s);
		} else {
			buf_addc(out, *s);
		}
	}
}

/*
 * The default system message: the first literal that is a whole system turn.
 * Templates also have <|im_start|>system in front of an expression (the
 * conversation's own system message); there the literal ends before the turn
 * does.
 */
static char *default_system(struct gguf_str template)
{
	static const char opening[] = START "system\n";
	const char *end = template.s + template.len, *s = template.s;
	struct buf b = { 0 };
	char *close, *out = NULL;

	for (int tries = 0; !out && tries < 64 && (s = find(s, end, START "system")); tries++, s++) {
		char quote = s > template.s ? s[-1] : 0;

		if (quote != '\'' && quote != '"')
			quote = 0;
		buf_reset(&b);
		read_text(s, end, quote, &b);
		if (!b.data || strncmp(b.data, opening, sizeof opening - 1) != 0)
			continue;
		if ((close = strstr(b.data, END)))
			out = mem_strndup(b.data + sizeof opening - 1,
			    (size_t)(close - b.data) - (sizeof opening - 1));
	}
	buf_free(&b);
	return out;
}

static bool is_chatml(struct gguf_str template)
{
	const char *end = template.s + template.len;

	return find(template.s, end, START) && find(template.s, end, END);
}

struct chat *chat_new(const struct gguf *g, const struct tokenizer *t, const char *family, struct err *err)
{
	struct gguf_str template = { "", 0 };
	int found = gguf_get_str(g, "tokenizer.chat_template", &template, err);
	struct chat *c;
	int32_t start, end;

	if (found < 0 && !family)
		return NULL;
	if (family && strcmp(family, "chatml") != 0) {
		err_set(err, "--chat-template: \"%s\" is not known; \"chatml\" is", family);
		return NULL;
	}
	if (!family && found == 0) {
		err_set(err, "the file has no chat template; name its family with --chat-template");
		return NULL;
	}
	if (!family && !is_chatml(template)) {
		err_set(err, "the file's chat template is none that is known (chatml); "
		    "name its family with --chat-template");
		return NULL;
	}
	start = tokenizer_control(t, START);
	end = tokenizer_control(t, END);
	if (start < 0 || end < 0) {
		err_set(err, "the vocabulary lacks the control token %s, which chatml needs; "
		    "name another family with --chat-template", start < 0 ? START : END);
		return NULL;
	}
	c = mem_zalloc(1, sizeof *c);
	*c = (struct chat){ t, start, end, default_system(template) };
	return c;
}

void chat_free(struct chat *c)
{
	if (c)
		free(c->system);
	free(c);
}

const char *chat_family(const struct chat *c)
{
	(void)c;
	return "chatml";
}

const char *chat_default_system(const struct chat *c)
{
	return c->system;
}

static void add_text(const struct chat *c, const char *s, size_t len, struct ids *out)
{
	tokenizer_encode(c->tokenizer, s, len, false, out);
}

/* The role's line and the content are one span for the tokenizer, as what
 * stands between two control tokens is. */
static void add_turn(const struct chat *c, const char *role, const char *content, struct ids *out)
{
	struct buf b = { 0 };

	buf_adds(&b, role);
	buf_addc(&b, '\n');
	buf_adds(&b, content);
	ids_add(out, c->start);
	add_text(c, b.data, b.len, out);
	ids_add(out, c->end);
	add_text(c, "\n", 1, out);
	buf_free(&b);
}

static bool known_role(const char *role)
{
	return strcmp(role, "system") == 0 || strcmp(role, "user") == 0 || strcmp(role, "assistant") == 0;
}

int chat_render(const struct chat *c, const struct message *m, int n, bool open, struct ids *out,
    struct err *err)
{
	for (int i = 0; i < n; i++)
		if (!known_role(m[i].role))
			return err_set(err, "message %d: the role is none of system, user, assistant", i + 1);
	if (c->system && n > 0 && strcmp(m[0].role, "system") != 0)
		add_turn(c, "system", c->system, out);
	for (int i = 0; i < n; i++)
		add_turn(c, m[i].role, m[i].content, out);
	if (open) {
		ids_add(out, c->start);
		add_text(c, "assistant\n", strlen("assistant\n"), out);
	}
	return 0;
}

void chat_completion(const struct chat *c, const char *text, struct ids *out)
{
	add_text(c, text, strlen(text), out);
	ids_add(out, c->end);
	add_text(c, "\n", 1, out);
}

int32_t chat_end_of_turn(const struct chat *c)
{
	return c->end;
}

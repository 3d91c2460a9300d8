#include "model/chat.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "model/unicode.h"

enum { CHATML, LLAMA2, LLAMA3, MISTRAL, ZEPHYR, GEMMA, NFAMILIES };

static const struct {
	const char *name;
	const char *end;                /* of the assistant's turn; NULL: the vocabulary's end of text */
	bool bos, trim;                 /* where there is no template that tells */
	const char *needs[4];           /* control tokens */
	const char *marks[8];           /* what data must not spell, where it is no control token */
} families[NFAMILIES] = {
	[CHATML] = { "chatml", "<|im_end|>", false, false, { "<|im_start|>", "<|im_end|>" }, { NULL } },
	[LLAMA2] = { "llama2", NULL, true, true, { NULL },
		{ "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>" } },
	[LLAMA3] = { "llama3", "<|eot_id|>", true, true,
		{ "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>" }, { NULL } },
	[MISTRAL] = { "mistral", NULL, true, false, { NULL },
		{ "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]" } },
	[ZEPHYR] = { "zephyr", NULL, false, false, { NULL }, { "<|system|>", "<|user|>", "<|assistant|>" } },
	[GEMMA] = { "gemma", "<end_of_turn>", true, true, { "<start_of_turn>", "<end_of_turn>" }, { NULL } },
};

struct chat {
	const struct tokenizer *tokenizer;
	int family;
	int32_t end;            /* of the assistant's turn */
	int32_t bos;            /* -1: none */
	bool trim;              /* white space around contents is left out */
	char *system;           /* the default system message; NULL: none */
	char *preamble;         /* Llama 3.1: what stands before any system message; NULL: none */
	/* Mistral's templates differ in spaces, and in where a system message goes. */
	bool space_before_inst, space_after_inst, space_before_end;
	bool space_before_answer, space_behind_answer, trim_answer;
	bool system_is_last, system_is_marked;
};

static const char *find(const char *s, const char *end, const char *what)
{
	return memmem(s, (size_t)(end - s), what, strlen(what));
}

static bool has(struct gguf_str template, const char *what)
{
	return find(template.s, template.s + template.len, what) != NULL;
}

static bool starts_with(const char *s, const char *end, const char *what)
{
	size_t n = strlen(what);

	return (size_t)(end - s) >= n && memcmp(s, what, n) == 0;
}

/* A Jinja string literal's text from s on (quote: what closes it), or plain
 * template text (quote 0) up to the first tag. Returns where it ends. */
static const char *read_text(const char *s, const char *end, char quote, struct buf *out)
{
	for (; s < end; s++) {
		if (quote ? *s == quote : starts_with(s, end, "{{") || starts_with(s, end, "{%"))
			return s;
		if (quote && *s == '\\' && s + 1 < end) {
			s++;
			buf_addc(out, *s == 'n' ? '\n' : *s == 't' ? '\t' : *s == 'r' ? '\r' : *s);
		} else {
			buf_addc(out, *s);
		}
	}
	return s;
}

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/*
 * ChatML's default system message: the first literal that is a whole system turn.
 * Templates also have <|im_start|>system in front of an expression (the
 * conversation's own system message); there the literal ends before the turn
 * does.
 */
static char *default_system_turn(struct gguf_str template)
{
	static const char opening[] = "<|im_start|>system\n";
	const char *end = template.s + template.len, *s = template.s;
	struct buf b = { 0 };
	char *close, *out = NULL;

	for (int tries = 0; !out && tries < 64 && (s = find(s, end, "<|im_start|>system")); tries++, s++) {
		char quote = s > template.s ? s[-1] : 0;

		if (quote != '\'' && quote != '"')
			quote = 0;
		buf_reset(&b);
		read_text(s, end, quote, &b);
		if (!b.data || strncmp(b.data, opening, sizeof opening - 1) != 0)
			continue;
		if ((close = strstr(b.data, "<|im_end|>")))
			out = mem_strndup(b.data + sizeof opening - 1,
			    (size_t)(close - b.data) - (sizeof opening - 1));
	}
	buf_free(&b);
	return out;
}

/* The literal that a variable is set to ("{% set NAME = 'text' %}"); NULL
 * where there is none, or it is only a part of the value. */
static char *set_literal(struct gguf_str template, const char *name)
{
	const char *end = template.s + template.len, *s = template.s;
	struct buf b = { 0 };

	for (int tries = 0; tries < 64 && (s = find(s, end, name)); tries++) {
		bool whole = s == template.s || is_blank(s[-1]);

		s += strlen(name);
		while (s < end && is_blank(*s))
			s++;
		if (!whole || s == end || *s++ != '=')
			continue;
		while (s < end && is_blank(*s))
			s++;
		if (s == end || (*s != '\'' && *s != '"'))
			continue;
		buf_reset(&b);
		buf_adds(&b, "");
		s = read_text(s + 1, end, *s, &b);
		s += s < end;
		while (s < end && (is_blank(*s) || *s == '-'))
			s++;
		if (b.len > 0 && starts_with(s, end, "%}"))
			return buf_take(&b);
	}
	buf_free(&b);
	return NULL;
}

/* Llama 3.1 and 3.2 tell a knowledge cutoff and a date before any system
 * message. The date is the one that the template has for where none is
 * known: the same bytes tomorrow. */
static char *dates(struct gguf_str template)
{
	const char *end = template.s + template.len;
	const char *s = find(template.s, end, "Cutting Knowledge Date: ");
	char *date = set_literal(template, "date_string");
	struct buf b = { 0 };

	if (s && s > template.s && (s[-1] == '"' || s[-1] == '\'') && date) {
		read_text(s, end, s[-1], &b);
		buf_printf(&b, "Today Date: %s\n\n", date);
	}
	free(date);
	return b.len > 0 ? buf_take(&b) : NULL;
}

/* Whether what has <|user|> in it also ends the turn, which tells Zephyr's
 * template from others with such marks. */
static bool user_ends_with_eos(struct gguf_str template)
{
	const char *end = template.s + template.len, *s = template.s, *close;

	while ((s = find(s, end, "<|user|>"))) {
		if (!(close = find(s, end, "}}")))
			return false;
		if (find(s, close, "eos_token") || find(s, close, "</s>") || find(s, close, "<|endoftext|>"))
			return true;
		s = close;
	}
	return false;
}

static int recognise(struct gguf_str t)
{
	if (has(t, "<|im_start|>") && has(t, "<|im_end|>"))
		return CHATML;
	if (has(t, "<|start_header_id|>") && has(t, "<|eot_id|>"))
		return LLAMA3;
	if (has(t, "<start_of_turn>") && has(t, "<end_of_turn>"))
		return GEMMA;
	if (has(t, "[INST]") && has(t, "[/INST]"))
		return has(t, "<<SYS>>") ? LLAMA2 : MISTRAL;
	if (has(t, "<|user|>") && has(t, "<|assistant|>") && user_ends_with_eos(t))
		return ZEPHYR;
	return NFAMILIES;
}

/* The first literal that has a mark in it: whether spaces stand around it. */
static void spaces_around(struct gguf_str template, const char *mark, bool *before, bool *behind)
{
	const char *end = template.s + template.len, *s = template.s;

	while ((s = find(s, end, mark))) {
		const char *e = s + strlen(mark);
		bool space = s > template.s && s[-1] == ' ';
		char quote = s - template.s > space ? s[-1 - space] : 0;

		s = e;
		if (quote != '"' && quote != '\'' && quote != '}')
			continue;
		*before = space;
		*behind = e < end && *e == ' ';
		return;
	}
}

/* Which spaces stand around an answer: what is in the {{ … }} that has the
 * content and the end of text. */
static void read_answer(struct chat *c, struct gguf_str template)
{
	const char *end = template.s + template.len;
	const char *s = find(template.s, end, "[/INST]"), *eos, *p;

	for (; s && (eos = find(s, end, "eos_token")); s = eos + strlen("eos_token")) {
		const char *open = eos;

		while (open > s && !starts_with(open, end, "{{"))
			open--;
		if (!starts_with(open, end, "{{") || !find(open, eos, "content"))
			continue;
		for (p = open + 2; p < eos && (*p == '-' || is_blank(*p)); )
			p++;
		c->space_before_answer = starts_with(p, eos, "' '") || starts_with(p, eos, "\" \"");
		c->trim_answer = find(p, eos, "trim") || find(p, eos, ".strip()");
		p = eos + strlen("eos_token");
		while (p < end && (is_blank(*p) || *p == '+'))
			p++;
		c->space_behind_answer = starts_with(p, end, "' '") || starts_with(p, end, "\" \"");
		return;
	}
}

static void read_mistral(struct chat *c, struct gguf_str template)
{
	bool unused = false;

	spaces_around(template, "[INST]", &c->space_before_inst, &c->space_after_inst);
	spaces_around(template, "[/INST]", &c->space_before_end, &unused);
	c->system_is_last = has(template, "loop.last and system_message") ||
	    has(template, "loop.last and messages[0]");
	c->system_is_marked = has(template, "[SYSTEM_PROMPT]");
	read_answer(c, template);
}

static void read_template(struct chat *c, struct gguf_str template, bool told)
{
	const struct tokenizer *t = c->tokenizer;
	bool bos = told ? has(template, "bos_token") || has(template, "<|begin_of_text|>") ||
	    has(template, "<bos>") : families[c->family].bos;

	c->bos = bos || tokenizer_adds_bos(t) ? tokenizer_bos(t) : -1;
	c->trim = told ? has(template, "trim") || has(template, ".strip()") : families[c->family].trim;
	c->space_after_inst = c->space_before_end = true;
	switch (c->family) {
	case CHATML:
		c->trim = false;
		c->system = default_system_turn(template);
		break;
	case LLAMA3:
		c->preamble = dates(template);
		c->system = c->preamble ? mem_strdup(c->preamble) : NULL;
		break;
	case LLAMA2:
		c->system = has(template, "elif false") ? NULL : set_literal(template, "system_message");
		break;
	case MISTRAL:
		c->trim = false;
		if (told)
			read_mistral(c, template);
		c->system = set_literal(template, "default_system_message");
		break;
	case ZEPHYR:
	case GEMMA:
		break;
	}
}

static void add_names(struct buf *b)
{
	for (int i = 0; i < NFAMILIES; i++)
		buf_printf(b, "%s%s", i == 0 ? "" : i + 1 < NFAMILIES ? ", " : " and ", families[i].name);
}

static int no_family(struct err *err, const char *name, const struct gguf_str *template)
{
	struct buf b = { 0 };

	add_names(&b);
	if (name)
		err_set(err, "--chat-template: \"%.40s\" is not known; %s are", name, b.data);
	else if (template)
		err_set(err, "the file's chat template is none that is known (%s); "
		    "name its family with --chat-template", b.data);
	else
		err_set(err, "the file has no chat template; name its family with --chat-template: %s", b.data);
	buf_free(&b);
	return NFAMILIES;
}

static int find_family(const char *name, const struct gguf_str *template, struct err *err)
{
	int i = 0;

	if (name)
		while (i < NFAMILIES && strcmp(families[i].name, name) != 0)
			i++;
	else
		i = template ? recognise(*template) : NFAMILIES;
	return i < NFAMILIES ? i : no_family(err, name, template);
}

static const char *lacking(const struct tokenizer *t, int family)
{
	for (const char *const *need = families[family].needs; *need; need++)
		if (tokenizer_control(t, *need) < 0)
			return *need;
	return families[family].end || tokenizer_eos(t) >= 0 ? NULL : "that ends a text";
}

struct chat *chat_new(const struct gguf *g, const struct tokenizer *t, const char *family, struct err *err)
{
	struct gguf_str template = { "", 0 };
	int found = gguf_get_str(g, "tokenizer.chat_template", &template, err);
	struct chat *c;
	const char *lacks;
	int f;

	if (found < 0 && !family)
		return NULL;
	if (found != 1)
		template = (struct gguf_str){ "", 0 };
	if ((f = find_family(family, found == 1 ? &template : NULL, err)) == NFAMILIES)
		return NULL;
	if ((lacks = lacking(t, f))) {
		err_set(err, "the vocabulary lacks the control token %s, which %s needs; "
		    "name another family with --chat-template", lacks, families[f].name);
		return NULL;
	}
	c = mem_zalloc(1, sizeof *c);
	c->tokenizer = t;
	c->family = f;
	c->end = families[f].end ? tokenizer_control(t, families[f].end) : tokenizer_eos(t);
	/* A template of another family tells nothing about this one. */
	read_template(c, template, found == 1 && recognise(template) == f);
	return c;
}

void chat_free(struct chat *c)
{
	if (c) {
		free(c->system);
		free(c->preamble);
	}
	free(c);
}

const char *chat_family(const struct chat *c)
{
	return families[c->family].name;
}

const char *chat_default_system(const struct chat *c)
{
	return c->system;
}

int32_t chat_end_of_turn(const struct chat *c)
{
	return c->end;
}

/* What is being written: text up to the next control token is one span for
 * the tokenizer. */
struct writer {
	const struct chat *c;
	struct buf text;
	bool goes_on;           /* text stands right before this one's */
	struct ids *out;
};

static void flush(struct writer *w)
{
	const struct tokenizer *t = w->c->tokenizer;

	if (w->text.len == 0)
		return;
	if (w->goes_on)
		tokenizer_encode_more(t, w->text.data, w->text.len, w->out);
	else
		tokenizer_encode(t, w->text.data, w->text.len, false, w->out);
	w->goes_on = true;
	buf_reset(&w->text);
}

static void finish(struct writer *w)
{
	flush(w);
	buf_free(&w->text);
}

static void put_id(struct writer *w, int32_t id)
{
	if (id < 0)
		return;
	flush(w);
	ids_add(w->out, id);
	w->goes_on = false;
}

/* The template's own text. */
static void put(struct writer *w, const char *s)
{
	buf_adds(&w->text, s);
}

/* A mark: the control token of this text, or, where there is none, its text. */
static void mark(struct writer *w, const char *s)
{
	int32_t id = tokenizer_control(w->c->tokenizer, s);

	if (id >= 0)
		put_id(w, id);
	else
		put(w, s);
}

/* How long a mark at s is that the family writes as text; 0: there is none. */
static size_t mark_at(const struct chat *c, const char *s, size_t len)
{
	for (const char *const *m = families[c->family].marks; *m; m++)
		if (strlen(*m) <= len && memcmp(s, *m, strlen(*m)) == 0 &&
		    tokenizer_control(c->tokenizer, *m) < 0)
			return strlen(*m);
	return 0;
}

/* A message's text. What spells a mark is cut into single characters, so
 * that its tokens are not the mark's. */
static void put_data(struct writer *w, const char *s, size_t len)
{
	for (size_t i = 0, n; i < len; i += n ? n : 1) {
		if ((n = mark_at(w->c, s + i, len - i)) == 0)
			buf_addc(&w->text, s[i]);
		for (size_t k = 0; k < n; k++) {
			flush(w);
			buf_addc(&w->text, s[i + k]);
		}
		if (n)
			flush(w);
	}
}

/* What Jinja's trim takes away. */
static bool is_space(uint32_t cp)
{
	return unicode_space(cp) || (cp >= 0x1c && cp <= 0x1f);
}

static void put_trimmed(struct writer *w, const char *s, bool left, bool right)
{
	size_t len = strlen(s), n, at;

	while (left && len > 0 && is_space(utf8_decode(s, len, &n))) {
		s += n;
		len -= n;
	}
	while (right && len > 0) {
		for (at = len - 1; at > 0 && (s[at] & 0xc0) == 0x80; )
			at--;
		if (!is_space(utf8_decode(s + at, len - at, &n)) || at + n != len)
			break;
		len = at;
	}
	put_data(w, s, len);
}

static void put_content(struct writer *w, const char *s)
{
	put_trimmed(w, s, w->c->trim, w->c->trim);
}

static bool is(const struct message *m, const char *role)
{
	return strcmp(m->role, role) == 0;
}

static bool known_role(const struct message *m)
{
	return is(m, "system") || is(m, "user") || is(m, "assistant");
}

/* Families whose system message is a part of a user's turn, or of none. */
static bool system_in_user(const struct chat *c)
{
	return c->family == LLAMA2 || c->family == GEMMA || (c->family == MISTRAL && !c->system_is_marked);
}

/* The user's turn that has the system message in it, or -1. */
static int system_place(const struct chat *c, const struct message *m, int n)
{
	int at = -1;

	for (int i = 0; i < n; i++)
		if (is(&m[i], "user") && (at < 0 || (c->family == MISTRAL && c->system_is_last)))
			at = i;
	return at;
}

static int check_messages(const struct chat *c, const struct message *m, int n, struct err *err)
{
	for (int i = 0; i < n; i++) {
		if (!known_role(&m[i]))
			return err_set(err, "message %d: the role is none of system, user, assistant", i + 1);
		if (i > 0 && is(&m[i], "system") && (system_in_user(c) || c->family == MISTRAL))
			return err_set(err, "message %d: with the chat template %s only the first message can be "
			    "the system's", i + 1, chat_family(c));
	}
	if (n > 0 && is(&m[0], "system") && system_in_user(c) && system_place(c, m, n) < 0)
		return err_set(err, "message 1: with the chat template %s a system message needs a user's "
		    "message behind it", chat_family(c));
	return 0;
}

static void open_answer(struct writer *w)
{
	switch (w->c->family) {
	case CHATML:
		mark(w, "<|im_start|>");
		put(w, "assistant\n");
		break;
	case LLAMA3:
		mark(w, "<|start_header_id|>");
		put(w, "assistant");
		mark(w, "<|end_header_id|>");
		put(w, "\n\n");
		break;
	case ZEPHYR:
		mark(w, "<|assistant|>");
		put(w, "\n");
		break;
	case GEMMA:
		mark(w, "<start_of_turn>");
		put(w, "model\n");
		break;
	}
}

/* Between the opening and the answer's own text. */
static void begin_answer(struct writer *w)
{
	if (w->c->family == LLAMA2 || (w->c->family == MISTRAL && w->c->space_before_answer))
		put(w, " ");
}

static void close_answer(struct writer *w)
{
	const struct chat *c = w->c;

	if (c->family == LLAMA2)
		put(w, " ");
	put_id(w, c->end);
	if (c->family == CHATML || c->family == ZEPHYR || c->family == GEMMA)
		put(w, "\n");
	if (c->family == MISTRAL && c->space_behind_answer)
		put(w, " ");
}

static void put_answer(struct writer *w, const char *text)
{
	bool trim = w->c->trim || w->c->trim_answer;

	begin_answer(w);
	put_trimmed(w, text, trim, trim);
	close_answer(w);
}

/* ChatML, Llama 3, Zephyr: a turn of a role's; text is the template's own
 * where content is NULL. */
static void put_turn(struct writer *w, const char *role, const char *text, const char *content)
{
	switch (w->c->family) {
	case CHATML:
		mark(w, "<|im_start|>");
		put(w, role);
		put(w, "\n");
		break;
	case LLAMA3:
		mark(w, "<|start_header_id|>");
		put(w, role);
		mark(w, "<|end_header_id|>");
		put(w, "\n\n");
		break;
	case ZEPHYR:
		mark(w, strcmp(role, "user") == 0 ? "<|user|>" : "<|system|>");
		put(w, "\n");
		break;
	}
	put(w, text);
	put_content(w, content);
	put_id(w, w->c->end);
	if (w->c->family != LLAMA3)
		put(w, "\n");
}

static void put_llama2_user(struct writer *w, const char *system, const char *content)
{
	const struct chat *c = w->c;

	put_id(w, c->bos);
	mark(w, "[INST]");
	put(w, " ");
	if (system) {
		mark(w, "<<SYS>>");
		put(w, "\n");
		put_data(w, system, strlen(system));
		put(w, "\n");
		mark(w, "<</SYS>>");
		put(w, "\n\n");
	}
	put_trimmed(w, content, c->trim && !system, c->trim);
	put(w, " ");
	mark(w, "[/INST]");
}

static void put_mistral_user(struct writer *w, const char *system, const char *content)
{
	const struct chat *c = w->c;

	put(w, c->space_before_inst ? " " : "");
	mark(w, "[INST]");
	put(w, c->space_after_inst ? " " : "");
	if (system) {
		put_data(w, system, strlen(system));
		put(w, "\n\n");
	}
	put_content(w, content);
	put(w, c->space_before_end ? " " : "");
	mark(w, "[/INST]");
}

static void put_gemma_user(struct writer *w, const char *system, const char *content)
{
	mark(w, "<start_of_turn>");
	put(w, "user\n");
	if (system) {
		put_data(w, system, strlen(system));
		put(w, "\n\n");
	}
	put_content(w, content);
	put_id(w, w->c->end);
	put(w, "\n");
}

/* Before the first turn. Returns the message that the turns begin with. */
static int put_beginning(struct writer *w, const struct message *m, int n)
{
	const struct chat *c = w->c;
	const bool own = n > 0 && is(&m[0], "system");

	if (c->family != LLAMA2)
		put_id(w, c->bos);
	if (system_in_user(c))
		return own;
	if (c->family == MISTRAL && (own || c->system)) {
		mark(w, "[SYSTEM_PROMPT]");
		put_data(w, own ? m[0].content : c->system, strlen(own ? m[0].content : c->system));
		mark(w, "[/SYSTEM_PROMPT]");
		return own;
	}
	if (own && c->preamble) {
		put_turn(w, "system", c->preamble, m[0].content);
		return 1;
	}
	if (n > 0 && !own && c->system)
		put_turn(w, "system", c->system, "");
	return 0;
}

int chat_render(const struct chat *c, const struct message *m, int n, bool open, struct ids *out,
    struct err *err)
{
	struct writer w = { .c = c, .out = out };
	const char *system = n > 0 && is(&m[0], "system") ? m[0].content : c->system;
	int place;

	if (check_messages(c, m, n, err) != 0)
		return -1;
	place = system_in_user(c) ? system_place(c, m, n) : -1;
	for (int i = put_beginning(&w, m, n); i < n; i++) {
		const char *first = i == place ? system : NULL;

		if (is(&m[i], "assistant")) {
			open_answer(&w);
			put_answer(&w, m[i].content);
		} else if (c->family == LLAMA2) {
			put_llama2_user(&w, first, m[i].content);
		} else if (c->family == MISTRAL) {
			put_mistral_user(&w, first, m[i].content);
		} else if (c->family == GEMMA) {
			put_gemma_user(&w, first, m[i].content);
		} else {
			put_turn(&w, m[i].role, "", m[i].content);
		}
	}
	if (open)
		open_answer(&w);
	finish(&w);
	return 0;
}

/* A writer for what follows an open turn of the assistant's. */
static struct writer answer_writer(const struct chat *c, struct ids *out)
{
	bool control = (c->family == LLAMA2 || c->family == MISTRAL) &&
	    tokenizer_control(c->tokenizer, "[/INST]") >= 0;

	return (struct writer){ .c = c, .out = out, .goes_on = !control };
}

void chat_continue(const struct chat *c, const char *text, struct ids *out)
{
	struct writer w = answer_writer(c, out);

	begin_answer(&w);
	put_data(&w, text, strlen(text));
	finish(&w);
}

void chat_completion(const struct chat *c, const char *text, struct ids *out)
{
	struct writer w = answer_writer(c, out);

	put_answer(&w, text);
	finish(&w);
}

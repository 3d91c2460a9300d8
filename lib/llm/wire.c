#include "llm/wire.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "llm/common.h"

void wire_message(struct buf *out, const char *role, const char *content)
{
	buf_adds(out, out->len > 1 ? ",{\"role\":" : "{\"role\":");
	buf_json_string(out, role, strlen(role));
	buf_adds(out, ",\"content\":");
	buf_json_string(out, content, strlen(content));
	buf_addc(out, '}');
}

unsigned wire_members(const struct wire_request *r)
{
	const unsigned all = (r->n > 1 ? WIRE_N : 0) | WIRE_SEED | (r->logprobs ? WIRE_LOGPROBS : 0) |
	    WIRE_MAX_TOKENS | (r->params.top_k > 0 ? WIRE_TOP_K : 0);
	return all & ~r->without;
}

static void add_number(struct buf *out, const char *name, double x)
{
	buf_printf(out, ",\"%s\":", name);
	buf_json_number(out, x);
}

void wire_request(const struct wire_request *r, struct buf *out)
{
	const unsigned with = wire_members(r);
	buf_adds(out, "{\"model\":");
	buf_json_string(out, r->model, strlen(r->model));
	buf_printf(out, ",\"messages\":%s", r->messages);
	buf_printf(out, ",\"%s\":%d", with & WIRE_MAX_TOKENS ? "max_tokens" : "max_completion_tokens",
	    r->params.max_tokens);
	add_number(out, "temperature", r->params.temperature);
	add_number(out, "top_p", r->params.top_p);
	if (with & WIRE_TOP_K)
		buf_printf(out, ",\"top_k\":%d", r->params.top_k);
	if (with & WIRE_N)
		buf_printf(out, ",\"n\":%d", r->n);
	if (with & WIRE_SEED)
		buf_printf(out, ",\"seed\":%lu", (unsigned long)r->seed);
	if (with & WIRE_LOGPROBS)
		buf_printf(out, ",\"logprobs\":true,\"top_logprobs\":%d", WIRE_TOP);
	buf_addc(out, '}');
}

static unsigned hex4(const char *s)
{
	unsigned x = 0;
	for (int i = 0; i < 4; i++) {
		if (!isxdigit((unsigned char)s[i]))
			return 0x10000;
		x = x << 4 | (unsigned)(isdigit((unsigned char)s[i]) ? s[i] - '0' : (s[i] | 0x20) - 'a' + 10);
	}
	return x;
}

/* The body as UTF-8, where escaped U+0000 and halves of surrogate pairs,
 * which a C string or UTF-8 cannot hold, became U+FFFD. */
static char *mend(const char *body, size_t len)
{
	char *text = text_clean(body, len);
	for (char *s = strchr(text, '\\'); s; s = strchr(s, '\\')) {
		if (s[1] != 'u') {
			s += s[1] ? 2 : 1;
			continue;
		}
		const unsigned c = hex4(s + 2);
		const bool high = c >= 0xd800 && c < 0xdc00;
		if (c > 0xffff) {
			s += 2;
			continue;
		}
		if (high && s[6] == '\\' && s[7] == 'u' && hex4(s + 8) >= 0xdc00 && hex4(s + 8) < 0xe000) {
			s += 12;
			continue;
		}
		if (c == 0 || (c >= 0xd800 && c < 0xe000))
			memcpy(s + 2, "fffd", 4);
		s += 6;
	}
	return text;
}

static cJSON *parse(const char *body, size_t len)
{
	char *text = mend(body, len);
	const char *end = NULL;
	cJSON *json = cJSON_ParseWithOpts(text, &end, false);
	if (json && end[strspn(end, " \t\r\n")]) {
		cJSON_Delete(json);
		json = NULL;
	}
	free(text);
	return json;
}

static const cJSON *member(const cJSON *object, const char *name)
{
	const cJSON *m = cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, name) : NULL;
	return cJSON_IsNull(m) ? NULL : m;
}

static const char *string(const cJSON *object, const char *name)
{
	return cJSON_GetStringValue(member(object, name));
}

static int64_t count(const cJSON *usage, const char *name)
{
	const cJSON *m = member(usage, name);
	return cJSON_IsNumber(m) && m->valuedouble >= 0 && m->valuedouble < 1e15 ? (int64_t)m->valuedouble : -1;
}

static enum llm_finish finish(const char *reason)
{
	static const char *const cut[] = { "length", "max_tokens", "content_filter" };
	for (size_t i = 0; reason && i < sizeof cut / sizeof *cut; i++)
		if (strcmp(reason, cut[i]) == 0)
			return LLM_LENGTH;
	return LLM_STOP;
}

/* The place a choice names for itself, or -1. */
static int place(const cJSON *choice, int n)
{
	const cJSON *index = member(choice, "index");
	return cJSON_IsNumber(index) && index->valuedouble >= 0 && index->valuedouble < n ? (int)index->valuedouble : -1;
}

/* Whether all choices name places, and different ones. */
static bool all_placed(const cJSON *choices, int n)
{
	bool *taken = mem_zalloc((size_t)n, sizeof *taken), all = true;
	const cJSON *c;
	cJSON_ArrayForEach(c, choices) {
		const int at = place(c, n);
		if (at < 0 || taken[at])
			all = false;
		else
			taken[at] = true;
	}
	free(taken);
	return all;
}

static int take_choice(const cJSON *choice, struct wire_choice *c, struct err *err)
{
	const cJSON *message = member(choice, "message"), *content = member(message, "content");
	if (!cJSON_IsObject(message))
		return err_set(err, "a choice without a message");
	if (content && !cJSON_IsString(content))
		return err_set(err, "a message whose content is no text");
	const char *text = content ? content->valuestring : "";
	c->text = mem_strdup(text);
	c->finish = finish(string(choice, "finish_reason"));
	c->logprobs = member(choice, "logprobs");
	return 0;
}

static int take_choices(const cJSON *choices, struct wire_answer *a, struct err *err)
{
	const cJSON *c;
	int i = 0;
	a->n = cJSON_GetArraySize(choices);
	a->choices = mem_zalloc((size_t)a->n, sizeof *a->choices);
	const bool placed = all_placed(choices, a->n);
	cJSON_ArrayForEach(c, choices) {
		if (take_choice(c, &a->choices[placed ? place(c, a->n) : i], err) != 0)
			return -1;
		i++;
	}
	return 0;
}

int wire_answer(const char *body, size_t len, struct wire_answer *a, struct err *err)
{
	*a = (struct wire_answer){ .json = parse(body, len) };
	const cJSON *choices = member(a->json, "choices"), *usage = member(a->json, "usage");
	int rc;
	a->tokens_in = count(usage, "prompt_tokens");
	a->tokens_out = count(usage, "completion_tokens");
	if (!a->json)
		rc = err_set(err, len ? "the answer is not JSON" : "the answer is empty");
	else if (!cJSON_IsArray(choices) || !choices->child)
		rc = err_set(err, "the answer has no choices");
	else
		rc = take_choices(choices, a, err);
	if (rc != 0)
		wire_answer_free(a);
	return rc;
}

void wire_answer_free(struct wire_answer *a)
{
	for (int i = 0; i < a->n; i++)
		free(a->choices[i].text);
	free(a->choices);
	cJSON_Delete(a->json);
	*a = (struct wire_answer){ 0 };
}

/* One line of it, no control characters, cut between characters. */
static void one_line(const char *text, char *out, size_t cap)
{
	size_t n = 0;
	for (; *text && n + 1 < cap; text++) {
		const bool space = (unsigned char)*text <= 0x20 || *text == 0x7f;
		if (!space)
			out[n++] = *text;
		else if (n > 0 && out[n - 1] != ' ')
			out[n++] = ' ';
	}
	if (((unsigned char)*text & 0xc0) == 0x80) {
		while (n > 0 && ((unsigned char)out[n - 1] & 0xc0) == 0x80)
			n--;
		n -= n > 0;
	}
	while (n > 0 && out[n - 1] == ' ')
		n--;
	out[n] = '\0';
}

/* Where servers put their words: OpenAI's {"error":{"message"}}, {"error":"…"},
 * {"message"}, FastAPI's {"detail":"…"} or {"detail":[{"loc":[…],"msg"}]}. */
static const char *words(const cJSON *json, const char **param)
{
	const cJSON *error = member(json, "error"), *detail = member(json, "detail"), *loc;
	const char *s = string(error, "message");
	if (!s && cJSON_IsString(error))
		s = error->valuestring;
	if (!s)
		s = string(json, "message");
	if (!s && cJSON_IsString(detail))
		s = detail->valuestring;
	if (!s && cJSON_IsArray(detail) && detail->child) {
		s = string(detail->child, "msg");
		cJSON_ArrayForEach(loc, member(detail->child, "loc"))
			*param = cJSON_IsString(loc) ? loc->valuestring : *param;
	}
	if (string(error, "param"))
		*param = string(error, "param");
	else if (string(json, "param"))
		*param = string(json, "param");
	return s;
}

static void take_error(const cJSON *json, const char *text, long status, struct wire_error *e)
{
	const char *param = "", *said = words(json, &param);
	*e = (struct wire_error){ .status = status };
	one_line(said && *said ? said : text, e->message, sizeof e->message);
	one_line(param, e->param, sizeof e->param);
	if (!*e->message)
		strcpy(e->message, "no reason given");
}

void wire_error(const char *body, size_t len, long status, struct wire_error *e)
{
	cJSON *json = parse(body, len);
	char *text = text_clean(body, len < 2000 ? len : 2000);
	take_error(json, text, status, e);
	free(text);
	cJSON_Delete(json);
}

bool wire_is_error(const char *body, size_t len, struct wire_error *e)
{
	cJSON *json = parse(body, len);
	const cJSON *error = member(json, "error"), *code = member(error, "code");
	const bool is = error && !cJSON_IsFalse(error) && !member(json, "choices");
	if (is)
		take_error(json, "", cJSON_IsNumber(code) && code->valuedouble >= 400 && code->valuedouble < 600
		    ? (long)code->valuedouble : 500, e);
	cJSON_Delete(json);
	return is;
}

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-' || (c & 0x80);
}

/* Whether the name stands in the text as a word. */
static bool names(const char *text, const char *name)
{
	const size_t len = strlen(name);
	for (const char *s = strstr(text, name); s; s = strstr(s + 1, name))
		if ((s == text || !is_word(s[-1])) && !is_word(s[len]))
			return true;
	return false;
}

unsigned wire_refused(const struct wire_error *e, unsigned sent)
{
	static const struct {
		unsigned member;
		const char *name;
	} all[] = {
		{ WIRE_SEED, "seed" }, { WIRE_LOGPROBS, "logprobs" }, { WIRE_LOGPROBS, "top_logprobs" },
		{ WIRE_MAX_TOKENS, "max_tokens" }, { WIRE_N, "n" }, { WIRE_N, "completion choice" },
	};
	unsigned found = 0;
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if ((sent & all[i].member) && (strcmp(e->param, all[i].name) == 0 || names(e->message, all[i].name)))
			found |= all[i].member;
	/* "max_tokens" stands in many a message about a prompt that is too long. */
	if (!strstr(e->message, "max_completion_tokens"))
		found &= ~(unsigned)WIRE_MAX_TOKENS;
	return found;
}

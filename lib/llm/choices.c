#include "llm/choices.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "llm/wire.h"

enum { MOST_POSITIONS = 12 };   /* tokens looked at for the one that decides */

static const char opening[] = " \t\r\n*_\"'`(", closing[] = " \t\r\n*_\"'`).";

static const char *trimmed(const char *text)
{
	return text + strspn(text, " \t\r\n");
}

/* Whether the choices' first characters differ, whatever their case. */
static bool differ(const struct choices *c)
{
	for (int i = 0; i < c->n; i++)
		for (int j = 0; j < i; j++)
			if (tolower((unsigned char)*trimmed(c->texts[i])) ==
			    tolower((unsigned char)*trimmed(c->texts[j])))
				return false;
	return true;
}

/* "1" to "9" or, where that is too few or choices are numbers themselves,
 * letters; 0: no label. */
static char label_of(const struct choices *c, int i)
{
	bool digits = c->n <= 9;
	if (!c->prefix || c->n > 26 || differ(c))
		return 0;
	for (int k = 0; k < c->n; k++)
		digits = digits && !isdigit((unsigned char)*trimmed(c->texts[k]));
	return (char)((digits ? '1' : 'a') + i);
}

/* What the choice is known by in an answer. */
static const char *name_of(const struct choices *c, int i, char label[2])
{
	label[0] = label_of(c, i);
	label[1] = '\0';
	return *label ? label : trimmed(c->texts[i]);
}

/* The prefix's last line without the blanks around it: "Score:". */
static char *lead_of(const struct choices *c)
{
	const char *line = c->prefix ? strrchr(c->prefix, '\n') : NULL;
	const char *start = trimmed(line ? line : c->prefix ? c->prefix : "");
	size_t len = strlen(start);
	while (len > 0 && isspace((unsigned char)start[len - 1]))
		len--;
	return mem_strndup(start, len);
}

void choices_ask(const struct choices *c, struct buf *messages)
{
	struct buf b = { 0 };
	char label[2], *lead = lead_of(c);
	const bool labels = label_of(c, 0);
	if (!c->prefix) {
		free(lead);
		return;
	}
	wire_message(messages, "assistant", c->prefix);
	buf_printf(&b, "Your last line, \"%s\", is not finished. Which of these should follow? Answer with %s "
	    "and nothing else.\n", lead, labels ? "the one character before it" : "it");
	for (int i = 0; i < c->n; i++) {
		if (labels)
			buf_printf(&b, "\n%s) %s", name_of(c, i, label), trimmed(c->texts[i]));
		else
			buf_printf(&b, "\n%s", trimmed(c->texts[i]));
	}
	wire_message(messages, "user", b.data);
	buf_free(&b);
	free(lead);
}

/* The answer proper: behind marks, and behind the lead where it is said
 * again. NULL where that has not begun. */
static const char *proper(const char *text, const char *lead)
{
	const size_t len = strlen(lead);
	text += strspn(text, opening);
	const size_t left = strlen(text);
	if (len > 0 && left < len && strncasecmp(text, lead, left) == 0)
		return NULL;
	if (len > 0 && strncasecmp(text, lead, len) == 0)
		text += len + strspn(text + len, opening);
	return *text ? text : NULL;
}

/* The one choice that a beginning of an answer can only be, or -1. */
static int choice_begun(const struct choices *c, const char *text)
{
	int found = -1;
	for (int i = 0; i < c->n; i++) {
		char label[2];
		const char *name = name_of(c, i, label);
		const size_t len = strlen(name), n = strlen(text);
		const bool is = n <= len ? strncasecmp(text, name, n) == 0
		    : strncasecmp(text, name, len) == 0 && !isalnum((unsigned char)text[len]);
		if (is && found >= 0)
			return -1;
		found = is ? i : found;
	}
	return found;
}

static const char *token_of(const cJSON *at)
{
	return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(at, "token"));
}

/* log(exp a + exp b); b is finite. */
static double log_of_sum(double a, double b)
{
	const double more = fmax(a, b), less = fmin(a, b);
	return more + log1p(exp(less - more));
}

/* What one alternative of a token adds; so: the text before it. */
static bool add_alternative(const struct choices *c, const char *so, const cJSON *at, const char *lead, double *out)
{
	const cJSON *logprob = cJSON_GetObjectItemCaseSensitive(at, "logprob");
	const char *token = token_of(at);
	if (!token || !cJSON_IsNumber(logprob) || !(logprob->valuedouble <= 1e-3))
		return false;
	struct buf b = { 0 };
	buf_printf(&b, "%s%s", so, token);
	const char *text = proper(b.data, lead);
	const int i = text ? choice_begun(c, text) : -1;
	if (i >= 0)
		out[i] = log_of_sum(out[i], logprob->valuedouble);
	buf_free(&b);
	return i >= 0;
}

/* All alternatives of a token, itself among them once. */
static bool add_position(const struct choices *c, const char *so, const cJSON *at, const char *lead, double *out)
{
	const cJSON *top = cJSON_GetObjectItemCaseSensitive(at, "top_logprobs"), *one;
	const char *token = token_of(at);
	bool listed = false, any = false;
	cJSON_ArrayForEach(one, top) {
		const char *other = token_of(one);
		listed = listed || (other && strcmp(other, token) == 0);
		any = add_alternative(c, so, one, lead, out) || any;
	}
	return (!listed && add_alternative(c, so, at, lead, out)) || any;
}

bool choices_logprobs(const struct choices *c, const cJSON *logprobs, double *out)
{
	const cJSON *content = cJSON_GetObjectItemCaseSensitive(logprobs, "content"), *at;
	char *lead = lead_of(c);
	struct buf so = { 0 };
	bool any = false;
	int n = 0;
	for (int i = 0; i < c->n; i++)
		out[i] = -INFINITY;
	buf_adds(&so, "");
	cJSON_ArrayForEach(at, content) {
		const char *token = token_of(at);
		if (!token || n++ == MOST_POSITIONS || proper(so.data, lead))
			break;
		if ((any = add_position(c, so.data, at, lead, out)))
			break;
		buf_adds(&so, token);
	}
	buf_free(&so);
	free(lead);
	return any;
}

int choices_find(const struct choices *c, const char *text)
{
	char *lead = lead_of(c), label[2];
	const char *start = proper(text, lead);
	size_t len = start ? strlen(start) : 0;
	int found = -1;
	while (len > 0 && strchr(closing, start[len - 1]))
		len--;
	for (int i = 0; i < c->n && len > 0 && found < 0; i++) {
		const char *name = name_of(c, i, label), *whole = trimmed(c->texts[i]);
		const size_t at = strlen(name);
		const bool labelled = *label && at < len && strncasecmp(start, name, at) == 0 && start[at] == ')';
		if (labelled || (at == len && strncasecmp(start, name, len) == 0) ||
		    (strlen(whole) == len && strncasecmp(start, whole, len) == 0))
			found = i;
	}
	free(lead);
	return found;
}

#include "helper/server/answer.h"

#include <ctype.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/rng.h"
#include "base/sha256.h"

enum { MOST_CHOICES = 10, BARE_TOKENS = 16 };

/* A kind of question, known by how the message that asks it ends. */
struct kind {
	const char *mark, *lead;
	const char *choices[MOST_CHOICES + 1];
};

static const struct kind kinds[] = {
	{ "Verdict: A>>B", "Verdict:", { " A>>B", " A>B", " A=B", " B>A", " B>>A" } },
	{ "Winner: A", "Winner:", { " A", " B", " tie" } },
	{ "one letter and nothing else", "", { "A", "B" } },
	{ "from 1 to 10", "Score:", { " 1/10", " 2/10", " 3/10", " 4/10", " 5/10", " 6/10", " 7/10", " 8/10", " 9/10",
		" 10/10" } },
	{ "Score: X", "Score:", { " 0", " 1", " 2", " 3", " 4", " 5" } },
};

static const char words[] =
    "water light stone river cloud winter bread garden music paper window road bridge candle forest mountain "
    "letter harbour market silver copper summer evening morning number colour story answer question reason "
    "moves grows turns holds keeps gives takes finds shows makes carries follows changes remains begins ends "
    "slowly quickly often never always almost quietly clearly together under over behind between without against "
    "small large bright dark warm cold old new simple strange heavy light open quiet round sharp "
    "and but because while until where though after";

struct question {
	const struct kind *kind;        /* NULL: anything */
	int nchoices;
	double weight[MOST_CHOICES];    /* the choices' probabilities: of the messages alone */
	bool bare;                      /* the answer is a choice and nothing else */
	bool blank;                     /* after text that the assistant has begun */
	int max_tokens;
	bool greedy, logprobs;
	int top;
	char key[65];                   /* hash of the model, the messages and the temperature */
	uint64_t seed;
};

/* A token's length: white space and then letters and digits, or other signs. */
static size_t token(const char *s)
{
	size_t n = strspn(s, " \t\n\v\f\r");
	size_t from = n;

	while (s[n] && isalnum((unsigned char)s[n]))
		n++;
	if (n == from)
		while (s[n] && !isalnum((unsigned char)s[n]) && !isspace((unsigned char)s[n]))
			n++;
	return n;
}

static int count_tokens(const char *s)
{
	int n = 0;

	for (; *s; n++)
		s += token(s);
	return n;
}

static const struct kind *find_kind(const char *text)
{
	size_t len = strlen(text), tail = len < 700 ? len : 700;

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (strstr(text + len - tail, kinds[i].mark))
			return &kinds[i];
	return NULL;
}

static double number(const cJSON *request, const char *name, double otherwise)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(request, name);

	return cJSON_IsNumber(v) ? v->valuedouble : otherwise;
}

static void hash_request(struct question *q, const cJSON *request)
{
	const cJSON *model = cJSON_GetObjectItemCaseSensitive(request, "model");
	char *messages = cJSON_PrintUnformatted(cJSON_GetObjectItemCaseSensitive(request, "messages"));
	struct buf b = { 0 };
	struct sha256 sha;

	buf_printf(&b, "%s\n%s\n%.17g", cJSON_IsString(model) ? model->valuestring : "", messages,
	    number(request, "temperature", 1));
	sha256_init(&sha);
	sha256_add(&sha, b.data, b.len);
	sha256_end_hex(&sha, q->key);
	cJSON_free(messages);
	buf_free(&b);
}

static struct question question(const cJSON *request, unsigned attempt)
{
	struct question q = { .max_tokens = (int)number(request, "max_tokens", 1000) };
	const cJSON *message;

	hash_request(&q, request);
	cJSON_ArrayForEach(message, cJSON_GetObjectItemCaseSensitive(request, "messages")) {
		const char *role = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(message, "role"));
		const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(message, "content"));
		bool user = role && strcmp(role, "user") == 0;
		const struct kind *kind = user && text ? find_kind(text) : NULL;

		q.kind = kind ? kind : q.kind;
		q.blank = !user;
	}
	q.max_tokens = (int)number(request, "max_completion_tokens", q.max_tokens);
	q.greedy = number(request, "temperature", 1) == 0;
	q.seed = q.greedy ? 0 : (uint64_t)number(request, "seed", 1e12 + attempt);
	q.logprobs = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(request, "logprobs"));
	q.top = (int)number(request, "top_logprobs", 0);
	q.bare = q.kind && (q.max_tokens <= BARE_TOKENS || q.blank || !*q.kind->lead);
	if (q.kind) {
		struct rng r = rng_stream(0, q.key, "weights", 0);
		double sum = 0;

		for (; q.kind->choices[q.nchoices]; q.nchoices++)
			sum += q.weight[q.nchoices] = 0.1 + rng_uniform(&r, (uint64_t)q.nchoices);
		for (int i = 0; i < q.nchoices; i++)
			q.weight[i] /= sum;
	}
	return q;
}

static const char *choice_text(const struct question *q, int i)
{
	const char *s = q->kind->choices[i];

	return q->bare && !q->blank ? s + (*s == ' ') : s;
}

static const char *draw_choice(const struct question *q, const struct rng *r, uint64_t at)
{
	double x = rng_uniform(r, at);
	int best = 0, i = 0;

	for (int k = 1; k < q->nchoices; k++)
		best = q->weight[k] > q->weight[best] ? k : best;
	while (i < q->nchoices - 1 && x >= q->weight[i])
		x -= q->weight[i++];
	return choice_text(q, q->greedy ? best : i);
}

static void add_words(struct buf *out, const struct rng *r, int n)
{
	for (int i = 0; i < n; i++) {
		size_t at = rng_below(r, (uint64_t)i + 1, sizeof words - 1);

		while (at > 0 && words[at - 1] != ' ')
			at--;
		buf_adds(out, i ? " " : "");
		buf_add(out, words + at, strcspn(words + at, " "));
	}
	buf_addc(out, '.');
}

/* The text of choice index, cut after max_tokens; true where it was cut. */
static bool say(const struct question *q, int index, struct buf *out)
{
	struct rng r = rng_stream(q->seed, q->key, "answer", (uint64_t)index);
	size_t end = 0;
	int n = 0;

	if (q->bare) {
		buf_adds(out, draw_choice(q, &r, 0));
	} else {
		add_words(out, &r, 4 + (int)rng_below(&r, 0, 16));
		if (q->kind && rng_uniform(&r, 100) < 0.7)
			buf_printf(out, "\n\n%s%s", q->kind->lead, draw_choice(q, &r, 101));
	}
	while (out->data[end] && n < q->max_tokens) {
		end += token(out->data + end);
		n++;
	}
	out->data[out->len = end < out->len ? end : out->len] = '\0';
	return n == q->max_tokens;
}

struct candidate {
	char text[16];
	double p;
};

/* The tokens that may follow the first `at` bytes of a bare answer, by the
 * choices that begin with them; and one that is no choice's. */
static int candidates(const struct question *q, const char *answer, size_t at, struct candidate *c)
{
	double all = 0;
	int n = 0;

	for (int i = 0; i < q->nchoices; i++) {
		const char *s = choice_text(q, i);
		int k = 0;
		size_t len;

		if (strncmp(s, answer, at) != 0 || strlen(s) < at)
			continue;
		len = token(s + at);
		while (k < n && (strlen(c[k].text) != len || strncmp(c[k].text, s + at, len) != 0))
			k++;
		if (k == n)
			memcpy((c[n++] = (struct candidate){ .p = 0 }).text, s + at, len);
		c[k].p += q->weight[i];
		all += q->weight[i];
	}
	for (int k = 0; k < n; k++)
		c[k].p *= 0.9 / all;
	c[n++] = (struct candidate){ "The", 0.1 };
	return n;
}

static void add_token(struct buf *out, const char *s, size_t len, double p)
{
	buf_adds(out, "{\"token\":");
	buf_json_string(out, s, len);
	buf_adds(out, ",\"logprob\":");
	buf_json_number(out, log(p));
	buf_adds(out, ",\"bytes\":[");
	for (size_t i = 0; i < len; i++)
		buf_printf(out, i ? ",%d" : "%d", (unsigned char)s[i]);
	buf_adds(out, "]");
}

static void add_top(const struct question *q, const char *answer, size_t at, size_t len, struct buf *out)
{
	struct candidate c[MOST_CHOICES + 1];
	int n = q->bare ? candidates(q, answer, at, c) : 0;
	double p = 0.5;

	for (int k = 0; k < n; k++)
		if (strlen(c[k].text) == len && memcmp(c[k].text, answer + at, len) == 0)
			p = c[k].p;
	add_token(out, answer + at, len, p);
	buf_adds(out, ",\"top_logprobs\":[");
	for (int i = 0; i < q->top && i < n; i++) {
		int best = i;

		for (int k = i + 1; k < n; k++)
			best = c[k].p > c[best].p ? k : best;
		add_token(out, c[best].text, strlen(c[best].text), c[best].p);
		buf_adds(out, i + 1 < q->top && i + 1 < n ? "}," : "}");
		c[best] = c[i];
	}
	buf_adds(out, "]}");
}

static void add_logprobs(const struct question *q, const char *answer, struct buf *out)
{
	size_t at = 0;

	buf_adds(out, "{\"content\":[");
	while (answer[at]) {
		size_t len = token(answer + at);

		buf_adds(out, at ? "," : "");
		add_top(q, answer, at, len, out);
		at += len;
	}
	buf_adds(out, "]}");
}

static int add_choice(const struct answer_options *o, const struct question *q, int index, struct buf *body)
{
	struct buf text = { 0 };
	bool cut = say(q, index, &text);
	int tokens = count_tokens(text.data);

	buf_printf(body, "%s{\"index\":%d,\"message\":{\"role\":\"assistant\",\"content\":", index ? "," : "", index);
	buf_json_string(body, text.data, text.len);
	buf_adds(body, "},\"logprobs\":");
	if (q->logprobs && !o->no_logprobs)
		add_logprobs(q, text.data, body);
	else
		buf_adds(body, "null");
	buf_printf(body, ",\"finish_reason\":\"%s\"}", cut || o->length ? "length" : "stop");
	buf_free(&text);
	return tokens;
}

void answer_json(const struct answer_options *o, const cJSON *request, unsigned attempt, struct buf *body)
{
	struct question q = question(request, attempt);
	const cJSON *model = cJSON_GetObjectItemCaseSensitive(request, "model"), *message;
	const char *name = cJSON_IsString(model) ? model->valuestring : o->model;
	int n = o->no_n ? 1 : (int)number(request, "n", 1), out = 0, in = 0;

	buf_printf(body, "{\"id\":\"chatcmpl-%.16s\",\"object\":\"chat.completion\",\"created\":0,\"model\":", q.key);
	buf_json_string(body, name, strlen(name));
	buf_adds(body, ",\"choices\":[");
	for (int i = 0; i < n; i++)
		out += add_choice(o, &q, i, body);
	cJSON_ArrayForEach(message, cJSON_GetObjectItemCaseSensitive(request, "messages")) {
		const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(message, "content"));

		in += text ? count_tokens(text) : 0;
	}
	buf_printf(body, "],\"usage\":{\"prompt_tokens\":%d,\"completion_tokens\":%d,\"total_tokens\":%d}}\n", in, out,
	    in + out);
}

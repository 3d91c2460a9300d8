/* mr-compare: which of two models' responses is the better one. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"
#include "cli/ask.h"
#include "method/guided.h"
#include "method/template.h"
#include "method/verdict5.h"
#include "stats/markdown.h"

static const char *template_file, *protocol_name = "winner";
static bool guided;

static struct opt options[] = {
	{ OPT_STRING, "template", .value = &template_file, .arg = "FILE",
	  .help = "ask with the text in FILE: {{prompt}}, {{response_a}}, {{response_b}} [built in]" },
	{ OPT_STRING, "protocol", .value = &protocol_name, .arg = "NAME",
	  .help = "winner: reasons, then A, B or tie; alpaca: one token, its probability is the preference; "
	      "arena: reasons, then one of five verdicts [{}]" },
	{ OPT_FLAG, "guided", .value = &guided,
	  .help = "a comparison without a verdict is ended with one, chosen among the verdicts" },
	{ .kind = OPT_END },
};

static const struct cli_tool tool = {
	.name = "mr-compare",
	.usage = "[OPTION]... BASELINE MODEL",
	.summary = "Has a model compare two files' responses to the same prompts, in both orders:\n"
	    "a \"preference\" from 1 (BASELINE is better) to 2 (MODEL is better) for each prompt.",
	.needs = CLI_MODEL | CLI_SAMPLING | CLI_RECORDS | CLI_SEED,
	.options = options,
};

/* One record of BASELINE. */
struct entry {
	char *id, *prompt, *text;       /* prompt NULL where it has none */
	bool used;
};

/* How a judge is asked, and what it may answer. */
struct protocol {
	const char *name, *template;
	const struct guided *ending;    /* NULL: the answer is A or B, by their probabilities */
};

static const struct protocol protocols[] = {
	{ "winner", template_compare, &guided_verdict },
	{ "alpaca", template_compare_token, NULL },
	{ "arena", template_compare_five, &guided_verdict5 },
};

struct compare {
	const struct protocol *protocol;
	const char *template;
	struct entry *base;             /* sorted by id */
	size_t nbase, cap;
	unsigned long long identical, games, none, guided;
};

/* Game 0 shows the baseline first, game 1 the model. */
struct state {
	const struct entry *base;
	const char *text;
	bool identical;
	struct opinion game[2];
	double token[2];                /* alpaca: the probability that the model's response is better; -1: no verdict */
};

static const char *const stages[2] = { "compare/ab", "compare/ba" };
static const char *const firsts[2] = { "baseline", "model" };

static const char *response_text(const struct record *rec, struct err *err)
{
	const cJSON *responses;

	if (!record_has(rec, "responses")) {
		if (record_has(rec, "response"))
			return record_string(rec, "response", err);
		if (record_has(rec, "output"))
			return record_string(rec, "output", err);
	}
	responses = record_array(rec, "responses", "run mr-sample first", err);
	if (responses && cJSON_GetArraySize(responses) == 0) {
		err_set(err, "\"responses\" is empty");
		return NULL;
	}
	if (!responses)
		return NULL;
	return record_text(rec, cJSON_GetArrayItem(responses, 0), "responses[0]", "text", err);
}

static char *conversation(const struct record *rec, struct arena *a, struct err *err)
{
	struct buf text = { 0 };
	struct message *m;
	int n = record_messages(rec, a, &m, err);

	if (n < 0)
		return NULL;
	template_conversation(m, n, &text);
	return buf_take(&text);
}

static int add_entry(struct compare *cmp, const struct record *rec, struct err *err)
{
	const char *text = response_text(rec, err);
	struct arena a = { 0 };
	struct entry *e;

	if (!text)
		return -1;
	if (cmp->nbase == cmp->cap) {
		cmp->cap = cmp->cap ? 2 * cmp->cap : 64;
		cmp->base = mem_grow(cmp->base, cmp->cap, sizeof *cmp->base);
	}
	e = &cmp->base[cmp->nbase++];
	*e = (struct entry){ .id = mem_strdup(rec->id), .text = mem_strdup(text) };
	e->prompt = conversation(rec, &a, NULL);
	arena_free(&a);
	return 0;
}

static int by_id(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->id, ((const struct entry *)b)->id);
}

static void note_baseline(struct cli *c, struct reader *in, const char *path)
{
	struct buf b = { 0 };
	char hex[65];

	sha256_end_hex(&in->hash, hex);
	buf_adds(&b, "\"baseline\":{\"file\":");
	buf_json_string(&b, path, strlen(path));
	buf_printf(&b, ",\"sha256\":\"%s\"}", hex);
	cli_manifest_add(c, b.data);
	buf_free(&b);
}

static void read_baseline(struct cli *c, struct compare *cmp, char *path)
{
	struct reader in = { 0 };
	struct record rec;
	struct err err;
	int got;

	if (reader_open(&in, &path, 1, &err) != 0)
		cli_die(c, EXIT_NOTHING, "%s", err.msg);
	while ((got = reader_next(&in, &err)) == 1 && !cli_stopping()) {
		int rc = record_parse(&rec, in.line, in.len, &err);

		if (rc == 0) {
			rc = add_entry(cmp, &rec, &err);
			record_free(&rec);
		}
		if (rc != 0) {
			cli_warn(c, "%s:%ld: %s", in.name, in.lineno, err.msg);
			c->nfailed++;
		}
	}
	if (got < 0)
		cli_die(c, EXIT_NOTHING, "%s: %s", in.name, err.msg);
	note_baseline(c, &in, path);
	reader_close(&in);
	if (cmp->nbase == 0)
		cli_die(c, EXIT_NOTHING, "%s: there is no response in it to compare with", path);
	qsort(cmp->base, cmp->nbase, sizeof *cmp->base, by_id);
	for (size_t i = 1; i < cmp->nbase; i++)
		if (by_id(&cmp->base[i - 1], &cmp->base[i]) == 0)
			cli_die(c, EXIT_NOTHING, "%s: the id \"%.80s\" is there twice", path,
			    cmp->base[i].id);
}

static struct entry *find(const struct compare *cmp, const char *id)
{
	struct entry key = { .id = (char *)id };

	return bsearch(&key, cmp->base, cmp->nbase, sizeof *cmp->base, by_id);
}

static const char *const letters[2] = { "A", "B" };

/* For the probabilities of the two labels as the answer's first token. */
static int ask_letter(struct job *job, const struct opinion *o, struct err *err)
{
	struct message *m = arena_alloc(&job->arena, sizeof *m);
	struct llm_request r = { .messages = m, .nmessages = 1, .n = 1, .choices = letters, .nchoices = 2,
		.stage = o->stage };

	*m = (struct message){ .role = "user", .content = (char *)o->asked };
	return job_ask(job, &r, err);
}

static int take_letters(const struct job *job, struct state *s, struct err *err)
{
	for (int i = 0; i < 2; i++) {
		const struct llm_completion *c = ask_answer(job, s->game[i].request, 0, err);

		if (!c)
			return -1;
		if (c->logprobs) {
			s->game[i].text = letters[c->logprobs[1] > c->logprobs[0]];
			s->token[i] = exp(c->logprobs[i == 0 ? 1 : 0]);
		} else {        /* a server that only says which */
			s->game[i].text = c->text;
			s->token[i] = c->choice < 0 ? -1 : c->choice == (i == 0 ? 1 : 0);
		}
	}
	return 1;
}

static int ask_games(const struct compare *cmp, struct job *job, const char *prompt, struct err *err)
{
	struct state *s = job->state;

	for (int i = 0; i < 2; i++) {
		const struct template_value values[] = { { "prompt", prompt },
			{ "response_a", i == 0 ? s->base->text : s->text },
			{ "response_b", i == 0 ? s->text : s->base->text } };
		struct opinion *o = &s->game[i];

		*o = (struct opinion){ .asked = ask_render(job, cmp->template, values, 3), .stage = stages[i],
			.request = i };
		if (cmp->protocol->ending ? ask_user(job, o->asked, 1, o->stage, 0, err) : ask_letter(job, o, err))
			return -1;
	}
	return 0;
}

static int ask(const struct compare *cmp, struct job *job, struct err *err)
{
	struct state *s = job->state = arena_alloc(&job->arena, sizeof *s);
	struct entry *base = find(cmp, job->rec.id);
	char *prompt;
	int rc = 0;

	s->base = base;
	s->text = response_text(&job->rec, err);
	if (!s->text)
		return -1;
	if (!base)
		return err_set(err, "the id \"%.80s\" is not in the baseline's file", job->rec.id);
	base->used = true;
	prompt = conversation(&job->rec, &job->arena, err);
	if (!prompt)
		return -1;
	s->identical = strcmp(s->text, base->text) == 0;
	if (base->prompt && strcmp(base->prompt, prompt) != 0)
		rc = err_set(err, "the prompt is not the one that \"%.80s\" has in the baseline's file",
		    job->rec.id);
	else if (!s->identical)
		rc = ask_games(cmp, job, prompt, err);
	free(prompt);
	return rc;
}

/* How much better A is: 1, 0 or -1 (arena: up to 2). false: no verdict. */
static bool read_verdict(const struct compare *cmp, const char *text, int *verdict)
{
	enum verdict v;

	if (cmp->protocol->ending == &guided_verdict5)
		return verdict5_parse(text, verdict);
	v = verdict_parse(text);
	*verdict = v == VERDICT_A ? 1 : v == VERDICT_B ? -1 : 0;
	return v != VERDICT_NONE;
}

/* 1: the baseline won, 2: the model, 1.5: a tie, or what is between; 0: no verdict. */
static double game_value(const struct compare *cmp, const struct state *s, int i)
{
	int verdict;

	if (!cmp->protocol->ending)
		return 1 + s->token[i];
	if (!read_verdict(cmp, s->game[i].text, &verdict))
		return 0;
	verdict = i == 0 ? -verdict : verdict;
	return verdict > 0 ? 2 : verdict < 0 ? 1 : 1.5;
}

static const char *winner_json(double value)
{
	return value == 0 ? "null" : value < 1.5 ? "\"baseline\"" : value > 1.5 ? "\"model\"" : "\"tie\"";
}

/* The id and what groups prompts in a report, as they came. */
static void copy_fields(const struct record *rec, struct buf *out)
{
	static const char *const fields[] = { "category", "dataset", NULL };
	struct json_span whole = { 0, rec->len }, value;

	buf_adds(out, "{\"id\":");
	if (json_member(rec->line, whole, "id", &value))
		buf_add(out, rec->line + value.start, value.end - value.start);
	else
		buf_json_string(out, rec->id, strlen(rec->id));
	for (const char *const *f = fields; *f; f++) {
		if (!json_member(rec->line, whole, *f, &value))
			continue;
		buf_printf(out, ",\"%s\":", *f);
		buf_add(out, rec->line + value.start, value.end - value.start);
	}
}

static void games_json(struct compare *cmp, const struct state *s, struct buf *out)
{
	buf_adds(out, ",\"games\":[");
	for (int i = 0; i < 2 && !s->identical; i++) {
		const struct opinion *o = &s->game[i];
		double value = game_value(cmp, s, i);
		int verdict;

		cmp->games++;
		cmp->none += value == 0;
		cmp->guided += o->guided;
		buf_printf(out, "%s{\"first\":\"%s\",\"winner\":%s", i ? "," : "", firsts[i], winner_json(value));
		if (!cmp->protocol->ending) {
			buf_adds(out, ",\"preference\":");
			buf_json_number(out, value);
		} else if (cmp->protocol->ending == &guided_verdict5) {
			bool any = verdict5_parse(o->text, &verdict);

			buf_printf(out, any ? ",\"label\":\"%s\"" : ",\"label\":null",
			    any ? verdict5_labels[2 - verdict] : "");
		}
		buf_adds(out, ",\"text\":");
		buf_json_string(out, o->text, strlen(o->text));
		buf_adds(out, o->guided ? ",\"guided\":true}" : "}");
	}
	buf_adds(out, "]}\n");
}

/* What mr-eval arena --style controls for. */
static void style_json(const char *text, int side, struct buf *out)
{
	struct markdown m = markdown_count(text, strlen(text));

	buf_printf(out, ",\"headers_%d\":%zu,\"lists_%d\":%zu,\"bold_%d\":%zu", side, m.headers, side, m.lists,
	    side, m.bold);
}

static void write_preference(struct compare *cmp, struct job *job)
{
	const struct state *s = job->state;
	struct buf *out = &job->out;
	double sum = 0;
	int n = 0;

	for (int i = 0; i < 2 && !s->identical; i++) {
		double value = game_value(cmp, s, i);

		sum += value;
		n += value > 0;
	}
	copy_fields(&job->rec, out);
	buf_adds(out, ",\"preference\":");
	if (s->identical)
		buf_adds(out, "1.5");
	else if (n == 0)
		buf_adds(out, "null");
	else
		buf_json_number(out, sum / n);
	buf_printf(out, ",\"len_1\":%zu,\"len_2\":%zu", utf8_length(s->base->text, strlen(s->base->text)),
	    utf8_length(s->text, strlen(s->text)));
	if (cmp->protocol->ending == &guided_verdict5) {
		style_json(s->base->text, 1, out);
		style_json(s->text, 2, out);
	}
	cmp->identical += s->identical;
	games_json(cmp, s, out);
}

static int step(void *arg, struct job *job, struct err *err)
{
	struct compare *cmp = arg;
	struct state *s = job->state;

	if (job->step == 0) {
		if (ask(cmp, job, err) != 0)
			return -1;
		if (job->nanswers > 0)
			return 0;
	} else {
		const struct guided *ending = cmp->protocol->ending;
		int done = ending ? ask_opinions(job, s->game, 2, ending, guided, err) : take_letters(job, s, err);

		if (done != 1)
			return done;
	}
	write_preference(cmp, job);
	return 0;
}

static void free_baseline(struct compare *cmp)
{
	for (size_t i = 0; i < cmp->nbase; i++) {
		free(cmp->base[i].id);
		free(cmp->base[i].prompt);
		free(cmp->base[i].text);
	}
	free(cmp->base);
}

static void notes(struct cli *c, const struct compare *cmp)
{
	size_t unused = 0;

	for (size_t i = 0; i < cmp->nbase; i++)
		unused += !cmp->base[i].used;
	buf_printf(&c->notes, "%llu games, %llu without a verdict", cmp->games, cmp->none);
	if (guided)
		buf_printf(&c->notes, ", %llu guided", cmp->guided);
	if (cmp->identical)
		buf_printf(&c->notes, ", %llu identical pairs not asked about", cmp->identical);
	if (unused)
		buf_printf(&c->notes, "; %zu of the baseline's records were not compared", unused);
}

static const struct protocol *find_protocol(struct cli *c)
{
	for (size_t i = 0; i < sizeof protocols / sizeof *protocols; i++)
		if (strcmp(protocol_name, protocols[i].name) == 0)
			return &protocols[i];
	cli_usage(c, "--protocol: \"%s\" is none of winner, alpaca, arena", protocol_name);
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "prompt", "response_a", "response_b", NULL };
	static struct compare cmp = { 0 };
	static struct cli c = { .params = { .temperature = 0, .top_p = 1, .max_tokens = 1024 } };
	struct err err;

	cli_start(&c, &tool, argc, argv);
	if (c.noperands != 2)
		cli_usage(&c, "two files are wanted: the baseline's responses and the model's");
	cmp.protocol = find_protocol(&c);
	cmp.template = ask_template(&c, template_file, cmp.protocol->template, names);
	read_baseline(&c, &cmp, c.operands[0]);
	/* The loop's input is the second file alone. */
	reader_close(&c.reader);
	memset(&c.reader, 0, sizeof c.reader);
	c.operands++;
	c.noperands--;
	if (reader_open(&c.reader, c.operands, c.noperands, &err) != 0)
		cli_die(&c, EXIT_NOTHING, "%s", err.msg);
	cli_model(&c);
	cli_records(&c, step, &cmp);
	notes(&c, &cmp);
	free_baseline(&cmp);
	return cli_finish(&c);
}

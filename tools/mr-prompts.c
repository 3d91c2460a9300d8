/* mr-prompts: new prompts after the pattern of some. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "cli/ask.h"
#include "method/newprompt.h"
#include "method/rouge.h"
#include "method/template.h"

static int n = 100, shots = 8, max_chars = 1000, max_tries;
static double max_rouge = 0.7;
static const char *template_file, *prefix = "new";

static struct opt options[] = {
	{ OPT_INT, "n", 'n', &n, .arg = "N", .help = "new prompts wanted [{}]", .min = 1, .max = 1e8 },
	{ OPT_INT, "shots", .value = &shots, .arg = "N",
	  .help = "seed prompts shown as examples each time [{}]", .min = 1, .max = 1000 },
	{ OPT_DOUBLE, "max-rouge", .value = &max_rouge, .arg = "X",
	  .help = "drop a prompt whose ROUGE-L with a seed or an earlier one is X or more [{}]",
	  .min = 0, .max = 2 },
	{ OPT_INT, "max-chars", .value = &max_chars, .arg = "N",
	  .help = "drop a prompt of more than N characters [{}]", .min = 1, .max = 1e9 },
	{ OPT_INT, "max-tries", .value = &max_tries, .arg = "N",
	  .help = "stop after N tries; 0: ten for each prompt wanted [{}]", .min = 0, .max = 2e9 },
	{ OPT_STRING, "prefix", .value = &prefix, .arg = "TEXT", .help = "ids are TEXT-0, TEXT-1, … [{}]" },
	{ OPT_STRING, "template", .value = &template_file, .arg = "FILE",
	  .help = "ask with the text in FILE: {{examples}} [built in]" },
	{ .kind = OPT_END },
};

static const struct cli_tool tool = {
	.name = "mr-prompts",
	.usage = "[OPTION]... [SEEDS]...",
	.summary = "Has a model write new prompts after examples drawn from the seed prompts.",
	.needs = CLI_MODEL | CLI_SAMPLING | CLI_RECORDS | CLI_SEED,
	.options = options,
};

/* Tries are asked for ahead of their turn and decided in order. */
struct try {
	bool answered;
	char *text;             /* NULL: the request failed */
	enum llm_finish finish;
};

struct prompts {
	struct cli *c;
	const char *template;
	char **known;           /* the seeds, then the new ones */
	size_t nknown, cap, nseeds;
	struct try *tries;      /* of decided … asked - 1, at k % window */
	int window, first, asked, decided, last, kept;
	int empty, cut, too_long, near, failed;
};

static void add_known(struct prompts *p, const char *text)
{
	if (p->nknown == p->cap) {
		p->cap = p->cap ? 2 * p->cap : 64;
		p->known = mem_grow(p->known, p->cap, sizeof *p->known);
	}
	p->known[p->nknown++] = mem_strdup(text);
}

/* A record's prompt: what the user says first. */
static int add_seed(struct prompts *p, const struct record *rec, struct err *err)
{
	struct arena a = { 0 };
	struct message *m;
	int nm = record_messages(rec, &a, &m, err), i = 0;

	if (nm >= 0) {
		while (i < nm && strcmp(m[i].role, "user") != 0)
			i++;
		if (i == nm)
			nm = err_set(err, "\"messages\" has no user's turn");
		else
			add_known(p, m[i].content);
	}
	arena_free(&a);
	return nm < 0 ? -1 : 0;
}

/* The try's number in an id of ours, or -1. */
static long number_of(const char *id)
{
	size_t len = strlen(prefix);
	char *end;
	long k;

	if (strncmp(id, prefix, len) != 0 || id[len] != '-' || !isdigit((unsigned char)id[len + 1]))
		return -1;
	k = strtol(id + len + 1, &end, 10);
	return *end == '\0' ? k : -1;
}

static void read_seeds(struct prompts *p)
{
	struct record rec;
	struct err err;

	while (!cli_stopping() && cli_next_record(p->c, &rec)) {
		if (number_of(rec.id) >= 0)
			cli_usage(p->c, "--prefix: the seeds have the id \"%.80s\"; choose another prefix",
			    rec.id);
		if (add_seed(p, &rec, &err) != 0)
			cli_reject(p->c, &rec, &err);
		record_free(&rec);
	}
	p->nseeds = p->nknown;
	if (cli_stopping())
		exit(cli_finish(p->c));
	if (p->nseeds == 0)
		cli_die(p->c, EXIT_NOTHING, "there are no seed prompts");
	if ((size_t)shots > p->nseeds)
		shots = (int)p->nseeds;
}

/* What an earlier run kept counts as kept; it goes on behind the last one. */
static void read_resumed(struct prompts *p, char *path)
{
	struct reader in = { 0 };
	struct record rec;
	struct err err;

	if (access(path, F_OK) != 0)
		return;         /* nothing was done before */
	if (reader_open(&in, &path, 1, &err) != 0)
		cli_die(p->c, EXIT_NOTHING, "%s", err.msg);
	while (reader_next(&in, &err) == 1) {
		long k;

		if (record_parse(&rec, in.line, in.len, &err) != 0)
			continue;
		k = number_of(rec.id);
		if (k >= 0 && k < p->last && add_seed(p, &rec, &err) == 0) {
			p->kept++;
			p->c->nskipped++;
			if (k >= p->first)
				p->first = (int)k + 1;
		}
		record_free(&rec);
	}
	reader_close(&in);
}

static void examples(const struct prompts *p, int k, struct buf *out)
{
	struct rng rng = rng_stream(p->c->seed, "", "prompts", (uint64_t)k);
	uint32_t *perm = mem_zalloc(p->nseeds, sizeof *perm);

	rng_shuffle(&rng, perm, (uint32_t)p->nseeds);
	for (int i = 0; i < shots; i++)
		buf_printf(out, "%sPrompt %d:\n%s", i ? "\n\n" : "", i + 1, p->known[perm[i]]);
	free(perm);
}

static void submit(struct prompts *p, int k)
{
	struct try *t = &p->tries[k % p->window];
	struct buf shown = { 0 }, text = { 0 };
	struct template_value value;
	struct message m = { .role = "user" };
	struct llm_request r = { .messages = &m, .nmessages = 1, .n = 1, .params = p->c->params };
	struct err err;

	examples(p, k, &shown);
	value = (struct template_value){ "examples", shown.data };
	template_render(p->template, &value, 1, &text);
	m.content = text.data;
	r.seed = p->c->seed;
	r.id = "";
	r.stage = "prompts/text";
	r.first = (uint64_t)k;
	*t = (struct try){ 0 };
	if (llm_submit(p->c->model_handle, &r, t, &err) != 0) {
		cli_warn(p->c, "try %d: %s", k, err.msg);
		t->answered = true;
	}
	buf_free(&shown);
	buf_free(&text);
}

static void take_answer(struct prompts *p, struct llm_answer *a)
{
	struct try *t = a->tag;

	t->answered = true;
	if (a->err) {
		cli_warn(p->c, "%s", a->err->msg);
	} else {
		t->text = mem_strdup(a->completions[0].text);
		t->finish = a->completions[0].finish;
	}
	llm_answer_free(a);
}

static bool near_duplicate(const struct prompts *p, const char *text)
{
	for (size_t i = 0; i < p->nknown; i++)
		if (rouge_l(p->known[i], text) >= max_rouge)
			return true;
	return false;
}

static void keep(struct prompts *p, int k, const char *text)
{
	struct buf line = { 0 }, id = { 0 };

	buf_printf(&id, "%s-%d", prefix, k);
	buf_adds(&line, "{\"id\":");
	buf_json_string(&line, id.data, id.len);
	buf_adds(&line, ",\"prompt\":");
	buf_json_string(&line, text, strlen(text));
	buf_adds(&line, "}\n");
	cli_write(p->c, line.data, line.len);
	add_known(p, text);
	p->kept++;
	p->c->ndone++;
	buf_free(&id);
	buf_free(&line);
}

static void decide(struct prompts *p, int k)
{
	struct try *t = &p->tries[k % p->window];
	struct buf text = { 0 };

	if (t->text)
		newprompt_clean(t->text, &text);
	if (!t->text)
		p->failed++;
	else if (t->finish == LLM_LENGTH)
		p->cut++;
	else if (text.len == 0)
		p->empty++;
	else if (utf8_length(text.data, text.len) > (size_t)max_chars)
		p->too_long++;
	else if (near_duplicate(p, text.data))
		p->near++;
	else
		keep(p, k, text.data);
	free(t->text);
	t->text = NULL;
	buf_free(&text);
}

static void run(struct prompts *p)
{
	struct llm *l = p->c->model_handle;
	struct llm_answer *answer;
	struct err err;

	p->window = 4 * llm_batch(l);
	p->tries = mem_zalloc((size_t)p->window, sizeof *p->tries);
	p->asked = p->decided = p->first;
	while (p->kept < n && p->decided < p->last && !cli_stopping() && !p->c->spent) {
		while (p->asked < p->last && p->asked - p->decided < p->window &&
		    llm_waiting(l) < llm_batch(l))
			submit(p, p->asked++);
		if (!p->tries[p->decided % p->window].answered) {
			int got = llm_next(l, &answer, &err);

			if (got < 0)
				cli_die(p->c, EXIT_NOTHING, "%s", err.msg);
			if (got > 0)
				take_answer(p, answer);
			else if (llm_spent(l))
				p->c->spent = true;
		}
		while (p->kept < n && p->decided < p->asked && p->tries[p->decided % p->window].answered)
			decide(p, p->decided++);
		p->c->progress.done = (uint64_t)p->kept;
		p->c->progress.tokens = llm_usage(l).tokens_out;
		progress_update(&p->c->progress);
	}
	for (int k = p->decided; k < p->asked; k++)
		free(p->tries[k % p->window].text);
	free(p->tries);
	while (p->nknown > 0)
		free(p->known[--p->nknown]);
	free(p->known);
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "examples", NULL };
	static struct cli c = { .params = { .temperature = 0.8, .top_p = 0.95, .max_tokens = 256 } };
	static struct prompts p = { .c = &c };
	int status;

	cli_start(&c, &tool, argc, argv);
	p.template = ask_template(&c, template_file, template_prompts, names);
	p.last = max_tries > 0 ? max_tries : 10 * n;
	read_seeds(&p);
	if (c.resume)
		read_resumed(&p, (char *)c.resume);
	c.progress.unit = "prompts";
	c.progress.total = (uint64_t)n;
	cli_model(&c);
	run(&p);
	buf_printf(&c.notes, "%d kept of %d tries (%d near duplicates, %d cut off, %d too long, %d empty, "
	    "%d failed)", p.kept, p.decided, p.near, p.cut, p.too_long, p.empty, p.failed);
	if (p.kept == 0 && !cli_stopping())
		cli_die(&c, EXIT_NOTHING, "no new prompt: %s", c.notes.data);
	status = cli_finish(&c);
	if (status == EXIT_OK && p.kept < n) {
		cli_warn(&c, "only %d of %d prompts; more seeds, --max-tries or --max-rouge give more",
		    p.kept, n);
		status = EXIT_SOME;
	}
	return status;
}

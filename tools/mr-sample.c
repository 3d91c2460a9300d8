/* mr-sample: n responses to each prompt. */
#include <string.h>

#include "cli/ask.h"
#include "base/buf.h"

static int n = 7;
static bool overwrite;

static struct opt options[] = {
	{ OPT_INT, "n", 'n', &n, .arg = "N",
	  .help = "responses to sample for each prompt [{}]", .min = 1, .max = 10000 },
	{ OPT_FLAG, "overwrite", .value = &overwrite, .help = "replace the responses a record has" },
	{ .kind = OPT_END },
};

static const struct cli_tool tool = {
	.name = "mr-sample",
	.usage = "[OPTION]... [FILE]...",
	.summary = "Samples responses to prompts: each record gets \"responses\".",
	.needs = CLI_MODEL | CLI_SAMPLING | CLI_RECORDS | CLI_SEED,
	.options = options,
};

struct counts {
	unsigned long long responses, duplicates, cut;
};

static int ask(struct job *job, struct err *err)
{
	struct llm_request r = { 0 };
	struct message *m;

	if (record_has(&job->rec, "responses") && !overwrite)
		return err_set(err, "\"responses\" is there already; --overwrite samples anew");
	r.nmessages = record_messages(&job->rec, &job->arena, &m, err);
	if (r.nmessages < 0)
		return -1;
	r.messages = m;
	r.n = n;
	r.stage = "sample";
	return job_ask(job, &r, err);
}

static bool seen_before(const struct llm_answer *a, int j)
{
	for (int i = 0; i < j; i++)
		if (strcmp(a->completions[i].text, a->completions[j].text) == 0)
			return true;
	return false;
}

static void response_json(struct buf *out, const struct llm_completion *c)
{
	buf_adds(out, "{\"text\":");
	buf_json_string(out, c->text, strlen(c->text));
	buf_adds(out, ",\"tokens\":");
	if (c->tokens >= 0)
		buf_printf(out, "%d", c->tokens);
	else
		buf_adds(out, "null");
	buf_printf(out, ",\"finish\":\"%s\"}", finish_name(c->finish));
}

static int step(void *arg, struct job *job, struct err *err)
{
	static const char *const stale[] = { "judge_template", "actor", "meta", "judge", NULL };
	struct counts *counts = arg;
	const struct llm_answer *a;
	struct buf json = { 0 };

	if (job->step == 0)
		return ask(job, err);
	a = job->answers[0];
	buf_addc(&json, '[');
	for (int j = 0; j < a->n; j++) {
		if (seen_before(a, j)) {
			counts->duplicates++;
			continue;
		}
		buf_adds(&json, json.len > 1 ? "," : "");
		response_json(&json, &a->completions[j]);
		counts->responses++;
		counts->cut += a->completions[j].finish == LLM_LENGTH;
	}
	buf_addc(&json, ']');
	record_set(&job->rec, "responses", json.data);
	clear_fields(&job->rec, stale);
	buf_free(&json);
	return 0;
}

int main(int argc, char **argv)
{
	struct counts counts = { 0 };
	static struct cli c = { .params = { .temperature = 0.8, .top_p = 0.95, .max_tokens = 1024 } };

	cli_start(&c, &tool, argc, argv);
	cli_model(&c);
	cli_records(&c, step, &counts);
	buf_printf(&c.notes, "%llu responses (%llu cut off by --max-tokens), %llu duplicates dropped",
	    counts.responses, counts.cut, counts.duplicates);
	return cli_finish(&c);
}

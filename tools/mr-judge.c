/* mr-judge: n judgments of each response, and the mean of their scores. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "cli/ask.h"
#include "method/guided.h"
#include "method/lengthctl.h"
#include "method/template.h"

static int n = 11;
static const char *template_file, *scale_name = "0-5";
static bool overwrite, guided, print_template;

static struct opt options[] = {
	{ OPT_INT, "n", 'n', &n, .arg = "N",
	  .help = "judgments of each response [{}]", .min = 1, .max = 10000 },
	{ OPT_STRING, "template", .value = &template_file, .arg = "FILE",
	  .help = "ask with the text in FILE: {{prompt}}, {{response}} [built in]" },
	{ OPT_STRING, "scale", .value = &scale_name, .arg = "SCALE",
	  .help = "scores are from 0 to 5, by the rubric (0-5), or grades from 1 to 10 (1-10) [{}]" },
	{ OPT_FLAG, "print-template", .value = &print_template,
	  .help = "write the template that would be asked with, and stop" },
	{ OPT_FLAG, "guided", .value = &guided,
	  .help = "a judgment without a usable score is ended with one, sampled among those of the scale" },
	{ OPT_FLAG, "overwrite", .value = &overwrite, .help = "replace the judgments a record has" },
	{ .kind = OPT_END },
};

static const struct cli_tool tool = {
	.name = "mr-judge",
	.usage = "[OPTION]... [FILE]...",
	.summary = "Has a model score each response of a record: \"judgments\" and their mean, \"score\".",
	.needs = CLI_MODEL | CLI_SAMPLING | CLI_RECORDS | CLI_SEED,
	.options = options,
};

struct judge {
	const char *template;
	struct score_scale scale;
	const struct guided *ending;
	char tag[17];
	unsigned long long judgments, with_score, guided;
};

struct state {
	int nresponses;
	struct opinion *o;      /* (nresponses, n) */
};

static int check_response(const struct record *rec, const cJSON *response, int i, const char **text,
    struct err *err)
{
	char where[40];

	snprintf(where, sizeof where, "responses[%d]", i);
	*text = record_text(rec, response, where, "text", err);
	if (!*text)
		return -1;
	if (cJSON_GetObjectItemCaseSensitive(response, "judgments") && !overwrite)
		return err_set(err, "%s has \"judgments\" already; --overwrite judges anew", where);
	return 0;
}

/* n judgments of response i. */
static int ask_about(const struct judge *judge, struct job *job, int i, const char *prompt, const char *text,
    struct err *err)
{
	const struct template_value values[] = { { "prompt", prompt }, { "response", text } };
	struct opinion *o = ((struct state *)job->state)->o + (size_t)i * (size_t)n;
	const char *asked = ask_render(job, judge->template, values, 2);
	const char *stage = arena_printf(&job->arena, "judge/%d", i);

	for (int j = 0; j < n; j++)
		o[j] = (struct opinion){ .asked = asked, .stage = stage, .request = i, .j = j };
	return ask_user(job, asked, n, stage, 0, err);
}

/* One request a response, so that its judgments do not depend on how many
 * responses there are. */
static int ask(const struct judge *judge, struct job *job, struct err *err)
{
	struct state *s = job->state = arena_alloc(&job->arena, sizeof *s);
	const cJSON *responses = record_array(&job->rec, "responses", "run mr-sample first", err), *r;
	struct buf prompt = { 0 };
	struct message *m;
	int nm, i = 0, rc = 0;

	if (!responses || (nm = record_messages(&job->rec, &job->arena, &m, err)) < 0)
		return -1;
	s->nresponses = cJSON_GetArraySize(responses);
	s->o = arena_alloc(&job->arena, (size_t)s->nresponses * (size_t)n * sizeof *s->o);
	template_conversation(m, nm, &prompt);
	cJSON_ArrayForEach(r, responses) {
		const char *text;

		rc = check_response(&job->rec, r, i, &text, err);
		if (rc == 0)
			rc = ask_about(judge, job, i++, prompt.data, text, err);
		if (rc != 0)
			break;
	}
	buf_free(&prompt);
	return rc;
}

static void judgments_json(const struct opinion *o, const double *score, const bool *valid, struct buf *out)
{
	buf_addc(out, '[');
	for (int j = 0; j < n; j++) {
		buf_adds(out, j ? ",{\"text\":" : "{\"text\":");
		buf_json_string(out, o[j].text, strlen(o[j].text));
		buf_adds(out, ",\"score\":");
		if (valid[j])
			buf_json_number(out, score[j]);
		else
			buf_adds(out, "null");
		buf_printf(out, ",\"finish\":\"%s\"%s}", finish_name(o[j].finish),
		    o[j].guided ? ",\"guided\":true" : "");
	}
	buf_addc(out, ']');
}

static void set_response(struct judge *judge, struct job *job, size_t i)
{
	const struct opinion *o = ((struct state *)job->state)->o + i * (size_t)n;
	double *score = mem_zalloc((size_t)n, sizeof *score);
	bool *valid = mem_zalloc((size_t)n, sizeof *valid);
	struct score_stats stats;
	struct buf value = { 0 };

	for (int j = 0; j < n; j++) {
		valid[j] = score_parse(o[j].text, judge->scale, &score[j]) == SCORE_OK;
		judge->guided += o[j].guided;
	}
	stats = score_stats(score, valid, (size_t)n);
	judge->judgments += (unsigned long long)n;
	judge->with_score += (unsigned long long)stats.n;
	judgments_json(o, score, valid, &value);
	record_set_in(&job->rec, "responses", i, "judgments", value.data);
	buf_reset(&value);
	buf_json_number(&value, stats.mean);
	record_set_in(&job->rec, "responses", i, "score", stats.n ? value.data : "null");
	buf_reset(&value);
	buf_json_number(&value, stats.var);
	record_set_in(&job->rec, "responses", i, "score_var", stats.n ? value.data : "null");
	buf_reset(&value);
	buf_printf(&value, "%d", stats.n);
	record_set_in(&job->rec, "responses", i, "score_n", value.data);
	buf_free(&value);
	free(score);
	free(valid);
}

static void set_fields(struct judge *judge, struct job *job)
{
	static const char *const stale[] = { "actor", "meta", "judge", NULL };
	const struct state *s = job->state;
	char tag[20];

	for (int i = 0; i < s->nresponses; i++)
		set_response(judge, job, (size_t)i);
	snprintf(tag, sizeof tag, "\"%s\"", judge->tag);
	record_set(&job->rec, "judge_template", tag);
	clear_fields(&job->rec, stale);
}

static int step(void *arg, struct job *job, struct err *err)
{
	struct judge *judge = arg;
	struct state *s = job->state;

	if (job->step == 0) {
		if (ask(judge, job, err) != 0)
			return -1;
		if (job->nanswers > 0)
			return 0;
	} else {
		int done = ask_opinions(job, s->o, (size_t)s->nresponses * (size_t)n, judge->ending, guided, err);

		if (done != 1)
			return done;
	}
	set_fields(judge, job);
	return 0;
}

static int print(struct cli *c, const char *text)
{
	struct err err;

	cli_write(c, text, strlen(text));
	if (out_commit(c->out, &err) != 0)
		cli_die(c, EXIT_NOTHING, "%s", err.msg);
	out_abort_all();
	return EXIT_OK;
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "prompt", "response", NULL };
	static struct judge judge = { 0 };
	static struct cli c = { .params = { .temperature = 0.8, .top_p = 0.95, .max_tokens = 1024 } };
	bool grades;

	cli_start(&c, &tool, argc, argv);
	grades = strcmp(scale_name, "1-10") == 0;
	if (!grades && strcmp(scale_name, "0-5") != 0)
		cli_usage(&c, "--scale: \"%s\" is neither 0-5 nor 1-10", scale_name);
	judge.scale = grades ? guided_grades : guided_scale;
	judge.ending = grades ? &guided_grade : &guided_score;
	judge.template = ask_template(&c, template_file, grades ? template_grade : template_judge, names);
	if (print_template)
		return print(&c, judge.template);
	template_tag(judge.template, judge.tag);
	cli_model(&c);
	cli_records(&c, step, &judge);
	buf_printf(&c.notes, "%llu judgments, %llu with a score", judge.judgments, judge.with_score);
	if (guided)
		buf_printf(&c.notes, " (%llu guided)", judge.guided);
	return cli_finish(&c);
}

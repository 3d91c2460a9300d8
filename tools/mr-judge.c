/* mr-judge: n judgments of each response, and the mean of their scores. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ask.h"
#include "method/guided.h"
#include "method/lengthctl.h"
#include "method/template.h"
#include "record/json.h"

static int n = 11;
static const char *template_file;
static bool overwrite, guided, print_template;

static struct opt options[] = {
	{ OPT_INT, "n", 'n', &n, .arg = "N",
	  .help = "judgments of each response [{}]", .min = 1, .max = 10000 },
	{ OPT_STRING, "template", .value = &template_file, .arg = "FILE",
	  .help = "ask with the text in FILE: {{prompt}}, {{response}} [built in]" },
	{ OPT_FLAG, "print-template", .value = &print_template,
	  .help = "write the template that would be asked with, and stop" },
	{ OPT_FLAG, "guided", .value = &guided,
	  .help = "a judgment without a usable score is ended with one, sampled among 0 to 5" },
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
	char tag[17];
	unsigned long long judgments, with_score, guided;
};

struct judgment {
	const char *text;
	enum llm_finish finish;
	enum score_status status;
	double score;
	bool guided;
	int answer;             /* of the forced ending; -1: none was asked for */
	char *prefix;
};

struct state {
	int nresponses;
	char **asked;           /* (nresponses) the judge's prompts */
	size_t njudgments;
	struct judgment *j;     /* (nresponses, n) */
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

static char *render(struct job *job, const char *template, const char *prompt, const char *response)
{
	struct template_value values[] = { { "prompt", prompt }, { "response", response } };
	struct buf text = { 0 };
	char *kept;

	template_render(template, values, 2, &text);
	kept = arena_strndup(&job->arena, text.len ? text.data : "", text.len);
	buf_free(&text);
	return kept;
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
	s->asked = arena_alloc(&job->arena, (size_t)s->nresponses * sizeof *s->asked);
	template_conversation(m, nm, &prompt);
	cJSON_ArrayForEach(r, responses) {
		char stage[40];
		const char *text;

		rc = check_response(&job->rec, r, i, &text, err);
		if (rc != 0)
			break;
		s->asked[i] = render(job, judge->template, prompt.data, text);
		snprintf(stage, sizeof stage, "judge/%d", i);
		rc = ask_user(job, s->asked[i++], n, stage, 0, err);
		if (rc != 0)
			break;
	}
	buf_free(&prompt);
	return rc;
}

static int take_judgments(struct job *job, struct err *err)
{
	struct state *s = job->state;

	s->njudgments = (size_t)s->nresponses * (size_t)n;
	s->j = arena_alloc(&job->arena, s->njudgments * sizeof *s->j);
	for (size_t k = 0; k < s->njudgments; k++) {
		size_t response = k / (size_t)n, i = k % (size_t)n;
		const struct llm_completion *c = ask_answer(job, (int)response, (int)i, err);

		if (!c)
			return -1;
		s->j[k] = (struct judgment){ .text = c->text, .finish = c->finish, .answer = -1 };
		s->j[k].status = score_parse(c->text, guided_scale, &s->j[k].score);
	}
	return 0;
}

/* A prompt and a judgment that fill the context leave no room for an
 * ending: the judgment then stays without a score. */
static void ask_endings(struct job *job)
{
	struct state *s = job->state;
	struct buf prefix = { 0 };
	char stage[40];

	for (size_t k = 0; k < s->njudgments; k++) {
		struct judgment *j = &s->j[k];
		size_t response = k / (size_t)n;

		if (j->status == SCORE_OK)
			continue;
		buf_reset(&prefix);
		guided_score_prefix(j->text, &prefix);
		j->prefix = arena_strndup(&job->arena, prefix.data, prefix.len);
		snprintf(stage, sizeof stage, "judge/%zu/guided", response);
		j->answer = job->nanswers;
		if (ask_ending(job, s->asked[response], j->prefix, guided_scores, GUIDED_SCORES, stage,
		    k % (size_t)n, NULL) != 0)
			j->answer = -1;
	}
	buf_free(&prefix);
}

static int take_endings(struct job *job, struct err *err)
{
	struct state *s = job->state;

	for (size_t k = 0; k < s->njudgments; k++) {
		struct judgment *j = &s->j[k];
		const struct llm_completion *c;

		if (j->answer < 0)
			continue;
		c = ask_answer(job, j->answer, 0, err);
		if (!c)
			return -1;
		j->text = arena_printf(&job->arena, "%s%s", j->prefix, guided_scores[c->choice]);
		j->status = score_parse(j->text, guided_scale, &j->score);
		j->guided = true;
	}
	return 0;
}

static void judgments_json(const struct judgment *j, struct buf *out)
{
	buf_addc(out, '[');
	for (int k = 0; k < n; k++, j++) {
		buf_adds(out, k ? ",{\"text\":" : "{\"text\":");
		json_string(out, j->text, strlen(j->text));
		buf_adds(out, ",\"score\":");
		if (j->status == SCORE_OK)
			json_number(out, j->score);
		else
			buf_adds(out, "null");
		buf_printf(out, ",\"finish\":\"%s\"%s}", finish_name(j->finish),
		    j->guided ? ",\"guided\":true" : "");
	}
	buf_addc(out, ']');
}

static void set_response(struct judge *judge, struct job *job, size_t i)
{
	const struct judgment *j = ((struct state *)job->state)->j + i * (size_t)n;
	double *score = mem_zalloc((size_t)n, sizeof *score);
	bool *valid = mem_zalloc((size_t)n, sizeof *valid);
	struct score_stats stats;
	struct buf value = { 0 };

	for (int k = 0; k < n; k++) {
		valid[k] = j[k].status == SCORE_OK;
		score[k] = valid[k] ? j[k].score : 0;
		judge->guided += j[k].guided;
	}
	stats = score_stats(score, valid, (size_t)n);
	judge->judgments += (unsigned long long)n;
	judge->with_score += (unsigned long long)stats.n;
	judgments_json(j, &value);
	record_set_in(&job->rec, "responses", i, "judgments", value.data);
	buf_reset(&value);
	json_number(&value, stats.mean);
	record_set_in(&job->rec, "responses", i, "score", stats.n ? value.data : "null");
	buf_reset(&value);
	json_number(&value, stats.var);
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
	int asked;

	if (job->step == 0) {
		if (ask(judge, job, err) != 0)
			return -1;
		if (job->nanswers > 0)
			return 0;
	}
	asked = job->nanswers;
	if (job->step <= 1) {
		if (take_judgments(job, err) != 0)
			return -1;
		if (guided)
			ask_endings(job);
		if (job->nanswers > asked)
			return 0;
	} else if (take_endings(job, err) != 0) {
		return -1;
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

	cli_start(&c, &tool, argc, argv);
	judge.template = ask_template(&c, template_file, template_judge, names);
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

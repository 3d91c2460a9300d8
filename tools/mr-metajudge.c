/* mr-metajudge: battles between the judgments of one response. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/rng.h"
#include "cli/ask.h"
#include "method/elo.h"
#include "method/guided.h"
#include "method/lengthctl.h"
#include "method/template.h"

static const char *template_file;
static bool overwrite, guided;
static int max_judgments;

static struct opt options[] = {
	{ OPT_INT, "max-judgments", .value = &max_judgments, .arg = "N",
	  .help = "compare only the first N judgments that have a score; 0: all [{}]",
	  .min = 0, .max = 10000 },
	{ OPT_STRING, "template", .value = &template_file, .arg = "FILE",
	  .help = "ask with the text in FILE: {{prompt}}, {{response}}, {{judgment_a}}, "
	    "{{judgment_b}} [built in]" },
	{ OPT_FLAG, "guided", .value = &guided,
	  .help = "a comparison without a verdict is ended with one, sampled among A, B and tie" },
	{ OPT_FLAG, "overwrite", .value = &overwrite, .help = "replace the battles a record has" },
	{ .kind = OPT_END },
};

static const struct cli_tool tool = {
	.name = "mr-metajudge",
	.usage = "[OPTION]... [FILE]...",
	.summary = "Has a model compare the judgments of each record's most disputed response, every\n"
	    "two in both orders: \"meta\".",
	.needs = CLI_MODEL | CLI_SAMPLING | CLI_RECORDS | CLI_SEED,
	.options = options,
};

struct metajudge {
	const char *template;
	uint64_t seed;
	unsigned long long battles, first, second, tie, none, guided;
};

struct comparison {
	int first, second;      /* indices into the response's judgments */
};

struct state {
	int response;
	int nvalid;
	int *valid;             /* indices of the judgments with a score */
	const char **judgment;  /* their texts */
	int n;                  /* nvalid (nvalid - 1) */
	struct comparison *c;
	struct opinion *o;      /* of each of them */
};

/* The variance of a response's scores, or -1 where fewer than two count. */
static double variance_of(const cJSON *judgments)
{
	size_t n = (size_t)cJSON_GetArraySize(judgments), i = 0;
	double *score = mem_zalloc(n + 1, sizeof *score);
	bool *valid = mem_zalloc(n + 1, sizeof *valid);
	struct score_stats stats;
	const cJSON *j;

	cJSON_ArrayForEach(j, judgments) {
		const cJSON *s = cJSON_GetObjectItemCaseSensitive(j, "score");

		valid[i] = cJSON_IsNumber(s);
		score[i] = valid[i] ? s->valuedouble : 0;
		i++;
	}
	stats = score_stats(score, valid, n);
	free(score);
	free(valid);
	return stats.n >= 2 ? stats.var : -1;
}

static const cJSON *judgments_of(const cJSON *response, int i, struct err *err)
{
	const cJSON *judgments = cJSON_GetObjectItemCaseSensitive(response, "judgments"), *j;

	if (!judgments)
		err_set(err, "responses[%d]: \"judgments\" is missing; run mr-judge first", i);
	else if (!cJSON_IsArray(judgments))
		err_set(err, "responses[%d]: \"judgments\" is not an array", i);
	else {
		cJSON_ArrayForEach(j, judgments) {
			const cJSON *s = cJSON_GetObjectItemCaseSensitive(j, "score");

			if (!cJSON_IsNumber(s) && !cJSON_IsNull(s)) {
				err_set(err, "responses[%d]: a judgment's \"score\" is missing, or neither a "
				    "number nor null", i);
				return NULL;
			}
		}
		return judgments;
	}
	return NULL;
}

/* The response with the highest variance; ties by the seed. -1: none has two
 * scores; -2: an error. */
static int select_response(const struct metajudge *meta, const struct record *rec, const cJSON *responses,
    struct err *err)
{
	struct rng rng = rng_stream(meta->seed, rec->id, "meta/select", 0);
	double *var = mem_zalloc((size_t)cJSON_GetArraySize(responses) + 1, sizeof *var);
	int i = 0, selected;
	const cJSON *r;

	cJSON_ArrayForEach(r, responses) {
		const cJSON *judgments = judgments_of(r, i, err);

		if (!judgments) {
			free(var);
			return -2;
		}
		var[i++] = variance_of(judgments);
	}
	selected = meta_select(var, i, rng_uniform(&rng, 0));
	free(var);
	return selected;
}

static int gather(struct job *job, const cJSON *response, struct err *err)
{
	struct state *s = job->state;
	const cJSON *judgments = cJSON_GetObjectItemCaseSensitive(response, "judgments"), *j;
	size_t most = (size_t)cJSON_GetArraySize(judgments);
	int i = -1;

	s->valid = arena_alloc(&job->arena, most * sizeof *s->valid);
	s->judgment = arena_alloc(&job->arena, most * sizeof *s->judgment);
	cJSON_ArrayForEach(j, judgments) {
		char where[64];

		i++;
		if (!cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(j, "score")))
			continue;
		if (max_judgments > 0 && s->nvalid == max_judgments)
			break;
		snprintf(where, sizeof where, "responses[%d].judgments[%d]", s->response, i);
		s->judgment[s->nvalid] = record_text(&job->rec, j, where, "text", err);
		if (!s->judgment[s->nvalid])
			return -1;
		s->valid[s->nvalid++] = i;
	}
	return 0;
}

/* Every two judgments in both orders; those that show the same one first
 * follow each other, so that they share its prefix. */
static int ask_all(const struct metajudge *meta, struct job *job, const char *prompt, const char *response,
    struct err *err)
{
	struct state *s = job->state;
	size_t most = (size_t)s->nvalid * (size_t)s->nvalid;

	s->c = arena_alloc(&job->arena, most * sizeof *s->c);
	s->o = arena_alloc(&job->arena, most * sizeof *s->o);
	for (int i = 0; i < s->nvalid * s->nvalid; i++) {
		int a = i / s->nvalid, b = i % s->nvalid;
		const struct template_value values[] = { { "prompt", prompt }, { "response", response },
			{ "judgment_a", s->judgment[a] }, { "judgment_b", s->judgment[b] } };
		struct opinion *o = &s->o[s->n];

		if (a == b)
			continue;
		s->c[s->n] = (struct comparison){ s->valid[a], s->valid[b] };
		o->request = s->n++;
		o->asked = ask_render(job, meta->template, values, 4);
		o->stage = arena_printf(&job->arena, "meta/%d/%d", s->valid[a], s->valid[b]);
		if (ask_user(job, o->asked, 1, o->stage, 0, err) != 0)
			return -1;
	}
	return 0;
}

/* 1: asked; 0: there is nothing to compare; -1: an error. */
static int ask(const struct metajudge *meta, struct job *job, struct err *err)
{
	struct state *s = job->state = arena_alloc(&job->arena, sizeof *s);
	const cJSON *responses, *response;
	const char *text;
	struct buf prompt = { 0 };
	struct message *m;
	char where[40];
	int nm, rc;

	if (cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(job->rec.json, "meta")) && !overwrite)
		return err_set(err, "\"meta\" is there already; --overwrite compares anew");
	responses = record_array(&job->rec, "responses", "run mr-sample first", err);
	if (!responses || (nm = record_messages(&job->rec, &job->arena, &m, err)) < 0)
		return -1;
	s->response = select_response(meta, &job->rec, responses, err);
	if (s->response < 0)
		return s->response == -1 ? 0 : -1;
	response = cJSON_GetArrayItem(responses, s->response);
	snprintf(where, sizeof where, "responses[%d]", s->response);
	text = record_text(&job->rec, response, where, "text", err);
	if (!text || gather(job, response, err) != 0)
		return -1;
	template_conversation(m, nm, &prompt);
	rc = ask_all(meta, job, prompt.data, text, err);
	buf_free(&prompt);
	return rc != 0 ? -1 : s->n > 0;
}

static void count(struct metajudge *meta, enum verdict v, bool was_guided)
{
	meta->battles++;
	meta->first += v == VERDICT_A;
	meta->second += v == VERDICT_B;
	meta->tie += v == VERDICT_TIE;
	meta->none += v == VERDICT_NONE;
	meta->guided += was_guided;
}

static void set_meta(struct metajudge *meta, struct job *job)
{
	static const char *const winner[] = {
		[VERDICT_NONE] = "null", [VERDICT_A] = "\"first\"", [VERDICT_B] = "\"second\"",
		[VERDICT_TIE] = "\"tie\"",
	};
	const struct state *s = job->state;
	struct buf json = { 0 };

	buf_printf(&json, "{\"response\":%d,\"battles\":[", s->response);
	for (int i = 0; i < s->n; i++) {
		const struct opinion *o = &s->o[i];
		enum verdict v = verdict_parse(o->text);

		count(meta, v, o->guided);
		buf_printf(&json, "%s{\"first\":%d,\"second\":%d,\"winner\":%s,\"text\":", i ? "," : "",
		    s->c[i].first, s->c[i].second, winner[v]);
		buf_json_string(&json, o->text, strlen(o->text));
		buf_adds(&json, o->guided ? ",\"guided\":true}" : "}");
	}
	buf_adds(&json, "]}");
	record_set(&job->rec, "meta", json.data);
	buf_free(&json);
}

static int step(void *arg, struct job *job, struct err *err)
{
	static const char *const stale[] = { "judge", NULL };
	struct metajudge *meta = arg;
	struct state *s = job->state;
	int done;

	if (job->step == 0) {
		int rc = ask(meta, job, err);

		if (rc == 0) {
			record_set(&job->rec, "meta", "null");
			clear_fields(&job->rec, stale);
		}
		return rc < 0 ? -1 : 0;
	}
	done = ask_opinions(job, s->o, (size_t)s->n, &guided_verdict, guided, err);
	if (done != 1)
		return done;
	set_meta(meta, job);
	clear_fields(&job->rec, stale);
	return 0;
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "prompt", "response", "judgment_a", "judgment_b", NULL };
	static struct metajudge meta = { 0 };
	static struct cli c = { .params = { .temperature = 0.8, .top_p = 0.95, .max_tokens = 1024 } };

	cli_start(&c, &tool, argc, argv);
	if (max_judgments == 1)
		cli_usage(&c, "--max-judgments: two are the fewest that can be compared");
	meta.seed = c.seed;
	meta.template = ask_template(&c, template_file, template_metajudge, names);
	cli_model(&c);
	cli_records(&c, step, &meta);
	buf_printf(&c.notes, "%llu battles: %llu won by the first, %llu by the second, %llu ties, "
	    "%llu without a verdict", meta.battles, meta.first, meta.second, meta.tie, meta.none);
	if (guided)
		buf_printf(&c.notes, " (%llu guided)", meta.guided);
	return cli_finish(&c);
}

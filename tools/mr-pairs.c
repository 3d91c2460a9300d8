/* mr-pairs: preference pairs out of the choices in the records. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cli/ask.h"
#include "method/pairs.h"
#include "method/template.h"

static const char *role = "both", *template_file;

static struct opt options[] = {
	{ OPT_STRING, "role", .value = &role, .arg = "ROLE",
	  .help = "write the pairs of the actor, the judge or both [{}]" },
	{ OPT_STRING, "template", .value = &template_file, .arg = "FILE",
	  .help = "the template that mr-judge asked with: {{prompt}}, {{response}} [built in]" },
	{ .kind = OPT_END },
};

static const struct cli_tool tool = {
	.name = "mr-pairs",
	.usage = "[OPTION]... [FILE]...",
	.summary = "Writes the preference pairs that \"actor\" and \"judge\" in the records choose, as\n"
	    "trainers of DPO read them.",
	.needs = CLI_INPUT | CLI_OUTPUT,
	.options = options,
};

struct pairs {
	bool actor, judge;
	const char *template;
	char tag[17];
	unsigned long long nactor, njudge, nsame, nnone;
};

/* The object under key (NULL where it is null), from the stage maker. */
static int choice(const struct record *rec, const char *key, const char *maker, const char *other,
    const cJSON **object, struct err *err)
{
	const cJSON *o = cJSON_GetObjectItemCaseSensitive(rec->json, key);

	*object = NULL;
	if (!o)
		return err_set(err, "\"%s\" is missing; run %s first, or give --role %s", key, maker, other);
	if (!cJSON_IsObject(o) && !cJSON_IsNull(o))
		return err_set(err, "\"%s\" is neither an object nor null", key);
	*object = cJSON_IsNull(o) ? NULL : o;
	return 0;
}

/* object's member key as an index into array (what names it): its element. */
static const cJSON *element(const cJSON *object, const char *where, const char *key, const cJSON *array,
    const char *what, int *index, struct err *err)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(object, key);
	int n = cJSON_GetArraySize(array);
	double x;

	if (!cJSON_IsNumber(v)) {
		err_set(err, "%s: \"%s\" is missing or not a number", where, key);
		return NULL;
	}
	x = v->valuedouble;
	if (!(x >= 0 && x < n) || x != (int)x) {
		err_set(err, "%s: \"%s\" is %g, but %s has %d elements", where, key, x, what, n);
		return NULL;
	}
	*index = (int)x;
	return cJSON_GetArrayItem(array, *index);
}

/* The texts of the two elements of array that object names. */
static int chosen_texts(const struct record *rec, const cJSON *object, const char *where, const cJSON *array,
    const char *what, const char *texts[2], struct err *err)
{
	static const char *const keys[2] = { "chosen", "rejected" };
	char place[80];

	for (int i = 0; i < 2; i++) {
		int index;
		const cJSON *e = element(object, where, keys[i], array, what, &index, err);

		if (!e)
			return -1;
		if (!cJSON_IsObject(e))
			return err_set(err, "%s[%d] is not an object", what, index);
		snprintf(place, sizeof place, "%s[%d]", what, index);
		texts[i] = record_text(rec, e, place, "text", err);
		if (!texts[i])
			return -1;
	}
	return 0;
}

/* A pair goes out unless both texts are the same. */
static void emit(struct pairs *p, struct job *job, const char *which, const struct message *prompt, int n,
    const char *texts[2], unsigned long long *count)
{
	struct json_span whole = { 0, job->rec.len }, value;
	const cJSON *category = cJSON_GetObjectItemCaseSensitive(job->rec.json, "category");
	char *id, *extra = NULL;

	if (strcmp(texts[0], texts[1]) == 0) {
		p->nsame++;
		return;
	}
	if (cJSON_IsString(category) && json_member(job->rec.line, whole, "category", &value))
		extra = arena_printf(&job->arena, "\"category\":%s",
		    arena_strndup(&job->arena, job->rec.line + value.start, value.end - value.start));
	id = arena_printf(&job->arena, "%s/%s", job->rec.id, which);
	pair_write(&job->out, id, which, prompt, n, texts[0], texts[1], extra);
	++*count;
}

static int actor_pair(struct pairs *p, struct job *job, const struct message *prompt, int n,
    const cJSON *responses, struct err *err)
{
	const char *texts[2];
	const cJSON *actor;

	if (choice(&job->rec, "actor", "mr-lengthctl", "judge", &actor, err) != 0)
		return -1;
	if (!actor) {
		p->nnone++;
		return 0;
	}
	if (chosen_texts(&job->rec, actor, "\"actor\"", responses, "responses", texts, err) != 0)
		return -1;
	emit(p, job, "actor", prompt, n, texts, &p->nactor);
	return 0;
}

static int check_template(const struct pairs *p, const struct record *rec, struct err *err)
{
	const cJSON *tag = cJSON_GetObjectItemCaseSensitive(rec->json, "judge_template");

	if (!tag)
		return err_set(err, "\"judge_template\" is missing; run mr-judge first");
	if (!cJSON_IsString(tag) || strcmp(tag->valuestring, p->tag) != 0)
		return err_set(err, "the judgments were asked for with another template; "
		    "pass mr-judge's --template");
	return 0;
}

static const char *judge_prompt(const struct pairs *p, struct job *job, const struct message *prompt, int n,
    const char *response)
{
	struct buf conversation = { 0 }, text = { 0 };
	struct template_value values[2];
	char *kept;

	template_conversation(prompt, n, &conversation);
	values[0] = (struct template_value){ "prompt", conversation.data ? conversation.data : "" };
	values[1] = (struct template_value){ "response", response };
	template_render(p->template, values, 2, &text);
	kept = arena_strndup(&job->arena, text.data ? text.data : "", text.len);
	buf_free(&conversation);
	buf_free(&text);
	return kept;
}

static int judge_pair(struct pairs *p, struct job *job, const struct message *prompt, int n,
    const cJSON *responses, struct err *err)
{
	const cJSON *meta = cJSON_GetObjectItemCaseSensitive(job->rec.json, "meta");
	const cJSON *judge, *response, *judgments;
	struct message asked = { .role = "user" };
	const char *texts[2], *answer;
	char where[40], what[64];
	int index;

	if (choice(&job->rec, "judge", "mr-elo", "actor", &judge, err) != 0)
		return -1;
	if (!judge) {
		p->nnone++;
		return 0;
	}
	if (check_template(p, &job->rec, err) != 0)
		return -1;
	response = element(meta, "\"meta\"", "response", responses, "responses", &index, err);
	if (!response)
		return -1;
	snprintf(where, sizeof where, "responses[%d]", index);
	snprintf(what, sizeof what, "responses[%d].judgments", index);
	answer = record_text(&job->rec, response, where, "text", err);
	judgments = cJSON_GetObjectItemCaseSensitive(response, "judgments");
	if (!answer)
		return -1;
	if (!cJSON_IsArray(judgments))
		return err_set(err, "%s: \"judgments\" is missing; run mr-judge first", where);
	if (chosen_texts(&job->rec, judge, "\"judge\"", judgments, what, texts, err) != 0)
		return -1;
	asked.content = judge_prompt(p, job, prompt, n, answer);
	emit(p, job, "judge", &asked, 1, texts, &p->njudge);
	return 0;
}

static int step(void *arg, struct job *job, struct err *err)
{
	struct pairs *p = arg, before = *p;
	const cJSON *responses = record_array(&job->rec, "responses", "run mr-sample first", err);
	struct message *prompt;
	int n, rc = 0;

	if (!responses)
		return -1;
	n = record_messages(&job->rec, &job->arena, &prompt, err);
	if (n < 0)
		return -1;
	if (p->actor)
		rc = actor_pair(p, job, prompt, n, responses, err);
	if (rc == 0 && p->judge)
		rc = judge_pair(p, job, prompt, n, responses, err);
	if (rc != 0)
		*p = before;            /* a record that fails gives no pair at all */
	job->silent = job->out.len == 0;
	return rc;
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "prompt", "response", NULL };
	static struct pairs p = { 0 };
	static struct cli c;

	cli_start(&c, &tool, argc, argv);
	p.actor = strcmp(role, "judge") != 0;
	p.judge = strcmp(role, "actor") != 0;
	if (p.actor && p.judge && strcmp(role, "both") != 0)
		cli_usage(&c, "--role: \"%s\" is none of actor, judge, both", role);
	p.template = ask_template(&c, template_file, template_judge, names);
	template_tag(p.template, p.tag);
	cli_records(&c, step, &p);
	buf_printf(&c.notes, "%llu actor pairs, %llu judge pairs", p.nactor, p.njudge);
	if (p.nnone)
		buf_printf(&c.notes, ", %llu choices that were null", p.nnone);
	if (p.nsame)
		buf_printf(&c.notes, ", %llu pairs of equal texts dropped", p.nsame);
	return cli_finish(&c);
}

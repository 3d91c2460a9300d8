/* mr-lengthctl: the actor's pair of each prompt, length under control. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "cli/cli.h"
#include "method/lengthctl.h"

static double rho;
static int max_chars;

static struct opt options[] = {
	{ OPT_DOUBLE, "rho", .value = &rho, .arg = "RHO",
	  .help = "how much of the scores' range length may cost; 0: best against worst [{}]",
	  .min = 0, .max = 1 },
	{ OPT_INT, "max-chars", .value = &max_chars, .arg = "N",
	  .help = "no pair where the chosen response is longer than N characters; 0: no limit [{}]",
	  .min = 0, .max = 2147483647 },
	{ .kind = OPT_END },
};

static const struct cli_tool tool = {
	.name = "mr-lengthctl",
	.usage = "[OPTION]... [FILE]...",
	.summary = "Chooses each record's actor pair: a short response with a high score against a long\n"
	    "one with a low score: \"actor\".",
	.needs = CLI_RECORDS,
	.options = options,
};

enum { STATUSES = PICK_TOO_LONG + 1 };

struct counts {
	unsigned long long n[STATUSES];
};

/* The score and length of a response; sets *has where "score" is there at all. */
static int read_response(const struct record *rec, const cJSON *response, int i, struct scored *s, bool *has,
    struct err *err)
{
	const cJSON *score = cJSON_GetObjectItemCaseSensitive(response, "score");
	char where[40];
	const char *text;

	snprintf(where, sizeof where, "responses[%d]", i);
	text = record_text(rec, response, where, "text", err);
	if (!text)
		return -1;
	s->length = utf8_length(text, strlen(text));
	if (!score)
		return 0;
	*has = true;
	if (cJSON_IsNull(score))
		return 0;
	if (!cJSON_IsNumber(score) || !isfinite(score->valuedouble))
		return err_set(err, "%s: \"score\" is neither a number nor null", where);
	s->valid = true;
	s->score = score->valuedouble;
	return 0;
}

static void set_actor(struct record *rec, size_t chosen, size_t rejected)
{
	struct buf json = { 0 };

	buf_printf(&json, "{\"chosen\":%zu,\"rejected\":%zu,\"rho\":", chosen, rejected);
	buf_json_number(&json, rho);
	buf_addc(&json, '}');
	record_set(rec, "actor", json.data);
	buf_free(&json);
}

static int step(void *arg, struct job *job, struct err *err)
{
	struct counts *counts = arg;
	const cJSON *responses = record_array(&job->rec, "responses", "run mr-sample first", err), *r;
	struct scored *s;
	enum pick_status status;
	size_t chosen, rejected;
	bool has = false;
	int n = 0;

	if (!responses)
		return -1;
	s = arena_alloc(&job->arena, (size_t)cJSON_GetArraySize(responses) * sizeof *s);
	cJSON_ArrayForEach(r, responses) {
		if (read_response(&job->rec, r, n, &s[n], &has, err) != 0)
			return -1;
		n++;
	}
	if (n > 0 && !has)
		return err_set(err, "no response has a \"score\"; run mr-judge first");
	status = lengthctl_pick(s, (size_t)n, rho, (size_t)max_chars, &chosen, &rejected);
	if (status == PICK_OK)
		set_actor(&job->rec, chosen, rejected);
	else
		record_set(&job->rec, "actor", "null");
	counts->n[status]++;
	return 0;
}

int main(int argc, char **argv)
{
	struct counts counts = { { 0 } };
	static struct cli c;

	cli_start(&c, &tool, argc, argv);
	cli_records(&c, step, &counts);
	buf_printf(&c.notes, "%llu with a pair", counts.n[PICK_OK]);
	for (int i = PICK_OK + 1; i < STATUSES; i++)
		if (counts.n[i])
			buf_printf(&c.notes, ", %llu without (%s)", counts.n[i], pick_status_name(i));
	return cli_finish(&c);
}

/* mr-elo: ratings of the judgments that the meta-judge compared, and the
 * judge's pair. Two passes: the position bias is one number of the whole. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/utf8.h"
#include "cli/cli.h"
#include "method/elo.h"

static const char *omega_text;
static double ridge = 1e-3;
static int max_chars;
static bool no_debias;

static struct opt options[] = {
	{ OPT_STRING, "omega", .value = &omega_text, .arg = "W1,W2",
	  .help = "weights of verdicts for the first and the second position [counted in the whole input]" },
	{ OPT_FLAG, "no-debias", .value = &no_debias, .help = "the same as --omega 0.5,0.5" },
	{ OPT_DOUBLE, "ridge", .value = &ridge, .arg = "R",
	  .help = "R/2 times the squared ratings is taken off the likelihood, which keeps them finite [{}]",
	  .min = 1e-9, .max = 1e6 },
	{ OPT_INT, "max-chars", .value = &max_chars, .arg = "N",
	  .help = "no pair where the chosen judgment is longer than N characters; 0: no limit [{}]",
	  .min = 0, .max = 2147483647 },
	{ .kind = OPT_END },
};

static const struct cli_tool tool = {
	.name = "mr-elo",
	.usage = "[OPTION]... [FILE]...",
	.summary = "Rates the judgments that mr-metajudge compared (\"elo\" in \"meta\") and chooses the\n"
	    "judge's pair, the best against the worst: \"judge\".",
	.needs = CLI_INPUT | CLI_OUTPUT,
	.options = options,
};

enum outcome { PAIR, NO_META, NO_BATTLES, ALL_EQUAL, TOO_LONG, OUTCOMES };

struct elo {
	double omega1, omega2;
	struct omega wins;
	unsigned long long n[OUTCOMES];
};

/* What a record says: battles between the judgments of one response. Those
 * that fought are numbered 0 … n-1, in their order. */
struct fight {
	const cJSON *judgments;
	struct battle *b;               /* (nb), by number */
	size_t nb;
	int n;
	int *number, *index;            /* judgment → number or -1; number → judgment */
	size_t *length;                 /* (n) code points */
	int njudgments;
};

static void fight_free(struct fight *f)
{
	free(f->b);
	free(f->number);
	free(f->index);
	free(f->length);
}

/* object's member key as an index below n; -1 and a message. */
static int index_member(const cJSON *object, const char *where, const char *key, int n, const char *what,
    struct err *err)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(object, key);

	if (!cJSON_IsNumber(v))
		return err_set(err, "%s: \"%s\" is missing or not a number", where, key);
	if (!(v->valuedouble >= 0 && v->valuedouble < n) || v->valuedouble != (int)v->valuedouble)
		return err_set(err, "%s: \"%s\" is %g, but there are %d %s", where, key, v->valuedouble, n,
		    what);
	return (int)v->valuedouble;
}

static int read_battle(const cJSON *battle, int i, struct fight *f, struct battle *b, struct err *err)
{
	static const char *const names[] = {
		[BATTLE_FIRST] = "first", [BATTLE_SECOND] = "second", [BATTLE_TIE] = "tie",
	};
	const cJSON *winner = cJSON_GetObjectItemCaseSensitive(battle, "winner");
	char where[48];

	snprintf(where, sizeof where, "meta.battles[%d]", i);
	b->first = index_member(battle, where, "first", f->njudgments, "judgments", err);
	if (b->first < 0)
		return -1;
	b->second = index_member(battle, where, "second", f->njudgments, "judgments", err);
	if (b->second < 0)
		return -1;
	if (b->first == b->second)
		return err_set(err, "%s: judgment %d is compared with itself", where, b->first);
	b->winner = BATTLE_NULL;
	if (cJSON_IsNull(winner))
		return 0;
	for (int w = BATTLE_FIRST; w <= BATTLE_TIE; w++)
		if (cJSON_IsString(winner) && strcmp(winner->valuestring, names[w]) == 0)
			b->winner = (enum battle_winner)w;
	if (b->winner == BATTLE_NULL)
		return err_set(err, "%s: \"winner\" is none of \"first\", \"second\", \"tie\", null", where);
	return 0;
}

/* Numbers the judgments that were marked with a number >= 0, and puts the
 * numbers into the battles. */
static int number_judgments(const struct record *rec, struct fight *f, int response, struct err *err)
{
	const cJSON *judgment = f->judgments->child;

	for (int i = 0; i < f->njudgments; i++, judgment = judgment->next) {
		char where[64];
		const char *text;

		if (f->number[i] < 0)
			continue;
		snprintf(where, sizeof where, "responses[%d].judgments[%d]", response, i);
		if (!cJSON_IsObject(judgment))
			return err_set(err, "%s is not an object", where);
		text = record_text(rec, judgment, where, "text", err);
		if (!text)
			return -1;
		f->length[f->n] = utf8_length(text, strlen(text));
		f->index[f->n] = i;
		f->number[i] = f->n++;
	}
	for (size_t i = 0; i < f->nb; i++) {
		f->b[i].first = f->number[f->b[i].first];
		f->b[i].second = f->number[f->b[i].second];
	}
	return 0;
}

static int read_battles(const struct record *rec, const cJSON *battles, int response, struct fight *f,
    struct err *err)
{
	const cJSON *b;

	f->b = mem_zalloc((size_t)cJSON_GetArraySize(battles) + 1, sizeof *f->b);
	f->number = mem_zalloc((size_t)f->njudgments + 1, sizeof *f->number);
	f->index = mem_zalloc((size_t)f->njudgments + 1, sizeof *f->index);
	f->length = mem_zalloc((size_t)f->njudgments + 1, sizeof *f->length);
	for (int i = 0; i < f->njudgments; i++)
		f->number[i] = -1;
	cJSON_ArrayForEach(b, battles) {
		struct battle *to = &f->b[f->nb];

		if (read_battle(b, (int)f->nb, f, to, err) != 0)
			return -1;
		f->number[to->first] = f->number[to->second] = 0;
		f->nb++;
	}
	if (number_judgments(rec, f, response, err) != 0)
		return -1;
	if (f->n > ELO_MOST)
		return err_set(err, "%d judgments are more than can be rated (%d)", f->n, ELO_MOST);
	return 0;
}

/* 1: *f is filled in; 0: "meta" is null; -1: something is wrong with it.
 * fight_free(f) in any case. */
static int fight_read(const struct record *rec, struct fight *f, struct err *err)
{
	const cJSON *meta = cJSON_GetObjectItemCaseSensitive(rec->json, "meta"), *responses, *battles;
	int response;

	memset(f, 0, sizeof *f);
	if (!meta)
		return err_set(err, "\"meta\" is missing; run mr-metajudge first");
	if (cJSON_IsNull(meta))
		return 0;
	if (!cJSON_IsObject(meta))
		return err_set(err, "\"meta\" is neither an object nor null");
	battles = cJSON_GetObjectItemCaseSensitive(meta, "battles");
	if (!cJSON_IsArray(battles))
		return err_set(err, "\"meta\": \"battles\" is missing; run mr-metajudge first");
	responses = record_array(rec, "responses", "run mr-sample first", err);
	if (!responses)
		return -1;
	response = index_member(meta, "\"meta\"", "response", cJSON_GetArraySize(responses), "responses",
	    err);
	if (response < 0)
		return -1;
	f->judgments = cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(responses, response), "judgments");
	if (!cJSON_IsArray(f->judgments))
		return err_set(err, "responses[%d]: \"judgments\" is missing; run mr-judge first", response);
	f->njudgments = cJSON_GetArraySize(f->judgments);
	return read_battles(rec, battles, response, f, err) != 0 ? -1 : 1;
}

/* elo[f->n], freed by the caller; NULL and a message. */
static double *ratings(const struct elo *e, const struct fight *f, struct err *err)
{
	size_t n = (size_t)f->n;
	double *B = mem_zalloc(n * n + 1, sizeof *B), *epsilon = mem_zalloc(n + 1, sizeof *epsilon);
	double *elo = mem_zalloc(n + 1, sizeof *elo);
	int rc = elo_matrix(f->b, f->nb, f->n, e->omega1, e->omega2, B, err);

	if (rc == 0)
		rc = elo_fit(B, f->n, ridge, epsilon, err);
	elo_scale(epsilon, f->n, elo);
	free(B);
	free(epsilon);
	if (rc == 0)
		return elo;
	free(elo);
	return NULL;
}

/* One number a judgment; null for those that were not compared. */
static void set_elo(struct record *rec, const struct fight *f, const double *elo)
{
	struct json_span meta, old;
	struct buf json = { 0 };
	bool replaced;

	if (!json_member(rec->line, (struct json_span){ 0, rec->len }, "meta", &meta))
		return;
	replaced = json_member(rec->line, meta, "elo", &old);
	if (replaced) {
		buf_add(&json, rec->line + meta.start, old.start - meta.start);
	} else {
		buf_add(&json, rec->line + meta.start, meta.end - 1 - meta.start);
		buf_adds(&json, ",\"elo\":");
	}
	buf_addc(&json, '[');
	for (int i = 0; i < f->njudgments; i++) {
		buf_adds(&json, i ? "," : "");
		if (f->number[i] < 0)
			buf_adds(&json, "null");
		else
			buf_json_number(&json, elo[f->number[i]]);
	}
	buf_addc(&json, ']');
	if (replaced)
		buf_add(&json, rec->line + old.end, meta.end - old.end);
	else
		buf_addc(&json, '}');
	record_set(rec, "meta", json.data);
	buf_free(&json);
}

static enum outcome set_judge(struct record *rec, const struct fight *f, const double *elo)
{
	char json[80];
	int best, worst;

	elo_best_worst(elo, f->n, &best, &worst);
	if (best == worst)
		return ALL_EQUAL;
	if (max_chars > 0 && f->length[best] > (size_t)max_chars)
		return TOO_LONG;
	snprintf(json, sizeof json, "{\"chosen\":%d,\"rejected\":%d}", f->index[best], f->index[worst]);
	record_set(rec, "judge", json);
	return PAIR;
}

/* Rates a record and writes it, with no pair where f was not found in it. */
static int rate(struct cli *c, struct elo *e, struct record *rec, const struct fight *f, bool found,
    struct err *err)
{
	enum outcome outcome = NO_META;
	struct buf line = { 0 };

	record_set(rec, "judge", "null");
	if (found) {
		double *elo = ratings(e, f, err);

		if (!elo)
			return -1;
		set_elo(rec, f, elo);
		outcome = f->nb > 0 ? set_judge(rec, f, elo) : NO_BATTLES;
		free(elo);
	}
	record_write(rec, &line);
	cli_write(c, line.data, line.len);
	buf_free(&line);
	c->ndone++;
	e->n[outcome]++;
	return 0;
}

static void show_progress(struct cli *c)
{
	c->progress.done = c->ndone + c->nfailed;
	progress_update(&c->progress);
}

/* With the weights given there is nothing to wait for. */
static void rate_stream(struct cli *c, struct elo *e)
{
	struct record rec;
	struct err err;

	while (!cli_stopping() && cli_next_record(c, &rec)) {
		struct fight f;
		int rc = fight_read(&rec, &f, &err);

		if (rc >= 0) {
			omega_add(&e->wins, f.b, f.nb);
			rc = rate(c, e, &rec, &f, rc == 1, &err);
		}
		if (rc < 0)
			cli_reject(c, &rec, &err);
		fight_free(&f);
		record_free(&rec);
		show_progress(c);
	}
}

/* A file that is gone when it is closed. */
static FILE *spool_open(struct cli *c)
{
	const char *folder = getenv("TMPDIR");
	char path[4096];
	FILE *f;
	int fd;

	snprintf(path, sizeof path, "%s/mr-elo-XXXXXX", folder && *folder ? folder : "/tmp");
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		cli_die(c, EXIT_NOTHING, "%s: no temporary file can be made: %s", path, strerror(errno));
	unlink(path);
	f = fdopen(fd, "w+b");
	if (!f)
		cli_die(c, EXIT_NOTHING, "%s: %s", path, strerror(errno));
	return f;
}

static _Noreturn void spool_failed(struct cli *c, const char *what)
{
	cli_die(c, EXIT_NOTHING, "the temporary copy of the input cannot be %s: %s", what, strerror(errno));
}

/* Counts the verdicts and keeps every record that can be rated. */
static void first_pass(struct cli *c, struct elo *e, FILE *spool)
{
	struct record rec;
	struct err err;

	while (!cli_stopping() && cli_next_record(c, &rec)) {
		struct fight f;

		if (fight_read(&rec, &f, &err) < 0)
			cli_reject(c, &rec, &err);
		else if (fwrite(rec.line, 1, rec.len, spool) != rec.len || putc('\n', spool) == EOF)
			spool_failed(c, "written");
		else
			omega_add(&e->wins, f.b, f.nb);
		fight_free(&f);
		record_free(&rec);
	}
	if (fflush(spool) != 0 || fseeko(spool, 0, SEEK_SET) != 0)
		spool_failed(c, "written");
}

static void second_pass(struct cli *c, struct elo *e, FILE *spool)
{
	struct record rec;
	struct err err;
	char *line = NULL;
	size_t cap = 0;
	ssize_t len;

	while (!cli_stopping() && (len = getline(&line, &cap, spool)) > 0) {
		struct fight f;
		int rc;

		if (record_parse(&rec, line, (size_t)len - 1, &err) != 0 ||
		    (rc = fight_read(&rec, &f, &err)) < 0)
			cli_die(c, EXIT_NOTHING, "the temporary copy of the input was changed: %s", err.msg);
		if (rate(c, e, &rec, &f, rc == 1, &err) != 0) {
			cli_warn(c, "record \"%.80s\": %s", rec.id, err.msg);
			c->nfailed++;
		}
		fight_free(&f);
		record_free(&rec);
		show_progress(c);
	}
	if (ferror(spool))
		spool_failed(c, "read");
	free(line);
}

static bool is_weight(double w)
{
	return w >= 0 && w <= 1;
}

/* Whether the weights are given; exits 1 where what is given is wrong. */
static bool read_omega(struct cli *c, struct elo *e)
{
	char end;

	if (omega_text && no_debias)
		cli_usage(c, "--omega and --no-debias exclude each other");
	if (no_debias)
		e->omega1 = e->omega2 = 0.5;
	else if (omega_text && (sscanf(omega_text, "%lf,%lf%c", &e->omega1, &e->omega2, &end) != 2 ||
	    !is_weight(e->omega1) || !is_weight(e->omega2)))
		cli_usage(c, "--omega: \"%s\" is not two numbers from 0 to 1, with a comma between",
		    omega_text);
	return omega_text || no_debias;
}

static void tell(struct cli *c, const struct elo *e)
{
	static const char *const names[OUTCOMES] = {
		"with a pair", "without battles (\"meta\" is null)", "without battles",
		"without a pair (all ratings equal)", "without a pair (chosen judgment too long)",
	};
	struct buf b = { 0 };

	buf_printf(&c->notes, "omega %.4f,%.4f", e->omega1, e->omega2);
	buf_printf(&c->notes, " (%llu won by the first, %llu by the second)",
	    (unsigned long long)e->wins.win_first, (unsigned long long)e->wins.win_second);
	for (int i = 0; i < OUTCOMES; i++)
		if (i == PAIR || e->n[i])
			buf_printf(&c->notes, ", %llu %s", e->n[i], names[i]);
	buf_adds(&b, "\"omega\":[");
	buf_json_number(&b, e->omega1);
	buf_addc(&b, ',');
	buf_json_number(&b, e->omega2);
	buf_printf(&b, "],\"win_first\":%llu,\"win_second\":%llu", (unsigned long long)e->wins.win_first,
	    (unsigned long long)e->wins.win_second);
	cli_manifest_add(c, b.data);
	buf_free(&b);
}

int main(int argc, char **argv)
{
	struct elo e = { 0 };
	static struct cli c;

	cli_start(&c, &tool, argc, argv);
	if (read_omega(&c, &e)) {
		rate_stream(&c, &e);
	} else {
		FILE *spool = spool_open(&c);

		first_pass(&c, &e, spool);
		omega_weights(&e.wins, &e.omega1, &e.omega2);
		second_pass(&c, &e, spool);
		fclose(spool);
	}
	tell(&c, &e);
	return cli_finish(&c);
}

/* mr-eval: reports on preferences, records and pairs. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "record/json.h"
#include "stats/eval.h"
#include "stats/lc.h"

static const char *by, *format_name, *scale = "1-2", *formula_name, *difficulty, *gamed;

static struct opt options[] = {
	{ OPT_STRING, "by", .value = &by, .arg = "FIELD",
	  .help = "also a row for every value of FIELD [none; pairs: role]" },
	{ OPT_STRING, "format", .value = &format_name, .arg = "FORMAT",
	  .help = "json, table, tsv or markdown [table on a terminal, else json]" },
	{ OPT_STRING, "scale", .value = &scale, .arg = "SCALE",
	  .help = "winrate, lc: preferences are from 1 to 2 (1-2) or from 0 to 1 (0-1) [{}]" },
	{ OPT_STRING, "formula", .value = &formula_name, .arg = "FORMULA",
	  .help = "lc: minimal, noreg or v1 [v1 with --gamed, noreg with --difficulty, else minimal]" },
	{ OPT_STRING, "difficulty", .value = &difficulty, .arg = "FILE",
	  .help = "lc: records with an id and a difficulty [--gamed has them too]" },
	{ OPT_STRING, "gamed", .value = &gamed, .arg = "FILE",
	  .help = "lc: judgments of gamed baselines, for the formula v1" },
	{ .kind = OPT_END },
};

static const struct cli_tool tool = {
	.name = "mr-eval",
	.usage = "REPORT [OPTION]... [FILE]...",
	.summary = "Reports on JSON Lines. REPORT is one of\n"
	    "  winrate  how often a model's responses are preferred (mr-compare, AlpacaEval)\n"
	    "  lc       the same, controlled for length (AlpacaEval 2)\n"
	    "  lengths  how long responses are, in characters\n"
	    "  judge    how the judge scores: scores found, their distribution (mr-judge)\n"
	    "  meta     how the meta-judge decides: position, score, ties (mr-metajudge)\n"
	    "  pairs    preference pairs: how many, how long (mr-pairs)",
	.needs = CLI_INPUT | CLI_OUTPUT | CLI_ANY_ID,
	.options = options,
};

struct group {
	char *name;
	struct tally t;
};

struct eval {
	const struct eval_kind *kind;
	struct tally whole;
	struct group *groups;
	size_t *order;          /* their indices, by name */
	size_t ngroups;
	struct lc *lc;          /* for lc, which is winrate and more; else NULL */
};

/* The value of FIELD as text: a string's, or a number's or true's as it stands. */
static int group_name(const struct record *rec, struct buf *name, struct err *err)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(rec->json, by);
	struct json_span value;
	const char *text;

	buf_reset(name);
	if (cJSON_IsString(v)) {
		text = record_string(rec, by, err);
		if (!text)
			return -1;
		buf_adds(name, text);
	} else if (cJSON_IsObject(v) || cJSON_IsArray(v)) {
		return err_set(err, "\"%s\" is not a string or a number; nothing can be grouped by it", by);
	} else if (v && !cJSON_IsNull(v) &&
	    json_member(rec->line, (struct json_span){ 0, rec->len }, by, &value)) {
		buf_add(name, rec->line + value.start, value.end - value.start);
	} else {
		buf_adds(name, "(none)");
	}
	return 0;
}

/* The group of that name, made where there is none; valid until the next call. */
static struct group *find_group(struct eval *e, const char *name)
{
	size_t lo = 0, hi = e->ngroups;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		struct group *g = &e->groups[e->order[mid]];
		int order = strcmp(name, g->name);

		if (order == 0)
			return g;
		if (order < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	e->groups = mem_grow(e->groups, e->ngroups + 1, sizeof *e->groups);
	e->order = mem_grow(e->order, e->ngroups + 1, sizeof *e->order);
	memmove(e->order + lo + 1, e->order + lo, (e->ngroups - lo) * sizeof *e->order);
	e->order[lo] = e->ngroups;
	e->groups[e->ngroups] = (struct group){ .name = mem_strdup(name), .t = { .unit = e->whole.unit } };
	return &e->groups[e->ngroups++];
}

static int add_lc(struct lc *lc, const struct record *rec, struct err *err)
{
	double preference;

	if (eval_preference(rec, strcmp(scale, "0-1") == 0, &preference, err) != 0)
		return -1;
	return lc_add(lc, rec, preference, err);
}

/* A record that fails half-way is counted nowhere. -1; LC_OTHER: nor can those
 * behind it be. */
static int add_record(struct eval *e, const struct record *rec, struct buf *name, struct err *err)
{
	struct tally whole = e->whole;
	struct group *g;
	int rc;

	if (by && group_name(rec, name, err) != 0)
		return -1;
	if (e->kind->add(rec, &whole, err) != 0)
		return -1;
	rc = e->lc ? add_lc(e->lc, rec, err) : 0;
	if (rc != 0)
		return rc;
	whole.records++;
	e->whole = whole;
	if (!by)
		return 0;
	g = find_group(e, name->len ? name->data : "");
	if (e->lc)
		lc_group(e->lc, (size_t)(g - e->groups));
	g->t.records++;
	return e->kind->add(rec, &g->t, err);
}

static void read_all(struct cli *c, struct eval *e)
{
	struct buf name = { 0 };
	struct record rec;
	struct err err;
	int rc;

	while (!cli_stopping() && cli_next_record(c, &rec)) {
		rc = add_record(e, &rec, &name, &err);
		if (rc == LC_OTHER)
			cli_die(c, EXIT_NOTHING, "%s:%ld: %s", c->reader.name, c->reader.lineno, err.msg);
		if (rc == 0)
			c->ndone++;
		else
			cli_reject(c, &rec, &err);
		record_free(&rec);
		c->progress.done = c->ndone + c->nfailed;
		progress_update(&c->progress);
	}
	buf_free(&name);
}

/* The weights are the whole's; a group has its share of what they predict. */
static void show_lc(struct report *r, const struct lc *lc, long group, const struct lc_weights *weights)
{
	static const struct lc_weights none = { NAN, NAN, NAN, NAN };
	double error, rate = lc_win_rate(lc, group, &error);

	weights = group < 0 ? weights : &none;
	report_add(r, "length_controlled_winrate", rate);
	report_add(r, "lc_standard_error", error);
	report_add(r, "weight_length", weights->length);
	report_add(r, "weight_difficulty", weights->difficulty);
	report_add(r, "weight_model", weights->model);
	report_add(r, "C", weights->C);
}

static void write_report(struct cli *c, struct eval *e, enum report_format format)
{
	struct report r = { .by = by };
	struct buf out = { 0 };
	struct lc_weights weights = { 0 };
	struct err err;

	if (e->lc && lc_fit(e->lc, &weights, &err) != 0)
		cli_die(c, EXIT_NOTHING, "%s", err.msg);
	report_row(&r, NULL);
	e->kind->show(&r, &e->whole, &e->whole);
	if (e->lc)
		show_lc(&r, e->lc, LC_EVERY, &weights);
	for (size_t i = 0; i < e->ngroups; i++) {
		const struct group *g = &e->groups[e->order[i]];

		report_row(&r, g->name);
		e->kind->show(&r, &g->t, &e->whole);
		if (e->lc)
			show_lc(&r, e->lc, (long)e->order[i], &weights);
	}
	report_write(&r, format, &out);
	cli_write(c, out.data, out.len);
	buf_free(&out);
	report_free(&r);
}

static void eval_free(struct eval *e)
{
	for (size_t i = 0; i < e->ngroups; i++)
		free(e->groups[i].name);
	free(e->groups);
	free(e->order);
	lc_free(e->lc);
}

/* The formula that is asked for, or the fullest for which there are files. */
static enum lc_formula read_formula(struct cli *c)
{
	int formula = gamed ? LC_V1 : difficulty ? LC_NOREG : LC_MINIMAL;

	if (formula_name)
		formula = lc_formula_by_name(formula_name);
	if (formula < 0)
		cli_usage(c, "--formula: \"%s\" is none of minimal, noreg, v1", formula_name);
	if (formula == LC_V1 && !gamed)
		cli_usage(c, "--formula v1 needs --gamed");
	if (formula == LC_NOREG && !gamed && !difficulty)
		cli_usage(c, "--formula noreg needs --difficulty");
	return (enum lc_formula)formula;
}

static void read_beside(struct cli *c, struct lc *lc, const char *option, const char *path,
    int (*add)(struct lc *, const struct record *, struct err *))
{
	struct reader in = { 0 };
	struct buf note = { 0 };
	char *paths[1] = { (char *)path }, hex[65];
	struct record rec;
	struct err err;
	int got;

	if (reader_open(&in, paths, 1, &err) != 0)
		cli_die(c, EXIT_NOTHING, "--%s: %s", option, err.msg);
	while ((got = reader_next(&in, &err)) == 1 && !cli_stopping()) {
		if (record_parse(&rec, in.line, in.len, &err) != 0 || add(lc, &rec, &err) != 0)
			cli_die(c, EXIT_NOTHING, "%s:%ld: %s", in.name, in.lineno, err.msg);
		record_free(&rec);
	}
	if (got < 0)
		cli_die(c, EXIT_NOTHING, "%s: %s", in.name, err.msg);
	sha256_end_hex(&in.hash, hex);
	buf_printf(&note, "\"%s\":{\"sha256\":\"%s\"}", option, hex);
	cli_manifest_add(c, note.data);
	buf_free(&note);
	reader_close(&in);
}

/* What lc needs before the first record; files that its formula does not need
 * are not read. */
static struct lc *start_lc(struct cli *c)
{
	enum lc_formula formula = read_formula(c);
	struct lc *lc = lc_new(formula);
	struct buf note = { 0 };

	if (difficulty && formula != LC_MINIMAL)
		read_beside(c, lc, "difficulty", difficulty, lc_add_difficulty);
	if (gamed && (formula == LC_V1 || (formula == LC_NOREG && !difficulty)))
		read_beside(c, lc, "gamed", gamed, lc_add_gamed);
	buf_printf(&note, "\"formula\":\"%s\"", lc_formula_name(formula));
	cli_manifest_add(c, note.data);
	buf_free(&note);
	return lc;
}

/* The report that the first word names. Exits 1 where it names none. */
static const struct eval_kind *find_kind(struct cli *c, int argc, char **argv)
{
	static const char *const later[] = { "arena", "mtbench", "agreement", "bootstrap" };
	const struct eval_kind *kind;

	c->tool = &tool;
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "--version") == 0)
			cli_start(c, &tool, argc, argv);
	if (argc < 2 || argv[1][0] == '-')
		cli_usage(c, "the first word says which report: winrate, lc, lengths, judge, meta or pairs");
	kind = eval_kind_by_name(strcmp(argv[1], "lc") == 0 ? "winrate" : argv[1]);
	if (kind)
		return kind;
	for (size_t i = 0; i < sizeof later / sizeof *later; i++)
		if (strcmp(argv[1], later[i]) == 0)
			cli_usage(c, "the report \"%s\" is not there yet; see LIMITS in mr-eval(1)", argv[1]);
	cli_usage(c, "\"%s\" is no report: winrate, lc, lengths, judge, meta or pairs", argv[1]);
}

static enum report_format read_format(struct cli *c)
{
	int format;

	if (!format_name)
		return !c->output && isatty(STDOUT_FILENO) ? REPORT_TABLE : REPORT_JSON;
	format = report_format_by_name(format_name);
	if (format < 0)
		cli_usage(c, "--format: \"%s\" is none of json, table, tsv, markdown", format_name);
	return (enum report_format)format;
}

int main(int argc, char **argv)
{
	static struct cli c;
	struct eval e = { .kind = find_kind(&c, argc, argv) };
	const char *name = argv[1];
	bool lc = strcmp(name, "lc") == 0;
	enum report_format format;
	struct buf note = { 0 };

	argv[1] = argv[0];
	cli_start(&c, &tool, argc - 1, argv + 1);
	format = read_format(&c);
	if (strcmp(scale, "1-2") != 0 && strcmp(scale, "0-1") != 0)
		cli_usage(&c, "--scale: \"%s\" is neither 1-2 nor 0-1", scale);
	if (!lc && (formula_name || difficulty || gamed))
		cli_usage(&c, "--formula, --difficulty and --gamed are for the report lc");
	e.lc = lc ? start_lc(&c) : NULL;
	e.whole.unit = strcmp(scale, "0-1") == 0;
	by = by ? by : e.kind->by;
	read_all(&c, &e);
	if (!cli_stopping() && c.ndone > 0)
		write_report(&c, &e, format);
	buf_printf(&note, "\"report\":\"%s\"", name);
	cli_manifest_add(&c, note.data);
	buf_free(&note);
	eval_free(&e);
	return cli_finish(&c);
}

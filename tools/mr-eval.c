/* mr-eval: reports on preferences, records and pairs. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "stats/agree.h"
#include "stats/arena.h"
#include "stats/eval.h"
#include "stats/groups.h"
#include "stats/lc.h"
#include "stats/paired.h"

static const char *by, *format_name, *scale = "1-2", *formula_name, *difficulty, *gamed, *against;
static bool style, density;
static int rounds = 1000;

static struct opt options[] = {
	{ OPT_STRING, "by", .value = &by, .arg = "FIELD",
	  .help = "also a row for every value of FIELD [none; pairs: role; mtbench: category]" },
	{ OPT_STRING, "format", .value = &format_name, .arg = "FORMAT",
	  .help = "json, table, tsv or markdown [table on a terminal, else json]" },
	{ OPT_STRING, "scale", .value = &scale, .arg = "SCALE",
	  .help = "winrate, lc, compare: preferences are from 1 to 2 (1-2) or from 0 to 1 (0-1) [{}]" },
	{ OPT_STRING, "formula", .value = &formula_name, .arg = "FORMULA",
	  .help = "lc: minimal, noreg or v1 [v1 with --gamed, noreg with --difficulty, else minimal]" },
	{ OPT_STRING, "difficulty", .value = &difficulty, .arg = "FILE",
	  .help = "lc: records with an id and a difficulty [--gamed has them too]" },
	{ OPT_STRING, "gamed", .value = &gamed, .arg = "FILE",
	  .help = "lc: judgments of gamed baselines, for the formula v1" },
	{ OPT_FLAG, "style", .value = &style,
	  .help = "arena: control for length, headings, lists and bold text" },
	{ OPT_INT, "rounds", .value = &rounds, .arg = "N",
	  .help = "arena, compare: bootstrap rounds, drawn by --seed [{}]", .min = 1, .max = 10000000 },
	{ OPT_STRING, "against", .value = &against, .arg = "FILE",
	  .help = "judge: agreement with the scores, ranks or preferences in FILE" },
	{ OPT_FLAG, "density", .value = &density,
	  .help = "judge: also the kernel density of the responses' mean scores" },
	{ .kind = OPT_END },
};

static const struct cli_tool tool = {
	.name = "mr-eval",
	.usage = "REPORT [OPTION]... [FILE]...",
	.summary = "Reports on JSON Lines. REPORT is one of\n"
	    "  winrate  how often a model's responses are preferred (mr-compare, AlpacaEval)\n"
	    "  lc       the same, controlled for length (AlpacaEval 2)\n"
	    "  arena    Bradley-Terry with an interval, from two games a prompt (mr-compare, Arena-Hard)\n"
	    "  compare  two files' preferences: the difference and its p-value (mr-compare)\n"
	    "  mtbench  grades from 1 to 10, by turn and category (mr-judge --scale 1-10)\n"
	    "  lengths  how long responses are, in characters\n"
	    "  judge    how the judge scores: scores found, their distribution, agreement (mr-judge)\n"
	    "  meta     how the meta-judge decides: position, score, ties (mr-metajudge)\n"
	    "  pairs    preference pairs: how many, how long (mr-pairs)",
	.needs = CLI_INPUT | CLI_OUTPUT | CLI_ANY_ID | CLI_SEED,
	.options = options,
};

struct eval;

/* A report. Where it has a kind, that one counts every record, in parts too;
 * add takes what it needs beside. */
struct command {
	const char *name, *kind;        /* kind NULL: there are no parts */
	void (*begin)(struct cli *c, struct eval *e);
	int (*add)(struct eval *e, const struct record *rec, struct err *err);
	/* The whole's row, or that of part group. */
	void (*show)(struct cli *c, struct eval *e, struct report *r, long group);
	const char *options;            /* of its own, with blanks around */
};

enum { WHOLE = LC_EVERY, OTHER = -2 };

struct eval {
	const struct command *command;
	const struct eval_kind *kind;   /* NULL: none */
	struct tally whole;
	struct groups groups;
	struct lc *lc;
	struct lc_weights weights;
	struct arena_hard arena;
	struct paired paired;
	struct agree agree;
};

static bool unit_scale(void)
{
	return strcmp(scale, "0-1") == 0;
}

static int add_lc(struct eval *e, const struct record *rec, struct err *err)
{
	double preference;

	if (eval_preference(rec, unit_scale(), &preference, err) != 0)
		return -1;
	return lc_add(e->lc, rec, preference, err);
}

static int add_arena(struct eval *e, const struct record *rec, struct err *err)
{
	return arena_hard_add(&e->arena, rec, err);
}

static int add_compare(struct eval *e, const struct record *rec, struct err *err)
{
	double preference;

	if (eval_preference(rec, unit_scale(), &preference, err) != 0)
		return -1;
	return paired_add_second(&e->paired, rec, preference, err);
}

static int add_agree(struct eval *e, const struct record *rec, struct err *err)
{
	return against ? agree_add(&e->agree, rec, err) : 0;
}

/* A record that fails half-way is counted nowhere. -1; OTHER: nor can those
 * behind it be. */
static int add_record(struct eval *e, const struct record *rec, struct buf *name, struct err *err)
{
	const struct command *command = e->command;
	struct tally whole = e->whole;
	struct group *g;
	int rc;

	if (by && group_name(rec, by, name, err) != 0)
		return -1;
	if (e->kind && e->kind->add(rec, &whole, err) != 0)
		return -1;
	rc = command->add ? command->add(e, rec, err) : 0;
	if (rc != 0)
		return rc;
	whole.records++;
	e->whole = whole;
	if (!by)
		return 0;
	g = group_find(&e->groups, name->len ? name->data : "");
	if (e->lc)
		lc_group(e->lc, (size_t)(g - e->groups.v));
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
		if (rc == OTHER)
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

static void show_lc(struct cli *c, struct eval *e, struct report *r, long group)
{
	struct err err;

	if (group == WHOLE && lc_fit(e->lc, &e->weights, &err) != 0)
		cli_die(c, EXIT_NOTHING, "%s", err.msg);
	lc_show(r, e->lc, group == WHOLE ? &e->weights : NULL, group);
}

static void show_arena(struct cli *c, struct eval *e, struct report *r, long group)
{
	struct arena_result result;
	struct err err;

	(void)group;
	if (arena_hard_fit(&e->arena, c->seed, rounds, &result, &err) != 0)
		cli_die(c, EXIT_NOTHING, "%s", err.msg);
	arena_hard_show(r, &e->arena, &result);
}

static void show_compare(struct cli *c, struct eval *e, struct report *r, long group)
{
	struct paired_result result;
	struct err err;

	(void)group;
	if (paired_fit(&e->paired, c->seed, rounds, &result, &err) != 0)
		cli_die(c, EXIT_NOTHING, "%s", err.msg);
	paired_show(r, &result);
}

static void show_agree(struct cli *c, struct eval *e, struct report *r, long group)
{
	(void)c;
	if (against)
		agree_show(r, group == WHOLE ? &e->agree : NULL);
}

static void show_row(struct cli *c, struct eval *e, struct report *r, const struct tally *t, long group)
{
	if (e->kind)
		e->kind->show(r, t, &e->whole);
	if (e->command->show)
		e->command->show(c, e, r, group);
}

static void write_report(struct cli *c, struct eval *e, enum report_format format)
{
	struct report r = { .by = by };
	struct buf out = { 0 };

	report_row(&r, NULL);
	show_row(c, e, &r, &e->whole, WHOLE);
	for (size_t i = 0; i < e->groups.n; i++) {
		const struct group *g = &e->groups.v[e->groups.order[i]];

		report_row(&r, g->name);
		show_row(c, e, &r, &g->t, (long)e->groups.order[i]);
	}
	report_write(&r, format, &out);
	cli_write(c, out.data, out.len);
	buf_free(&out);
	report_free(&r);
}

static void eval_free(struct eval *e)
{
	groups_free(&e->groups);
	lc_free(e->lc);
	arena_hard_free(&e->arena);
	paired_free(&e->paired);
	agree_free(&e->agree);
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

typedef int add_beside(struct eval *e, const struct record *rec, struct err *err);

static int beside_difficulty(struct eval *e, const struct record *rec, struct err *err)
{
	return lc_add_difficulty(e->lc, rec, err);
}

static int beside_gamed(struct eval *e, const struct record *rec, struct err *err)
{
	return lc_add_gamed(e->lc, rec, err);
}

static int beside_against(struct eval *e, const struct record *rec, struct err *err)
{
	return agree_add_reference(&e->agree, rec, err);
}

static int beside_first(struct eval *e, const struct record *rec, struct err *err)
{
	double preference;

	if (eval_preference(rec, unit_scale(), &preference, err) != 0)
		return -1;
	return paired_add_first(&e->paired, rec, preference, err);
}

/* A file that is read before the input; name is its own in messages and in
 * the manifest. */
static void read_beside(struct cli *c, struct eval *e, const char *name, const char *path, add_beside *add)
{
	struct reader in = { 0 };
	struct buf note = { 0 };
	char *paths[1] = { (char *)path }, hex[65];
	struct record rec;
	struct err err;
	int got;

	if (reader_open(&in, paths, 1, &err) != 0)
		cli_die(c, EXIT_NOTHING, "--%s: %s", name, err.msg);
	while ((got = reader_next(&in, &err)) == 1 && !cli_stopping()) {
		if (record_parse(&rec, in.line, in.len, &err) != 0 || add(e, &rec, &err) != 0)
			cli_die(c, EXIT_NOTHING, "%s:%ld: %s", in.name, in.lineno, err.msg);
		record_free(&rec);
	}
	if (got < 0)
		cli_die(c, EXIT_NOTHING, "%s: %s", in.name, err.msg);
	sha256_end_hex(&in.hash, hex);
	buf_printf(&note, "\"%s\":{\"sha256\":\"%s\"}", name, hex);
	cli_manifest_add(c, note.data);
	buf_free(&note);
	reader_close(&in);
}

/* Files that the formula does not need are not read. */
static void begin_lc(struct cli *c, struct eval *e)
{
	enum lc_formula formula = read_formula(c);
	struct buf note = { 0 };

	e->lc = lc_new(formula);
	if (difficulty && formula != LC_MINIMAL)
		read_beside(c, e, "difficulty", difficulty, beside_difficulty);
	if (gamed && (formula == LC_V1 || (formula == LC_NOREG && !difficulty)))
		read_beside(c, e, "gamed", gamed, beside_gamed);
	buf_printf(&note, "\"formula\":\"%s\"", lc_formula_name(formula));
	cli_manifest_add(c, note.data);
	buf_free(&note);
}

static void begin_arena(struct cli *c, struct eval *e)
{
	(void)c;
	e->arena.style = style;
}

/* The first file is read at once, the second is the input. */
static void begin_compare(struct cli *c, struct eval *e)
{
	struct err err;

	if (c->noperands != 2)
		cli_usage(c, "compare wants two files of preferences");
	read_beside(c, e, "first", c->operands[0], beside_first);
	reader_close(&c->reader);
	memset(&c->reader, 0, sizeof c->reader);
	c->operands++;
	c->noperands--;
	if (reader_open(&c->reader, c->operands, c->noperands, &err) != 0)
		cli_die(c, EXIT_NOTHING, "%s", err.msg);
}

static void begin_judge(struct cli *c, struct eval *e)
{
	e->whole.density = density;
	if (against)
		read_beside(c, e, "against", against, beside_against);
}

static const struct command commands[] = {
	{ "winrate", "winrate", NULL, NULL, NULL, " scale " },
	{ "lc", "winrate", begin_lc, add_lc, show_lc, " scale formula difficulty gamed " },
	{ "arena", NULL, begin_arena, add_arena, show_arena, " style rounds " },
	{ "compare", NULL, begin_compare, add_compare, show_compare, " scale rounds " },
	{ "mtbench", "mtbench", NULL, NULL, NULL, "" },
	{ "lengths", "lengths", NULL, NULL, NULL, "" },
	{ "judge", "judge", begin_judge, add_agree, show_agree, " against density " },
	{ "meta", "meta", NULL, NULL, NULL, "" },
	{ "pairs", "pairs", NULL, NULL, NULL, "" },
};

/* The report that the first word names. Exits 1 where it names none. */
static const struct command *find_command(struct cli *c, int argc, char **argv)
{
	static const char names[] = "winrate, lc, arena, compare, mtbench, lengths, judge, meta or pairs";

	c->tool = &tool;
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "--version") == 0)
			cli_start(c, &tool, argc, argv);
	if (argc < 2 || argv[1][0] == '-')
		cli_usage(c, "the first word says which report: %s", names);
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return &commands[i];
	cli_usage(c, "\"%s\" is no report: %s", argv[1], names);
}

/* An option that the report has no use for is a mistake. */
static void check_options(struct cli *c, const struct command *command)
{
	const struct { const char *name; bool given; } given[] = {
		{ "formula", formula_name }, { "difficulty", difficulty }, { "gamed", gamed }, { "style", style },
		{ "against", against }, { "density", density }, { "by", by && !command->kind },
	};

	for (size_t i = 0; i < sizeof given / sizeof *given; i++) {
		char word[20];

		snprintf(word, sizeof word, " %s ", given[i].name);
		if (given[i].given && !strstr(command->options, word))
			cli_usage(c, "--%s is not for the report %s", given[i].name, command->name);
	}
	if (strcmp(scale, "1-2") != 0 && strcmp(scale, "0-1") != 0)
		cli_usage(c, "--scale: \"%s\" is neither 1-2 nor 0-1", scale);
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
	static struct eval e;
	const struct command *command = e.command = find_command(&c, argc, argv);
	enum report_format format;
	struct buf note = { 0 };

	argv[1] = argv[0];
	cli_start(&c, &tool, argc - 1, argv + 1);
	format = read_format(&c);
	check_options(&c, command);
	e.kind = command->kind ? eval_kind_by_name(command->kind) : NULL;
	e.whole.unit = unit_scale();
	if (command->begin)
		command->begin(&c, &e);
	e.groups.fresh = e.whole;
	by = by || !e.kind ? by : e.kind->by;
	read_all(&c, &e);
	if (!cli_stopping() && c.ndone > 0)
		write_report(&c, &e, format);
	buf_printf(&note, "\"report\":\"%s\"", command->name);
	cli_manifest_add(&c, note.data);
	buf_free(&note);
	eval_free(&e);
	return cli_finish(&c);
}

/* mr-model: model files (info, check, fetch, convert, merge), and a model's tokens and
 * log-probabilities as filters over records (tokenize, logprobs). */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/pool.h"
#include "cli/cli.h"
#include "model/convert.h"
#include "model/engine.h"
#include "model/fetch.h"
#include "model/inspect.h"
#include "model/ops.h"

static struct cli cli;

/* info */

static bool info_json;

static struct opt info_options[] = {
	{ OPT_FLAG, "json", .value = &info_json, .help = "one JSON object a file, a line each" },
	{ .kind = OPT_END },
};

static int info_file(const char *path, struct buf *b, struct err *err)
{
	return model_describe(path, info_json, b, err);
}

/* check */

static int check_file(const char *path, struct buf *b, struct err *err)
{
	struct model_check c;

	if (model_check(path, cli_stopping, &c, err) != 0)
		return -1;
	buf_printf(b, "%s: OK, %llu tensors, %llu values, sha256 %s%s\n", path, (unsigned long long)c.tensors,
	    (unsigned long long)c.values, c.sha256,
	    strcmp(c.sha256, FETCH_SHA256) == 0 ? " (the default model)" : "");
	return 0;
}

static _Noreturn void no_model(const char *how)
{
	cli_die(&cli, EXIT_NOTHING, "no model: %s or set MR_MODEL, or run: mr-model fetch", how);
}

/* Each file named, or the default model. */
static int each_file(int (*file)(const char *path, struct buf *b, struct err *err))
{
	char *standard[1];
	char **paths = cli.operands;
	int n = cli.noperands, failed = 0;
	struct buf b = { 0 };
	struct err err;

	if (n == 0) {
		if (!(standard[0] = (char *)(uintptr_t)cli_default_model()))
			no_model("name a FILE");
		paths = standard;
		n = 1;
	}
	for (int i = 0; i < n && !cli_stopping(); i++) {
		buf_reset(&b);
		if (file(paths[i], &b, &err) == 0) {
			cli_write(&cli, b.data, b.len);
		} else if (!cli_stopping()) {
			cli_warn(&cli, "%s: %s", paths[i], err.msg);
			failed++;
		}
	}
	buf_free(&b);
	cli.quiet = true;               /* no summary of records */
	cli_finish(&cli);
	return failed == 0 ? EXIT_OK : failed < n ? EXIT_SOME : EXIT_NOTHING;
}

static int run_info(void)
{
	return each_file(info_file);
}

static int run_check(void)
{
	return each_file(check_file);
}

/* fetch */

static bool fetch_stopping(void *arg)
{
	(void)arg;
	return cli_stopping();
}

static void fetch_progress(void *arg, uint64_t bytes, uint64_t total)
{
	struct progress *p = arg;

	p->done = (bytes < total ? bytes : total) / 1000000;
	p->total = total / 1000000;
	progress_update(p);
}

static int run_fetch(void)
{
	struct fetch_hooks hooks = { fetch_stopping, fetch_progress, &cli.progress };
	const char *folder = cli.noperands ? cli.operands[0] : "models";
	struct err err;
	int r;

	if (cli.noperands > 1)
		cli_usage(&cli, "fetch takes one folder");
	progress_start(&cli.progress, "mr-model fetch", "MB", cli.progress_mode);
	r = model_fetch(folder, &hooks, &err);
	if (r < 0)
		cli_die(&cli, EXIT_NOTHING, "fetch: %s", err.msg);
	progress_clear(&cli.progress);
	if (!cli.quiet)
		cli_warn(&cli, "%s/%s %s", folder, FETCH_NAME,
		    r == 1 ? "is there already, and right" : "is there now, and right");
	return EXIT_OK;
}

/* convert */

#define TYPES "F32, F16, BF16, Q8_0, Q6_K, Q5_K, Q5_1, Q5_0, Q4_K, Q4_1, Q4_0"

static const char *type_name = "F32";

static struct opt convert_options[] = {
	{ OPT_STRING, "type", .value = &type_name, .arg = "TYPE",
	  .help = "of the matrices: " TYPES "; of a folder, the first three [{}]" },
	{ .kind = OPT_END },
};

static bool is_folder(const char *path)
{
	size_t len = strlen(path);
	struct stat st;

	return (len > 0 && path[len - 1] == '/') || (stat(path, &st) == 0 && S_ISDIR(st.st_mode));
}

static void convert_progress(void *arg, uint64_t tensors, uint64_t total)
{
	struct progress *p = arg;

	p->done = tensors;
	p->total = total;
	progress_update(p);
}

/* adapter NULL: none */
static int manifest_of(const char *in, const char *adapter, const char *out, struct err *err)
{
	struct buf b = { 0 }, name = { 0 };
	size_t len = strlen(out);
	int r;

	buf_adds(&b, "\"input\":");
	r = convert_describe(in, &b, err);
	if (adapter && r == 0) {
		buf_adds(&b, ",\n \"adapter\":");
		r = convert_describe(adapter, &b, err);
	}
	buf_adds(&b, ",\n \"output\":");
	if (r == 0)
		r = convert_describe(out, &b, err);
	while (len > 1 && out[len - 1] == '/')
		len--;
	buf_printf(&name, "%.*s.manifest.json", (int)len, out);
	if (r == 0) {
		cli_manifest_add(&cli, b.data);
		cli.manifest = name.data;
		r = cli_manifest(&cli, out, err);
		cli.manifest = NULL;
	}
	buf_free(&b);
	buf_free(&name);
	return r;
}

static int run_convert(void)
{
	struct convert_hooks hooks = { fetch_stopping, convert_progress, &cli.progress };
	int type = tensor_type_by_name(type_name), r;
	bool from, to;
	const char *in, *out;
	struct err err;

	if (cli.noperands != 2)
		cli_usage(&cli, "convert takes a model and where to write it");
	in = cli.operands[0];
	out = cli.operands[1];
	from = is_folder(in);
	to = is_folder(out);
	if (from && to)
		cli_usage(&cli, "convert: both are folders; one of the two is a GGUF file");
	if (!convert_type(type, to))
		cli_usage(&cli, "--type: \"%s\" is none of %s", type_name, to ? "F32, F16, BF16" : TYPES);
	progress_start(&cli.progress, "mr-model convert", "tensors", cli.progress_mode);
	r = (from ? convert_from_folder : to ? convert_to_folder : convert_gguf)(in, out, (enum tensor_type)type,
	    &hooks, &err);
	progress_clear(&cli.progress);
	if (r != 0 || manifest_of(in, NULL, out, &err) != 0)
		cli_die(&cli, EXIT_NOTHING, "%s", err.msg);
	return EXIT_OK;
}

/* merge */

static const char *merged;

static struct opt merge_options[] = {
	{ OPT_STRING, "output", 'o', &merged, .arg = "FILE", .help = "write the model here, a GGUF file (needed)" },
	{ OPT_STRING, "type", .value = &type_name, .arg = "TYPE",
	  .help = "of the matrices: " TYPES " [{}]" },
	{ .kind = OPT_END },
};

static int run_merge(void)
{
	struct convert_hooks hooks = { fetch_stopping, convert_progress, &cli.progress };
	int type = tensor_type_by_name(type_name), r;
	struct err err;

	if (cli.noperands != 2 || !merged)
		cli_usage(&cli, "merge takes a model, an adapter, and -o FILE");
	if (!convert_type(type, false))
		cli_usage(&cli, "--type: \"%s\" is none of " TYPES, type_name);
	progress_start(&cli.progress, "mr-model merge", "tensors", cli.progress_mode);
	r = convert_merge(cli.operands[0], cli.operands[1], merged, (enum tensor_type)type, &hooks, &err);
	progress_clear(&cli.progress);
	if (r != 0 || manifest_of(cli.operands[0], cli.operands[1], merged, &err) != 0)
		cli_die(&cli, EXIT_NOTHING, "%s", err.msg);
	return EXIT_OK;
}

/* tokenize */

static bool parse_special;

static struct opt tokenize_options[] = {
	{ OPT_FLAG, "parse-special", .value = &parse_special,
	  .help = "control tokens in the text, such as <|im_end|>, are control tokens" },
	{ .kind = OPT_END },
};

static int tokenize_record(void *tool, struct job *job, struct err *err)
{
	const struct tokenizer *t = tool;
	const char *text = record_string(&job->rec, "text", err);
	struct ids ids = { 0 };
	struct buf b = { 0 };

	if (!text)
		return -1;
	tokenizer_encode(t, text, strlen(text), parse_special, &ids);
	buf_addc(&b, '[');
	for (size_t i = 0; i < ids.n; i++)
		buf_printf(&b, i ? ",%d" : "%d", (int)ids.v[i]);
	buf_addc(&b, ']');
	record_set(&job->rec, "ids", b.data);
	buf_free(&b);
	ids_free(&ids);
	return 0;
}

static int run_tokenize(void)
{
	struct err err;
	struct gguf *g;
	struct tokenizer *t;
	int status;

	if (!cli.model)
		no_model("name one with -m FILE");
	if (!(g = gguf_open(cli.model, &err)) || !(t = tokenizer_new(g, &err)))
		cli_die(&cli, EXIT_NOTHING, "%s: %s", cli.model, err.msg);
	gguf_close(g);
	cli_records(&cli, tokenize_record, t);
	status = cli_finish(&cli);
	tokenizer_free(t);
	return status;
}

/* logprobs */

static int top;
static bool exact;

static struct opt logprobs_options[] = {
	{ OPT_INT, "top", .value = &top, .arg = "K",
	  .help = "the K likeliest tokens after the last one, as \"top\" [{}]", .min = 0, .max = 1e6 },
	{ OPT_FLAG, "exact", .value = &exact, .help = "the plain float32 reference path" },
	{ OPT_FLAG, "parse-special", .value = &parse_special,
	  .help = "control tokens in \"text\", such as <|im_end|>, are control tokens" },
	{ .kind = OPT_END },
};

struct scorer {
	const struct model *model;
	struct engine *engine;
	float *logits;                  /* (ENGINE_MAX_ROWS, V) */
	struct ranked *ranked;          /* (V) */
};

struct ranked {
	double logprob;
	int id;
};

static int by_logprob(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	if (x->logprob != y->logprob)
		return x->logprob > y->logprob ? -1 : 1;
	return (x->id > y->id) - (x->id < y->id);
}

static void add_number(struct buf *b, double x)
{
	if (isfinite(x))
		buf_printf(b, "%.8g", x);
	else
		buf_adds(b, "null");
}

/* "ids", or the tokens of "text". */
static int read_ids(const struct scorer *s, const struct record *r, struct ids *ids, struct err *err)
{
	const cJSON *array = cJSON_GetObjectItemCaseSensitive(r->json, "ids"), *e;
	const char *text;

	if (!array) {
		if (!record_has(r, "text"))
			return err_set(err, "neither \"ids\" nor \"text\" is there");
		if (!(text = record_string(r, "text", err)))
			return -1;
		tokenizer_encode(s->model->tokenizer, text, strlen(text), parse_special, ids);
	} else if (!cJSON_IsArray(array)) {
		return err_set(err, "\"ids\" is not an array");
	}
	for (e = array ? array->child : NULL; e; e = e->next) {
		if (!cJSON_IsNumber(e) || !(e->valuedouble >= 0 && e->valuedouble < s->model->config.vocab) ||
		    e->valuedouble != floor(e->valuedouble))
			return err_set(err, "\"ids\"[%zu] is no token of this model", ids->n);
		ids_add(ids, (int32_t)e->valuedouble);
	}
	if (ids->n == 0)
		return err_set(err, "there are no tokens in it");
	if (ids->n > (size_t)s->model->config.context)
		return err_set(err, "%zu tokens are more than the model's context, %d", ids->n,
		    s->model->config.context);
	return 0;
}

static void add_top(const struct scorer *s, const float *logits, struct buf *b)
{
	int vocab = s->model->config.vocab;
	double sum = op_logsumexp(logits, (size_t)vocab);

	for (int i = 0; i < vocab; i++)
		s->ranked[i] = (struct ranked){ logits[i] - sum, i };
	qsort(s->ranked, (size_t)vocab, sizeof *s->ranked, by_logprob);
	buf_addc(b, '[');
	for (int i = 0; i < top && i < vocab; i++) {
		buf_printf(b, "%s{\"id\":%d,\"logprob\":", i ? "," : "", s->ranked[i].id);
		add_number(b, s->ranked[i].logprob);
		buf_addc(b, '}');
	}
	buf_addc(b, ']');
}

/* All tokens in steps of ENGINE_MAX_ROWS; next gets the log-probability of
 * each but the first. */
static int score(const struct scorer *s, int seq, const struct ids *ids, struct buf *next, struct buf *best,
    struct err *err)
{
	size_t vocab = (size_t)s->model->config.vocab;
	struct engine_row rows[ENGINE_MAX_ROWS];

	for (size_t at = 0; at < ids->n; at += ENGINE_MAX_ROWS) {
		size_t n = ids->n - at < ENGINE_MAX_ROWS ? ids->n - at : ENGINE_MAX_ROWS;

		for (size_t i = 0; i < n; i++)
			rows[i] = (struct engine_row){ seq, ids->v[at + i], true };
		if (engine_step(s->engine, rows, (int)n, s->logits, err) != 0)
			return -1;
		for (size_t i = 0; i < n && at + i + 1 < ids->n; i++) {
			const float *logits = s->logits + i * vocab;

			buf_adds(next, at + i ? "," : "");
			add_number(next, logits[ids->v[at + i + 1]] - op_logsumexp(logits, vocab));
		}
		if (top > 0 && at + n == ids->n)
			add_top(s, s->logits + (n - 1) * vocab, best);
	}
	return 0;
}

static int logprobs_record(void *tool, struct job *job, struct err *err)
{
	const struct scorer *s = tool;
	struct ids ids = { 0 };
	struct buf next = { 0 }, best = { 0 };
	int r = read_ids(s, &job->rec, &ids, err);

	if (r == 0) {
		int seq = engine_seq_new(s->engine);

		buf_addc(&next, '[');
		r = score(s, seq, &ids, &next, &best, err);
		buf_addc(&next, ']');
		engine_seq_free(s->engine, seq);
	}
	if (r == 0) {
		record_set(&job->rec, "next_logprob", next.data);
		if (top > 0)
			record_set(&job->rec, "top", best.data);
	}
	ids_free(&ids);
	buf_free(&next);
	buf_free(&best);
	return r;
}

static int run_logprobs(void)
{
	struct engine_options o = { .exact = exact };
	struct scorer s = { 0 };
	struct pool *pool;
	struct model *m;
	struct err err;
	int status;

	if (!cli.model)
		no_model("name one with -m FILE");
	if (!(m = model_open(cli.model, cli.llm.chat_template, &err)))
		cli_die(&cli, EXIT_NOTHING, "%s: %s", cli.model, err.msg);
	pool = pool_new(cli.llm.threads);
	s.model = m;
	s.engine = engine_new(m, pool, &o, &err);
	if (!s.engine)
		cli_die(&cli, EXIT_NOTHING, "%s: %s", cli.model, err.msg);
	s.logits = mem_try((size_t)ENGINE_MAX_ROWS * (size_t)m->config.vocab, sizeof *s.logits);
	s.ranked = mem_try((size_t)m->config.vocab, sizeof *s.ranked);
	if (!s.logits || !s.ranked)
		cli_die(&cli, EXIT_NOTHING, "not enough memory for the logits of %d tokens", ENGINE_MAX_ROWS);
	cli_records(&cli, logprobs_record, &s);
	status = cli_finish(&cli);
	free(s.logits);
	free(s.ranked);
	engine_free(s.engine);
	pool_free(pool);
	model_close(m);
	return status;
}

static const struct command {
	struct cli_tool tool;
	const char *name;
	int (*run)(void);
} commands[] = {
	{ { "mr-model", "info [OPTION]... [FILE]...",
	    "Tells what is in model files (default: the default model), and whether they can be used here.",
	    0, info_options }, "info", run_info },
	{ { "mr-model", "check [OPTION]... [FILE]...",
	    "Reads every tensor of model files (default: the default model) and prints their SHA-256.",
	    0, NULL }, "check", run_check },
	{ { "mr-model", "fetch [OPTION]... [FOLDER]",
	    "Brings the default model, SmolLM2-135M-Instruct, into FOLDER (default: models).",
	    0, NULL }, "fetch", run_fetch },
	{ { "mr-model", "convert [OPTION]... IN OUT",
	    "Writes a model anew: a GGUF file as one of another type, or as a Hugging Face folder (OUT ends\n"
	    "with / or is a folder), or such a folder (IN) as a GGUF file.",
	    0, convert_options }, "convert", run_convert },
	{ { "mr-model", "merge [OPTION]... BASE ADAPTER -o FILE",
	    "Writes the model BASE with the LoRA adapter that mr-dpo, mr-sft or another trainer made of it added.",
	    0, merge_options }, "merge", run_merge },
	{ { "mr-model", "tokenize [OPTION]... [FILE]...",
	    "Adds \"ids\", the tokens of \"text\", to each record.",
	    CLI_WEIGHTS | CLI_RECORDS | CLI_ANY_ID, tokenize_options }, "tokenize", run_tokenize },
	{ { "mr-model", "logprobs [OPTION]... [FILE]...",
	    "Adds \"next_logprob\", the log-probability of each token of \"ids\" (or \"text\") after the\n"
	    "first, given those before it, to each record.",
	    CLI_WEIGHTS | CLI_RECORDS | CLI_ANY_ID, logprobs_options }, "logprobs", run_logprobs },
};

static const struct cli_tool overview = {
	.name = "mr-model",
	.usage = "COMMAND [OPTION]... [FILE]...",
	.summary = "Model files. COMMAND is one of\n"
	    "  info      what is in a file\n"
	    "  check     every tensor is readable; the SHA-256\n"
	    "  fetch     bring the default model\n"
	    "  convert   another type, or from and to a Hugging Face folder\n"
	    "  merge     a model and an adapter into one\n"
	    "  tokenize  records with \"text\" -> + \"ids\"\n"
	    "  logprobs  records with \"ids\" or \"text\" -> + \"next_logprob\"\n"
	    "mr-model COMMAND --help has the options of each.",
};

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		if (strcmp(name, commands[i].name) == 0) {
			argv[1] = argv[0];
			cli_start(&cli, &commands[i].tool, argc - 1, argv + 1);
			return commands[i].run();
		}
	if (strcmp(name, "--help") != 0 && strcmp(name, "--version") != 0)
		argc = 1;               /* what follows an unknown command is not looked at */
	cli_start(&cli, &overview, argc, argv);
	if (!*name)
		cli_usage(&cli, "no command; see mr-model --help");
	cli_usage(&cli, "\"%s\" is no command; see mr-model --help", name);
}

#include "cli/cli.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/utf8.h"
#include "cli/private.h"

#define DEFAULT_MODEL "models/SmolLM2-135M-Instruct.Q4_1.gguf"

static volatile sig_atomic_t stop_signal;
static const char *tool_name = "mr";

static void on_signal(int sig)
{
	if (stop_signal) {      /* asked twice: at once */
		out_abort_all();
		_exit(128 + sig);
	}
	stop_signal = sig;
	llm_interrupt();
}

bool cli_stopping(void)
{
	return stop_signal != 0;
}


static void install_signals(void)
{
	struct sigaction sa = { .sa_handler = on_signal };

	sigemptyset(&sa.sa_mask);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	sa.sa_handler = SIG_IGN;        /* a closed pipe is an error of write() */
	sigaction(SIGPIPE, &sa, NULL);
}

static _Noreturn void on_exhaustion(size_t wanted)
{
	fprintf(stderr, "%s: out of memory (wanted %zu bytes)\n", tool_name, wanted);
	out_abort_all();
	_exit(EXIT_NOTHING);
}

static void complain(struct cli *c, const char *fmt, va_list ap)
{
	progress_clear(&c->progress);
	flockfile(stderr);
	fprintf(stderr, "%s: ", c->tool->name);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	funlockfile(stderr);
}

void cli_warn(struct cli *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(c, fmt, ap);
	va_end(ap);
}

_Noreturn void cli_die(struct cli *c, int status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(c, fmt, ap);
	va_end(ap);
	out_abort_all();
	exit(status);
}

_Noreturn void cli_usage(struct cli *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(c, fmt, ap);
	va_end(ap);
	fprintf(stderr, "usage: %s %s\n", c->tool->name, c->tool->usage);
	out_abort_all();
	exit(EXIT_USAGE);
}

static void help(const struct cli *c)
{
	struct buf b = { 0 };

	buf_printf(&b, "usage: %s %s\n%s\n", c->tool->name, c->tool->usage, c->tool->summary);
	opts_help(c->priv->tables, &b);
	buf_printf(&b, "\nExit status: 0 done, 1 usage, 2 some records failed, 3 nothing could be done.\n"
	    "The manual: man %s\n", c->tool->name);
	fwrite(b.data, 1, b.len, stdout);
	buf_free(&b);
	if (fflush(stdout) != 0)
		exit(EXIT_NOTHING);
	exit(EXIT_OK);
}

static void help_and_version(const struct cli *c, int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--help") == 0)
			help(c);
		if (strcmp(argv[i], "--version") == 0) {
			printf("%s (meta-rewarding) %s\n", c->tool->name, MR_VERSION);
			exit(fflush(stdout) == 0 ? EXIT_OK : EXIT_NOTHING);
		}
	}
}

static void open_files(struct cli *c)
{
	unsigned needs = c->tool->needs;
	struct err err;

	if (needs & (CLI_RECORDS | CLI_INPUT)) {
		if (reader_open(&c->reader, c->operands, c->noperands, &err) != 0)
			cli_die(c, EXIT_NOTHING, "%s", err.msg);
		c->priv->reading = true;
	}
	c->out = out_open(c->output, &err);
	if (!c->out)
		cli_die(c, EXIT_NOTHING, "%s", err.msg);
	if (c->rejects && !(c->rejects_out = out_open(c->rejects, &err)))
		cli_die(c, EXIT_NOTHING, "%s", err.msg);
	if (c->resume)
		cli_resume(c);
}

void cli_start(struct cli *c, const struct cli_tool *tool, int argc, char **argv)
{
	struct err err;
	int first;

	c->tool = tool;
	tool_name = tool->name;
	mem_on_exhaustion(on_exhaustion);
	c->priv = mem_zalloc(1, sizeof *c->priv);
	sha256_init(&c->priv->output_hash);
	c->progress.mode = PROGRESS_NEVER;
	cli_option_table(c);
	help_and_version(c, argc, argv);
	if (opts_parse(c->priv->tables, argc, argv, &first, &err) != 0)
		cli_usage(c, "%s", err.msg);
	cli_apply_options(c);
	c->operands = argv + first;
	c->noperands = argc - first;
	install_signals();
	if ((tool->needs & (CLI_MODEL | CLI_WEIGHTS)) && !c->model && !cli_has_servers(c))
		c->model = cli_default_model();
	open_files(c);
	progress_start(&c->progress, tool->name, "records", c->progress_mode);
}

static bool readable(const char *path)
{
	return access(path, R_OK) == 0;
}

const char *cli_default_model(void)
{
	static char path[4096];
	const char *env = getenv("MR_MODEL"), *home;
	char exe[2048];
	ssize_t n;

	if (env && *env)
		return env;
	if (readable(DEFAULT_MODEL))
		return DEFAULT_MODEL;
	n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	for (int up = 0; n > 0 && up < 3; up++)
		while (n > 0 && exe[--n] != '/')
			;
	if (n > 0) {            /* …/build/bin/mr-x → … */
		exe[n] = '\0';
		snprintf(path, sizeof path, "%s/" DEFAULT_MODEL, exe);
		if (readable(path))
			return path;
	}
	if ((home = getenv("XDG_DATA_HOME")) && *home)
		snprintf(path, sizeof path, "%s/meta-rewarding/" DEFAULT_MODEL, home);
	else if ((home = getenv("HOME")))
		snprintf(path, sizeof path, "%s/.local/share/meta-rewarding/" DEFAULT_MODEL, home);
	else
		return NULL;
	return readable(path) ? path : NULL;
}

static int read_small(const char *path, struct buf *b, struct err *err)
{
	const size_t limit = 1 << 20;
	char chunk[8192];
	size_t n;
	FILE *f = fopen(path, "rb");
	struct stat st;

	if (!f)
		return err_sys(err, "cannot be opened");
	if (fstat(fileno(f), &st) == 0 && S_ISDIR(st.st_mode)) {
		fclose(f);
		return err_set(err, "is a directory");
	}
	while ((n = fread(chunk, 1, sizeof chunk, f)) > 0 && b->len <= limit)
		buf_add(b, chunk, n);
	if (ferror(f))
		err_sys(err, "cannot be read");
	else if (b->len > limit)
		err_set(err, "is longer than 1 MiB; is this the right file?");
	else if (b->len == 0)
		err_set(err, "is empty");
	else if ((n = utf8_check(b->data, b->len)) < b->len)
		err_set(err, "not UTF-8 at byte %zu", n);
	else if (memchr(b->data, 0, b->len))
		err_set(err, "has a NUL byte in it");
	else {
		fclose(f);
		return 0;
	}
	fclose(f);
	return -1;
}

char *cli_text_file(struct cli *c, const char *path, struct err *err)
{
	struct buf b = { 0 }, *t = &c->priv->templates;
	struct sha256 s;
	char hex[65];

	if (read_small(path, &b, err) != 0) {
		buf_free(&b);
		return NULL;
	}
	sha256_init(&s);
	sha256_add(&s, b.data, b.len);
	sha256_end_hex(&s, hex);
	buf_adds(t, t->len ? "," : "");
	buf_adds(t, "{\"path\":");
	buf_json_string(t, path, strlen(path));
	buf_printf(t, ",\"sha256\":\"%s\"}", hex);
	return buf_take(&b);
}

void cli_write(struct cli *c, const void *data, size_t len)
{
	struct err err;

	sha256_add(&c->priv->output_hash, data, len);
	if (out_write(c->out, data, len, &err) != 0 ||
	    (c->model_handle && !c->output && out_flush(c->out, &err) != 0))
		cli_die(c, EXIT_NOTHING, "%s", err.msg);
}

static void summary(struct cli *c)
{
	double took = now_seconds() - c->progress.start;
	struct buf b = { 0 };

	if (c->quiet)
		return;
	buf_printf(&b, "%llu record%s", (unsigned long long)c->ndone, c->ndone == 1 ? "" : "s");
	if (c->nskipped)
		buf_printf(&b, ", %llu already there", (unsigned long long)c->nskipped);
	if (c->nfailed)
		buf_printf(&b, ", %llu failed", (unsigned long long)c->nfailed);
	if (c->model_handle && cli_has_servers(c)) {
		cli_server_summary(c, &b);
	} else if (c->model_handle) {
		struct llm_usage u = llm_usage(c->model_handle);

		buf_printf(&b, ", %llu tokens in, %llu out, %.1f s, %.1f tokens/s",
		    (unsigned long long)u.tokens_in, (unsigned long long)u.tokens_out, took,
		    took > 0 ? (double)u.tokens_out / took : 0);
	}
	if (c->notes.len)
		buf_printf(&b, "%s%s", b.len ? "; " : "", c->notes.data);
	cli_warn(c, "%s", b.data);
	buf_free(&b);
}

static _Noreturn void end_by_signal(struct cli *c)
{
	int sig = stop_signal;
	struct err err;

	if (!c->output && c->out)
		out_flush(c->out, &err);
	cli_warn(c, "stopped by %s; %llu record%s done%s", sig == SIGINT ? "an interrupt" : strsignal(sig),
	    (unsigned long long)c->ndone, c->ndone == 1 ? "" : "s",
	    c->output ? ", no output kept" : c->tool->needs & CLI_RECORDS ? "; --resume goes on from there" : "");
	out_abort_all();
	signal(sig, SIG_DFL);
	raise(sig);
	_exit(128 + sig);
}

static void say_spent(struct cli *c)
{
	const char *what = llm_spent(c->model_handle);
	bool tokens = what && strcmp(what, "tokens") == 0;

	cli_warn(c, "the budget of %llu %s is spent; %llu record%s done, --resume goes on with the others",
	    (unsigned long long)(tokens ? c->llm.servers.budget_tokens : c->llm.servers.budget_requests),
	    tokens ? "tokens" : "requests", (unsigned long long)c->ndone, c->ndone == 1 ? " is" : "s are");
}

int cli_finish(struct cli *c)
{
	bool records = c->tool->needs & (CLI_RECORDS | CLI_INPUT);
	struct err err;

	if (stop_signal)
		end_by_signal(c);
	progress_clear(&c->progress);
	if (c->rejects_out && out_commit(c->rejects_out, &err) != 0)
		cli_die(c, EXIT_NOTHING, "%s", err.msg);
	if (c->spent)
		say_spent(c);
	if (records && c->ndone + c->nskipped == 0) {
		if (c->nread == 0 && !c->spent)
			cli_die(c, EXIT_NOTHING, "%s: there are no records in it",
			    c->noperands ? c->operands[0] : "standard input");
		if (c->nfailed > 1)
			cli_warn(c, "all %llu records failed", (unsigned long long)c->nfailed);
		out_abort_all();
		exit(EXIT_NOTHING);
	}
	if (c->out && out_commit(c->out, &err) != 0)
		cli_die(c, EXIT_NOTHING, "%s", err.msg);
	if (c->output || c->manifest)
		if (cli_manifest(c, c->output, &err) != 0)
			cli_die(c, EXIT_NOTHING, "%s", err.msg);
	summary(c);
	return c->nfailed || c->spent ? EXIT_SOME : EXIT_OK;
}

/* Options, their help and the progress line: opts.h, progress.h. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/opts.h"
#include "base/progress.h"
#include "base/utf8.h"
#include "test.h"

static bool quiet, full;
static int count;
static uint64_t seed;
static double rho, any;
static const char *output, *mode_name;
static struct opt_list hosts;

static struct opt own[] = {
	{ OPT_INT, .name = "count", .letter = 'n', .value = &count, .arg = "N", .min = 1, .max = 100,
	  .help = "how many to make of each (default {}); what is said here is so long that it "
	    "does not fit a line" },
	{ OPT_DOUBLE, .name = "rho", .value = &rho, .arg = "RHO", .max = 1,
	  .help = "length control (default {})" },
	{ OPT_DOUBLE, .name = "any", .value = &any, .arg = "X", .help = "any number" },
	{ OPT_FLAG, .name = "full", .value = &full, .help = "everything ({})" },
	{ .kind = OPT_END },
};
static struct opt common[] = {
	{ OPT_GROUP, .help = "Common" },
	{ OPT_STRING, .name = "output", .letter = 'o', .value = &output, .arg = "FILE",
	  .help = "write to FILE ({})" },
	{ OPT_STRING, .name = "mode", .value = &mode_name, .arg = "A-VERY-LONG-NAME-OF-A-VALUE",
	  .help = "one of {}" },
	{ OPT_U64, .name = "seed", .value = &seed, .arg = "N", .help = "random seed ({})" },
	{ OPT_STRINGS, .name = "host", .value = &hosts, .arg = "NAME", .help = "may come more than once" },
	{ OPT_FLAG, .name = "quiet", .letter = 'q', .value = &quiet, .help = "no summary" },
	{ .kind = OPT_END },
};
static struct opt *const tables[] = { own, common, NULL };

/* Parses the words of a line; the operands joined by blanks, or the message. */
static const char *parse(const char *line)
{
	static char words[1000], result[1000];
	static char *argv[50];
	int argc = 0, operands;
	struct err e = { "" };
	quiet = full = false;
	count = 7;
	seed = 1;
	rho = 0.32;
	any = 0;
	output = NULL;
	mode_name = "auto";
	free(hosts.v);
	hosts = (struct opt_list){ 0 };
	snprintf(words, sizeof(words), "build/bin/mr-test %s", line);
	for (char *p = words; *p; ) {
		argv[argc++] = p;
		p += strcspn(p, " ");
		if (*p)
			*p++ = '\0';
	}
	argv[argc] = NULL;
	if (opts_parse(tables, argc, argv, &operands, &e) != 0)
		return strcpy(result, e.msg);
	result[0] = '\0';
	for (int i = operands; i < argc; i++)
		sprintf(result + strlen(result), "%s%s", i > operands ? " " : "", argv[i]);
	return result;
}

static void values(void)
{
	CHECK_STR(parse(""), "");
	CHECK(!quiet && count == 7 && seed == 1 && !own[0].given);
	CHECK_STR(parse("-q -n3 --rho=0.5 --seed 18446744073709551615 -o out a b"), "a b");
	CHECK(quiet && count == 3 && rho == 0.5 && seed == UINT64_MAX);
	CHECK_STR(output, "out");
	CHECK(own[0].given && own[1].given && !own[2].given && common[1].given && !common[2].given);
	CHECK_STR(parse("a --count 4 b --any -1e-3 -qo x c -n 5"), "a b c");
	CHECK(count == 5 && any == -1e-3 && quiet);
	CHECK_STR(output, "x");
	CHECK_STR(parse("-n 2 -- --count -q -"), "--count -q -");
	CHECK(count == 2 && !quiet);
	CHECK_STR(parse("--host a --host=b --host="), "");
	CHECK(hosts.n == 3);
	CHECK_STR(hosts.v[0], "a");
	CHECK_STR(hosts.v[1], "b");
	CHECK_STR(hosts.v[2], "");
	CHECK_STR(parse("--see 9 -"), "-");
	CHECK(seed == 9);
}

static void mistakes(void)
{
	static const char *const cases[][2] = {
		{ "--nothing", "unknown option \"--nothing\"; see mr-test --help" },
		{ "--nothing=x", "unknown option \"--nothing\"; see mr-test --help" },
		{ "a b --nothing c", "unknown option \"--nothing\"; see mr-test --help" },
		{ "-z", "unknown option \"-z\"; see mr-test --help" },
		{ "-qz", "unknown option \"-z\"; see mr-test --help" },
		{ "--count", "--count needs a value (N); see mr-test --help" },
		{ "-q -o", "-o needs a value (FILE); see mr-test --help" },
		{ "--quiet=yes", "--quiet takes no value; see mr-test --help" },
		{ "--count 0", "--count: \"0\" is not a whole number from 1 to 100; see mr-test --help" },
		{ "-n 101", "--count: \"101\" is not a whole number from 1 to 100; see mr-test --help" },
		{ "-n 1.5", "--count: \"1.5\" is not a whole number from 1 to 100; see mr-test --help" },
		{ "-n 99999999999",
		  "--count: \"99999999999\" is not a whole number from 1 to 100; see mr-test --help" },
		{ "--rho x", "--rho: \"x\" is not a number from 0 to 1; see mr-test --help" },
		{ "--rho=", "--rho: \"\" is not a number from 0 to 1; see mr-test --help" },
		{ "--rho nan", "--rho: \"nan\" is not a number from 0 to 1; see mr-test --help" },
		{ "--rho 0x1", "--rho: \"0x1\" is not a number from 0 to 1; see mr-test --help" },
		{ "--any 1e999", "--any: \"1e999\" is not a number; see mr-test --help" },
		{ "--any 1-2", "--any: \"1-2\" is not a number; see mr-test --help" },
		{ "--seed -1", "--seed: \"-1\" is not a whole number of 0 or more; see mr-test --help" },
		{ "--seed 18446744073709551616",
		  "--seed: \"18446744073709551616\" is not a whole number of 0 or more; see mr-test --help" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		CHECK_STR(parse(cases[i][0]), cases[i][1]);
}

static void abbreviations(void)
{
	static int tokens, chars;
	static struct opt max[] = {
		{ OPT_INT, .name = "max-tokens", .value = &tokens, .min = 1, .max = INFINITY },
		{ OPT_INT, .name = "max-chars", .value = &chars, .min = 1, .max = INFINITY },
		{ .kind = OPT_END },
	};
	static struct opt *const both[] = { max, NULL };
	char *argv[] = { "mr-x", "--max", "3", NULL }, *whole[] = { "mr-x", "--max-c", "0", NULL };
	int operands;
	struct err e = { "" };
	CHECK(opts_parse(both, 3, argv, &operands, &e) == -1);
	CHECK_STR(e.msg, "\"--max\" could be --max-tokens or --max-chars; see mr-x --help");
	CHECK(opts_parse(both, 3, whole, &operands, &e) == -1);
	CHECK_STR(e.msg, "--max-chars: \"0\" is not a whole number of 1 or more; see mr-x --help");
}

static void help(void)
{
	struct buf b = { 0 };
	parse("--count 9");     /* the help goes on naming the default */
	opts_help(tables, &b);
	CHECK_STR(b.data,
	    "  -n, --count N      how many to make of each (default 7); what is said here is\n"
	    "                     so long that it does not fit a line\n"
	    "      --rho RHO      length control (default 0.32)\n"
	    "      --any X        any number\n"
	    "      --full         everything (off)\n"
	    "\n"
	    "Common:\n"
	    "  -o, --output FILE  write to FILE (none)\n"
	    "      --mode A-VERY-LONG-NAME-OF-A-VALUE\n"
	    "                     one of auto\n"
	    "      --seed N       random seed (1)\n"
	    "      --host NAME    may come more than once\n"
	    "  -q, --quiet        no summary\n");
	for (char *line = strtok(b.data, "\n"); line; line = strtok(NULL, "\n"))
		CHECK(utf8_length(line, strlen(line)) <= 80);
	buf_free(&b);
}

static void as_json(void)
{
	static const char *const skip[] = { "quiet", "output", NULL };
	struct buf b = { 0 };
	parse("--host a\"b --host c --seed 18446744073709551615 --full");
	opts_json(tables, skip, &b);
	CHECK_STR(b.data, "{\"count\":7,\"rho\":0.32,\"any\":0,\"full\":true,\"mode\":\"auto\","
	    "\"seed\":18446744073709551615,\"host\":[\"a\\\"b\",\"c\"]}");
	buf_reset(&b);
	opts_json(tables, NULL, &b);
	CHECK(strstr(b.data, ",\"output\":null,") && strstr(b.data, ",\"quiet\":false}"));
	buf_free(&b);
}

/* Standard error for a while: what is written there lands in text. */
static char text[4096];
static int saved_stderr, read_end;

static void catch_stderr(int fd, int from)
{
	saved_stderr = dup(STDERR_FILENO);
	dup2(fd, STDERR_FILENO);
	close(fd);
	read_end = from;
	fcntl(from, F_SETFL, O_NONBLOCK);
}

static const char *caught(void)
{
	ssize_t n = read(read_end, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void restore_stderr(void)
{
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	close(read_end);
}

static void age(struct progress *p, double seconds)
{
	p->start -= seconds;
	p->last -= seconds;
}

static void progress_in_lines(void)
{
	int fds[2];
	struct progress p;
	CHECK(pipe(fds) == 0);
	catch_stderr(fds[1], fds[0]);
	for (int mode = PROGRESS_AUTO; mode <= PROGRESS_NEVER; mode++) {
		if (mode == PROGRESS_ALWAYS)
			continue;
		progress_start(&p, "mr-x", "records", (enum progress_mode)mode);
		age(&p, 10);
		progress_update(&p);
		CHECK_STR(caught(), "");
	}
	progress_start(&p, "mr-x", "records", PROGRESS_ALWAYS);
	p.done = 10;
	p.total = 40;
	p.tokens = 5000;
	progress_update(&p);
	CHECK_STR(caught(), "");
	age(&p, 20);
	progress_update(&p);
	CHECK_STR(caught(), "mr-x: 10/40 records, 0.5/s, 250 tokens/s, ETA 1:00\n");
	progress_update(&p);
	CHECK_STR(caught(), "");
	age(&p, 20000);
	p.total = 0;
	p.fraction = 0.1;
	progress_update(&p);
	CHECK_STR(caught(), "mr-x: 10 records (10 %), 1.8/h, 0.2 tokens/s, ETA 2d 2h\n");
	age(&p, 5);
	p.fraction = 0.8;
	progress_update(&p);
	CHECK_STR(caught(), "mr-x: 10 records (80 %), 1.8/h, 0.2 tokens/s, ETA 1:23:26\n");
	progress_clear(&p);
	CHECK_STR(caught(), "");
	restore_stderr();
}

static void progress_on_a_terminal(void)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY), slave = -1;
	struct winsize w = { .ws_row = 24, .ws_col = 30 };
	struct progress p;
	if (master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0)
		slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	if (slave < 0) {
		printf("# no pseudo-terminal here\n");
		return;
	}
	ioctl(slave, TIOCSWINSZ, &w);
	catch_stderr(slave, master);
	progress_start(&p, "mr-x", "records", PROGRESS_AUTO);
	p.done = 20;
	p.total = 40;
	progress_update(&p);
	CHECK_STR(caught(), "");
	age(&p, 2);
	progress_update(&p);
	CHECK_STR(caught(), "\rmr-x: 20/40 records, 10/s, ET");
	p.total = 0;
	age(&p, 2);
	progress_update(&p);
	CHECK_STR(caught(), "\rmr-x: 20 records, 5.0/s      ");
	progress_clear(&p);
	CHECK_STR(caught(), "\r                       \r");
	progress_clear(&p);
	CHECK_STR(caught(), "");
	restore_stderr();
}

int main(void)
{
	TEST(values);
	TEST(mistakes);
	TEST(abbreviations);
	TEST(help);
	TEST(as_json);
	TEST(progress_in_lines);
	TEST(progress_on_a_terminal);
	free(hosts.v);
	return tests_done();
}

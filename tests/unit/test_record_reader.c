/* The reader of lines. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "record/record.h"
#include "test.h"

static void put(const char *path, const char *text, size_t len)
{
	FILE *f = fopen(path, "w");
	if (!f || fwrite(text, 1, len, f) != len || fclose(f) != 0)
		abort();
}

static void puts_file(const char *path, const char *text)
{
	put(path, text, strlen(text));
}

/* All lines as "name:lineno:text|…", or the message of an error behind "!". */
static const char *read_all(char **paths, int n, struct reader *r)
{
	static struct buf out;
	struct err e = { "" };
	int got;
	buf_reset(&out);
	buf_adds(&out, "");
	if (reader_open(r, paths, n, &e) != 0) {
		buf_printf(&out, "!%s", e.msg);
		return out.data;
	}
	while ((got = reader_next(r, &e)) == 1)
		buf_printf(&out, "%s:%ld:%.*s|", r->name, r->lineno, (int)r->len, r->line);
	if (got < 0)
		buf_printf(&out, "!%s: %s", r->name, e.msg);
	return out.data;
}

static void check_file(const char *text, const char *want)
{
	struct reader r;
	char *path = "f";
	puts_file("f", text);
	CHECK_STR(read_all(&path, 1, &r), want);
	CHECK(r.bytes_done == (double)strlen(text) && r.bytes_total == r.bytes_done);
	reader_close(&r);
}

static void lines(void)
{
	check_file("", "");
	check_file("\n", "");
	check_file("a\nbc\n", "f:1:a|f:2:bc|");
	check_file("a\nbc", "f:1:a|f:2:bc|");
	check_file("a\r\nb\r\n", "f:1:a\r|f:2:b\r|");
	check_file("\n \t\r\na\n\n\n  \nb\n ", "f:3:a|f:7:b|");
	check_file("\xef\xbb\xbf" "a\n\xef\xbb\xbf" "b\n", "f:1:a|f:2:\xef\xbb\xbf" "b|");
	check_file("\xef\xbb\xbf\nb\n", "f:2:b|");
	check_file("\xef\xbb\n", "f:1:\xef\xbb|");
}

static void nul_is_kept(void)
{
	struct reader r;
	char *path = "f";
	put("f", "a\0b\nc", 5);
	CHECK(reader_open(&r, &path, 1, NULL) == 0 && reader_next(&r, NULL) == 1);
	CHECK(r.len == 3 && memcmp(r.line, "a\0b", 4) == 0);
	CHECK(reader_next(&r, NULL) == 1 && r.len == 1 && r.line[1] == '\0');
	CHECK(reader_next(&r, NULL) == 0 && reader_next(&r, NULL) == 0);
	reader_close(&r);
}

static void several_files(void)
{
	struct reader r;
	char *paths[] = { "f", "g", "f" };
	puts_file("f", "a\nb");
	puts_file("g", "\nc\n");
	CHECK_STR(read_all(paths, 3, &r), "f:1:a|f:2:b|g:2:c|f:1:a|f:2:b|");
	CHECK(r.bytes_done == 9 && r.bytes_total == 9);
	char hex[65], want[65];
	struct sha256 s;
	sha256_init(&s);
	sha256_add(&s, "a\nb\nc\na\nb", 9);
	sha256_end_hex(&s, want);
	sha256_end_hex(&r.hash, hex);
	CHECK_STR(hex, want);
	reader_close(&r);
}

static void cannot_open(void)
{
	struct reader r;
	char *none[] = { "f", "none" }, *dir[] = { ".", "f" }, *gone[] = { "f", "g" };
	puts_file("f", "a\n");
	puts_file("g", "b\n");
	CHECK_STR(read_all(none, 2, &r), "!none: No such file or directory");
	CHECK_STR(read_all(dir, 2, &r), "!.: Is a directory");
	struct err e = { "" };
	CHECK(reader_open(&r, gone, 2, &e) == 0 && reader_next(&r, &e) == 1);
	CHECK(unlink("g") == 0 && reader_next(&r, &e) == -1);
	CHECK_STR(e.msg, "cannot open: No such file or directory");
	CHECK_STR(r.name, "g");
	CHECK(reader_next(&r, &e) == 0);
	reader_close(&r);
}

/* Lines of every length around the size of a read, and one of 3 MB. */
static void long_lines(void)
{
	struct buf text = { 0 };
	static const int lengths[] = { 65530, 65535, 65536, 65537, 131071, 131072, 1, 3000000, 2, 70000 };
	int n = sizeof(lengths) / sizeof(*lengths);
	for (int i = 0; i < n; i++) {
		for (int j = 0; j < lengths[i]; j++)
			buf_addc(&text, (char)('a' + i));
		buf_addc(&text, '\n');
	}
	put("f", text.data, text.len);
	struct reader r;
	char *path = "f";
	CHECK(reader_open(&r, &path, 1, NULL) == 0);
	for (int i = 0; i < n; i++) {
		CHECK(reader_next(&r, NULL) == 1 && r.len == (size_t)lengths[i] && r.lineno == i + 1);
		CHECK(r.line[0] == 'a' + i && r.line[r.len - 1] == 'a' + i && r.line[r.len] == '\0');
	}
	CHECK(reader_next(&r, NULL) == 0);
	reader_close(&r);
	buf_free(&text);
}

/* Standard input, byte by byte through a pipe. */
static void standard_input(void)
{
	int fds[2], saved = dup(STDIN_FILENO), status = 0;
	const char *text = "first\n\nsecond\nthird";
	struct reader r;
	CHECK(pipe(fds) == 0);
	fflush(stdout);
	pid_t writer = fork();
	if (writer == 0) {
		for (const char *p = text; *p; p++) {
			if (write(fds[1], p, 1) != 1)
				_exit(1);
			usleep(500);
		}
		_exit(0);
	}
	close(fds[1]);
	dup2(fds[0], STDIN_FILENO);
	close(fds[0]);
	CHECK_STR(read_all(NULL, 0, &r),
	    "standard input:1:first|standard input:3:second|standard input:4:third|");
	CHECK(r.bytes_done == 19 && r.bytes_total == 0);
	reader_close(&r);
	char *both[] = { "f", "-" };
	puts_file("f", "x");
	CHECK_STR(read_all(both, 2, &r), "f:1:x|");
	CHECK(r.bytes_total == 0);
	reader_close(&r);
	dup2(saved, STDIN_FILENO);
	close(saved);
	CHECK(waitpid(writer, &status, 0) == writer && status == 0);
}

static void on_alarm(int sig)
{
	(void)sig;
}

/* A signal during the wait ends it, and nothing is lost. */
static void a_signal_interrupts(void)
{
	struct reader r;
	char *path = "fifo";
	struct sigaction sa = { .sa_handler = on_alarm };
	struct itimerval soon = { .it_value = { .tv_usec = 50000 } };
	CHECK(mkfifo("fifo", 0600) == 0);
	int writer = open("fifo", O_RDWR);
	sigaction(SIGALRM, &sa, NULL);
	CHECK(writer >= 0 && write(writer, "one\ntw", 6) == 6);
	CHECK(reader_open(&r, &path, 1, NULL) == 0);
	CHECK(reader_ready(&r) && reader_next(&r, NULL) == 1 && strcmp(r.line, "one") == 0);
	CHECK(!reader_ready(&r));
	setitimer(ITIMER_REAL, &soon, NULL);
	CHECK(reader_next(&r, NULL) == 0);
	CHECK(write(writer, "o\n", 2) == 2);
	CHECK(reader_ready(&r) && reader_next(&r, NULL) == 1 && strcmp(r.line, "two") == 0);
	CHECK(r.lineno == 2);
	close(writer);
	CHECK(reader_ready(&r) && reader_next(&r, NULL) == 0);
	reader_close(&r);
}

/* No more than this many bytes on top of what is in use. */
__attribute__((unused)) static void limit_memory(rlim_t more)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");
	if (!f || fscanf(f, "%lu", &pages) != 1)
		_exit(3);
	fclose(f);
	more += pages * (rlim_t)sysconf(_SC_PAGESIZE);
	setrlimit(RLIMIT_AS, &(struct rlimit){ more, more });
}

/* A line that memory cannot hold is an error, no crash. */
static void not_enough_memory(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	printf("# not under a sanitizer, which keeps memory of its own\n");
#else
	int fds[2], status = 0;
	CHECK(pipe(fds) == 0);
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		struct reader r;
		struct err e = { "" };
		dup2(fds[0], STDIN_FILENO);
		close(fds[1]);
		limit_memory(64 << 20);
		if (reader_open(&r, NULL, 0, &e) != 0 || reader_next(&r, &e) != -1)
			_exit(1);
		_exit(strncmp(e.msg, "not enough memory for a line of more than ", 42) == 0 ? 0 : 2);
	}
	close(fds[0]);
	signal(SIGPIPE, SIG_IGN);
	static char block[65536];
	memset(block, 'x', sizeof(block));
	for (int i = 0; i < 2000 && write(fds[1], block, sizeof(block)) > 0; i++)
		;
	close(fds[1]);
	CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
#endif
}

int main(void)
{
	const char *tmp = getenv("TMPDIR");
	char home[4000], remove[4200];
	snprintf(home, sizeof(home), "%s/mr-reader-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(home) || chdir(home) != 0)
		return 1;
	TEST(lines);
	TEST(nul_is_kept);
	TEST(several_files);
	TEST(cannot_open);
	TEST(long_lines);
	TEST(standard_input);
	TEST(a_signal_interrupts);
	TEST(not_enough_memory);
	snprintf(remove, sizeof(remove), "rm -rf '%s'", home);
	if (chdir("/") != 0 || system(remove) != 0)
		return 1;
	return tests_done();
}

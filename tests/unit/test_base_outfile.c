/* Output whole or not at all: outfile.h. Each test has a folder of its own. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/outfile.h"
#include "test.h"

static char home[4096];

static void enter(void)
{
	static int n;
	char dir[64];
	snprintf(dir, sizeof(dir), "%d", ++n);
	if (chdir(home) != 0 || mkdir(dir, 0700) != 0 || chdir(dir) != 0)
		abort();
	umask(022);
}

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");
	if (!f || fputs(text, f) < 0 || fclose(f) != 0)
		abort();
}

static const char *get(const char *path)
{
	static char text[4096];
	FILE *f = fopen(path, "r");
	if (!f)
		return "(no file)";
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	return text;
}

/* Names in the folder. */
static int entries(void)
{
	int n = 0;
	DIR *d = opendir(".");
	while (d && readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static int mode(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 ? (int)(st.st_mode & 07777) : -1;
}

static void appears_whole(void)
{
	enter();
	struct err e = { "" };
	struct outfile *o = out_open("a", &e);
	char part[64];
	snprintf(part, sizeof(part), "a.part-%ld", (long)getpid());
	CHECK(o && out_write(o, "one\n", 4, &e) == 0 && out_write(o, "two\n", 4, &e) == 0);
	CHECK(access("a", F_OK) != 0 && access(part, F_OK) == 0);
	CHECK(out_flush(o, &e) == 0);
	CHECK_STR(get(part), "one\ntwo\n");
	CHECK(out_commit(o, &e) == 0);
	CHECK_STR(get("a"), "one\ntwo\n");
	CHECK(entries() == 1 && mode("a") == 0644);
	CHECK(out_file("b", "x", 1, &e) == 0);
	CHECK_STR(get("b"), "x");
}

static void abort_leaves_the_old_file(void)
{
	enter();
	put("a", "old");
	struct err e;
	struct outfile *o = out_open("a", &e), *second = out_open("a", &e);
	CHECK(o && second && out_write(o, "new", 3, &e) == 0);
	CHECK(entries() == 3);
	out_abort(o);
	CHECK_STR(get("a"), "old");
	CHECK(out_write(second, "second", 6, &e) == 0 && out_commit(second, &e) == 0);
	CHECK_STR(get("a"), "second");
	CHECK(entries() == 1);
	out_abort(NULL);
}

static void abort_all_removes_what_is_unfinished(void)
{
	enter();
	struct err e;
	struct outfile *o[5];
	for (int i = 0; i < 5; i++) {
		char name[2] = { (char)('a' + i), 0 };
		o[i] = out_open(name, &e);
		CHECK(o[i] && out_write(o[i], name, 1, &e) == 0);
	}
	CHECK(out_commit(o[0], &e) == 0);
	CHECK(entries() == 5);
	out_abort_all();
	CHECK(entries() == 1);
	for (int i = 1; i < 5; i++)
		out_abort(o[i]);
	CHECK(entries() == 1);
}

/* A file that another process left under the part's name is not touched. */
static void keeps_a_stranger(void)
{
	enter();
	struct err e;
	char part[64];
	snprintf(part, sizeof(part), "a.part-%ld", (long)getpid());
	put(part, "stranger");
	CHECK(out_file("a", "mine", 4, &e) == 0);
	CHECK_STR(get(part), "stranger");
	CHECK_STR(get("a"), "mine");
	CHECK(entries() == 2);
}

static void mode_is_kept(void)
{
	enter();
	struct err e;
	umask(027);
	CHECK(out_file("new", "", 0, &e) == 0 && mode("new") == 0640);
	put("old", "x");
	chmod("old", 0604);
	CHECK(out_file("old", "y", 1, &e) == 0 && mode("old") == 0604);
	CHECK_STR(get("old"), "y");
}

static void through_a_symbolic_link(void)
{
	enter();
	struct err e;
	struct stat st;
	put("file", "old");
	CHECK(symlink("file", "link") == 0 && symlink("nowhere", "dangling") == 0);
	CHECK(out_file("link", "new", 3, &e) == 0);
	CHECK_STR(get("file"), "new");
	CHECK(lstat("link", &st) == 0 && S_ISLNK(st.st_mode));
	CHECK(out_file("dangling", "new", 3, &e) == -1);
	CHECK_STR(e.msg, "dangling: is a symbolic link to a file that is not there");
}

static void cannot_open(void)
{
	enter();
	static const char *const cases[][2] = {
		{ ".", ".: is a directory" },
		{ "dir", "dir: is a directory" },
		{ "new/", "new/: is a directory" },
		{ "", "the output's name is empty" },
		{ "none/file", "none/file: cannot create: No such file or directory" },
		{ "file/x", "file/x: cannot create: Not a directory" },
		{ "/dev/fd/77", "/dev/fd/77: not open for writing" },
	};
	put("file", "");
	mkdir("dir", 0700);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct err e = { "" };
		CHECK(out_open(cases[i][0], &e) == NULL);
		CHECK_STR(e.msg, cases[i][1]);
	}
	char name[5001];
	memset(name, 'x', 5000);
	name[5000] = '\0';
	CHECK(out_open(name, NULL) == NULL);
	CHECK(entries() == 2);
}

static void full_disk(void)
{
	struct err e = { "" };
	struct outfile *o = out_open("/dev/full", &e);
	CHECK(o && out_write(o, "x", 1, &e) == -1);
	CHECK_STR(e.msg, "/dev/full: cannot write: No space left on device");
	CHECK(out_write(o, "x", 1, &e) == -1);
	CHECK(out_commit(o, &e) == -1);
	CHECK_STR(e.msg, "/dev/full: cannot write: an earlier write failed");
}

/* A regular file that cannot grow: the size limit stands for the full disk. */
static void full_disk_leaves_no_half_file(void)
{
	enter();
	int status = 0;
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		struct err e = { "" };
		struct rlimit limit = { 100000, 100000 };
		static char big[200000];
		signal(SIGXFSZ, SIG_IGN);
		setrlimit(RLIMIT_FSIZE, &limit);
		if (out_file("a", big, 50000, &e) != 0)         /* held back, written by the commit */
			_exit(1);
		if (out_file("a", big, 200000, &e) != -1)
			_exit(2);
		_exit(strcmp(e.msg, "a: cannot write: File too large") == 0 ? 0 : 3);
	}
	CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
	struct stat st;
	CHECK(entries() == 1 && stat("a", &st) == 0 && st.st_size == 50000);
}

/* Runs fn in a child with the given standard output; its exit status. */
static int with_stdout(int fd, int (*fn)(void))
{
	int status = 0;
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		dup2(fd, STDOUT_FILENO);
		close(fd);
		signal(SIGPIPE, SIG_IGN);
		_exit(fn());
	}
	close(fd);
	return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int write_to_closed_pipe(void)
{
	struct err e = { "" };
	struct outfile *o = out_open(NULL, &e);
	if (!o || out_write(o, "x\n", 2, &e) != -1)
		return 1;
	out_abort(o);
	return strcmp(e.msg, "standard output was closed by its reader") == 0 ? 0 : 2;
}

static int write_two_lines(void)
{
	struct err e = { "" };
	struct outfile *o = out_open("-", &e), *again;
	if (!o || out_write(o, "one\n", 4, &e) != 0)
		return 1;
	/* At once, not at the commit. */
	struct stat st;
	if (fstat(STDOUT_FILENO, &st) == 0 && S_ISREG(st.st_mode) && st.st_size != 8)
		return 2;
	if (out_commit(o, &e) != 0)
		return 3;
	again = out_open("/dev/stdout", &e);
	return again && out_write(again, "two\n", 4, &e) == 0 && out_commit(again, &e) == 0 ? 0 : 4;
}

static int write_nowhere(void)
{
	struct err e = { "" };
	return out_open(NULL, &e) == NULL && strcmp(e.msg,
	    "standard output: not open for writing") == 0 ? 0 : 1;
}

static void standard_output(void)
{
	enter();
	int fds[2];
	CHECK(pipe(fds) == 0);
	close(fds[0]);
	CHECK(with_stdout(fds[1], write_to_closed_pipe) == 0);
	put("a", "old\n");
	CHECK(with_stdout(open("a", O_WRONLY | O_APPEND), write_two_lines) == 0);
	CHECK_STR(get("a"), "old\none\ntwo\n");
	CHECK(with_stdout(open("a", O_RDONLY), write_nowhere) == 0);
}

/* A pipe that is full and does not block: the write waits for the reader. */
static int write_much(void)
{
	struct err e = { "" };
	static char much[300000];
	fcntl(STDOUT_FILENO, F_SETFL, O_NONBLOCK);
	struct outfile *o = out_open(NULL, &e);
	return o && out_write(o, much, 300000, &e) == 0 && out_commit(o, &e) == 0 ? 0 : 1;
}

static void pipe_that_does_not_block(void)
{
	int fds[2], status = 0;
	CHECK(pipe(fds) == 0);
	fflush(stdout);
	pid_t reader = fork();
	if (reader == 0) {
		char part[1000];
		size_t total = 0;
		ssize_t n;
		close(fds[1]);
		while ((n = read(fds[0], part, sizeof(part))) > 0) {
			total += (size_t)n;
			if (total < 20000)
				usleep(1000);
		}
		_exit(total == 300000 ? 0 : 1);
	}
	close(fds[0]);
	CHECK(with_stdout(fds[1], write_much) == 0);
	CHECK(waitpid(reader, &status, 0) == reader && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void special_files_are_written_in_place(void)
{
	enter();
	struct err e = { "" };
	CHECK(out_file("/dev/null", "x", 1, &e) == 0);
	CHECK(mkfifo("fifo", 0600) == 0);
	int reader = open("fifo", O_RDONLY | O_NONBLOCK);
	char got[8] = "";
	CHECK(out_file("fifo", "through", 7, &e) == 0);
	CHECK(read(reader, got, 7) == 7);
	CHECK_STR(got, "through");
	close(reader);
	struct stat st;
	CHECK(stat("fifo", &st) == 0 && S_ISFIFO(st.st_mode) && entries() == 1);
}

static void more_than_it_holds_back(void)
{
	enter();
	struct err e = { "" };
	struct outfile *o = out_open("a", &e);
	struct buf want = { 0 }, line = { 0 };
	for (int i = 0; i < 30000; i++) {
		buf_reset(&line);
		buf_printf(&line, "line %d\n", i);
		buf_add(&want, line.data, line.len);
		CHECK(out_write(o, line.data, line.len, &e) == 0);
	}
	CHECK(out_write(o, want.data, want.len, &e) == 0 && out_commit(o, &e) == 0);
	FILE *f = fopen("a", "r");
	char *got = calloc(1, 2 * want.len + 1);
	CHECK(f && fread(got, 1, 2 * want.len + 1, f) == 2 * want.len);
	CHECK(memcmp(got, want.data, want.len) == 0 && memcmp(got + want.len, want.data, want.len) == 0);
	fclose(f);
	free(got);
	buf_free(&want);
	buf_free(&line);
}

int main(void)
{
	const char *tmp = getenv("TMPDIR");
	snprintf(home, sizeof(home), "%s/mr-outfile-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(home))
		return 1;
	TEST(appears_whole);
	TEST(abort_leaves_the_old_file);
	TEST(abort_all_removes_what_is_unfinished);
	TEST(keeps_a_stranger);
	TEST(mode_is_kept);
	TEST(through_a_symbolic_link);
	TEST(cannot_open);
	TEST(full_disk);
	TEST(full_disk_leaves_no_half_file);
	TEST(standard_output);
	TEST(pipe_that_does_not_block);
	TEST(special_files_are_written_in_place);
	TEST(more_than_it_holds_back);
	char remove[4200];
	snprintf(remove, sizeof(remove), "rm -rf '%s'", home);
	if (chdir("/") != 0 || system(remove) != 0)
		return 1;
	return tests_done();
}

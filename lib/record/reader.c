#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "record/record.h"

#define CHUNK ((size_t)1 << 16)

static bool is_stdin(const char *path)
{
	return strcmp(path, "-") == 0;
}

/* 0, the file's bytes added to the total, or *known = false where it has no
 * size; -1: it cannot be read. */
static int look_at(const char *path, double *total, bool *known)
{
	struct stat st;
	off_t at = 0;
	if (is_stdin(path)) {
		if (fstat(STDIN_FILENO, &st) < 0)
			return -1;
		at = lseek(STDIN_FILENO, 0, SEEK_CUR);
	} else if (stat(path, &st) < 0) {
		return -1;
	}
	if (S_ISDIR(st.st_mode)) {
		errno = EISDIR;
		return -1;
	}
	/* Not opened: that would take a FIFO's writer away from the real reader. */
	if (!is_stdin(path) && faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) < 0)
		return -1;
	if (!S_ISREG(st.st_mode))
		*known = false;
	else if (st.st_size > at)
		*total += (double)(st.st_size - (at > 0 ? at : 0));
	return 0;
}

int reader_open(struct reader *r, char **paths, int npaths, struct err *err)
{
	static char *standard[] = { "-" };
	bool known = true;
	if (npaths == 0) {
		paths = standard;
		npaths = 1;
	}
	*r = (struct reader){ .paths = paths, .npaths = npaths, .fd = -1 };
	r->name = is_stdin(paths[0]) ? "standard input" : paths[0];
	sha256_init(&r->hash);
	for (int i = 0; i < npaths; i++)
		if (look_at(paths[i], &r->bytes_total, &known) < 0)
			return err_sys(err, "%s", is_stdin(paths[i]) ? "standard input" : paths[i]);
	if (!known)
		r->bytes_total = 0;
	return 0;
}

static void close_file(struct reader *r)
{
	if (r->fd > STDIN_FILENO)
		close(r->fd);
	r->fd = -1;
	r->at_end = false;
	r->ahead_at = r->ahead.len = 0;
}

/* The next file. 1: it is open, 0: there is none (or a signal came), -1. */
static int next_file(struct reader *r, struct err *err)
{
	if (r->next == r->npaths)
		return 0;
	const char *path = r->paths[r->next];
	r->name = is_stdin(path) ? "standard input" : path;
	r->lineno = 0;
	r->fd = is_stdin(path) ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	if (r->fd < 0 && errno == EINTR)
		return 0;
	r->next++;
	return r->fd < 0 ? err_sys(err, "cannot open") : 1;
}

/* Room for a chunk behind what is read ahead. Unlike elsewhere, that there is
 * not enough memory is an error to report: the input's longest line says how
 * much is wanted. */
static int make_room(struct reader *r, struct err *err)
{
	struct buf *b = &r->ahead;
	if (r->ahead_at) {
		memmove(b->data, b->data + r->ahead_at, b->len - r->ahead_at);
		b->len -= r->ahead_at;
		r->ahead_at = 0;
	}
	if (b->cap - b->len > CHUNK)
		return 0;
	size_t cap = b->cap ? b->cap * 2 : 2 * CHUNK;
	char *data = cap > b->cap ? realloc(b->data, cap) : NULL;
	if (!data)
		return err_set(err, "not enough memory for a line of more than %zu bytes", b->len);
	b->data = data;
	b->cap = cap;
	return 0;
}

/* 1: read, or at_end is set; 0: a signal came; -1. */
static int read_ahead(struct reader *r, struct err *err)
{
	if (make_room(r, err) < 0)
		return -1;
	ssize_t n = read(r->fd, r->ahead.data + r->ahead.len, CHUNK);
	if (n < 0 && errno == EINTR)
		return 0;
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
		struct pollfd wait = { .fd = r->fd, .events = POLLIN };
		return poll(&wait, 1, -1) < 0 ? 0 : 1;
	}
	if (n < 0)
		return err_sys(err, "cannot read");
	sha256_add(&r->hash, r->ahead.data + r->ahead.len, (size_t)n);
	r->ahead.len += (size_t)n;
	r->at_end = n == 0;
	return 1;
}

/* Takes the line of len bytes at ahead_at; end: it has a newline. */
static void take(struct reader *r, size_t len, bool end)
{
	r->line = r->ahead.data + r->ahead_at;
	r->len = len;
	r->line[len] = '\0';
	r->ahead_at += len + end;
	r->bytes_done += (double)(len + end);
	r->lineno++;
	if (r->lineno == 1 && len >= 3 && memcmp(r->line, "\xef\xbb\xbf", 3) == 0) {
		r->line += 3;
		r->len -= 3;
	}
}

/* The current file's next line. 1: taken; 0: a signal came; 2: there is none; -1. */
static int next_line(struct reader *r, struct err *err)
{
	size_t searched = 0;
	for (;;) {
		size_t left = r->ahead.len - r->ahead_at;
		char *start = r->ahead.data ? r->ahead.data + r->ahead_at : NULL;
		char *end = left > searched ? memchr(start + searched, '\n', left - searched) : NULL;
		if (end || (r->at_end && left)) {
			take(r, end ? (size_t)(end - start) : left, end != NULL);
			return 1;
		}
		if (r->at_end)
			return 2;
		searched = left;
		int got = read_ahead(r, err);
		if (got <= 0)
			return got;
	}
}

static bool is_blank(const struct reader *r)
{
	return strspn(r->line, " \t\r") == r->len;
}

int reader_next(struct reader *r, struct err *err)
{
	for (;;) {
		int got = r->fd < 0 ? next_file(r, err) : 2;
		if (got <= 0)
			return got;
		got = next_line(r, err);
		if (got == 1 && is_blank(r))
			continue;
		if (got == 2 || got < 0)
			close_file(r);
		if (got != 2)
			return got;
	}
}

bool reader_ready(struct reader *r)
{
	struct stat st;
	size_t left = r->ahead.len - r->ahead_at;
	if (r->fd < 0 || r->at_end || (left && memchr(r->ahead.data + r->ahead_at, '\n', left)))
		return true;
	if (fstat(r->fd, &st) < 0 || S_ISREG(st.st_mode))
		return true;
	struct pollfd wait = { .fd = r->fd, .events = POLLIN };
	return poll(&wait, 1, 0) != 0;
}

void reader_close(struct reader *r)
{
	close_file(r);
	buf_free(&r->ahead);
	r->next = r->npaths;
	r->line = NULL;
	r->len = 0;
}

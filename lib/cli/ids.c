#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/private.h"

static size_t hash(const char *s)
{
	uint64_t h = 14695981039346656037u;     /* FNV-1a */

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 1099511628211u;
	return (size_t)(h ^ h >> 32);
}

static char **slot(const struct id_set *s, const char *id)
{
	size_t i = hash(id) & (s->cap - 1);

	while (s->v[i] && strcmp(s->v[i], id) != 0)
		i = (i + 1) & (s->cap - 1);
	return &s->v[i];
}

bool id_set_has(const struct id_set *s, const char *id)
{
	return s->cap && *slot(s, id);
}

bool id_set_add(struct id_set *s, const char *id)
{
	char **at;

	if (2 * s->n >= s->cap) {
		struct id_set bigger = { .cap = s->cap ? 2 * s->cap : 256, .n = s->n };

		bigger.v = mem_zalloc(bigger.cap, sizeof *bigger.v);
		for (size_t i = 0; i < s->cap; i++)
			if (s->v[i])
				*slot(&bigger, s->v[i]) = s->v[i];
		free(s->v);
		*s = bigger;
	}
	at = slot(s, id);
	if (*at)
		return false;
	*at = mem_strdup(id);
	s->n++;
	return true;
}

void id_set_free(struct id_set *s)
{
	for (size_t i = 0; i < s->cap; i++)
		free(s->v[i]);
	free(s->v);
	*s = (struct id_set){ 0 };
}

static bool same_file(const char *path, int fd)
{
	struct stat a, b;

	return stat(path, &a) == 0 && fstat(fd, &b) == 0 && S_ISREG(b.st_mode) &&
	    a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* Bytes of the file up to its last newline; *size: all of them. */
static off_t whole_lines(const char *path, off_t *size)
{
	char chunk[65536];
	off_t at = 0, end = 0;
	size_t n;
	FILE *f = fopen(path, "rb");

	while (f && (n = fread(chunk, 1, sizeof chunk, f)) > 0) {
		char *nl = memrchr(chunk, '\n', n);

		if (nl)
			end = at + (nl - chunk) + 1;
		at += (off_t)n;
	}
	if (f)
		fclose(f);
	*size = at;
	return end;
}

void cli_resume(struct cli *c)
{
	char *path = (char *)c->resume;
	bool carry = c->output && strcmp(c->output, c->resume) == 0;
	struct reader r = { 0 };
	struct record rec;
	struct stat st;
	off_t size, whole;
	struct err err;
	int got = 0;

	if (stat(path, &st) != 0) {
		if (errno == ENOENT)
			return; /* nothing was done before */
		cli_die(c, EXIT_NOTHING, "--resume: %s: %s", path, strerror(errno));
	}
	if (!S_ISREG(st.st_mode))       /* it is read twice */
		cli_die(c, EXIT_NOTHING, "--resume: %s is not a regular file", path);
	whole = whole_lines(path, &size);
	if (whole < size && !carry && same_file(path, STDOUT_FILENO) && ftruncate(STDOUT_FILENO, whole) != 0)
		cli_die(c, EXIT_NOTHING, "%s: its last line is cut off and cannot be removed", path);
	if (reader_open(&r, &path, 1, &err) != 0)
		cli_die(c, EXIT_NOTHING, "%s", err.msg);
	while ((got = reader_next(&r, &err)) == 1) {
		if ((off_t)r.bytes_done > whole)
			break;
		if (record_parse(&rec, r.line, r.len, &err) != 0)
			cli_die(c, EXIT_NOTHING, "%s:%ld: %s", path, r.lineno, err.msg);
		id_set_add(&c->priv->resumed, rec.id);
		if (carry) {
			cli_write(c, r.line, r.len);
			cli_write(c, "\n", 1);
		}
		record_free(&rec);
	}
	if (got < 0)
		cli_die(c, EXIT_NOTHING, "%s: %s", path, err.msg);
	reader_close(&r);
}

#include "train/checkpoint.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/outfile.h"
#include "base/sha256.h"

enum { PIECE = 1 << 22 };       /* bytes that are written or read at once */

static const char magic[16] = "mr-checkpoint 1";

/* The numbers behind the magic. */
struct head {
	uint64_t made_by, log;          /* bytes */
	uint64_t n, has_best, adam_step;
	struct train_state state;
};

struct checkpoint_file {
	FILE *f;
	char *path;
	struct sha256 sum;
	struct head head;
};

struct writer {
	struct outfile *o;
	struct sha256 sum;
};

static int put(struct writer *w, const void *data, size_t len, struct err *err)
{
	const char *at = data;

	for (size_t k; len > 0; at += k, len -= k) {
		k = len < PIECE ? len : PIECE;
		sha256_add(&w->sum, at, k);
		if (out_write(w->o, at, k, err) != 0)
			return -1;
	}
	return 0;
}

static int put_all(struct writer *w, const struct checkpoint *c, struct err *err)
{
	struct head h = { c->made_by.len, c->log.len, c->n, c->best != NULL, c->adamw->step, c->state };
	size_t bytes = c->n * sizeof *c->w;
	unsigned char sum[32];

	if (put(w, magic, sizeof magic, err) != 0 || put(w, &h, sizeof h, err) != 0 ||
	    put(w, c->made_by.data, c->made_by.len, err) != 0 || put(w, c->log.data, c->log.len, err) != 0 ||
	    put(w, c->w, bytes, err) != 0 || put(w, c->adamw->m, bytes, err) != 0 ||
	    put(w, c->adamw->v, bytes, err) != 0 || (c->best && put(w, c->best, bytes, err) != 0))
		return -1;
	sha256_end(&w->sum, sum);
	return out_write(w->o, sum, sizeof sum, err);
}

int checkpoint_write(const char *path, const struct checkpoint *c, struct err *err)
{
	struct writer w = { .o = out_open(path, err) };

	if (!w.o)
		return -1;
	sha256_init(&w.sum);
	if (put_all(&w, c, err) != 0) {
		out_abort(w.o);
		return -1;
	}
	return out_commit(w.o, err);
}

static int get(struct checkpoint_file *f, void *data, size_t len, struct err *err)
{
	char *at = data;

	for (size_t k; len > 0; at += k, len -= k) {
		k = len < PIECE ? len : PIECE;
		if (fread(at, 1, k, f->f) != k)
			return ferror(f->f) ? err_sys(err, "%s: cannot be read", f->path) :
			    err_set(err, "%s: ends too early; it is damaged", f->path);
		sha256_add(&f->sum, at, k);
	}
	return 0;
}

static int get_text(struct checkpoint_file *f, struct buf *b, uint64_t len, struct err *err)
{
	char piece[4096];

	buf_reset(b);
	for (size_t k; len > 0; len -= k) {
		k = len < sizeof piece ? (size_t)len : sizeof piece;
		if (get(f, piece, k, err) != 0)
			return -1;
		buf_add(b, piece, k);
	}
	return 0;
}

static int get_head(struct checkpoint_file *f, struct checkpoint *c, struct err *err)
{
	char first[sizeof magic];

	f->f = fopen(f->path, "rb");
	if (!f->f)
		return err_sys(err, "%s: cannot be opened", f->path);
	if (get(f, first, sizeof first, err) != 0)
		return -1;
	if (memcmp(first, magic, sizeof magic) != 0)
		return err_set(err, "%s: is no checkpoint", f->path);
	if (get(f, &f->head, sizeof f->head, err) != 0 || get_text(f, &c->made_by, f->head.made_by, err) != 0 ||
	    get_text(f, &c->log, f->head.log, err) != 0)
		return -1;
	c->state = f->head.state;
	return 0;
}

struct checkpoint_file *checkpoint_open(const char *path, struct checkpoint *c, struct err *err)
{
	struct checkpoint_file *f = mem_zalloc(1, sizeof *f);

	f->path = mem_strdup(path);
	sha256_init(&f->sum);
	if (get_head(f, c, err) == 0)
		return f;
	checkpoint_close(f);
	return NULL;
}

int checkpoint_load(struct checkpoint_file *f, struct checkpoint *c, struct err *err)
{
	size_t bytes = c->n * sizeof *c->w;
	unsigned char sum[32], wanted[32];

	if (f->head.n != c->n || f->head.has_best != (c->best != NULL))
		return err_set(err, "%s: holds %llu weights%s, the model has %zu", f->path,
		    (unsigned long long)f->head.n, f->head.has_best ? " twice" : "", c->n);
	if (get(f, c->w, bytes, err) != 0 || get(f, c->adamw->m, bytes, err) != 0 ||
	    get(f, c->adamw->v, bytes, err) != 0 || (c->best && get(f, c->best, bytes, err) != 0))
		return -1;
	c->adamw->step = f->head.adam_step;
	sha256_end(&f->sum, sum);
	if (fread(wanted, 1, sizeof wanted, f->f) != sizeof wanted || memcmp(sum, wanted, sizeof sum) != 0)
		return err_set(err, "%s: is damaged: its checksum is another", f->path);
	return 0;
}

void checkpoint_close(struct checkpoint_file *f)
{
	if (f && f->f)
		fclose(f->f);
	if (f)
		free(f->path);
	free(f);
}

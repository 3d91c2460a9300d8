#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/outfile.h"
#include "model/safetensors.h"

enum { PIECE = 1 << 18 };               /* elements turned before they are written */

struct safetensors_writer {
	struct outfile *out;
	enum tensor_type type;
	uint64_t left;                  /* elements still to come */
	void *piece;
};

static uint64_t elements(const struct safetensors_out *t)
{
	return (uint64_t)t->dims[0] * (t->ndims == 2 ? (uint64_t)t->dims[1] : 1);
}

/* Padded with spaces, so that the data begin at a multiple of 8. */
static void header(struct buf *b, enum tensor_type type, const struct safetensors_out *t, size_t n,
    uint64_t *total)
{
	uint64_t at = 0;
	size_t size = tensor_block_size(type);

	buf_adds(b, "{\"__metadata__\":{\"format\":\"pt\"}");
	for (size_t i = 0; i < n; i++) {
		buf_addc(b, ',');
		buf_json_string(b, t[i].name, strlen(t[i].name));
		buf_printf(b, ":{\"dtype\":\"%s\",\"shape\":[%lld", tensor_type_name(type), (long long)t[i].dims[0]);
		if (t[i].ndims == 2)
			buf_printf(b, ",%lld", (long long)t[i].dims[1]);
		buf_printf(b, "],\"data_offsets\":[%llu,", (unsigned long long)at);
		at += elements(&t[i]) * size;
		buf_printf(b, "%llu]}", (unsigned long long)at);
	}
	buf_addc(b, '}');
	while (b->len % 8)
		buf_addc(b, ' ');
	*total = at / size;
}

struct safetensors_writer *safetensors_create(const char *path, enum tensor_type type,
    const struct safetensors_out *tensors, size_t n, struct err *err)
{
	struct safetensors_writer *w = mem_zalloc(1, sizeof *w);
	struct buf b = { 0 };
	unsigned char len[8];

	w->type = type;
	w->piece = mem_zalloc(PIECE, tensor_block_size(type));
	header(&b, type, tensors, n, &w->left);
	for (int i = 0; i < 8; i++)
		len[i] = (unsigned char)(b.len >> (8 * i));
	if (!(w->out = out_open(path, err)) || out_write(w->out, len, 8, err) != 0 ||
	    out_write(w->out, b.data, b.len, err) != 0) {
		safetensors_abort(w);
		w = NULL;
	}
	buf_free(&b);
	return w;
}

int safetensors_put(struct safetensors_writer *w, const float *data, size_t n, struct err *err)
{
	if (n > w->left)
		return err_set(err, "more elements are written than were announced");
	w->left -= n;
	for (size_t at = 0, step; at < n; at += step) {
		step = n - at < PIECE ? n - at : PIECE;
		quantize_row(w->type, data + at, w->piece, step);
		if (out_write(w->out, w->piece, step * tensor_block_size(w->type), err) != 0)
			return -1;
	}
	return 0;
}

static void release(struct safetensors_writer *w)
{
	free(w->piece);
	free(w);
}

int safetensors_commit(struct safetensors_writer *w, struct err *err)
{
	int r;

	if (w->left) {
		err_set(err, "%llu elements were not written", (unsigned long long)w->left);
		safetensors_abort(w);
		return -1;
	}
	r = out_commit(w->out, err);
	release(w);
	return r;
}

void safetensors_abort(struct safetensors_writer *w)
{
	if (!w)
		return;
	if (w->out)
		out_abort(w->out);
	release(w);
}

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/outfile.h"
#include "model/gguf.h"

enum { PIECE = 1 << 20 };               /* bytes quantised before they are written */

struct gguf_writer {
	struct outfile *out;
	struct gguf_out_tensor *tensors;        /* names owned */
	size_t *sizes;                          /* bytes of each */
	size_t ntensors, next;
	size_t written;                         /* bytes of the next one */
	struct buf kvs;                         /* as in the file */
	struct buf keys;                        /* each followed by a NUL */
	uint64_t nkvs;
	size_t align;
	bool started;                           /* the head is written */
};

static void put(struct buf *b, uint64_t v, size_t size)
{
	for (size_t i = 0; i < size; i++)
		buf_addc(b, (char)(unsigned char)(v >> (8 * i)));
}

static void put_bytes(struct buf *b, const char *s, size_t len)
{
	put(b, len, 8);
	buf_add(b, s, len);
}

static bool has_key(const struct gguf_writer *w, const char *key, size_t len)
{
	const char *k = w->keys.data;

	for (size_t i = 0; i < w->nkvs; i++) {
		size_t n = strlen(k);
		if (n == len && memcmp(k, key, n) == 0)
			return true;
		k += n + 1;
	}
	return false;
}

/* Key and kind; the value's bytes are to follow. */
static int put_key(struct gguf_writer *w, const char *key, size_t len, enum gguf_kind kind, struct err *err)
{
	if (w->started)
		return err_set(err, "metadata comes before the tensors");
	if (len == 0 || memchr(key, 0, len))
		return err_set(err, "a metadata key is empty or has a NUL byte in it");
	if (has_key(w, key, len))
		return err_set(err, "metadata key \"%.*s\" is set twice", (int)(len < 64 ? len : 64), key);
	buf_add(&w->keys, key, len);
	buf_addc(&w->keys, '\0');
	w->nkvs++;
	put_bytes(&w->kvs, key, len);
	put(&w->kvs, (uint64_t)kind, 4);
	return 0;
}

static bool listed(const char *const *list, struct gguf_str s)
{
	for (; list && *list; list++)
		if (gguf_str_is(s, *list))
			return true;
	return false;
}

static int copy_kv(struct gguf_writer *w, const struct gguf_kv *kv, struct err *err)
{
	if (put_key(w, kv->key.s, kv->key.len, kv->kind, err) != 0)
		return -1;
	if (kv->kind == GGUF_ARRAY) {
		put(&w->kvs, (uint64_t)kv->elem, 4);
		put(&w->kvs, kv->n, 8);
	} else if (kv->kind == GGUF_STRING) {
		put(&w->kvs, kv->size, 8);
	}
	buf_add(&w->kvs, kv->data, kv->size);
	return 0;
}

static int copy_base(struct gguf_writer *w, const struct gguf *base, const char *const *drop, struct err *err)
{
	uint64_t align = w->align;

	for (size_t i = 0; i < base->nkvs; i++)
		if (!listed(drop, base->kvs[i].key) && copy_kv(w, &base->kvs[i], err) != 0)
			return -1;
	if (has_key(w, "general.alignment", strlen("general.alignment")) &&
	    gguf_get_u64(base, "general.alignment", &align, err) < 0)
		return -1;
	w->align = (size_t)align;
	return 0;
}

static int announce(struct gguf_writer *w, size_t i, const struct gguf_out_tensor *t, struct err *err)
{
	size_t elements = 1, len;

	if (!t->name || !*t->name || t->ndims < 1 || t->ndims > 4)
		return err_set(err, "tensor %zu: no name or an impossible shape", i + 1);
	for (size_t j = 0; j < i; j++)
		if (strcmp(w->tensors[j].name, t->name) == 0)
			return err_set(err, "tensor \"%s\" is announced twice", t->name);
	if (!tensor_writable(t->type))
		return err_set(err, "tensor \"%s\": type %d cannot be written", t->name, (int)t->type);
	len = tensor_block_len(t->type);
	w->tensors[i] = *t;
	w->tensors[i].name = mem_strdup(t->name);
	for (int d = 0; d < 4; d++) {
		if (d >= t->ndims)
			w->tensors[i].dims[d] = 1;
		if (w->tensors[i].dims[d] < 1 ||
		    __builtin_mul_overflow(elements, (size_t)w->tensors[i].dims[d], &elements))
			return err_set(err, "tensor \"%s\": an impossible shape", t->name);
	}
	if ((size_t)t->dims[0] % len)
		return err_set(err, "tensor \"%s\": rows of %lld elements are no whole %s blocks", t->name,
		    (long long)t->dims[0], tensor_type_name(t->type));
	w->sizes[i] = elements / len * tensor_block_size(t->type);
	return 0;
}

struct gguf_writer *gguf_create(const char *path, const struct gguf *base, const char *const *drop,
    const struct gguf_out_tensor *tensors, size_t n, struct err *err)
{
	struct gguf_writer *w = mem_zalloc(1, sizeof *w);

	w->align = 32;
	w->tensors = mem_zalloc(n, sizeof *w->tensors);
	w->sizes = mem_zalloc(n, sizeof *w->sizes);
	w->ntensors = n;
	for (size_t i = 0; i < n; i++)
		if (announce(w, i, &tensors[i], err) != 0)
			goto fail;
	if (base && copy_base(w, base, drop, err) != 0)
		goto fail;
	if (!(w->out = out_open(path, err)))
		goto fail;
	return w;
fail:
	gguf_abort(w);
	return NULL;
}

static int put_number(struct gguf_writer *w, const char *key, enum gguf_kind kind, uint64_t v, size_t size,
    struct err *err)
{
	if (put_key(w, key, strlen(key), kind, err) != 0)
		return -1;
	put(&w->kvs, v, size);
	return 0;
}

static uint32_t float_bits(float f)
{
	uint32_t u;

	memcpy(&u, &f, sizeof u);
	return u;
}

int gguf_put_u32(struct gguf_writer *w, const char *key, uint32_t v, struct err *err)
{
	if (strcmp(key, "general.alignment") == 0)
		return err_set(err, "the alignment comes from the base file, or is 32");
	return put_number(w, key, GGUF_U32, v, 4, err);
}

int gguf_put_f32(struct gguf_writer *w, const char *key, float v, struct err *err)
{
	return put_number(w, key, GGUF_F32, float_bits(v), 4, err);
}

int gguf_put_bool(struct gguf_writer *w, const char *key, bool v, struct err *err)
{
	return put_number(w, key, GGUF_BOOL, v, 1, err);
}

int gguf_put_str(struct gguf_writer *w, const char *key, const char *v, struct err *err)
{
	if (put_key(w, key, strlen(key), GGUF_STRING, err) != 0)
		return -1;
	put_bytes(&w->kvs, v, strlen(v));
	return 0;
}

static int put_array(struct gguf_writer *w, const char *key, enum gguf_kind elem, size_t n, struct err *err)
{
	if (put_key(w, key, strlen(key), GGUF_ARRAY, err) != 0)
		return -1;
	put(&w->kvs, (uint64_t)elem, 4);
	put(&w->kvs, n, 8);
	return 0;
}

int gguf_put_strs(struct gguf_writer *w, const char *key, const char *const *v, size_t n, struct err *err)
{
	if (put_array(w, key, GGUF_STRING, n, err) != 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		put_bytes(&w->kvs, v[i], strlen(v[i]));
	return 0;
}

int gguf_put_i32s(struct gguf_writer *w, const char *key, const int32_t *v, size_t n, struct err *err)
{
	if (put_array(w, key, GGUF_I32, n, err) != 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		put(&w->kvs, (uint32_t)v[i], 4);
	return 0;
}

int gguf_put_f32s(struct gguf_writer *w, const char *key, const float *v, size_t n, struct err *err)
{
	if (put_array(w, key, GGUF_F32, n, err) != 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		put(&w->kvs, float_bits(v[i]), 4);
	return 0;
}

static size_t padding(const struct gguf_writer *w, size_t at)
{
	return (w->align - at % w->align) % w->align;
}

static int write_head(struct gguf_writer *w, struct err *err)
{
	struct buf b = { 0 };
	uint64_t offset = 0;
	int r;

	buf_adds(&b, "GGUF");
	put(&b, 3, 4);
	put(&b, w->ntensors, 8);
	put(&b, w->nkvs, 8);
	buf_add(&b, w->kvs.data, w->kvs.len);
	for (size_t i = 0; i < w->ntensors; i++) {
		const struct gguf_out_tensor *t = &w->tensors[i];
		put_bytes(&b, t->name, strlen(t->name));
		put(&b, (uint64_t)t->ndims, 4);
		for (int d = 0; d < t->ndims; d++)
			put(&b, (uint64_t)t->dims[d], 8);
		put(&b, (uint64_t)t->type, 4);
		put(&b, offset, 8);
		offset += w->sizes[i] + padding(w, w->sizes[i]);
	}
	for (size_t pad = padding(w, b.len); pad > 0; pad--)
		buf_addc(&b, '\0');
	r = out_write(w->out, b.data, b.len, err);
	buf_free(&b);
	w->started = true;
	return r;
}

static int end_tensor(struct gguf_writer *w, struct err *err)
{
	struct buf b = { 0 };
	int r = 0;

	for (size_t pad = padding(w, w->sizes[w->next]); pad > 0; pad--)
		buf_addc(&b, '\0');
	if (b.len)
		r = out_write(w->out, b.data, b.len, err);
	buf_free(&b);
	w->next++;
	w->written = 0;
	return r;
}

static int begin_part(struct gguf_writer *w, struct err *err)
{
	if (w->next == w->ntensors)
		return err_set(err, "more tensors are written than were announced");
	return w->started ? 0 : write_head(w, err);
}

int gguf_put_part(struct gguf_writer *w, const float *data, size_t n, struct err *err)
{
	const struct gguf_out_tensor *t = &w->tensors[w->next];
	size_t len, size, blocks, done, piece;
	struct buf b = { 0 };
	int r = 0;

	if (begin_part(w, err) != 0)
		return -1;
	len = tensor_block_len(t->type);
	size = tensor_block_size(t->type);
	blocks = n / len;
	if (n % len || blocks > (w->sizes[w->next] - w->written) / size)
		return err_set(err, "tensor \"%s\": no whole blocks, or more than were announced", t->name);
	buf_reserve(&b, PIECE);
	for (done = 0; done < blocks && r == 0; done += piece) {
		piece = blocks - done < PIECE / size ? blocks - done : PIECE / size;
		quantize_row(t->type, data + done * len, b.data, piece * len);
		r = out_write(w->out, b.data, piece * size, err);
	}
	buf_free(&b);
	w->written += blocks * size;
	if (r == 0 && w->written == w->sizes[w->next])
		r = end_tensor(w, err);
	return r;
}

int gguf_put_tensor(struct gguf_writer *w, const float *data, struct err *err)
{
	const struct gguf_out_tensor *t = &w->tensors[w->next];

	if (begin_part(w, err) != 0)
		return -1;
	return gguf_put_part(w, data, w->sizes[w->next] / tensor_block_size(t->type) * tensor_block_len(t->type),
	    err);
}

int gguf_put_bytes(struct gguf_writer *w, const void *data, size_t size, struct err *err)
{
	if (begin_part(w, err) != 0)
		return -1;
	if (w->written || size != w->sizes[w->next])
		return err_set(err, "tensor \"%s\" is not of %zu bytes", w->tensors[w->next].name, size);
	if (out_write(w->out, data, size, err) != 0)
		return -1;
	return end_tensor(w, err);
}

uint32_t gguf_file_type(enum tensor_type type)
{
	switch (type) {
	case TENSOR_F16: return 1;
	case TENSOR_Q4_0: return 2;
	case TENSOR_Q4_1: return 3;
	case TENSOR_Q8_0: return 7;
	case TENSOR_Q5_0: return 8;
	case TENSOR_Q5_1: return 9;
	case TENSOR_Q4_K: return 14;    /* llama.cpp's "small" mixtures */
	case TENSOR_Q5_K: return 16;
	case TENSOR_Q6_K: return 18;
	case TENSOR_BF16: return 32;
	default: return 0;
	}
}

static void release(struct gguf_writer *w)
{
	for (size_t i = 0; i < w->ntensors; i++)
		free((void *)(uintptr_t)w->tensors[i].name);
	free(w->tensors);
	free(w->sizes);
	buf_free(&w->kvs);
	buf_free(&w->keys);
	free(w);
}

int gguf_commit(struct gguf_writer *w, struct err *err)
{
	int r = 0;

	if (w->next < w->ntensors)
		r = err_set(err, "%zu of %zu tensors were not written", w->ntensors - w->next, w->ntensors);
	else if (!w->started)
		r = write_head(w, err);
	if (r != 0) {
		gguf_abort(w);
		return -1;
	}
	r = out_commit(w->out, err);
	release(w);
	return r;
}

void gguf_abort(struct gguf_writer *w)
{
	if (!w)
		return;
	if (w->out)
		out_abort(w->out);
	release(w);
}

#include "model/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "model/json_file.h"

enum { LONGEST_HEADER = 100 << 20 };            /* the format's own bound */

static const struct {
	const char *name;
	int type;
	unsigned size;
} dtypes[] = {
	{ "F32", TENSOR_F32, 4 }, { "F16", TENSOR_F16, 2 }, { "BF16", TENSOR_BF16, 2 },
	{ "F64", -1, 8 }, { "I64", -1, 8 }, { "U64", -1, 8 }, { "I32", -1, 4 }, { "U32", -1, 4 },
	{ "I16", -1, 2 }, { "U16", -1, 2 }, { "I8", -1, 1 }, { "U8", -1, 1 }, { "BOOL", -1, 1 },
	{ "F8_E4M3", -1, 1 }, { "F8_E5M2", -1, 1 },
};

/* A name out of the file, safe to print. */
struct shown {
	char s[72];
};

static struct shown show(const char *name)
{
	struct shown out;
	size_t len = strlen(name), n = len < sizeof out.s - 4 ? len : sizeof out.s - 4;

	for (size_t i = 0; i < n; i++)
		out.s[i] = name[i] >= ' ' && name[i] <= '~' ? name[i] : '?';
	snprintf(out.s + n, 4, "%s", n < len ? "..." : "");
	return out;
}

static int take_dtype(struct safetensor *t, const cJSON *e, size_t *size, struct err *err)
{
	const cJSON *dtype = json_get(e, "dtype");

	if (!cJSON_IsString(dtype))
		return err_set(err, "tensor \"%s\" has no dtype", show(t->name).s);
	for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
		if (strcmp(dtypes[i].name, dtype->valuestring) == 0) {
			t->dtype = dtypes[i].name;
			t->type = dtypes[i].type;
			*size = dtypes[i].size;
			return 0;
		}
	return err_set(err, "tensor \"%s\" has the unknown dtype \"%s\"", show(t->name).s,
	    show(dtype->valuestring).s);
}

static int take_shape(struct safetensor *t, const cJSON *e, size_t *bytes, struct err *err)
{
	const cJSON *shape = json_get(e, "shape"), *d;
	uint64_t dim;

	if (!cJSON_IsArray(shape))
		return err_set(err, "tensor \"%s\" has no shape", show(t->name).s);
	for (d = shape->child; d; d = d->next) {
		if (t->ndims == SAFETENSORS_MAX_DIMS)
			return err_set(err, "tensor \"%s\" has more than %d dimensions", show(t->name).s,
			    SAFETENSORS_MAX_DIMS);
		if (!json_whole(d, &dim) || __builtin_mul_overflow(*bytes, dim, bytes) || *bytes > PTRDIFF_MAX)
			return err_set(err, "tensor \"%s\" has an impossible shape", show(t->name).s);
		t->dims[t->ndims++] = (int64_t)dim;
	}
	return 0;
}

/* data: the bytes behind the header, size of them. */
static int take_tensor(struct safetensor *t, const cJSON *e, const unsigned char *data, size_t size,
    struct err *err)
{
	const cJSON *offsets = json_get(e, "data_offsets");
	uint64_t begin, end;
	size_t bytes = 0;

	if (!cJSON_IsObject(e))
		return err_set(err, "tensor \"%s\" is not described by an object", show(t->name).s);
	for (int i = 0; i < SAFETENSORS_MAX_DIMS; i++)
		t->dims[i] = 1;
	if (take_dtype(t, e, &bytes, err) != 0 || take_shape(t, e, &bytes, err) != 0)
		return -1;
	if (!cJSON_IsArray(offsets) || cJSON_GetArraySize(offsets) != 2 ||
	    !json_whole(offsets->child, &begin) || !json_whole(offsets->child->next, &end) || begin > end)
		return err_set(err, "tensor \"%s\" has no proper data_offsets", show(t->name).s);
	if (end > size)
		return err_set(err, "truncated: tensor \"%s\" ends at byte %llu of the data, which has %zu",
		    show(t->name).s, (unsigned long long)end, size);
	if (end - begin != bytes)
		return err_set(err, "tensor \"%s\" takes %llu bytes, its shape and dtype %zu", show(t->name).s,
		    (unsigned long long)(end - begin), bytes);
	t->data = data + begin;
	t->size = bytes;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct safetensor *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int by_place(const void *a, const void *b)
{
	const struct safetensor *x = a, *y = b;

	if (x->data != y->data)
		return x->data < y->data ? -1 : 1;
	return (x->size > y->size) - (x->size < y->size);
}

/* As the format wants it: one behind the other, to the file's last byte. */
static int check_cover(struct safetensor *v, size_t n, const unsigned char *data, size_t size,
    struct err *err)
{
	const unsigned char *at = data;

	if (n)
		qsort(v, n, sizeof *v, by_place);
	for (size_t i = 0; i < n; i++) {
		if (v[i].data != at)
			return err_set(err, "tensor \"%s\" %s", show(v[i].name).s, v[i].data < at ?
			    "overlaps another one" : "comes after bytes that belong to none");
		at += v[i].size;
	}
	if (at != data + size)
		return err_set(err, "%zu bytes at the end belong to no tensor", (size_t)(data + size - at));
	return 0;
}

static int read_header(struct safetensors *s, const cJSON *header, const unsigned char *data, size_t size,
    struct err *err)
{
	size_t more = (size_t)cJSON_GetArraySize(header), first = s->n;
	const cJSON *e;

	s->v = mem_grow(s->v, s->n + more + 1, sizeof *s->v);
	for (e = header->child; e; e = e->next) {
		struct safetensor *t = &s->v[s->n];

		if (strcmp(e->string, "__metadata__") == 0)
			continue;
		if (!*e->string)
			return err_set(err, "a tensor has no name");
		memset(t, 0, sizeof *t);
		t->name = arena_strndup(&s->names, e->string, strlen(e->string));
		if (take_tensor(t, e, data, size, err) != 0)
			return -1;
		s->n++;
	}
	return check_cover(s->v + first, s->n - first, data, size, err);
}

static int parse(struct safetensors *s, const struct mapfile *m, struct err *err)
{
	uint64_t len = 0;
	cJSON *header;
	int r;

	if (m->size < 8)
		return err_set(err, "no safetensors file: shorter than 8 bytes");
	for (int i = 0; i < 8; i++)
		len |= (uint64_t)m->data[i] << (8 * i);
	if (len > m->size - 8)
		return err_set(err, "truncated, or no safetensors file: a header of %llu bytes in a file of %zu",
		    (unsigned long long)len, m->size);
	if (len > LONGEST_HEADER)
		return err_set(err, "a header of %llu bytes; %d are possible", (unsigned long long)len,
		    LONGEST_HEADER);
	if (!(header = json_object_parse((const char *)m->data + 8, (size_t)len, "the header", err)))
		return -1;
	r = read_header(s, header, m->data + 8 + len, m->size - 8 - (size_t)len, err);
	cJSON_Delete(header);
	return r;
}

static int add_file(struct safetensors *s, const char *path, struct err *err)
{
	struct mapfile file;

	if (mapfile_open(&file, path, NULL, err) != 0)
		return -1;
	s->maps = mem_grow(s->maps, s->nmaps + 1, sizeof *s->maps);
	s->files = mem_grow(s->files, s->nmaps + 1, sizeof *s->files);
	s->maps[s->nmaps] = file;
	s->files[s->nmaps++] = mem_strdup(strrchr(path, '/') ? strrchr(path, '/') + 1 : path);
	return parse(s, &file, err);
}

static int sort_names(struct safetensors *s, struct err *err)
{
	if (s->n)
		qsort(s->v, s->n, sizeof *s->v, by_name);
	for (size_t i = 1; i < s->n; i++)
		if (strcmp(s->v[i - 1].name, s->v[i].name) == 0)
			return err_set(err, "tensor \"%s\" is there twice", show(s->v[i].name).s);
	return 0;
}

struct safetensors *safetensors_open(const char *path, struct err *err)
{
	struct safetensors *s = mem_zalloc(1, sizeof *s);

	if (add_file(s, path, err) != 0 || sort_names(s, err) != 0) {
		safetensors_close(s);
		return NULL;
	}
	return s;
}

static int add_of_folder(struct safetensors *s, const char *folder, const char *name, struct err *err)
{
	struct buf path = { 0 };
	struct err why;
	int r;

	if (!*name || strchr(name, '/') || strcmp(name, "..") == 0 || strcmp(name, ".") == 0)
		return err_set(err, "model.safetensors.index.json: \"%s\" is no name of a file beside it",
		    show(name).s);
	buf_printf(&path, "%s/%s", folder, name);
	if ((r = add_file(s, path.data, &why)) != 0)
		err_set(err, "%s: %s", show(name).s, why.msg);
	buf_free(&path);
	return r;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Each file that the index names, once; then whether each tensor is there. */
static int add_shards(struct safetensors *s, const char *folder, const cJSON *index, struct err *err)
{
	const cJSON *map = json_get(index, "weight_map"), *e;
	const char **names;
	size_t n = 0;
	int r = 0;

	if (!cJSON_IsObject(map) || !map->child)
		return err_set(err, "model.safetensors.index.json has no weight_map");
	names = mem_zalloc((size_t)cJSON_GetArraySize(map), sizeof *names);
	for (e = map->child; e && r == 0; e = e->next) {
		if (cJSON_IsString(e))
			names[n++] = e->valuestring;
		else
			r = err_set(err, "model.safetensors.index.json: no file is named for \"%s\"",
			    show(e->string).s);
	}
	qsort(names, n, sizeof *names, by_text);
	for (size_t i = 0; i < n && r == 0; i++)
		if (i == 0 || strcmp(names[i - 1], names[i]) != 0)
			r = add_of_folder(s, folder, names[i], err);
	free(names);
	if (r != 0 || sort_names(s, err) != 0)
		return -1;
	for (e = map->child; e; e = e->next)
		if (!safetensors_find(s, e->string))
			return err_set(err, "tensor \"%s\" is in the index, but in none of the files",
			    show(e->string).s);
	return 0;
}

struct safetensors *safetensors_open_folder(const char *folder, struct err *err)
{
	struct safetensors *s = mem_zalloc(1, sizeof *s);
	int there, r;
	cJSON *index = json_object_file(folder, "model.safetensors.index.json", &there, err);

	if (index)
		r = add_shards(s, folder, index, err);
	else if (there)
		r = -1;
	else
		r = add_of_folder(s, folder, "model.safetensors", err) != 0 ? -1 : sort_names(s, err);
	cJSON_Delete(index);
	if (r == 0)
		return s;
	safetensors_close(s);
	return NULL;
}

void safetensors_close(struct safetensors *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->nmaps; i++) {
		mapfile_close(&s->maps[i]);
		free(s->files[i]);
	}
	free(s->maps);
	free(s->files);
	free(s->v);
	arena_free(&s->names);
	free(s);
}

const struct safetensor *safetensors_find(const struct safetensors *s, const char *name)
{
	struct safetensor key = { .name = name };

	return s->n ? bsearch(&key, s->v, s->n, sizeof *s->v, by_name) : NULL;
}

/* Through an aligned copy: a header's length may be any. */
void safetensor_read(const struct safetensor *t, size_t first, size_t n, float *dst)
{
	const size_t width = tensor_block_size((unsigned)t->type);
	uint32_t piece[256];
	const size_t most = sizeof piece / width;

	for (size_t at = 0, step; at < n; at += step) {
		step = n - at < most ? n - at : most;
		memcpy(piece, t->data + (first + at) * width, step * width);
		dequantize_row((enum tensor_type)t->type, piece, dst + at, step);
	}
}

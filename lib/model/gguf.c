#include "model/gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	MIN_KV = 8 + 4 + 1,                     /* bytes that the smallest one takes */
	MIN_TENSOR = 8 + 4 + 8 + 4 + 8,
	MAX_DIMS = 4,
};

static const char *const kind_names[] = {
	"u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64",
};
static const unsigned char kind_sizes[] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };

enum { NKINDS = sizeof kind_sizes };

/* A place in the file. what and nth name the thing being read, for messages. */
struct cursor {
	const unsigned char *p, *end;
	const char *what;
	size_t nth;
	struct err *err;
};

/* A name out of the file, safe to print. */
struct shown {
	char s[72];
};

static struct shown show(struct gguf_str name)
{
	struct shown out;
	size_t n = name.len < sizeof out.s - 4 ? name.len : sizeof out.s - 4;

	for (size_t i = 0; i < n; i++)
		out.s[i] = name.s[i] >= ' ' && name.s[i] <= '~' ? name.s[i] : '?';
	snprintf(out.s + n, 4, "%s", n < name.len ? "..." : "");
	return out;
}

static uint64_t load(const unsigned char *p, size_t size)
{
	uint64_t v = 0;

	for (size_t i = 0; i < size; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

static size_t left(const struct cursor *c)
{
	return (size_t)(c->end - c->p);
}

static int truncated(const struct cursor *c)
{
	err_set(c->err, "truncated: the file ends within %s %zu", c->what, c->nth);
	return -1;
}

static int take(struct cursor *c, size_t size, uint64_t *v)
{
	if (left(c) < size)
		return truncated(c);
	*v = load(c->p, size);
	c->p += size;
	return 0;
}

static int take_str(struct cursor *c, struct gguf_str *s)
{
	uint64_t len;

	if (take(c, 8, &len) != 0)
		return -1;
	if (len > left(c))
		return truncated(c);
	s->s = (const char *)c->p;
	s->len = (size_t)len;
	c->p += len;
	return 0;
}

static int take_array(struct cursor *c, struct gguf_kv *kv)
{
	uint64_t elem, n;

	if (take(c, 4, &elem) != 0 || take(c, 8, &n) != 0)
		return -1;
	if (elem == GGUF_ARRAY)
		return err_set(c->err, "\"%s\" is an array of arrays, which is not supported",
		    show(kv->key).s);
	if (elem >= NKINDS)
		return err_set(c->err, "\"%s\" is an array of unknown type %u", show(kv->key).s,
		    (unsigned)elem);
	kv->elem = (enum gguf_kind)elem;
	kv->n = n;
	kv->data = c->p;
	if (elem == GGUF_STRING) {
		if (n > left(c) / 8)
			return truncated(c);
		for (uint64_t i = 0; i < n; i++)
			if (take_str(c, &(struct gguf_str){ 0 }) != 0)
				return -1;
	} else {
		if (n > left(c) / kind_sizes[elem])
			return truncated(c);
		c->p += n * kind_sizes[elem];
	}
	kv->size = (size_t)(c->p - kv->data);
	return 0;
}

static int take_kv(struct cursor *c, struct gguf_kv *kv)
{
	struct gguf_str s;
	uint64_t kind;

	if (take_str(c, &kv->key) != 0 || take(c, 4, &kind) != 0)
		return -1;
	if (kind >= NKINDS)
		return err_set(c->err, "\"%s\" is of unknown type %u", show(kv->key).s, (unsigned)kind);
	kv->kind = (enum gguf_kind)kind;
	kv->elem = kv->kind;
	kv->n = 1;
	if (kind == GGUF_ARRAY)
		return take_array(c, kv);
	if (kind == GGUF_STRING) {
		if (take_str(c, &s) != 0)
			return -1;
		kv->data = (const unsigned char *)s.s;
		kv->size = s.len;
		return 0;
	}
	kv->data = c->p;
	kv->size = kind_sizes[kind];
	return take(c, kv->size, &(uint64_t){ 0 });
}

static int compare_keys(const void *a, const void *b)
{
	const struct gguf_kv *x = *(const struct gguf_kv *const *)a, *y = *(const struct gguf_kv *const *)b;
	size_t n = x->key.len < y->key.len ? x->key.len : y->key.len;
	int order = memcmp(x->key.s, y->key.s, n);

	return order ? order : (x->key.len > y->key.len) - (x->key.len < y->key.len);
}

static int compare_names(const void *a, const void *b)
{
	const struct gguf_tensor *x = *(const struct gguf_tensor *const *)a;
	const struct gguf_tensor *y = *(const struct gguf_tensor *const *)b;

	return strcmp(x->name, y->name);
}

/* The index of an element that equals another one, -1: there is none, -2: no
 * memory. */
static ptrdiff_t find_twin(const void *base, size_t n, size_t size,
    int (*compare)(const void *, const void *))
{
	const char **sorted = mem_try(n, sizeof *sorted);
	ptrdiff_t twin = -1;

	if (!sorted)
		return -2;
	for (size_t i = 0; i < n; i++)
		sorted[i] = (const char *)base + i * size;
	qsort(sorted, n, sizeof *sorted, compare);
	for (size_t i = 1; i < n && twin < 0; i++)
		if (compare(&sorted[i - 1], &sorted[i]) == 0)
			twin = (sorted[i] - (const char *)base) / (ptrdiff_t)size;
	free(sorted);
	return twin;
}

static int read_kvs(struct gguf *g, struct cursor *c, uint64_t n)
{
	ptrdiff_t twin;

	if (n > left(c) / MIN_KV)
		return err_set(c->err, "truncated: %llu metadata values are announced in a file of %zu bytes",
		    (unsigned long long)n, g->file.size);
	if (!(g->kvs = mem_try(n, sizeof *g->kvs)))
		return err_set(c->err, "not enough memory for %llu metadata values", (unsigned long long)n);
	c->what = "metadata value";
	for (; g->nkvs < n; g->nkvs++) {
		c->nth = g->nkvs + 1;
		if (take_kv(c, &g->kvs[g->nkvs]) != 0)
			return -1;
	}
	if ((twin = find_twin(g->kvs, g->nkvs, sizeof *g->kvs, compare_keys)) == -2)
		return err_set(c->err, "not enough memory for %llu metadata values", (unsigned long long)n);
	if (twin >= 0)
		return err_set(c->err, "metadata key \"%s\" is there twice", show(g->kvs[twin].key).s);
	return 0;
}

static int take_dims(struct cursor *c, struct gguf_tensor *t, struct gguf_str name)
{
	uint64_t ndims, dim, elements = 1;

	if (take(c, 4, &ndims) != 0)
		return -1;
	if (ndims < 1 || ndims > MAX_DIMS)
		return err_set(c->err, "tensor \"%s\" has %u dimensions; 1 to 4 are possible", show(name).s,
		    (unsigned)ndims);
	t->ndims = (int)ndims;
	for (int i = 0; i < MAX_DIMS; i++) {
		dim = 1;
		if (i < t->ndims && take(c, 8, &dim) != 0)
			return -1;
		if (dim < 1 || __builtin_mul_overflow(elements, dim, &elements) || elements > INT64_MAX)
			return err_set(c->err, "tensor \"%s\" has an impossible shape", show(name).s);
		t->dims[i] = (int64_t)dim;
	}
	return 0;
}

static int take_tensor(struct gguf *g, struct cursor *c, struct gguf_tensor *t, uint64_t *offset)
{
	struct gguf_str name;
	uint64_t type, elements;
	size_t len;

	if (take_str(c, &name) != 0 || take_dims(c, t, name) != 0)
		return -1;
	if (name.len == 0 || memchr(name.s, 0, name.len))
		return err_set(c->err, "tensor %zu has no proper name", c->nth);
	if (take(c, 4, &type) != 0 || take(c, 8, offset) != 0)
		return -1;
	t->name = arena_strndup(&g->names, name.s, name.len);
	t->type = (enum tensor_type)type;
	t->data = NULL;
	t->size = 0;
	if ((len = tensor_block_len(t->type)) == 0)
		return 0;
	if ((uint64_t)t->dims[0] % len)
		return err_set(c->err, "tensor \"%s\": rows of %lld elements are no whole %s blocks of %zu",
		    show(name).s, (long long)t->dims[0], tensor_type_name(t->type), len);
	elements = (uint64_t)gguf_elements(t);
	if (__builtin_mul_overflow(elements / len, tensor_block_size(t->type), &t->size) ||
	    t->size > PTRDIFF_MAX)
		return err_set(c->err, "tensor \"%s\" has an impossible shape", show(name).s);
	return 0;
}

static int place_tensor(struct gguf *g, struct gguf_tensor *t, size_t start, uint64_t align, uint64_t offset,
    struct err *err)
{
	struct shown name = show((struct gguf_str){ t->name, strlen(t->name) });
	uint64_t begin, end;

	if (offset % align)
		return err_set(err, "tensor \"%s\": offset %llu is no multiple of the alignment %llu", name.s,
		    (unsigned long long)offset, (unsigned long long)align);
	if (__builtin_add_overflow(start, offset, &begin) || __builtin_add_overflow(begin, t->size, &end))
		return err_set(err, "tensor \"%s\": impossible offset %llu", name.s,
		    (unsigned long long)offset);
	if (end > g->file.size)
		return err_set(err, "truncated: tensor \"%s\" ends at byte %llu, the file at %zu", name.s,
		    (unsigned long long)end, g->file.size);
	if (t->size)
		t->data = g->file.data + begin;
	return 0;
}

static int alignment(const struct gguf *g, uint64_t *align, struct err *err)
{
	*align = 32;
	if (gguf_get_u64(g, "general.alignment", align, err) < 0)
		return -1;
	if (*align < 8 || *align > 1 << 20 || (*align & (*align - 1)))
		return err_set(err, "alignment %llu is not possible", (unsigned long long)*align);
	return 0;
}

static int read_tensors(struct gguf *g, struct cursor *c, uint64_t n)
{
	uint64_t align, *offsets;
	size_t start;
	ptrdiff_t twin;
	int r = -1;

	if (n > left(c) / MIN_TENSOR)
		return err_set(c->err, "truncated: %llu tensors are announced in a file of %zu bytes",
		    (unsigned long long)n, g->file.size);
	g->tensors = mem_try(n, sizeof *g->tensors);
	offsets = mem_try(n, sizeof *offsets);
	if (!g->tensors || !offsets) {
		err_set(c->err, "not enough memory for %llu tensors", (unsigned long long)n);
		goto out;
	}
	c->what = "the description of tensor";
	for (; g->ntensors < n; g->ntensors++) {
		c->nth = g->ntensors + 1;
		if (take_tensor(g, c, &g->tensors[g->ntensors], &offsets[g->ntensors]) != 0)
			goto out;
	}
	if (alignment(g, &align, c->err) != 0)
		goto out;
	start = ((size_t)(c->p - g->file.data) + align - 1) & ~(align - 1);
	for (size_t i = 0; i < n; i++)
		if (place_tensor(g, &g->tensors[i], start, align, offsets[i], c->err) != 0)
			goto out;
	if ((twin = find_twin(g->tensors, n, sizeof *g->tensors, compare_names)) == -2)
		err_set(c->err, "not enough memory for %llu tensors", (unsigned long long)n);
	else if (twin >= 0)
		err_set(c->err, "tensor \"%s\" is there twice",
		    show((struct gguf_str){ g->tensors[twin].name, strlen(g->tensors[twin].name) }).s);
	else
		r = 0;
out:
	free(offsets);
	return r;
}

static int parse(struct gguf *g, struct err *err)
{
	struct cursor c = { g->file.data, g->file.data + g->file.size, "the header, value", 0, err };
	uint64_t magic, version, ntensors, nkvs;

	if (g->file.size < 4 || memcmp(g->file.data, "GGUF", 4) != 0)
		return err_set(err, "not a GGUF file");
	c.nth = 1;
	if (take(&c, 4, &magic) != 0 || take(&c, 4, &version) != 0)
		return -1;
	if (version && (version & 0xffff) == 0)
		return err_set(err, "a big-endian GGUF file; only little-endian ones are supported");
	if (version != 2 && version != 3)
		return err_set(err, "GGUF version %u; versions 2 and 3 are supported", (unsigned)version);
	g->version = (uint32_t)version;
	c.nth = 2;
	if (take(&c, 8, &ntensors) != 0 || take(&c, 8, &nkvs) != 0 || read_kvs(g, &c, nkvs) != 0)
		return -1;
	return read_tensors(g, &c, ntensors);
}

/* Not blocking, so that a named pipe is refused like other things that are
 * no files. */
struct gguf *gguf_open(const char *path, struct err *err)
{
	struct gguf *g = mem_zalloc(1, sizeof *g);

	if (mapfile_open(&g->file, path, "a GGUF file", err) != 0 || parse(g, err) != 0) {
		gguf_close(g);
		return NULL;
	}
	return g;
}

void gguf_close(struct gguf *g)
{
	if (!g)
		return;
	mapfile_close(&g->file);
	free(g->kvs);
	free(g->tensors);
	arena_free(&g->names);
	free(g);
}

bool gguf_str_is(struct gguf_str a, const char *b)
{
	return strlen(b) == a.len && memcmp(a.s, b, a.len) == 0;
}

int64_t gguf_elements(const struct gguf_tensor *t)
{
	return t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3];
}

const struct gguf_kv *gguf_find(const struct gguf *g, const char *key)
{
	for (size_t i = 0; i < g->nkvs; i++)
		if (gguf_str_is(g->kvs[i].key, key))
			return &g->kvs[i];
	return NULL;
}

const struct gguf_tensor *gguf_tensor(const struct gguf *g, const char *name)
{
	for (size_t i = 0; i < g->ntensors; i++)
		if (strcmp(g->tensors[i].name, name) == 0)
			return &g->tensors[i];
	return NULL;
}

static int wrong_kind(const struct gguf_kv *kv, const char *wanted, struct err *err)
{
	const char *array = kv->kind == GGUF_ARRAY ? "an array of " : "";

	return err_set(err, "\"%s\" is %s%s, not %s", show(kv->key).s, array, kind_names[kv->elem], wanted);
}

/* An integer of any kind: its bits, sign-extended; negative where it is. */
static bool load_integer(enum gguf_kind kind, const unsigned char *p, uint64_t *v, bool *negative)
{
	unsigned bits = 8u * kind_sizes[kind];

	*negative = false;
	if (kind == GGUF_F32 || kind == GGUF_F64 || kind == GGUF_BOOL || kind_sizes[kind] == 0)
		return false;
	*v = load(p, kind_sizes[kind]);
	if (kind == GGUF_I8 || kind == GGUF_I16 || kind == GGUF_I32 || kind == GGUF_I64) {
		*negative = *v >> (bits - 1) & 1;
		if (*negative && bits < 64)
			*v |= ~(uint64_t)0 << bits;
	}
	return true;
}

int gguf_get_u64(const struct gguf *g, const char *key, uint64_t *v, struct err *err)
{
	const struct gguf_kv *kv = gguf_find(g, key);
	uint64_t bits;
	bool negative;

	if (!kv)
		return 0;
	if (!load_integer(kv->kind, kv->data, &bits, &negative))
		return wrong_kind(kv, "an integer", err);
	if (negative)
		return err_set(err, "\"%s\" is negative", show(kv->key).s);
	*v = bits;
	return 1;
}

int gguf_get_f64(const struct gguf *g, const char *key, double *v, struct err *err)
{
	const struct gguf_kv *kv = gguf_find(g, key);
	uint64_t bits;
	bool negative;
	float f;

	if (!kv)
		return 0;
	if (kv->kind == GGUF_F32) {
		memcpy(&f, kv->data, sizeof f);
		*v = (double)f;
	} else if (kv->kind == GGUF_F64) {
		memcpy(v, kv->data, sizeof *v);
	} else if (load_integer(kv->kind, kv->data, &bits, &negative)) {
		*v = negative ? -(double)(0 - bits) : (double)bits;
	} else {
		return wrong_kind(kv, "a number", err);
	}
	return 1;
}

int gguf_get_bool(const struct gguf *g, const char *key, bool *v, struct err *err)
{
	const struct gguf_kv *kv = gguf_find(g, key);

	if (!kv)
		return 0;
	if (kv->kind != GGUF_BOOL)
		return wrong_kind(kv, "a bool", err);
	if (*kv->data > 1)
		return err_set(err, "\"%s\" is neither true nor false", show(kv->key).s);
	*v = *kv->data;
	return 1;
}

int gguf_get_str(const struct gguf *g, const char *key, struct gguf_str *v, struct err *err)
{
	const struct gguf_kv *kv = gguf_find(g, key);

	if (!kv)
		return 0;
	if (kv->kind != GGUF_STRING)
		return wrong_kind(kv, "a string", err);
	*v = (struct gguf_str){ (const char *)kv->data, kv->size };
	return 1;
}

int gguf_get_strs(const struct gguf *g, const char *key, struct gguf_str **v, size_t *n, struct err *err)
{
	const struct gguf_kv *kv = gguf_find(g, key);
	struct cursor c;

	if (!kv)
		return 0;
	if (kv->kind != GGUF_ARRAY || kv->elem != GGUF_STRING)
		return wrong_kind(kv, "an array of strings", err);
	if (!(*v = mem_try(kv->n, sizeof **v)))
		return err_set(err, "not enough memory for \"%s\"", show(kv->key).s);
	*n = kv->n;
	c = (struct cursor){ kv->data, kv->data + kv->size, "string", 0, err };
	for (size_t i = 0; i < *n; i++)
		if (take_str(&c, &(*v)[i]) != 0) {
			free(*v);
			*v = NULL;
			return -1;
		}
	return 1;
}

int gguf_get_i32s(const struct gguf *g, const char *key, int32_t **v, size_t *n, struct err *err)
{
	const struct gguf_kv *kv = gguf_find(g, key);
	uint64_t bits;
	bool negative;

	if (!kv)
		return 0;
	if (kv->kind != GGUF_ARRAY ||
	    !load_integer(kv->elem, (const unsigned char[8]){ 0 }, &bits, &negative))
		return wrong_kind(kv, "an array of integers", err);
	if (!(*v = mem_try(kv->n, sizeof **v)))
		return err_set(err, "not enough memory for \"%s\"", show(kv->key).s);
	*n = kv->n;
	for (size_t i = 0; i < *n; i++) {
		load_integer(kv->elem, kv->data + i * kind_sizes[kv->elem], &bits, &negative);
		if (negative ? bits < (uint64_t)INT32_MIN : bits > INT32_MAX) {
			free(*v);
			*v = NULL;
			return err_set(err, "a number in \"%s\" is too large", show(kv->key).s);
		}
		(*v)[i] = (int32_t)(int64_t)bits;
	}
	return 1;
}

/*
 * GGUF files (version 2 and 3, little endian; ggml's docs/gguf.md), mapped
 * read-only and checked before use: every count, length, offset and size in
 * the file is tested against the file's own size before it is believed, so
 * that a hostile or truncated file is refused with one line.
 */
#ifndef MR_MODEL_GGUF_H
#define MR_MODEL_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mapfile.h"
#include "base/mem.h"
#include "model/quant.h"

enum gguf_kind {        /* numbers as in the file */
	GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL,
	GGUF_STRING, GGUF_ARRAY, GGUF_U64, GGUF_I64, GGUF_F64,
};

struct gguf_str {
	const char *s;          /* in the mapping; not NUL-terminated */
	size_t len;
};

struct gguf_kv {
	struct gguf_str key;
	enum gguf_kind kind, elem;      /* elem: of an array */
	uint64_t n;                     /* elements of an array; 1 otherwise */
	const unsigned char *data;      /* the value's bytes; a string's text; an array's elements */
	size_t size;                    /* and how many they are */
};

struct gguf_tensor {
	const char *name;       /* NUL-terminated, owned by the gguf */
	int ndims;
	int64_t dims[4];        /* dims[0] is contiguous: a matrix [rows][cols] has {cols, rows}; unused: 1 */
	enum tensor_type type;  /* as in the file; it may be a number that quant.h does not know */
	const void *data;       /* in the mapping, 8-aligned; NULL where the type's size is unknown */
	size_t size;            /* bytes; 0 then */
};

struct gguf {
	struct gguf_kv *kvs;
	size_t nkvs;
	struct gguf_tensor *tensors;
	size_t ntensors;
	struct mapfile file;
	uint32_t version;
	struct arena names;     /* the tensors' */
};

struct gguf *gguf_open(const char *path, struct err *err);
void gguf_close(struct gguf *g);

const struct gguf_kv *gguf_find(const struct gguf *g, const char *key);
const struct gguf_tensor *gguf_tensor(const struct gguf *g, const char *name);
/* 1 found and of a fitting kind (any integer kind where it fits), 0 not there,
 * -1 of another kind (with a message). */
int gguf_get_u64(const struct gguf *g, const char *key, uint64_t *v, struct err *err);
/* Any kind of number. */
int gguf_get_f64(const struct gguf *g, const char *key, double *v, struct err *err);
int gguf_get_bool(const struct gguf *g, const char *key, bool *v, struct err *err);
int gguf_get_str(const struct gguf *g, const char *key, struct gguf_str *v, struct err *err);
/* The i-th string of an array of strings needs a walk: all of them at once.
 * Allocates *v (n elements), also where n is 0; free() it. */
int gguf_get_strs(const struct gguf *g, const char *key, struct gguf_str **v, size_t *n, struct err *err);
/* An array of integers of any kind, each of which fits an int32. Allocates *v. */
int gguf_get_i32s(const struct gguf *g, const char *key, int32_t **v, size_t *n, struct err *err);

/* Elements of a tensor. Those of a file that gguf_open has passed fit an int64. */
int64_t gguf_elements(const struct gguf_tensor *t);
bool gguf_str_is(struct gguf_str a, const char *b);

/* Writing: metadata copied from base (all kvs, but those whose key is in
 * drop; base NULL: none, drop NULL: none), values added, then tensors one at
 * a time in the order announced. Version 3. The base may be closed after the
 * first tensor. */
struct gguf_out_tensor {
	const char *name;
	int ndims;
	int64_t dims[4];
	enum tensor_type type;          /* a writable one */
};
struct gguf_writer;
struct gguf_writer *gguf_create(const char *path, const struct gguf *base, const char *const *drop,
    const struct gguf_out_tensor *tensors, size_t n, struct err *err);
/* Adds one more metadata value; before the first tensor. A key that is there
 * already is an error (name it in drop to replace it). */
int gguf_put_u32(struct gguf_writer *w, const char *key, uint32_t v, struct err *err);
int gguf_put_f32(struct gguf_writer *w, const char *key, float v, struct err *err);
int gguf_put_bool(struct gguf_writer *w, const char *key, bool v, struct err *err);
int gguf_put_str(struct gguf_writer *w, const char *key, const char *v, struct err *err);
int gguf_put_strs(struct gguf_writer *w, const char *key, const char *const *v, size_t n, struct err *err);
int gguf_put_i32s(struct gguf_writer *w, const char *key, const int32_t *v, size_t n, struct err *err);
int gguf_put_f32s(struct gguf_writer *w, const char *key, const float *v, size_t n, struct err *err);
/* The next tensor's elements as float32; quantised on the way. */
int gguf_put_tensor(struct gguf_writer *w, const float *data, struct err *err);
/* The same in parts: its next n elements, whole rows. */
int gguf_put_part(struct gguf_writer *w, const float *data, size_t n, struct err *err);
/* The next tensor as the file is to have it. */
int gguf_put_bytes(struct gguf_writer *w, const void *data, size_t size, struct err *err);
/* llama.cpp's number for "mostly of this type", the value of general.file_type. */
uint32_t gguf_file_type(enum tensor_type type);
/* Syncs and renames (base/outfile.h); or removes it all. Both free w, also
 * where the commit fails (a tensor is missing, a full disk). */
int gguf_commit(struct gguf_writer *w, struct err *err);
void gguf_abort(struct gguf_writer *w);

#endif

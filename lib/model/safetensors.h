/*
 * Safetensors files: 8 bytes with the header's length (little endian), the
 * header (a JSON object: name -> {"dtype", "shape", "data_offsets"}, and
 * "__metadata__"), then the tensors' bytes. Mapped read-only. The header is
 * checked before anything in it is believed: its length, that it is strictly
 * JSON, each tensor's size against its shape and type, that its bytes are in
 * the file, and that the tensors cover the data without overlap or gap.
 */
#ifndef MR_MODEL_SAFETENSORS_H
#define MR_MODEL_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mapfile.h"
#include "base/mem.h"
#include "model/quant.h"

enum { SAFETENSORS_MAX_DIMS = 8 };

struct safetensor {
	const char *name;               /* NUL-terminated, owned by the safetensors */
	const char *dtype;              /* as in the file: "BF16" */
	int type;                       /* TENSOR_F32, _F16 or _BF16; -1: a dtype that is not read here */
	int ndims;
	int64_t dims[SAFETENSORS_MAX_DIMS];     /* the last is contiguous; unused: 1 */
	const unsigned char *data;      /* in the mapping; of any alignment */
	size_t size;                    /* bytes */
};

struct safetensors {
	struct safetensor *v;           /* by name */
	size_t n;
	struct mapfile *maps;
	size_t nmaps;
	char **files;                   /* the names that were read, for a manifest; nmaps */
	struct arena names;
};

/* A file; NULL with a message (without the path). */
struct safetensors *safetensors_open(const char *path, struct err *err);
/* What a folder has: the files that its model.safetensors.index.json names,
 * or model.safetensors. A shard's name must be a plain file name, and the
 * index must be right about what is where. */
struct safetensors *safetensors_open_folder(const char *folder, struct err *err);
void safetensors_close(struct safetensors *s);

const struct safetensor *safetensors_find(const struct safetensors *s, const char *name);
/* n elements from the first one on; of a tensor whose type is none of -1. */
void safetensor_read(const struct safetensor *t, size_t first, size_t n, float *dst);

/* Writing: all tensors announced, then their elements in this order, in
 * pieces of any size. */
struct safetensors_out {
	const char *name;
	int ndims;                      /* 1 or 2 */
	int64_t dims[2];                /* the last is contiguous */
};
struct safetensors_writer;
/* type: F32, F16 or BF16. Whole or not at all (base/outfile.h). */
struct safetensors_writer *safetensors_create(const char *path, enum tensor_type type,
    const struct safetensors_out *tensors, size_t n, struct err *err);
/* The next n elements. */
int safetensors_put(struct safetensors_writer *w, const float *data, size_t n, struct err *err);
/* Both free w. */
int safetensors_commit(struct safetensors_writer *w, struct err *err);
void safetensors_abort(struct safetensors_writer *w);

#endif

/*
 * Models from one file format to another: GGUF to GGUF of another type (with
 * or without an adapter added), GGUF
 * to Hugging Face's folder (config.json, tokenizer.json, model.safetensors)
 * and back. A piece of a tensor is in memory at a time. The output appears
 * whole or not at all.
 */
#ifndef MR_MODEL_CONVERT_H
#define MR_MODEL_CONVERT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "model/quant.h"

struct convert_hooks {
	bool (*stopping)(void *arg);
	void (*progress)(void *arg, uint64_t tensors, uint64_t total);
	void *arg;
};

/* All that can be written; folder: F32, F16 and BF16. */
bool convert_type(int type, bool folder);

/*
 * All return -1 with a message, and then nothing is left behind.
 *
 * Matrices get the type, but with one of four bits the one that the logits
 * come from (the output matrix, or the embedding where it is both) gets Q8_0.
 * Where their rows are no whole blocks of the type, they get F16; in place of
 * Q4_K, Q5_K and Q6_K first Q5_0, Q5_1 and Q8_0. Vectors are F32. A tensor
 * that is of its type already keeps its bytes.
 * Metadata is kept, but for general.file_type.
 */
int convert_gguf(const char *in, const char *out, enum tensor_type type, const struct convert_hooks *hooks,
    struct err *err);
/* The same with an adapter (model/lora_file.h) added. */
int convert_merge(const char *in, const char *adapter, const char *out, enum tensor_type type,
    const struct convert_hooks *hooks, struct err *err);
/* The folder must not be there, or be empty. */
int convert_to_folder(const char *in, const char *out, enum tensor_type type,
    const struct convert_hooks *hooks, struct err *err);
int convert_from_folder(const char *in, const char *out, enum tensor_type type,
    const struct convert_hooks *hooks, struct err *err);

/* For a manifest: {"file":…,"sha256":…}, or {"folder":…,"files":[{…},…]}
 * with the model's files in it, by name. */
int convert_describe(const char *path, struct buf *out, struct err *err);

#endif

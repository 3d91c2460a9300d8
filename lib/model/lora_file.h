/*
 * Low-rank adapters as llama.cpp keeps them in a GGUF file: general.type
 * "adapter", adapter.type "lora", adapter.lora.alpha, and for a matrix NAME
 * (out, in) of the model NAME.lora_a (R, in) and NAME.lora_b (out, R); what
 * is meant is w + alpha / R b a.
 */
#ifndef MR_MODEL_LORA_FILE_H
#define MR_MODEL_LORA_FILE_H

#include "model/gguf.h"

struct lora_file;

/* Checks that each of its tensors belongs to a matrix of base, and fits. */
struct lora_file *lora_file_open(const char *path, const struct gguf *base, struct err *err);
void lora_file_close(struct lora_file *f);

/* One matrix's adapter, as float32. */
struct lora_delta {
	float *a, *b;           /* (R, in), (out, R) */
	size_t rank, cols;
	float scale;
};
/* 1, 0 where tensor x of the base has none, -1 where there is no memory. */
int lora_delta_read(const struct lora_file *f, const struct gguf_tensor *x, struct lora_delta *d, struct err *err);
void lora_delta_free(struct lora_delta *d);
/* Adds its row r to w (in). */
void lora_delta_add(const struct lora_delta *d, size_t r, float *w);

#endif

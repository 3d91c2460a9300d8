/*
 * Tensor types: blocks of quantised numbers and their float32 values
 * (ggml's formats). Rows are a whole number of blocks.
 */
#ifndef MR_MODEL_QUANT_H
#define MR_MODEL_QUANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tensor_type {      /* numbers as in GGUF */
	TENSOR_F32 = 0, TENSOR_F16 = 1, TENSOR_Q4_0 = 2, TENSOR_Q4_1 = 3, TENSOR_Q5_0 = 6, TENSOR_Q5_1 = 7,
	TENSOR_Q8_0 = 8, TENSOR_Q4_K = 12, TENSOR_Q5_K = 13, TENSOR_Q6_K = 14, TENSOR_BF16 = 30,
};

/* NULL / 0 / false where the number is no type known here. */
const char *tensor_type_name(unsigned type);            /* "Q4_1" */
int tensor_type_by_name(const char *name);              /* -1: unknown; case does not matter */
size_t tensor_block_len(unsigned type);                 /* elements in a block */
size_t tensor_block_size(unsigned type);                /* bytes in a block */
bool tensor_readable(unsigned type);                    /* dequantize_row knows it */
bool tensor_writable(unsigned type);                    /* quantize_row knows it */

/* n elements (a multiple of the block's). */
void dequantize_row(enum tensor_type type, const void *src, float *dst, size_t n);
void quantize_row(enum tensor_type type, const float *src, void *dst, size_t n);

float f16_to_f32(uint16_t h);
uint16_t f32_to_f16(float f);
float bf16_to_f32(uint16_t h);
uint16_t f32_to_bf16(float f);

#endif

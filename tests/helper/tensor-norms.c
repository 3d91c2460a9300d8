/* tensor-norms MODEL.gguf: a line "name l2 sum" for each tensor. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "model/gguf.h"

int main(int argc, char **argv)
{
	struct err err;
	struct gguf *g = argc == 2 ? gguf_open(argv[1], &err) : NULL;

	if (!g) {
		fprintf(stderr, "tensor-norms: %s\n", argc == 2 ? err.msg : "one file is needed");
		return 1;
	}
	for (size_t i = 0; i < g->ntensors; i++) {
		const struct gguf_tensor *t = &g->tensors[i];
		size_t row = (size_t)t->dims[0], rows = (size_t)(t->dims[1] * t->dims[2] * t->dims[3]);
		size_t bytes = row / tensor_block_len(t->type) * tensor_block_size(t->type);
		float *x = mem_grow(NULL, row, sizeof *x);
		double l2 = 0, sum = 0;

		for (size_t j = 0; j < rows; j++) {
			dequantize_row(t->type, (const char *)t->data + j * bytes, x, row);
			for (size_t k = 0; k < row; k++) {
				l2 += (double)x[k] * x[k];
				sum += x[k];
			}
		}
		printf("%s %.17g %.17g\n", t->name, sqrt(l2), sum);
		free(x);
	}
	gguf_close(g);
	return 0;
}

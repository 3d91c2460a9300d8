/* Any bytes as a safetensors file: opened or refused, and what is opened can
 * be used to its last byte. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "model/safetensors.h"

static volatile float sink;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	struct safetensors *s;
	struct err err;
	char path[64];

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if ((s = safetensors_open(path, &err))) {
		size_t sum = 0;

		for (size_t i = 0; i < s->n; i++) {
			const struct safetensor *t = &s->v[i];
			size_t width = t->type < 0 ? 0 : tensor_block_size((unsigned)t->type);
			float x;

			if (safetensors_find(s, t->name) != t)
				abort();
			sum += t->size;
			for (size_t at = 0; width && at < t->size; at += width) {
				safetensor_read(t, at / width, 1, &x);
				sink = x;
			}
		}
		if (sum > size)         /* they would overlap */
			abort();
		safetensors_close(s);
	}
	close(fd);
	return 0;
}

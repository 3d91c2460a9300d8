/* Any bytes as a model file: opened or refused, and what is opened can be
 * used to its last byte. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "model/chat.h"
#include "model/gguf.h"
#include "model/tokenizer.h"

static volatile float sink;

static void read_metadata(const struct gguf *g)
{
	for (size_t i = 0; i < g->nkvs; i++) {
		struct gguf_str s, *strs;
		struct err err;
		char key[64];
		int32_t *ints;
		uint64_t u;
		double f;
		size_t n;
		bool b;

		snprintf(key, sizeof key, "%.*s", (int)(g->kvs[i].key.len & 63), g->kvs[i].key.s);
		gguf_get_u64(g, key, &u, &err);
		gguf_get_f64(g, key, &f, &err);
		gguf_get_bool(g, key, &b, &err);
		if (gguf_get_str(g, key, &s, &err) == 1 && s.len > 0)
			sink = (float)s.s[s.len - 1];
		if (gguf_get_strs(g, key, &strs, &n, &err) == 1)
			free(strs);
		if (gguf_get_i32s(g, key, &ints, &n, &err) == 1)
			free(ints);
	}
}

static void read_tensors(const struct gguf *g)
{
	float row[256];

	for (size_t i = 0; i < g->ntensors; i++) {
		const struct gguf_tensor *t = &g->tensors[i];
		size_t len = tensor_block_len(t->type), size = tensor_block_size(t->type);

		if (!t->data || !tensor_readable(t->type))
			continue;
		for (size_t at = 0; at + size <= t->size; at += size) {
			dequantize_row(t->type, (const char *)t->data + at, row, len);
			sink = row[len - 1];
		}
	}
}

static void use_tokenizer(const struct gguf *g)
{
	static const char text[] = "It's 12  o'clock,\n<|im_start|>\xff \xe2\x82\xac<|im_end|>";
	struct err err;
	struct tokenizer *t = tokenizer_new(g, &err);
	struct chat *c = t ? chat_new(g, t, NULL, &err) : NULL;
	struct ids ids = { 0 };
	struct buf b = { 0 };

	if (!t)
		return;
	tokenizer_encode(t, text, sizeof text, true, &ids);
	tokenizer_encode(t, text, sizeof text, false, &ids);
	if (c)
		chat_render(c, &(struct message){ "user", text }, 1, true, &ids, &err);
	for (size_t i = 0; i < ids.n; i++)
		tokenizer_decode(t, ids.v[i], true, &b);
	for (int32_t id = -1; id <= tokenizer_size(t); id++)
		tokenizer_decode(t, id, false, &b);
	buf_free(&b);
	ids_free(&ids);
	chat_free(c);
	tokenizer_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	char path[64];
	struct err err;
	struct gguf *g;

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if ((g = gguf_open(path, &err))) {
		read_metadata(g);
		read_tensors(g);
		use_tokenizer(g);
		gguf_close(g);
	}
	close(fd);
	return 0;
}

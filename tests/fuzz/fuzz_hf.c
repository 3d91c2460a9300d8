/* Any bytes as the JSON files of a Hugging Face folder: config.json, a NUL,
 * tokenizer.json, a NUL, tokenizer_config.json. Read or refused; what is read
 * can be written as a GGUF file's metadata. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/hf.h"

static const char *const names[] = { "config.json", "tokenizer.json", "tokenizer_config.json" };
static char folder[] = "/tmp/fuzz_hf-XXXXXX";

static const char *in_folder(const char *name)
{
	static char path[64];

	snprintf(path, sizeof path, "%s/%s", folder, name);
	return path;
}

static void clean(void)
{
	for (int i = 0; i < 3; i++)
		unlink(in_folder(names[i]));
	rmdir(folder);
}

static void put_file(const char *name, const uint8_t *data, size_t size)
{
	int fd = open(in_folder(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	close(fd);
}

static void write_metadata(const struct hf *h)
{
	static const struct gguf_out_tensor t = { "x", 1, { 1, 1, 1, 1 }, TENSOR_F32 };
	struct gguf_writer *w = gguf_create("/dev/null", NULL, NULL, &t, 1, NULL);

	if (!w || hf_put_metadata(h, w, NULL) != 0 || gguf_put_tensor(w, &(float){ 0 }, NULL) != 0)
		abort();
	gguf_commit(w, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int made;
	struct hf *h;

	if (!made) {
		if (!mkdtemp(folder))
			abort();
		atexit(clean);
		made = 1;
	}
	for (int i = 0; i < 3; i++) {
		const uint8_t *end = i < 2 && size ? memchr(data, 0, size) : NULL;
		size_t n = end ? (size_t)(end - data) : size;

		put_file(names[i], data, n);
		data += n + (end != NULL);
		size -= n + (end != NULL);
	}
	if ((h = hf_read(folder, NULL)))
		write_metadata(h);
	hf_free(h);
	return 0;
}

/*
 * A model file that went through bad hands: it is refused with a message, or
 * it opens, and then its tokenizer and its chat template work on any text.
 *
 * The input is a list of edits to the good file that MR_FUZZ_MODEL names, as
 * random bytes alone would never come past its header: 4 bytes of a length
 * that it is cut to, then each time 4 bytes of an offset, 1 of a count and up
 * to 8 of what is written there. Without that file the input is the model.
 * The last bytes of the input are also the text.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "model/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(int holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "fuzz_model: %s\n", what);
		abort();
	}
}

/* Plain text gives no control token, and every id has a text. */
static void tokenise(const struct tokenizer *t, const char *text, size_t len)
{
	struct ids ids = { 0 };
	struct buf text_back = { 0 };

	tokenizer_encode(t, text, len, false, &ids);
	for (size_t i = 0; i < ids.n; i++) {
		demand(ids.v[i] >= 0 && ids.v[i] < tokenizer_size(t), "an id outside the vocabulary");
		demand(!tokenizer_is_control(t, ids.v[i]), "a control token out of plain text");
		tokenizer_decode(t, ids.v[i], false, &text_back);
	}
	ids_free(&ids);
	buf_free(&text_back);
}

static void use(const struct model *m, const char *text, size_t len)
{
	char *copy = mem_strndup(text, len);
	const struct message message = { "user", copy };
	struct ids ids = { 0 };
	struct err err;

	tokenise(m->tokenizer, text, len);
	if (m->chat)
		demand(chat_render(m->chat, &message, 1, true, &ids, &err) == 0 && ids.n > 0, "a turn was refused");
	ids_free(&ids);
	free(copy);
}

static struct buf good;

static uint32_t take(const uint8_t **data, size_t *size, size_t bytes)
{
	uint32_t v = 0;

	for (size_t i = 0; i < bytes && *size > 0; i++, (*data)++, (*size)--)
		v |= (uint32_t)**data << 8 * i;
	return v;
}

/* Edits fall on the metadata (the first part) three times out of four. */
static void edit(const uint8_t *data, size_t size, struct buf *file)
{
	size_t cut;

	buf_add(file, good.data, good.len);
	cut = take(&data, &size, 4);
	if (cut % 4 == 1 && cut < file->len)
		file->len = cut;
	while (size > 0 && file->len > 8) {
		uint32_t at = take(&data, &size, 4);
		size_t n = take(&data, &size, 1) % 8 + 1, within = at % 4 ? file->len / 8 : file->len;

		for (size_t i = 0; i < n && size > 0; i++)
			file->data[(at / 4 + i) % within] = (char)take(&data, &size, 1);
	}
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *path = getenv("MR_FUZZ_MODEL");
	FILE *f = path ? fopen(path, "rb") : NULL;
	char block[4096];
	size_t n;

	(void)argc;
	(void)argv;
	while (f && (n = fread(block, 1, sizeof block, f)) > 0)
		buf_add(&good, block, n);
	if (f)
		fclose(f);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	static char path[64];
	struct buf file = { 0 };
	struct err err = { "" };
	struct model *m;

	if (fd < 0) {
		fd = memfd_create("model", 0);
		demand(fd >= 0, "no memory file");
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	}
	if (good.len > 0)
		edit(data, size, &file);
	else
		buf_add(&file, data, size);
	demand(ftruncate(fd, 0) == 0 && pwrite(fd, file.data, file.len, 0) == (ssize_t)file.len,
	    "the file cannot be written");
	buf_free(&file);
	m = model_open(path, NULL, &err);
	if (m) {
		size_t len = size < 64 ? size : 64;

		use(m, (const char *)data + size - len, len);
		model_close(m);
	} else {
		demand(err.msg[0] != '\0', "refused without a reason");
	}
	return 0;
}

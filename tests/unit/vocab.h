/* For the tests of tokenizer and chat: small vocabularies as GGUF files, the
 * real model where it is there, and rows of token ids out of JSON. */
#ifndef MR_TEST_VOCAB_H
#define MR_TEST_VOCAB_H

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/utf8.h"
#include "model/gguf.h"
#include "model/tokenizer.h"
#include "test.h"

struct small_vocab {
	const char *model, *pre, *chat;         /* NULL: the key is left out */
	const char *extra[16];                  /* tokens after the 256 bytes' (ids from 256 on) */
	int32_t type[16];                       /* theirs; 0: normal */
	const char *merges[16];
	const char *without;                    /* a byte that has no token, or NULL */
	int eos;                                /* 0: none */
	int bos;
	bool no_space_prefix, no_bytes;         /* SentencePiece */
};

/* The byte's letter in GPT-2's alphabet. */
static inline void byte_letter(unsigned b, char out[5])
{
	uint32_t cp = b;
	uint32_t next = 256;

	memset(out, 0, 5);
	for (unsigned i = 0; i <= b; i++) {
		bool printed = (i > ' ' && i < 127) || (i > 160 && i != 173);
		if (i == b && !printed)
			cp = next;
		next += !printed;
	}
	utf8_encode(cp, out);
}

/* The settings, and for SentencePiece its scores: the later, the better; the same ones for the two
 * tokens of each pair. */
static inline int put_settings(struct gguf_writer *w, const struct small_vocab *v, size_t n, struct err *err)
{
	float scores[272];

	for (size_t i = 0; i < n; i++)
		scores[i] = (float)(i / 2);
	return (v->model && gguf_put_str(w, "tokenizer.ggml.model", v->model, err) != 0) ||
	    (v->pre && gguf_put_str(w, "tokenizer.ggml.pre", v->pre, err) != 0) ||
	    (v->chat && gguf_put_str(w, "tokenizer.chat_template", v->chat, err) != 0) ||
	    (v->eos && gguf_put_u32(w, "tokenizer.ggml.eos_token_id", (uint32_t)v->eos, err) != 0) ||
	    (v->bos && gguf_put_u32(w, "tokenizer.ggml.bos_token_id", (uint32_t)v->bos, err) != 0) ||
	    (v->no_bytes && gguf_put_u32(w, "tokenizer.ggml.unknown_token_id", 256, err) != 0) ||
	    (v->no_space_prefix &&
	    gguf_put_bool(w, "tokenizer.ggml.add_space_prefix", false, err) != 0) ||
	    (v->model && strcmp(v->model, "llama") == 0 &&
	    gguf_put_f32s(w, "tokenizer.ggml.scores", scores, n, err) != 0);
}

/* For SentencePiece the tokens from 0 to 255 are those of the bytes. */
static inline int put_vocab(struct gguf_writer *w, const struct small_vocab *v, struct err *err)
{
	const bool spm = v->model && strcmp(v->model, "llama") == 0;
	static char letters[256][8];
	const char *tokens[272];
	int32_t types[272];
	size_t n = 256, merges = 0;

	for (unsigned b = 0; b < 256; b++) {
		byte_letter(b, letters[b]);
		if (spm)
			snprintf(letters[b], sizeof letters[b], "<0x%02X>", b);
		tokens[b] = v->without && (unsigned char)*v->without == b ? "(none)" : letters[b];
		types[b] = !spm ? 1 : v->no_bytes ? 5 : 6;
	}
	for (; n < 272 && v->extra[n - 256]; n++) {
		tokens[n] = v->extra[n - 256];
		types[n] = v->type[n - 256] ? v->type[n - 256] : 1;
	}
	while (merges < 16 && v->merges[merges])
		merges++;
	return put_settings(w, v, n, err) ||
	    gguf_put_strs(w, "tokenizer.ggml.tokens", tokens, n, err) != 0 ||
	    gguf_put_i32s(w, "tokenizer.ggml.token_type", types, n, err) != 0 ||
	    gguf_put_strs(w, "tokenizer.ggml.merges", v->merges, merges, err) != 0;
}

static inline struct gguf *small_gguf(const struct small_vocab *v)
{
	char path[] = "/tmp/test_vocab-XXXXXX";
	int fd = mkstemp(path);
	struct err err = { "" };
	struct gguf *g = NULL;
	struct gguf_writer *w = fd < 0 ? NULL : gguf_create(path, NULL, NULL, NULL, 0, &err);

	if (w && put_vocab(w, v, &err) != 0)
		gguf_abort(w);
	else if (w && gguf_commit(w, &err) == 0)
		g = gguf_open(path, &err);
	if (!g)
		printf("# %s\n", err.msg);
	close(fd);
	unlink(path);
	return g;
}

static inline const char *model_path(void)
{
	const char *path = getenv("MR_MODEL");

	return path && *path ? path : "models/SmolLM2-135M-Instruct.Q4_1.gguf";
}

/* A file in the golden folder, or NULL where it is not there. */
static inline FILE *golden_file(const char *name)
{
	const char *folder = getenv("MR_GOLDEN");
	char path[512];

	snprintf(path, sizeof path, "%s/%s", folder && *folder ? folder : "../shared/golden", name);
	return fopen(path, "r");
}

/* Prints both where they differ. */
static inline bool same_ids(const struct ids *got, const cJSON *want)
{
	const cJSON *e = cJSON_IsArray(want) ? want->child : NULL;
	bool same = cJSON_IsArray(want) && (size_t)cJSON_GetArraySize(want) == got->n;

	for (size_t i = 0; same && e && i < got->n; i++, e = e->next)
		same = got->v[i] == e->valueint;
	if (same)
		return true;
	printf("# got   ");
	for (size_t i = 0; i < got->n && i < 40; i++)
		printf(" %d", (int)got->v[i]);
	printf("\n# wanted");
	for (int i = 0; i < 40 && (e = cJSON_GetArrayItem(want, i)); i++)
		printf(" %d", e->valueint);
	printf("\n");
	return false;
}

/* The first differing ones are enough. */
static inline bool ids_are(const struct ids *got, const int32_t *want, size_t n)
{
	bool same = got->n == n && (n == 0 || memcmp(got->v, want, n * sizeof *want) == 0);

	for (size_t i = 0; !same && i < got->n; i++)
		printf("%s%d%s", i ? " " : "# got ", (int)got->v[i], i + 1 == got->n ? "\n" : "");
	return same;
}

#endif

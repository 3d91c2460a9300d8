#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "model/hf.h"
#include "model/vocab.h"

static int token_id(const struct gguf *g, const char *key, size_t n, int32_t *id, struct err *err)
{
	uint64_t v;
	int found = gguf_get_u64(g, key, &v, err);

	*id = -1;
	if (found < 0)
		return -1;
	if (found && v >= n)
		return err_set(err, "\"%s\" is no token", key);
	if (found)
		*id = (int32_t)v;
	return 0;
}

int hf_vocab_read(const struct gguf *g, const struct tokenizer *t, struct hf_vocab *v, struct err *err)
{
	struct gguf_str model;
	size_t ntypes;
	int found;

	*v = (struct hf_vocab){ .pre = { "default", 7 }, .bos = tokenizer_bos(t), .eos = tokenizer_eos(t),
	    .adds_bos = tokenizer_adds_bos(t) };
	if (gguf_get_str(g, "tokenizer.ggml.model", &model, err) <= 0)
		return -1;
	v->spm = gguf_str_is(model, "llama");
	v->space_prefix = v->spm;
	if (gguf_get_strs(g, "tokenizer.ggml.tokens", &v->tokens, &v->n, err) < 0 ||
	    gguf_get_str(g, "tokenizer.ggml.pre", &v->pre, err) < 0 ||
	    gguf_get_str(g, "tokenizer.chat_template", &v->template, err) < 0 ||
	    gguf_get_bool(g, "tokenizer.ggml.add_space_prefix", &v->space_prefix, err) < 0 ||
	    (!v->spm && gguf_get_strs(g, "tokenizer.ggml.merges", &v->merges, &v->nmerges, err) < 0))
		return -1;
	if ((found = gguf_get_i32s(g, "tokenizer.ggml.token_type", &v->types, &ntypes, err)) < 0)
		return -1;
	if (found ? ntypes != v->n : (v->types = mem_zalloc(v->n, sizeof *v->types)) == NULL)
		return err_set(err, "%zu tokens, but %zu token types", v->n, ntypes);
	if (token_id(g, "tokenizer.ggml.unknown_token_id", v->n, &v->unknown, err) != 0 ||
	    token_id(g, "tokenizer.ggml.padding_token_id", v->n, &v->padding, err) != 0)
		return -1;
	if (v->spm && v->unknown < 0 && v->types[0] == TYPE_UNKNOWN)
		v->unknown = 0;         /* as tokenizer.c has it */
	if (v->adds_bos && v->bos < 0)
		return err_set(err, "a first token is wanted, but none is named");
	return v->spm ? hf_spm_merges(g, v, err) : 0;
}

void hf_vocab_free(struct hf_vocab *v)
{
	free(v->tokens);
	free(v->merges);
	free(v->types);
	arena_free(&v->text);
}

static void add_str(struct buf *b, struct gguf_str s)
{
	buf_json_string(b, s.s, s.len);
}

/* Each control token, the unknown one, and the ones found before a text is cut into words. */
static void add_added(struct buf *b, const struct hf_vocab *v)
{
	const char *between = "";

	buf_adds(b, "  \"added_tokens\": [");
	for (size_t i = 0; i < v->n; i++) {
		if (v->types[i] != TYPE_CONTROL && v->types[i] != TYPE_USER && v->types[i] != TYPE_UNKNOWN)
			continue;
		buf_printf(b, "%s\n    {\"id\": %zu, \"content\": ", between, i);
		add_str(b, v->tokens[i]);
		buf_printf(b, ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
		    "\"normalized\": false, \"special\": %s}", v->types[i] == TYPE_USER ? "false" : "true");
		between = ",";
	}
	buf_adds(b, "\n  ],\n");
}

#define BYTE_LEVEL(regex) "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, " \
	"\"use_regex\": " regex "}"

/*
 * smollm: the digits are cut apart within GPT-2's words, as the tokenizer
 * here does it (tokenizer.h), not before; and by a pattern, as the type Digits
 * means fractions too.
 */
static int add_pre_tokenizer(struct buf *b, const struct hf_vocab *v, struct err *err)
{
	const char *split = NULL;
	bool digits = false;

	if (gguf_str_is(v->pre, "smollm")) {
		split = hf_split_gpt2;
		digits = true;
	} else if (gguf_str_is(v->pre, "llama-bpe")) {
		split = hf_split_llama3;
	} else if (gguf_str_is(v->pre, "qwen2")) {
		split = hf_split_qwen2;
	} else if (!gguf_str_is(v->pre, "gpt-2")) {
		return err_set(err, "the pre-tokenizer \"%.*s\" cannot be written as tokenizer.json",
		    (int)(v->pre.len < 40 ? v->pre.len : 40), v->pre.s);
	}
	buf_printf(b, "  \"normalizer\": %s,\n  \"pre_tokenizer\": ",
	    split == hf_split_qwen2 ? "{\"type\": \"NFC\"}" : "null");
	if (split) {
		buf_adds(b, "{\"type\": \"Sequence\", \"pretokenizers\": [\n"
		    "    {\"type\": \"Split\", \"pattern\": {\"Regex\": ");
		buf_json_string(b, split, strlen(split));
		buf_adds(b, "}, \"behavior\": \"Isolated\", \"invert\": false},\n");
		if (digits)
			buf_printf(b, "    {\"type\": \"Split\", \"pattern\": {\"Regex\": \"%s\"}, "
			    "\"behavior\": \"Isolated\", \"invert\": false},\n", hf_split_digits);
		buf_adds(b, "    " BYTE_LEVEL("false") "]}");
	} else {
		buf_adds(b, BYTE_LEVEL("true"));
	}
	buf_adds(b, ",\n");
	return 0;
}

/*
 * SentencePiece: spaces become U+2581, one is put before a text, and before
 * what stands behind a special token in it.
 */
static void add_spm_normalizer(struct buf *b, const struct hf_vocab *v)
{
	buf_printf(b, "  \"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [%s"
	    "{\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": \"" HF_SPACE "\"}]},\n"
	    "  \"pre_tokenizer\": null,\n",
	    v->space_prefix ? "{\"type\": \"Prepend\", \"prepend\": \"" HF_SPACE "\"}, " : "");
}

static void add_decoder(struct buf *b, const struct hf_vocab *v)
{
	buf_adds(b, "  \"decoder\": ");
	if (v->spm)
		buf_printf(b, "{\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Replace\", \"pattern\": "
		    "{\"String\": \"" HF_SPACE "\"}, \"content\": \" \"}, {\"type\": \"ByteFallback\"}, "
		    "{\"type\": \"Fuse\"}%s]}", v->space_prefix ?
		    ", {\"type\": \"Strip\", \"content\": \" \", \"start\": 1, \"stop\": 0}" : "");
	else
		buf_adds(b, BYTE_LEVEL("true"));
	buf_adds(b, ",\n");
}

static void add_post_processor(struct buf *b, const struct hf_vocab *v)
{
	struct buf bos = { 0 };

	buf_adds(b, "  \"post_processor\": ");
	if (v->adds_bos) {
		add_str(&bos, v->tokens[v->bos]);
		buf_printf(b, "{\"type\": \"TemplateProcessing\",\n    \"single\": [{\"SpecialToken\": {\"id\": %s, "
		    "\"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}],\n    \"pair\": "
		    "[{\"SpecialToken\": {\"id\": %s, \"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}, "
		    "{\"SpecialToken\": {\"id\": %s, \"type_id\": 1}}, {\"Sequence\": {\"id\": \"B\", \"type_id\": 1}}],\n"
		    "    \"special_tokens\": {%s: {\"id\": %s, \"ids\": [%d], \"tokens\": [%s]}}}",
		    bos.data, bos.data, bos.data, bos.data, bos.data, (int)v->bos, bos.data);
		buf_free(&bos);
	} else {
		buf_adds(b, v->spm ? "null" : BYTE_LEVEL("true"));
	}
	buf_adds(b, ",\n");
}

static int write_tokenizer(const struct hf_vocab *v, const char *folder, struct buf *b, struct err *err)
{
	const char *between = "";

	buf_adds(b, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n");
	add_added(b, v);
	if (v->spm)
		add_spm_normalizer(b, v);
	else if (add_pre_tokenizer(b, v, err) != 0)
		return -1;
	add_post_processor(b, v);
	add_decoder(b, v);
	buf_adds(b, "  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": ");
	if (v->spm && v->unknown >= 0)
		add_str(b, v->tokens[v->unknown]);
	else
		buf_adds(b, "null");
	buf_printf(b, ",\n    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n"
	    "    \"fuse_unk\": %s,\n    \"byte_fallback\": %s,\n", v->spm ? "true" : "false",
	    v->spm ? "true" : "false");
	buf_printf(b, "    \"ignore_merges\": %s,\n    \"vocab\": {",
	    !v->spm && gguf_str_is(v->pre, "llama-bpe") ? "true" : "false");
	for (size_t i = 0; i < v->n; i++) {
		if (v->types[i] == TYPE_UNUSED)
			continue;
		buf_printf(b, "%s\n      ", between);
		add_str(b, v->tokens[i]);
		buf_printf(b, ": %zu", i);
		between = ",";
	}
	buf_adds(b, "\n    },\n    \"merges\": [");
	for (size_t i = 0; i < v->nmerges; i++) {
		buf_adds(b, i ? ",\n      " : "\n      ");
		add_str(b, v->merges[i]);
	}
	buf_adds(b, "\n    ]\n  }\n}");
	return hf_put_file(folder, "tokenizer.json", b, err);
}

static void add_token(struct buf *b, const struct hf_vocab *v, const char *key, int32_t id)
{
	if (id < 0)
		return;
	buf_printf(b, ",\n  \"%s\": ", key);
	add_str(b, v->tokens[id]);
}

static int write_settings(const struct hf_vocab *v, int context, const char *folder, struct buf *b,
    struct err *err)
{
	buf_printf(b, "{\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\",\n  \"model_max_length\": %d,\n"
	    "  \"clean_up_tokenization_spaces\": false,\n  \"add_bos_token\": %s", context,
	    v->adds_bos ? "true" : "false");
	add_token(b, v, "bos_token", v->bos);
	add_token(b, v, "eos_token", v->eos);
	add_token(b, v, "unk_token", v->unknown);
	add_token(b, v, "pad_token", v->padding);
	if (v->template.s) {
		buf_adds(b, ",\n  \"chat_template\": ");
		add_str(b, v->template);
	}
	buf_adds(b, "\n}");
	return hf_put_file(folder, "tokenizer_config.json", b, err);
}

int hf_write_tokenizer(const struct hf_vocab *v, int context, const char *folder, struct err *err)
{
	struct buf b = { 0 };
	int r = write_tokenizer(v, folder, &b, err) != 0 || write_settings(v, context, folder, &b, err) != 0 ? -1 : 0;

	buf_free(&b);
	return r;
}

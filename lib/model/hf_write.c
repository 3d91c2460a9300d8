#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/outfile.h"
#include "model/hf.h"

enum { TYPE_CONTROL = 3, TYPE_USER = 4, TYPE_UNUSED = 5 };      /* as in GGUF */

struct vocab {
	struct gguf_str *tokens, *merges;
	int32_t *types;
	size_t n, nmerges;
	int32_t bos, eos, unknown, padding;     /* -1: none */
	bool adds_bos;
	struct gguf_str pre, template;
};

static int put_file(const char *folder, const char *name, struct buf *b, struct err *err)
{
	struct buf path = { 0 };
	int r;

	buf_addc(b, '\n');
	buf_printf(&path, "%s/%s", folder, name);
	r = out_file(path.data, b->data, b->len, err);
	buf_free(&path);
	buf_reset(b);
	return r;
}

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

static int read_vocab(const struct gguf *g, struct vocab *v, struct err *err)
{
	struct gguf_str model;
	size_t ntypes;
	int found;

	v->pre = (struct gguf_str){ "default", 7 };
	if ((found = gguf_get_str(g, "tokenizer.ggml.model", &model, err)) < 0)
		return -1;
	if (!found || !gguf_str_is(model, "gpt2"))
		return err_set(err, "only a byte-level BPE tokenizer (\"gpt2\") can be written as tokenizer.json");
	if (gguf_get_strs(g, "tokenizer.ggml.tokens", &v->tokens, &v->n, err) < 0 ||
	    gguf_get_strs(g, "tokenizer.ggml.merges", &v->merges, &v->nmerges, err) < 0 ||
	    gguf_get_str(g, "tokenizer.ggml.pre", &v->pre, err) < 0 ||
	    gguf_get_str(g, "tokenizer.chat_template", &v->template, err) < 0 ||
	    gguf_get_bool(g, "tokenizer.ggml.add_bos_token", &v->adds_bos, err) < 0)
		return -1;
	if ((found = gguf_get_i32s(g, "tokenizer.ggml.token_type", &v->types, &ntypes, err)) < 0)
		return -1;
	if (found ? ntypes != v->n : (v->types = mem_zalloc(v->n, sizeof *v->types)) == NULL)
		return err_set(err, "%zu tokens, but %zu token types", v->n, ntypes);
	if (token_id(g, "tokenizer.ggml.bos_token_id", v->n, &v->bos, err) != 0 ||
	    token_id(g, "tokenizer.ggml.eos_token_id", v->n, &v->eos, err) != 0 ||
	    token_id(g, "tokenizer.ggml.unknown_token_id", v->n, &v->unknown, err) != 0 ||
	    token_id(g, "tokenizer.ggml.padding_token_id", v->n, &v->padding, err) != 0)
		return -1;
	if (v->adds_bos && v->bos < 0)
		return err_set(err, "a first token is wanted, but none is named");
	return 0;
}

/* The shortest decimal that reads back as the same float32. */
static void add_float(struct buf *b, float x)
{
	char s[32];

	for (int digits = 1; digits <= 9; digits++) {
		snprintf(s, sizeof s, "%.*g", digits, (double)x);
		if (strtof(s, NULL) == x)
			break;
	}
	buf_adds(b, s);
	if (!strpbrk(s, ".e"))
		buf_adds(b, ".0");
}

static void add_id(struct buf *b, const char *key, int32_t id)
{
	if (id >= 0)
		buf_printf(b, ",\n  \"%s\": %d", key, (int)id);
}

/* The file has the factors only; the settings that they come from are known
 * where they are Llama 3's. */
static int find_rope(const struct model *m, struct hf_rope *rope, struct err *err)
{
	const struct gguf_tensor *t = gguf_tensor(m->gguf, "rope_freqs.weight");
	const int n = m->config.rope_dims / 2;
	const float *want = t ? t->data : NULL;
	float *have;
	bool same = true;

	*rope = (struct hf_rope){ 0, 1, 4, 8192 };
	if (!t)
		return 0;
	for (int i = 0; i < n; i++)
		if ((double)want[i] > rope->factor)
			rope->factor = (double)want[i];
	have = mem_zalloc((size_t)n, sizeof *have);
	hf_rope_factors(rope, (double)m->config.rope_base, n, have);
	for (int i = 0; i < n; i++)
		same = same && fabsf(have[i] - want[i]) <= 1e-4f * want[i];
	free(have);
	return same ? 0 : err_set(err, "rope_freqs.weight is not what Llama 3's settings give; "
	    "config.json cannot tell it");
}

static int write_config(const struct model *m, const struct vocab *v, enum tensor_type type,
    const char *folder, struct buf *b, struct err *err)
{
	const struct model_config *c = &m->config;
	struct hf_rope rope;

	if (c->rope_dims != c->head_size)
		return err_set(err, "%d of %d elements of a head are rotated; Hugging Face's llama rotates all",
		    c->rope_dims, c->head_size);
	if (find_rope(m, &rope, err) != 0)
		return -1;
	buf_printf(b, "{\n  \"architectures\": [\"LlamaForCausalLM\"],\n  \"model_type\": \"llama\",\n"
	    "  \"vocab_size\": %d,\n  \"hidden_size\": %d,\n  \"intermediate_size\": %d,\n"
	    "  \"num_hidden_layers\": %d,\n  \"num_attention_heads\": %d,\n  \"num_key_value_heads\": %d,\n"
	    "  \"head_dim\": %d,\n  \"max_position_embeddings\": %d,\n  \"hidden_act\": \"silu\",\n"
	    "  \"attention_bias\": false,\n  \"mlp_bias\": false,\n  \"tie_word_embeddings\": %s",
	    c->vocab, c->width, c->ffn, c->layers, c->heads, c->kv_heads, c->head_size, c->context,
	    c->tied ? "true" : "false");
	buf_adds(b, ",\n  \"rms_norm_eps\": ");
	add_float(b, c->norm_eps);
	buf_adds(b, ",\n  \"rope_theta\": ");
	add_float(b, c->rope_base);
	if (rope.factor > 0) {
		buf_adds(b, ",\n  \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": ");
		add_float(b, (float)rope.factor);
		buf_printf(b, ", \"low_freq_factor\": %.1f, \"high_freq_factor\": %.1f, "
		    "\"original_max_position_embeddings\": %.0f}", rope.low, rope.high, rope.original);
	} else {
		buf_adds(b, ",\n  \"rope_scaling\": null");
	}
	add_id(b, "bos_token_id", v->bos);
	add_id(b, "eos_token_id", v->eos);
	add_id(b, "pad_token_id", v->padding);
	buf_printf(b, ",\n  \"torch_dtype\": \"%s\"\n}",
	    type == TENSOR_F32 ? "float32" : type == TENSOR_F16 ? "float16" : "bfloat16");
	return put_file(folder, "config.json", b, err);
}

static void add_str(struct buf *b, struct gguf_str s)
{
	buf_json_string(b, s.s, s.len);
}

/* Each control token, and the ones found before a text is cut into words. */
static void add_added(struct buf *b, const struct vocab *v)
{
	const char *between = "";

	buf_adds(b, "  \"added_tokens\": [");
	for (size_t i = 0; i < v->n; i++) {
		if (v->types[i] != TYPE_CONTROL && v->types[i] != TYPE_USER)
			continue;
		buf_printf(b, "%s\n    {\"id\": %zu, \"content\": ", between, i);
		add_str(b, v->tokens[i]);
		buf_printf(b, ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
		    "\"normalized\": false, \"special\": %s}", v->types[i] == TYPE_CONTROL ? "true" : "false");
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
static int add_pre_tokenizer(struct buf *b, const struct vocab *v, struct err *err)
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

static void add_post_processor(struct buf *b, const struct vocab *v)
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
		buf_adds(b, BYTE_LEVEL("true"));
	}
	buf_adds(b, ",\n");
}

static int write_tokenizer(const struct vocab *v, const char *folder, struct buf *b, struct err *err)
{
	const char *between = "";

	buf_adds(b, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n");
	add_added(b, v);
	if (add_pre_tokenizer(b, v, err) != 0)
		return -1;
	add_post_processor(b, v);
	buf_adds(b, "  \"decoder\": " BYTE_LEVEL("true") ",\n  \"model\": {\n    \"type\": \"BPE\",\n"
	    "    \"dropout\": null,\n    \"unk_token\": null,\n    \"continuing_subword_prefix\": null,\n"
	    "    \"end_of_word_suffix\": null,\n    \"fuse_unk\": false,\n    \"byte_fallback\": false,\n");
	buf_printf(b, "    \"ignore_merges\": %s,\n    \"vocab\": {",
	    gguf_str_is(v->pre, "llama-bpe") ? "true" : "false");
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
	return put_file(folder, "tokenizer.json", b, err);
}

static void add_token(struct buf *b, const struct vocab *v, const char *key, int32_t id)
{
	if (id < 0)
		return;
	buf_printf(b, ",\n  \"%s\": ", key);
	add_str(b, v->tokens[id]);
}

static int write_tokenizer_config(const struct model *m, const struct vocab *v, const char *folder,
    struct buf *b, struct err *err)
{
	buf_printf(b, "{\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\",\n  \"model_max_length\": %d,\n"
	    "  \"clean_up_tokenization_spaces\": false,\n  \"add_bos_token\": %s", m->config.context,
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
	return put_file(folder, "tokenizer_config.json", b, err);
}

static int write_generation(const struct vocab *v, const char *folder, struct buf *b, struct err *err)
{
	buf_adds(b, "{\n  \"_from_model_config\": true");
	add_id(b, "bos_token_id", v->bos);
	add_id(b, "eos_token_id", v->eos);
	add_id(b, "pad_token_id", v->padding);
	buf_adds(b, "\n}");
	return put_file(folder, "generation_config.json", b, err);
}

int hf_write(const struct model *m, enum tensor_type type, const char *folder, struct err *err)
{
	struct vocab v = { 0 };
	struct buf b = { 0 };
	int r = read_vocab(m->gguf, &v, err) != 0 || write_config(m, &v, type, folder, &b, err) != 0 ||
	    write_tokenizer(&v, folder, &b, err) != 0 || write_tokenizer_config(m, &v, folder, &b, err) != 0 ||
	    write_generation(&v, folder, &b, err) != 0 ? -1 : 0;

	buf_free(&b);
	free(v.tokens);
	free(v.merges);
	free(v.types);
	return r;
}

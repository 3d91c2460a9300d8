#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/hf.h"
#include "model/json_file.h"
#include "model/vocab.h"

enum { MOST = 1 << 24, MOST_PADDING = 1 << 16 };        /* bound of every size */

/* config.json */

static int size_of(const cJSON *j, const char *key, int *v, struct err *err)
{
	const cJSON *e = json_get(j, key);
	uint64_t n;

	if (!e && *v > 0)
		return 0;       /* the default */
	if (!e)
		return err_set(err, "config.json: \"%s\" is missing", key);
	if (!json_whole(e, &n) || n < 1 || n > MOST)
		return err_set(err, "config.json: \"%s\" is no whole number from 1 to %d", key, MOST);
	*v = (int)n;
	return 0;
}

static int real_of(const cJSON *j, const char *key, double *v, struct err *err)
{
	const cJSON *e = json_get(j, key);

	if (!e)
		return 0;
	if (!cJSON_IsNumber(e) || !(e->valuedouble > 0 && e->valuedouble <= 1e30))
		return err_set(err, "config.json: \"%s\" is no positive number", key);
	*v = e->valuedouble;
	return 0;
}

static bool string_is(const cJSON *e, const char *s)
{
	return cJSON_IsString(e) && strcmp(e->valuestring, s) == 0;
}

/* "rope_scaling", or "rope_parameters" in newer files, which has the base too. */
static int read_rope(struct hf *h, const cJSON *j, struct err *err)
{
	const cJSON *rope = json_get(j, "rope_parameters"), *type;
	double base = 10000;

	if (!rope)
		rope = json_get(j, "rope_scaling");
	if (real_of(j, "rope_theta", &base, err) != 0 || real_of(rope, "rope_theta", &base, err) != 0)
		return -1;
	h->config.rope_base = (float)base;
	type = json_get(rope, "rope_type");
	if (!type)
		type = json_get(rope, "type");
	if (!type || string_is(type, "default"))
		return 0;
	if (string_is(type, "linear")) {
		double factor = 0;

		if (real_of(rope, "factor", &factor, err) != 0)
			return -1;
		h->config.rope_scale = (float)factor;
		return h->config.rope_scale > 0 ? 0 : err_set(err, "config.json: rope scaling lacks its factor");
	}
	if (!string_is(type, "llama3"))
		return err_set(err, "config.json: rope scaling of this kind is not supported; \"llama3\" and "
		    "\"linear\" are");
	if (real_of(rope, "factor", &h->rope.factor, err) != 0 ||
	    real_of(rope, "low_freq_factor", &h->rope.low, err) != 0 ||
	    real_of(rope, "high_freq_factor", &h->rope.high, err) != 0 ||
	    real_of(rope, "original_max_position_embeddings", &h->rope.original, err) != 0)
		return -1;
	if (!(h->rope.factor > 0 && h->rope.low > 0 && h->rope.high > h->rope.low && h->rope.original > 0))
		return err_set(err, "config.json: rope scaling lacks a setting, or they do not fit together");
	return 0;
}

/* Mistral's tensors are a llama's. */
static int read_type(struct hf *h, const cJSON *j, struct err *err)
{
	const cJSON *type = json_get(j, "model_type");

	if (!string_is(type, "llama") && !string_is(type, "mistral") && !string_is(type, "qwen2"))
		return err_set(err, "config.json: the model's type is not \"llama\", \"mistral\" or \"qwen2\"");
	if (cJSON_IsTrue(json_get(j, "mlp_bias")))
		return err_set(err, "config.json: \"mlp_bias\" is not supported");
	h->config.arch = string_is(type, "qwen2") ? "qwen2" : "llama";
	h->config.rope_layout = string_is(type, "qwen2") ? ROPE_HALVES : ROPE_PAIRS;
	h->biased = string_is(type, "llama") && cJSON_IsTrue(json_get(j, "attention_bias"));
	return 0;
}

/* Within a window attention is full: the context ends with it (model.h). */
static int read_window(struct hf *h, const cJSON *j, struct err *err)
{
	const cJSON *window = json_get(j, "sliding_window");
	int n = 0;

	if (!cJSON_IsNumber(window) || string_is(json_get(j, "model_type"), "llama") ||
	    (strcmp(h->config.arch, "qwen2") == 0 && !cJSON_IsTrue(json_get(j, "use_sliding_window"))))
		return 0;
	if (size_of(j, "sliding_window", &n, err) != 0)
		return -1;
	if (n < h->config.context)
		h->config.context = n;
	return 0;
}

static int read_config(struct hf *h, const cJSON *j, struct err *err)
{
	struct model_config *c = &h->config;
	const cJSON *act = json_get(j, "hidden_act");
	double eps = 1e-6;

	if (read_type(h, j, err) != 0)
		return -1;
	if (act && !string_is(act, "silu"))
		return err_set(err, "config.json: \"hidden_act\" is not \"silu\"");
	if (size_of(j, "num_hidden_layers", &c->layers, err) != 0 ||
	    size_of(j, "hidden_size", &c->width, err) != 0 ||
	    size_of(j, "intermediate_size", &c->ffn, err) != 0 ||
	    size_of(j, "vocab_size", &c->vocab, err) != 0 ||
	    size_of(j, "max_position_embeddings", &c->context, err) != 0 ||
	    size_of(j, "num_attention_heads", &c->heads, err) != 0)
		return -1;
	c->kv_heads = c->heads;
	c->head_size = c->width / c->heads;
	if (size_of(j, "num_key_value_heads", &c->kv_heads, err) != 0 ||
	    size_of(j, "head_dim", &c->head_size, err) != 0 ||
	    real_of(j, "rms_norm_eps", &eps, err) != 0)
		return -1;
	if (c->head_size % 2 || c->heads % c->kv_heads || (int64_t)c->heads * c->head_size > MOST)
		return err_set(err, "config.json: %d heads of %d elements, %d of keys and values, are not possible",
		    c->heads, c->head_size, c->kv_heads);
	c->norm_eps = (float)eps;
	c->rope_dims = c->head_size;
	c->rope_scale = 1;
	c->tied = cJSON_IsTrue(json_get(j, "tie_word_embeddings"));
	return read_window(h, j, err) != 0 ? -1 : read_rope(h, j, err);
}

/* tokenizer.json */

static char *keep(struct hf *h, const char *s)
{
	return arena_strndup(&h->text, s, strlen(s));
}

/* What a pre-tokenizer is made of. */
struct cut {
	bool bytes, regex, digits, unknown;
	const char *split;
};

static void read_cut(const cJSON *p, struct cut *c, int depth)
{
	const cJSON *type = json_get(p, "type"), *e;

	if (string_is(type, "Sequence") && depth < 4) {
		cJSON_ArrayForEach(e, json_get(p, "pretokenizers"))
			read_cut(e, c, depth + 1);
	} else if (string_is(type, "ByteLevel")) {
		c->bytes = true;
		c->regex = c->regex || !cJSON_IsFalse(json_get(p, "use_regex"));
		c->unknown = c->unknown || cJSON_IsTrue(json_get(p, "add_prefix_space"));
	} else if (string_is(type, "Digits") && cJSON_IsTrue(json_get(p, "individual_digits"))) {
		c->digits = true;
	} else if (string_is(type, "Split") && string_is(json_get(p, "behavior"), "Isolated") &&
	    !cJSON_IsTrue(json_get(p, "invert")) &&
	    cJSON_IsString((e = json_get(json_get(p, "pattern"), "Regex")))) {
		if (strcmp(e->valuestring, hf_split_digits) == 0)
			c->digits = true;
		else if (c->split)
			c->unknown = true;
		else
			c->split = e->valuestring;
	} else {
		c->unknown = true;
	}
}

static const char *known_cut(const cJSON *p)
{
	struct cut c = { 0 };

	read_cut(p, &c, 0);
	if (c.unknown || !c.bytes)
		return NULL;
	if (c.split && !c.regex && strcmp(c.split, hf_split_gpt2) == 0) {
		c.split = NULL;
		c.regex = true;
	}
	if (!c.split)
		return !c.regex ? NULL : c.digits ? "smollm" : "gpt-2";
	if (c.regex || c.digits)
		return NULL;
	return strcmp(c.split, hf_split_llama3) == 0 ? "llama-bpe" :
	    strcmp(c.split, hf_split_qwen2) == 0 ? "qwen2" : NULL;
}

static int add_token(struct hf *h, const char *text, const cJSON *id, int32_t type, struct err *err)
{
	uint64_t i;

	if (!json_whole(id, &i) || i >= (uint64_t)h->config.vocab)
		return err_set(err, "tokenizer.json: a token's number is none below config.json's vocab_size, %d",
		    h->config.vocab);
	if (h->tokens[i] && strcmp(h->tokens[i], text) != 0)
		return err_set(err, "tokenizer.json: number %d stands for two tokens", (int)i);
	h->tokens[i] = keep(h, text);
	h->types[i] = type;
	return 0;
}

/* SentencePiece: those of bytes, and the unknown one, whatever it was called. */
static void set_spm_types(struct hf *h, const cJSON *unknown)
{
	static const char hex[] = "0123456789ABCDEF";

	for (int i = 0; i < h->config.vocab; i++) {
		const char *s = h->tokens[i];

		if (string_is(unknown, s)) {
			h->types[i] = TYPE_UNKNOWN;
			h->unknown = i;
		} else if (strlen(s) == 6 && strncmp(s, "<0x", 3) == 0 && strchr(hex, s[3]) && strchr(hex, s[4]) &&
		    s[5] == '>') {
			h->types[i] = TYPE_BYTE;
		}
	}
}

static int read_vocab(struct hf *h, const cJSON *j, struct err *err)
{
	const cJSON *vocab = json_get(json_get(j, "model"), "vocab"), *e, *content;
	int n = cJSON_GetArraySize(vocab);

	/* Some rows of an embedding are of no token, but not most of them. */
	if (n < MOST && h->config.vocab > 2 * n + MOST_PADDING)
		return err_set(err, "config.json has a vocab_size of %d, tokenizer.json %d tokens", h->config.vocab, n);
	h->tokens = mem_zalloc((size_t)h->config.vocab, sizeof *h->tokens);
	h->types = mem_zalloc((size_t)h->config.vocab, sizeof *h->types);
	if (!cJSON_IsObject(vocab) || !vocab->child)
		return err_set(err, "tokenizer.json has no vocabulary");
	cJSON_ArrayForEach(e, vocab)
		if (add_token(h, e->string, e, TYPE_NORMAL, err) != 0)
			return -1;
	cJSON_ArrayForEach(e, json_get(j, "added_tokens")) {
		content = json_get(e, "content");
		if (!cJSON_IsString(content) || !*content->valuestring)
			return err_set(err, "tokenizer.json: an added token has no text");
		if (add_token(h, content->valuestring, json_get(e, "id"),
		    cJSON_IsTrue(json_get(e, "special")) ? TYPE_CONTROL : TYPE_USER, err) != 0)
			return -1;
	}
	for (int i = 0; i < h->config.vocab; i++)
		if (!h->tokens[i]) {
			h->tokens[i] = arena_printf(&h->text, "[PAD%d]", i);
			h->types[i] = TYPE_UNUSED;
		}
	h->unknown = -1;
	if (h->spm)
		set_spm_types(h, json_get(json_get(j, "model"), "unk_token"));
	return 0;
}

/* "left right", or ["left", "right"]. */
static int read_merges(struct hf *h, const cJSON *j, struct err *err)
{
	const cJSON *merges = json_get(json_get(j, "model"), "merges"), *e;

	if (!cJSON_IsArray(merges))
		return err_set(err, "tokenizer.json has no merges");
	h->merges = mem_zalloc((size_t)cJSON_GetArraySize(merges) + 1, sizeof *h->merges);
	cJSON_ArrayForEach(e, merges) {
		const cJSON *left = cJSON_IsArray(e) ? e->child : NULL, *right = left ? left->next : NULL;

		if (cJSON_IsString(e))
			h->merges[h->nmerges++] = keep(h, e->valuestring);
		else if (cJSON_IsString(left) && cJSON_IsString(right) && !right->next)
			h->merges[h->nmerges++] =
			    arena_printf(&h->text, "%s %s", left->valuestring, right->valuestring);
		else
			return err_set(err, "tokenizer.json: merge %zu is no pair of texts", h->nmerges + 1);
	}
	return 0;
}

/* What is done to a text before SentencePiece's merges. */
struct spaces {
	bool prefix, replaced, unknown;
};

static void read_spaces(const cJSON *n, struct spaces *s, int depth)
{
	const cJSON *type = json_get(n, "type"), *e;

	if (string_is(type, "Sequence") && depth < 4)
		cJSON_ArrayForEach(e, json_get(n, "normalizers"))
			read_spaces(e, s, depth + 1);
	else if (string_is(type, "Prepend") && string_is(json_get(n, "prepend"), HF_SPACE))
		s->prefix = true;
	else if (string_is(type, "Replace") && string_is(json_get(json_get(n, "pattern"), "String"), " ") &&
	    string_is(json_get(n, "content"), HF_SPACE))
		s->replaced = true;
	else
		s->unknown = true;
}

/* The same as a pre-tokenizer, in newer files. A space before the first text
 * only, and not behind special tokens, is not what tokenizer.h does. */
static void read_metaspace(const cJSON *p, struct spaces *s)
{
	const cJSON *scheme = json_get(p, "prepend_scheme");

	s->unknown = s->unknown || s->replaced || !string_is(json_get(p, "type"), "Metaspace") ||
	    !string_is(json_get(p, "replacement"), HF_SPACE) || !cJSON_IsFalse(json_get(p, "split")) ||
	    (!string_is(scheme, "always") && !string_is(scheme, "never"));
	s->replaced = true;
	s->prefix = string_is(scheme, "always");
}

static int check_spm(struct hf *h, const cJSON *normalizer, const cJSON *pre, struct err *err)
{
	struct spaces s = { 0 };

	if (normalizer)
		read_spaces(normalizer, &s, 0);
	if (pre)
		read_metaspace(pre, &s);
	if (s.unknown || !s.replaced)
		return err_set(err, "tokenizer.json: with \"byte_fallback\" only SentencePiece's spaces are "
		    "supported: before each text or none, and all as U+2581");
	h->pre = "default";
	h->spm = true;
	h->space_prefix = s.prefix;
	return 0;
}

/* Texts come as they are, or of qwen2 as NFC, as in tokenizer.c. */
static int check_model(struct hf *h, const cJSON *j, struct err *err)
{
	const cJSON *model = json_get(j, "model"), *prefix = json_get(model, "continuing_subword_prefix"),
	    *suffix = json_get(model, "end_of_word_suffix"), *normalizer = json_get(j, "normalizer");

	if (!string_is(json_get(model, "type"), "BPE") || (prefix && !string_is(prefix, "")) ||
	    (suffix && !string_is(suffix, "")))
		return err_set(err, "tokenizer.json: only byte-level BPE and SentencePiece's BPE are supported");
	if (cJSON_IsTrue(json_get(model, "byte_fallback")))
		return check_spm(h, normalizer, json_get(j, "pre_tokenizer"), err);
	if (!(h->pre = known_cut(json_get(j, "pre_tokenizer"))))
		return err_set(err, "tokenizer.json: the pre-tokenizer is none of smollm, gpt-2, llama-bpe, qwen2");
	if (normalizer ? strcmp(h->pre, "qwen2") != 0 || !string_is(json_get(normalizer, "type"), "NFC") :
	    strcmp(h->pre, "qwen2") == 0)
		return err_set(err, "tokenizer.json: %s", normalizer ? "a normalizer is not supported" :
		    "the pre-tokenizer is qwen2's, but the normalizer NFC is missing");
	return 0;
}

/* Whether a text gets a first token: the template of one text, or of a
 * sequence's parts, begins with it. */
static bool starts_with_special(const cJSON *p, int depth)
{
	const cJSON *e, *single = json_get(p, "single");

	if (string_is(json_get(p, "type"), "Sequence") && depth < 4)
		cJSON_ArrayForEach(e, json_get(p, "processors"))
			if (starts_with_special(e, depth + 1))
				return true;
	return cJSON_IsArray(single) && json_get(single->child, "SpecialToken");
}

/* The number of a token that tokenizer_config.json names; -1: none. */
static int32_t named_token(const struct hf *h, const cJSON *j, const char *key)
{
	const cJSON *e = json_get(j, key);

	if (cJSON_IsObject(e))
		e = json_get(e, "content");
	for (int i = 0; cJSON_IsString(e) && i < h->config.vocab; i++)
		if (strcmp(h->tokens[i], e->valuestring) == 0)
			return i;
	return -1;
}

/* Otherwise the one that config.json numbers; of several, the first. */
static int32_t special_token(const struct hf *h, const cJSON *settings, const char *name, const cJSON *config,
    const char *key)
{
	const cJSON *e = json_get(config, key);
	int32_t id = named_token(h, settings, name);
	uint64_t v;

	if (cJSON_IsArray(e))
		e = e->child;
	return id < 0 && json_whole(e, &v) && v < (uint64_t)h->config.vocab ? (int32_t)v : id;
}

/* A text, or a list of named ones. */
static void find_template(struct hf *h, const cJSON *settings)
{
	const cJSON *t = json_get(settings, "chat_template"), *e;

	if (cJSON_IsArray(t)) {
		const cJSON *list = t;

		t = NULL;
		cJSON_ArrayForEach(e, list)
			if (string_is(json_get(e, "name"), "default"))
				t = json_get(e, "template");
	}
	if (cJSON_IsString(t))
		h->chat_template = keep(h, t->valuestring);
}

static int read_settings(struct hf *h, const char *folder, const cJSON *config, const cJSON *tokenizer,
    struct err *err)
{
	int there;
	size_t len;
	cJSON *settings = json_object_file(folder, "tokenizer_config.json", &there, err);
	const cJSON *adds;
	char *template;

	if (!settings && there)
		return -1;
	h->bos = special_token(h, settings, "bos_token", config, "bos_token_id");
	h->eos = special_token(h, settings, "eos_token", config, "eos_token_id");
	h->padding = special_token(h, settings, "pad_token", config, "pad_token_id");
	if (h->unknown < 0)
		h->unknown = named_token(h, settings, "unk_token");
	adds = json_get(settings, "add_bos_token");
	h->adds_bos = h->bos >= 0 && (cJSON_IsBool(adds) ? cJSON_IsTrue(adds) :
	    starts_with_special(json_get(tokenizer, "post_processor"), 0));
	find_template(h, settings);
	cJSON_Delete(settings);
	template = text_file(folder, "chat_template.jinja", &len, &there, err);
	if (!template)
		return there ? -1 : 0;
	if (strlen(template) != len) {
		free(template);
		return err_set(err, "chat_template.jinja has a NUL byte in it");
	}
	h->chat_template = keep(h, template);
	free(template);
	return 0;
}

static const char *folder_name(struct hf *h, const char *folder)
{
	size_t end = strlen(folder), start;

	while (end > 0 && folder[end - 1] == '/')
		end--;
	for (start = end; start > 0 && folder[start - 1] != '/'; start--)
		;
	return end > start ? arena_strndup(&h->text, folder + start, end - start) : "model";
}

struct hf *hf_read(const char *folder, struct err *err)
{
	struct hf *h = mem_zalloc(1, sizeof *h);
	cJSON *config = NULL, *tokenizer = NULL;
	bool done = (config = json_object_file(folder, "config.json", NULL, err)) &&
	    read_config(h, config, err) == 0 &&
	    (tokenizer = json_object_file(folder, "tokenizer.json", NULL, err)) &&
	    check_model(h, tokenizer, err) == 0 && read_vocab(h, tokenizer, err) == 0 &&
	    read_merges(h, tokenizer, err) == 0 && (!h->spm || hf_spm_scores(h, err) == 0) &&
	    read_settings(h, folder, config, tokenizer, err) == 0;

	h->name = folder_name(h, folder);
	cJSON_Delete(config);
	cJSON_Delete(tokenizer);
	if (done)
		return h;
	hf_free(h);
	return NULL;
}

void hf_free(struct hf *h)
{
	if (!h)
		return;
	free(h->tokens);
	free(h->types);
	free(h->merges);
	free(h->scores);
	arena_free(&h->text);
	free(h);
}

static int put_id(struct gguf_writer *w, const char *key, int32_t id, struct err *err)
{
	return id < 0 ? 0 : gguf_put_u32(w, key, (uint32_t)id, err);
}

static int put_sizes(const struct model_config *c, struct gguf_writer *w, struct err *err)
{
	const struct {
		const char *key;
		int value;
	} all[] = {
		{ "block_count", c->layers }, { "context_length", c->context }, { "embedding_length", c->width },
		{ "feed_forward_length", c->ffn }, { "attention.head_count", c->heads },
		{ "attention.head_count_kv", c->kv_heads }, { "attention.key_length", c->head_size },
		{ "attention.value_length", c->head_size }, { "rope.dimension_count", c->rope_dims },
		{ "vocab_size", c->vocab },
	};
	char key[80];

	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		snprintf(key, sizeof key, "%s.%s", c->arch, all[i].key);
		if (gguf_put_u32(w, key, (uint32_t)all[i].value, err) != 0)
			return -1;
	}
	snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", c->arch);
	if (gguf_put_f32(w, key, c->norm_eps, err) != 0)
		return -1;
	snprintf(key, sizeof key, "%s.rope.freq_base", c->arch);
	if (gguf_put_f32(w, key, c->rope_base, err) != 0)
		return -1;
	if (c->rope_scale == 1)
		return 0;
	snprintf(key, sizeof key, "%s.rope.scaling.type", c->arch);
	if (gguf_put_str(w, key, "linear", err) != 0)
		return -1;
	snprintf(key, sizeof key, "%s.rope.scaling.factor", c->arch);
	return gguf_put_f32(w, key, c->rope_scale, err);
}

static int put_merges(const struct hf *h, struct gguf_writer *w, struct err *err)
{
	return h->spm ? gguf_put_f32s(w, "tokenizer.ggml.scores", h->scores, (size_t)h->config.vocab, err) ||
	    gguf_put_bool(w, "tokenizer.ggml.add_space_prefix", h->space_prefix, err) :
	    gguf_put_strs(w, "tokenizer.ggml.merges", h->merges, h->nmerges, err);
}

int hf_put_metadata(const struct hf *h, struct gguf_writer *w, struct err *err)
{
	const size_t n = (size_t)h->config.vocab;

	return gguf_put_str(w, "general.architecture", h->config.arch, err) ||
	    gguf_put_str(w, "general.name", h->name, err) ||
	    put_sizes(&h->config, w, err) ||
	    gguf_put_str(w, "tokenizer.ggml.model", h->spm ? "llama" : "gpt2", err) ||
	    gguf_put_str(w, "tokenizer.ggml.pre", h->pre, err) ||
	    gguf_put_strs(w, "tokenizer.ggml.tokens", h->tokens, n, err) ||
	    gguf_put_i32s(w, "tokenizer.ggml.token_type", h->types, n, err) ||
	    put_merges(h, w, err) ||
	    put_id(w, "tokenizer.ggml.bos_token_id", h->bos, err) ||
	    put_id(w, "tokenizer.ggml.eos_token_id", h->eos, err) ||
	    put_id(w, "tokenizer.ggml.unknown_token_id", h->unknown, err) ||
	    put_id(w, "tokenizer.ggml.padding_token_id", h->padding, err) ||
	    gguf_put_bool(w, "tokenizer.ggml.add_bos_token", h->adds_bos, err) ||
	    (h->chat_template && gguf_put_str(w, "tokenizer.chat_template", h->chat_template, err)) ? -1 : 0;
}

/*
 * A random model of any small shape and architecture, with a byte-level
 * vocabulary and ChatML, written to a temporary file.
 */
#ifndef MR_TEST_TINY_MODEL_H
#define MR_TEST_TINY_MODEL_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "model/gguf.h"

enum { TINY_VOCAB = 3 + 256 + 1, TINY_END = 2 };

struct tiny {
	int layers, width, heads, kv_heads, head_size, ffn, context, rope_dims;
	enum tensor_type type;  /* of the matrices */
	bool untied;
	uint64_t seed;
	const char *arch;       /* NULL: llama */
	bool qkv_bias, o_bias;
	double rope_factor;     /* linear; 0: none */
};

/* Changes the file on its way out, for the tests of bad files. */
struct tiny_change {
	const char *drop;               /* a metadata key that is left out */
	const char *key;                /* one that is replaced or added */
	double value;
	const char *text;               /* the value, where it is a text */
	const char *drop_tensor, *add_tensor, *reshape_tensor, *poison_tensor;
};

static inline const char *tiny_arch(const struct tiny *t)
{
	return t->arch ? t->arch : "llama";
}

static inline void tiny_vocab(struct gguf_writer *w, struct err *err)
{
	static const char *tokens[TINY_VOCAB] = { "<|endoftext|>", "<|im_start|>", "<|im_end|>" };
	static char text[256][5];
	static int32_t types[TINY_VOCAB] = { 3, 3, 3 };
	unsigned next = 256;
	for (unsigned b = 0; b < 256; b++) {
		const bool printed = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
		text[b][utf8_encode(printed ? b : next++, text[b])] = '\0';
		tokens[3 + b] = text[b];
		types[3 + b] = 1;
	}
	tokens[TINY_VOCAB - 1] = "th";
	types[TINY_VOCAB - 1] = 1;
	gguf_put_str(w, "tokenizer.ggml.model", "gpt2", err);
	gguf_put_str(w, "tokenizer.ggml.pre", "smollm", err);
	gguf_put_strs(w, "tokenizer.ggml.tokens", tokens, TINY_VOCAB, err);
	gguf_put_i32s(w, "tokenizer.ggml.token_type", types, TINY_VOCAB, err);
	gguf_put_strs(w, "tokenizer.ggml.merges", (const char *const[]){ "t h" }, 1, err);
	gguf_put_u32(w, "tokenizer.ggml.bos_token_id", 1, err);
	gguf_put_u32(w, "tokenizer.ggml.eos_token_id", TINY_END, err);
	gguf_put_bool(w, "tokenizer.ggml.add_bos_token", false, err);
	gguf_put_str(w, "tokenizer.chat_template", "{% for m in messages %}{{'<|im_start|>' + m['role'] + "
	    "'\n' + m['content'] + '<|im_end|>' + '\n'}}{% endfor %}", err);
}

static inline void tiny_extras(struct gguf_writer *w, const struct tiny *t, const struct tiny_change *c,
    struct err *err)
{
	static const char *const reals[] = { "rope.scaling.factor", "rope.scale_linear",
		"rope.scaling.attn_factor" };
	static const char *const sizes[] = { "expert_count", "attention.sliding_window" };
	const bool typed = c->key && strcmp(c->key, "rope.scaling.type") == 0;
	char key[80];
	snprintf(key, sizeof key, "%s.rope.scaling.type", tiny_arch(t));
	if (typed || t->rope_factor != 0)
		gguf_put_str(w, key, typed ? c->text : "linear", err);
	snprintf(key, sizeof key, "%s.rope.scaling.factor", tiny_arch(t));
	if (t->rope_factor != 0)
		gguf_put_f32(w, key, (float)t->rope_factor, err);
	snprintf(key, sizeof key, "%s.%s", tiny_arch(t), c->key ? c->key : "");
	for (size_t i = 0; c->key && i < sizeof reals / sizeof *reals; i++)
		if (strcmp(c->key, reals[i]) == 0)
			gguf_put_f32(w, key, (float)c->value, err);
	for (size_t i = 0; c->key && i < sizeof sizes / sizeof *sizes; i++)
		if (strcmp(c->key, sizes[i]) == 0)
			gguf_put_u32(w, key, (uint32_t)c->value, err);
}

static inline void tiny_sizes(struct gguf_writer *w, const struct tiny *t, const struct tiny_change *c,
    struct err *err)
{
	const struct {
		const char *key;
		double value;
		bool real;
	} all[] = {
		{ "block_count", t->layers, false },
		{ "context_length", t->context, false },
		{ "embedding_length", t->width, false },
		{ "feed_forward_length", t->ffn, false },
		{ "attention.head_count", t->heads, false },
		{ "attention.head_count_kv", t->kv_heads, false },
		{ "attention.key_length", t->head_size, false },
		{ "attention.layer_norm_rms_epsilon", 1e-5, true },
		{ "rope.freq_base", 10000, true },
		{ "rope.dimension_count", t->rope_dims, false },
	};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		char key[80];
		const bool changed = c->key && strcmp(c->key, all[i].key) == 0;
		const double value = changed ? c->value : all[i].value;
		snprintf(key, sizeof key, "%s.%s", tiny_arch(t), all[i].key);
		if (c->drop && strcmp(c->drop, all[i].key) == 0)
			continue;
		if (all[i].real)
			gguf_put_f32(w, key, (float)value, err);
		else
			gguf_put_u32(w, key, (uint32_t)value, err);
	}
	gguf_put_str(w, "general.architecture",
	    c->key && strcmp(c->key, "architecture") == 0 ? c->text : tiny_arch(t), err);
	tiny_extras(w, t, c, err);
}

struct tiny_list {
	struct gguf_out_tensor t[64];
	char names[64][48];
	size_t n;
};

static inline void tiny_add(struct tiny_list *l, const struct tiny_change *c, const char *name, int rows,
    int cols, enum tensor_type type)
{
	if (c->drop_tensor && strcmp(c->drop_tensor, name) == 0)
		return;
	if (c->reshape_tensor && strcmp(c->reshape_tensor, name) == 0)
		rows = rows ? rows + 1 : 2;
	snprintf(l->names[l->n], sizeof l->names[0], "%s", name);
	l->t[l->n] = (struct gguf_out_tensor){ l->names[l->n], rows ? 2 : 1, { cols, rows ? rows : 1, 1, 1 },
		type };
	l->n++;
}

static inline void tiny_tensors(struct tiny_list *l, const struct tiny *t, const struct tiny_change *c)
{
	const int q = t->heads * t->head_size, kv = t->kv_heads * t->head_size;
	const struct {
		const char *name;
		int rows, cols;
	} all[] = {
		{ "attn_norm", 0, t->width }, { "attn_q", q, t->width }, { "attn_k", kv, t->width },
		{ "attn_v", kv, t->width }, { "attn_output", t->width, q }, { "ffn_norm", 0, t->width },
		{ "ffn_gate", t->ffn, t->width }, { "ffn_up", t->ffn, t->width },
		{ "ffn_down", t->width, t->ffn },
	};
	const struct {
		const char *name;
		int n;
		bool there;
	} biases[] = {
		{ "attn_q", q, t->qkv_bias }, { "attn_k", kv, t->qkv_bias }, { "attn_v", kv, t->qkv_bias },
		{ "attn_output", t->width, t->o_bias },
	};
	tiny_add(l, c, "token_embd.weight", TINY_VOCAB, t->width, t->type);
	tiny_add(l, c, "output_norm.weight", 0, t->width, TENSOR_F32);
	if (t->untied)
		tiny_add(l, c, "output.weight", TINY_VOCAB, t->width, t->type);
	for (int i = 0; i < t->layers; i++) {
		char name[48];
		for (size_t j = 0; j < sizeof all / sizeof *all; j++) {
			snprintf(name, sizeof name, "blk.%d.%s.weight", i, all[j].name);
			tiny_add(l, c, name, all[j].rows, all[j].cols, all[j].rows ? t->type : TENSOR_F32);
		}
		for (size_t j = 0; j < sizeof biases / sizeof *biases; j++) {
			snprintf(name, sizeof name, "blk.%d.%s.bias", i, biases[j].name);
			if (biases[j].there)
				tiny_add(l, c, name, 0, biases[j].n, TENSOR_F32);
		}
	}
	if (c->add_tensor)
		tiny_add(l, c, c->add_tensor, 0, t->width, TENSOR_F32);
}

static inline void tiny_fill(const struct tiny *t, const struct tiny_change *c,
    const struct gguf_out_tensor *o, float *v)
{
	const struct rng r = rng_stream(t->seed, o->name, "tiny", 0);
	const int64_t n = o->dims[0] * o->dims[1];
	const bool vector = o->ndims == 1, embedding = strcmp(o->name, "token_embd.weight") == 0;
	const double least = strstr(o->name, ".bias") ? -1 : 0.5;
	/* matrices keep the size of what they multiply; tokens are far apart */
	const double scale = embedding ? 2 : 3 / sqrt((double)o->dims[0]);
	for (int64_t i = 0; i < n; i++) {
		const double u = rng_uniform(&r, (uint64_t)i);
		v[i] = (float)(vector ? least + (least < 0 ? 2 : 1) * u : (2 * u - 1) * scale);
	}
	if (c->poison_tensor && strcmp(c->poison_tensor, o->name) == 0)
		v[n - 1] = NAN;
}

/* Returns the file's name (of size at least 64), or exits. */
static inline const char *tiny_write(char *path, const struct tiny *t, const struct tiny_change *change)
{
	static int count;
	static const struct tiny_change none;
	const struct tiny_change *c = change ? change : &none;
	struct tiny_list l = { .n = 0 };
	struct err err = { "" };
	snprintf(path, 64, "/tmp/mr-tiny-%ld-%d.gguf", (long)getpid(), count++);
	tiny_tensors(&l, t, c);
	struct gguf_writer *w = gguf_create(path, NULL, NULL, l.t, l.n, &err);
	if (!w) {
		printf("not ok - %s: %s\n", path, err.msg);
		exit(1);
	}
	tiny_sizes(w, t, c, &err);
	tiny_vocab(w, &err);
	for (size_t i = 0; i < l.n; i++) {
		float *v = mem_zalloc((size_t)(l.t[i].dims[0] * l.t[i].dims[1]), sizeof *v);
		tiny_fill(t, c, &l.t[i], v);
		gguf_put_tensor(w, v, &err);
		free(v);
	}
	if (gguf_commit(w, &err) != 0) {
		printf("not ok - %s: %s\n", path, err.msg);
		exit(1);
	}
	return path;
}

#endif

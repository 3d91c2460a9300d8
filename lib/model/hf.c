#include "model/hf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

const char hf_split_digits[] = "[0-9]";
const char hf_split_gpt2[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const char hf_split_llama3[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const char hf_split_qwen2[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

static void set(struct hf_tensor *t, const char *gguf, const char *hf, int64_t rows, int64_t cols)
{
	snprintf(t->gguf, sizeof t->gguf, "%s", gguf);
	snprintf(t->hf, sizeof t->hf, "%s", hf);
	t->rows = rows;
	t->cols = cols;
}

struct hf_tensor *hf_tensors(const struct model_config *c, bool biased, size_t *n)
{
	const int64_t q = (int64_t)c->heads * c->head_size, kv = (int64_t)c->kv_heads * c->head_size;
	const bool pairs = c->rope_layout == ROPE_PAIRS, qkv = biased || !pairs;
	const struct {
		const char *gguf, *hf;
		int64_t rows, cols;
		int heads;
		bool bias;
	} parts[] = {
		{ "attn_norm", "input_layernorm", 0, c->width, 0, false },
		{ "attn_q", "self_attn.q_proj", q, c->width, pairs ? c->heads : 0, qkv },
		{ "attn_k", "self_attn.k_proj", kv, c->width, pairs ? c->kv_heads : 0, qkv },
		{ "attn_v", "self_attn.v_proj", kv, c->width, 0, qkv },
		{ "attn_output", "self_attn.o_proj", c->width, q, 0, biased && pairs },
		{ "ffn_norm", "post_attention_layernorm", 0, c->width, 0, false },
		{ "ffn_gate", "mlp.gate_proj", c->ffn, c->width, 0, false },
		{ "ffn_up", "mlp.up_proj", c->ffn, c->width, 0, false },
		{ "ffn_down", "mlp.down_proj", c->width, c->ffn, 0, false },
	};
	const size_t each = sizeof parts / sizeof *parts;
	struct hf_tensor *t = mem_zalloc(3 + (size_t)c->layers * 2 * each, sizeof *t);

	*n = 0;
	set(&t[(*n)++], "token_embd.weight", "model.embed_tokens.weight", c->vocab, c->width);
	for (int l = 0; l < c->layers; l++)
		for (size_t i = 0; i < 2 * each; i++) {
			const bool is_bias = i % 2;
			const char *end = is_bias ? ".bias" : ".weight";
			char gguf[64], hf[80];

			if (is_bias && !parts[i / 2].bias)
				continue;
			snprintf(gguf, sizeof gguf, "blk.%d.%s%s", l, parts[i / 2].gguf, end);
			snprintf(hf, sizeof hf, "model.layers.%d.%s%s", l, parts[i / 2].hf, end);
			t[*n].heads = parts[i / 2].heads;
			set(&t[(*n)++], gguf, hf, is_bias ? 0 : parts[i / 2].rows,
			    is_bias ? parts[i / 2].rows : parts[i / 2].cols);
		}
	set(&t[(*n)++], "output_norm.weight", "model.norm.weight", 0, c->width);
	if (!c->tied)
		set(&t[(*n)++], "output.weight", "lm_head.weight", c->vocab, c->width);
	return t;
}

bool hf_model_biased(const struct model *m)
{
	for (int i = 0; i < m->config.layers; i++) {
		const struct layer_tensors *l = &m->layer[i];

		if (l->q_bias || l->k_bias || l->v_bias || l->o_bias)
			return true;
	}
	return false;
}

int64_t hf_row_of_gguf(int64_t r, int head_size)
{
	int64_t head = r / head_size, at = r % head_size;

	return head * head_size + at % 2 * (head_size / 2) + at / 2;
}

int64_t hf_gguf_row_of(int64_t r, int head_size)
{
	int64_t head = r / head_size, at = r % head_size, half = head_size / 2;

	return head * head_size + at % half * 2 + at / half;
}

void hf_rope_factors(const struct hf_rope *r, double base, int n, float *factor)
{
	for (int i = 0; i < n; i++) {
		double length = 2 * 3.14159265358979323846 * pow(base, (double)i / n);   /* of the wave */
		double smooth = (r->original / length - r->low) / (r->high - r->low);

		if (length < r->original / r->high)
			factor[i] = 1;
		else if (length > r->original / r->low)
			factor[i] = (float)r->factor;
		else
			factor[i] = (float)(1 / ((1 - smooth) / r->factor + smooth));
	}
}

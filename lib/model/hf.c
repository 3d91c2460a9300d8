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

struct hf_tensor *hf_tensors(const struct model_config *c, size_t *n)
{
	const int64_t q = (int64_t)c->heads * c->head_size, kv = (int64_t)c->kv_heads * c->head_size;
	const struct {
		const char *gguf, *hf;
		int64_t rows, cols;
		int heads;
	} parts[] = {
		{ "attn_norm", "input_layernorm", 0, c->width, 0 },
		{ "attn_q", "self_attn.q_proj", q, c->width, c->heads },
		{ "attn_k", "self_attn.k_proj", kv, c->width, c->kv_heads },
		{ "attn_v", "self_attn.v_proj", kv, c->width, 0 },
		{ "attn_output", "self_attn.o_proj", c->width, q, 0 },
		{ "ffn_norm", "post_attention_layernorm", 0, c->width, 0 },
		{ "ffn_gate", "mlp.gate_proj", c->ffn, c->width, 0 },
		{ "ffn_up", "mlp.up_proj", c->ffn, c->width, 0 },
		{ "ffn_down", "mlp.down_proj", c->width, c->ffn, 0 },
	};
	struct hf_tensor *t = mem_zalloc(3 + (size_t)c->layers * (sizeof parts / sizeof *parts), sizeof *t);

	*n = 0;
	set(&t[(*n)++], "token_embd.weight", "model.embed_tokens.weight", c->vocab, c->width);
	for (int l = 0; l < c->layers; l++)
		for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
			char gguf[64], hf[80];

			snprintf(gguf, sizeof gguf, "blk.%d.%s.weight", l, parts[i].gguf);
			snprintf(hf, sizeof hf, "model.layers.%d.%s.weight", l, parts[i].hf);
			t[*n].heads = parts[i].heads;
			set(&t[(*n)++], gguf, hf, parts[i].rows, parts[i].cols);
		}
	set(&t[(*n)++], "output_norm.weight", "model.norm.weight", 0, c->width);
	if (!c->tied)
		set(&t[(*n)++], "output.weight", "lm_head.weight", c->vocab, c->width);
	return t;
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

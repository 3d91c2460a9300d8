#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/outfile.h"
#include "model/hf.h"

int hf_put_file(const char *folder, const char *name, struct buf *b, struct err *err)
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

static bool gives_factors(const struct hf_rope *rope, double base, int n, const float *want)
{
	float *have = mem_zalloc((size_t)n, sizeof *have);
	bool same = true;

	hf_rope_factors(rope, base, n, have);
	for (int i = 0; i < n; i++)
		same = same && fabsf(have[i] - want[i]) <= 1e-4f * want[i];
	free(have);
	return same;
}

/* The file has the factors only; the settings that they come from are known
 * where they are Llama 3's, or those with another original context, a power
 * of two. */
static int find_rope(const struct model *m, struct hf_rope *rope, struct err *err)
{
	const struct gguf_tensor *t = gguf_tensor(m->gguf, "rope_freqs.weight");
	const int n = m->config.rope_dims / 2;
	const float *want = t ? t->data : NULL;

	*rope = (struct hf_rope){ 0, 1, 4, 8192 };
	if (!t)
		return 0;
	for (int i = 0; i < n; i++)
		if ((double)want[i] > rope->factor)
			rope->factor = (double)want[i];
	if (gives_factors(rope, (double)m->config.rope_base, n, want))
		return 0;
	for (rope->original = 64; rope->original <= 1 << 20; rope->original *= 2)
		if (gives_factors(rope, (double)m->config.rope_base, n, want))
			return 0;
	return err_set(err, "rope_freqs.weight is not what Llama 3's settings give; config.json cannot tell it");
}

static int write_config(const struct model *m, const struct hf_vocab *v, enum tensor_type type,
    const char *folder, struct buf *b, struct err *err)
{
	const struct model_config *c = &m->config;
	const bool qwen = strcmp(c->arch, "qwen2") == 0;
	struct hf_rope rope;

	if (c->rope_dims != c->head_size)
		return err_set(err, "%d of %d elements of a head are rotated; Hugging Face's models rotate all",
		    c->rope_dims, c->head_size);
	if (find_rope(m, &rope, err) != 0)
		return -1;
	if (rope.factor > 0 && c->rope_scale != 1)
		return err_set(err, "both rope_freqs.weight and a linear scale are there; config.json cannot tell it");
	buf_printf(b, "{\n  \"architectures\": [\"%s\"],\n  \"model_type\": \"%s\",\n"
	    "  \"vocab_size\": %d,\n  \"hidden_size\": %d,\n  \"intermediate_size\": %d,\n"
	    "  \"num_hidden_layers\": %d,\n  \"num_attention_heads\": %d,\n  \"num_key_value_heads\": %d,\n"
	    "  \"head_dim\": %d,\n  \"max_position_embeddings\": %d,\n  \"hidden_act\": \"silu\",\n"
	    "  \"tie_word_embeddings\": %s", qwen ? "Qwen2ForCausalLM" : "LlamaForCausalLM", c->arch, c->vocab,
	    c->width, c->ffn, c->layers, c->heads, c->kv_heads, c->head_size, c->context,
	    c->tied ? "true" : "false");
	if (qwen)
		buf_adds(b, ",\n  \"use_sliding_window\": false");
	else
		buf_printf(b, ",\n  \"attention_bias\": %s,\n  \"mlp_bias\": false",
		    hf_model_biased(m) ? "true" : "false");
	buf_adds(b, ",\n  \"rms_norm_eps\": ");
	add_float(b, c->norm_eps);
	buf_adds(b, ",\n  \"rope_theta\": ");
	add_float(b, c->rope_base);
	if (rope.factor > 0) {
		buf_adds(b, ",\n  \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": ");
		add_float(b, (float)rope.factor);
		buf_printf(b, ", \"low_freq_factor\": %.1f, \"high_freq_factor\": %.1f, "
		    "\"original_max_position_embeddings\": %.0f}", rope.low, rope.high, rope.original);
	} else if (c->rope_scale != 1) {
		buf_adds(b, ",\n  \"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": ");
		add_float(b, c->rope_scale);
		buf_addc(b, '}');
	} else {
		buf_adds(b, ",\n  \"rope_scaling\": null");
	}
	add_id(b, "bos_token_id", v->bos);
	add_id(b, "eos_token_id", v->eos);
	add_id(b, "pad_token_id", v->padding);
	buf_printf(b, ",\n  \"torch_dtype\": \"%s\"\n}",
	    type == TENSOR_F32 ? "float32" : type == TENSOR_F16 ? "float16" : "bfloat16");
	return hf_put_file(folder, "config.json", b, err);
}

static int write_generation(const struct hf_vocab *v, const char *folder, struct buf *b, struct err *err)
{
	buf_adds(b, "{\n  \"_from_model_config\": true");
	add_id(b, "bos_token_id", v->bos);
	add_id(b, "eos_token_id", v->eos);
	add_id(b, "pad_token_id", v->padding);
	buf_adds(b, "\n}");
	return hf_put_file(folder, "generation_config.json", b, err);
}

int hf_write(const struct model *m, enum tensor_type type, const char *folder, struct err *err)
{
	struct hf_vocab v = { 0 };
	struct buf b = { 0 };
	int r = hf_vocab_read(m->gguf, m->tokenizer, &v, err) != 0 ||
	    write_config(m, &v, type, folder, &b, err) != 0 ||
	    hf_write_tokenizer(&v, m->config.context, folder, err) != 0 ||
	    write_generation(&v, folder, &b, err) != 0 ? -1 : 0;

	buf_free(&b);
	hf_vocab_free(&v);
	return r;
}

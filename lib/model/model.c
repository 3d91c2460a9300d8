#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/kernels/kernels.h"

enum { MOST = 1 << 24 };        /* bound of every size, so that products of two fit 64 bits with room */

/* A text out of the file, safe to print. */
struct shown {
	char s[64];
};

static struct shown show(struct gguf_str text)
{
	struct shown out = { "" };
	for (size_t i = 0; i < text.len && i < sizeof out.s - 1; i++)
		out.s[i] = text.s[i] >= ' ' && text.s[i] <= '~' ? text.s[i] : '?';
	return out;
}

static const struct architecture {
	const char *name;
	enum rope_layout layout;
	bool biased;            /* q, k and v have biases; otherwise they, and o, may */
} architectures[] = {
	{ "llama", ROPE_PAIRS, false },
	{ "qwen2", ROPE_HALVES, true },
};

static const struct architecture *architecture_of(struct gguf_str name)
{
	for (size_t i = 0; i < sizeof architectures / sizeof *architectures; i++)
		if (gguf_str_is(name, architectures[i].name))
			return &architectures[i];
	return NULL;
}

bool model_knows(struct gguf_str arch)
{
	return architecture_of(arch) != NULL;
}

struct key {
	char s[96];
};

/* <architecture>.<key> */
static struct key key_of(const struct model *m, const char *key)
{
	struct key k;
	snprintf(k.s, sizeof k.s, "%s.%s", m->config.arch, key);
	return k;
}

/* The key's value, or *v as it is where the file has none. */
static int size_of(const struct model *m, const char *key, bool required, int *v, struct err *err)
{
	const struct key name = key_of(m, key);
	uint64_t n = (uint64_t)*v;
	const int found = gguf_get_u64(m->gguf, name.s, &n, err);
	if (found < 0)
		return -1;
	if (found == 0 && required)
		return err_set(err, "\"%s\" is missing", name.s);
	if (n < 1 || n > MOST)
		return err_set(err, "\"%s\" is %llu; 1 to %d is possible", name.s, (unsigned long long)n, MOST);
	*v = (int)n;
	return 0;
}

static int real_of(const struct model *m, const char *key, bool required, float *v, struct err *err)
{
	const struct key name = key_of(m, key);
	double x = (double)*v;
	const int found = gguf_get_f64(m->gguf, name.s, &x, err);
	if (found < 0)
		return -1;
	if (found == 0 && required)
		return err_set(err, "\"%s\" is missing", name.s);
	if (!((float)x > 0 && x <= 1e30))
		return err_set(err, "\"%s\" is %g; it must be a positive number", name.s, x);
	*v = (float)x;
	return 0;
}

/* What would change the numbers if it were passed over is refused. */
static int check_kind(struct model *m, struct err *err)
{
	struct gguf_str s;
	uint64_t n = 0;
	int found = gguf_get_str(m->gguf, "general.architecture", &s, err);
	if (found < 0)
		return -1;
	if (found == 0)
		return err_set(err, "\"general.architecture\" is missing");
	const struct architecture *a = architecture_of(s);
	if (!a)
		return err_set(err, "architecture \"%s\" is not supported; \"llama\" and \"qwen2\" are",
		    show(s).s);
	m->config.arch = a->name;
	m->config.rope_layout = a->layout;
	if (gguf_get_u64(m->gguf, key_of(m, "expert_count").s, &n, err) < 0)
		return -1;
	if (n > 0)
		return err_set(err, "a mixture of %llu experts is not supported", (unsigned long long)n);
	return 0;
}

/*
 * Positions divided by a factor: type "linear", which is also what a factor
 * without a type means; "none" turns the factor off. Older files have
 * rope.scale_linear in place of rope.scaling.factor; 0 stands for none there.
 */
static int read_rope_scale(const struct model *m, float *scale, struct err *err)
{
	static const char *const factors[] = { "rope.scaling.factor", "rope.scale_linear" };
	struct gguf_str type;
	double attention = 1;
	const int typed = gguf_get_str(m->gguf, key_of(m, "rope.scaling.type").s, &type, err);
	if (typed < 0 || gguf_get_f64(m->gguf, key_of(m, "rope.scaling.attn_factor").s, &attention, err) < 0)
		return -1;
	*scale = 1;
	const bool none = typed && gguf_str_is(type, "none");
	if (typed && !none && !gguf_str_is(type, "linear"))
		return err_set(err, "rope scaling \"%s\" is not supported; \"linear\" and factors in "
		    "rope_freqs.weight are", show(type).s);
	if (attention != 1)
		return err_set(err, "\"%s\" of %g is not supported", key_of(m, "rope.scaling.attn_factor").s,
		    attention);
	for (size_t i = 0; !none && i < sizeof factors / sizeof *factors; i++) {
		double x = 0;
		const int found = gguf_get_f64(m->gguf, key_of(m, factors[i]).s, &x, err);
		if (found < 0)
			return -1;
		if (found && x != 0)
			return real_of(m, factors[i], true, scale, err);
	}
	return 0;
}

/* Attention to a window of positions equals full attention as long as the
 * context is no longer than the window. */
static int limit_to_window(const struct model *m, struct model_config *c, struct err *err)
{
	uint64_t window = 0;
	if (gguf_get_u64(m->gguf, key_of(m, "attention.sliding_window").s, &window, err) < 0)
		return -1;
	if (window > 0 && window < (uint64_t)c->context)
		c->context = (int)window;
	return 0;
}

static int read_config(struct model *m, struct err *err)
{
	struct model_config *c = &m->config;
	if (size_of(m, "block_count", true, &c->layers, err) != 0 ||
	    size_of(m, "embedding_length", true, &c->width, err) != 0 ||
	    size_of(m, "feed_forward_length", true, &c->ffn, err) != 0 ||
	    size_of(m, "context_length", true, &c->context, err) != 0 ||
	    size_of(m, "attention.head_count", true, &c->heads, err) != 0)
		return -1;
	c->kv_heads = c->heads;
	c->head_size = c->width / c->heads;
	c->rope_base = 10000;
	if (c->head_size < 1)
		return err_set(err, "%d heads are too many for a width of %d", c->heads, c->width);
	if (size_of(m, "attention.head_count_kv", false, &c->kv_heads, err) != 0 ||
	    size_of(m, "attention.key_length", false, &c->head_size, err) != 0 ||
	    real_of(m, "attention.layer_norm_rms_epsilon", true, &c->norm_eps, err) != 0 ||
	    real_of(m, "rope.freq_base", false, &c->rope_base, err) != 0 ||
	    read_rope_scale(m, &c->rope_scale, err) != 0)
		return -1;
	int value_length = c->head_size;
	c->rope_dims = c->head_size;
	if (size_of(m, "attention.value_length", false, &value_length, err) != 0 ||
	    size_of(m, "rope.dimension_count", false, &c->rope_dims, err) != 0)
		return -1;
	if (value_length != c->head_size)
		return err_set(err, "keys of %d and values of %d elements a head are not supported",
		    c->head_size, value_length);
	if (c->heads % c->kv_heads != 0)
		return err_set(err, "%d heads cannot share %d key/value heads evenly", c->heads, c->kv_heads);
	if (c->head_size > MAX_HEAD_SIZE || (int64_t)c->heads * c->head_size > MOST)
		return err_set(err, "%d heads of %d elements are not supported; %d elements are the most",
		    c->heads, c->head_size, MAX_HEAD_SIZE);
	if (c->rope_dims % 2 != 0 || c->rope_dims > c->head_size)
		return err_set(err, "\"%s\" is %d; an even number up to %d is possible",
		    key_of(m, "rope.dimension_count").s, c->rope_dims, c->head_size);
	return limit_to_window(m, c, err);
}

/* The matrix, or with rows 0 the vector, of that name: there, of a readable
 * type and of shape (rows, cols). */
static const struct gguf_tensor *tensor_of(const struct gguf *g, const char *name, int64_t rows, int64_t cols,
    struct err *err)
{
	const struct gguf_tensor *t = gguf_tensor(g, name);
	if (!t) {
		err_set(err, "%s is missing", name);
		return NULL;
	}
	if (!tensor_readable(t->type)) {
		const char *type = tensor_type_name(t->type);
		err_set(err, "%s: tensor type %s (%u) is not supported", name, type ? type : "unknown",
		    t->type);
		return NULL;
	}
	if (t->dims[0] != cols || t->dims[1] != (rows ? rows : 1) || t->dims[2] != 1 || t->dims[3] != 1) {
		if (rows)
			err_set(err, "%s has the shape %lld x %lld; %lld x %lld was expected", name,
			    (long long)t->dims[0], (long long)t->dims[1], (long long)cols, (long long)rows);
		else
			err_set(err, "%s has %lld x %lld elements; %lld were expected", name,
			    (long long)t->dims[0], (long long)t->dims[1], (long long)cols);
		return NULL;
	}
	if (!rows && t->type != TENSOR_F32) {
		err_set(err, "%s is of type %s; a vector must be F32", name, tensor_type_name(t->type));
		return NULL;
	}
	return t;
}

/* A vector of finite numbers. */
static const struct gguf_tensor *vector_of(const struct gguf *g, const char *name, int64_t n, struct err *err)
{
	const struct gguf_tensor *t = tensor_of(g, name, 0, n, err);
	const float *v = t ? t->data : NULL;
	for (int64_t i = 0; t && i < n; i++)
		if (!isfinite(v[i])) {
			err_set(err, "%s: element %lld is not a finite number", name, (long long)i);
			return NULL;
		}
	return t;
}

/* A bias is NULL where the file has none and the architecture does not ask for it. */
static int find_biases(const struct model *m, int i, struct layer_tensors *l, struct err *err)
{
	const struct model_config *c = &m->config;
	const int64_t q = (int64_t)c->heads * c->head_size, kv = (int64_t)c->kv_heads * c->head_size;
	const bool required = architecture_of((struct gguf_str){ c->arch, strlen(c->arch) })->biased;
	const struct {
		const char *name;
		const struct gguf_tensor **t;
		int64_t n;
		bool required, possible;
	} all[] = {
		{ "attn_q", &l->q_bias, q, required, true },
		{ "attn_k", &l->k_bias, kv, required, true },
		{ "attn_v", &l->v_bias, kv, required, true },
		{ "attn_output", &l->o_bias, c->width, false, !required },
	};
	for (size_t n = 0; n < sizeof all / sizeof *all; n++) {
		char name[64];
		snprintf(name, sizeof name, "blk.%d.%s.bias", i, all[n].name);
		if (!all[n].possible || (!all[n].required && !gguf_tensor(m->gguf, name)))
			continue;
		if (!(*all[n].t = vector_of(m->gguf, name, all[n].n, err)))
			return -1;
	}
	return 0;
}

static int find_layer(const struct model *m, int i, struct layer_tensors *l, struct err *err)
{
	const struct model_config *c = &m->config;
	const struct gguf *g = m->gguf;
	const int64_t q = (int64_t)c->heads * c->head_size, kv = (int64_t)c->kv_heads * c->head_size;
	const struct {
		const char *name;
		const struct gguf_tensor **t;
		int64_t rows, cols;
	} all[] = {
		{ "attn_norm", &l->attn_norm, 0, c->width },
		{ "attn_q", &l->q, q, c->width },
		{ "attn_k", &l->k, kv, c->width },
		{ "attn_v", &l->v, kv, c->width },
		{ "attn_output", &l->o, c->width, q },
		{ "ffn_norm", &l->ffn_norm, 0, c->width },
		{ "ffn_gate", &l->gate, c->ffn, c->width },
		{ "ffn_up", &l->up, c->ffn, c->width },
		{ "ffn_down", &l->down, c->width, c->ffn },
	};
	for (size_t n = 0; n < sizeof all / sizeof *all; n++) {
		char name[64];
		snprintf(name, sizeof name, "blk.%d.%s.weight", i, all[n].name);
		*all[n].t = all[n].rows ? tensor_of(g, name, all[n].rows, all[n].cols, err)
		    : vector_of(g, name, all[n].cols, err);
		if (!*all[n].t)
			return -1;
	}
	return find_biases(m, i, l, err);
}

static int find_tensors(struct model *m, struct err *err)
{
	struct model_config *c = &m->config;
	const struct gguf *g = m->gguf;
	const struct gguf_tensor *t = gguf_tensor(g, "token_embd.weight");
	c->vocab = t && t->dims[1] > 0 && t->dims[1] <= MOST ? (int)t->dims[1] : 1;
	if (size_of(m, "vocab_size", false, &c->vocab, err) != 0)
		return -1;
	if (!(m->embd = tensor_of(g, "token_embd.weight", c->vocab, c->width, err)) ||
	    !(m->output_norm = vector_of(g, "output_norm.weight", c->width, err)))
		return -1;
	m->output = m->embd;
	c->tied = !gguf_tensor(g, "output.weight");
	if (!c->tied && !(m->output = tensor_of(g, "output.weight", c->vocab, c->width, err)))
		return -1;
	/* Before memory is taken for them. */
	if ((size_t)c->layers > g->ntensors / 9)
		return err_set(err, "%d layers are announced, but the file has only %zu tensors", c->layers,
		    g->ntensors);
	m->layer = mem_zalloc((size_t)c->layers, sizeof *m->layer);
	for (int i = 0; i < c->layers; i++)
		if (find_layer(m, i, &m->layer[i], err) != 0)
			return -1;
	return 0;
}

static bool is_used(const struct model *m, const struct gguf_tensor *t)
{
	if (t == m->embd || t == m->output || t == m->output_norm ||
	    strcmp(t->name, "rope_freqs.weight") == 0)
		return true;
	for (int i = 0; i < m->config.layers; i++) {
		const struct layer_tensors *l = &m->layer[i];
		if (t == l->attn_norm || t == l->q || t == l->k || t == l->v || t == l->o ||
		    t == l->ffn_norm || t == l->gate || t == l->up || t == l->down ||
		    t == l->q_bias || t == l->k_bias || t == l->v_bias || t == l->o_bias)
			return true;
	}
	return false;
}

/* A tensor that is not used would be a model that is not run as it was
 * trained: other biases, experts, further layers. */
static int check_all_used(const struct model *m, struct err *err)
{
	for (size_t i = 0; i < m->gguf->ntensors; i++) {
		const char *name = m->gguf->tensors[i].name;
		if (!is_used(m, &m->gguf->tensors[i]))
			return err_set(err, "tensor \"%s\" has no place in a %s model of %d layers",
			    show((struct gguf_str){ name, strlen(name) }).s, m->config.arch,
			    m->config.layers);
	}
	return 0;
}

/* base^(-2i/dims), over the factors of Llama 3's long contexts where the
 * file has them, and over the linear scale. */
static int rope_frequencies(struct model *m, struct err *err)
{
	const struct model_config *c = &m->config;
	const int n = c->rope_dims / 2;
	const float *factor = NULL;
	if (gguf_tensor(m->gguf, "rope_freqs.weight")) {
		const struct gguf_tensor *t = vector_of(m->gguf, "rope_freqs.weight", n, err);
		if (!t)
			return -1;
		factor = t->data;
	}
	m->rope_inv_freq = mem_zalloc((size_t)n, sizeof *m->rope_inv_freq);
	for (int i = 0; i < n; i++) {
		if (factor && !(factor[i] > 0))
			return err_set(err, "rope_freqs.weight: element %d is not positive", i);
		m->rope_inv_freq[i] = (float)(pow(c->rope_base, -2.0 * i / c->rope_dims) /
		    (factor ? factor[i] : 1) / (double)c->rope_scale);
		if (!isfinite(m->rope_inv_freq[i]))
			return err_set(err, "rope frequency %d is not a finite number", i);
	}
	return 0;
}

static int open_text(struct model *m, const char *chat_template, struct err *err)
{
	if (!(m->tokenizer = tokenizer_new(m->gguf, err)))
		return -1;
	if (tokenizer_size(m->tokenizer) > m->config.vocab)
		return err_set(err, "the tokenizer has %d tokens, the embedding only %d",
		    (int)tokenizer_size(m->tokenizer), m->config.vocab);
	if (!chat_template && !gguf_find(m->gguf, "tokenizer.chat_template"))
		return 0;
	return (m->chat = chat_new(m->gguf, m->tokenizer, chat_template, err)) ? 0 : -1;
}

struct model *model_open(const char *path, const char *chat_template, struct err *err)
{
	struct model *m = mem_zalloc(1, sizeof *m);
	m->path = mem_strdup(path);
	if (!(m->gguf = gguf_open(path, err)) || check_kind(m, err) != 0 ||
	    read_config(m, err) != 0 || find_tensors(m, err) != 0 ||
	    check_all_used(m, err) != 0 || rope_frequencies(m, err) != 0 ||
	    open_text(m, chat_template, err) != 0) {
		model_close(m);
		return NULL;
	}
	return m;
}

void model_close(struct model *m)
{
	if (!m)
		return;
	chat_free(m->chat);
	tokenizer_free(m->tokenizer);
	gguf_close(m->gguf);
	free(m->rope_inv_freq);
	free(m->layer);
	free(m->path);
	free(m);
}

/*
 * A small random model in memory, and its log-probabilities computed the
 * slow way: double precision, one whole sequence at a time, plain loops.
 * What the trainer's forward and gradients are tested against.
 */
#ifndef MR_TRAIN_REFERENCE_H
#define MR_TRAIN_REFERENCE_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "model/model.h"

struct net {
	struct model m;
	struct gguf g;
	float *data;            /* all tensors, one after the other */
	size_t n;
};

struct net_shape {
	int layers, width, heads, kv_heads, head_size, ffn, vocab, rope_dims;
	bool tied;
	enum rope_layout layout;
	bool biased;            /* q, k, v and o */
};

static double net_normal(const struct rng *r, uint64_t i)
{
	double u = 1 - rng_uniform(r, 2 * i), a = 2 * 3.14159265358979323846 * rng_uniform(r, 2 * i + 1);

	return sqrt(-2 * log(u)) * cos(a);
}

/* rows 0: a vector, around 1; otherwise a matrix, scaled to keep sizes. A
 * vector of ones and the like is as good a bias as any. */
static const struct gguf_tensor *net_tensor(struct net *t, const char *name, int rows, int cols)
{
	struct gguf_tensor *x = &t->g.tensors[t->g.ntensors++];
	size_t n = (size_t)(rows ? rows : 1) * (size_t)cols;
	struct rng r = rng_stream(7, name, "net", 0);

	*x = (struct gguf_tensor){ .name = strdup(name), .ndims = rows ? 2 : 1, .dims = { cols, rows ? rows : 1, 1, 1 },
	    .type = TENSOR_F32, .data = t->data + t->n, .size = n * sizeof(float) };
	for (size_t i = 0; i < n; i++)
		t->data[t->n + i] = (float)(rows ? 1.5 * net_normal(&r, i) / sqrt(cols) : 1 + 0.3 * net_normal(&r,
		    i));
	t->n += n;
	return x;
}

static void net_layer(struct net *t, int l, const struct net_shape *s)
{
	struct layer_tensors *y = &t->m.layer[l];
	int hd = s->heads * s->head_size, kd = s->kv_heads * s->head_size;
	char name[64];

#define TENSOR(field, what, rows, cols) \
	snprintf(name, sizeof name, "blk.%d." what ".weight", l); y->field = net_tensor(t, name, rows, cols)
	TENSOR(attn_norm, "attn_norm", 0, s->width);
	TENSOR(q, "attn_q", hd, s->width);
	TENSOR(k, "attn_k", kd, s->width);
	TENSOR(v, "attn_v", kd, s->width);
	TENSOR(o, "attn_output", s->width, hd);
	TENSOR(ffn_norm, "ffn_norm", 0, s->width);
	TENSOR(gate, "ffn_gate", s->ffn, s->width);
	TENSOR(up, "ffn_up", s->ffn, s->width);
	TENSOR(down, "ffn_down", s->width, s->ffn);
#undef TENSOR
	if (!s->biased)
		return;
#define BIAS(field, what, n) \
	snprintf(name, sizeof name, "blk.%d." what ".bias", l); y->field = net_tensor(t, name, 0, n)
	BIAS(q_bias, "attn_q", hd);
	BIAS(k_bias, "attn_k", kd);
	BIAS(v_bias, "attn_v", kd);
	BIAS(o_bias, "attn_output", s->width);
#undef BIAS
}

static struct net *net_new(const struct net_shape *s)
{
	struct net *t = calloc(1, sizeof *t);
	size_t most = 13 * (size_t)s->layers + 3;

	t->data = aligned_alloc(64, (size_t)1 << 24);
	t->g.tensors = calloc(most, sizeof *t->g.tensors);
	t->m.gguf = &t->g;
	t->m.layer = calloc((size_t)s->layers, sizeof *t->m.layer);
	t->m.config = (struct model_config){ .layers = s->layers, .width = s->width, .heads = s->heads,
	    .kv_heads = s->kv_heads, .head_size = s->head_size, .ffn = s->ffn, .vocab = s->vocab, .context = 4096,
	    .norm_eps = 1e-5f, .rope_base = 10000, .rope_dims = s->rope_dims,
	    .rope_layout = s->layout, .tied = s->tied };
	t->m.embd = net_tensor(t, "token_embd.weight", s->vocab, s->width);
	for (int l = 0; l < s->layers; l++)
		net_layer(t, l, s);
	t->m.output_norm = net_tensor(t, "output_norm.weight", 0, s->width);
	t->m.output = s->tied ? t->m.embd : net_tensor(t, "output.weight", s->vocab, s->width);
	t->m.rope_inv_freq = calloc((size_t)s->rope_dims / 2, sizeof(float));
	for (int i = 0; i < s->rope_dims / 2; i++)
		t->m.rope_inv_freq[i] = (float)pow(10000, -2.0 * i / s->rope_dims);
	return t;
}

static void net_free(struct net *t)
{
	for (size_t i = 0; i < t->g.ntensors; i++)
		free((char *)t->g.tensors[i].name);
	free(t->g.tensors);
	free(t->m.layer);
	free(t->m.rope_inv_freq);
	free(t->data);
	free(t);
}

/* ---- the reference ---- */

struct ref {
	const struct model *m;
	const double *w;        /* net->data's elements in double */
	const float *base;      /* net->data */
};

static const double *ref_at(const struct ref *r, const struct gguf_tensor *t)
{
	return r->w + ((const float *)t->data - r->base);
}

/* y (rows) = w (rows, cols) x */
static void ref_product(double *y, const double *w, const double *x, int rows, int cols)
{
	for (int i = 0; i < rows; i++) {
		y[i] = 0;
		for (int j = 0; j < cols; j++)
			y[i] += w[i * cols + j] * x[j];
	}
}

static void ref_bias(const struct ref *r, double *y, const struct gguf_tensor *bias)
{
	for (int i = 0; bias && i < bias->dims[0]; i++)
		y[i] += ref_at(r, bias)[i];
}

static void ref_norm(const struct ref *r, double *y, const double *x, const double *w)
{
	int n = r->m->config.width;
	double sum = 0;

	for (int i = 0; i < n; i++)
		sum += x[i] * x[i];
	for (int i = 0; i < n; i++)
		y[i] = x[i] / sqrt(sum / n + (double)r->m->config.norm_eps) * w[i];
}

static void ref_rope(const struct ref *r, double *x, int heads, int pos)
{
	const int half = r->m->config.rope_dims / 2;
	const bool pairs = r->m->config.rope_layout == ROPE_PAIRS;

	for (int h = 0; h < heads; h++, x += r->m->config.head_size)
		for (int i = 0; i < half; i++) {
			double angle = pos * (double)r->m->rope_inv_freq[i];
			double *p = x + (pairs ? 2 * i : i), *o = pairs ? p + 1 : p + half, a = *p, b = *o;

			*p = a * cos(angle) - b * sin(angle);
			*o = a * sin(angle) + b * cos(angle);
		}
}

/* One head's output for the query of position pos, over keys 0 … pos. */
static void ref_head(const struct ref *r, double *out, const double *q, const double *k, const double *v,
    int pos)
{
	int d = r->m->config.head_size, stride = r->m->config.kv_heads * d;
	double *p = calloc((size_t)pos + 1, sizeof *p), max = -INFINITY, sum = 0;

	for (int t = 0; t <= pos; t++) {
		for (int i = 0; i < d; i++)
			p[t] += q[i] * k[t * stride + i] / sqrt(d);
		max = fmax(max, p[t]);
	}
	for (int t = 0; t <= pos; t++)
		sum += p[t] = exp(p[t] - max);
	memset(out, 0, (size_t)d * sizeof *out);
	for (int t = 0; t <= pos; t++)
		for (int i = 0; i < d; i++)
			out[i] += p[t] / sum * v[t * stride + i];
	free(p);
}

static void ref_layer(const struct ref *r, const struct layer_tensors *y, double *x, int n)
{
	const struct model_config *c = &r->m->config;
	int C = c->width, D = c->head_size, HD = c->heads * D, KD = c->kv_heads * D, F = c->ffn;
	double *k = calloc((size_t)(n * KD), sizeof *k), *v = calloc((size_t)(n * KD), sizeof *v);
	double *q = calloc((size_t)(n * HD), sizeof *q),
	    *room = calloc((size_t)(2 * C + HD + 2 * F), sizeof *room);
	double *h = room, *o = h + C, *att = o + C, *gate = att + HD, *up = gate + F;

	for (int t = 0; t < n; t++) {
		ref_norm(r, h, x + t * C, ref_at(r, y->attn_norm));
		ref_product(q + t * HD, ref_at(r, y->q), h, HD, C);
		ref_product(k + t * KD, ref_at(r, y->k), h, KD, C);
		ref_product(v + t * KD, ref_at(r, y->v), h, KD, C);
		ref_bias(r, q + t * HD, y->q_bias);
		ref_bias(r, k + t * KD, y->k_bias);
		ref_bias(r, v + t * KD, y->v_bias);
		ref_rope(r, q + t * HD, c->heads, t);
		ref_rope(r, k + t * KD, c->kv_heads, t);
	}
	for (int t = 0; t < n; t++) {
		for (int head = 0; head < c->heads; head++) {
			int kv = head / (c->heads / c->kv_heads);

			ref_head(r, att + head * D, q + t * HD + head * D, k + kv * D, v + kv * D, t);
		}
		ref_product(o, ref_at(r, y->o), att, C, HD);
		ref_bias(r, o, y->o_bias);
		for (int i = 0; i < C; i++)
			x[t * C + i] += o[i];
		ref_norm(r, h, x + t * C, ref_at(r, y->ffn_norm));
		ref_product(gate, ref_at(r, y->gate), h, F, C);
		ref_product(up, ref_at(r, y->up), h, F, C);
		for (int i = 0; i < F; i++)
			up[i] *= gate[i] / (1 + exp(-gate[i]));
		ref_product(o, ref_at(r, y->down), up, C, F);
		for (int i = 0; i < C; i++)
			x[t * C + i] += o[i];
	}
	free(k);
	free(v);
	free(q);
	free(room);
}

/* logp[t] = log p(ids[t] | ids before it), for t >= from (> 0); others 0.
 * best, where not NULL: the likeliest token there, or -1. */
static void ref_logprobs(const struct ref *r, const int32_t *ids, int n, int from, double *logp,
    int32_t *best)
{
	int C = r->m->config.width, V = r->m->config.vocab;
	double *x = calloc((size_t)(n * C), sizeof *x), *h = calloc((size_t)C, sizeof *h);
	double *logits = calloc((size_t)V, sizeof *logits);

	for (int t = 0; t < n; t++)
		memcpy(x + t * C, ref_at(r, r->m->embd) + ids[t] * C, (size_t)C * sizeof *x);
	for (int l = 0; l < r->m->config.layers; l++)
		ref_layer(r, &r->m->layer[l], x, n);
	for (int t = 0; t < n; t++) {
		double max = -INFINITY, sum = 0;

		logp[t] = 0;
		if (best)
			best[t] = -1;
		if (t < from)
			continue;
		ref_norm(r, h, x + (t - 1) * C, ref_at(r, r->m->output_norm));
		ref_product(logits, ref_at(r, r->m->output), h, V, C);
		for (int i = 0; i < V; i++)
			if (logits[i] > max) {
				max = logits[i];
				if (best)
					best[t] = i;
			}
		for (int i = 0; i < V; i++)
			sum += exp(logits[i] - max);
		logp[t] = logits[ids[t]] - max - log(sum);
	}
	free(x);
	free(h);
	free(logits);
}

#endif

#include "train/lora.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "train/gemm.h"

static const char *const target_names[LAYER_MATRICES] = { "q", "k", "v", "o", "gate", "up", "down" };

int lora_targets(const char *list, unsigned *targets, struct err *err)
{
	*targets = 0;
	for (const char *at = list, *end; ; at = end + 1) {
		size_t len = strcspn(at, ",");
		int i = 0;

		end = at + len;
		while (i < LAYER_MATRICES && (strlen(target_names[i]) != len || memcmp(target_names[i], at, len) != 0))
			i++;
		if (i == LAYER_MATRICES)
			return err_set(err, "\"%.*s\" is none of q, k, v, o, gate, up, down", (int)(len < 40 ? len : 40), at);
		*targets |= 1u << i;
		if (!*end)
			return 0;
	}
}

static void find_matrices(const struct model *m, int l, const struct gguf_tensor *out[LAYER_MATRICES])
{
	const struct layer_tensors *y = &m->layer[l];

	out[LAYER_Q] = y->q;
	out[LAYER_K] = y->k;
	out[LAYER_V] = y->v;
	out[LAYER_O] = y->o;
	out[LAYER_GATE] = y->gate;
	out[LAYER_UP] = y->up;
	out[LAYER_DOWN] = y->down;
}

static size_t matrices(const struct lora_parts *p)
{
	return (size_t)p->m->config.layers * LAYER_MATRICES;
}

static size_t a_size(const struct lora_parts *p, const struct lora_matrix *x)
{
	return (size_t)p->set.rank * (size_t)x->base->dims[0];
}

static size_t b_size(const struct lora_parts *p, const struct lora_matrix *x)
{
	return (size_t)p->set.rank * (size_t)x->base->dims[1];
}

static size_t padded(size_t n, size_t align)
{
	return (n + align - 1) / align * align;
}

int lora_place(struct lora_parts *p, const struct model *m, const struct lora *set, size_t align,
    struct err *err)
{
	*p = (struct lora_parts){ .m = m, .set = *set, .scale = (float)(set->alpha / set->rank) };
	p->matrix = mem_zalloc(matrices(p), sizeof *p->matrix);
	p->adapter = mem_zalloc(matrices(p), sizeof *p->adapter);
	for (int l = 0; l < m->config.layers; l++) {
		const struct gguf_tensor *base[LAYER_MATRICES];

		find_matrices(m, l, base);
		for (int i = 0; i < LAYER_MATRICES; i++) {
			struct lora_matrix *x = &p->matrix[l * LAYER_MATRICES + i];

			if (!(set->targets >> i & 1))
				continue;
			if (set->rank > base[i]->dims[0] || set->rank > base[i]->dims[1])
				return err_set(err, "a rank of %d is more than %s has (%lld x %lld)", set->rank,
				    base[i]->name, (long long)base[i]->dims[1], (long long)base[i]->dims[0]);
			x->base = base[i];
			x->a = p->n;
			x->b = x->a + padded(a_size(p, x), align);
			p->n = x->b + padded(b_size(p, x), align);
		}
	}
	return 0;
}

void lora_free(struct lora_parts *p)
{
	free(p->matrix);
	free(p->adapter);
	p->matrix = NULL;
	p->adapter = NULL;
}

void lora_start(struct lora_parts *p, float *w, float *g)
{
	memset(w, 0, p->n * sizeof *w);
	for (size_t i = 0; i < matrices(p); i++) {
		const struct lora_matrix *x = &p->matrix[i];
		struct rng r;
		double bound;

		if (!x->base)
			continue;
		p->adapter[i] = (struct adapter){ w + x->a, w + x->b, g + x->a, g + x->b };
		r = rng_stream(p->set.seed, x->base->name, "lora", 0);
		bound = 1 / sqrt((double)x->base->dims[0]);
		for (size_t j = 0; j < a_size(p, x); j++)
			w[x->a + j] = (float)((2 * rng_uniform(&r, j) - 1) * bound);
	}
}

/* ---- unpacking ---- */

enum { PIECES = 16, TENSORS = 13 };

struct unpack {
	const struct gguf_tensor *from[TENSORS];
	float *to[TENSORS];
};

/* A sixteenth of the rows of one tensor. */
static void unpack_job(void *arg, int job)
{
	const struct unpack *u = arg;
	const struct gguf_tensor *x = u->from[job / PIECES];
	size_t rows, cols, row, from, end;

	if (!x)
		return;
	rows = (size_t)x->dims[1];
	cols = (size_t)x->dims[0];
	row = x->size / rows;
	from = rows * (size_t)(job % PIECES) / PIECES;
	end = rows * (size_t)(job % PIECES + 1) / PIECES;
	dequantize_row(x->type, (const char *)x->data + from * row, u->to[job / PIECES] + from * cols,
	    (end - from) * cols);
}

static struct gemm product(const struct lora_parts *p, size_t i, float *w)
{
	const struct gguf_tensor *x = p->matrix[i].base;
	int out = (int)x->dims[1], in = (int)x->dims[0], rank = p->set.rank;

	return (struct gemm){ .c = w, .ldc = in, .m = out, .n = in, .k = rank, .a = p->adapter[i].b, .lda = rank,
	    .b = p->adapter[i].a, .ldb = in, .beta = 1, .scale = p->scale };
}

void lora_unpack(const struct lora_parts *p, struct pool *pool, int l, const struct layer *to)
{
	const struct layer_tensors *y = &p->m->layer[l];
	struct unpack u = {
		{ y->q, y->k, y->v, y->o, y->gate, y->up, y->down, y->attn_norm, y->ffn_norm, y->q_bias, y->k_bias,
		  y->v_bias, y->o_bias },
		{ to->q, to->k, to->v, to->o, to->gate, to->up, to->down, to->attn_norm, to->ffn_norm, to->q_bias,
		  to->k_bias, to->v_bias, to->o_bias },
	};
	struct gemm g[LAYER_MATRICES];
	int n = 0;

	pool_run(pool, unpack_job, &u, TENSORS * PIECES);
	for (int i = 0; i < LAYER_MATRICES; i++)
		if (p->matrix[l * LAYER_MATRICES + i].base)
			g[n++] = product(p, (size_t)(l * LAYER_MATRICES + i), u.to[i]);
	gemm_run(pool, g, n);
}

void lora_merge(const struct lora_parts *p, struct pool *pool, const struct gguf_tensor *x, size_t from,
    size_t rows, float *w)
{
	for (size_t i = 0; i < matrices(p); i++)
		if (p->matrix[i].base == x) {
			struct gemm g = product(p, i, w);

			g.a += from * (size_t)p->set.rank;
			g.m = (int)rows;
			gemm_run(pool, &g, 1);
		}
}

/* ---- names, and the file ---- */

ptrdiff_t lora_offset(const struct lora_parts *p, const char *name, size_t *n)
{
	size_t len = strlen(name), stem = len > 7 ? len - 7 : 0;
	bool a = strcmp(name + stem, ".lora_a") == 0;

	if (!a && strcmp(name + stem, ".lora_b") != 0)
		return -1;
	for (size_t i = 0; i < matrices(p); i++) {
		const struct lora_matrix *x = &p->matrix[i];

		if (!x->base || strlen(x->base->name) != stem || memcmp(x->base->name, name, stem) != 0)
			continue;
		*n = a ? a_size(p, x) : b_size(p, x);
		return (ptrdiff_t)(a ? x->a : x->b);
	}
	return -1;
}

/* The adapters' tensors, two for each; their names are in an arena. */
static struct gguf_out_tensor *announce(const struct lora_parts *p, struct arena *names, size_t *n)
{
	struct gguf_out_tensor *out = mem_zalloc(2 * matrices(p), sizeof *out);

	*n = 0;
	for (size_t i = 0; i < matrices(p); i++) {
		const struct gguf_tensor *x = p->matrix[i].base;

		if (!x)
			continue;
		out[(*n)++] = (struct gguf_out_tensor){ arena_printf(names, "%s.lora_a", x->name), 2,
		    { x->dims[0], p->set.rank, 1, 1 }, TENSOR_F32 };
		out[(*n)++] = (struct gguf_out_tensor){ arena_printf(names, "%s.lora_b", x->name), 2,
		    { p->set.rank, x->dims[1], 1, 1 }, TENSOR_F32 };
	}
	return out;
}

int lora_save(const struct lora_parts *p, const float *w, const char *path, struct err *err)
{
	struct arena names = { 0 };
	size_t n;
	struct gguf_out_tensor *out = announce(p, &names, &n);
	struct gguf_writer *g = gguf_create(path, NULL, NULL, out, n, err);
	int rc;

	free(out);
	arena_free(&names);
	if (!g)
		return -1;
	rc = gguf_put_str(g, "general.architecture", p->m->config.arch, err);
	if (rc == 0)
		rc = gguf_put_str(g, "general.type", "adapter", err);
	if (rc == 0)
		rc = gguf_put_u32(g, "general.file_type", gguf_file_type(TENSOR_F32), err);
	if (rc == 0)
		rc = gguf_put_str(g, "adapter.type", "lora", err);
	if (rc == 0)
		rc = gguf_put_f32(g, "adapter.lora.alpha", (float)p->set.alpha, err);
	for (size_t i = 0; rc == 0 && i < matrices(p); i++) {
		if (!p->matrix[i].base)
			continue;
		rc = gguf_put_tensor(g, w + p->matrix[i].a, err);
		if (rc == 0)
			rc = gguf_put_tensor(g, w + p->matrix[i].b, err);
	}
	if (rc == 0)
		return gguf_commit(g, err);
	gguf_abort(g);
	return -1;
}

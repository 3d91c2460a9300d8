#include "train/layers.h"

#include <math.h>
#include <string.h>

#include "base/progress.h"
#include "model/ops.h"
#include "train/attention.h"
#include "train/gemm.h"
#include "train/vec.h"

enum { BLOCK = 16 };            /* rows of one job */

int norm_blocks(int rows)
{
	return (rows + BLOCK - 1) / BLOCK;
}

static int block_end(int job, int rows)
{
	return (job + 1) * BLOCK < rows ? (job + 1) * BLOCK : rows;
}

/* ---- products ---- */

/* y (T, out) = x (T, in) w^T, or += where beta is 1 */
static struct gemm times_wt(float *y, const float *x, const float *w, int rows, int out, int in, float beta)
{
	return (struct gemm){ .c = y, .ldc = out, .m = rows, .n = out, .k = in,
	    .a = x, .lda = in, .b = w, .ldb = in, .tb = true, .beta = beta };
}

/* dx (T, in) = dy (T, out) w, or += */
static struct gemm times_w(float *dx, const float *dy, const float *w, int rows, int out, int in, float beta)
{
	return (struct gemm){ .c = dx, .ldc = in, .m = rows, .n = in, .k = out,
	    .a = dy, .lda = out, .b = w, .ldb = in, .beta = beta };
}

/* dw (out, in) += dy^T (out, T) x (T, in) */
static struct gemm grad_w(float *dw, const float *dy, const float *x, int rows, int out, int in)
{
	return (struct gemm){ .c = dw, .ldc = in, .m = out, .n = in, .k = rows,
	    .a = dy, .lda = out, .ta = true, .b = x, .ldb = in, .beta = 1 };
}

/* Up to 8 products that go side by side. */
struct products {
	struct gemm g[8];
	int n;
};

static void add(struct products *list, struct gemm g)
{
	list->g[list->n++] = g;
}

static void run(const struct pass *p, struct products *list)
{
	gemm_run(p->pool, list->g, list->n);
	list->n = 0;
}

/* The gradient of w (out, in) in y = x w^T: of the matrix itself, dw += dy^T x;
 * of an adapter, with x a^T and scale dy b, which are found first, in room
 * slot: db += scale dy^T (x a^T), then da += (scale dy b)^T x. */
static void add_grad(const struct pass *p, struct products *first, struct products *then, int slot,
    float *dw, const struct adapter *d, const float *dy, const float *x, int out, int in)
{
	int T = p->tree->tokens, R = p->rank;
	float *xa = p->s.xa[slot], *dya = p->s.dya[slot];
	struct gemm g;

	if (dw)
		add(first, grad_w(dw, dy, x, T, out, in));
	if (!d || !d->a)
		return;
	add(first, times_wt(xa, x, d->a, T, R, in, 0));
	g = times_w(dya, dy, d->b, T, out, R, 0);
	g.scale = p->scale;
	add(first, g);
	g = grad_w(d->db, dy, xa, T, out, R);
	g.scale = p->scale;
	add(then, g);
	add(then, grad_w(d->da, dya, x, T, R, in));
}

static const struct adapter *adapter_of(const struct adapter *all, enum layer_matrix which)
{
	return all ? &all[which] : NULL;
}

/* ---- RMSNorm: y = x r w, r = 1 / sqrt(mean(x^2) + eps) ---- */

struct norm_job {
	const struct pass *p;
	float *y, *rstd, *copy, *dx, *partial;
	const float *x, *w, *dy, *r;
	const int *rows;
	int n;
};

static void norm_forward_job(void *arg, int job)
{
	const struct norm_job *j = arg;
	size_t c = (size_t)j->p->c->width;

	for (int i = job * BLOCK; i < block_end(job, j->n); i++) {
		const float *x = j->x + (size_t)(j->rows ? j->rows[i] : i) * c;

		j->rstd[i] = (float)(1.0 / sqrt(vec_sumsq(x, c) / (double)c + (double)j->p->c->norm_eps));
		vec_norm(j->y + (size_t)i * c, x, j->w, j->rstd[i], c);
		if (j->copy)
			memcpy(j->copy + (size_t)i * c, x, c * sizeof *x);
	}
}

void norm_forward(const struct pass *p, float *y, float *rstd, float *copy, const float *x, const int *rows,
    const float *w, int n)
{
	struct norm_job j = { .p = p, .y = y, .rstd = rstd, .copy = copy, .x = x, .rows = rows, .w = w, .n = n };

	pool_run(p->pool, norm_forward_job, &j, norm_blocks(n));
}

/* dx = dy w r - x r^3 mean(dy w x);  dw = sum over rows of dy x r */
static void norm_backward_job(void *arg, int job)
{
	const struct norm_job *j = arg;
	size_t c = (size_t)j->p->c->width;
	float *dw = j->partial + (size_t)job * c;

	memset(dw, 0, c * sizeof *dw);
	for (int i = job * BLOCK; i < block_end(job, j->n); i++) {
		size_t at = (size_t)i * c;
		float r = j->r[i], dot = vec_dot3(j->dy + at, j->w, j->x + at, c);

		vec_norm_back(j->dx + at, dw, j->dy + at, j->x + at, j->w, r, r * r * r * dot / (float)c, c);
	}
}

void norm_backward(const struct pass *p, float *dx, float *dw, const float *dy, const float *x,
    const float *w, const float *rstd, int n)
{
	struct norm_job j = { .p = p, .dx = dx, .dy = dy, .x = x, .w = w, .r = rstd, .n = n,
	    .partial = p->s.partial };

	pool_run(p->pool, norm_backward_job, &j, norm_blocks(n));
	for (int i = 0; dw && i < norm_blocks(n); i++)
		vec_add(dw, j.partial + (size_t)i * (size_t)p->c->width, (size_t)p->c->width);
}

/* ---- biases and rotary embedding ---- */

void rope_table(const struct pass *p, const float *inv_freq)
{
	size_t half = (size_t)p->c->rope_dims / 2;

	for (int row = 0; row < p->tree->tokens; row++)
		op_rope_angles(p->s.cos + (size_t)row * half, p->s.sin + (size_t)row * half, p->c->rope_dims,
		    p->tree->pos[row], inv_freq);
}

/* Turns the heads of one row; dir = -1 turns back, which is the backward. */
static void turn(const struct pass *p, float *x, int heads, int row, int dir)
{
	size_t at = (size_t)row * ((size_t)p->c->rope_dims / 2);

	op_rope_turn(x, heads, p->c->head_size, p->c->rope_dims, p->c->rope_layout, p->s.cos + at,
	    p->s.sin + at, dir);
}

struct rows_job {
	const struct pass *p;
	const struct acts *a;
	const struct layer *w;
};

static void add_bias(float *y, const float *bias, size_t n)
{
	if (bias)
		vec_add(y, bias, n);
}

/* Biases of q, k, v, and that of o, whose product is added to mid later. */
static void rope_forward_job(void *arg, int job)
{
	const struct rows_job *j = arg;
	const struct model_config *c = j->p->c;
	size_t hd = (size_t)(c->heads * c->head_size), kd = (size_t)(c->kv_heads * c->head_size);

	for (int row = job * BLOCK; row < block_end(job, j->p->tree->tokens); row++) {
		size_t i = (size_t)row;

		add_bias(j->a->q + i * hd, j->w->q_bias, hd);
		add_bias(j->a->k + i * kd, j->w->k_bias, kd);
		add_bias(j->a->v + i * kd, j->w->v_bias, kd);
		add_bias(j->a->mid + i * (size_t)c->width, j->w->o_bias, (size_t)c->width);
		turn(j->p, j->a->q + i * hd, c->heads, row, 1);
		turn(j->p, j->a->k + i * kd, c->kv_heads, row, 1);
	}
}

/* Sums the key gradients of the query heads that share a key head, and turns
 * d q and d k back. */
static void rope_backward_job(void *arg, int job)
{
	const struct rows_job *j = arg;
	const struct model_config *c = j->p->c;
	size_t d = (size_t)c->head_size, hd = d * (size_t)c->heads, kd = d * (size_t)c->kv_heads;
	int group = c->heads / c->kv_heads;

	for (int i = job * BLOCK; i < block_end(job, j->p->tree->tokens); i++) {
		float *dk = j->p->s.dk + (size_t)i * kd, *dv = j->p->s.dv + (size_t)i * kd;
		const float *dkh = j->p->s.dkh + (size_t)i * hd, *dvh = j->p->s.dvh + (size_t)i * hd;

		memset(dk, 0, kd * sizeof *dk);
		memset(dv, 0, kd * sizeof *dv);
		for (int h = 0; h < c->heads; h++) {
			vec_add(dk + (size_t)(h / group) * d, dkh + (size_t)h * d, d);
			vec_add(dv + (size_t)(h / group) * d, dvh + (size_t)h * d, d);
		}
		turn(j->p, j->p->s.dq + (size_t)i * hd, c->heads, i, -1);
		turn(j->p, dk, c->kv_heads, i, -1);
	}
}

struct bias_job {
	struct {
		float *db;              /* (n), or NULL */
		const float *dy;        /* (rows, n) */
		int n;
	} bias[4];
	int rows;
};

/* db += the sum of dy's rows, in order. */
static void bias_backward_job(void *arg, int job)
{
	const struct bias_job *j = arg;
	size_t n = (size_t)j->bias[job].n;

	for (int i = 0; j->bias[job].db && i < j->rows; i++)
		vec_add(j->bias[job].db, j->bias[job].dy + (size_t)i * n, n);
}

/* ---- SwiGLU ---- */

static void swiglu_forward_job(void *arg, int job)
{
	const struct rows_job *j = arg;
	size_t f = (size_t)j->p->c->ffn, at = (size_t)job * BLOCK * f;

	vec_swiglu(j->p->s.act + at, j->a->gate + at, j->a->up + at,
	    (size_t)(block_end(job, j->p->tree->tokens) - job * BLOCK) * f);
}

static void swiglu_backward_job(void *arg, int job)
{
	const struct rows_job *j = arg;
	const struct scratch *s = &j->p->s;
	size_t f = (size_t)j->p->c->ffn, at = (size_t)job * BLOCK * f;

	vec_swiglu_back(s->dgate + at, s->dup + at, s->act + at, j->a->gate + at, j->a->up + at,
	    (size_t)(block_end(job, j->p->tree->tokens) - job * BLOCK) * f);
}

/* ---- embedding ---- */

void embed_forward(const struct pass *p, float *x, const struct gguf_tensor *packed, const float *embd)
{
	size_t c = (size_t)p->c->width, row = packed->size / (size_t)packed->dims[1];

	for (int i = 0; i < p->tree->tokens; i++) {
		size_t id = (size_t)p->tree->ids[i];

		if (embd)
			memcpy(x + (size_t)i * c, embd + id * c, c * sizeof *x);
		else
			dequantize_row(packed->type, (const char *)packed->data + id * row, x + (size_t)i * c, c);
	}
}

void embed_backward(const struct pass *p, float *dembd, const float *dx)
{
	size_t c = (size_t)p->c->width;

	for (int i = 0; dembd && i < p->tree->tokens; i++)
		vec_add(dembd + (size_t)p->tree->ids[i] * c, dx + (size_t)i * c, c);
}

/* ---- the layer ---- */

static void timed_attention(const struct pass *p, const struct attention *a,
    void (*way)(struct pool *pool, const struct attention *a))
{
	double start = now_seconds();

	way(p->pool, a);
	*p->attention += now_seconds() - start;
}

static struct attention attention_of(const struct pass *p, const struct acts *a)
{
	return (struct attention){ .tree = p->tree, .heads = p->c->heads, .kv_heads = p->c->kv_heads,
	    .head_size = p->c->head_size, .q = a->q, .k = a->k, .v = a->v, .out = a->att, .lse = a->lse,
	    .dout = p->s.datt, .dq = p->s.dq, .dk = p->s.dkh, .dv = p->s.dvh };
}

void layer_forward(const struct pass *p, const struct layer *w, const struct acts *a, float *out)
{
	const struct model_config *c = p->c;
	const struct scratch *s = &p->s;
	int T = p->tree->tokens, C = c->width, F = c->ffn;
	int HD = c->heads * c->head_size, KD = c->kv_heads * c->head_size;
	struct rows_job rows = { p, a, w };
	struct attention att = attention_of(p, a);

	norm_forward(p, s->h, a->rstd_attn, a->mid, a->x, NULL, w->attn_norm, T);
	gemm_run(p->pool, (struct gemm[]){
	    times_wt(a->q, s->h, w->q, T, HD, C, 0),
	    times_wt(a->k, s->h, w->k, T, KD, C, 0),
	    times_wt(a->v, s->h, w->v, T, KD, C, 0) }, 3);
	pool_run(p->pool, rope_forward_job, &rows, norm_blocks(T));
	timed_attention(p, &att, attention_forward);
	gemm_run(p->pool, (struct gemm[]){ times_wt(a->mid, a->att, w->o, T, C, HD, 1) }, 1);

	norm_forward(p, s->h, a->rstd_ffn, out, a->mid, NULL, w->ffn_norm, T);
	gemm_run(p->pool, (struct gemm[]){
	    times_wt(a->gate, s->h, w->gate, T, F, C, 0),
	    times_wt(a->up, s->h, w->up, T, F, C, 0) }, 2);
	if (!out)
		return;
	pool_run(p->pool, swiglu_forward_job, &rows, norm_blocks(T));
	gemm_run(p->pool, (struct gemm[]){ times_wt(out, s->act, w->down, T, C, F, 1) }, 1);
}

/* out = mid + down(swiglu(gate(h), up(h))), h = norm(mid); dx: d out -> d mid */
static void ffn_backward(const struct pass *p, const struct layer *w, const struct layer *g,
    const struct adapter *d, const struct acts *a, float *dx)
{
	const struct scratch *s = &p->s;
	int T = p->tree->tokens, C = p->c->width, F = p->c->ffn;
	struct rows_job rows = { p, a, w };
	struct products first = { .n = 0 }, then = { .n = 0 };

	gemm_run(p->pool, (struct gemm[]){ times_w(s->dgate, dx, w->down, T, C, F, 0) }, 1);
	pool_run(p->pool, swiglu_backward_job, &rows, norm_blocks(T));
	norm_forward(p, s->h, a->rstd_ffn, NULL, a->mid, NULL, w->ffn_norm, T);
	add(&first, times_w(s->dh, s->dgate, w->gate, T, F, C, 0));
	add(&then, times_w(s->dh, s->dup, w->up, T, F, C, 1));
	add_grad(p, &first, &then, 0, g->down, adapter_of(d, LAYER_DOWN), dx, s->act, C, F);
	add_grad(p, &first, &then, 1, g->gate, adapter_of(d, LAYER_GATE), s->dgate, s->h, F, C);
	add_grad(p, &first, &then, 2, g->up, adapter_of(d, LAYER_UP), s->dup, s->h, F, C);
	run(p, &first);
	run(p, &then);
	norm_backward(p, dx, g->ffn_norm, s->dh, a->mid, w->ffn_norm, a->rstd_ffn, T);
}

/* mid = x + o(attention(q(h), k(h), v(h))), h = norm(x); dx: d mid -> d x */
static void attn_backward(const struct pass *p, const struct layer *w, const struct layer *g,
    const struct adapter *d, const struct acts *a, float *dx)
{
	const struct model_config *c = p->c;
	const struct scratch *s = &p->s;
	int T = p->tree->tokens, C = c->width, HD = c->heads * c->head_size, KD = c->kv_heads * c->head_size;
	struct rows_job rows = { p, a, w };
	struct attention att = attention_of(p, a);
	struct bias_job biases = { .bias = { { g->q_bias, s->dq, HD }, { g->k_bias, s->dk, KD },
	    { g->v_bias, s->dv, KD }, { g->o_bias, dx, C } }, .rows = T };
	struct products first = { .n = 0 }, then = { .n = 0 };

	add(&first, times_w(s->datt, dx, w->o, T, C, HD, 0));
	add_grad(p, &first, &then, 0, g->o, adapter_of(d, LAYER_O), dx, a->att, C, HD);
	run(p, &first);
	run(p, &then);
	timed_attention(p, &att, attention_backward);
	pool_run(p->pool, rope_backward_job, &rows, norm_blocks(T));
	pool_run(p->pool, bias_backward_job, &biases, 4);
	norm_forward(p, s->h, a->rstd_attn, NULL, a->x, NULL, w->attn_norm, T);
	add(&first, times_w(s->dh, s->dq, w->q, T, HD, C, 0));
	add(&then, times_w(s->dh, s->dk, w->k, T, KD, C, 1));
	add_grad(p, &first, &then, 0, g->q, adapter_of(d, LAYER_Q), s->dq, s->h, HD, C);
	add_grad(p, &first, &then, 1, g->k, adapter_of(d, LAYER_K), s->dk, s->h, KD, C);
	add_grad(p, &first, &then, 2, g->v, adapter_of(d, LAYER_V), s->dv, s->h, KD, C);
	run(p, &first);
	run(p, &then);
	gemm_run(p->pool, (struct gemm[]){ times_w(s->dh, s->dv, w->v, T, KD, C, 1) }, 1);
	norm_backward(p, dx, g->attn_norm, s->dh, a->x, w->attn_norm, a->rstd_attn, T);
}

void layer_backward(const struct pass *p, const struct layer *w, const struct layer *g,
    const struct adapter *adapters, const struct acts *a, float *dx)
{
	ffn_backward(p, w, g, adapters, a, dx);
	attn_backward(p, w, g, adapters, a, dx);
}

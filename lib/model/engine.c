#include "model/engine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/kernels/kernels.h"
#include "model/kernels/matmul.h"
#include "model/kv.h"
#include "model/ops.h"

enum {
	FEW_ROWS = 4,                   /* up to so many, small operations run on the caller's thread */
	EXACT_FLOATS = 1 << 22,         /* of a matrix, dequantised at once on the reference path */
	MOST_BLOCKS = 1 << 20,
	ATTEND_JOBS = 4,                /* a thread's, at least */
};

/* A step's rows are at most ENGINE_MAX_ROWS; each scratch array has a row for each. */
struct engine {
	const struct model *m;
	struct pool *pool;
	struct kv *kv;
	size_t head_floats;             /* of one layer's key/value head in a block */
	int v_stride;
	float *scratch;                 /* all that follow */
	float *x, *norm, *out;          /* (C) residual stream, normed, a product added to it */
	float *q, *att;                 /* (H D) */
	float *k, *v;                   /* (Hkv D) */
	float *gate, *up;               /* (F) */
	float *cosine, *sine;           /* (rope_dims / 2) */
	float *exact;                   /* a dequantised matrix; NULL: batch-invariant kernels */
	struct matmul_room room;
	int nrows;
	struct row {
		int seq, pos;
		bool logits;
	} rows[ENGINE_MAX_ROWS];
	int order[ENGINE_MAX_ROWS];     /* the rows; those with the same first block side by side */
	/* of the phase that runs */
	int layer_index;
	int attend_rows, attend_heads;  /* of a job: rows, and key/value heads */
	const struct gguf_tensor *norm_weight;
	const struct gguf_tensor *out_bias;     /* of the product that is added; NULL: none */
};

/* Rows are padded so that each begins on a cache line. */
static size_t padded(int n)
{
	return ((size_t)n + 15) / 16 * 16;
}

static int make_scratch(struct engine *e, bool exact, struct err *err)
{
	const struct model_config *c = &e->m->config;
	const int q = c->heads * c->head_size, kv = c->kv_heads * c->head_size;
	const struct {
		float **p;
		int n;
	} all[] = {
		{ &e->x, c->width }, { &e->norm, c->width }, { &e->out, c->width },
		{ &e->q, q }, { &e->att, q }, { &e->k, kv }, { &e->v, kv },
		{ &e->gate, c->ffn }, { &e->up, c->ffn },
		{ &e->cosine, c->rope_dims / 2 }, { &e->sine, c->rope_dims / 2 },
	};
	size_t floats = 0;
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		floats += padded(all[i].n) * ENGINE_MAX_ROWS;
	if (!(e->scratch = mem_try(floats, sizeof(float))))
		return err_set(err, "not enough memory for the model's activations");
	floats = 0;
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		*all[i].p = e->scratch + floats;
		floats += padded(all[i].n) * ENGINE_MAX_ROWS;
	}
	/* no row of a matrix is longer than EXACT_FLOATS or one of these */
	int longest = c->width > c->ffn ? c->width : c->ffn;
	longest = longest > q ? longest : q;
	longest = longest > EXACT_FLOATS ? longest : EXACT_FLOATS;
	if (exact && !(e->exact = mem_try((size_t)longest, sizeof(float))))
		return err_set(err, "not enough memory for a dequantised matrix");
	return 0;
}

static int make_cache(struct engine *e, size_t bytes, struct err *err)
{
	const struct model_config *c = &e->m->config;
	const size_t block = e->head_floats * (size_t)c->kv_heads * (size_t)c->layers * sizeof(float);
	size_t total = (bytes ? bytes : (size_t)1 << 30) / block;
	/* One whole context, the block a fork copies, and one to spare. */
	const size_t context = ((size_t)c->context + KV_POSITIONS - 1) / KV_POSITIONS + 2;
	if (bytes == 0 && total < context)
		total = context;
	if (total < 2)
		return err_set(err, "a key/value cache of %zu bytes is too small; %d positions take %zu",
		    bytes, 2 * KV_POSITIONS, 2 * block);
	e->kv = kv_new(total < MOST_BLOCKS ? (int)total : MOST_BLOCKS, block / sizeof(float));
	return 0;
}

struct engine *engine_new(const struct model *m, struct pool *pool, const struct engine_options *o,
    struct err *err)
{
	struct engine *e = mem_zalloc(1, sizeof *e);
	const int d = m->config.head_size;
	e->m = m;
	e->pool = pool;
	e->v_stride = (int)padded(d);
	e->head_floats = (size_t)KV_POSITIONS * (size_t)(d + e->v_stride);
	if (make_scratch(e, o->exact, err) != 0 || make_cache(e, o->kv_bytes, err) != 0) {
		engine_free(e);
		return NULL;
	}
	return e;
}

void engine_free(struct engine *e)
{
	if (!e)
		return;
	kv_free(e->kv);
	free(e->scratch);
	free(e->exact);
	matmul_room_free(&e->room);
	free(e);
}

int engine_seq_new(struct engine *e)
{
	return kv_seq_new(e->kv);
}

int engine_seq_fork(struct engine *e, int seq)
{
	return kv_seq_fork(e->kv, seq, kv_seq_length(e->kv, seq));
}

int engine_seq_fork_at(struct engine *e, int seq, int length)
{
	return kv_seq_fork(e->kv, seq, length);
}

void engine_seq_free(struct engine *e, int seq)
{
	kv_seq_free(e->kv, seq);
}

int engine_seq_length(const struct engine *e, int seq)
{
	return kv_seq_length(e->kv, seq);
}

int engine_blocks_free(const struct engine *e)
{
	return kv_free_count(e->kv);
}

int engine_blocks_total(const struct engine *e)
{
	return kv_total(e->kv);
}

int engine_blocks_needed(const struct engine *e, int seq, int more)
{
	return kv_needed(e->kv, seq, more);
}

int engine_positions(const struct engine *e)
{
	return kv_total(e->kv) * KV_POSITIONS;
}

/* y (nrows, ldy) = x w^T for each of n matrices. */
static void products(struct engine *e, const struct matmul *p, int n, const float *x, int m)
{
	if (!e->exact) {
		matmul_fixed_n(e->pool, &e->room, p, n, x, m);
		return;
	}
	for (; n > 0; n--, p++) {
		const int64_t cols = p->w->dims[0], rows = p->w->dims[1];
		const int64_t most = cols < EXACT_FLOATS ? EXACT_FLOATS / cols : 1;
		const size_t row_size = p->w->size / (size_t)rows;
		for (int64_t row = 0; row < rows; row += most) {
			struct gguf_tensor part = *p->w;
			part.dims[1] = rows - row < most ? rows - row : most;
			part.data = (const char *)p->w->data + (size_t)row * row_size;
			matmul_blas(p->y + row, p->ldy, x, m, &part, e->exact);
		}
	}
}

static void each_row(struct engine *e, void (*fn)(void *arg, int row))
{
	if (e->nrows > FEW_ROWS)
		pool_run(e->pool, fn, e, e->nrows);
	else
		for (int i = 0; i < e->nrows; i++)
			fn(e, i);
}

static void embed_row(struct engine *e, int i, int32_t token)
{
	const struct model_config *c = &e->m->config;
	const struct gguf_tensor *w = e->m->embd;
	const size_t row_size = w->size / (size_t)w->dims[1];
	kernels()->unpack(w->type, (const char *)w->data + (size_t)token * row_size,
	    e->x + (size_t)i * (size_t)c->width, (size_t)c->width);
	const size_t at = (size_t)i * (size_t)(c->rope_dims / 2);
	op_rope_angles(e->cosine + at, e->sine + at, c->rope_dims, e->rows[i].pos, e->m->rope_inv_freq);
}

static void norm_row(void *arg, int i)
{
	struct engine *e = arg;
	const int n = e->m->config.width;
	const size_t at = (size_t)i * (size_t)n;
	op_rmsnorm(e->norm + at, e->x + at, e->norm_weight->data, n, e->m->config.norm_eps);
}

static void add_norm_row(void *arg, int i)
{
	struct engine *e = arg;
	const int n = e->m->config.width;
	float *x = e->x + (size_t)i * (size_t)n;
	const float *out = e->out + (size_t)i * (size_t)n;
	if (e->out_bias) {
		const float *bias = e->out_bias->data;
		for (int j = 0; j < n; j++)
			x[j] += out[j] + bias[j];
	} else {
		for (int j = 0; j < n; j++)
			x[j] += out[j];
	}
	norm_row(arg, i);
}

static void add_bias(float *y, const struct gguf_tensor *bias)
{
	const float *b = bias ? bias->data : NULL;
	for (int64_t j = 0; b && j < bias->dims[0]; j++)
		y[j] += b[j];
}

/* Adds the biases, turns the row's queries and keys to its position, and puts
 * its keys (transposed) and values into the cache. */
static void store_row(void *arg, int i)
{
	struct engine *e = arg;
	const struct model_config *c = &e->m->config;
	const size_t r = (size_t)i;
	const int d = c->head_size, dims = c->rope_dims;
	float *q = e->q + r * (size_t)(c->heads * d), *k = e->k + r * (size_t)(c->kv_heads * d);
	float *v = e->v + r * (size_t)(c->kv_heads * d);
	const struct layer_tensors *l = &e->m->layer[e->layer_index];
	const float *cosine = e->cosine + r * (size_t)(dims / 2), *sine = e->sine + r * (size_t)(dims / 2);
	add_bias(q, l->q_bias);
	add_bias(k, l->k_bias);
	add_bias(v, l->v_bias);
	op_rope_turn(q, c->heads, d, dims, c->rope_layout, cosine, sine, 1);
	op_rope_turn(k, c->kv_heads, d, dims, c->rope_layout, cosine, sine, 1);
	const int pos = e->rows[i].pos;
	float *to = kv_blocks(e->kv, e->rows[i].seq)[pos / KV_POSITIONS] +
	    (size_t)(e->layer_index * c->kv_heads) * e->head_floats;
	for (int h = 0; h < c->kv_heads; h++, to += e->head_floats, k += d, v += d) {
		for (int j = 0; j < d; j++)
			to[j * KV_POSITIONS + pos % KV_POSITIONS] = k[j];
		float *value = to + d * KV_POSITIONS + pos % KV_POSITIONS * e->v_stride;
		memcpy(value, v, sizeof(float) * (size_t)d);
	}
}

static const float *const *blocks_of(const struct engine *e, int row)
{
	return (const float *const *)kv_blocks(e->kv, e->rows[row].seq);
}

static void order_rows(struct engine *e)
{
	for (int i = 0; i < e->nrows; i++) {
		const float *first = *blocks_of(e, i);
		int j = i;
		for (; j > 0 && *blocks_of(e, e->order[j - 1]) > first; j--)
			e->order[j] = e->order[j - 1];
		e->order[j] = i;
	}
}

/* The heads that share key/value head h, at the rows of a, whose q and out are
 * those of head 0. */
static void attend_head(const struct engine *e, struct attend a, int h)
{
	const struct model_config *c = &e->m->config;
	const size_t d = (size_t)c->head_size, at = (size_t)(h * (c->heads / c->kv_heads)) * d;
	a.k_at = (size_t)(e->layer_index * c->kv_heads + h) * e->head_floats;
	a.v_at = a.k_at + d * KV_POSITIONS;
	for (int r = 0; r < a.rows; r++) {
		a.row[r].q += at;
		a.row[r].out += at;
	}
	kernels()->attend(&a);
}

/* Some rows and key/value heads. Rows go together where they begin with the
 * same block. */
static void attend_job(void *arg, int job)
{
	struct engine *e = arg;
	const struct model_config *c = &e->m->config;
	const int parts = c->kv_heads / e->attend_heads, h = job % parts * e->attend_heads;
	const int from = job / parts * e->attend_rows, left = e->nrows - from;
	const int end = from + (left < e->attend_rows ? left : e->attend_rows);
	struct attend a = {
		.heads = c->heads / c->kv_heads,
		.head_size = c->head_size,
		.v_stride = e->v_stride,
		.scale = 1.0f / sqrtf((float)c->head_size),
	};
	for (int place = from; place < end; place++) {
		const int i = e->order[place];
		const size_t at = (size_t)i * (size_t)(c->heads * c->head_size);
		a.row[a.rows++] = (struct attend_row){ e->q + at, e->att + at, e->rows[i].pos + 1, blocks_of(e, i) };
		if (place + 1 < end && *blocks_of(e, e->order[place + 1]) == *a.row[0].blocks)
			continue;
		for (int k = h; k < h + e->attend_heads; k++)
			attend_head(e, a, k);
		a.rows = 0;
	}
}

/* Jobs of several rows, or, where these would be too few, of a row and a
 * key/value head. */
static void attend_all(struct engine *e)
{
	const int heads = e->m->config.kv_heads, rows = e->nrows / (ATTEND_JOBS * pool_threads(e->pool));
	e->attend_rows = rows < 1 ? 1 : rows < ATTEND_ROWS ? rows : ATTEND_ROWS;
	e->attend_heads = rows < 1 ? 1 : heads;
	pool_run(e->pool, attend_job, e, (e->nrows + e->attend_rows - 1) / e->attend_rows * (heads / e->attend_heads));
}

static void swiglu_row(void *arg, int i)
{
	struct engine *e = arg;
	const size_t n = (size_t)e->m->config.ffn, at = (size_t)i * n;
	op_swiglu(e->gate + at, e->gate + at, e->up + at, n);
}

/* In the last layer only the rows whose logits are wanted go on. */
static void keep_wanted(struct engine *e)
{
	const size_t width = (size_t)e->m->config.width;
	const size_t q = (size_t)e->m->config.heads * (size_t)e->m->config.head_size;
	int n = 0;
	for (int i = 0; i < e->nrows; i++) {
		if (!e->rows[i].logits)
			continue;
		if (n < i) {
			memcpy(e->x + (size_t)n * width, e->x + (size_t)i * width, width * sizeof(float));
			memcpy(e->q + (size_t)n * q, e->q + (size_t)i * q, q * sizeof(float));
			e->rows[n] = e->rows[i];
		}
		n++;
	}
	e->nrows = n;
	order_rows(e);
}

/* norm holds the layer's normed input, and afterwards the next one's. */
static void run_layer(struct engine *e, int index)
{
	const struct model_config *c = &e->m->config;
	const struct layer_tensors *l = &e->m->layer[index];
	const size_t d = (size_t)c->head_size, q = (size_t)c->heads * d, kv = (size_t)c->kv_heads * d;
	const size_t width = (size_t)c->width, ffn = (size_t)c->ffn;
	e->layer_index = index;
	products(e, (struct matmul[]){ { e->q, q, l->q }, { e->k, kv, l->k }, { e->v, kv, l->v } }, 3,
	    e->norm, e->nrows);
	each_row(e, store_row);
	if (index == c->layers - 1)
		keep_wanted(e);
	if (e->nrows == 0)
		return;
	attend_all(e);
	products(e, &(struct matmul){ e->out, width, l->o }, 1, e->att, e->nrows);
	e->norm_weight = l->ffn_norm;
	e->out_bias = l->o_bias;
	each_row(e, add_norm_row);
	products(e, (struct matmul[]){ { e->gate, ffn, l->gate }, { e->up, ffn, l->up } }, 2, e->norm,
	    e->nrows);
	each_row(e, swiglu_row);
	products(e, &(struct matmul){ e->out, width, l->down }, 1, e->gate, e->nrows);
	e->out_bias = NULL;
	e->norm_weight = index + 1 < c->layers ? e->m->layer[index + 1].attn_norm : e->m->output_norm;
	each_row(e, add_norm_row);
}

/* Gives every row its position; all of them or none. */
static int append(struct engine *e, const struct engine_row *rows, int n, struct err *err)
{
	for (int i = 0; i < n; i++) {
		const int seq = rows[i].seq;
		if (i > 0 && seq == rows[i - 1].seq)
			continue;
		int more = 1;
		while (i + more < n && rows[i + more].seq == seq)
			more++;
		const int length = kv_seq_length(e->kv, seq);
		int bad = 0;
		if (more > e->m->config.context - length)
			bad = err_set(err,
			    "%d tokens after %d are more than the model's context of %d tokens", more, length,
			    e->m->config.context);
		if (bad || kv_extend(e->kv, seq, more, err) != 0) {
			/* back, to where each run began */
			while (--i >= 0)
				if (i == 0 || rows[i].seq != rows[i - 1].seq)
					kv_truncate(e->kv, rows[i].seq, e->rows[i].pos);
			return -1;
		}
		for (int j = 0; j < more; j++)
			e->rows[i + j] = (struct row){ seq, length + j, rows[i + j].logits };
	}
	e->nrows = n;
	order_rows(e);
	return 0;
}

static int check_rows(const struct engine *e, const struct engine_row *rows, int n, struct err *err)
{
	if (n < 1 || n > ENGINE_MAX_ROWS)
		return err_set(err, "a step of %d rows; 1 to %d are possible", n, ENGINE_MAX_ROWS);
	for (int i = 0; i < n; i++) {
		if (!kv_seq_valid(e->kv, rows[i].seq))
			return err_set(err, "there is no sequence %d", rows[i].seq);
		if (rows[i].token < 0 || rows[i].token >= e->m->config.vocab)
			return err_set(err, "token %d is out of range; the model has %d", (int)rows[i].token,
			    e->m->config.vocab);
	}
	return 0;
}

int engine_step(struct engine *e, const struct engine_row *rows, int n, float *logits, struct err *err)
{
	const struct model *m = e->m;
	const size_t vocab = (size_t)m->config.vocab;
	if (check_rows(e, rows, n, err) != 0 || append(e, rows, n, err) != 0)
		return -1;
	for (int i = 0; i < n; i++)
		embed_row(e, i, rows[i].token);
	e->norm_weight = m->layer[0].attn_norm;
	each_row(e, norm_row);
	for (int i = 0; i < m->config.layers; i++)
		run_layer(e, i);
	if (e->nrows > 0)
		products(e, &(struct matmul){ logits, vocab, m->output }, 1, e->norm, e->nrows);
	return 0;
}

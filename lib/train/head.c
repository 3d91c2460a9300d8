#include "train/head.h"

#include <math.h>
#include <string.h>

#include "train/gemm.h"
#include "train/vec.h"

/* The rows of a panel are a little apart, as rows at a distance of whole pages
 * would share few lines of a cache. */
enum { BLOCK = 16, APART = 16 };

/* Targets [row, row + rows) against tokens [col, col + cols). */
struct panel {
	const struct pass *p;
	const struct head *h;
	const double *scale;
	int row, rows, col, cols;
	float *logits;          /* (rows, cols), rows stride apart */
	int stride;
};

static int least(int a, int b)
{
	return a < b ? a : b;
}

static int stride(int V)
{
	return least(V, HEAD_PANEL) + APART;
}

size_t head_logits(int N, int V, bool kept)
{
	size_t panels = kept ? (size_t)((V + HEAD_PANEL - 1) / HEAD_PANEL) : 1;

	return (size_t)(kept ? N : least(N, HEAD_ROWS)) * panels * (size_t)stride(V);
}

static struct panel panel_at(const struct pass *p, const struct head *h, const double *scale, int row, int col)
{
	int N = p->tree->ntargets, V = p->c->vocab, rows = least(HEAD_ROWS, N - row);
	size_t before = h->kept ? head_logits(row, V, true) + (size_t)(col / HEAD_PANEL) * (size_t)rows *
	    (size_t)stride(V) : 0;

	return (struct panel){ p, h, scale, row, rows, col, least(HEAD_PANEL, V - col), h->logits + before,
	    stride(V) };
}

struct unpack {
	const struct head_weights *w;
	int col, cols;
};

static void unpack_job(void *arg, int job)
{
	const struct unpack *u = arg;
	const struct gguf_tensor *x = u->w->packed;
	size_t c = (size_t)x->dims[0], row = x->size / (size_t)x->dims[1];
	size_t from = (size_t)job * BLOCK, n = (size_t)least(BLOCK, u->cols - job * BLOCK);

	dequantize_row(x->type, (const char *)x->data + ((size_t)u->col + from) * row, u->w->panel + from * c,
	    n * c);
}

/* The panel's rows of the output matrix, (cols, C). */
static const float *output_rows(const struct panel *n, const struct head_weights *w)
{
	struct unpack u = { w, n->col, n->cols };

	if (w->output)
		return w->output + (size_t)n->col * (size_t)n->p->c->width;
	pool_run(n->p->pool, unpack_job, &u, (n->cols + BLOCK - 1) / BLOCK);
	return w->panel;
}

/* logits (rows, cols) = hid (rows, C) output^T */
static struct gemm logits(const struct panel *n, const float *output)
{
	int c = n->p->c->width;

	return (struct gemm){ .c = n->logits, .ldc = n->stride, .m = n->rows, .n = n->cols, .k = c,
	    .a = n->h->hid + (size_t)n->row * (size_t)c, .lda = c,
	    .b = output, .ldb = c, .tb = true };
}

static bool in_panel(const struct panel *n, int32_t id)
{
	return id >= n->col && id < n->col + n->cols;
}

/* The panel's part of log sum exp, in double around the running maximum. */
static void forward_row(const struct panel *n, const float *x, int i)
{
	const struct head *h = n->h;
	float max = vec_max(x, (size_t)n->cols);
	int32_t id = n->p->tree->target[i].id;

	if (in_panel(n, id))
		h->target[i] = x[id - n->col];
	if ((double)max > h->max[i]) {
		for (int j = n->cols - 1; j >= 0; j--)
			if (x[j] == max)
				h->best[i] = n->col + j;
		h->sum[i] *= exp(h->max[i] - (double)max);
		h->max[i] = max;
	}
	h->sum[i] += (double)vec_sum_exp(x, (float)h->max[i], (size_t)n->cols);
}

static void forward_job(void *arg, int job)
{
	const struct panel *n = arg;

	for (int i = job * BLOCK; i < least(n->rows, (job + 1) * BLOCK); i++)
		forward_row(n, n->logits + (size_t)i * (size_t)n->stride, n->row + i);
}

void head_forward(const struct pass *p, const struct head *h, const struct head_weights *w, const float *x,
    double *logp)
{
	int N = p->tree->ntargets, V = p->c->vocab;

	for (int i = 0; i < N; i++) {
		h->row[i] = p->tree->target[i].row;
		h->max[i] = -INFINITY;
		h->sum[i] = 0;
		h->best[i] = -1;
	}
	norm_forward(p, h->hid, h->rstd, h->x, x, h->row, w->norm, N);
	for (int row = 0; row < N; row += HEAD_ROWS)
		for (int col = 0; col < V; col += HEAD_PANEL) {
			struct panel n = panel_at(p, h, NULL, row, col);
			struct gemm g = logits(&n, output_rows(&n, w));

			gemm_run(p->pool, &g, 1);
			pool_run(p->pool, forward_job, &n, (n.rows + BLOCK - 1) / BLOCK);
		}
	for (int i = 0; i < N; i++)
		logp[i] = (double)h->target[i] - h->max[i] - log(h->sum[i]);
}

/* d logits = scale (1[token is the target] - softmax) */
static void backward_job(void *arg, int job)
{
	const struct panel *n = arg;
	const struct head *h = n->h;

	for (int i = job * BLOCK; i < least(n->rows, (job + 1) * BLOCK); i++) {
		const struct tree_target *t = &n->p->tree->target[n->row + i];
		float *x = n->logits + (size_t)i * (size_t)n->stride, scale = (float)n->scale[t->seg];

		vec_scaled_exp(x, (float)(h->max[n->row + i] + log(h->sum[n->row + i])), -scale, (size_t)n->cols);
		if (in_panel(n, t->id))
			x[t->id - n->col] += scale;
	}
}

static void backward_panel(const struct panel *n, const struct head_weights *w, const struct head_weights *g)
{
	int c = n->p->c->width;
	size_t hid = (size_t)n->row * (size_t)c, out = (size_t)n->col * (size_t)c;
	const float *output = output_rows(n, w);
	struct gemm again = logits(n, output);

	if (!n->h->kept)
		gemm_run(n->p->pool, &again, 1);
	pool_run(n->p->pool, backward_job, (void *)n, (n->rows + BLOCK - 1) / BLOCK);
	gemm_run(n->p->pool, (struct gemm[]){
	    /* dhid (rows, C) += dlogits output */
	    { .c = n->h->dhid + hid, .ldc = c, .m = n->rows, .n = c, .k = n->cols, .a = n->logits,
	      .lda = n->stride, .b = output, .ldb = c, .beta = n->col ? 1 : 0 },
	    /* doutput (cols, C) += dlogits^T hid */
	    { .c = g->output ? g->output + out : NULL, .ldc = c, .m = n->cols, .n = c, .k = n->rows, .a = n->logits,
	      .lda = n->stride, .ta = true, .b = n->h->hid + hid, .ldb = c, .beta = 1 } }, g->output ? 2 : 1);
}

void head_backward(const struct pass *p, const struct head *h, const struct head_weights *w,
    const struct head_weights *g, const double *scale, float *dx)
{
	int N = p->tree->ntargets, V = p->c->vocab;
	size_t c = (size_t)p->c->width;
	float *dxn = h->hid;    /* free after the last panel */

	for (int row = 0; row < N; row += HEAD_ROWS)
		for (int col = 0; col < V; col += HEAD_PANEL) {
			struct panel n = panel_at(p, h, scale, row, col);

			backward_panel(&n, w, g);
		}
	memset(dxn, 0, (size_t)N * c * sizeof *dxn);
	norm_backward(p, dxn, g->norm, h->dhid, h->x, w->norm, h->rstd, N);
	for (int i = 0; i < N; i++)     /* in order: two targets may have one row */
		vec_add(dx + (size_t)h->row[i] * c, dxn + (size_t)i * c, c);
}

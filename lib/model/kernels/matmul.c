#include "model/kernels/matmul.h"

#include <cblas.h>

#include "model/kernels/kernels.h"

enum { PANELS = 4 };    /* of a tensor, in one job: some ten microseconds of work */

struct run {
	const struct matmul *p;
	int n, m;
	const float *x;
	const struct kernels *k;
	int jobs;               /* for one stripe of x */
};

static int jobs_of(const struct run *r, int i)
{
	const int64_t rows = (int64_t)r->k->panel_rows * PANELS;
	return (int)((r->p[i].w->dims[1] + rows - 1) / rows);
}

static void run_job(void *arg, int job)
{
	const struct run *r = arg;
	const int x0 = job / r->jobs * STRIPE, m = r->m - x0 < STRIPE ? r->m - x0 : STRIPE;
	int i = 0;
	job %= r->jobs;
	for (int jobs; job >= (jobs = jobs_of(r, i)); i++)
		job -= jobs;
	const struct matmul *p = &r->p[i];
	const int64_t rows = p->w->dims[1], panel = r->k->panel_rows, begin = job * panel * PANELS;
	for (int64_t row = begin; row < begin + panel * PANELS && row < rows; row += panel)
		r->k->panel(p->y + (size_t)x0 * p->ldy + row, p->ldy, r->x + x0 * p->w->dims[0], m, p->w, row,
		    (int)(rows - row < panel ? rows - row : panel));
}

void matmul_fixed_n(struct pool *pool, const struct matmul *p, int n, const float *x, int m)
{
	struct run r = { .p = p, .n = n, .m = m, .x = x, .k = kernels() };
	for (int i = 0; i < n; i++)
		r.jobs += jobs_of(&r, i);
	pool_run(pool, run_job, &r, r.jobs * ((m + STRIPE - 1) / STRIPE));
}

void matmul_fixed(struct pool *pool, float *y, size_t ldy, const float *x, int m, const struct gguf_tensor *w)
{
	matmul_fixed_n(pool, &(struct matmul){ y, ldy, w }, 1, x, m);
}

void matmul_blas(float *y, size_t ldy, const float *x, int m, const struct gguf_tensor *w, float *scratch)
{
	const int cols = (int)w->dims[0], rows = (int)w->dims[1];
	dequantize_row(w->type, w->data, scratch, (size_t)rows * (size_t)cols);
	openblas_set_num_threads(1);
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, rows, cols, 1.0f, x, cols, scratch, cols,
	    0.0f, y, (int)ldy);
}

#include "model/kernels/matmul.h"

#include <cblas.h>
#include <stdlib.h>

#include "base/mem.h"
#include "model/kernels/kernels.h"

/* A job is some neighbouring rows of a tensor, short ones, so that all threads
 * end at about the same time. Neighbouring jobs are one thread's, as far as
 * that goes: what a panel asks of memory for the next one is then for it. */
enum {
	JOBS_A_THREAD = 16,
	MOST_JOB_ROWS = 256,
	FEW_ROWS = 4,           /* up to so many rows of x are rounded on the caller's thread */
};

struct run {
	const struct matmul *p;
	int n, m;
	const float *x;
	struct rounded rounded;         /* x, where a product's weights are integers */
	const struct kernels *k;
	int64_t rows;                   /* of a job, or less than a panel more */
	int jobs;                       /* for one stripe of x */
};

static bool integers(const struct gguf_tensor *w)
{
	return tensor_block_len(w->type) > 1;
}

/* Rows of a tensor in one job: whole panels. */
static int64_t job_rows(const struct run *r, int i)
{
	const int64_t panel = integers(r->p[i].w) ? r->k->int_panel_rows : r->k->panel_rows;
	return (r->rows + panel - 1) / panel * panel;
}

static int jobs_of(const struct run *r, int i)
{
	const int64_t rows = job_rows(r, i);
	return (int)((r->p[i].w->dims[1] + rows - 1) / rows);
}

static void run_job(void *arg, int job)
{
	const struct run *r = arg;
	const struct kernels *k = r->k;
	const int x0 = job / r->jobs * STRIPE, m = stripe_rows(r->m, x0);
	int i = 0;
	job %= r->jobs;
	for (int jobs; job >= (jobs = jobs_of(r, i)); i++)
		job -= jobs;
	const struct matmul *p = &r->p[i];
	const bool ints = integers(p->w);
	const int64_t panel = ints ? k->int_panel_rows : k->panel_rows;
	int64_t row = job * job_rows(r, i), end = row + job_rows(r, i);
	end = end < p->w->dims[1] ? end : p->w->dims[1];
	for (; row < end; row += panel) {
		const int rows = (int)(end - row < panel ? end - row : panel);
		float *y = p->y + (size_t)x0 * p->ldy + row;
		if (ints)
			k->int_panel(y, p->ldy, &r->rounded, x0, m, p->w, row, rows);
		else
			k->panel(y, p->ldy, r->x + x0 * p->w->dims[0], m, p->w, row, rows);
	}
}

static void round_job(void *arg, int row)
{
	const struct run *r = arg;
	const size_t cols = (size_t)r->p->w->dims[0];
	r->k->round_row(&r->rounded, row, r->x + (size_t)row * cols, cols);
}

static void make_room(struct matmul_room *room, struct run *r)
{
	const size_t n = (size_t)r->m * (size_t)r->p->w->dims[0];
	const size_t size = n * sizeof(int16_t) + 2 * n / 32 * sizeof(float);
	if (room->size < size) {
		free(room->memory);
		room->memory = mem_grow(NULL, size, 1);
		room->size = size;
	}
	r->rounded.m = r->m;
	r->rounded.scale = room->memory;
	r->rounded.sum = r->rounded.scale + n / 32;
	r->rounded.q = (void *)(r->rounded.sum + n / 32);
}

void matmul_room_free(struct matmul_room *room)
{
	free(room->memory);
	*room = (struct matmul_room){ 0 };
}

void matmul_fixed_n(struct pool *pool, struct matmul_room *room, const struct matmul *p, int n, const float *x, int m)
{
	struct run r = { .p = p, .n = n, .m = m, .x = x, .k = kernels() };
	bool ints = false;
	for (int i = 0; i < n; i++) {
		r.rows += p[i].w->dims[1];
		ints |= integers(p[i].w);
	}
	r.rows = r.rows / (JOBS_A_THREAD * pool_threads(pool)) + 1;
	r.rows = r.rows < MOST_JOB_ROWS ? r.rows : MOST_JOB_ROWS;
	for (int i = 0; i < n; i++)
		r.jobs += jobs_of(&r, i);
	if (ints) {
		make_room(room, &r);
		if (m > FEW_ROWS)
			pool_run(pool, round_job, &r, m);
		else
			for (int i = 0; i < m; i++)
				round_job(&r, i);
	}
	pool_run(pool, run_job, &r, r.jobs * ((m + STRIPE - 1) / STRIPE));
}

void matmul_fixed(struct pool *pool, struct matmul_room *room, float *y, size_t ldy, const float *x, int m,
    const struct gguf_tensor *w)
{
	matmul_fixed_n(pool, room, &(struct matmul){ y, ldy, w }, 1, x, m);
}

void matmul_blas(float *y, size_t ldy, const float *x, int m, const struct gguf_tensor *w, float *scratch)
{
	const int cols = (int)w->dims[0], rows = (int)w->dims[1];
	dequantize_row(w->type, w->data, scratch, (size_t)rows * (size_t)cols);
	openblas_set_num_threads(1);
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, rows, cols, 1.0f, x, cols, scratch, cols,
	    0.0f, y, (int)ldy);
}

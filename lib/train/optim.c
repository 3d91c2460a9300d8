#include "train/optim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "train/vec.h"

enum { CHUNK = 1 << 16 };       /* elements of one job; divides the sums too */

struct optim_job {
	struct adamw *a;
	float *w;
	const float *g;
	size_t n;
	struct adamw_constants k;
	float decay;
	double *sums;
};

static size_t chunk_end(int job, size_t n)
{
	size_t end = ((size_t)job + 1) * CHUNK;

	return end < n ? end : n;
}

static int chunks(size_t n)
{
	return (int)((n + CHUNK - 1) / CHUNK);
}

static void clear_job(void *arg, int job)
{
	struct adamw *a = arg;
	size_t from = (size_t)job * CHUNK, n = chunk_end(job, a->n) - from;

	memset(a->m + from, 0, n * sizeof *a->m);
	memset(a->v + from, 0, n * sizeof *a->v);
}

int adamw_init(struct adamw *a, size_t n, struct err *err)
{
	a->m = mem_try(n, sizeof *a->m);
	a->v = mem_try(n, sizeof *a->v);
	a->n = n;
	a->step = 0;
	if (!a->m || !a->v) {
		adamw_free(a);
		return err_set(err, "not enough memory for the optimiser's moments (%.1f GiB)",
		    2.0 * (double)n * sizeof(float) / (1 << 30));
	}
	for (int job = 0; job < chunks(n); job++)
		clear_job(a, job);
	return 0;
}

void adamw_free(struct adamw *a)
{
	free(a->m);
	free(a->v);
	a->m = a->v = NULL;
	a->n = 0;
}

static void step_range(const struct optim_job *j, size_t from, size_t end, float keep)
{
	struct adamw_constants k = j->k;

	k.keep = keep;
	if (from < end)
		vec_adamw(j->w + from, j->a->m + from, j->a->v + from, j->g + from, &k, end - from);
}

static void step_job(void *arg, int job)
{
	const struct optim_job *j = arg;
	size_t from = (size_t)job * CHUNK, end = chunk_end(job, j->a->n), decayed = j->a->decayed;

	decayed = decayed < from ? from : decayed > end ? end : decayed;
	step_range(j, from, decayed, j->decay);
	step_range(j, decayed, end, 1);
}

/* PyTorch, with g scaled: w *= 1 - lr wd; m += (g - m)(1 - beta1);
 * v = beta2 v + (1 - beta2) g^2;
 * w -= lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps) */
void adamw_step(struct adamw *a, struct pool *pool, float *w, const float *g, double scale)
{
	double t = (double)++a->step;
	struct optim_job j = { .a = a, .w = w, .g = g, .decay = (float)(1 - a->lr * a->weight_decay) };

	j.k = (struct adamw_constants){
		.beta1_left = (float)(1 - a->beta1), .beta2 = (float)a->beta2, .beta2_left = (float)(1 - a->beta2),
		.step = (float)(a->lr / (1 - pow(a->beta1, t))),
		.inv_root = (float)(1 / sqrt(1 - pow(a->beta2, t))),
		.eps = (float)a->eps, .grad_scale = (float)scale,
	};
	pool_run(pool, step_job, &j, chunks(a->n));
}

static void norm_job(void *arg, int job)
{
	struct optim_job *j = arg;
	size_t from = (size_t)job * CHUNK;

	j->sums[job] = vec_sumsq(j->g + from, chunk_end(job, j->n) - from);
}

double grad_norm(struct pool *pool, const float *g, size_t n)
{
	struct optim_job j = { .g = g, .n = n, .sums = mem_zalloc((size_t)chunks(n) + 1, sizeof(double)) };
	double sum = 0;

	pool_run(pool, norm_job, &j, chunks(n));
	for (int i = 0; i < chunks(n); i++)
		sum += j.sums[i];
	free(j.sums);
	return sqrt(sum);
}

double grad_clip(double norm, double max_norm)
{
	double scale = max_norm / (norm + 1e-6);

	return max_norm > 0 && scale < 1 ? scale : 1;
}

int schedule_by_name(const char *name)
{
	static const char *const names[] = { "constant", "linear", "cosine" };

	for (int i = 0; i < 3; i++)
		if (strcmp(name, names[i]) == 0)
			return i;
	return -1;
}

double schedule_factor(enum schedule s, uint64_t step, uint64_t warmup, uint64_t total)
{
	const double pi = 3.14159265358979323846;
	double done;

	if (step < warmup)
		return (double)step / (double)warmup;
	if (s == SCHEDULE_CONSTANT)
		return 1;
	done = total > warmup ? (double)(step - warmup) / (double)(total - warmup) : 0;
	if (done > 1)
		done = 1;
	return s == SCHEDULE_LINEAR ? 1 - done : 0.5 * (1 + cos(pi * done));
}

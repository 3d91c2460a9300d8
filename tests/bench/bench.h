/* What the benchmarks share: a figure's line, and the machine's own speed. */
#ifndef MR_TESTS_BENCH_H
#define MR_TESTS_BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cblas.h>

#include "base/mem.h"
#include "base/pool.h"
#include "base/progress.h"

static inline void figure(const char *name, double value, const char *unit)
{
	printf("%s\t%.*f\t%s\n", name, value < 10 ? 3 : 1, value, unit);
	fflush(stdout);
}

/* MR_MODEL, or the file that make model fetches. */
static inline const char *bench_model(void)
{
	const char *path = getenv("MR_MODEL");
	return path && *path ? path : "models/SmolLM2-135M-Instruct.Q4_1.gguf";
}

/* THREADS; 0: as many as there are CPUs. */
static inline int bench_threads(void)
{
	const char *threads = getenv("THREADS");
	return threads ? atoi(threads) : 0;
}

/* Figures are the best of short windows, so that another program's share of
 * the machine does not show. A window is a tenth of a second or, where the
 * work is in larger pieces, a piece: what is measured and what it is compared
 * with should need equally long moments of quiet. */
enum { WINDOWS = 12, PEAK_SIZE = 1024 };
static const double WINDOW_SECONDS = 0.1;

/* Of all threads. Where others use the machine too, it says more about the
 * work than the clock on the wall does. */
static inline double cpu_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Work a second, of which fn does so much on all threads together.
 * *per_cpu, where not NULL: for a second of CPU time, or what it was. */
static inline double best_rate(struct pool *pool, void (*fn)(void *arg, int job), void *arg, double work,
    double *per_cpu)
{
	double best = 0;
	for (int i = 0; i < WINDOWS; i++) {
		const double start = now_seconds(), cpu = cpu_seconds();
		double done = 0;
		do {
			pool_run(pool, fn, arg, pool_threads(pool));
			done += work;
		} while (now_seconds() - start < WINDOW_SECONDS);
		const double rate = done / (now_seconds() - start), rate_cpu = done / (cpu_seconds() - cpu);
		best = rate > best ? rate : best;
		if (per_cpu)
			*per_cpu = rate_cpu > *per_cpu ? rate_cpu : *per_cpu;
	}
	return best;
}

struct peak {
	float *a, *b, *c;       /* c: one for each job */
};

static inline void peak_job(void *arg, int job)
{
	const struct peak *p = arg;
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, PEAK_SIZE, PEAK_SIZE, PEAK_SIZE, 1, p->a, PEAK_SIZE,
	    p->b, PEAK_SIZE, 0, p->c + (size_t)job * PEAK_SIZE * PEAK_SIZE, PEAK_SIZE);
}

/* FLOP/s of one large product a thread; per_cpu as in best_rate. */
static inline double sgemm_peak(struct pool *pool, double *per_cpu)
{
	const size_t n = (size_t)PEAK_SIZE * PEAK_SIZE, threads = (size_t)pool_threads(pool);
	struct peak p = { mem_grow(NULL, n, sizeof(float)), mem_grow(NULL, n, sizeof(float)),
		mem_grow(NULL, n * threads, sizeof(float)) };
	openblas_set_num_threads(1);
	for (size_t i = 0; i < n; i++)
		p.a[i] = p.b[i] = (float)(i % 13) - 6;
	const double flops = 2.0 * PEAK_SIZE * PEAK_SIZE * PEAK_SIZE * (double)threads;
	const double best = best_rate(pool, peak_job, &p, flops, per_cpu);
	free(p.a);
	free(p.b);
	free(p.c);
	return best;
}

enum { BANDWIDTH_BYTES = 256 << 20 };

struct bandwidth {
	const uint64_t *data;
	size_t n;               /* of a job */
	uint64_t *sum;          /* one for each job */
};

static inline void bandwidth_job(void *arg, int job)
{
	const struct bandwidth *b = arg;
	const uint64_t *p = b->data + (size_t)job * b->n;
	uint64_t s[8] = { 0 };
	for (size_t i = 0; i + 8 <= b->n; i += 8)
		for (int k = 0; k < 8; k++)
			s[k] += p[i + (size_t)k];
	b->sum[job] = s[0] + s[1] + s[2] + s[3] + s[4] + s[5] + s[6] + s[7];
}

/* Bytes a second that all threads together read from memory, far more than
 * any cache holds. */
static inline double memory_bandwidth(struct pool *pool)
{
	const int threads = pool_threads(pool);
	uint64_t *data = mem_grow(NULL, BANDWIDTH_BYTES, 1);
	struct bandwidth b = { data, BANDWIDTH_BYTES / sizeof *data / (size_t)threads,
		mem_zalloc((size_t)threads, sizeof *b.sum) };
	for (size_t i = 0; i < BANDWIDTH_BYTES / sizeof *data; i++)
		data[i] = i;
	const double best = best_rate(pool, bandwidth_job, &b, BANDWIDTH_BYTES, NULL);
	free(data);
	free(b.sum);
	return best;
}

#endif

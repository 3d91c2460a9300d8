/*
 * A small pool of threads. pool_run calls fn(arg, job) for job = 0 … jobs-1,
 * each once, on the caller's thread and the others, and returns when all are
 * done. The order is not certain, but neighbouring jobs mostly follow upon
 * each other on one thread. Jobs must not depend on which thread runs
 * them: results are the same for any number of threads. A job that calls
 * pool_run itself gets a plain loop.
 */
#ifndef MR_BASE_POOL_H
#define MR_BASE_POOL_H

struct pool;

/* threads <= 0: cpus_available(). Fewer threads where no more can be had. */
struct pool *pool_new(int threads);
int pool_threads(const struct pool *p);
void pool_run(struct pool *p, void (*fn)(void *arg, int job), void *arg, int jobs);
void pool_free(struct pool *p);

/* CPUs this process may really use: affinity and the cgroup's quota. >= 1 */
int cpus_available(void);

#endif

#include "base/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/mem.h"

struct pool {
	int threads;                    /* the caller's included */
	pthread_t *workers;             /* threads - 1 of them */
	pthread_mutex_t lock;
	pthread_cond_t wake, idle;
	bool open, stop;                /* there are jobs to take; the pool ends */
	unsigned long run;              /* counts the calls of pool_run */
	int active;                     /* workers inside the current run */
	void (*fn)(void *arg, int job);
	void *arg;
	int jobs;
	atomic_long next;       /* goes beyond jobs by one for each thread */
};

static void take_jobs(struct pool *p)
{
	long job;
	while ((job = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed)) < p->jobs)
		p->fn(p->arg, (int)job);
}

/* A worker that wakes when the run is over goes back to sleep: the caller
 * waits only for those that have begun. */
static void *work(void *arg)
{
	struct pool *p = arg;
	unsigned long seen = 0;
	pthread_mutex_lock(&p->lock);
	for (;;) {
		while (!p->stop && !(p->open && p->run != seen))
			pthread_cond_wait(&p->wake, &p->lock);
		if (p->stop)
			break;
		seen = p->run;
		p->active++;
		pthread_mutex_unlock(&p->lock);
		take_jobs(p);
		pthread_mutex_lock(&p->lock);
		if (--p->active == 0)
			pthread_cond_signal(&p->idle);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

struct pool *pool_new(int threads)
{
	if (threads <= 0)
		threads = cpus_available();
	struct pool *p = mem_zalloc(1, sizeof(*p));
	p->workers = mem_zalloc((size_t)threads, sizeof(*p->workers));
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->wake, NULL);
	pthread_cond_init(&p->idle, NULL);
	atomic_init(&p->next, 0);
	p->threads = 1;
	/* Signals are for the program's own thread. */
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (p->threads < threads && pthread_create(&p->workers[p->threads - 1], NULL, work, p) == 0)
		p->threads++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return p;
}

int pool_threads(const struct pool *p)
{
	return p->threads;
}

/* False where a run is under way already: a job called pool_run. */
static bool begin(struct pool *p, void (*fn)(void *arg, int job), void *arg, int jobs)
{
	pthread_mutex_lock(&p->lock);
	bool ours = !p->open && p->active == 0;
	if (ours) {
		p->fn = fn;
		p->arg = arg;
		p->jobs = jobs;
		atomic_store_explicit(&p->next, 0, memory_order_relaxed);
		p->open = true;
		p->run++;
		if (jobs <= 2)
			pthread_cond_signal(&p->wake);
		else
			pthread_cond_broadcast(&p->wake);
	}
	pthread_mutex_unlock(&p->lock);
	return ours;
}

void pool_run(struct pool *p, void (*fn)(void *arg, int job), void *arg, int jobs)
{
	if (p->threads == 1 || jobs <= 1 || !begin(p, fn, arg, jobs)) {
		for (int job = 0; job < jobs; job++)
			fn(arg, job);
		return;
	}
	take_jobs(p);
	pthread_mutex_lock(&p->lock);
	p->open = false;
	while (p->active > 0)
		pthread_cond_wait(&p->idle, &p->lock);
	pthread_mutex_unlock(&p->lock);
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->lock);
	for (int i = 0; i < p->threads - 1; i++)
		pthread_join(p->workers[i], NULL);
	pthread_cond_destroy(&p->idle);
	pthread_cond_destroy(&p->wake);
	pthread_mutex_destroy(&p->lock);
	free(p->workers);
	free(p);
}

/*
 * Each thread has a share of a run's jobs, neighbours, which find in its caches
 * what the one before has left there; where its own is at its end it takes
 * from others'. Who has taken a job may read what to run, for the caller does
 * not leave before all jobs are done. A share is changed as a whole, so that
 * one who looks at it for a run that is over takes a job of the next, or none.
 *
 * A model's step is some hundred short runs, one upon the other. So workers
 * that have nothing to do, and a caller that waits for the last job, look
 * again for some microseconds before they sleep, unless there are fewer CPUs
 * than threads. Where looking was in vain, as when another program has the
 * CPUs, the next times go without: twice as many after each failure.
 */
#include "base/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"

enum {
	SPIN = 20000,           /* nanoseconds */
	MOST_SKIPPED = 256,
	PAUSES = 16,            /* between two looks at the clock */
};

/* Waits of a thread that go without spinning. */
struct patience {
	int left, penalty;
};

/* A thread, the caller being the first. */
struct member {
	_Atomic uint64_t share;         /* of the jobs: those not yet taken, from the lower half to before the upper */
	struct patience patience;
	struct pool *pool;
	pthread_t thread;               /* of a worker */
	char apart[64];                 /* from the next one's cache line */
};

struct pool {
	int threads;                    /* the caller's included */
	struct member *members;         /* so many */
	bool spins;
	pthread_mutex_t lock;
	pthread_cond_t wake, idle;
	bool stop;                      /* the pool ends */
	atomic_int asleep;              /* workers that wait for wake */
	atomic_bool waiting;            /* the caller waits for idle */
	atomic_bool busy;               /* a run is under way */
	/* of the run */
	void (*fn)(void *arg, int job);
	void *arg;
	atomic_int undone;              /* its jobs that are not yet done */
	atomic_int runs;                /* so many runs have begun */
};

static void pause_cpu(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static long nanoseconds_since(const struct timespec *start)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (long)(now.tv_sec - start->tv_sec) * 1000000000 + (now.tv_nsec - start->tv_nsec);
}

/* Looks for a while whether the count is that value (or, equal being false, no longer is). */
static bool spin(atomic_int *count, int value, bool equal, struct patience *t)
{
	struct timespec start;
	if ((atomic_load_explicit(count, memory_order_acquire) == value) == equal)
		return true;
	if (t->left > 0) {
		t->left--;
		return false;
	}
	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		for (int i = 0; i < PAUSES; i++) {
			pause_cpu();
			if ((atomic_load_explicit(count, memory_order_acquire) == value) == equal) {
				t->penalty /= 2;
				return true;
			}
		}
	} while (nanoseconds_since(&start) < SPIN);
	t->penalty = t->penalty * 2 < MOST_SKIPPED ? t->penalty * 2 + 1 : MOST_SKIPPED;
	t->left = t->penalty;
	return false;
}

/* A job that nobody has taken; -1 where there is none. */
static int take(struct member *m)
{
	uint64_t share = atomic_load_explicit(&m->share, memory_order_relaxed);
	while ((uint32_t)share < share >> 32)
		if (atomic_compare_exchange_weak_explicit(&m->share, &share, share + 1, memory_order_acquire,
		        memory_order_relaxed))
			return (int)(uint32_t)share;
	return -1;
}

static void take_jobs(struct pool *p, int self)
{
	int done = 0;
	for (int i = 0; i < p->threads; i++) {
		struct member *m = &p->members[(self + i) % p->threads];
		for (int job; (job = take(m)) >= 0; done++)
			p->fn(p->arg, job);
	}
	/* Either the caller sees 0 before it waits, or it is seen waiting. */
	if (done > 0 && atomic_fetch_sub(&p->undone, done) == done && atomic_load(&p->waiting)) {
		pthread_mutex_lock(&p->lock);
		pthread_cond_signal(&p->idle);
		pthread_mutex_unlock(&p->lock);
	}
}

/* Sleeps until the next run; false where the pool ends. */
static bool sleep_until_run(struct pool *p, int seen)
{
	pthread_mutex_lock(&p->lock);
	atomic_fetch_add(&p->asleep, 1);
	while (!p->stop && atomic_load(&p->runs) == seen)
		pthread_cond_wait(&p->wake, &p->lock);
	atomic_fetch_sub(&p->asleep, 1);
	const bool more = !p->stop;
	pthread_mutex_unlock(&p->lock);
	return more;
}

static void *work(void *arg)
{
	struct member *self = arg;
	struct pool *p = self->pool;
	int seen = 0;
	while ((p->spins && spin(&p->runs, seen, false, &self->patience)) || sleep_until_run(p, seen)) {
		seen = atomic_load(&p->runs);
		take_jobs(p, (int)(self - p->members));
	}
	return NULL;
}

struct pool *pool_new(int threads)
{
	if (threads <= 0)
		threads = cpus_available();
	struct pool *p = mem_zalloc(1, sizeof(*p));
	p->members = mem_zalloc((size_t)threads, sizeof(*p->members));
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->wake, NULL);
	pthread_cond_init(&p->idle, NULL);
	atomic_init(&p->asleep, 0);
	atomic_init(&p->waiting, false);
	atomic_init(&p->busy, false);
	atomic_init(&p->undone, 0);
	atomic_init(&p->runs, 0);
	p->spins = threads <= cpus_available();
	p->threads = 1;
	/* Signals are for the program's own thread. */
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (p->threads < threads) {
		struct member *m = &p->members[p->threads];
		m->pool = p;
		if (pthread_create(&m->thread, NULL, work, m) != 0)
			break;
		p->threads++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return p;
}

int pool_threads(const struct pool *p)
{
	return p->threads;
}

/* As many workers as there is work for; those that spin need no call. */
static void wake_workers(struct pool *p, int jobs)
{
	if (atomic_load(&p->asleep) == 0)
		return;
	pthread_mutex_lock(&p->lock);
	if (jobs <= 2)
		pthread_cond_signal(&p->wake);
	else
		pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->lock);
}

static void wait_until_done(struct pool *p)
{
	if (p->spins && spin(&p->undone, 0, true, &p->members[0].patience))
		return;
	pthread_mutex_lock(&p->lock);
	atomic_store(&p->waiting, true);
	while (atomic_load(&p->undone) > 0)
		pthread_cond_wait(&p->idle, &p->lock);
	atomic_store(&p->waiting, false);
	pthread_mutex_unlock(&p->lock);
}

void pool_run(struct pool *p, void (*fn)(void *arg, int job), void *arg, int jobs)
{
	/* busy: a job called pool_run */
	if (p->threads == 1 || jobs <= 1 || atomic_exchange_explicit(&p->busy, true, memory_order_acquire)) {
		for (int job = 0; job < jobs; job++)
			fn(arg, job);
		return;
	}
	p->fn = fn;
	p->arg = arg;
	atomic_store_explicit(&p->undone, jobs, memory_order_relaxed);
	for (int i = 0, first = 0; i < p->threads; i++) {
		const int end = first + (jobs - first) / (p->threads - i);
		atomic_store_explicit(&p->members[i].share, (uint64_t)end << 32 | (uint32_t)first, memory_order_release);
		first = end;
	}
	atomic_fetch_add(&p->runs, 1);
	wake_workers(p, jobs);
	take_jobs(p, 0);
	wait_until_done(p);
	atomic_store_explicit(&p->busy, false, memory_order_release);
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->lock);
	for (int i = 1; i < p->threads; i++)
		pthread_join(p->members[i].thread, NULL);
	pthread_cond_destroy(&p->idle);
	pthread_cond_destroy(&p->wake);
	pthread_mutex_destroy(&p->lock);
	free(p->members);
	free(p);
}

#include "train/loop.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/rng.h"
#include "record/json.h"

struct run {
	const struct train_plan *plan;
	const struct train_task *task;
	struct trainer *t;
	struct pool *pool;
	struct adamw *adamw;
	float *w;
	size_t n;
	uint32_t *order;
	struct train_log log;
};

static uint32_t steps_an_epoch(const struct train_plan *p, uint32_t examples)
{
	return (examples + (uint32_t)p->batch - 1) / (uint32_t)p->batch;
}

uint64_t train_steps(const struct train_plan *p, uint32_t examples)
{
	return (uint64_t)p->epochs * steps_an_epoch(p, examples);
}

void train_order(const struct train_plan *p, int epoch, uint32_t *order, uint32_t n)
{
	struct rng rng = rng_stream(p->seed, "", p->stage, (uint64_t)epoch);

	for (uint32_t i = 0; i < n; i++)
		order[i] = i;
	if (p->shuffle)
		rng_shuffle(&rng, order, n);
}

/* "…: a, b, c, …" */
static int not_finite(const struct run *r, const uint32_t *which, uint32_t n, struct err *err)
{
	struct buf ids = { 0 };
	int rc;

	for (uint32_t i = 0; i < n && ids.len < 200; i++)
		buf_printf(&ids, "%s%.64s", i ? ", " : "", r->task->examples->v[which[i]].id);
	rc = err_set(err, "the gradient of step %llu is not finite; its %u record%s: %s",
	    (unsigned long long)r->log.step, n, n == 1 ? "" : "s", ids.data);
	buf_free(&ids);
	return rc;
}

static void member(struct buf *b, const char *name, double value)
{
	buf_printf(b, ",\"%s\":", name);
	json_number(b, value);
}

static void write_line(struct run *r, double norm)
{
	struct train_log *log = &r->log;

	buf_reset(&log->line);
	buf_printf(&log->line, "{\"step\":%llu", (unsigned long long)log->step);
	member(&log->line, "epoch", (double)log->step / steps_an_epoch(r->plan, r->task->examples->n));
	member(&log->line, "loss", log->loss);
	buf_add(&log->line, log->members.data, log->members.len);
	member(&log->line, "grad_norm", norm);
	member(&log->line, "learning_rate", r->adamw->lr);
	buf_adds(&log->line, "}\n");
}

static int step(struct run *r, const uint32_t *which, uint32_t n, struct err *err)
{
	const struct train_plan *p = r->plan;
	struct train_log *log = &r->log;
	double norm;

	r->adamw->lr = p->lr * schedule_factor(p->schedule, log->step, (uint64_t)p->warmup, log->steps);
	log->step++;
	for (uint32_t i = 0; i < n; i++)
		log->tokens += (uint64_t)example_tokens(&r->task->examples->v[which[i]]);
	trainer_zero_grads(r->t);
	buf_reset(&log->members);
	if (r->task->batch(r->task->self, r->t, which, n, log, err) != 0)
		return -1;
	norm = grad_norm(r->pool, trainer_grads(r->t), r->n);
	if (!isfinite(norm))
		return not_finite(r, which, n, err);
	adamw_step(r->adamw, r->pool, r->w, trainer_grads(r->t), grad_clip(norm, p->max_grad_norm));
	write_line(r, norm);
	return r->task->logged(r->task->owner, log, err);
}

static int epochs(struct run *r, struct err *err)
{
	uint32_t n = r->task->examples->n, batch = (uint32_t)r->plan->batch;

	for (int epoch = 0; epoch < r->plan->epochs; epoch++) {
		train_order(r->plan, epoch, r->order, n);
		for (uint32_t i = 0; i < n; i += batch) {
			if (r->task->stopping(r->task->owner))
				return 1;
			if (step(r, r->order + i, n - i < batch ? n - i : batch, err) != 0)
				return -1;
		}
	}
	return 0;
}

int train_run(const struct train_plan *p, struct trainer *t, struct pool *pool, struct adamw *a,
    const struct train_task *task, struct err *err)
{
	struct run r = { .plan = p, .task = task, .t = t, .pool = pool, .adamw = a };
	int rc;

	r.w = trainer_weights(t, &r.n);
	a->beta1 = p->beta1;
	a->beta2 = p->beta2;
	a->eps = p->eps;
	a->weight_decay = p->weight_decay;
	a->decayed = trainer_matrices(t);
	r.order = mem_zalloc(task->examples->n + (size_t)1, sizeof *r.order);
	r.log.steps = train_steps(p, task->examples->n);
	rc = epochs(&r, err);
	buf_free(&r.log.line);
	buf_free(&r.log.members);
	free(r.order);
	return rc;
}

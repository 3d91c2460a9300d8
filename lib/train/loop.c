#include "train/loop.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/rng.h"
#include "train/ranks.h"

enum { NORMS_FIRST = 5 };       /* steps before a norm can be told from the others */

struct run {
	const struct train_plan *plan;
	const struct train_task *task;
	struct train_state *state;
	struct trainer *t;
	struct pool *pool;
	struct adamw *adamw;
	float *w;
	size_t n;
	uint32_t *order;
	struct train_log log;
};

int train_best_by_name(const char *name)
{
	static const char *const names[] = { "loss", "accuracy", "margin", "last" };

	for (int i = 0; i < 4; i++)
		if (strcmp(name, names[i]) == 0)
			return i;
	return -1;
}

uint64_t train_epoch_steps(const struct train_plan *p, uint32_t examples)
{
	return (examples + (uint64_t)p->batch - 1) / (uint64_t)p->batch;
}

uint64_t train_steps(const struct train_plan *p, uint32_t examples)
{
	return (uint64_t)p->epochs * train_epoch_steps(p, examples);
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
static int bad_gradient(const struct run *r, double norm, const uint32_t *which, uint32_t n, struct err *err)
{
	unsigned long long step = r->log.step;
	struct buf ids = { 0 };
	const char *s = n == 1 ? "" : "s";
	int rc;

	for (uint32_t i = 0; i < n && ids.len < 200; i++)
		buf_printf(&ids, "%s%.64s", i ? ", " : "", r->task->examples->v[which[i]].id);
	if (isfinite(norm))
		rc = err_set(err, "step %llu explodes: its gradient's norm is %.3g, the mean of those before %.3g; "
		    "its %u record%s: %s", step, norm, r->state->norms / (double)r->state->step, n, s, ids.data);
	else
		rc = err_set(err, "the gradient of step %llu is not finite; its %u record%s: %s", step, n, s,
		    ids.data);
	buf_free(&ids);
	return rc;
}

static bool good_norm(const struct run *r, double norm)
{
	double before = r->state->norms / (double)r->state->step;

	return isfinite(norm) && (r->plan->explode <= 0 || r->state->step < NORMS_FIRST ||
	    norm <= r->plan->explode * before);
}

static void member(struct buf *b, const char *name, double value)
{
	buf_printf(b, ",\"%s\":", name);
	buf_json_number(b, value);
}

static void start_line(struct run *r, const char *loss)
{
	struct train_log *log = &r->log;

	buf_reset(&log->line);
	buf_printf(&log->line, "{\"step\":%llu", (unsigned long long)log->step);
	member(&log->line, "epoch", (double)log->step /
	    (double)train_epoch_steps(r->plan, r->task->examples->n));
	member(&log->line, loss, log->loss);
	buf_add(&log->line, log->members.data, log->members.len);
}

static void write_line(struct run *r, double norm)
{
	struct buf *line = &r->log.line;

	start_line(r, "loss");
	buf_printf(line, ",\"num_tokens\":%llu", (unsigned long long)r->log.tokens);
	member(line, "grad_norm", norm);
	member(line, "learning_rate", r->adamw->lr);
	buf_adds(line, "}\n");
}

static int step(struct run *r, const uint32_t *which, uint32_t n, struct err *err)
{
	const struct train_plan *p = r->plan;
	struct train_log *log = &r->log;
	struct train_state *s = r->state;
	double norm;

	r->adamw->lr = p->lr * schedule_factor(p->schedule, s->step, (uint64_t)p->warmup, log->steps);
	log->step = s->step + 1;
	log->tokens = s->tokens;
	for (uint32_t i = 0; i < n; i++)
		log->tokens += (uint64_t)example_tokens(&r->task->examples->v[which[i]]);
	trainer_zero_grads(r->t);
	buf_reset(&log->members);
	log->eval = false;
	if (r->task->batch(r->task->self, r->t, which, n, log, err) != 0)
		return -1;
	ranks_sum_floats(trainer_grads(r->t), r->n);
	norm = grad_norm(r->pool, trainer_grads(r->t), r->n);
	if (!good_norm(r, norm))
		return bad_gradient(r, norm, which, n, err);
	adamw_step(r->adamw, r->pool, r->w, trainer_grads(r->t), grad_clip(norm, p->max_grad_norm));
	if (s->step == 0)
		s->first_loss = log->loss;
	s->last_loss = log->loss;
	s->norms += norm;
	s->step = log->step;
	s->tokens = log->tokens;
	write_line(r, norm);
	return r->task->logged(r->task->owner, log, err);
}

static bool better(enum train_best by, const struct train_score *a, const struct train_score *b)
{
	return by == BEST_LOSS ? a->loss < b->loss : by == BEST_ACCURACY ? a->accuracy > b->accuracy :
	    a->margin > b->margin;
}

static int evaluate(struct run *r, struct err *err)
{
	struct train_state *s = r->state;
	struct train_score score;

	buf_reset(&r->log.members);
	r->log.eval = true;
	if (r->task->evaluate(r->task->self, r->t, &r->log, &score, err) != 0)
		return -1;
	start_line(r, "eval_loss");
	buf_adds(&r->log.line, "}\n");
	if (r->plan->best == BEST_LAST || s->best_step == 0 || better(r->plan->best, &score, &s->best)) {
		s->best_step = s->step;
		s->best = score;
		s->since = 0;
		if (r->task->best)
			memcpy(r->task->best, r->w, r->n * sizeof *r->w);
	} else {
		s->since++;
	}
	s->ended = r->plan->patience > 0 && s->since >= (uint64_t)r->plan->patience;
	return r->task->logged(r->task->owner, &r->log, err);
}

static bool eval_due(const struct run *r)
{
	uint64_t every = r->plan->eval_every > 0 ? (uint64_t)r->plan->eval_every :
	    train_epoch_steps(r->plan, r->task->examples->n);

	return r->task->evaluate && (r->state->step % every == 0 || r->state->step == r->log.steps);
}

static int steps(struct run *r, struct err *err)
{
	uint32_t n = r->task->examples->n, batch = (uint32_t)r->plan->batch;
	uint64_t an_epoch = train_epoch_steps(r->plan, n), ordered = UINT64_MAX;
	const struct train_task *task = r->task;

	while (r->state->step < r->log.steps && !r->state->ended) {
		uint64_t epoch = r->state->step / an_epoch;
		uint32_t i = (uint32_t)(r->state->step % an_epoch) * batch;

		if (epoch != ordered)
			train_order(r->plan, (int)epoch, r->order, n);
		ordered = epoch;
		if (ranks_any(task->stopping(task->owner)))
			return 1;
		if (step(r, r->order + i, n - i < batch ? n - i : batch, err) != 0)
			return -1;
		if (eval_due(r) && evaluate(r, err) != 0)
			return -1;
		if (ranks_agree(task->stepped ? task->stepped(task->owner, r->state, err) : 0, err) != 0)
			return -1;
	}
	if (task->best && r->state->best_step)
		memcpy(r->w, task->best, r->n * sizeof *r->w);
	return 0;
}

int train_run(const struct train_plan *p, struct trainer *t, struct pool *pool, struct adamw *a,
    const struct train_task *task, struct err *err)
{
	struct train_state fresh = { 0 };
	struct run r = { .plan = p, .task = task, .t = t, .pool = pool, .adamw = a,
	    .state = task->state ? task->state : &fresh };
	int rc;

	r.w = trainer_weights(t, &r.n);
	a->beta1 = p->beta1;
	a->beta2 = p->beta2;
	a->eps = p->eps;
	a->weight_decay = p->weight_decay;
	a->decayed = trainer_matrices(t);
	r.order = mem_zalloc(task->examples->n + (size_t)1, sizeof *r.order);
	r.log.steps = train_steps(p, task->examples->n);
	rc = steps(&r, err);
	buf_free(&r.log.line);
	buf_free(&r.log.members);
	free(r.order);
	return rc;
}

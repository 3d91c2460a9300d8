/*
 * Continuous batching. Requests wait in the order they came. The first one's
 * prompt is run (what the cache knows of it is shared), then its branches
 * take free slots one by one; when the last has started, the next request's
 * prompt follows, beside the branches that run.
 *
 * Memory: a branch starts only where the cache can hold it to its very end,
 * next to what the running ones may still need, so that none ever has to
 * stop for want of blocks. Kept prompts give way first. local.c refuses a
 * request that would not fit an empty cache, so that the first one can
 * always start once the others have ended.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "llm/local.h"
#include "model/ops.h"

/* Tokens that a branch of the request feeds at most: all but the last one. */
static int feeds(const struct request *r, int index)
{
	return r->nchoices ? (int)r->choice[index].n - 1 : r->params.max_tokens - 1;
}

static int feeds_left(const struct branch *b)
{
	return feeds(b->r, b->index) - (b->r->nchoices ? b->fed : (int)b->out.n - 1);
}

/* Blocks that the running branches may still need. */
static int reserved(const struct local *l)
{
	int n = 0;
	for (int i = 0; i < l->batch; i++)
		if (l->slots[i].r)
			n += engine_blocks_needed(l->engine, l->slots[i].seq, feeds_left(&l->slots[i]));
	return n;
}

static bool make_room(struct local *l, int blocks)
{
	while (engine_blocks_free(l->engine) - reserved(l) < blocks)
		if (!prefix_drop(l))
			return false;
	return true;
}

static bool stops(const struct local *l, int32_t token)
{
	return token == l->end_of_turn || token == l->eos;
}

static int32_t draw(const struct local *l, const struct request *r, const struct rng *rng, uint64_t i,
    const float *logits, struct sampler_scratch *scratch)
{
	const struct sampler s = { r->params.temperature, r->params.top_p, r->params.top_k };
	return sample_token(&s, logits, l->model->config.vocab, rng_uniform(rng, i), scratch);
}

static double logprob(const struct local *l, const float *logits, int32_t token)
{
	return (double)logits[token] - op_logsumexp(logits, (size_t)l->model->config.vocab);
}

static void free_slot(struct local *l, struct branch *b)
{
	struct request *r = b->r;
	engine_seq_free(l->engine, b->seq);
	ids_free(&b->out);
	b->r = NULL;
	l->nrunning--;
	if (++r->ended == r->branches)
		local_answer(l, r);
}

/* Takes a drawn token; true where the continuation has ended. */
static bool take_token(struct local *l, struct request *r, int index, struct ids *out, int32_t token)
{
	const bool stop = stops(l, token);
	if (!stop) {
		ids_add(out, token);
		l->usage.tokens_out++;
	}
	if (!stop && (int)out->n < r->params.max_tokens)
		return false;
	local_completion(l, &r->completions[index], out, stop ? LLM_STOP : LLM_LENGTH);
	return true;
}

/* A sequence for more tokens behind the prompt; -1 where it has to wait for
 * room. The last branch may have the prompt's own sequence, where there is
 * no block left for a copy of its end. */
static int branch_seq(struct local *l, struct request *r, int more)
{
	int seq = engine_seq_fork(l->engine, r->seq);
	if (make_room(l, engine_blocks_needed(l->engine, seq, more)))
		return seq;
	engine_seq_free(l->engine, seq);
	if (r->started + 1 < r->branches || !make_room(l, engine_blocks_needed(l->engine, r->seq, more)))
		return -1;
	seq = r->seq;
	r->seq = -1;
	return seq;
}

/* The first token needs no step: the prompt's logits are there. True where
 * the branch has ended with it. */
static bool begin_branch(struct local *l, struct branch *b)
{
	struct request *r = b->r;
	if (r->nchoices) {
		r->score[b->index] = logprob(l, r->logits, r->choice[b->index].v[0]);
		return r->choice[b->index].n == 1;
	}
	b->rng = rng_stream(r->seed, r->id, r->stage, r->first + (uint64_t)b->index);
	return take_token(l, r, b->index, &b->out, draw(l, r, &b->rng, 0, r->logits, l->scratch));
}

/* Starts the request's next branch; false where it has to wait. */
static bool start_branch(struct local *l, struct request *r)
{
	struct branch b = { .r = r, .index = r->started, .seq = -1 };
	const int more = feeds(r, b.index);
	if (more > 0 && (b.seq = branch_seq(l, r, more)) < 0)
		return false;
	r->started++;
	if (begin_branch(l, &b)) {
		if (b.seq >= 0)
			engine_seq_free(l->engine, b.seq);
		ids_free(&b.out);
		r->ended++;
		return true;
	}
	int slot = 0;
	while (l->slots[slot].r)
		slot++;
	b.scratch = l->slots[slot].scratch;
	l->slots[slot] = b;
	l->nrunning++;
	return true;
}

/* The head's branches have all started: it leaves the queue. */
static void leave_queue(struct local *l)
{
	struct request *r = l->head;
	l->head = r->next;
	if (!l->head)
		l->tail = NULL;
	r->next = NULL;
	free(r->logits);
	r->logits = NULL;
	if (r->seq >= 0)
		prefix_keep(l, &r->prompt, r->seq);
	r->seq = -1;
}

/* Where there is no room for the prompt yet, it is tried again later. */
static void start_prompt(struct local *l, struct request *r)
{
	r->seq = prefix_take(l, &r->prompt);
	const int left = (int)r->prompt.n - engine_seq_length(l->engine, r->seq);
	if (!make_room(l, engine_blocks_needed(l->engine, r->seq, left))) {
		engine_seq_free(l->engine, r->seq);
		r->seq = -1;
	}
}

void local_schedule(struct local *l)
{
	while (l->head && l->nrunning < l->batch) {
		struct request *r = l->head;
		if (!r->logits) {
			if (r->seq < 0)
				start_prompt(l, r);
			return;
		}
		while (r->started < r->branches && l->nrunning < l->batch)
			if (!start_branch(l, r))
				return;
		if (r->started < r->branches)
			return;
		leave_queue(l);
		if (r->ended == r->branches)
			local_answer(l, r);
	}
}

struct step {
	struct engine_row rows[ENGINE_MAX_ROWS];
	int n, nlogits;
};

static void add_row(struct step *s, int seq, int32_t token, bool logits)
{
	s->rows[s->n++] = (struct engine_row){ seq, token, logits };
	s->nlogits += logits;
}

/* Continuations first: one row each, which there is always room for. Then
 * the choices' tokens and the prompt's, as many as fit. */
static void collect_rows(struct local *l, struct step *s)
{
	for (int i = 0; i < l->batch; i++) {
		struct branch *b = &l->slots[i];
		b->row = s->nlogits;
		b->nrows = 0;
		if (b->r && !b->r->nchoices) {
			add_row(s, b->seq, b->out.v[b->out.n - 1], true);
			b->nrows = 1;
		}
	}
	for (int i = 0; i < l->batch; i++) {
		struct branch *b = &l->slots[i];
		if (!b->r || !b->r->nchoices)
			continue;
		const struct ids *ids = &b->r->choice[b->index];
		b->row = s->nlogits;
		while (b->fed + 1 < (int)ids->n && s->n < ENGINE_MAX_ROWS && s->nlogits + 1 < l->max_logits) {
			add_row(s, b->seq, ids->v[b->fed++], true);
			b->nrows++;
		}
	}
	struct request *r = l->head;
	if (!r || r->seq < 0 || r->logits)
		return;
	const int n = (int)r->prompt.n;
	for (int at = engine_seq_length(l->engine, r->seq); at < n && s->n < ENGINE_MAX_ROWS; at++)
		add_row(s, r->seq, r->prompt.v[at], at + 1 == n);
}

/* What the step's logits say to one slot: a draw, or log-probabilities. */
static void read_slot(void *arg, int slot)
{
	struct local *l = arg;
	struct branch *b = &l->slots[slot];
	const size_t vocab = (size_t)l->model->config.vocab;
	const float *logits = l->logits + (size_t)b->row * vocab;
	if (b->nrows == 0)
		return;
	if (!b->r->nchoices) {
		b->drawn = draw(l, b->r, &b->rng, b->out.n, logits, b->scratch);
		return;
	}
	const struct ids *ids = &b->r->choice[b->index];
	for (int i = 0; i < b->nrows; i++, logits += vocab)
		b->r->score[b->index] += logprob(l, logits, ids->v[b->fed - b->nrows + i + 1]);
}

static bool slot_ended(struct local *l, struct branch *b)
{
	if (b->r->nchoices)
		return b->fed + 1 == (int)b->r->choice[b->index].n;
	return take_token(l, b->r, b->index, &b->out, b->drawn);
}

int local_step(struct local *l, struct err *err)
{
	struct step s = { .n = 0 };
	const size_t vocab = (size_t)l->model->config.vocab;
	struct request *r = l->head;
	collect_rows(l, &s);
	if (s.n == 0)
		return err_set(err, "the key/value cache has no room for the next request");
	if (engine_step(l->engine, s.rows, s.n, l->logits, err) != 0)
		return -1;
	if (r && r->seq >= 0 && !r->logits && engine_seq_length(l->engine, r->seq) == (int)r->prompt.n) {
		if (!(r->logits = mem_try(vocab, sizeof *r->logits)))
			return err_set(err, "not enough memory for a row of logits");
		memcpy(r->logits, l->logits + (size_t)(s.nlogits - 1) * vocab, vocab * sizeof *r->logits);
	}
	pool_run(l->pool, read_slot, l, l->batch);
	for (int i = 0; i < l->batch; i++)
		if (l->slots[i].r && l->slots[i].nrows > 0 && slot_ended(l, &l->slots[i]))
			free_slot(l, &l->slots[i]);
	return 0;
}

#include "llm/local.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

enum {
	DEFAULT_BATCH = 32,
	LEAST_LOGITS = 33,              /* of a step: choices of several tokens take many */
};

static int make_slots(struct local *l, struct err *err)
{
	const int vocab = l->model->config.vocab;
	l->slots = mem_zalloc((size_t)l->batch, sizeof *l->slots);
	for (int i = 0; i < l->batch; i++)
		l->slots[i].scratch = sampler_scratch_new(vocab);
	l->scratch = sampler_scratch_new(vocab);
	l->max_logits = l->batch + 1 > LEAST_LOGITS ? l->batch + 1 : LEAST_LOGITS;
	l->logits = mem_try((size_t)l->max_logits * (size_t)vocab, sizeof *l->logits);
	return l->logits ? 0 : err_set(err, "not enough memory for a batch of %d", l->batch);
}

static void request_free(struct local *l, struct request *r)
{
	for (int i = 0; i < r->nchoices; i++) {
		free(r->choice_text[i]);
		ids_free(&r->choice[i]);
	}
	llm_completions_free(r->completions, r->n);
	if (r->seq >= 0)
		engine_seq_free(l->engine, r->seq);
	free(r->choice_text);
	free(r->choice);
	free(r->score);
	free(r->logits);
	free(r->id);
	free(r->stage);
	ids_free(&r->prompt);
	free(r);
}

static void local_close(struct llm *llm)
{
	struct local *l = local_of(llm);
	/* A request that has left the queue is held by its branches; the last
	 * of them releases it. */
	for (int i = 0; l->slots && i < l->batch; i++) {
		struct request *r = l->slots[i].r;
		ids_free(&l->slots[i].out);
		sampler_scratch_free(l->slots[i].scratch);
		if (r && ++r->ended == r->branches)
			request_free(l, r);
	}
	for (struct request *next; l->head; l->head = next) {
		next = l->head->next;
		request_free(l, l->head);
	}
	while (prefix_drop(l))
		;
	sampler_scratch_free(l->scratch);
	free(l->slots);
	free(l->logits);
	engine_free(l->engine);
	pool_free(l->pool);
	model_close(l->model);
	free(l);
}

static void encode_more(const struct local *l, const char *text, struct ids *out)
{
	tokenizer_encode_more(l->model->tokenizer, text, strlen(text), out);
}

/* Tokens beyond the prompt, and whether all that has a place. */
static int fit(const struct local *l, struct request *r, struct err *err)
{
	const int context = l->model->config.context;
	const size_t prompt = r->prompt.n;
	size_t more = 1;
	for (int i = 0; i < r->nchoices; i++)
		more = r->choice[i].n > more ? r->choice[i].n : more;
	if (prompt > (size_t)context)
		return err_set(err, "prompt of %zu tokens is longer than the model's context of %d tokens",
		    prompt, context);
	if (more > (size_t)context - prompt)
		return err_set(err,
		    "prompt of %zu tokens leaves no room for an answer in the model's context of %d tokens",
		    prompt, context);
	if (!r->nchoices) {
		const int left = context - (int)prompt;
		r->params.max_tokens = r->params.max_tokens < left ? r->params.max_tokens : left;
		more = (size_t)r->params.max_tokens;
	}
	/* A fork takes a copy of the prompt's last block. */
	if (engine_blocks_needed(l->engine, -1, (int)(prompt + more)) + 1 > engine_blocks_total(l->engine))
		return err_set(err,
		    "prompt of %zu tokens and %zu new ones need more than the key/value cache's %d positions",
		    prompt, more, engine_positions(l->engine));
	return 0;
}

static struct request *request_new(const struct local *l, const struct llm_request *q, void *tag,
    struct err *err)
{
	struct request *r = mem_zalloc(1, sizeof *r);
	r->tag = tag;
	r->seq = -1;
	r->params = q->params;
	r->seed = q->seed;
	r->first = q->first;
	r->id = mem_strdup(q->id ? q->id : "");
	r->stage = mem_strdup(q->stage ? q->stage : "");
	r->n = q->n;
	r->nchoices = q->nchoices > 0 ? q->nchoices : 0;
	r->branches = r->nchoices ? r->nchoices : r->n;
	r->completions = mem_zalloc((size_t)r->n, sizeof *r->completions);
	r->choice_text = mem_zalloc((size_t)r->nchoices, sizeof *r->choice_text);
	r->choice = mem_zalloc((size_t)r->nchoices, sizeof *r->choice);
	r->score = mem_zalloc((size_t)r->nchoices, sizeof *r->score);
	for (int i = 0; i < r->nchoices; i++) {
		r->choice_text[i] = mem_strdup(q->choices[i]);
		encode_more(l, q->choices[i], &r->choice[i]);
	}
	if (chat_render(l->model->chat, q->messages, q->nmessages, true, &r->prompt, err) == 0) {
		if (q->prefix)
			chat_continue(l->model->chat, q->prefix, &r->prompt);
		return r;
	}
	request_free(NULL, r);
	return NULL;
}

static int local_submit(struct llm *llm, const struct llm_request *q, void *tag, struct err *err)
{
	struct local *l = local_of(llm);
	struct request *r = request_new(l, q, tag, err);
	if (!r)
		return -1;
	if (fit(l, r, err) != 0) {
		request_free(l, r);
		return -1;
	}
	if (l->tail)
		l->tail->next = r;
	else
		l->head = r;
	l->tail = r;
	l->usage.requests++;
	l->usage.tokens_in += r->prompt.n;
	return 0;
}

static int local_waiting(const struct llm *l)
{
	int n = 0;
	for (const struct request *r = local_of(l)->head; r; r = r->next)
		n += r->nchoices ? 1 : r->branches - r->started;
	return n;
}

static int local_batch(const struct llm *l)
{
	return local_of(l)->batch;
}

void local_completion(const struct local *l, struct llm_completion *c, const struct ids *out,
    enum llm_finish finish)
{
	struct buf b = { 0 };
	tokenizer_decode_text(l->model->tokenizer, out->v, out->n, &b);
	c->text = text_clean(b.data, b.len);
	c->tokens = (int)out->n;
	c->finish = finish;
	c->choice = -1;
	buf_free(&b);
}

static void make_choices(struct local *l, struct request *r)
{
	choice_normalise(r->score, r->nchoices);
	for (int j = 0; j < r->n; j++) {
		struct llm_completion *c = &r->completions[j];
		const struct rng rng = rng_stream(r->seed, r->id, r->stage, r->first + (uint64_t)j);
		*c = choice_complete((const char *const *)r->choice_text, r->score, r->nchoices, r->params.temperature,
		    rng_uniform(&rng, 0));
		c->tokens = (int)r->choice[c->choice].n;
		l->usage.tokens_out += r->choice[c->choice].n;
	}
}

void local_answer(struct local *l, struct request *r)
{
	if (r->nchoices)
		make_choices(l, r);
	struct llm_answer *a = mem_zalloc(1, sizeof *a);
	a->tag = r->tag;
	a->completions = r->completions;
	a->n = r->n;
	r->completions = NULL;
	request_free(l, r);
	llm_put_done(&l->llm, a);
}

static int local_next(struct llm *llm, struct llm_answer **answer, struct err *err)
{
	struct local *l = local_of(llm);
	for (;;) {
		if (llm_interrupted())
			return 0;
		if (!llm->done)
			local_schedule(l);
		if ((*answer = llm_take_done(llm)))
			return 1;
		if (!l->head && l->nrunning == 0)
			return 0;
		if (local_step(l, err) != 0)
			return -1;
		if (l->tick)
			l->tick(l->tick_arg);
	}
}

static struct llm_usage local_usage(const struct llm *l)
{
	return local_of(l)->usage;
}

static const char *local_model_path(const struct llm *l)
{
	return local_of(l)->model->path;
}

static const struct llm_door door = {
	.submit = local_submit, .waiting = local_waiting, .batch = local_batch, .next = local_next,
	.usage = local_usage, .close = local_close, .model_path = local_model_path,
};

struct llm *local_open(const struct llm_options *o, struct err *err)
{
	struct local *l = mem_zalloc(1, sizeof *l);
	l->llm.does = &door;
	l->keep_prefixes = true;
	l->tick = o->tick;
	l->tick_arg = o->tick_arg;
	l->batch = o->batch > 0 ? o->batch : DEFAULT_BATCH;
	if (l->batch > ENGINE_MAX_ROWS)
		l->batch = ENGINE_MAX_ROWS;
	if (!(l->model = model_open(o->model, o->chat_template, err)))
		goto fail;
	if (!l->model->chat) {
		err_set(err, "the file has no chat template; name one with --chat-template");
		goto fail;
	}
	l->end_of_turn = chat_end_of_turn(l->model->chat);
	l->eos = tokenizer_eos(l->model->tokenizer);
	l->pool = pool_new(o->threads);
	l->engine = engine_new(l->model, l->pool, &(struct engine_options){ o->kv_bytes, o->exact }, err);
	if (!l->engine || make_slots(l, err) != 0)
		goto fail;
	return &l->llm;
fail:
	local_close(&l->llm);
	return NULL;
}

void local_keep_prefixes(struct local *l, bool keep)
{
	l->keep_prefixes = keep;
	while (!keep && prefix_drop(l))
		;
}

/*
 * The local model behind llm.h: answers are those of one sequence run alone,
 * whatever the batch, the threads, the cache or the company.
 */
#include "base/utf8.h"
#include "llm/llm.h"
#include "llm/local.h"
#include "model/ops.h"
#include "test.h"
#include "tiny_model.h"

static const struct tiny shape = {
	.layers = 2, .width = 48, .heads = 6, .kv_heads = 2, .head_size = 8, .ffn = 64, .context = 256,
	.rope_dims = 8, .type = TENSOR_F32, .seed = 9,
};

enum { REQUESTS = 12, BLOCK = 32 * 2 * 2 * (8 + 16) * 4 };

static char path[64];
static struct message messages[REQUESTS];
static char contents[REQUESTS][200];

static struct llm *open_llm(int batch, int threads, size_t kv_bytes)
{
	struct err err = { "" };
	struct llm *l = llm_open(&(struct llm_options){ .model = path, .batch = batch, .threads = threads,
		.kv_bytes = kv_bytes }, &err);
	if (!l) {
		printf("not ok - %s\n", err.msg);
		exit(1);
	}
	return l;
}

/* Prompts that share beginnings of several lengths, as judges' do. */
static void make_messages(void)
{
	static const char rubric[] = "Read the question and the answer, and say what it is worth. ";
	for (int i = 0; i < REQUESTS; i++) {
		snprintf(contents[i], sizeof contents[i], "%sQuestion %d.%s%d", i % 4 == 3 ? "" : rubric,
		    i / 4, i % 2 ? " Some more words, then number " : " ", i);
		messages[i] = (struct message){ "user", contents[i] };
	}
	/* one twice */
	messages[7] = messages[6];
}

static struct llm_request request(int i)
{
	return (struct llm_request){
		.messages = &messages[i], .nmessages = 1, .n = 1 + i % 4 * 3,
		.params = {
			.temperature = i == 5 ? 0 : 0.9, .top_p = i % 3 ? 0.95 : 1, .top_k = i == 8 ? 20 : 0,
			.max_tokens = 10 + 9 * i,
		},
		.seed = 11, .id = i == 7 ? "six again" : messages[i].content, .stage = "test",
		.first = (uint64_t)i,
		.prefix = i % 5 == 4 ? "So far, so good" : NULL,
	};
}

static const char *const scores[] = { " 0", " 1", " 2", " 3", "not one of them", " 3 and more" };

enum { NSCORES = sizeof scores / sizeof *scores };

static struct llm_request choice_request(int i)
{
	struct llm_request r = request(i);
	r.choices = scores;
	r.nchoices = NSCORES;
	return r;
}

static const char *answer_text(const struct llm_answer *a, struct buf *b)
{
	for (int j = 0; j < a->n; j++) {
		const struct llm_completion *c = &a->completions[j];
		buf_printf(b, "%d %d %d:%s\n", c->tokens, c->finish, c->choice, c->text);
		for (int k = 0; c->logprobs && k < NSCORES; k++)
			buf_printf(b, " %.17g", c->logprobs[k]);
	}
	return b->data;
}

/* Runs all requests (and as many with choices), in an order of its own;
 * what the answers say, in the requests' order. */
static char *run_all(struct llm *l, int order)
{
	static int tags[2 * REQUESTS];
	struct buf all = { 0 }, texts[2 * REQUESTS] = { 0 };
	struct llm_answer *a = NULL;
	struct err err = { "" };
	int submitted = 0, answered = 0, got;
	do {
		/* a few at a time, so that some come while others run */
		for (int k = 0; k < 5 && submitted < 2 * REQUESTS; k++, submitted++) {
			const int i = order == 0 ? submitted : (submitted * 7 + order) % (2 * REQUESTS);
			const struct llm_request r = i < REQUESTS ? request(i) : choice_request(i - REQUESTS);
			tags[i] = i;
			CHECK(llm_submit(l, &r, &tags[i], &err) == 0);
		}
		got = llm_next(l, &a, &err);
		CHECK(got >= 0);
		if (got > 0) {
			CHECK(!a->err && a->n == request(*(int *)a->tag % REQUESTS).n);
			answer_text(a, &texts[*(int *)a->tag]);
			llm_answer_free(a);
			answered++;
		}
	} while (got > 0);
	CHECK(answered == 2 * REQUESTS && llm_waiting(l) == 0);
	for (int i = 0; i < 2 * REQUESTS; i++) {
		buf_printf(&all, "request %d\n%s\n", i, texts[i].data ? texts[i].data : "no answer");
		buf_free(&texts[i]);
	}
	return buf_take(&all);
}

static void answers_do_not_depend_on_batch_threads_cache_or_order(void)
{
	static const struct {
		int batch, threads, order, kv_blocks;
		bool keep;
	} ways[] = {
		{ 2, 1, 0, 0, true }, { 16, 1, 0, 0, true }, { 16, 2, 0, 0, false },
		{ 5, 2, 1, 0, true }, { 100, 1, 5, 0, true }, { 16, 1, 0, 11, true },
		{ 16, 1, 1, 14, false }, { 3, 1, 11, 30, true },
	};
	struct llm *l = open_llm(1, 1, 0);
	local_keep_prefixes(local_of(l), false);
	char *wanted = run_all(l, 0);
	/* and once more, in the same process */
	char *again = run_all(l, 0);
	CHECK_STR(again, wanted);
	free(again);
	llm_close(l);
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
		l = open_llm(ways[i].batch, ways[i].threads, (size_t)ways[i].kv_blocks * BLOCK);
		local_keep_prefixes(local_of(l), ways[i].keep);
		char *got = run_all(l, ways[i].order);
		CHECK(strcmp(got, wanted) == 0);
		free(got);
		/* all that is still held is what is kept for later */
		local_keep_prefixes(local_of(l), false);
		CHECK(engine_blocks_free(local_of(l)->engine) == engine_blocks_total(local_of(l)->engine));
		llm_close(l);
	}
	free(wanted);
}

/* One request and its answer. */
static struct llm_answer *ask(struct llm *l, const struct llm_request *r)
{
	struct llm_answer *a = NULL;
	struct err err = { "lost" };
	if (llm_submit(l, r, NULL, &err) != 0 || llm_next(l, &a, &err) != 1) {
		printf("not ok - no answer: %s\n", err.msg);
		exit(1);
	}
	CHECK(!a->err && a->n == r->n);
	return a;
}

static void the_cache_is_used(void)
{
	struct llm *l = open_llm(16, 1, 0);
	struct llm_request r = request(0);
	struct err err;
	llm_answer_free(ask(l, &r));
	struct ids other = { 0 };
	chat_render(local_of(l)->model->chat, &messages[1], 1, true, &other, &err);
	const int seq = prefix_take(local_of(l), &other), shared = engine_seq_length(local_of(l)->engine, seq);
	CHECK(shared > 60 && shared < (int)other.n);
	engine_seq_free(local_of(l)->engine, seq);
	ids_free(&other);
	llm_close(l);
}

/* --- what one sequence alone says --- */

static void prompt_ids(const struct llm *l, const struct llm_request *r, struct ids *out)
{
	struct err err;
	CHECK(chat_render(local_of(l)->model->chat, r->messages, r->nmessages, true, out, &err) == 0);
	if (r->prefix)
		tokenizer_encode(local_of(l)->model->tokenizer, r->prefix, strlen(r->prefix), false, out);
}

static float *logits_after(struct llm *l, const struct ids *ids)
{
	float *logits = mem_zalloc(TINY_VOCAB, sizeof *logits);
	struct err err;
	const int seq = engine_seq_new(local_of(l)->engine);
	for (size_t i = 0; i < ids->n; i++) {
		const struct engine_row row = { seq, ids->v[i], i + 1 == ids->n };
		CHECK(engine_step(local_of(l)->engine, &row, 1, logits, &err) == 0);
	}
	engine_seq_free(local_of(l)->engine, seq);
	return logits;
}

/* Continuation j by the book: token t from draw t of its stream. */
static void continue_alone(struct llm *l, const struct llm_request *r, int j, struct llm_completion *c)
{
	const struct rng rng = rng_stream(r->seed, r->id, r->stage, r->first + (uint64_t)j);
	const struct sampler s = { r->params.temperature, r->params.top_p, r->params.top_k };
	struct sampler_scratch *scratch = sampler_scratch_new(TINY_VOCAB);
	struct ids ids = { 0 }, out = { 0 };
	prompt_ids(l, r, &ids);
	c->finish = LLM_LENGTH;
	while ((int)out.n < r->params.max_tokens) {
		float *logits = logits_after(l, &ids);
		const int32_t t = sample_token(&s, logits, TINY_VOCAB, rng_uniform(&rng, out.n), scratch);
		free(logits);
		if (t == TINY_END) {
			c->finish = LLM_STOP;
			break;
		}
		ids_add(&ids, t);
		ids_add(&out, t);
	}
	local_completion(local_of(l), c, &out, c->finish);
	ids_free(&ids);
	ids_free(&out);
	sampler_scratch_free(scratch);
}

static void continuations_are_drawn_as_the_header_says(void)
{
	struct llm *l = open_llm(4, 1, 0);
	struct err err;
	int stopped = 0, cut = 0;
	for (int i = 0; i < 6; i++) {
		const struct llm_request r = request(i);
		struct llm_answer *a = NULL;
		CHECK(llm_submit(l, &r, &i, &err) == 0);
		CHECK(llm_next(l, &a, &err) == 1 && a->tag == &i && a->n == r.n);
		for (int j = 0; j < a->n; j++) {
			struct llm_completion wanted = { 0 };
			const struct llm_completion *c = &a->completions[j];
			continue_alone(l, &r, j, &wanted);
			CHECK_STR(c->text, wanted.text);
			CHECK(c->tokens == wanted.tokens && c->finish == wanted.finish && c->choice == -1 &&
			    !c->logprobs);
			CHECK(c->finish == LLM_STOP || c->tokens == r.params.max_tokens);
			stopped += c->finish == LLM_STOP;
			cut += c->finish == LLM_LENGTH;
			free(wanted.text);
		}
		llm_answer_free(a);
	}
	/* both ends were seen */
	CHECK(stopped > 0 && cut > 0);
	llm_close(l);
}

static double score_alone(struct llm *l, const struct llm_request *r, const char *choice)
{
	struct ids ids = { 0 }, tokens = { 0 };
	double sum = 0;
	prompt_ids(l, r, &ids);
	tokenizer_encode(local_of(l)->model->tokenizer, choice, strlen(choice), false, &tokens);
	for (size_t i = 0; i < tokens.n; i++) {
		float *logits = logits_after(l, &ids);
		sum += logits[tokens.v[i]] - op_logsumexp(logits, TINY_VOCAB);
		free(logits);
		ids_add(&ids, tokens.v[i]);
	}
	ids_free(&ids);
	ids_free(&tokens);
	return sum;
}

static void choices_have_their_continuations_probabilities(void)
{
	struct llm *l = open_llm(3, 1, 0);
	struct llm_request r = choice_request(4);
	double wanted[NSCORES], sum = 0;
	r.n = 200;
	r.params.temperature = 10;      /* the model is sure of itself */
	for (int i = 0; i < NSCORES; i++)
		sum += exp(wanted[i] = score_alone(l, &r, scores[i]));
	struct llm_answer *a = ask(l, &r);
	int counts[NSCORES] = { 0 };
	for (int j = 0; j < a->n; j++) {
		const struct llm_completion *c = &a->completions[j];
		/* draw 0 of stream j, at the temperature */
		const struct rng rng = rng_stream(r.seed, r.id, r.stage, r.first + (uint64_t)j);
		double mass = 0, below = 0;
		for (int i = 0; i < NSCORES; i++) {
			CHECK_NEAR(c->logprobs[i], wanted[i] - log(sum), 1e-6);
			mass += exp(c->logprobs[i] / r.params.temperature);
		}
		for (int i = 0; i < c->choice; i++)
			below += exp(c->logprobs[i] / r.params.temperature) / mass;
		CHECK(rng_uniform(&rng, 0) >= below - 1e-9);
		CHECK(rng_uniform(&rng, 0) <=
		    below + exp(c->logprobs[c->choice] / r.params.temperature) / mass + 1e-9);
		CHECK_STR(c->text, scores[c->choice]);
		CHECK(c->finish == LLM_STOP && c->tokens == (int)strlen(c->text));      /* byte by byte */
		counts[c->choice]++;
	}
	for (int i = 0; i < 4; i++)
		CHECK(counts[i] > 0);
	llm_answer_free(a);
	/* the most likely one */
	r.params.temperature = 0;
	r.n = 2;
	a = ask(l, &r);
	for (int i = 0; i < NSCORES; i++)
		CHECK(wanted[i] <= wanted[a->completions[0].choice]);
	CHECK(a->completions[0].choice == a->completions[1].choice);
	llm_answer_free(a);
	llm_close(l);
}

static void a_choice_may_be_long(void)
{
	char text[121];
	struct llm *l = open_llm(1, 1, 0);
	struct llm_request r = request(3);
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	r.choices = (const char *const[]){ "y", text };
	r.nchoices = 2;
	r.n = 1;
	const double first = score_alone(l, &r, "y"), second = score_alone(l, &r, text);
	struct llm_answer *a = ask(l, &r);
	CHECK_NEAR(a->completions[0].logprobs[1] - a->completions[0].logprobs[0], second - first, 1e-5);
	llm_answer_free(a);
	llm_close(l);
}

static void texts_are_utf8_without_nul(void)
{
	struct llm *l = open_llm(0, 1, 0);
	struct llm_request r = request(0);
	int replaced = 0;
	r.n = 50;
	r.params = (struct llm_params){ 3, 1, 0, 60 };
	CHECK(llm_batch(l) == 32);
	struct llm_answer *a = ask(l, &r);
	for (int j = 0; j < a->n; j++) {
		const char *text = a->completions[j].text;
		CHECK(utf8_check(text, strlen(text)) == strlen(text));
		replaced += strstr(text, "\xef\xbf\xbd") != NULL;
	}
	CHECK(replaced > 10);
	llm_answer_free(a);
	/* single bytes: of a character, and U+0000 */
	struct ids ids = { 0 };
	tokenizer_encode(local_of(l)->model->tokenizer, "a\0b\xc3\xa9", 5, false, &ids);
	struct llm_completion c;
	CHECK(ids.n == 5);
	local_completion(local_of(l), &c, &ids, LLM_STOP);
	CHECK_STR(c.text, "a\xef\xbf\xbd" "b\xc3\xa9");
	free(c.text);
	ids.n = 4;
	local_completion(local_of(l), &c, &ids, LLM_STOP);
	CHECK_STR(c.text, "a\xef\xbf\xbd" "b\xef\xbf\xbd");
	free(c.text);
	ids_free(&ids);
	llm_close(l);
}

static void max_tokens_is_cut_to_the_context(void)
{
	struct llm *l = open_llm(0, 1, 0);
	struct llm_request r = request(0);
	struct ids ids = { 0 };
	int full = 0;
	prompt_ids(l, &r, &ids);
	r.n = 20;
	r.params = (struct llm_params){ 1, 1, 0, 1000000 };
	struct llm_answer *a = ask(l, &r);
	for (int j = 0; j < a->n; j++) {
		const struct llm_completion *c = &a->completions[j];
		CHECK(c->tokens <= shape.context - (int)ids.n);
		CHECK((c->finish == LLM_LENGTH) == (c->tokens == shape.context - (int)ids.n));
		full += c->finish == LLM_LENGTH;
	}
	CHECK(full > 0);
	llm_answer_free(a);
	ids_free(&ids);
	llm_close(l);
}

static void bad_requests_have_their_line(void)
{
	static char text[2000];
	const struct message m = { "user", text }, bad = { "user", "ab\xff" }, role = { "tool", "x" };
	struct llm *l = open_llm(0, 1, 0);
	struct llm_request r = request(0);
	struct err err = { "" };
	struct llm_answer *a = NULL;
	memset(text, '.', 1000);
	r.messages = &m;
	CHECK(llm_submit(l, &r, NULL, &err) == -1);
	CHECK_STR(err.msg, "prompt of 1019 tokens is longer than the model's context of 256 tokens");
	text[256 - 19] = '\0';
	CHECK(llm_submit(l, &r, NULL, &err) == -1);
	CHECK_STR(err.msg,
	    "prompt of 256 tokens leaves no room for an answer in the model's context of 256 tokens");
	r.messages = &bad;
	CHECK(llm_submit(l, &r, NULL, &err) == -1);
	CHECK_STR(err.msg, "message 1 is not UTF-8 at byte 3");
	r.messages = &role;
	CHECK(llm_submit(l, &r, NULL, &err) == -1);
	r = request(0);
	r.prefix = "\xc0\x80";
	CHECK(llm_submit(l, &r, NULL, &err) == -1);
	r.prefix = NULL;
	r.n = 0;
	CHECK(llm_submit(l, &r, NULL, &err) == -1);
	r.n = 1;
	r.params.max_tokens = 0;
	CHECK(llm_submit(l, &r, NULL, &err) == -1);
	r = choice_request(0);
	r.choices = (const char *const[]){ "a", "" };
	r.nchoices = 2;
	CHECK(llm_submit(l, &r, NULL, &err) == -1);
	CHECK_STR(err.msg, "choice 2 is empty");
	CHECK(llm_waiting(l) == 0 && llm_next(l, &a, &err) == 0);
	llm_close(l);
	/* a cache that is too small for this request, but not for another */
	l = open_llm(0, 1, 5 * BLOCK);
	r = request(0);
	r.params.max_tokens = 100;
	CHECK(llm_submit(l, &r, NULL, &err) == -1);
	CHECK_STR(err.msg,
	    "prompt of 89 tokens and 100 new ones need more than the key/value cache's 160 positions");
	r.params.max_tokens = 20;
	llm_answer_free(ask(l, &r));
	llm_close(l);
	CHECK(!llm_open(&(struct llm_options){ .model = "/nowhere.gguf" }, &err));
	CHECK(!llm_open(&(struct llm_options){ .model = path, .chat_template = "nosuch" }, &err));
}

static void an_interrupt_ends_one_wait(void)
{
	struct llm *l = open_llm(2, 1, 0);
	struct llm_request r = request(0), s = request(3);
	struct llm_answer *a = NULL;
	struct err err;
	CHECK(llm_submit(l, &r, NULL, &err) == 0);
	llm_interrupt();
	CHECK(llm_next(l, &a, &err) == 0);
	CHECK(llm_next(l, &a, &err) == 1);
	llm_answer_free(a);
	CHECK(llm_next(l, &a, &err) == 0);
	const struct llm_usage u = llm_usage(l);
	CHECK(u.requests == 1 && u.tokens_in == 89 && u.tokens_out > 0 && u.tokens_out <= 10);
	CHECK_STR(llm_model_path(l), path);
	/* closed with one answer untaken, one request running, one waiting */
	CHECK(llm_submit(l, &r, NULL, &err) == 0 && llm_submit(l, &r, NULL, &err) == 0);
	CHECK(llm_submit(l, &s, NULL, &err) == 0 && llm_submit(l, &s, NULL, &err) == 0);
	CHECK(llm_waiting(l) == 22);
	CHECK(llm_next(l, &a, &err) == 1);
	llm_answer_free(a);
	llm_close(l);
}

int main(void)
{
	tiny_write(path, &shape, NULL);
	make_messages();
	TEST(answers_do_not_depend_on_batch_threads_cache_or_order);
	TEST(the_cache_is_used);
	TEST(continuations_are_drawn_as_the_header_says);
	TEST(choices_have_their_continuations_probabilities);
	TEST(a_choice_may_be_long);
	TEST(texts_are_utf8_without_nul);
	TEST(max_tokens_is_cut_to_the_context);
	TEST(bad_requests_have_their_line);
	TEST(an_interrupt_ends_one_wait);
	unlink(path);
	return tests_done();
}

/* The trainer's forward and backward pass against a slow reference in double
 * precision, and against itself: with and without a shared prefix, for any
 * number of threads. (Gradients: test_gradients.c.) */
#include "test.h"

#include "base/pool.h"
#include "model/engine.h"
#include "train/dpo.h"
#include "train/train.h"
#include "tiny_model.h"
#include "train_fixture.h"

static void backward_of_the_tree(struct fixture *f, double *logps)
{
	struct err err;

	CHECK(trainer_forward(f->t, tree, NSEGS, true, logps, NULL, &err) == 0);
	CHECK(trainer_backward(f->t, weights, &err) == 0);
}

static void forward_matches_the_reference(void)
{
	for (int i = 0; i < SHAPES; i++) {
		struct fixture f = fixture_new(&shapes[i], 2);
		double logps[NSEGS];
		struct err err;

		CHECK(trainer_forward(f.t, tree, NSEGS, false, logps, NULL, &err) == 0);
		for (int s = 0; s < NSEGS; s++)
			CHECK_NEAR(logps[s], targets[s] ? ref_segment(&f.ref, s) : 0, 1e-3);
		fixture_free(&f);
	}
}

static double distance(const float *a, const float *b, size_t n)
{
	double diff = 0, norm = 0;

	for (size_t i = 0; i < n; i++) {
		diff += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
		norm += (double)a[i] * a[i];
	}
	return sqrt(diff / norm);
}

static void a_shared_prefix_changes_nothing(void)
{
	struct fixture f = fixture_new(&shapes[0], 2);
	double logps[NSEGS], sum = 0;
	size_t n;
	float *g = trainer_grads(f.t), *shared;
	struct err err;

	trainer_weights(f.t, &n);
	backward_of_the_tree(&f, logps);
	shared = malloc(n * sizeof *shared);
	memcpy(shared, g, n * sizeof *g);
	trainer_zero_grads(f.t);
	for (int s = 0; s < NSEGS; s++) {
		int32_t ids[256];
		int whole, from = path(s, ids, &whole);
		struct segment alone[2] = { { ids, from, -1, false }, { ids + from, whole - from, 0, true } };
		double lp[2], scale[2] = { 0, weights[s] };
		int root = from == 0;

		if (!targets[s])
			continue;
		alone[1].parent = root ? -1 : 0;
		CHECK(trainer_forward(f.t, alone + root, 2 - root, true, lp + root, NULL, &err) == 0);
		CHECK(trainer_backward(f.t, scale + root, &err) == 0);
		CHECK_NEAR(lp[1], logps[s], 1e-5 * fabs(logps[s]));
		sum += fabs(lp[1]);
	}
	CHECK(sum > 100);
	CHECK(distance(g, shared, n) < 1e-5);
	free(shared);
	fixture_free(&f);
}

static void same_bytes_for_any_number_of_threads(const struct net_shape *s)
{
	struct fixture one = fixture_new(s, 1);
	double logps[2][NSEGS];
	size_t n;

	trainer_weights(one.t, &n);
	backward_of_the_tree(&one, logps[0]);
	for (int threads = 2; threads <= 3; threads++) {
		struct fixture f = fixture_new(s, threads);

		backward_of_the_tree(&f, logps[1]);
		CHECK(memcmp(trainer_grads(one.t), trainer_grads(f.t), n * sizeof(float)) == 0);
		CHECK(memcmp(logps[0], logps[1], sizeof logps[0]) == 0);
		fixture_free(&f);
	}
	fixture_free(&one);
}

static void the_same_bytes_for_any_number_of_threads(void)
{
	for (int i = 0; i < SHAPES; i += 2)
		same_bytes_for_any_number_of_threads(&shapes[i]);
}

/* More targets than are scored at once. */
static void long_targets_and_correct_tokens(void)
{
	const struct net_shape small = { .layers = 1, .width = 16, .heads = 2, .kv_heads = 1, .head_size = 8,
	    .ffn = 16, .vocab = 40, .rope_dims = 8, .tied = true };
	struct fixture f = fixture_new(&small, 2);
	enum { LONG = 1100 };
	static int32_t ids[LONG], best[LONG];
	struct rng r = rng_stream(5, "long", "test", 0);
	double *logp = calloc(LONG, sizeof *logp), sum = 0, one[1], d[1] = { 1 };
	int correct[1], wanted = 0;
	struct segment s = { ids, LONG, -1, true };
	struct err err;

	for (int i = 0; i < LONG; i++)
		ids[i] = (int32_t)rng_below(&r, (uint64_t)i, 40);
	ref_logprobs(&f.ref, ids, LONG, 1, logp, best);
	for (int i = 1; i < LONG; i++) {
		sum += logp[i];
		wanted += best[i] == ids[i];
	}
	CHECK(trainer_forward(f.t, &s, 1, true, one, correct, &err) == 0);
	CHECK_NEAR(one[0], sum, 1e-5 * fabs(sum));
	CHECK(wanted > 5 && abs(correct[0] - wanted) <= 1);     /* but for a tie that rounding decides */
	CHECK(trainer_backward(f.t, d, &err) == 0);
	CHECK(trainer_backward(f.t, d, &err) != 0);     /* once only */
	free(logp);
	fixture_free(&f);
}

static void engine_gives_the_same_log_probabilities(struct net_shape s)
{
	struct fixture f;
	float *logits;
	struct engine *e;
	struct engine_row rows[32];
	double sum = 0, logps[1];
	struct segment seg = { tokens[1], 32, -1, true };
	struct err err;

	s.width = s.ffn = 32;
	s.head_size = s.rope_dims = 16;
	f = fixture_new(&s, 2);
	logits = malloc(32 * (size_t)s.vocab * sizeof *logits);
	e = engine_new(&f.net->m, f.pool, &(struct engine_options){ 0 }, &err);
	CHECK(e != NULL);
	if (!e)
		return;
	rows[0].seq = engine_seq_new(e);
	for (int i = 0; i < 32; i++)
		rows[i] = (struct engine_row){ rows[0].seq, tokens[1][i], true };
	CHECK(engine_step(e, rows, 32, logits, &err) == 0);
	for (int i = 0; i < 31; i++) {
		const float *x = logits + (size_t)i * (size_t)s.vocab;
		double total = exp((double)x[0]);

		for (int j = 1; j < s.vocab; j++)
			total += exp((double)x[j]);
		sum += (double)x[tokens[1][i + 1]] - log(total);
	}
	CHECK(trainer_forward(f.t, &seg, 1, false, logps, NULL, &err) == 0);
	CHECK_NEAR(logps[0], sum, 1e-3);
	engine_free(e);
	free(logits);
	fixture_free(&f);
}

static void the_engine_gives_the_same_log_probabilities(void)
{
	engine_gives_the_same_log_probabilities(shapes[1]);
	engine_gives_the_same_log_probabilities(shapes[2]);
}

static void bad_trees_are_refused(void)
{
	struct fixture f = fixture_new(&shapes[1], 1);
	int32_t ids[3] = { 1, 2, 300 };
	static int32_t many[5000];
	double logps[2], none[2] = { 0 };
	struct err err;
	struct segment token = { ids, 3, -1, true }, empty = { ids, 0, -1, true }, orphan = { ids, 2, 0, true },
	    longer = { many, 5000, -1, true };

	CHECK(trainer_forward(f.t, &token, 1, true, logps, NULL, &err) != 0 && strstr(err.msg, "token 300"));
	CHECK(trainer_forward(f.t, &empty, 1, true, logps, NULL, &err) != 0 && strstr(err.msg, "empty"));
	CHECK(trainer_forward(f.t, &orphan, 1, true, logps, NULL, &err) != 0 && strstr(err.msg, "parent"));
	CHECK(trainer_forward(f.t, &longer, 1, true, logps, NULL, &err) != 0 && strstr(err.msg, "context"));
	CHECK(trainer_forward(f.t, tree, 0, true, logps, NULL, &err) != 0);
	CHECK(trainer_backward(f.t, none, &err) != 0);
	fixture_free(&f);
}

/* A single-token completion of a single-token prompt. */
static void the_smallest_tree(void)
{
	struct fixture f = fixture_new(&shapes[1], 2);
	int32_t ids[2] = { 5, 9 };
	struct segment s[2] = { { ids, 1, -1, false }, { ids + 1, 1, 0, true } };
	double logps[2], logp[2], d[2] = { 0, 1 };
	struct err err;

	ref_logprobs(&f.ref, ids, 2, 1, logp, NULL);
	CHECK(trainer_forward(f.t, s, 2, true, logps, NULL, &err) == 0);
	CHECK_NEAR(logps[1], logp[1], 1e-5);
	CHECK(trainer_backward(f.t, d, &err) == 0);
	/* nothing to predict is no error either */
	CHECK(trainer_forward(f.t, s, 1, true, logps, NULL, &err) == 0);
	CHECK(trainer_backward(f.t, d, &err) == 0);
	fixture_free(&f);
}

/* One step of one weight, saved: the biases are in the file, and can be used again. */
static void a_qwen2_file_comes_out_as_one(void)
{
	static const struct tiny shape = { .layers = 2, .width = 32, .heads = 4, .kv_heads = 2, .head_size = 8,
	    .ffn = 32, .context = 64, .rope_dims = 8, .type = TENSOR_Q8_0, .seed = 3, .arch = "qwen2",
	    .qkv_bias = true };
	char from[64], to[80];
	struct err err = { "" };
	struct model *m = model_open(tiny_write(from, &shape, NULL), NULL, &err), *saved;
	struct pool *pool = pool_new(1);
	struct trainer *t = trainer_new(m, pool, &err);
	size_t n, all;
	ptrdiff_t at = trainer_offset(t, "blk.1.attn_k.bias", &n);
	float *w = trainer_weights(t, &all);

	CHECK(n == 16 && (size_t)at >= trainer_matrices(t));    /* no weight decay */
	w[at + 15] += 1;
	snprintf(to, sizeof to, "%s.new", from);
	CHECK(trainer_save(t, to, TENSOR_Q8_0, &err) == 0);
	saved = model_open(to, NULL, &err);
	CHECK(saved && saved->config.rope_layout == ROPE_HALVES && saved->layer[1].v_bias);
	if (saved) {
		CHECK(memcmp(saved->layer[1].k_bias->data, w + at, n * sizeof *w) == 0);
		CHECK(memcmp(saved->layer[1].q_bias->data, m->layer[1].q_bias->data, 32 * sizeof *w) == 0);
	}
	model_close(saved);
	trainer_free(t);
	pool_free(pool);
	model_close(m);
	unlink(from);
	unlink(to);
}

/* A task whose third step goes wrong; it is asked to stop before the fifth. */
struct faulty {
	int steps, logged;
	bool wrong;
};

static int faulty_batch(void *self, struct trainer *t, const uint32_t *which, uint32_t n, struct train_log *log,
    struct err *err)
{
	struct faulty *f = self;

	(void)which, (void)n, (void)err;
	log->loss = 1;
	trainer_grads(t)[0] = ++f->steps == 3 && f->wrong ? INFINITY : 1;
	return 0;
}

static int faulty_logged(void *owner, const struct train_log *log, struct err *err)
{
	(void)err;
	((struct faulty *)owner)->logged = (int)log->step;
	return 0;
}

static bool faulty_stopping(void *owner)
{
	return ((struct faulty *)owner)->steps == 4;
}

static void a_gradient_that_is_not_finite_stops_the_run(void)
{
	const struct train_plan plan = { .lr = 0.01, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .epochs = 10,
	    .batch = 2, .schedule = SCHEDULE_CONSTANT, .stage = "test" };
	struct example e[4] = { { .id = (char[]){ "p0" } }, { .id = (char[]){ "p1" } }, { .id = (char[]){ "p2" } },
	    { .id = (char[]){ "p3" } } };
	struct examples examples = { e, 4 };

	for (int wrong = 0; wrong < 2; wrong++) {
		struct fixture f = fixture_new(&shapes[1], 1);
		struct faulty faulty = { .wrong = wrong };
		struct train_task task = { .examples = &examples, .batch = faulty_batch, .self = &faulty,
		    .logged = faulty_logged, .stopping = faulty_stopping, .owner = &faulty };
		struct adamw adamw = { 0 };
		struct err err;
		size_t n;
		float *w = trainer_weights(f.t, &n), first = w[0];

		CHECK(adamw_init(&adamw, n, &err) == 0);
		CHECK(train_run(&plan, f.t, f.pool, &adamw, &task, &err) == (wrong ? -1 : 1));
		CHECK(!wrong || strstr(err.msg, "step 3") != NULL);
		CHECK(!wrong || strstr(err.msg, "p0, p1") != NULL);
		/* as many steps of 0.01 as were logged, and none after them */
		CHECK(faulty.logged == (wrong ? 2 : 4));
		CHECK_NEAR(w[0], first - 0.01 * faulty.logged, 1e-5);
		adamw_free(&adamw);
		fixture_free(&f);
	}
}

int main(void)
{
	TEST(forward_matches_the_reference);
	TEST(a_shared_prefix_changes_nothing);
	TEST(the_same_bytes_for_any_number_of_threads);
	TEST(long_targets_and_correct_tokens);
	TEST(the_engine_gives_the_same_log_probabilities);
	TEST(bad_trees_are_refused);
	TEST(the_smallest_tree);
	TEST(a_qwen2_file_comes_out_as_one);
	TEST(a_gradient_that_is_not_finite_stops_the_run);
	return tests_done();
}

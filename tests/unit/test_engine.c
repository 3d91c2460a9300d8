/*
 * The forward pass: against plain loops, and against itself in every other
 * batch, cut, fork and number of threads, bit by bit.
 */
#include "model/engine.h"
#include "model/kernels/matmul.h"
#include "model/ops.h"
#include "test.h"
#include "tiny_model.h"

enum { V = TINY_VOCAB, N = 150 };

/* Grouped queries, heads that are no multiple of sixteen, a part of them
 * turned, columns that are no multiple of sixteen. */
static const struct tiny odd = {
	.layers = 3, .width = 60, .heads = 10, .kv_heads = 2, .head_size = 18, .ffn = 100, .context = 200,
	.rope_dims = 12, .type = TENSOR_F32, .untied = true, .seed = 5,
};
static const struct tiny quantised = {
	.layers = 2, .width = 64, .heads = 4, .kv_heads = 4, .head_size = 16, .ffn = 96, .context = 200,
	.rope_dims = 16, .type = TENSOR_Q4_1, .seed = 6,
};

/* qwen2: biases, halves turned, the output matrix that of the embedding. */
static const struct tiny qwen = {
	.layers = 3, .width = 60, .heads = 10, .kv_heads = 2, .head_size = 18, .ffn = 100, .context = 200,
	.rope_dims = 18, .type = TENSOR_F32, .seed = 7, .arch = "qwen2", .qkv_bias = true,
};
/* The same with an output matrix, and parts of the heads turned. */
static const struct tiny qwen_quantised = {
	.layers = 2, .width = 64, .heads = 4, .kv_heads = 2, .head_size = 16, .ffn = 96, .context = 200,
	.rope_dims = 12, .type = TENSOR_Q8_0, .untied = true, .seed = 8, .arch = "qwen2", .qkv_bias = true,
};
/* llama with all biases it may have, and positions scaled. */
static const struct tiny biased = {
	.layers = 2, .width = 64, .heads = 4, .kv_heads = 2, .head_size = 32, .ffn = 96, .context = 200,
	.rope_dims = 32, .type = TENSOR_F16, .untied = true, .seed = 9, .qkv_bias = true, .o_bias = true,
	.rope_factor = 4,
};

static const char *best;        /* this CPU's kernels */
static const struct tiny *now;  /* the shape of the model */
static struct model *model;
static struct pool *pool;
static int32_t ids[N];

static struct engine *new_engine(struct pool *p, size_t kv_bytes)
{
	struct err err = { "" };
	struct engine *e = engine_new(model, p, &(struct engine_options){ .kv_bytes = kv_bytes }, &err);
	if (!e) {
		printf("not ok - %s\n", err.msg);
		exit(1);
	}
	return e;
}

static void open_model(const struct tiny *t)
{
	char path[64];
	struct err err = { "" };
	const struct rng r = rng_stream(1, "ids", "test", 0);
	now = t;
	model = model_open(tiny_write(path, t, NULL), NULL, &err);
	unlink(path);
	if (!model) {
		printf("not ok - %s\n", err.msg);
		exit(1);
	}
	for (int i = 0; i < N; i++)
		ids[i] = (int32_t)rng_below(&r, (uint64_t)i, V);
}

/* Feeds ids[from, to) in steps of at most chunk rows; all logits. */
static void feed(struct engine *e, int seq, int from, int to, int chunk, float *logits)
{
	struct engine_row rows[ENGINE_MAX_ROWS];
	struct err err = { "" };
	for (int at = from, n; at < to; at += n) {
		n = to - at < chunk ? to - at : chunk;
		for (int i = 0; i < n; i++)
			rows[i] = (struct engine_row){ seq, ids[at + i], true };
		CHECK(engine_step(e, rows, n, logits + (size_t)(at - from) * V, &err) == 0);
	}
}

static float *new_logits(void)
{
	return mem_zalloc((size_t)N * V, sizeof(float));
}

static bool same(const float *a, const float *b, int rows)
{
	return memcmp(a, b, (size_t)rows * V * sizeof *a) == 0;
}

/* --- the model in plain loops, in double --- */

static void product(double *y, const double *x, const struct gguf_tensor *w)
{
	const int cols = (int)w->dims[0], rows = (int)w->dims[1];
	float *values = mem_zalloc((size_t)cols, sizeof *values);
	for (int j = 0; j < rows; j++) {
		dequantize_row(w->type, (const char *)w->data + (size_t)j * (w->size / (size_t)rows), values,
		    (size_t)cols);
		y[j] = 0;
		for (int i = 0; i < cols; i++)
			y[j] += x[i] * (double)values[i];
	}
	free(values);
}

static void norm(double *y, const double *x, const struct gguf_tensor *w)
{
	const int n = (int)w->dims[0];
	double ss = 0;
	for (int i = 0; i < n; i++)
		ss += x[i] * x[i];
	for (int i = 0; i < n; i++)
		y[i] = x[i] / sqrt(ss / n + (double)model->config.norm_eps) *
		    (double)((const float *)w->data)[i];
}

static void turn(double *x, int heads, int pos)
{
	const bool halves = now->arch && strcmp(now->arch, "qwen2") == 0;
	const int n = now->rope_dims;
	const double scaled = now->rope_factor != 0 ? pos / now->rope_factor : pos;
	for (int h = 0; h < heads; h++, x += now->head_size)
		for (int i = 0; i < n / 2; i++) {
			const double a = scaled * pow(10000, -2.0 * i / n);
			double *first = x + (halves ? i : 2 * i), *second = halves ? first + n / 2 : first + 1;
			const double u = *first, v = *second;
			*first = u * cos(a) - v * sin(a);
			*second = u * sin(a) + v * cos(a);
		}
}

/* What the file has under that name, without the model's help. */
static void add(double *y, int layer, const char *name, bool there)
{
	char full[48];
	snprintf(full, sizeof full, "blk.%d.%s.bias", layer, name);
	const struct gguf_tensor *t = gguf_tensor(model->gguf, full);
	CHECK(!t == !there);
	for (int i = 0; t && i < t->dims[0]; i++)
		y[i] += (double)((const float *)t->data)[i];
}

enum { MAX_LAYERS = 3, MAX_WIDTH = 256 };

static double keys[MAX_LAYERS][N][MAX_WIDTH], vals[MAX_LAYERS][N][MAX_WIDTH];

static void attention(double *out, const double *q, int layer, int pos)
{
	const struct model_config *c = &model->config;
	const int d = c->head_size;
	for (int h = 0; h < c->heads; h++) {
		const int g = h / (c->heads / c->kv_heads);
		double p[N], sum = 0;
		for (int t = 0; t <= pos; t++) {
			p[t] = 0;
			for (int i = 0; i < d; i++)
				p[t] += q[h * d + i] * keys[layer][t][g * d + i];
			sum += p[t] = exp(p[t] / sqrt(d));
		}
		for (int i = 0; i < d; i++) {
			out[h * d + i] = 0;
			for (int t = 0; t <= pos; t++)
				out[h * d + i] += p[t] / sum * vals[layer][t][g * d + i];
		}
	}
}

static void forward(int32_t token, int pos, double *logits)
{
	const struct model_config *c = &model->config;
	double x[MAX_WIDTH] = { 0 }, a[MAX_WIDTH] = { 0 }, b[MAX_WIDTH] = { 0 }, q[MAX_WIDTH] = { 0 };
	float values[MAX_WIDTH] = { 0 };
	const struct gguf_tensor *w = model->embd;
	dequantize_row(w->type, (const char *)w->data + (size_t)token * (w->size / V), values,
	    (size_t)c->width);
	for (int i = 0; i < c->width; i++)
		x[i] = (double)values[i];
	for (int l = 0; l < c->layers; l++) {
		const struct layer_tensors *t = &model->layer[l];
		norm(a, x, t->attn_norm);
		product(q, a, t->q);
		product(keys[l][pos], a, t->k);
		product(vals[l][pos], a, t->v);
		add(q, l, "attn_q", now->qkv_bias);
		add(keys[l][pos], l, "attn_k", now->qkv_bias);
		add(vals[l][pos], l, "attn_v", now->qkv_bias);
		turn(q, c->heads, pos);
		turn(keys[l][pos], c->kv_heads, pos);
		attention(a, q, l, pos);
		product(b, a, t->o);
		add(b, l, "attn_output", now->o_bias);
		for (int i = 0; i < c->width; i++)
			x[i] += b[i];
		norm(a, x, t->ffn_norm);
		product(b, a, t->gate);
		product(q, a, t->up);
		for (int i = 0; i < c->ffn; i++)
			b[i] = b[i] / (1 + exp(-b[i])) * q[i];
		product(a, b, t->down);
		for (int i = 0; i < c->width; i++)
			x[i] += a[i];
	}
	norm(a, x, model->output_norm);
	product(logits, a, model->output);
}

static void logits_are_those_of_plain_loops(void)
{
	static const char *const names[] = { "avx512vnni", "avx512", "avx2", "portable" };
	struct err err = { "" };
	float *logits = new_logits();
	double wanted[V] = { 0 }, largest = 0;
	for (int path = 0; path < 5; path++) {
		if (path < 4 && matmul_force(names[path]) != 0)
			continue;
		struct engine *e = engine_new(model, pool, &(struct engine_options){ .exact = path == 4 },
		    &err);
		feed(e, engine_seq_new(e), 0, N, 40, logits);
		for (int i = 0; i < N; i++) {
			forward(ids[i], i, wanted);
			for (int t = 0; t < V; t++) {
				/* the kernels round x to sixteen bits */
				CHECK_NEAR(logits[(size_t)i * V + (size_t)t], wanted[t], path == 4 ? 2e-3 : 1e-2);
				largest = fmax(largest, fabs(wanted[t]));
			}
		}
		engine_free(e);
	}
	/* the model says something */
	CHECK(largest > 3);
	matmul_force(best);
	free(logits);
}

static void avx2_and_avx512_give_the_same_logits(void)
{
	static const char *const wider[] = { "avx512", "avx512vnni" };
	float *a = new_logits(), *b = new_logits();
	for (int i = 0; i < 2; i++) {
		if (matmul_force(wider[i]) != 0)
			continue;
		struct engine *e = new_engine(pool, 0);
		feed(e, engine_seq_new(e), 0, N, 64, a);
		matmul_force("avx2");
		feed(e, engine_seq_new(e), 0, N, 64, b);
		CHECK(same(a, b, N));
		engine_free(e);
	}
	matmul_force(best);
	free(a);
	free(b);
}

static void logits_do_not_depend_on_how_a_prompt_is_cut(void)
{
	static const int chunks[] = { 1, 7, 31, 32, 33, ENGINE_MAX_ROWS };
	struct engine *e = new_engine(pool, 0);
	float *a = new_logits(), *b = new_logits();
	feed(e, engine_seq_new(e), 0, N, 64, a);
	for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
		const int seq = engine_seq_new(e);
		memset(b, 0, (size_t)N * V * sizeof *b);
		feed(e, seq, 0, N, chunks[i], b);
		CHECK(same(a, b, N));
		engine_seq_free(e, seq);
	}
	engine_free(e);
	free(a);
	free(b);
}

static void logits_do_not_depend_on_threads(void)
{
	float *a = new_logits(), *b = new_logits();
	struct engine *e = new_engine(pool, 0);
	feed(e, engine_seq_new(e), 0, N, 50, a);
	for (int threads = 2; threads <= 5; threads++) {
		struct pool *p = pool_new(threads);
		struct engine *f = new_engine(p, 0);
		feed(f, engine_seq_new(f), 0, N, 50, b);
		CHECK(same(a, b, N));
		engine_free(f);
		pool_free(p);
	}
	engine_free(e);
	free(a);
	free(b);
}

/* Four sequences decode side by side while a fifth one is prefilled. */
static void logits_do_not_depend_on_the_batch(void)
{
	enum { SEQS = 5, STEPS = 20 };
	struct engine *e = new_engine(pool, 0);
	float *alone = new_logits(), *batch = new_logits(), *first = new_logits();
	struct err err = { "" };
	int seq[SEQS];
	feed(e, engine_seq_new(e), 0, N, 64, alone);
	for (int i = 0; i < SEQS; i++) {
		seq[i] = engine_seq_new(e);
		if (i < SEQS - 1)
			feed(e, seq[i], 0, 10 + 17 * i, 64, first);
	}
	for (int s = 0; s < STEPS; s++) {
		struct engine_row rows[SEQS - 1 + 3];
		for (int i = 0; i < SEQS - 1; i++)
			rows[i] = (struct engine_row){ seq[i], ids[10 + 17 * i + s], true };
		for (int i = 0; i < 3; i++)
			rows[SEQS - 1 + i] = (struct engine_row){ seq[SEQS - 1], ids[3 * s + i], i == 1 };
		CHECK(engine_step(e, rows, SEQS - 1 + 3, batch, &err) == 0);
		for (int i = 0; i < SEQS - 1; i++)
			CHECK(same(batch + (size_t)i * V, alone + (size_t)(10 + 17 * i + s) * V, 1));
		CHECK(same(batch + (size_t)(SEQS - 1) * V, alone + (size_t)(3 * s + 1) * V, 1));
	}
	engine_free(e);
	free(alone);
	free(batch);
	free(first);
}

static void forks_are_as_if_fed_anew(void)
{
	static const int cuts[] = { 1, 31, 32, 33, 64, 90 };
	struct engine *e = new_engine(pool, 0);
	float *a = new_logits(), *b = new_logits();
	const int parent = engine_seq_new(e);
	feed(e, parent, 0, 90, 64, a);
	feed(e, parent, 90, N, 64, a + (size_t)90 * V);
	for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
		const int n = cuts[i], child = engine_seq_fork_at(e, parent, n);
		const int twin = engine_seq_fork(e, child);
		CHECK(engine_seq_length(e, child) == n && engine_seq_length(e, twin) == n);
		/* the twin goes another way first */
		struct err err;
		for (int k = 0; k < 5; k++)
			CHECK(engine_step(e, &(struct engine_row){ twin, 7, false }, 1, NULL, &err) == 0);
		feed(e, child, n, N, 20, b);
		CHECK(same(b, a + (size_t)n * V, N - n));
		engine_seq_free(e, child);
		engine_seq_free(e, twin);
	}
	/* nobody wrote into the parent's positions */
	const int child = engine_seq_fork_at(e, parent, N - 1);
	feed(e, child, N - 1, N, 1, b);
	CHECK(same(b, a + (size_t)(N - 1) * V, 1));
	engine_free(e);
	free(a);
	free(b);
}

static void blocks_are_counted(void)
{
	struct engine *e = new_engine(pool, 0);
	float *logits = new_logits();
	const int total = engine_blocks_total(e);
	CHECK(engine_blocks_free(e) == total);
	CHECK(engine_blocks_needed(e, -1, 0) == 0 && engine_blocks_needed(e, -1, 32) == 1 &&
	    engine_blocks_needed(e, -1, 33) == 2);
	const int a = engine_seq_new(e);
	feed(e, a, 0, 40, 40, logits);
	CHECK(engine_blocks_free(e) == total - 2);
	CHECK(engine_blocks_needed(e, a, 24) == 0 && engine_blocks_needed(e, a, 25) == 1);
	const int b = engine_seq_fork(e, a);
	CHECK(engine_blocks_free(e) == total - 2);
	/* the second block is shared: writing takes a copy */
	CHECK(engine_blocks_needed(e, b, 0) == 0 && engine_blocks_needed(e, b, 24) == 1 &&
	    engine_blocks_needed(e, b, 25) == 2);
	feed(e, b, 40, 41, 1, logits);
	CHECK(engine_blocks_free(e) == total - 3);
	CHECK(engine_blocks_needed(e, a, 24) == 0);
	const int c = engine_seq_fork_at(e, a, 32);
	feed(e, c, 32, 33, 1, logits);
	CHECK(engine_blocks_free(e) == total - 4);
	engine_seq_free(e, a);
	CHECK(engine_blocks_free(e) == total - 3);
	engine_seq_free(e, b);
	CHECK(engine_blocks_free(e) == total - 2);
	engine_seq_free(e, c);
	CHECK(engine_blocks_free(e) == total);
	engine_free(e);
	free(logits);
}

/* An engine whose cache has so many blocks. */
static struct engine *small_engine(int blocks)
{
	const struct model_config *c = &model->config;
	const int padded = (c->head_size + 15) / 16 * 16;
	const int heads = c->layers * c->kv_heads;
	return new_engine(pool, (size_t)blocks * 32 * (size_t)(heads * (c->head_size + padded)) * 4);
}

static void a_step_that_does_not_fit_changes_nothing(void)
{
	struct engine *e = small_engine(4);
	float *a = new_logits(), *b = new_logits();
	struct err err = { "" };
	CHECK(engine_blocks_total(e) == 4 && engine_positions(e) == 128);
	const int first = engine_seq_new(e), second = engine_seq_new(e);
	feed(e, first, 0, 60, 60, a);
	feed(e, second, 0, 32, 32, b);
	struct engine_row rows[70];
	for (int i = 0; i < 70; i++)
		rows[i] = (struct engine_row){ i < 5 ? first : second, ids[i < 5 ? 60 + i : 27 + i], true };
	/* the first's fifth row takes the last block, the second has none left */
	CHECK(engine_step(e, rows, 70, b, &err) == -1);
	CHECK_STR(err.msg, "the key/value cache is full");
	CHECK(engine_seq_length(e, first) == 60 && engine_seq_length(e, second) == 32);
	CHECK(engine_blocks_free(e) == 1);
	engine_seq_free(e, second);
	feed(e, first, 60, 100, 40, b);
	struct engine *whole = new_engine(pool, 0);
	feed(whole, engine_seq_new(whole), 0, 100, 100, a);
	CHECK(same(b, a + (size_t)60 * V, 40));
	engine_free(whole);
	engine_free(e);
	free(a);
	free(b);
}

static void bad_steps_have_their_message(void)
{
	struct engine *e = new_engine(pool, 0);
	float *logits = mem_zalloc((size_t)ENGINE_MAX_ROWS * V, sizeof *logits);
	struct engine_row rows[ENGINE_MAX_ROWS + 1] = { { .token = 0 } };
	struct err err = { "" };
	const int seq = engine_seq_new(e);
	for (int i = 0; i <= ENGINE_MAX_ROWS; i++)
		rows[i] = (struct engine_row){ seq, 5, true };
	CHECK(engine_step(e, rows, 0, logits, &err) == -1);
	CHECK(engine_step(e, rows, ENGINE_MAX_ROWS + 1, logits, &err) == -1);
	CHECK_STR(err.msg, "a step of 257 rows; 1 to 256 are possible");
	CHECK(engine_step(e, rows, 201, logits, &err) == -1);
	CHECK_STR(err.msg, "201 tokens after 0 are more than the model's context of 200 tokens");
	rows[1].token = V;
	CHECK(engine_step(e, rows, 2, logits, &err) == -1);
	CHECK_STR(err.msg, "token 260 is out of range; the model has 260");
	rows[1].token = -1;
	CHECK(engine_step(e, rows, 2, logits, &err) == -1);
	rows[1].token = 5;
	rows[1].seq = 3;
	CHECK(engine_step(e, rows, 2, logits, &err) == -1);
	CHECK_STR(err.msg, "there is no sequence 3");
	CHECK(engine_seq_length(e, seq) == 0);
	rows[1].seq = seq;
	CHECK(engine_step(e, rows, 200, logits, &err) == 0);
	CHECK(engine_step(e, rows, 1, logits, &err) == -1);
	CHECK_STR(err.msg, "1 tokens after 200 are more than the model's context of 200 tokens");
	engine_free(e);
	CHECK(!engine_new(model, pool, &(struct engine_options){ .kv_bytes = 100 }, &err));
	free(logits);
}

static void all_tests(const struct tiny *t)
{
	open_model(t);
	TEST(logits_are_those_of_plain_loops);
	TEST(avx2_and_avx512_give_the_same_logits);
	TEST(logits_do_not_depend_on_how_a_prompt_is_cut);
	TEST(logits_do_not_depend_on_threads);
	TEST(logits_do_not_depend_on_the_batch);
	TEST(forks_are_as_if_fed_anew);
	TEST(blocks_are_counted);
	TEST(a_step_that_does_not_fit_changes_nothing);
	TEST(bad_steps_have_their_message);
	model_close(model);
}

int main(void)
{
	best = matmul_kernel_name();
	pool = pool_new(1);
	all_tests(&odd);
	all_tests(&quantised);
	all_tests(&qwen);
	all_tests(&qwen_quantised);
	all_tests(&biased);
	pool_free(pool);
	return tests_done();
}

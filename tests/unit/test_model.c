/* model_open: what it reads, and what it refuses, each with its line. */
#include "model/inspect.h"
#include "model/model.h"
#include "test.h"
#include "tiny_model.h"

static const struct tiny shape = {
	.layers = 2, .width = 24, .heads = 6, .kv_heads = 2, .head_size = 6, .ffn = 40, .context = 128,
	.rope_dims = 4, .type = TENSOR_F32, .untied = true, .seed = 1,
};

static void sizes_and_tensors_are_read(void)
{
	char path[64];
	struct err err = { "" };
	struct model *m = model_open(tiny_write(path, &shape, NULL), NULL, &err);
	CHECK_STR(err.msg, "");
	CHECK(m);
	if (m) {
		const struct model_config *c = &m->config;
		CHECK(c->layers == 2 && c->width == 24 && c->heads == 6 && c->kv_heads == 2 &&
		    c->head_size == 6);
		CHECK(c->ffn == 40 && c->vocab == TINY_VOCAB && c->context == 128 && c->rope_dims == 4 &&
		    !c->tied);
		CHECK_NEAR(c->norm_eps, 1e-5, 1e-12);
		CHECK_NEAR(m->rope_inv_freq[0], 1, 0);
		CHECK_NEAR(m->rope_inv_freq[1], 0.01, 1e-9);
		CHECK(m->output != m->embd && strcmp(m->layer[1].down->name, "blk.1.ffn_down.weight") == 0);
		CHECK(m->chat && tokenizer_size(m->tokenizer) == TINY_VOCAB);
	}
	model_close(m);
	unlink(path);
}

static void what_the_file_leaves_out_has_a_default(void)
{
	static const struct tiny plain = {
		.layers = 1, .width = 32, .heads = 4, .kv_heads = 4, .head_size = 8, .ffn = 32, .context = 64,
		.rope_dims = 8, .type = TENSOR_Q8_0,
	};
	static const char *const optional[] = { "attention.head_count_kv", "attention.key_length",
		"rope.dimension_count", "rope.freq_base" };
	for (size_t i = 0; i < sizeof optional / sizeof *optional; i++) {
		char path[64];
		struct err err = { "" };
		const struct tiny_change change = { .drop = optional[i] };
		struct model *m = model_open(tiny_write(path, &plain, &change), NULL, &err);
		CHECK_STR(err.msg, "");
		CHECK(m && m->config.kv_heads == 4 && m->config.head_size == 8 && m->config.rope_dims == 8);
		CHECK(m && m->config.rope_base == 10000 && m->config.tied && m->output == m->embd);
		model_close(m);
		unlink(path);
	}
}

static const struct tiny qwen = {
	.layers = 2, .width = 24, .heads = 4, .kv_heads = 2, .head_size = 6, .ffn = 40, .context = 128,
	.rope_dims = 6, .type = TENSOR_F32, .seed = 2, .arch = "qwen2", .qkv_bias = true,
};

static struct model *open_tiny(const struct tiny *t, const struct tiny_change *change, struct err *err)
{
	char path[64];
	struct model *m = model_open(tiny_write(path, t, change), NULL, err);
	unlink(path);
	return m;
}

static void qwen2_has_halves_and_biases(void)
{
	struct err err = { "" };
	struct model *m = open_tiny(&qwen, NULL, &err);
	CHECK_STR(err.msg, "");
	if (m) {
		const struct layer_tensors *l = &m->layer[1];
		CHECK_STR(m->config.arch, "qwen2");
		CHECK(m->config.rope_layout == ROPE_HALVES && m->config.tied && m->output == m->embd);
		CHECK(l->q_bias && l->q_bias->dims[0] == 24 && l->k_bias && l->k_bias->dims[0] == 12);
		CHECK(l->v_bias && strcmp(l->v_bias->name, "blk.1.attn_v.bias") == 0 && !l->o_bias);
	}
	model_close(m);
	m = open_tiny(&shape, NULL, &err);
	CHECK(m && m->config.rope_layout == ROPE_PAIRS && !m->layer[0].q_bias && !m->layer[0].o_bias);
	model_close(m);
}

/* Each of them alone too, as files of llama's have them. */
static void llama_may_have_biases(void)
{
	struct tiny t = shape;
	struct err err = { "" };
	t.qkv_bias = t.o_bias = true;
	struct model *m = open_tiny(&t, &(struct tiny_change){ .drop_tensor = "blk.0.attn_k.bias" }, &err);
	CHECK_STR(err.msg, "");
	CHECK(m && m->layer[0].q_bias && !m->layer[0].k_bias && m->layer[1].k_bias);
	CHECK(m && m->layer[0].o_bias && m->layer[0].o_bias->dims[0] == 24);
	model_close(m);
}

static void the_rope_scale_divides_positions(void)
{
	static const struct {
		struct tiny_change change;
		double factor, wanted;
	} cases[] = {
		{ { 0 }, 0, 1 },
		{ { 0 }, 4, 4 },
		{ { .key = "rope.scaling.type", .text = "none" }, 4, 1 },
		{ { .key = "rope.scaling.type", .text = "linear" }, 0, 1 },
		{ { .key = "rope.scaling.factor", .value = 8 }, 0, 8 },
		{ { .key = "rope.scale_linear", .value = 2 }, 0, 2 },
		{ { .key = "rope.scale_linear", .value = 0 }, 0, 1 },
		{ { .key = "rope.scaling.attn_factor", .value = 1 }, 2, 2 },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct tiny t = qwen;
		struct err err = { "" };
		t.rope_factor = cases[i].factor;
		struct model *m = open_tiny(&t, &cases[i].change, &err);
		CHECK_STR(err.msg, "");
		CHECK(m && m->config.rope_scale == cases[i].wanted);
		CHECK_NEAR(m ? m->rope_inv_freq[0] : 0, 1 / cases[i].wanted, 1e-7);
		CHECK_NEAR(m ? m->rope_inv_freq[1] : 0, pow(10000, -1.0 / 3) / cases[i].wanted, 1e-7);
		model_close(m);
	}
}

/* Positions beyond the window would not be seen by all: they are not offered. */
static void the_context_ends_with_the_window(void)
{
	static const int windows[][2] = { { 0, 128 }, { 100, 100 }, { 128, 128 }, { 4096, 128 } };
	for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
		struct err err = { "" };
		struct model *m = open_tiny(&qwen, &(struct tiny_change){ .key = "attention.sliding_window",
		    .value = windows[i][0] }, &err);
		CHECK(m && m->config.context == windows[i][1]);
		model_close(m);
	}
}

static void a_window_is_told(void)
{
	for (int window = 100; window <= 128; window += 28) {
		char path[64];
		struct err err = { "" };
		struct buf text = { 0 };
		tiny_write(path, &qwen, &(struct tiny_change){ .key = "attention.sliding_window", .value = window });
		CHECK(model_describe(path, false, &text, &err) == 0);
		CHECK(strstr(text.data, "architecture    qwen2, supported\n"));
		CHECK(strstr(text.data, "can be used     yes\n"));
		CHECK(!strstr(text.data, "window        100, where the context ends\n") == (window == 128));
		buf_free(&text);
		unlink(path);
	}
}

static void bad_qwen2_files_are_refused(void)
{
	static const struct {
		struct tiny_change change;
		const char *message;
	} cases[] = {
		{ { .drop = "block_count" }, "\"qwen2.block_count\" is missing" },
		{ { .drop_tensor = "blk.1.attn_q.bias" }, "blk.1.attn_q.bias is missing" },
		{ { .drop_tensor = "blk.0.attn_k.bias" }, "blk.0.attn_k.bias is missing" },
		{ { .drop_tensor = "blk.1.attn_v.bias" }, "blk.1.attn_v.bias is missing" },
		{ { .add_tensor = "blk.1.attn_output.bias" },
		    "tensor \"blk.1.attn_output.bias\" has no place in a qwen2 model of 2 layers" },
		{ { .reshape_tensor = "blk.0.attn_k.bias" },
		    "blk.0.attn_k.bias has 12 x 2 elements; 12 were expected" },
		{ { .reshape_tensor = "blk.0.attn_k.weight" },
		    "blk.0.attn_k.weight has the shape 24 x 13; 24 x 12 was expected" },
		{ { .poison_tensor = "blk.1.attn_v.bias" },
		    "blk.1.attn_v.bias: element 11 is not a finite number" },
		{ { .key = "expert_count", .value = 60 }, "a mixture of 60 experts is not supported" },
		{ { .key = "rope.scaling.factor", .value = NAN },
		    "\"qwen2.rope.scaling.factor\" is nan; it must be a positive number" },
		{ { .key = "rope.scaling.factor", .value = 1e-39 }, "rope frequency 0 is not a finite number" },
		{ { .key = "rope.scaling.factor", .value = -2 },
		    "\"qwen2.rope.scaling.factor\" is -2; it must be a positive number" },
		{ { .key = "rope.scaling.attn_factor", .value = 1.5 },
		    "\"qwen2.rope.scaling.attn_factor\" of 1.5 is not supported" },
		{ { .key = "rope.scaling.type", .text = "longrope" },
		    "rope scaling \"longrope\" is not supported; \"linear\" and factors in rope_freqs.weight are" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct err err = { "" };
		struct model *m = open_tiny(&qwen, &cases[i].change, &err);
		CHECK(!m);
		CHECK_STR(err.msg, cases[i].message);
		model_close(m);
	}
}

static void bad_files_are_refused_with_one_line(void)
{
	static const struct {
		struct tiny_change change;
		const char *message;
	} cases[] = {
		{ { .key = "architecture", .text = "qwen2moe" },
		    "architecture \"qwen2moe\" is not supported; \"llama\" and \"qwen2\" are" },
		{ { .key = "architecture", .text = "qwen2" }, "\"qwen2.block_count\" is missing" },
		{ { .drop = "block_count" }, "\"llama.block_count\" is missing" },
		{ { .drop = "attention.layer_norm_rms_epsilon" },
		    "\"llama.attention.layer_norm_rms_epsilon\" is missing" },
		{ { .key = "attention.layer_norm_rms_epsilon", .value = NAN },
		    "\"llama.attention.layer_norm_rms_epsilon\" is nan; it must be a positive number" },
		{ { .key = "rope.freq_base", .value = INFINITY },
		    "\"llama.rope.freq_base\" is inf; it must be a positive number" },
		{ { .key = "embedding_length", .value = 0 },
		    "\"llama.embedding_length\" is 0; 1 to 16777216 is possible" },
		{ { .key = "attention.head_count", .value = 5 },
		    "5 heads cannot share 2 key/value heads evenly" },
		{ { .key = "attention.head_count", .value = 12 },
		    "blk.0.attn_q.weight has the shape 24 x 36; 24 x 72 was expected" },
		{ { .key = "attention.key_length", .value = 513 },
		    "6 heads of 513 elements are not supported; 512 elements are the most" },
		{ { .key = "rope.dimension_count", .value = 5 },
		    "\"llama.rope.dimension_count\" is 5; an even number up to 6 is possible" },
		{ { .key = "rope.dimension_count", .value = 8 },
		    "\"llama.rope.dimension_count\" is 8; an even number up to 6 is possible" },
		{ { .key = "rope.scaling.type", .text = "yarn" },
		    "rope scaling \"yarn\" is not supported; \"linear\" and factors in rope_freqs.weight are" },
		{ { .key = "expert_count", .value = 8 }, "a mixture of 8 experts is not supported" },
		{ { .key = "block_count", .value = 3 },
		    "3 layers are announced, but the file has only 21 tensors" },
		{ { .key = "block_count", .value = 1 },
		    "tensor \"blk.1.attn_norm.weight\" has no place in a llama model of 1 layers" },
		{ { .add_tensor = "blk.0.ffn_up.bias" },
		    "tensor \"blk.0.ffn_up.bias\" has no place in a llama model of 2 layers" },
		{ { .add_tensor = "blk.0.attn_q.bias" },
		    "blk.0.attn_q.bias has 24 x 1 elements; 36 were expected" },
		{ { .drop_tensor = "blk.1.attn_q.weight" }, "blk.1.attn_q.weight is missing" },
		{ { .drop_tensor = "token_embd.weight" }, "token_embd.weight is missing" },
		{ { .reshape_tensor = "blk.1.ffn_down.weight" },
		    "blk.1.ffn_down.weight has the shape 40 x 25; 40 x 24 was expected" },
		{ { .reshape_tensor = "output_norm.weight" },
		    "output_norm.weight has 24 x 2 elements; 24 were expected" },
		{ { .poison_tensor = "blk.0.ffn_norm.weight" },
		    "blk.0.ffn_norm.weight: element 23 is not a finite number" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char path[64];
		struct err err = { "" };
		struct model *m = model_open(tiny_write(path, &shape, &cases[i].change), NULL, &err);
		CHECK(!m);
		CHECK_STR(err.msg, cases[i].message);
		model_close(m);
		unlink(path);
	}
}

static void a_file_that_is_not_there_is_an_error(void)
{
	struct err err = { "" };
	CHECK(!model_open("/nowhere/model.gguf", NULL, &err));
	CHECK(err.msg[0] != '\0');
}

int main(void)
{
	TEST(sizes_and_tensors_are_read);
	TEST(what_the_file_leaves_out_has_a_default);
	TEST(qwen2_has_halves_and_biases);
	TEST(llama_may_have_biases);
	TEST(the_rope_scale_divides_positions);
	TEST(a_window_is_told);
	TEST(the_context_ends_with_the_window);
	TEST(bad_qwen2_files_are_refused);
	TEST(bad_files_are_refused_with_one_line);
	TEST(a_file_that_is_not_there_is_an_error);
	return tests_done();
}

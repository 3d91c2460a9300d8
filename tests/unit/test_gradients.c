/* The gradient of every kind of tensor against central differences of a slow
 * reference in double precision: for any slopes on the log-probabilities, for
 * DPO and for SFT; with and without a shared prefix, activations computed
 * again, and adapters. */
#include "test.h"

#include "train/dpo.h"
#include "train/sft.h"
#include "train_fixture.h"

enum { RANK = 3, EXAMPLES = 4, BETA_TENTHS = 3 };
static const double alpha = 5;

/* What is minimised: by the trainer, and in double precision. */
struct loss {
	const char *name;
	int (*backward)(struct fixture *f, struct err *err);
	double (*reference)(const struct ref *r);
};

struct mode {
	const char *name;
	bool adapters;
	int again;                      /* layers computed again; -1: not even the logits */
};

/* ---- slopes on a tree's log-probabilities ---- */

static int backward_shared(struct fixture *f, struct err *err)
{
	double logps[NSEGS];

	return trainer_forward(f->t, tree, NSEGS, true, logps, NULL, err) != 0 ? -1 :
	    trainer_backward(f->t, weights, err);
}

/* Each target segment with all that comes before it, one after the other. */
static int backward_alone(struct fixture *f, struct err *err)
{
	for (int s = 0; s < NSEGS; s++) {
		int32_t ids[256];
		int n, from = path(s, ids, &n), root = from == 0;
		struct segment alone[2] = { { ids, from, -1, false }, { ids + from, n - from, root ? -1 : 0, true } };
		double lp[2], slope[2] = { 0, weights[s] };

		if (targets[s] && (trainer_forward(f->t, alone + root, 2 - root, true, lp, NULL, err) != 0 ||
		    trainer_backward(f->t, slope + root, err) != 0))
			return -1;
	}
	return 0;
}

/* ---- pairs and demonstrations ---- */

static struct example pairs[EXAMPLES], demos[EXAMPLES];
static const struct examples all_pairs = { pairs, EXAMPLES }, all_demos = { demos, EXAMPLES };
static const uint32_t which[EXAMPLES] = { 2, 0, 3, 1 };
static const double ref_logps[EXAMPLES][2] = { { -9, -8 }, { -20, -21 }, { -11, -14 }, { -5, -3 } };

static void make_examples(int vocab)
{
	static const int sizes[EXAMPLES][3] = { { 9, 2, 3 }, { 11, 4, 5 }, { 1, 3, 2 }, { 5, 1, 6 } };
	static int32_t room[EXAMPLES][32];
	static char id[] = "x";
	struct rng r = rng_stream(13, "examples", "test", 0);

	for (int i = 0; i < EXAMPLES; i++) {
		for (int j = 0; j < 32; j++)
			room[i][j] = (int32_t)rng_below(&r, (uint64_t)(32 * i + j), (uint64_t)vocab);
		pairs[i] = (struct example){ .id = id, .ids = room[i], .prompt = sizes[i][0],
			.completion = { sizes[i][1], sizes[i][2] } };
		demos[i] = (struct example){ .id = id, .ids = room[i], .prompt = sizes[i][0],
			.completion = { sizes[i][1], 0 } };
	}
}

/* log p of an example's completion */
static double ref_completion(const struct ref *r, const struct example *e, int which_one)
{
	int32_t ids[64];
	double logp[64], sum = 0;
	int n = e->prompt + e->completion[which_one];

	memcpy(ids, e->ids, (size_t)e->prompt * sizeof *ids);
	memcpy(ids + e->prompt, e->ids + e->prompt + (which_one ? e->completion[0] : 0),
	    (size_t)e->completion[which_one] * sizeof *ids);
	ref_logprobs(r, ids, n, e->prompt, logp, NULL);
	for (int i = e->prompt; i < n; i++)
		sum += logp[i];
	return sum;
}

static double ref_dpo(const struct ref *r)
{
	double sum = 0;

	for (int i = 0; i < EXAMPLES; i++) {
		double margin = ref_completion(r, &pairs[i], 0) - ref_logps[i][0] -
		    (ref_completion(r, &pairs[i], 1) - ref_logps[i][1]);

		sum += log1p(exp(-0.1 * BETA_TENTHS * margin)) / EXAMPLES;
	}
	return sum;
}

static double ref_sft(const struct ref *r)
{
	double sum = 0;
	int length = 0;

	for (int i = 0; i < EXAMPLES; i++) {
		sum -= ref_completion(r, &demos[i], 0);
		length += demos[i].completion[0];
	}
	return sum / length;
}

static double last_loss;

/* pack: how many tokens go through the model at once; 1 means one example. */
static int dpo_of(struct fixture *f, int pack, struct err *err)
{
	struct train_log log = { 0 };
	struct dpo_run run;
	int rc;

	dpo_run_init(&run, &all_pairs, 0.1 * BETA_TENTHS, pack);
	memcpy(run.ref, ref_logps, sizeof ref_logps);
	rc = dpo_batch(&run, f->t, which, EXAMPLES, &log, err);
	last_loss = log.loss;
	dpo_run_free(&run);
	buf_free(&log.members);
	return rc;
}

static int sft_of(struct fixture *f, int pack, struct err *err)
{
	struct train_log log = { 0 };
	struct sft_run run = { .demos = &all_demos, .pack = pack };
	int rc = sft_batch(&run, f->t, which, EXAMPLES, &log, err);

	last_loss = log.loss;
	buf_free(&log.members);
	return rc;
}

static int backward_dpo(struct fixture *f, struct err *err)
{
	return dpo_of(f, 24, err);
}

static int backward_sft(struct fixture *f, struct err *err)
{
	return sft_of(f, 24, err);
}

static const struct loss losses[] = {
	{ "slopes on a shared prefix", backward_shared, ref_loss },
	{ "slopes without", backward_alone, ref_loss },
	{ "dpo", backward_dpo, ref_dpo },
	{ "sft", backward_sft, ref_sft },
};

static const struct mode modes[] = {
	{ "all weights", false, -1 },
	{ "all weights, the logits again", false, 0 },
	{ "all weights, the first layer again", false, 1 },
	{ "all weights, every layer again", false, 2 },
	{ "adapters", true, -1 },
	{ "adapters, every layer again", true, 2 },
};

enum { LOSSES = sizeof losses / sizeof *losses, MODES = sizeof modes / sizeof *modes };

/* ---- the check ---- */

/* A fixture and what is trained in it, in double precision. */
struct check {
	struct fixture f;
	const struct loss *loss;
	bool adapters;
	double *block;                  /* adapters: as trainer_weights */
};

/* b random too: with b = 0 the gradient of a would be 0. */
static struct check check_new(const struct net_shape *s, const struct mode *mode, const struct loss *loss)
{
	const struct lora lora = { .rank = RANK, .alpha = alpha, .targets = 0x7f, .seed = 5 };
	struct check c = { .f = fixture_with(s, 2, mode->adapters ? &lora : NULL), .loss = loss,
	    .adapters = mode->adapters };
	struct rng r = rng_stream(17, "b", "test", 0);
	size_t n;
	float *w = trainer_weights(c.f.t, &n);

	make_examples(s->vocab);
	trainer_recompute(c.f.t, mode->again);
	if (!mode->adapters)
		return c;
	c.block = calloc(n, sizeof *c.block);
	for (size_t i = 0; i < c.f.net->g.ntensors; i++) {
		char name[80];
		size_t len;
		ptrdiff_t at;

		snprintf(name, sizeof name, "%s.lora_b", c.f.net->g.tensors[i].name);
		at = trainer_offset(c.f.t, name, &len);
		for (size_t j = 0; at >= 0 && j < len; j++)
			w[(size_t)at + j] = (float)(0.2 * net_normal(&r, (uint64_t)at + j));
	}
	for (size_t i = 0; i < n; i++)
		c.block[i] = w[i];
	return c;
}

static void check_free(struct check *c)
{
	fixture_free(&c->f);
	free(c->block);
}

/* The reference's weights of one matrix: w + alpha / R b a */
static void add_adapter(struct check *c, const struct gguf_tensor *x)
{
	char a[80], b[80];
	size_t n, base = (size_t)((const float *)x->data - c->f.net->data);
	ptrdiff_t at_a, at_b;

	snprintf(a, sizeof a, "%s.lora_a", x->name);
	snprintf(b, sizeof b, "%s.lora_b", x->name);
	at_a = trainer_offset(c->f.t, a, &n);
	at_b = trainer_offset(c->f.t, b, &n);
	for (int64_t i = 0; at_a >= 0 && i < x->dims[1]; i++)
		for (int64_t j = 0; j < x->dims[0]; j++) {
			double sum = 0;

			for (int k = 0; k < RANK; k++)
				sum += c->block[at_b + i * RANK + k] * c->block[at_a + k * x->dims[0] + j];
			c->f.w[base + (size_t)(i * x->dims[0] + j)] =
			    (double)((const float *)x->data)[i * x->dims[0] + j] + alpha / RANK * sum;
		}
}

static double reference(struct check *c)
{
	for (size_t i = 0; c->adapters && i < c->f.net->g.ntensors; i++)
		add_adapter(c, &c->f.net->g.tensors[i]);
	return c->loss->reference(&c->f.ref);
}

/* (L(w + e d) - L(w - e d)) / 2e in the tensor at w, of n elements */
static double central_difference(struct check *c, double *w, const double *d, size_t n)
{
	const double e = 1e-5;
	double plus, minus;

	for (size_t i = 0; i < n; i++)
		w[i] += e * d[i];
	plus = reference(c);
	for (size_t i = 0; i < n; i++)
		w[i] -= 2 * e * d[i];
	minus = reference(c);
	for (size_t i = 0; i < n; i++)
		w[i] += e * d[i];
	return (plus - minus) / (2 * e);
}

/* Along the gradient itself the slope must be its length; along a random
 * direction, their product, to a thousandth of what it is likely to be. */
static void check_tensor(struct check *c, const char *name, double *w)
{
	size_t n;
	ptrdiff_t offset = trainer_offset(c->f.t, name, &n);
	const float *g = trainer_grads(c->f.t) + offset;
	struct rng r = rng_stream(3, name, "direction", 0);
	double *d = calloc(n, sizeof *d), norm = 0, dot = 0, slope;

	CHECK(offset >= 0);
	for (size_t i = 0; i < n; i++)
		norm += (double)g[i] * g[i];
	norm = sqrt(norm);
	for (size_t i = 0; i < n; i++)
		d[i] = g[i] / norm;
	slope = central_difference(c, w, d, n);
	CHECK(norm > 1e-3);
	CHECK_NEAR(slope, norm, 1e-3 * norm);
	for (size_t i = 0; i < n; i++) {
		d[i] = rng_uniform(&r, i) < 0.5 ? -1 : 1;
		dot += d[i] * g[i];
	}
	slope = central_difference(c, w, d, n);
	CHECK_NEAR(slope, dot, 1e-3 * (fabs(dot) > norm ? fabs(dot) : norm));
	if (!test_ok)
		printf("# in %s, %s\n", name, c->loss->name);
	free(d);
}

static void check_gradients(const struct net_shape *s, const struct mode *mode, const struct loss *loss)
{
	static const char *const parts[] = { ".lora_a", ".lora_b" };
	struct check c = check_new(s, mode, loss);
	int tensors = 0;
	struct err err;

	CHECK(loss->backward(&c.f, &err) == 0);
	for (size_t i = 0; i < c.f.net->g.ntensors; i++) {
		const struct gguf_tensor *x = &c.f.net->g.tensors[i];

		for (int part = 0; part < (c.adapters ? 2 : 1); part++) {
			char name[80];
			size_t n;
			ptrdiff_t at;

			snprintf(name, sizeof name, "%s%s", x->name, c.adapters ? parts[part] : "");
			at = trainer_offset(c.f.t, name, &n);
			if (at < 0)
				continue;
			tensors++;
			check_tensor(&c, name, c.adapters ? c.block + at :
			    c.f.w + ((const float *)x->data - c.f.net->data));
		}
	}
	CHECK(tensors == (c.adapters ? 14 * s->layers : (int)c.f.net->g.ntensors));
	check_free(&c);
}

static void every_weight_under_any_slopes(void)
{
	for (int i = 0; i < SHAPES; i++)
		check_gradients(&shapes[i], &modes[0], &losses[0]);
}

static void every_weight_without_a_shared_prefix(void)
{
	check_gradients(&shapes[2], &modes[0], &losses[1]);
}

static void every_weight_under_dpo_and_sft(void)
{
	for (int i = 1; i < SHAPES; i++)
		for (int l = 2; l < LOSSES; l++)
			check_gradients(&shapes[i], &modes[0], &losses[l]);
}

static void every_adapter_under_every_loss(void)
{
	for (int i = 1; i < SHAPES; i++)
		for (int l = i == 1 ? 0 : 2; l < LOSSES; l++)
			check_gradients(&shapes[i], &modes[3], &losses[l]);
}

/* What is computed again comes out as it was: gradients to the last bit. So
 * what the differences above say holds for it too. */
static void layers_computed_again_give_the_same_bytes(void)
{
	for (int l = 0; l < LOSSES; l++)
		for (int i = 0; i < MODES; i++) {
			const struct mode *plain = &modes[modes[i].adapters ? 4 : 0];
			struct check a = check_new(&shapes[2], plain, &losses[l]);
			struct check b = check_new(&shapes[2], &modes[i], &losses[l]);
			double norm = 0;
			struct err err;
			size_t n;

			if (modes[i].again >= 0) {
				CHECK(losses[l].backward(&a.f, &err) == 0);
				CHECK(losses[l].backward(&b.f, &err) == 0);
				trainer_weights(a.f.t, &n);
				for (size_t j = 0; j < n; j++)
					norm += fabs((double)trainer_grads(a.f.t)[j]);
				CHECK(norm > 0.1);
				CHECK(memcmp(trainer_grads(a.f.t), trainer_grads(b.f.t), n * sizeof(float)) == 0);
				CHECK(modes[i].again < 2 ||
				    trainer_bytes(b.f.t, 100, 50, true) < trainer_bytes(a.f.t, 100, 50, true));
				CHECK(trainer_bytes(b.f.t, 100, 50, false) == trainer_bytes(a.f.t, 100, 50, false));
			}
			check_free(&a);
			check_free(&b);
		}
}

/* Steps of plain descent with all pairs at once, one at a time, some at once,
 * and computed again: the same losses to 1e-5 of their value. */
static void packing_does_not_change_the_losses_of_a_run(void)
{
	enum { STEPS = 12 };
	static const int packs[] = { 1000, 1, 24, 1000 };
	double first[2][STEPS];

	for (int sft = 0; sft < 2; sft++)
		for (int run = 0; run < 4; run++) {
			struct check c = check_new(&shapes[2], &modes[run == 3 ? 2 : 0], &losses[2 + sft]);
			size_t n;
			float *w = trainer_weights(c.f.t, &n), *g = trainer_grads(c.f.t);
			struct err err;

			for (int step = 0; step < STEPS; step++) {
				trainer_zero_grads(c.f.t);
				CHECK((sft ? sft_of : dpo_of)(&c.f, packs[run], &err) == 0);
				for (size_t i = 0; i < n; i++)
					w[i] -= 0.003f * g[i];
				if (run == 0)
					first[sft][step] = last_loss;
				CHECK_NEAR(last_loss, first[sft][step], 1e-5 * first[sft][step]);
			}
			CHECK(first[sft][STEPS - 1] < 0.95 * first[sft][0]);
			check_free(&c);
		}
}

int main(void)
{
	TEST(every_weight_under_any_slopes);
	TEST(every_weight_without_a_shared_prefix);
	TEST(every_weight_under_dpo_and_sft);
	TEST(every_adapter_under_every_loss);
	TEST(layers_computed_again_give_the_same_bytes);
	TEST(packing_does_not_change_the_losses_of_a_run);
	return tests_done();
}

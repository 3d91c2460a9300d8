/* AdamW, clipping, schedules and the DPO loss against their formulas. */
#include "test.h"

#include <stdlib.h>

#include "base/pool.h"
#include "train/dpo.h"
#include "train/optim.h"

enum { N = 100003 };            /* more than one job, no multiple of anything */

/* PyTorch's AdamW for one element, in double. */
static double by_hand(double w, const double *g, int steps, double lr, double b1, double b2, double eps,
    double wd)
{
	double m = 0, v = 0;

	for (int t = 1; t <= steps; t++) {
		w *= 1 - lr * wd;
		m = b1 * m + (1 - b1) * g[t - 1];
		v = b2 * v + (1 - b2) * g[t - 1] * g[t - 1];
		w -= lr * (m / (1 - pow(b1, t))) / (sqrt(v / (1 - pow(b2, t))) + eps);
	}
	return w;
}

static void adamw_follows_the_formula(void)
{
	struct pool *pool = pool_new(2);
	struct adamw a = { .lr = 0.01, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .weight_decay = 0.1,
	    .decayed = 70001 };
	float *w = malloc(N * sizeof *w), *g = malloc(N * sizeof *g);
	static const size_t looked_at[] = { 0, 1, 65535, 65536, 70000, 70001, N - 1 };
	struct err err;

	CHECK(adamw_init(&a, N, &err) == 0);
	for (size_t i = 0; i < N; i++)
		w[i] = (float)sin((double)i);
	for (int step = 0; step < 3; step++) {
		for (size_t i = 0; i < N; i++)
			g[i] = (float)(cos((double)i * (step + 1)) * 2);
		adamw_step(&a, pool, w, g, 0.5);
	}
	CHECK(a.step == 3);
	for (size_t j = 0; j < sizeof looked_at / sizeof *looked_at; j++) {
		double i = (double)looked_at[j], grads[3] = { cos(i), cos(2 * i), cos(3 * i) };

		CHECK_NEAR(w[looked_at[j]], by_hand(sin(i), grads, 3, 0.01, 0.9, 0.99, 1e-8,
		    looked_at[j] < 70001 ? 0.1 : 0), 2e-6);
	}
	adamw_free(&a);
	pool_free(pool);
	free(w);
	free(g);
}

/* The first step's length is the learning rate, whatever the gradient's. */
static void the_first_step_is_the_learning_rate(void)
{
	struct adamw a = { .lr = 5e-6, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8 };
	struct pool *pool = pool_new(1);
	float w[3] = { 0, 0, 0 }, g[3] = { 3, -1e-4f, 0 };
	struct err err;

	CHECK(adamw_init(&a, 3, &err) == 0);
	adamw_step(&a, pool, w, g, 1);
	CHECK_NEAR(w[0], -5e-6, 1e-11);
	CHECK_NEAR(w[1], 5e-6, 1e-9);
	CHECK(w[2] == 0);
	adamw_free(&a);
	pool_free(pool);
}

static void norms_and_clipping(void)
{
	struct pool *one = pool_new(1), *three = pool_new(3);
	float *g = malloc(N * sizeof *g), small[2] = { 3, 4 };
	double sum = 0;

	for (size_t i = 0; i < N; i++) {
		g[i] = (float)sin((double)i * i);
		sum += (double)g[i] * g[i];
	}
	CHECK_NEAR(grad_norm(one, small, 2), 5, 0);
	CHECK_NEAR(grad_norm(one, g, N), sqrt(sum), 1e-9);
	CHECK(grad_norm(one, g, N) == grad_norm(three, g, N));
	CHECK_NEAR(grad_clip(4, 1), 0.25, 1e-6);
	CHECK(grad_clip(0.5, 1) == 1);
	CHECK(grad_clip(1000, 0) == 1);
	CHECK(isnan(grad_norm(one, (float[]){ 1, NAN }, 2)));
	free(g);
	pool_free(one);
	pool_free(three);
}

static void schedules_are_those_of_transformers(void)
{
	/* golden/dpo: 12 steps, cosine, 5e-6 */
	static const double cosine[12] = { 5e-06, 4.914814565722671e-06, 4.665063509461098e-06,
	    4.267766952966369e-06,
	    3.7500000000000005e-06, 3.147047612756302e-06, 2.5e-06, 1.852952387243698e-06, 1.2500000000000007e-06,
	    7.322330470336314e-07, 3.3493649053890325e-07, 8.518543427732951e-08 };

	for (uint64_t i = 0; i < 12; i++)
		CHECK_NEAR(5e-6 * schedule_factor(SCHEDULE_COSINE, i, 0, 12), cosine[i], 1e-18);
	CHECK(schedule_factor(SCHEDULE_CONSTANT, 99, 0, 100) == 1);
	CHECK_NEAR(schedule_factor(SCHEDULE_LINEAR, 25, 0, 100), 0.75, 1e-15);
	/* a warm-up of 4: 0, 1/4, 1/2, 3/4, then the whole */
	for (int s = 0; s < 3; s++) {
		CHECK(schedule_factor((enum schedule)s, 0, 4, 12) == 0);
		CHECK_NEAR(schedule_factor((enum schedule)s, 3, 4, 12), 0.75, 1e-15);
		CHECK(schedule_factor((enum schedule)s, 4, 4, 12) == 1);
	}
	CHECK_NEAR(schedule_factor(SCHEDULE_COSINE, 8, 4, 12), 0.5, 1e-15);
	CHECK_NEAR(schedule_factor(SCHEDULE_LINEAR, 8, 4, 12), 0.5, 1e-15);
	CHECK(schedule_factor(SCHEDULE_COSINE, 12, 12, 12) == 1);
	CHECK(schedule_by_name("cosine") == SCHEDULE_COSINE && schedule_by_name("linear") == SCHEDULE_LINEAR);
	CHECK(schedule_by_name("constant") == SCHEDULE_CONSTANT && schedule_by_name("cosin") == -1);
}

static void dpo_losses(void)
{
	static const double margins[] = { 0, 0.5, -2, 30, -30, 700, -2000 };
	struct dpo d = dpo_loss(-10, -12, -10, -12, 0.1);

	CHECK_NEAR(d.loss, log(2), 1e-15);
	CHECK(d.reward_chosen == 0 && d.reward_rejected == 0);
	CHECK_NEAR(d.d_chosen, -0.05, 1e-15);
	CHECK_NEAR(d.d_rejected, 0.05, 1e-15);
	/* rewards 0.1 * 3 and 0.1 * -1: loss = log(1 + exp(-0.4)) */
	d = dpo_loss(-7, -13, -10, -12, 0.1);
	CHECK_NEAR(d.reward_chosen, 0.3, 1e-15);
	CHECK_NEAR(d.reward_rejected, -0.1, 1e-15);
	CHECK_NEAR(d.loss, 0.5130152523999526, 1e-15);
	for (size_t i = 0; i < sizeof margins / sizeof *margins; i++) {
		const double e = 1e-5, x = margins[i];
		double slope = (dpo_loss(x + e, 0, 0, 0, 1).loss - dpo_loss(x - e, 0, 0, 0, 1).loss) / (2 * e);

		d = dpo_loss(x, 0, 0, 0, 1);
		CHECK_NEAR(d.d_chosen, slope, 1e-7);
		CHECK(isfinite(d.loss) && d.loss >= 0 && d.d_rejected == -d.d_chosen);
	}
}

/* log p - log p0 is 3 over 6 tokens for chosen, -1 over 4 for rejected. */
static void other_losses_by_hand(void)
{
	static const double logp[2] = { -7, -13 }, ref[2] = { -10, -12 };
	static const int tokens[2] = { 6, 4 };
	struct dpo d;

	/* ratios a token 0.5 and -0.25: (0.75 - 1 / 0.4)^2 = 1.75^2 */
	d = dpo_pair(&(struct dpo_settings){ .form = DPO_IPO, .beta = 0.2 }, logp, ref, tokens);
	CHECK_NEAR(d.loss, 3.0625, 1e-14);
	CHECK_NEAR(d.reward_chosen, 0.1, 1e-15);
	CHECK_NEAR(d.reward_rejected, -0.05, 1e-15);
	CHECK_NEAR(d.d_chosen, -2 * 1.75 / 6, 1e-14);
	CHECK_NEAR(d.d_rejected, 2 * 1.75 / 4, 1e-14);
	/* beta 2: a margin of 1.5, log(1 + exp(-1.5)) */
	d = dpo_pair(&(struct dpo_settings){ .form = DPO_NORM_SIGMOID, .beta = 2 }, logp, ref, tokens);
	CHECK_NEAR(d.loss, 0.20141327798275246, 1e-14);
	CHECK_NEAR(d.reward_chosen, 1, 1e-15);
	/* a margin of 0.4, smoothed by a tenth: 0.9 log(1 + exp(-0.4)) + 0.1 log(1 + exp(0.4)) */
	d = dpo_pair(&(struct dpo_settings){ .form = DPO_SIGMOID, .beta = 0.1, .label_smoothing = 0.1 }, logp, ref,
	    tokens);
	CHECK_NEAR(d.loss, 0.5130152523999526 + 0.1 * 0.4, 1e-14);
}

static void slopes_of_all_losses_are_their_differences(void)
{
	static const double ratios[][2] = { { 0, 0 }, { 3, -1 }, { -20, 5 }, { 40, -300 }, { -0.1, 0.2 } };
	static const double ref[2] = { -10, -12 }, e = 1e-5;
	static const int tokens[2] = { 6, 4 };

	for (int k = 0; k < 6; k++) {
		struct dpo_settings s = { (enum dpo_form)(k / 2), 0.3, k % 2 && k / 2 != DPO_IPO ? 0.2 : 0, 0 };

		for (size_t i = 0; i < sizeof ratios / sizeof *ratios; i++) {
			double at[2] = { ref[0] + ratios[i][0], ref[1] + ratios[i][1] };
			struct dpo d = dpo_pair(&s, at, ref, tokens);

			for (int side = 0; side < 2; side++) {
				double up[2] = { at[0], at[1] }, down[2] = { at[0], at[1] };

				up[side] += e;
				down[side] -= e;
				CHECK_NEAR(side ? d.d_rejected : d.d_chosen,
				    (dpo_pair(&s, up, ref, tokens).loss - dpo_pair(&s, down, ref, tokens).loss) / (2 * e), 1e-5);
			}
		}
	}
	CHECK(dpo_form_by_name("ipo") == DPO_IPO && dpo_form_by_name("norm-sigmoid") == DPO_NORM_SIGMOID);
	CHECK(dpo_form_by_name("sigmoid") == DPO_SIGMOID && dpo_form_by_name("hinge") == -1);
}

int main(void)
{
	TEST(adamw_follows_the_formula);
	TEST(the_first_step_is_the_learning_rate);
	TEST(norms_and_clipping);
	TEST(schedules_are_those_of_transformers);
	TEST(dpo_losses);
	TEST(other_losses_by_hand);
	TEST(slopes_of_all_losses_are_their_differences);
	return tests_done();
}

/* Reference values: scikit-learn 1.9.1, and alpaca_eval 0.6.6 which calls it;
 * each row twice, as a 1 weighing w y and as a 0 weighing w (1 - y). */
#include "stats/glm.h"
#include "unit/test.h"

enum { N = 60 };

static double x[N][3], y[N], ones[N], uneven[N];

static void make_rows(void)
{
	for (int i = 0; i < N; i++) {
		x[i][0] = tanh(sin(3 * i + 1) * 1.5);
		x[i][1] = cos(i * i * 0.7);
		x[i][2] = 1;
		y[i] = 1 / (1 + exp(-(2 * x[i][0] - x[i][1] + 0.5 + 2 * sin(7 * i))));
		ones[i] = 1;
		uneven[i] = 1 + i % 3;
	}
	y[4] = 0;
	y[9] = 1;
}

static struct glm rows(const double *w)
{
	return (struct glm){ .n = N, .p = 3, .x = x[0], .y = y, .w = w };
}

/* LogisticRegression(penalty="l1", solver="liblinear", random_state=123) */
static void fits_match_scikit_learn(void)
{
	static const struct { double C, tolerance, beta[3]; } cases[] = {
		{ 0.05, 1e-4, { 0, 0, 0 } },
		{ 1, 1e-4, { 1.1913732855965473, -0.6839162925554615, 0.21550505536406944 } },
		{ 1, 1e-12, { 1.1913943509346563, -0.6839881553338213, 0.21551621742358937 } },
		{ 100, 1e-4, { 1.3171286068608183, -0.803103002576161, 0.2671813957957052 } },
		{ 100, 1e-12, { 1.317137100532314, -0.8031283668722884, 0.26718545916661435 } },
	};
	struct glm d = rows(uneven);
	double beta[3];

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		CHECK(glm_fit(&d, cases[i].C, cases[i].tolerance, beta, NULL) == 0);
		for (int j = 0; j < 3; j++)
			CHECK_NEAR(beta[j], cases[i].beta[j], 1e-10);
	}
}

/* At the minimum the smooth part's slope is -1 where beta > 0, 1 where it is
 * < 0, and between where it is 0. */
static void a_small_tolerance_gives_the_minimum(void)
{
	static const double penalties[] = { 0.05, 0.2, 1, 10, 300, 1e4 };
	struct glm d = rows(ones);

	for (size_t k = 0; k < sizeof penalties / sizeof *penalties; k++) {
		double C = penalties[k], beta[3], slope[3] = { 0 };

		CHECK(glm_fit(&d, C, 1e-13, beta, NULL) == 0);
		for (int i = 0; i < N; i++) {
			double z = beta[0] * x[i][0] + beta[1] * x[i][1] + beta[2] * x[i][2];

			for (int j = 0; j < 3; j++)
				slope[j] += C * (glm_sigmoid(z) - y[i]) * x[i][j];
		}
		for (int j = 0; j < 3; j++) {
			if (beta[j] == 0)
				CHECK(fabs(slope[j]) <= 1);
			else
				CHECK_NEAR(slope[j], beta[j] > 0 ? -1 : 1, 1e-8 * (1 + C));
		}
	}
}

static void one_feature_by_hand(void)
{
	/* four rows x = 1, mean of y 0.7: the slope 4 C (sigma(b) - 0.7) is -1 where
	 * sigma(b) = 0.7 - 1 / 4 C; with C = 5, b = log(0.65 / 0.35); with C <= 1.25, 0 */
	static const double one[4] = { 1, 1, 1, 1 }, p[4] = { 0.4, 1, 0.6, 0.8 };
	struct glm d = { .n = 4, .p = 1, .x = one, .y = p, .w = one };
	struct glm_cv cv;
	struct err err;
	double b = 7;

	CHECK(glm_fit(&d, 5, 1e-12, &b, NULL) == 0);
	CHECK_NEAR(b, log(0.65 / 0.35), 1e-10);
	CHECK(glm_fit(&d, 1.25, 1e-12, &b, NULL) == 0 && b == 0);
	CHECK(glm_cv(&d, &cv, &err) == -1);
	CHECK_STR(err.msg, "4 records are too few for 5 folds");
}

static void sigmoid(void)
{
	CHECK(glm_sigmoid(0) == 0.5 && glm_sigmoid(1000) == 1 && glm_sigmoid(-1000) == 0);
	CHECK_NEAR(glm_sigmoid(log(3)), 0.75, 1e-15);
	CHECK_NEAR(glm_sigmoid(-log(3)), 0.25, 1e-15);
}

static void numbers_too_large_are_an_error(void)
{
	static const double big[5] = { 1e300, -1e300, 1e300, 1e300, 1e300 }, p[5] = { 0.5, 0.1, 1, 0.3, 0 };
	struct glm d = { .n = 5, .p = 1, .x = big, .y = p, .w = ones };
	struct err err;
	double b;

	CHECK(glm_fit(&d, 1e10, 1e-4, &b, &err) == -1);
	CHECK_STR(err.msg, "the regression's numbers grow too large");
}

/* All rows say the same: the curvature dies out, and nothing overflows. */
static void rows_of_one_kind(void)
{
	static const double zeros[N] = { 0 };
	struct glm d = { .n = N, .p = 3, .x = x[0], .y = zeros, .w = ones };
	struct glm_cv cv;

	CHECK(glm_cv(&d, &cv, NULL) == 0);
	CHECK(cv.beta[2] < -3 && isfinite(cv.beta[0]) && isfinite(cv.beta[1]));
}

/* alpaca_eval's fit_LogisticRegressionCV */
static void cross_validation_matches_scikit_learn(void)
{
	static const double even_loss[GLM_STEPS] = {
		0.6931471805599454, 0.6931471805599454, 0.6931471805599454, 0.6931471805599454, 0.640856365817511,
		0.5998807589830191, 0.5991781202504958, 0.5992132268870642, 0.5992177777850223, 0.5992188768917508,
	};
	static const double even_beta[3] = { 1.2957583651677704, -0.6904330474219429, 0.30451621233810533 };
	static const double uneven_loss[GLM_STEPS] = {
		1.3862943611198908, 1.3862943611198908, 1.3862943611198908, 1.3862943611198908, 1.2146296594814112,
		1.191743075767064, 1.19208873232474, 1.192201898842687, 1.1922159310154674, 1.19221864393191,
	};
	static const double uneven_beta[3] = { 1.2712000149489162, -0.7597045668363626, 0.24842715671096866 };
	struct glm even = rows(ones), odd = rows(uneven);
	struct glm_cv a, b;

	CHECK(glm_cv(&even, &a, NULL) == 0 && glm_cv(&odd, &b, NULL) == 0);
	for (int i = 0; i < GLM_STEPS; i++) {
		CHECK_NEAR(a.loss[i], even_loss[i], 1e-10);
		CHECK_NEAR(b.loss[i], uneven_loss[i], 1e-10);
	}
	CHECK_NEAR(a.c[a.best], 21.544346900318832, 1e-9);
	CHECK_NEAR(b.c[b.best], 2.7825594022071245, 1e-9);
	for (int j = 0; j < 3; j++) {
		CHECK_NEAR(a.beta[j], even_beta[j], 1e-9);
		CHECK_NEAR(b.beta[j], uneven_beta[j], 1e-9);
	}
}

int main(void)
{
	make_rows();
	TEST(sigmoid);
	TEST(one_feature_by_hand);
	TEST(fits_match_scikit_learn);
	TEST(a_small_tolerance_gives_the_minimum);
	TEST(cross_validation_matches_scikit_learn);
	TEST(rows_of_one_kind);
	TEST(numbers_too_large_are_an_error);
	return tests_done();
}

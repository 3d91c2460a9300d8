/* Against scipy's ratings of 40 synthetic records (tests/golden/elo.tsv has
 * the numbers, golden/ratings/elo.json the whole), and by hand. */
#include <cjson/cJSON.h>
#include <stdlib.h>

#include "method/elo.h"
#include "unit/test.h"

enum { MOST = 16 };

struct rated {
	int n, best, worst;
	struct battle b[MOST * MOST];
	size_t nb;
	double epsilon[MOST], elo[MOST];
};

struct golden {
	uint64_t win_first, win_second;
	double omega1, omega2, ridge;
	struct rated *r;
	int n;
};

/* Battles of all ordered pairs, a character each: 1, 2, t, - */
static void read_winners(struct rated *r, const char *winners)
{
	for (int m = 0; m < r->n; m++) {
		for (int k = 0; k < r->n; k++) {
			char w = *winners;

			if (m == k || w == '\0')
				continue;
			winners++;
			r->b[r->nb++] = (struct battle){ m, k, w == '1' ? BATTLE_FIRST :
				w == '2' ? BATTLE_SECOND : w == 't' ? BATTLE_TIE : BATTLE_NULL };
		}
	}
}

static bool read_excerpt(struct golden *g)
{
	FILE *f = fopen("tests/golden/elo.tsv", "r");
	char line[4096];
	unsigned long first, second;

	if (!f || !fgets(line, sizeof line, f) ||
	    sscanf(line, "%lu %lu %lf %lf %lf", &first, &second, &g->omega1, &g->omega2, &g->ridge) != 5)
		return false;
	g->win_first = first;
	g->win_second = second;
	while (fgets(line, sizeof line, f)) {
		struct rated *r = &g->r[g->n++];
		char winners[MOST * MOST + 1], epsilon[1024], elo[1024], *e = epsilon, *l = elo;

		if (sscanf(line, "%d %256s %1023s %1023s %d %d", &r->n, winners, epsilon, elo, &r->best,
		    &r->worst) != 6)
			return false;
		read_winners(r, winners);
		for (int i = 0; i < r->n; i++) {
			r->epsilon[i] = strtod(e, &e);
			r->elo[i] = strtod(l, &l);
			e += *e == ',';
			l += *l == ',';
		}
	}
	fclose(f);
	return true;
}

static double number(const cJSON *o, const char *key)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);

	return v ? v->valuedouble : NAN;
}

static void read_rated(const cJSON *o, struct rated *r)
{
	const cJSON *b, *epsilon = cJSON_GetObjectItemCaseSensitive(o, "epsilon");
	const cJSON *elo = cJSON_GetObjectItemCaseSensitive(o, "elo");

	r->n = (int)number(o, "n");
	r->best = (int)number(o, "best");
	r->worst = (int)number(o, "worst");
	for (int i = 0; i < r->n; i++) {
		r->epsilon[i] = cJSON_GetArrayItem(epsilon, i)->valuedouble;
		r->elo[i] = cJSON_GetArrayItem(elo, i)->valuedouble;
	}
	cJSON_ArrayForEach(b, cJSON_GetObjectItemCaseSensitive(o, "battles")) {
		const char *w = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(b, "winner"));

		r->b[r->nb++] = (struct battle){ (int)number(b, "first"), (int)number(b, "second"),
			!w ? BATTLE_NULL : *w == 'A' ? BATTLE_FIRST : *w == 'B' ? BATTLE_SECOND : BATTLE_TIE };
	}
}

static bool read_golden(struct golden *g)
{
	const char *folder = getenv("MR_GOLDEN");
	static char path[4096], text[1 << 20];
	const cJSON *o;
	cJSON *json;
	FILE *f;

	snprintf(path, sizeof path, "%s/ratings/elo.json", folder ? folder : "../shared/golden");
	f = fopen(path, "r");
	if (!f)
		return false;
	text[fread(text, 1, sizeof text - 1, f)] = '\0';
	fclose(f);
	json = cJSON_Parse(text);
	g->win_first = (uint64_t)number(json, "win_first");
	g->win_second = (uint64_t)number(json, "win_second");
	g->omega1 = number(json, "omega1");
	g->omega2 = number(json, "omega2");
	g->ridge = number(json, "ridge");
	cJSON_ArrayForEach(o, cJSON_GetObjectItemCaseSensitive(json, "records"))
		read_rated(o, &g->r[g->n++]);
	cJSON_Delete(json);
	return true;
}

static void check_golden(const struct golden *g)
{
	struct omega omega = { 0 };
	double omega1, omega2;

	CHECK(g->n == 40);
	for (int i = 0; i < g->n; i++)
		omega_add(&omega, g->r[i].b, g->r[i].nb);
	omega_weights(&omega, &omega1, &omega2);
	CHECK(omega.win_first == g->win_first && omega.win_second == g->win_second);
	CHECK_NEAR(omega1, g->omega1, 0);
	CHECK_NEAR(omega2, g->omega2, 0);
	for (int i = 0; i < g->n; i++) {
		const struct rated *r = &g->r[i];
		double B[MOST * MOST] = { 0 }, epsilon[MOST], elo[MOST];
		int best, worst;

		CHECK(elo_matrix(r->b, r->nb, r->n, omega1, omega2, B, NULL) == 0);
		CHECK(elo_fit(B, r->n, g->ridge, epsilon, NULL) == 0);
		elo_scale(epsilon, r->n, elo);
		elo_best_worst(elo, r->n, &best, &worst);
		CHECK(best == r->best && worst == r->worst);
		for (int k = 0; k < r->n; k++) {
			CHECK_NEAR(epsilon[k], r->epsilon[k], 1e-4);
			CHECK_NEAR(elo[k], r->elo[k], 0.02);
		}
	}
}

static struct rated records[64];

static void golden_numbers(void)
{
	struct golden g = { .r = records };

	memset(records, 0, sizeof records);
	CHECK(read_excerpt(&g));
	check_golden(&g);
}

static struct golden whole = { .r = records };

static void golden_file(void)
{
	check_golden(&whole);
}

static void weights(void)
{
	struct battle b[] = { { 0, 1, BATTLE_FIRST }, { 1, 0, BATTLE_FIRST }, { 0, 2, BATTLE_SECOND },
		{ 2, 0, BATTLE_FIRST }, { 1, 2, BATTLE_TIE }, { 2, 1, BATTLE_NULL } };
	struct omega o = { 0 };
	double w1, w2;

	omega_weights(&o, &w1, &w2);
	CHECK(w1 == 0.5 && w2 == 0.5);
	omega_add(&o, b, 6);
	CHECK(o.win_first == 3 && o.win_second == 1);
	omega_weights(&o, &w1, &w2);
	CHECK(w1 == 0.25 && w2 == 0.75);
}

/* B[m][k] = w1 [r_mk = 1] + w2 [r_km = -1] */
static void matrix(void)
{
	struct battle b[] = {
		{ 0, 1, BATTLE_FIRST }, { 1, 0, BATTLE_SECOND }, { 0, 2, BATTLE_SECOND },
		{ 2, 0, BATTLE_SECOND }, { 1, 2, BATTLE_TIE }, { 1, 2, BATTLE_FIRST }, { 1, 2, BATTLE_FIRST },
	};
	const double want[9] = { 0, 1, 0.75, 0, 0, 0.5, 0.75, 0, 0 };
	double B[9] = { 0 };
	struct err err;

	CHECK(elo_matrix(b, 7, 3, 0.25, 0.75, B, &err) == 0);
	for (int i = 0; i < 9; i++)
		CHECK_NEAR(B[i], want[i], 0);
	CHECK(elo_matrix(&(struct battle){ 0, 3, BATTLE_TIE }, 1, 3, 0.5, 0.5, B, &err) == -1);
	CHECK(elo_matrix(&(struct battle){ -1, 0, BATTLE_TIE }, 1, 3, 0.5, 0.5, B, &err) == -1);
	CHECK(elo_matrix(&(struct battle){ 1, 1, BATTLE_TIE }, 1, 3, 0.5, 0.5, B, &err) == -1);
}

/* Two judgments, B = 3 to 1: sigma(d) = 3/4, d = log 3 without a ridge. */
static void two_by_hand(void)
{
	double B[4] = { 0, 3, 1, 0 }, e[2], elo[2];

	CHECK(elo_fit(B, 2, 1e-9, e, NULL) == 0);
	CHECK_NEAR(e[0] - e[1], log(3), 1e-7);
	CHECK_NEAR(e[0] + e[1], 0, 1e-12);
	elo_scale(e, 2, elo);
	/* 400 log10(3) between them */
	CHECK_NEAR(elo[0] - elo[1], 400 * log10(3), 1e-4);
	CHECK_NEAR(elo[0] + elo[1], 2000, 1e-9);
}

/* One wins everything: the ridge holds it. With d = e0 - e1 = 2 e0 the
 * optimum has B sigma(-d) = ridge d / 2. */
static void the_ridge_keeps_it_finite(void)
{
	double B[4] = { 0, 2, 0, 0 }, e[2], d;

	CHECK(elo_fit(B, 2, 1e-3, e, NULL) == 0);
	d = e[0] - e[1];
	CHECK_NEAR(2 / (1 + exp(d)), 1e-3 * d / 2, 1e-9);
	CHECK(elo_fit(B, 2, 0, e, NULL) == -1);
	CHECK(elo_fit(B, 2, -1, e, NULL) == -1);
	CHECK(elo_fit(B, ELO_MOST + 1, 1e-3, e, NULL) == -1);
}

static void nothing_to_fit(void)
{
	double B[9] = { 0 }, e[3] = { 7, 7, 7 }, elo[3];
	int best, worst;

	CHECK(elo_fit(B, 3, 1e-3, e, NULL) == 0);
	elo_scale(e, 3, elo);
	CHECK(elo[0] == 1000 && elo[1] == 1000 && elo[2] == 1000);
	elo_best_worst(elo, 3, &best, &worst);
	CHECK(best == 0 && worst == 0);
	CHECK(elo_fit(B, 0, 1e-3, e, NULL) == 0);
}

/* A chain 0 > 1 > … > 199, far apart: still ordered, gradient zero. */
static void many(void)
{
	enum { N = 200 };
	double *B = calloc(N * N, sizeof *B), *e = calloc(N, sizeof *e);

	for (int i = 0; i + 1 < N; i++)
		B[i * N + i + 1] = 1;
	CHECK(elo_fit(B, N, 1e-6, e, NULL) == 0);
	for (int i = 0; i < N; i++) {
		double g = -1e-6 * e[i];

		CHECK(i == 0 || e[i - 1] > e[i]);
		for (int k = 0; k < N; k++)
			g += B[i * N + k] / (1 + exp(e[i] - e[k])) - B[k * N + i] / (1 + exp(e[k] - e[i]));
		CHECK_NEAR(g, 0, 1e-6);
	}
	free(B);
	free(e);
}

static void best_and_worst(void)
{
	double a[] = { 1000, 1200, 900, 1200.005, 899.995 }, same[] = { 1000, 1000.005 };
	int best, worst;

	elo_best_worst(a, 5, &best, &worst);
	CHECK(best == 1 && worst == 2);
	a[3] = 1200.02;
	a[4] = 899.98;
	elo_best_worst(a, 5, &best, &worst);
	CHECK(best == 3 && worst == 4);
	elo_best_worst(same, 2, &best, &worst);
	CHECK(best == 0 && worst == 0);
}

static void selection(void)
{
	double var[] = { -1, 0.5, 2, 0, 2 }, none[] = { -1, -1 }, zero[] = { -1, 0, 0 };

	CHECK(meta_select(var, 5, 0) == 2);
	CHECK(meta_select(var, 5, 0.49) == 2);
	CHECK(meta_select(var, 5, 0.5) == 4);
	CHECK(meta_select(var, 5, 0.999999999) == 4);
	CHECK(meta_select(var, 4, 0.9) == 2);
	CHECK(meta_select(none, 2, 0.5) == -1);
	CHECK(meta_select(none, 0, 0.5) == -1);
	CHECK(meta_select(zero, 3, 0.2) == 1);
	CHECK(meta_select(zero, 3, 0.7) == 2);
}

int main(void)
{
	TEST(golden_numbers);
	memset(records, 0, sizeof records);
	if (read_golden(&whole))
		TEST(golden_file);
	else
		printf("ok - golden_file # SKIP no golden data here\n");
	TEST(weights);
	TEST(matrix);
	TEST(two_by_hand);
	TEST(the_ridge_keeps_it_finite);
	TEST(nothing_to_fit);
	TEST(many);
	TEST(best_and_worst);
	TEST(selection);
	return tests_done();
}

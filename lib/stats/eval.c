#include "stats/eval.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "method/elo.h"
#include "stats/entropy.h"

static double percent(size_t part, size_t whole)
{
	return whole ? 100 * (double)part / (double)whole : NAN;
}

static double mean(const struct moments *m)
{
	return m->n ? m->mean : NAN;
}

static double sd(const struct moments *m)
{
	return m->n > 1 ? moments_sd(m) : NAN;
}

static const cJSON *member(const cJSON *object, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(object, key);
}

int eval_length(const struct record *rec, int side, double *length, struct err *err)
{
	char key[16];
	const char *text;
	const cJSON *v;

	*length = NAN;
	snprintf(key, sizeof key, "len_%d", side);
	v = member(rec->json, key);
	if (cJSON_IsNumber(v) && v->valuedouble >= 0 && isfinite(v->valuedouble))
		*length = v->valuedouble;
	else if (v && !cJSON_IsNull(v))
		return err_set(err, "\"%s\" is no length", key);
	if (!isnan(*length))
		return 0;
	snprintf(key, sizeof key, "output_%d", side);
	v = member(rec->json, key);
	if (!v || cJSON_IsNull(v))
		return 0;
	text = record_string(rec, key, err);
	if (!text)
		return -1;
	*length = (double)utf8_length(text, strlen(text));
	return 0;
}

static int add_sides(const struct record *rec, struct tally *t, struct err *err)
{
	double base, model;

	if (eval_length(rec, 1, &base, err) != 0 || eval_length(rec, 2, &model, err) != 0)
		return -1;
	if (!isnan(base))
		moments_add(&t->base_length, base);
	if (!isnan(model))
		moments_add(&t->length, model);
	return 0;
}

static int winner_preference(const cJSON *v, double *preference, struct err *err)
{
	static const struct { const char *name; double value; } names[] = {
		{ "baseline", 1 }, { "model", 2 }, { "tie", 1.5 },
	};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		if (cJSON_IsString(v) && strcmp(v->valuestring, names[i].name) == 0) {
			*preference = names[i].value;
			return 0;
		}
	}
	return err_set(err, "\"winner\" is none of \"model\", \"baseline\", \"tie\", null");
}

int eval_preference(const struct record *rec, bool unit, double *preference, struct err *err)
{
	const cJSON *v = member(rec->json, "preference");
	double x;

	*preference = NAN;
	if (!v) {
		v = member(rec->json, "winner");
		if (!v)
			return err_set(err, "\"preference\" is missing; run mr-compare first");
		return cJSON_IsNull(v) ? 0 : winner_preference(v, preference, err);
	}
	if (cJSON_IsNull(v))
		return 0;
	if (!cJSON_IsNumber(v))
		return err_set(err, "\"preference\" is neither a number nor null");
	x = v->valuedouble;
	if (unit ? !(x >= 0 && x <= 1) : !(x >= 1 && x <= 2) && x != 0)
		return err_set(err, "\"preference\" is %g, not from %s%s", x, unit ? "0 to 1" : "1 to 2",
		    unit ? "" : x > 0 && x < 1 ? "; is it --scale 0-1?" : "");
	*preference = unit ? x + 1 : x;
	return 0;
}

static int add_winrate(const struct record *rec, struct tally *t, struct err *err)
{
	double preference;

	if (eval_preference(rec, t->unit, &preference, err) != 0)
		return -1;
	t->unjudged += isnan(preference);
	winrate_add(&t->wins, preference);
	return add_sides(rec, t, err);
}

static void show_winrate(struct report *r, const struct tally *t, const struct tally *whole)
{
	struct winrate w = winrate_end(&t->wins);

	(void)whole;
	report_add(r, "win_rate", w.win_rate);
	report_add(r, "standard_error", w.standard_error);
	report_add(r, "n_wins", (double)w.n_wins);
	report_add(r, "n_wins_base", (double)w.n_wins_base);
	report_add(r, "n_draws", (double)w.n_draws);
	report_add(r, "n_total", (double)w.n_total);
	report_add(r, "n_unjudged", (double)t->unjudged);
	report_add(r, "discrete_win_rate", w.discrete_win_rate);
	report_add(r, "avg_length", trunc(mean(&t->length)));   /* alpaca_eval cuts it to a whole number */
}

static int add_lengths(const struct record *rec, struct tally *t, struct err *err)
{
	const cJSON *responses, *r;
	char where[40];
	int i = 0;

	if (!record_has(rec, "responses")) {
		size_t before = t->length.n;

		if (add_sides(rec, t, err) != 0)
			return -1;
		return t->length.n > before ? 0
		    : err_set(err, "no \"responses\", \"len_2\" or \"output_2\" in it; run mr-sample first");
	}
	responses = record_array(rec, "responses", "run mr-sample first", err);
	if (!responses)
		return -1;
	cJSON_ArrayForEach(r, responses) {
		const char *text;

		snprintf(where, sizeof where, "responses[%d]", i++);
		text = record_text(rec, r, where, "text", err);
		if (!text)
			return -1;
		moments_add(&t->length, (double)utf8_length(text, strlen(text)));
	}
	return 0;
}

static void show_moments(struct report *r, const struct moments *m, const char *const names[5])
{
	report_add(r, names[0], (double)m->n);
	report_add(r, names[1], mean(m));
	report_add(r, names[2], sd(m));
	report_add(r, names[3], m->n ? m->min : NAN);
	report_add(r, names[4], m->n ? m->max : NAN);
}

static void show_lengths(struct report *r, const struct tally *t, const struct tally *whole)
{
	static const char *const names[5] = { "n", "mean", "sd", "min", "max" };
	static const char *const base[5] = { "base_n", "base_mean", "base_sd", "base_min", "base_max" };

	show_moments(r, &t->length, names);
	if (whole->base_length.n)
		show_moments(r, &t->base_length, base);
}

int eval_score(const cJSON *object, const char *where, double *score, struct err *err)
{
	const cJSON *v = member(object, "score");

	*score = NAN;
	if (!v || cJSON_IsNull(v))
		return 0;
	if (!cJSON_IsNumber(v) || !isfinite(v->valuedouble))
		return err_set(err, "%s: \"score\" is neither a number nor null", where);
	*score = v->valuedouble;
	return 0;
}

static int add_judgments(const cJSON *judgments, const char *where, struct tally *t, struct err *err)
{
	const cJSON *j;

	cJSON_ArrayForEach(j, judgments) {
		double score, point;

		if (!cJSON_IsObject(j))
			return err_set(err, "%s: a judgment is not an object", where);
		if (eval_score(j, where, &score, err) != 0)
			return -1;
		t->judgments++;
		t->guided += cJSON_IsTrue(member(j, "guided"));
		if (isnan(score))
			continue;
		t->scored++;
		moments_add(&t->judgment_score, score);
		point = floor(score + 0.5);
		if (point >= 0 && point < TALLY_SCORES)
			t->points[(int)point]++;
		else
			t->other_points++;
	}
	return 0;
}

/* The mean score of a response, and its length where there is a text. */
static int add_response_score(const struct record *rec, const cJSON *response, const char *where, double score,
    struct tally *t, struct err *err)
{
	double bin = floor(score / 5 * (TALLY_BINS - 1) + 0.5);
	const char *text;

	moments_add(&t->response_score, score);
	if (bin >= 0 && bin < TALLY_BINS)
		t->bins[(size_t)bin]++;
	if (!member(response, "text"))
		return 0;
	text = record_text(rec, response, where, "text", err);
	if (!text)
		return -1;
	pearson_add(&t->score_length, score, (double)utf8_length(text, strlen(text)));
	return 0;
}

static int add_judge(const struct record *rec, struct tally *t, struct err *err)
{
	const cJSON *responses = record_array(rec, "responses", "run mr-sample first", err), *r;
	int i = 0;

	if (!responses)
		return -1;
	cJSON_ArrayForEach(r, responses) {
		const cJSON *judgments = member(r, "judgments"), *variance = member(r, "score_var");
		char where[40];
		double score;

		snprintf(where, sizeof where, "responses[%d]", i++);
		if (!cJSON_IsArray(judgments))
			return err_set(err, "%s: \"judgments\" is missing; run mr-judge first", where);
		if (add_judgments(judgments, where, t, err) != 0 || eval_score(r, where, &score, err) != 0)
			return -1;
		t->responses++;
		if (!isnan(score) && add_response_score(rec, r, where, score, t, err) != 0)
			return -1;
		if (cJSON_IsNumber(variance))
			moments_add(&t->variance, variance->valuedouble);
	}
	return 0;
}

/* The density of the responses' mean scores at x: a Gaussian kernel of
 * Silverman's width, 1.06 sd n^(-1/5) (Density Estimation, 1986, section
 * 3.4.1), on scores rounded to 1/64. */
static double density(const struct tally *t, double x)
{
	double n = (double)t->response_score.n, width = 1.06 * moments_sd(&t->response_score) * pow(n, -0.2), sum = 0;

	if (!(width > 0))
		return NAN;
	for (size_t i = 0; i < TALLY_BINS; i++) {
		double z = (x - 5 * (double)i / (TALLY_BINS - 1)) / width;

		sum += (double)t->bins[i] * exp(-z * z / 2);
	}
	return sum / (n * width * sqrt(2 * acos(-1)));
}

static void show_density(struct report *r, const struct tally *t)
{
	static const char *const names[] = { "density_0", "density_0.5", "density_1", "density_1.5", "density_2",
		"density_2.5", "density_3", "density_3.5", "density_4", "density_4.5", "density_5" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		report_add(r, names[i], density(t, (double)i / 2));
}

static void show_judge(struct report *r, const struct tally *t, const struct tally *whole)
{
	static const char *const names[TALLY_SCORES] = {
		"score_0", "score_1", "score_2", "score_3", "score_4", "score_5",
	};

	report_add(r, "records", (double)t->records);
	report_add(r, "responses", (double)t->responses);
	report_add(r, "judgments", (double)t->judgments);
	report_add(r, "parsed", (double)t->scored);
	report_add(r, "parse_rate", percent(t->scored, t->judgments));
	report_add(r, "guided", (double)t->guided);
	report_add(r, "guided_rate", percent(t->guided, t->judgments));
	for (int i = 0; i < TALLY_SCORES; i++)
		report_add(r, names[i], (double)t->points[i]);
	if (whole->other_points)
		report_add(r, "score_other", (double)t->other_points);
	report_add(r, "entropy", t->scored ? entropy_bits(t->points, TALLY_SCORES) : NAN);
	report_add(r, "score_mean", mean(&t->judgment_score));
	report_add(r, "score_sd", sd(&t->judgment_score));
	report_add(r, "response_score_mean", mean(&t->response_score));
	report_add(r, "response_score_sd", sd(&t->response_score));
	report_add(r, "score_var_mean", mean(&t->variance));
	report_add(r, "score_length_r", pearson_end(&t->score_length));
	if (whole->density)
		show_density(r, t);
}

static int add_battle(const cJSON *battle, const cJSON *judgments, int i, struct tally *t, struct err *err)
{
	static const char *const keys[2] = { "first", "second" };
	const cJSON *winner = member(battle, "winner");
	const char *name = cJSON_IsString(winner) ? winner->valuestring : "";
	bool first = strcmp(name, "first") == 0, second = strcmp(name, "second") == 0;
	double score[2];
	char where[40];

	snprintf(where, sizeof where, "meta.battles[%d]", i);
	if (!first && !second && strcmp(name, "tie") != 0 && !cJSON_IsNull(winner))
		return err_set(err, "%s: \"winner\" is none of \"first\", \"second\", \"tie\", null", where);
	for (int k = 0; k < 2; k++) {
		const cJSON *v = member(battle, keys[k]), *judgment;
		int n = cJSON_GetArraySize(judgments);

		if (!cJSON_IsNumber(v) || !(v->valuedouble >= 0 && v->valuedouble < n))
			return err_set(err, "%s: \"%s\" is no index of the %d judgments", where, keys[k], n);
		judgment = cJSON_GetArrayItem(judgments, (int)v->valuedouble);
		if (eval_score(judgment, where, &score[k], err) != 0)
			return -1;
	}
	t->battles++;
	t->first += first;
	t->second += second;
	t->tie += strcmp(name, "tie") == 0;
	t->none += cJSON_IsNull(winner);
	t->guided += cJSON_IsTrue(member(battle, "guided"));
	if ((first || second) && score[0] == score[1]) {
		t->equal++;
		t->equal_first += first;
	} else if ((first || second) && !isnan(score[0]) && !isnan(score[1])) {
		t->higher++;
		t->higher_won += first == (score[0] > score[1]);
	}
	return 0;
}

/* The spread of mr-elo's ratings, where it has been run. */
static void add_elo(const cJSON *elo, struct tally *t)
{
	struct moments m = { 0 };
	const cJSON *v;

	cJSON_ArrayForEach(v, elo)
		if (cJSON_IsNumber(v) && isfinite(v->valuedouble))
			moments_add(&m, v->valuedouble);
	if (m.n > 0)
		moments_add(&t->elo_spread, m.max - m.min);
}

static int add_meta(const struct record *rec, struct tally *t, struct err *err)
{
	const cJSON *meta = member(rec->json, "meta"), *responses, *judgments, *battles, *response, *b;
	int i = 0;

	if (!meta)
		return err_set(err, "\"meta\" is missing; run mr-metajudge first");
	if (cJSON_IsNull(meta))
		return 0;
	responses = record_array(rec, "responses", "run mr-sample first", err);
	if (!responses)
		return -1;
	response = member(meta, "response");
	if (!cJSON_IsNumber(response) || !(response->valuedouble >= 0 &&
	    response->valuedouble < cJSON_GetArraySize(responses)))
		return err_set(err, "\"meta\": \"response\" is no index of the %d responses",
		    cJSON_GetArraySize(responses));
	judgments = member(cJSON_GetArrayItem(responses, (int)response->valuedouble), "judgments");
	battles = member(meta, "battles");
	if (!cJSON_IsArray(judgments) || !cJSON_IsArray(battles))
		return err_set(err, "%s", cJSON_IsArray(battles)
		    ? "\"judgments\" is missing; run mr-judge first"
		    : "\"meta\": \"battles\" is missing; run mr-metajudge first");
	t->compared++;
	add_elo(member(meta, "elo"), t);
	cJSON_ArrayForEach(b, battles)
		if (add_battle(b, judgments, i++, t, err) != 0)
			return -1;
	return 0;
}

static void show_meta(struct report *r, const struct tally *t, const struct tally *whole)
{
	struct omega omega = { t->first, t->second };
	double omega1, omega2;

	(void)whole;
	omega_weights(&omega, &omega1, &omega2);
	report_add(r, "records", (double)t->records);
	report_add(r, "compared", (double)t->compared);
	report_add(r, "battles", (double)t->battles);
	report_add(r, "win_first", (double)t->first);
	report_add(r, "win_second", (double)t->second);
	report_add(r, "ties", (double)t->tie);
	report_add(r, "unparsed", (double)t->none);
	report_add(r, "tie_rate", percent(t->tie, t->battles));
	report_add(r, "parse_rate", percent(t->battles - t->none, t->battles));
	report_add(r, "guided", (double)t->guided);
	report_add(r, "guided_rate", percent(t->guided, t->battles));
	report_add(r, "omega1", omega1);
	report_add(r, "omega2", omega2);
	report_add(r, "first_rate", percent(t->first, t->first + t->second));
	report_add(r, "higher_n", (double)t->higher);
	report_add(r, "higher_rate", percent(t->higher_won, t->higher));
	report_add(r, "equal_n", (double)t->equal);
	report_add(r, "equal_first_rate", percent(t->equal_first, t->equal));
	report_add(r, "elo_spread_n", (double)t->elo_spread.n);
	report_add(r, "elo_spread_mean", mean(&t->elo_spread));
	report_add(r, "elo_spread_max", t->elo_spread.n ? t->elo_spread.max : NAN);
}

/* Code points of a text, or of all contents of an array of messages. */
static int read_length(const struct record *rec, const char *key, double *length, struct err *err)
{
	const cJSON *v = member(rec->json, key), *m;
	const char *text;
	char where[40];
	int i = 0;

	*length = 0;
	if (cJSON_IsString(v)) {
		text = record_string(rec, key, err);
		*length = text ? (double)utf8_length(text, strlen(text)) : 0;
		return text ? 0 : -1;
	}
	if (!cJSON_IsArray(v))
		return err_set(err, "\"%s\" is missing, or neither a text nor messages; run mr-pairs first",
		    key);
	cJSON_ArrayForEach(m, v) {
		snprintf(where, sizeof where, "%s[%d]", key, i++);
		if (!cJSON_IsObject(m))
			return err_set(err, "%s is not a message", where);
		text = record_text(rec, m, where, "content", err);
		if (!text)
			return -1;
		*length += (double)utf8_length(text, strlen(text));
	}
	return 0;
}

static int add_pairs(const struct record *rec, struct tally *t, struct err *err)
{
	double prompt, chosen, rejected;

	if (read_length(rec, "prompt", &prompt, err) != 0 ||
	    read_length(rec, "chosen", &chosen, err) != 0 ||
	    read_length(rec, "rejected", &rejected, err) != 0)
		return -1;
	moments_add(&t->prompt, prompt);
	moments_add(&t->chosen, chosen);
	moments_add(&t->rejected, rejected);
	t->chosen_longer += chosen > rejected;
	return 0;
}

static void show_pairs(struct report *r, const struct tally *t, const struct tally *whole)
{
	(void)whole;
	report_add(r, "pairs", (double)t->records);
	report_add(r, "prompt_mean", mean(&t->prompt));
	report_add(r, "chosen_mean", mean(&t->chosen));
	report_add(r, "chosen_sd", sd(&t->chosen));
	report_add(r, "rejected_mean", mean(&t->rejected));
	report_add(r, "rejected_sd", sd(&t->rejected));
	report_add(r, "chosen_longer_rate", percent(t->chosen_longer, t->records));
}

static const struct eval_kind kinds[] = {
	{ "winrate", NULL, add_winrate, show_winrate },
	{ "lengths", NULL, add_lengths, show_lengths },
	{ "judge", NULL, add_judge, show_judge },
	{ "meta", NULL, add_meta, show_meta },
	{ "pairs", "role", add_pairs, show_pairs },
};

const struct eval_kind *eval_kind_by_name(const char *name)
{
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (strcmp(name, kinds[i].name) == 0)
			return &kinds[i];
	return strcmp(name, eval_mtbench.name) == 0 ? &eval_mtbench : NULL;
}

/* Preference pairs as TRL's DPOTrainer sees them (golden/dpo): the token ids
 * of all pairs, and the log-probabilities and the gradient of the first batch.
 * The whole run of 12 steps is in tests/bats/real-dpo.bats. */
#include "test.h"

#include <stdlib.h>

#include <cjson/cJSON.h>

#include "base/pool.h"
#include "train/dpo.h"

static struct model *model;

static const char *golden(const char *name)
{
	static char path[4096];
	const char *dir = getenv("MR_GOLDEN");

	snprintf(path, sizeof path, "%s/dpo/%s", dir && *dir ? dir : "../shared/golden", name);
	return path;
}

static cJSON *read_json(const char *path)
{
	FILE *f = fopen(path, "rb");
	char *text = calloc(1, 1 << 20);
	cJSON *json = NULL;

	if (f && fread(text, 1, (1 << 20) - 1, f) > 0)
		json = cJSON_Parse(text);
	if (f)
		fclose(f);
	free(text);
	return json;
}

static bool same_ids(const cJSON *wanted, const int32_t *ids, int n)
{
	const cJSON *x;
	int i = 0;

	if (cJSON_GetArraySize(wanted) != n)
		return false;
	cJSON_ArrayForEach(x, wanted)
		if (x->valueint != ids[i++])
			return false;
	return true;
}

static void token_ids_of_all_pairs(void)
{
	cJSON *tokens = read_json(golden("dpo_tokens.json"));
	struct reader in = { 0 };
	struct examples e = { 0 };
	struct record r;
	char *path = strdup(golden("pairs.jsonl"));
	struct err err;
	int n = 0;

	CHECK(reader_open(&in, &path, 1, &err) == 0);
	while (reader_next(&in, &err) == 1) {
		const cJSON *w = cJSON_GetArrayItem(tokens, n++);
		const struct example *x;

		CHECK(record_parse(&r, in.line, in.len, &err) == 0 && examples_add_pair(&e, &r, model, &err) == 0);
		x = &e.v[e.n - 1];
		CHECK(same_ids(cJSON_GetObjectItemCaseSensitive(w, "prompt_ids"), x->ids, x->prompt));
		CHECK(same_ids(cJSON_GetObjectItemCaseSensitive(w, "chosen_ids"), x->ids + x->prompt,
		    x->completion[0]));
		CHECK(same_ids(cJSON_GetObjectItemCaseSensitive(w, "rejected_ids"),
		    x->ids + x->prompt + x->completion[0], x->completion[1]));
		record_free(&r);
	}
	CHECK(n == 24 && cJSON_GetArraySize(tokens) == 24);
	reader_close(&in);
	free(path);
	examples_free(&e);
	cJSON_Delete(tokens);
}

static int add_ids(const cJSON *list, int32_t *ids)
{
	const cJSON *x;
	int n = 0;

	cJSON_ArrayForEach(x, list)
		ids[n++] = x->valueint;
	return n;
}

static double number(const cJSON *j, const char *key)
{
	const cJSON *x = cJSON_GetObjectItemCaseSensitive(j, key);

	return x ? x->valuedouble : NAN;
}

/* tests/golden/dpo-step1.json: numbers only, the first four pairs. */
static void the_first_step_of_trl(void)
{
	cJSON *golden_step = read_json("tests/golden/dpo-step1.json");
	const cJSON *pairs = cJSON_GetObjectItemCaseSensitive(golden_step, "pairs"), *p;
	struct pool *pool = pool_new(0);
	struct trainer *t = trainer_new(model, pool, NULL);
	static int32_t ids[4096];
	double chosen = 0, rejected = 0;
	struct err err;
	size_t n;

	CHECK(t != NULL && cJSON_GetArraySize(pairs) == 4);
	cJSON_ArrayForEach(p, pairs) {
		struct example x = { .ids = ids, .id = (char[]){ "x" } };
		double logps[1][2], d[3] = { 0 };
		struct dpo loss;

		x.prompt = add_ids(cJSON_GetObjectItemCaseSensitive(p, "prompt_ids"), ids);
		x.completion[0] = add_ids(cJSON_GetObjectItemCaseSensitive(p, "chosen_ids"), ids + x.prompt);
		x.completion[1] = add_ids(cJSON_GetObjectItemCaseSensitive(p, "rejected_ids"),
		    ids + x.prompt + x.completion[0]);
		CHECK(dpo_logps(&(struct examples){ &x, 1 }, t, &(uint32_t){ 0 }, 1, true, logps, &err) == 0);
		loss = dpo_loss(logps[0][0], logps[0][1], logps[0][0], logps[0][1], 0.1);
		CHECK_NEAR(loss.loss, number(golden_step, "loss"), 1e-6);
		d[1] = loss.d_chosen / 4;
		d[2] = loss.d_rejected / 4;
		CHECK(trainer_backward(t, d, &err) == 0);
		chosen += logps[0][0] / 4;
		rejected += logps[0][1] / 4;
	}
	CHECK_NEAR(chosen, number(golden_step, "logps/chosen"), 0.02);
	CHECK_NEAR(rejected, number(golden_step, "logps/rejected"), 0.02);
	trainer_weights(t, &n);
	CHECK_NEAR(grad_norm(pool, trainer_grads(t), n), number(golden_step, "grad_norm"),
	    0.005 * number(golden_step, "grad_norm"));
	cJSON_Delete(golden_step);
	trainer_free(t);
	pool_free(pool);
}

int main(void)
{
	const char *path = getenv("MR_MODEL");
	FILE *pairs = fopen(golden("pairs.jsonl"), "rb");
	struct err err;

	model = model_open(path && *path ? path : "models/SmolLM2-135M-Instruct.Q4_1.gguf", NULL, &err);
	if (pairs)
		fclose(pairs);
	if (!model) {
		printf("ok - golden/dpo # SKIP the model is not there: %s\n", err.msg);
		return 0;
	}
	if (pairs) {
		TEST(token_ids_of_all_pairs);
	} else {
		printf("ok - token_ids_of_all_pairs # SKIP golden/dpo is not there\n");
	}
	TEST(the_first_step_of_trl);
	model_close(model);
	return tests_done();
}

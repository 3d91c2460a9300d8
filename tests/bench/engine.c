/*
 * Generation's speed: the engine alone (prefill, decode at several batch
 * sizes) against the machine's own sgemm peak, measured right before and
 * after, and a whole workload through llm.h: answers to four prompts, then
 * judgments of them, with prompts shared and without.
 */
#include <math.h>
#include <string.h>
#include <sys/resource.h>

#include "bench.h"
#include "llm/local.h"
#include "method/template.h"

enum {
	PROMPTS = 4, SAMPLES = 7, SAMPLE_TOKENS = 128,
	JUDGMENTS = 11, JUDGMENT_TOKENS = 96,
	CONTEXT = 64,           /* tokens that a decoded sequence has before */
	PREFILL = 512,
	REPEAT = 6,             /* a prefill is the best of so many */
	JUDGED_TOKENS = 300,    /* of the response whose judging is taken apart */
};

static const char *const prompts[PROMPTS] = {
	"Why does ice float on water?",
	"How can I fall asleep faster?",
	"Suggest five names for a small bakery near a harbour.",
	"Explain to a ten-year-old how a bicycle stays upright.",
};

static int die(const struct err *err)
{
	fprintf(stderr, "engine: %s\n", err->msg);
	return 1;
}

struct bench {
	struct model *m;
	struct pool *pool;
	struct engine *e;
	float *logits;
	double peak, last;      /* FLOP/s: the best so far, and what was measured last */
};

/* The better of what was measured before something and is measured now. */
static double measure_peak(struct bench *b)
{
	const double before = b->last;
	b->last = sgemm_peak(b->pool, NULL);
	b->peak = b->last > b->peak ? b->last : b->peak;
	return b->last > before ? b->last : before;
}

static int32_t some_token(const struct bench *b, int i)
{
	return (int32_t)(1000 + (unsigned)i * 7919u % 20000) % b->m->config.vocab;
}

/* Appends n tokens to a sequence. */
static int feed(struct bench *b, int seq, int n, struct err *err)
{
	struct engine_row rows[ENGINE_MAX_ROWS];
	for (int at = 0; at < n;) {
		int k = 0;
		for (; k < ENGINE_MAX_ROWS && at < n; k++, at++)
			rows[k] = (struct engine_row){ seq, some_token(b, at), at + 1 == n };
		if (engine_step(b->e, rows, k, b->logits, err) != 0)
			return -1;
	}
	return 0;
}

/* Tokens a second; < 0 on an error. */
static double prefill(struct bench *b, struct err *err)
{
	double best = 0;
	for (int i = 0; i < REPEAT; i++) {
		const int seq = engine_seq_new(b->e);
		const double start = now_seconds();
		if (feed(b, seq, PREFILL, err) != 0)
			return -1;
		const double rate = PREFILL / (now_seconds() - start);
		best = rate > best ? rate : best;
		engine_seq_free(b->e, seq);
	}
	return best;
}

/* Tokens a second, side by side, in the best window; < 0 on an error. */
static double decode(struct bench *b, int batch, struct err *err)
{
	struct engine_row rows[ENGINE_MAX_ROWS];
	double best = 0;
	int step = 0;
	for (int i = 0; i < batch; i++) {
		rows[i] = (struct engine_row){ engine_seq_new(b->e), 0, true };
		if (feed(b, rows[i].seq, CONTEXT, err) != 0)
			return -1;
	}
	for (int i = 0; i < WINDOWS; i++) {
		const double start = now_seconds();
		double done = 0;
		do {
			for (int j = 0; j < batch; j++)
				rows[j].token = some_token(b, step * batch + j);
			if (engine_step(b->e, rows, batch, b->logits, err) != 0)
				return -1;
			done += batch;
			step++;
		} while (now_seconds() - start < WINDOW_SECONDS);
		const double rate = done / (now_seconds() - start);
		best = rate > best ? rate : best;
	}
	for (int i = 0; i < batch; i++)
		engine_seq_free(b->e, rows[i].seq);
	return best;
}

static double parameters(const struct model *m)
{
	double n = 0;
	for (size_t i = 0; i < m->gguf->ntensors; i++)
		n += (double)gguf_elements(&m->gguf->tensors[i]);
	return n;
}

/* Bytes of weights that one token reads: all but the embedding, of which it
 * reads a row, unless that is the output matrix too. */
static double bytes_a_token(const struct model *m)
{
	double n = 0;
	for (size_t i = 0; i < m->gguf->ntensors; i++)
		n += (double)m->gguf->tensors[i].size;
	return n - (m->config.tied ? 0 : (double)m->embd->size);
}

static int engine_figures(struct err *err)
{
	static const int batches[] = { 1, 7, 16, 64 };
	enum { BATCHES = sizeof batches / sizeof *batches };
	struct bench b = { .m = model_open(bench_model(), NULL, err) };
	double prefilled = 0, decoded[BATCHES] = { 0 }, bandwidth, peak, peaks[BATCHES];
	int status = -1;
	if (!b.m)
		return -1;
	b.pool = pool_new(bench_threads());
	b.e = engine_new(b.m, b.pool, &(struct engine_options){ 0 }, err);
	b.logits = mem_zalloc((size_t)batches[BATCHES - 1] * (size_t)b.m->config.vocab, sizeof(float));
	if (!b.e)
		goto done;
	measure_peak(&b);
	if ((prefilled = prefill(&b, err)) < 0)
		goto done;
	peak = measure_peak(&b);
	bandwidth = memory_bandwidth(b.pool);
	for (int i = 0; i < BATCHES; i++) {
		if ((decoded[i] = decode(&b, batches[i], err)) < 0)
			goto done;
		if (batches[i] == 1)
			bandwidth = fmax(bandwidth, memory_bandwidth(b.pool));
		peaks[i] = measure_peak(&b);
	}
	/* Tokens a second, where every product ran at the peak: a second's FLOP over a token's. */
	const double token = 2 * parameters(b.m);
	char name[64];
	figure("threads", pool_threads(b.pool), "threads");
	figure("sgemm_peak_gflops", b.peak * 1e-9, "GFLOP/s");
	figure("prefill512_tps", prefilled, "tokens/s");
	figure("prefill512_vs_peak", prefilled * token / peak, "ratio");
	for (int i = 0; i < BATCHES; i++) {
		snprintf(name, sizeof name, "decode_b%d_tps", batches[i]);
		figure(name, decoded[i], "tokens/s");
	}
	figure("memory_bandwidth_gbs", bandwidth * 1e-9, "GB/s");
	figure("decode_b1_vs_bandwidth", decoded[0] * bytes_a_token(b.m) / bandwidth, "ratio");
	for (int i = 2; i < BATCHES; i++) {
		snprintf(name, sizeof name, "decode_b%d_vs_peak", batches[i]);
		figure(name, decoded[i] * token / peaks[i], "ratio");
	}
	status = 0;
done:
	free(b.logits);
	engine_free(b.e);
	pool_free(b.pool);
	model_close(b.m);
	return status;
}

/* n continuations of each text, in one request, or one request each. Every
 * continuation has all its tokens: nothing ends a turn. *answers: the first
 * one of each text. Seconds; < 0 on an error. */
static double ask(struct llm *l, char *const *texts, int ntexts, int n, int tokens, bool shared, char **answers,
    struct err *err)
{
	const double start = now_seconds();
	struct llm_answer *a;
	for (int i = 0; i < ntexts * (shared ? 1 : n); i++) {
		const int text = shared ? i : i / n;
		const struct message message = { "user", texts[text] };
		const struct llm_request r = {
			.messages = &message,
			.nmessages = 1,
			.n = shared ? n : 1,
			.params = { 0.8, 0.95, 0, tokens },
			.seed = 1,
			.id = "bench",
			.stage = "bench",
			.first = shared ? 0 : (uint64_t)(i % n),
		};
		if (llm_submit(l, &r, &answers[text], err) != 0)
			return -1;
	}
	int status;
	while ((status = llm_next(l, &a, err)) > 0) {
		char **first = a->tag;
		if (!*first)
			*first = mem_strdup(a->completions[0].text);
		llm_answer_free(a);
	}
	return status < 0 ? -1 : now_seconds() - start;
}

static void free_texts(char **texts, int n)
{
	for (int i = 0; i < n; i++)
		free(texts[i]);
}

/* All of the responses; judgments of one response to each prompt (unshared:
 * to half of them), whose time counts for all. Tokens a second. */
static double workload(bool shared, struct err *err)
{
	const int judged = shared ? PROMPTS : PROMPTS / 2;
	struct llm *l = llm_open(&(struct llm_options){ .model = bench_model(), .threads = bench_threads() }, err);
	char *texts[PROMPTS], *responses[PROMPTS] = { 0 }, *judgments[PROMPTS] = { 0 }, *requests[PROMPTS] = { 0 };
	double sampling, judging = -1;
	if (!l)
		return -1;
	local_of(l)->end_of_turn = local_of(l)->eos = -1;
	local_keep_prefixes(local_of(l), shared);
	for (int i = 0; i < PROMPTS; i++)
		texts[i] = mem_strdup(prompts[i]);
	sampling = ask(l, texts, PROMPTS, SAMPLES, SAMPLE_TOKENS, shared, responses, err);
	if (sampling >= 0) {
		for (int i = 0; i < PROMPTS; i++) {
			struct buf b = { 0 };
			template_render(template_judge, (struct template_value[]){
				{ "prompt", prompts[i] }, { "response", responses[i] } }, 2, &b);
			requests[i] = buf_take(&b);
		}
		judging = ask(l, requests, judged, JUDGMENTS, JUDGMENT_TOKENS, shared, judgments, err);
	}
	free_texts(texts, PROMPTS);
	free_texts(responses, PROMPTS);
	free_texts(requests, PROMPTS);
	free_texts(judgments, PROMPTS);
	llm_close(l);
	if (judging < 0)
		return -1;
	return (double)PROMPTS * SAMPLES * (SAMPLE_TOKENS + JUDGMENTS * JUDGMENT_TOKENS) /
	    (sampling + judging * SAMPLES * PROMPTS / judged);
}

/* A response of some tokens, judged several times: how much longer that takes
 * than one judgment's prompt alone, and then the decoding alone. */
static double judging_vs_parts(struct err *err)
{
	struct llm *l = llm_open(&(struct llm_options){ .model = bench_model(), .threads = bench_threads() }, err);
	char *response = NULL, *answer[3] = { 0 };
	struct buf text = { 0 };
	double all = -1, prompt = -1, decoding = -1;
	if (!l)
		return -1;
	local_of(l)->end_of_turn = local_of(l)->eos = -1;
	local_keep_prefixes(local_of(l), false);
	if (ask(l, (char *[]){ (char *)prompts[3] }, 1, 1, JUDGED_TOKENS, true, &response, err) < 0)
		goto done;
	template_render(template_judge, (struct template_value[]){ { "prompt", prompts[3] },
		{ "response", response } }, 2, &text);
	all = ask(l, &text.data, 1, JUDGMENTS, JUDGMENT_TOKENS, true, &answer[0], err);
	prompt = all < 0 ? -1 : ask(l, &text.data, 1, 1, 1, true, &answer[1], err);
	/* the prompt is in the cache: what is left is decoding */
	local_keep_prefixes(local_of(l), true);
	if (prompt < 0 || ask(l, &text.data, 1, 1, 1, true, &answer[2], err) < 0)
		goto done;
	free(answer[2]);
	answer[2] = NULL;
	decoding = ask(l, &text.data, 1, JUDGMENTS, JUDGMENT_TOKENS, true, &answer[2], err);
done:
	free(response);
	free_texts(answer, 3);
	buf_free(&text);
	llm_close(l);
	return decoding < 0 ? -1 : all / (prompt + decoding);
}

int main(void)
{
	struct err err;
	struct rusage usage;
	double rate;
	if (engine_figures(&err) != 0)
		return die(&err);
	if ((rate = judging_vs_parts(&err)) < 0)
		return die(&err);
	figure("judging_vs_parts", rate, "ratio");
	if ((rate = workload(true, &err)) < 0)
		return die(&err);
	figure("workload_tps", rate, "tokens/s");
	if ((rate = workload(false, &err)) < 0)
		return die(&err);
	figure("workload_unshared_tps", rate, "tokens/s");
	getrusage(RUSAGE_SELF, &usage);
	figure("peak_rss_mib", (double)usage.ru_maxrss / 1024, "MiB");
	return 0;
}

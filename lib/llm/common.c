#include <math.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "llm/common.h"

char *text_clean(const char *s, size_t len)
{
	struct buf b = { 0 };
	size_t n;
	for (size_t i = 0; i < len; i += n) {
		const uint32_t c = utf8_decode(s + i, len - i, &n);
		if (c == UTF8_BAD || c == 0)
			buf_adds(&b, "\xef\xbf\xbd");
		else
			buf_add(&b, s + i, n);
	}
	return buf_take(&b);
}

void choice_normalise(double *x, int n)
{
	double max = x[0], sum = 0;
	for (int i = 1; i < n; i++)
		max = x[i] > max ? x[i] : max;
	for (int i = 0; i < n; i++)
		sum += exp(x[i] - max);
	for (int i = 0; i < n; i++)
		x[i] -= max + log(sum);
}

int choice_draw(const double *logprob, int n, double temperature, double u)
{
	int best = 0;
	double sum = 0, mass = 0;
	for (int i = 1; i < n; i++)
		best = logprob[i] > logprob[best] ? i : best;
	if (temperature <= 0)
		return best;
	for (int i = 0; i < n; i++)
		mass += exp((logprob[i] - logprob[best]) / temperature);
	for (int i = 0; i < n; i++) {
		sum += exp((logprob[i] - logprob[best]) / temperature);
		if (sum > u * mass)
			return i;
	}
	return best;
}

struct llm_completion choice_complete(const char *const *texts, const double *logprob, int n, double temperature,
    double u)
{
	const int choice = choice_draw(logprob, n, temperature, u);
	double *all = mem_zalloc((size_t)n, sizeof *all);
	memcpy(all, logprob, (size_t)n * sizeof *all);
	return (struct llm_completion){ .text = mem_strdup(texts[choice]), .tokens = -1, .finish = LLM_STOP,
		.choice = choice, .logprobs = all };
}

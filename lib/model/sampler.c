#include "model/sampler.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/mem.h"
#include "model/kernels/kernels.h"

struct sampler_scratch {
	float *weight;          /* exp((logit - max) / temperature) */
	int *id;                /* a heap of candidates, or the chosen ones in order */
};

struct sampler_scratch *sampler_scratch_new(int vocab)
{
	struct sampler_scratch *s = mem_zalloc(1, sizeof *s);
	s->weight = mem_zalloc((size_t)vocab, sizeof *s->weight);
	s->id = mem_zalloc((size_t)vocab, sizeof *s->id);
	return s;
}

void sampler_scratch_free(struct sampler_scratch *s)
{
	if (!s)
		return;
	free(s->weight);
	free(s->id);
	free(s);
}

static int largest(const float *logits, int vocab)
{
	int best = 0;
	for (int i = 1; i < vocab; i++)
		if (logits[i] > logits[best] || isnan(logits[best]))
			best = i;
	return best;
}

/* In sixteen partial sums, for speed; always the same ones. */
static double total(const float *x, int n)
{
	double s[16] = { 0 }, sum = 0;
	int i = 0;
	for (; i + 16 <= n; i += 16)
		for (int l = 0; l < 16; l++)
			s[l] += (double)x[i + l];
	for (; i < n; i++)
		sum += (double)x[i];
	for (int l = 0; l < 16; l++)
		sum += s[l];
	return sum;
}

/* Which of two tokens comes first. */
static bool before(const float *logits, int a, int b)
{
	return logits[a] > logits[b] || (a < b && logits[a] == logits[b]);
}

/* Down from place i of a heap of n, the first on top (or, reversed, the last). */
static void sift(const float *logits, int *heap, int n, int i, bool reversed)
{
	const int id = heap[i];
	for (int child; (child = 2 * i + 1) < n; i = child) {
		if (child + 1 < n && before(logits, heap[child + 1], heap[child]) != reversed)
			child++;
		if (before(logits, heap[child], id) == reversed)
			break;
		heap[i] = heap[child];
	}
	heap[i] = id;
}

static void make_heap(const float *logits, int *heap, int n, bool reversed)
{
	for (int i = n / 2; i-- > 0;)
		sift(logits, heap, n, i, reversed);
}

/* The k largest: a heap of them, the least on top, that the others pass. */
static int top_k(const float *logits, int vocab, int k, int *heap)
{
	for (int i = 0; i < k; i++)
		heap[i] = i;
	make_heap(logits, heap, k, true);
	for (int i = k; i < vocab; i++)
		if (before(logits, i, heap[0])) {
			heap[0] = i;
			sift(logits, heap, k, 0, true);
		}
	return k;
}

/* Those that may be among the fewest whose weights reach (1 - rest) of the
 * sum: all tokens of at most rest * sum / vocab weigh rest * sum together. */
static int above(const float *weight, int vocab, double least, int *id)
{
	int n = 0;
	for (int i = 0; i < vocab; i++)
		if ((double)weight[i] >= least)
			id[n++] = i;
	return n;
}

/* Takes the first token off the heap to its end, as long as those taken do
 * not reach the mass wanted. They lie, in order, from the end of id
 * backwards; returns how many, and their mass. */
static int take_until(const float *logits, const float *weight, int *id, int n, double wanted, double *mass)
{
	int left = n;
	*mass = 0;
	make_heap(logits, id, n, false);
	while (left > 0) {
		const int first = id[0];
		id[0] = id[--left];
		id[left] = first;
		sift(logits, id, left, 0, false);
		*mass += (double)weight[first];
		if (*mass >= wanted)
			break;
	}
	return n - left;
}

int sample_token(const struct sampler *s, const float *logits, int vocab, double u,
    struct sampler_scratch *scratch)
{
	const int best = largest(logits, vocab);
	float *weight = scratch->weight;
	int *id = scratch->id, n = vocab;
	if (s->temperature <= 0 || !isfinite(logits[best]))
		return best;
	kernels()->exp(weight, logits, (size_t)vocab, logits[best], (float)(1 / s->temperature));
	const bool some = s->top_k > 0 && s->top_k < vocab;
	double mass = total(weight, vocab), sum = 0;
	if (!some && s->top_p >= 1) {
		int i = 0, last = best;
		for (; i < vocab && sum <= u * mass; i++) {
			sum += (double)weight[i];
			last = weight[i] > 0 ? i : last;
		}
		return last;
	}
	if (some) {
		n = top_k(logits, vocab, s->top_k, id);
		mass = 0;
		for (int i = 0; i < n; i++)
			mass += (double)weight[id[i]];
	} else {
		n = above(weight, vocab, (1 - s->top_p) * mass / vocab, id);
	}
	const int taken = take_until(logits, weight, id, n, s->top_p >= 1 ? INFINITY : s->top_p * mass,
	    &mass);
	for (int i = n - 1; i > n - taken; i--) {
		sum += (double)weight[id[i]];
		if (sum > u * mass)
			return id[i];
	}
	return id[n - taken];
}

/* One token out of logits: temperature, then top-k, then top-p, then a draw. */
#ifndef MR_MODEL_SAMPLER_H
#define MR_MODEL_SAMPLER_H

struct sampler {
	double temperature;     /* 0: the largest logit (the lowest id among equals) */
	double top_p;
	int top_k;
};

struct sampler_scratch;
struct sampler_scratch *sampler_scratch_new(int vocab);
void sampler_scratch_free(struct sampler_scratch *s);

/* u: uniform in [0, 1). Does not sort the vocabulary: only what is needed of
 * its top is selected. Equal logits are ordered by id. */
int sample_token(const struct sampler *s, const float *logits, int vocab, double u,
    struct sampler_scratch *scratch);

#endif

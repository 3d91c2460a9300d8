/*
 * Training: float32 master weights, forward and backward for the
 * architectures of model/model.h written out by hand, losses on the completion's tokens.
 *
 * A tree is a packed sequence of segments that share a prefix: the prompt
 * once, then (for a preference pair) chosen and rejected, each of which
 * attends to the prompt and to itself. A forest (several roots) is allowed:
 * examples side by side. Products go through OpenBLAS on fixed shapes, one
 * thread a call, so that the same seed gives the same bytes for any number
 * of threads.
 */
#ifndef MR_TRAIN_TRAIN_H
#define MR_TRAIN_TRAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/pool.h"
#include "model/model.h"

struct trainer;

/* Adapters instead of all weights (train/lora.h): the model stays as the file
 * has it, w + alpha / rank b a stands in place of a matrix w. */
struct lora {
	int rank;               /* R >= 1 */
	double alpha;           /* > 0 */
	unsigned targets;       /* from lora_targets */
	uint64_t seed;          /* of the first a; b is 0 at first */
	bool merged;            /* trainer_save writes the whole model, adapters added, not them alone */
};
/* "q,k,v,o,gate,up,down", or some of them. */
int lora_targets(const char *list, unsigned *targets, struct err *err);

/* What is trained, in one block. With adapters: a (R, in) and b (out, R) of
 * each, all of them matrices, NAME.lora_a and NAME.lora_b by name. Without:
 * the model's weights as float32, first the matrices, then the
 * vectors, each kind in the order of the file's tensors. Gradients have the
 * same layout. Between tensors there may be a few elements of padding, which
 * are 0 in both. Turns OpenBLAS's own threads off. m and pool must outlive
 * the trainer. NULL where there is not enough memory. trainer_new is both of
 * the others: trainer_plan only counts, all but weights and gradients may be
 * asked for, and trainer_load takes the memory and fills it. lora NULL: all
 * weights. */
struct trainer *trainer_new(const struct model *m, struct pool *pool, struct err *err);
struct trainer *trainer_plan(const struct model *m, struct pool *pool, const struct lora *lora, struct err *err);
int trainer_load(struct trainer *t, struct err *err);
void trainer_free(struct trainer *t);
float *trainer_weights(struct trainer *t, size_t *n);
float *trainer_grads(struct trainer *t);
void trainer_zero_grads(struct trainer *t);
/* Elements [0, this) are matrices, which weight decay applies to. */
size_t trainer_matrices(const struct trainer *t);
/* Where tensor name begins in the weights, its length in *n; -1: unknown, or
 * not trained (rope_freqs.weight). */
ptrdiff_t trainer_offset(const struct trainer *t, const char *name, size_t *n);

struct segment {
	const int32_t *ids;
	int n;                  /* >= 1 */
	int parent;             /* index of the segment it continues (a lower one), or -1 */
	bool target;            /* its tokens are predicted: log-probabilities are wanted */
};

/* Activation checkpointing: of the first this many layers (at most all of
 * them) only the input is kept for the backward pass, which computes the rest
 * again, and the logits; -1 (at first): nothing, the logits are kept too. The
 * same bytes come out. */
void trainer_recompute(struct trainer *t, int layers);
/* Bytes that a tree of tokens, targets of them predicted, takes beside
 * weights and gradients; with what the backward needs where keep is true. */
size_t trainer_bytes(const struct trainer *t, int tokens, int targets, bool keep);
/* Takes that memory now, for any tree up to this size. */
int trainer_reserve(struct trainer *t, int tokens, int targets, bool keep, struct err *err);
/* Useful floating-point operations of a forward and backward pass over all
 * weights: 6 for each weight of a matrix and row it is applied to. */
double trainer_flops(const struct trainer *t, int tokens, int targets);

/* Forward. logps[s] = sum of log p(token | before it) over the tokens of
 * target segment s (0 for others; a root's first token has nothing before it
 * and does not count). correct, where not NULL: how many of them were the
 * likeliest token. keep: activations are kept for trainer_backward. */
int trainer_forward(struct trainer *t, const struct segment *s, int n, bool keep, double *logps, int *correct,
    struct err *err);
/* Backward of the last kept forward, once: adds to the gradients d/dw of
 * sum_s dlogps[s] * logps[s]. */
int trainer_backward(struct trainer *t, const double *dlogps, struct err *err);

/* Seconds that forward and backward passes took since trainer_new, by part:
 * the layers but for their attention, forward and backward; attention, both
 * ways; the head, both ways. */
struct trainer_seconds {
	double forward, backward, attention, head;
};
struct trainer_seconds trainer_seconds(const struct trainer *t);

/* Where a type cannot hold the model's matrices, -1 and a message. */
int trainer_check_type(const struct trainer *t, enum tensor_type type, struct err *err);
/* Adapters that are not merged go into a file of their own, F32, in
 * llama.cpp's format. Otherwise, writes the weights over the model's metadata as a GGUF of one type
 * (matrices; vectors stay F32), whole or not at all. */
int trainer_save(const struct trainer *t, const char *path, enum tensor_type type, struct err *err);

#endif

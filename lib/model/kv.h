/*
 * The key/value cache's bookkeeping; private to lib/model. Memory comes in
 * blocks of KV_POSITIONS positions (all layers' keys and values), counted by
 * reference: a fork shares its parent's blocks, and the block it would write
 * into is copied when it is written.
 */
#ifndef MR_MODEL_KV_H
#define MR_MODEL_KV_H

#include <stddef.h>

#include "base/err.h"

struct kv;

/* At most total blocks of so many floats; their memory is taken when they
 * are first needed, some at once, and then kept. */
struct kv *kv_new(int total, size_t block_floats);
void kv_free(struct kv *kv);

int kv_seq_new(struct kv *kv);
int kv_seq_fork(struct kv *kv, int seq, int length);    /* length <= the parent's */
void kv_seq_free(struct kv *kv, int seq);
int kv_seq_valid(const struct kv *kv, int seq);
int kv_seq_length(const struct kv *kv, int seq);

/* n more positions, to be written by this sequence only; -1 where the bound
 * or the memory does not allow it, and the length is what it was. */
int kv_extend(struct kv *kv, int seq, int n, struct err *err);
void kv_truncate(struct kv *kv, int seq, int length);

/* The sequence's blocks, in order. */
float *const *kv_blocks(const struct kv *kv, int seq);

int kv_free_count(const struct kv *kv);
int kv_total(const struct kv *kv);
int kv_needed(const struct kv *kv, int seq, int more);  /* seq -1: a new one */

#endif

#include "model/kv.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/kernels/kernels.h"

enum { SLAB_BYTES = 16 << 20 };         /* about so much memory is taken at once */

struct block {
	float *data;            /* NULL: no memory yet */
	int refs;
};

struct seq {
	bool used;
	int length;
	int n, cap;             /* blocks */
	int *ids;
	float **data;           /* the blocks' memory */
};

struct kv {
	size_t block_floats;
	int total;
	int slab;               /* neighbouring blocks whose memory is taken at once */
	struct block *blocks;
	int *free, nfree;       /* a stack: the last one freed is taken first */
	struct seq *seqs;
	int nseqs;
};

/* Bytes of the slab whose first block is i. */
static size_t slab_size(const struct kv *kv, int i)
{
	const int n = kv->total - i < kv->slab ? kv->total - i : kv->slab;
	return (size_t)n * kv->block_floats * sizeof(float);
}

struct kv *kv_new(int total, size_t block_floats)
{
	struct kv *kv = mem_zalloc(1, sizeof *kv);
	kv->block_floats = block_floats;
	kv->total = total;
	kv->slab = (int)(SLAB_BYTES / (block_floats * sizeof(float))) + 1;
	kv->blocks = mem_zalloc((size_t)total, sizeof *kv->blocks);
	kv->free = mem_zalloc((size_t)total, sizeof *kv->free);
	for (kv->nfree = 0; kv->nfree < total; kv->nfree++)
		kv->free[kv->nfree] = total - 1 - kv->nfree;
	return kv;
}

void kv_free(struct kv *kv)
{
	if (!kv)
		return;
	for (int i = 0; i < kv->total; i += kv->slab)
		mem_pages_free(kv->blocks[i].data, slab_size(kv, i));
	for (int i = 0; i < kv->nseqs; i++) {
		free(kv->seqs[i].ids);
		free(kv->seqs[i].data);
	}
	free(kv->blocks);
	free(kv->free);
	free(kv->seqs);
	free(kv);
}

int kv_seq_valid(const struct kv *kv, int seq)
{
	return seq >= 0 && seq < kv->nseqs && kv->seqs[seq].used;
}

int kv_seq_length(const struct kv *kv, int seq)
{
	return kv->seqs[seq].length;
}

int kv_seq_new(struct kv *kv)
{
	int i = 0;
	while (i < kv->nseqs && kv->seqs[i].used)
		i++;
	if (i == kv->nseqs) {
		kv->seqs = mem_grow(kv->seqs, (size_t)++kv->nseqs, sizeof *kv->seqs);
		kv->seqs[i] = (struct seq){ 0 };
	}
	kv->seqs[i].used = true;
	return i;
}

static void push(struct seq *s, int id, float *data)
{
	if (s->n == s->cap) {
		s->cap = s->cap ? 2 * s->cap : 8;
		s->ids = mem_grow(s->ids, (size_t)s->cap, sizeof *s->ids);
		s->data = mem_grow(s->data, (size_t)s->cap, sizeof *s->data);
	}
	s->ids[s->n] = id;
	s->data[s->n++] = data;
}

static void release(struct kv *kv, int id)
{
	if (--kv->blocks[id].refs == 0)
		kv->free[kv->nfree++] = id;
}

static int blocks_for(int positions)
{
	return (positions + KV_POSITIONS - 1) / KV_POSITIONS;
}

int kv_seq_fork(struct kv *kv, int seq, int length)
{
	const int child = kv_seq_new(kv);
	struct seq *s = &kv->seqs[child];
	const struct seq *parent = &kv->seqs[seq];
	for (int i = 0; i < blocks_for(length); i++) {
		kv->blocks[parent->ids[i]].refs++;
		push(s, parent->ids[i], parent->data[i]);
	}
	s->length = length;
	return child;
}

void kv_truncate(struct kv *kv, int seq, int length)
{
	struct seq *s = &kv->seqs[seq];
	while (s->n > blocks_for(length))
		release(kv, s->ids[--s->n]);
	s->length = length;
}

void kv_seq_free(struct kv *kv, int seq)
{
	kv_truncate(kv, seq, 0);
	kv->seqs[seq].used = false;
}

/* The memory of a block and its neighbours. It is zeroed: lanes beyond a
 * sequence's end are computed with, though never used. */
static int take_slab(struct kv *kv, int id, struct err *err)
{
	const int first = id / kv->slab * kv->slab;
	float *data = mem_pages(slab_size(kv, first));
	if (!data)
		return err_set(err, "not enough memory for the key/value cache; allow it less");
	for (int i = first; i < first + kv->slab && i < kv->total; i++)
		kv->blocks[i].data = data + (size_t)(i - first) * kv->block_floats;
	return 0;
}

/* A block of one's own. */
static int take(struct kv *kv, struct err *err)
{
	if (kv->nfree == 0)
		return err_set(err, "the key/value cache is full");
	const int id = kv->free[kv->nfree - 1];
	if (!kv->blocks[id].data && take_slab(kv, id, err) != 0)
		return -1;
	kv->blocks[id].refs = 1;
	kv->nfree--;
	return id;
}

static bool copies(const struct kv *kv, const struct seq *s)
{
	return s->length % KV_POSITIONS != 0 && kv->blocks[s->ids[s->n - 1]].refs > 1;
}

int kv_extend(struct kv *kv, int seq, int n, struct err *err)
{
	struct seq *s = &kv->seqs[seq];
	const int length = s->length;
	if (n > 0 && copies(kv, s)) {
		const int id = take(kv, err);
		if (id < 0)
			return -1;
		memcpy(kv->blocks[id].data, s->data[s->n - 1], kv->block_floats * sizeof(float));
		release(kv, s->ids[s->n - 1]);
		s->ids[s->n - 1] = id;
		s->data[s->n - 1] = kv->blocks[id].data;
	}
	while (s->n < blocks_for(length + n)) {
		const int id = take(kv, err);
		if (id < 0) {
			kv_truncate(kv, seq, length);
			return -1;
		}
		push(s, id, kv->blocks[id].data);
	}
	s->length = length + n;
	return 0;
}

float *const *kv_blocks(const struct kv *kv, int seq)
{
	return kv->seqs[seq].data;
}

int kv_free_count(const struct kv *kv)
{
	return kv->nfree;
}

int kv_total(const struct kv *kv)
{
	return kv->total;
}

int kv_needed(const struct kv *kv, int seq, int more)
{
	if (seq < 0)
		return blocks_for(more);
	const struct seq *s = &kv->seqs[seq];
	return blocks_for(s->length + more) - s->n + (more > 0 && copies(kv, s));
}

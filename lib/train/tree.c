#include "train/tree.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { MOST_TOKENS = 1 << 24 };

static int check(const struct segment *s, int n, int vocab, struct err *err)
{
	long total = 0;

	if (n < 1)
		return err_set(err, "there are no segments");
	for (int i = 0; i < n; i++) {
		if (s[i].n < 1)
			return err_set(err, "segment %d is empty", i);
		if (s[i].parent < -1 || s[i].parent >= i)
			return err_set(err, "segment %d comes before its parent", i);
		for (int j = 0; j < s[i].n; j++)
			if (s[i].ids[j] < 0 || s[i].ids[j] >= vocab)
				return err_set(err, "token %d is not one of the model's %d", (int)s[i].ids[j], vocab);
		total += s[i].n;
		if (total > MOST_TOKENS)
			return err_set(err, "more than %d tokens at once", MOST_TOKENS);
	}
	return 0;
}

static void place_segments(struct tree *t, const struct segment *s)
{
	int row = 0;

	for (int i = 0; i < t->nsegs; i++) {
		const struct tree_segment *up = s[i].parent < 0 ? NULL : &t->seg[s[i].parent];
		struct tree_segment *seg = &t->seg[i];

		*seg = (struct tree_segment){ row, s[i].n, up ? up->pos + up->len : 0, s[i].parent, up ? up->root : i };
		if (!up)
			t->roots[t->nroots++] = i;
		for (int j = 0; j < seg->len; j++, row++) {
			t->ids[row] = s[i].ids[j];
			t->pos[row] = seg->pos + j;
		}
		for (int from = 0; from < seg->len; from += TREE_BLOCK)
			t->block[t->nblocks++] = (struct tree_block){ i, seg->start + from,
			    seg->start + (seg->len - from < TREE_BLOCK ? seg->len : from + TREE_BLOCK) };
	}
}

/* The first token of a segment is predicted by the last one of its parent;
 * that of a root by nothing. */
static void place_targets(struct tree *t, const struct segment *s)
{
	for (int i = 0; i < t->nsegs; i++) {
		const struct tree_segment *seg = &t->seg[i];

		for (int j = 0; s[i].target && j < seg->len; j++) {
			const struct tree_segment *up = seg->parent < 0 ? NULL : &t->seg[seg->parent];

			if (j == 0 && !up)
				continue;
			t->target[t->ntargets++] = (struct tree_target){
			    j > 0 ? seg->start + j - 1 : up->start + up->len - 1, s[i].ids[j], i };
		}
	}
}

int tree_build(struct tree *t, const struct segment *s, int n, int vocab, int context, struct err *err)
{
	size_t tokens = 0, blocks = 0;

	tree_free(t);
	if (check(s, n, vocab, err) != 0)
		return -1;
	for (int i = 0; i < n; i++) {
		tokens += (size_t)s[i].n;
		blocks += (size_t)(s[i].n + TREE_BLOCK - 1) / TREE_BLOCK;
	}
	t->nsegs = n;
	t->tokens = (int)tokens;
	t->seg = mem_zalloc((size_t)n, sizeof *t->seg);
	t->roots = mem_zalloc((size_t)n, sizeof *t->roots);
	t->ids = mem_zalloc(tokens, sizeof *t->ids);
	t->pos = mem_zalloc(tokens, sizeof *t->pos);
	t->target = mem_zalloc(tokens, sizeof *t->target);
	t->block = mem_zalloc(blocks, sizeof *t->block);
	place_segments(t, s);
	place_targets(t, s);
	for (int i = 0; i < n; i++)
		if (t->seg[i].pos + t->seg[i].len > context) {
			int length = t->seg[i].pos + t->seg[i].len;

			tree_free(t);
			return err_set(err, "%d tokens in a row, more than the model's context of %d", length, context);
		}
	return 0;
}

void tree_free(struct tree *t)
{
	free(t->seg);
	free(t->roots);
	free(t->ids);
	free(t->pos);
	free(t->target);
	free(t->block);
	memset(t, 0, sizeof *t);
}

#include <string.h>

#include "llm/local.h"

static int common(const struct ids *a, const struct ids *b)
{
	const size_t n = a->n < b->n ? a->n : b->n;
	size_t i = 0;
	while (i < n && a->v[i] == b->v[i])
		i++;
	return (int)i;
}

static void forget(struct local *l, int i)
{
	engine_seq_free(l->engine, l->prefixes[i].seq);
	ids_free(&l->prefixes[i].ids);
	l->prefixes[i] = l->prefixes[--l->nprefixes];
}

int prefix_take(struct local *l, const struct ids *ids)
{
	int best = -1, length = 0;
	for (int i = 0; i < l->nprefixes; i++) {
		const int n = common(&l->prefixes[i].ids, ids);
		if (n > length) {
			best = i;
			length = n;
		}
	}
	if (best < 0)
		return engine_seq_new(l->engine);
	l->prefixes[best].used = ++l->clock;
	return engine_seq_fork_at(l->engine, l->prefixes[best].seq,
	    length < (int)ids->n ? length : (int)ids->n - 1);
}

void prefix_keep(struct local *l, const struct ids *ids, int seq)
{
	if (!l->keep_prefixes) {
		engine_seq_free(l->engine, seq);
		return;
	}
	/* What is a beginning of the new one has no further use. */
	for (int i = l->nprefixes - 1; i >= 0; i--)
		if (common(&l->prefixes[i].ids, ids) == (int)l->prefixes[i].ids.n)
			forget(l, i);
	if (l->nprefixes == MAX_PREFIXES)
		prefix_drop(l);
	struct prefix *p = &l->prefixes[l->nprefixes++];
	*p = (struct prefix){ .seq = seq, .used = ++l->clock };
	ids_add_n(&p->ids, ids->v, ids->n);
}

bool prefix_drop(struct local *l)
{
	int oldest = 0;
	if (l->nprefixes == 0)
		return false;
	for (int i = 1; i < l->nprefixes; i++)
		if (l->prefixes[i].used < l->prefixes[oldest].used)
			oldest = i;
	forget(l, oldest);
	return true;
}

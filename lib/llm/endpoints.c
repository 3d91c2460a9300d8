#include "llm/endpoints.h"

#include <math.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "llm/http_rules.h"

enum { MOST_FAILURES = 2 };

#define FIRST_PAUSE 0.5
#define LONGEST_PAUSE 15.0

int endpoints_open(struct endpoints *e, const char *const *bases, int n, struct err *err)
{
	*e = (struct endpoints){ .v = mem_zalloc((size_t)n, sizeof *e->v) };
	for (int i = 0; i < n; i++) {
		struct buf url = { 0 };
		char *base = http_base_url(bases[i], err);
		if (!base) {
			endpoints_close(e);
			return -1;
		}
		buf_printf(&url, "%s/chat/completions", base);
		e->v[e->n++] = (struct endpoint){ .base = base, .url = buf_take(&url) };
	}
	return 0;
}

void endpoints_close(struct endpoints *e)
{
	for (int i = 0; i < e->n; i++) {
		free(e->v[i].base);
		free(e->v[i].url);
	}
	free(e->v);
	*e = (struct endpoints){ 0 };
}

int endpoints_pick(struct endpoints *e, int avoid, double now, bool *probe)
{
	int best = -1;
	*probe = false;
	for (int i = 0; e->naside > 0 && i < e->n; i++)
		if (e->v[i].aside && !e->v[i].probed && e->v[i].until <= now) {
			*probe = e->v[i].probed = true;
			return i;
		}
	for (int k = 0; k < e->n; k++) {
		const int i = (e->turn + k) % e->n;
		if (e->v[i].aside || (i == avoid && e->n - e->naside > 1))
			continue;
		if (best < 0 || e->v[i].inflight < e->v[best].inflight)
			best = i;
	}
	if (best >= 0)
		e->turn = (best + 1) % e->n;
	return best;
}

static void set_aside(struct endpoints *e, struct endpoint *p, double now)
{
	p->pause = p->aside ? fmin(2 * p->pause, LONGEST_PAUSE) : FIRST_PAUSE;
	p->until = now + p->pause;
	if (!p->aside && ++e->naside == e->n)
		e->down_since = now;
	p->aside = true;
}

enum endpoints_change endpoints_result(struct endpoints *e, int i, bool answered, bool probe, double began,
    double now)
{
	struct endpoint *p = &e->v[i];
	const bool was = p->aside;
	if (probe)
		p->probed = false;
	if (answered) {
		p->failures = 0;
		p->answered = now;
		e->naside -= was;
		p->aside = false;
		return was ? ENDPOINT_BACK : ENDPOINT_SAME;
	}
	/* Those that were on their way when it was set aside say nothing new,
	 * nor those beside which others were answered. */
	if (was ? probe : p->answered < began && ++p->failures >= MOST_FAILURES)
		set_aside(e, p, now);
	return p->aside && !was ? ENDPOINT_ASIDE : ENDPOINT_SAME;
}

double endpoints_due(const struct endpoints *e)
{
	double due = 0;
	for (int i = 0; e->naside > 0 && i < e->n; i++)
		if (e->v[i].aside && !e->v[i].probed && (due <= 0 || e->v[i].until < due))
			due = e->v[i].until;
	return due;
}

bool endpoints_hopeless(const struct endpoints *e, double patience, double now)
{
	return e->naside == e->n && now - e->down_since > patience;
}

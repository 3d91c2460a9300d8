/* What is behind the door. Only this file knows both rooms, so that a program
 * that opens no model is linked with neither. */
#include <stdlib.h>

#include "base/mem.h"
#include "llm/common.h"
#include "llm/http.h"
#include "llm/local.h"

static int door_submit(struct llm *l, const struct llm_request *r, void *tag, struct err *err)
{
	return l->http ? http_submit(l->http, r, tag, err) : local_submit(l->local, r, tag, err);
}

static int door_waiting(const struct llm *l)
{
	return l->http ? http_waiting(l->http) : local_waiting(l->local);
}

static int door_batch(const struct llm *l)
{
	return l->http ? http_jobs(l->http) : local_batch(l->local);
}

static int door_next(struct llm *l, struct llm_answer **answer, struct err *err)
{
	return l->http ? http_next(l->http, answer, err) : local_next(l->local, answer, err);
}

static const char *door_spent(const struct llm *l)
{
	return l->http ? http_spent(l->http) : NULL;
}

static void door_watch(struct llm *l, int fd)
{
	if (l->http)
		http_watch(l->http, fd);
}

static struct llm_usage door_usage(const struct llm *l)
{
	return l->http ? http_usage(l->http) : local_usage(l->local);
}

static double door_latency(const struct llm *l, double part)
{
	return l->http ? http_latency(l->http, part) : 0;
}

static const char *door_model_path(const struct llm *l)
{
	return l->local ? local_model_path(l->local) : NULL;
}

static const char *door_endpoint(const struct llm *l, int i)
{
	return l->http ? http_endpoint(l->http, i) : NULL;
}

static void door_close(struct llm *l)
{
	local_close(l->local);
	http_close(l->http);
	free(l);
}

static const struct llm_door door = {
	door_submit, door_waiting, door_batch, door_next, door_spent, door_watch, door_usage, door_latency,
	door_model_path, door_endpoint, door_close,
};

struct llm *llm_open(const struct llm_options *o, struct err *err)
{
	struct llm l = { .does = &door };
	if (o->servers.nendpoints > 0)
		l.http = http_open(o, err);
	else
		l.local = local_open(o, err);
	if (!l.http && !l.local)
		return NULL;
	struct llm *opened = mem_zalloc(1, sizeof *opened);
	*opened = l;
	return opened;
}

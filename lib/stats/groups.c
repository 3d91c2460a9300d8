#include "stats/groups.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"

int group_name(const struct record *rec, const char *by, struct buf *name, struct err *err)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(rec->json, by);
	struct json_span value;
	const char *text;

	buf_reset(name);
	if (cJSON_IsString(v)) {
		text = record_string(rec, by, err);
		if (!text)
			return -1;
		buf_adds(name, text);
	} else if (cJSON_IsObject(v) || cJSON_IsArray(v)) {
		return err_set(err, "\"%s\" is not a string or a number; nothing can be grouped by it", by);
	} else if (v && !cJSON_IsNull(v) &&
	    json_member(rec->line, (struct json_span){ 0, rec->len }, by, &value)) {
		buf_add(name, rec->line + value.start, value.end - value.start);
	} else {
		buf_adds(name, "(none)");
	}
	return 0;
}

struct group *group_find(struct groups *s, const char *name)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		struct group *g = &s->v[s->order[mid]];
		int order = strcmp(name, g->name);

		if (order == 0)
			return g;
		if (order < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	s->v = mem_grow(s->v, s->n + 1, sizeof *s->v);
	s->order = mem_grow(s->order, s->n + 1, sizeof *s->order);
	memmove(s->order + lo + 1, s->order + lo, (s->n - lo) * sizeof *s->order);
	s->order[lo] = s->n;
	s->v[s->n] = (struct group){ .name = mem_strdup(name), .t = s->fresh };
	return &s->v[s->n++];
}

void groups_free(struct groups *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i].name);
	free(s->v);
	free(s->order);
}

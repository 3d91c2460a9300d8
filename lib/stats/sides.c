#include "stats/sides.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const char *const keys[2] = { "generator_1", "generator_2" };

static bool same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static int read_name(const struct record *rec, int i, const char **name, struct err *err)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(rec->json, keys[i]);

	*name = NULL;
	if (!v || cJSON_IsNull(v))
		return 0;
	*name = record_string(rec, keys[i], err);
	return *name ? 0 : -1;
}

int sides_check(const struct sides *s, const struct record *rec, struct err *err)
{
	for (int i = 0; i < 2; i++) {
		const char *name, *before = s->names[i];

		if (read_name(rec, i, &name, err) != 0)
			return SIDES_BAD;
		if (!s->known || same(name, before))
			continue;
		err_set(err, "\"%s\" is %s%.80s%s, before it was %s%.80s%s; one model against one baseline at a time",
		    keys[i], name ? "\"" : "", name ? name : "missing", name ? "\"" : "",
		    before ? "\"" : "", before ? before : "missing", before ? "\"" : "");
		return SIDES_OTHER;
	}
	return 0;
}

void sides_keep(struct sides *s, const struct record *rec)
{
	const char *name;

	for (int i = 0; i < 2 && !s->known; i++)
		s->names[i] = read_name(rec, i, &name, NULL) == 0 && name ? mem_strdup(name) : NULL;
	s->known = true;
}

bool sides_same(const struct sides *s)
{
	return s->names[0] && same(s->names[0], s->names[1]);
}

void sides_free(struct sides *s)
{
	free(s->names[0]);
	free(s->names[1]);
}

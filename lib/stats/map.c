#include "stats/map.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static size_t map_slot(const struct map *m, const char *name)
{
	uint64_t h = 14695981039346656037u;     /* FNV-1a */
	size_t i;

	for (const char *s = name; *s; s++)
		h = (h ^ (unsigned char)*s) * 1099511628211u;
	for (i = (size_t)(h ^ h >> 32) & (m->cap - 1); m->names[i]; i = (i + 1) & (m->cap - 1))
		if (strcmp(m->names[i], name) == 0)
			break;
	return i;
}

const double *map_find(const struct map *m, const char *name)
{
	size_t i = m->cap ? map_slot(m, name) : 0;

	return m->cap && m->names[i] ? &m->values[i] : NULL;
}

bool map_add(struct map *m, const char *name, double value)
{
	size_t i;

	if (2 * m->n >= m->cap) {
		struct map bigger = { .cap = m->cap ? 2 * m->cap : 256, .n = m->n };

		bigger.names = mem_zalloc(bigger.cap, sizeof *bigger.names);
		bigger.values = mem_zalloc(bigger.cap, sizeof *bigger.values);
		for (size_t k = 0; k < m->cap; k++) {
			if (!m->names[k])
				continue;
			i = map_slot(&bigger, m->names[k]);
			bigger.names[i] = m->names[k];
			bigger.values[i] = m->values[k];
		}
		free(m->names);
		free(m->values);
		*m = bigger;
	}
	i = map_slot(m, name);
	if (m->names[i])
		return false;
	m->names[i] = mem_strdup(name);
	m->values[i] = value;
	m->n++;
	return true;
}

void map_free(struct map *m)
{
	for (size_t i = 0; i < m->cap; i++)
		free(m->names[i]);
	free(m->names);
	free(m->values);
}

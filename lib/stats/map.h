/* Numbers by name, for what is looked up or may come only once by its id. */
#ifndef MR_STATS_MAP_H
#define MR_STATS_MAP_H

#include <stdbool.h>
#include <stddef.h>

/* Zero-initialised; names are copied. */
struct map {
	char **names;
	double *values;
	size_t n, cap;          /* cap: 0 or a power of two, more than half of it free */
};
const double *map_find(const struct map *m, const char *name);          /* NULL: it is not there */
bool map_add(struct map *m, const char *name, double value);            /* false: it is there */
void map_free(struct map *m);

#endif

#include "helper/server/fault.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"

const char *const fault_names[NFAULTS] = { "", "429", "500", "503", "reset", "close", "garbage", "truncated", "empty",
	"slow", "hang" };

static int find_fault(const char *name, size_t len)
{
	for (int f = 1; f < NFAULTS; f++)
		if (strlen(fault_names[f]) == len && memcmp(fault_names[f], name, len) == 0)
			return f;
	return -1;
}

int fault_parse(const char *spec, double percent[NFAULTS])
{
	for (const char *s = spec; *s; s += *s == ',') {
		size_t len = strcspn(s, "=,");
		int f = find_fault(s, len);
		char *end;

		if (f < 0 || s[len] != '=')
			return -1;
		percent[f] = strtod(s + len + 1, &end);
		if (*end && *end != ',')
			return -1;
		s = end;
	}
	return 0;
}

enum fault fault_draw(const double percent[NFAULTS], const char *sha256, unsigned attempt)
{
	struct rng r = rng_stream(0, sha256, "fault", attempt);
	double x = 100 * rng_uniform(&r, 0);

	for (int f = 1; f < NFAULTS; f++) {
		if (x < percent[f])
			return (enum fault)f;
		x -= percent[f];
	}
	return NO_FAULT;
}

struct attempts_entry {
	uint64_t hash;
	unsigned n;             /* 0: a free place */
};

static struct attempts_entry *find_entry(struct attempts *a, uint64_t hash)
{
	for (size_t at = (size_t)hash;; at++) {
		struct attempts_entry *e = &a->entries[at & (a->cap - 1)];

		if (e->n == 0 || e->hash == hash)
			return e;
	}
}

static void grow(struct attempts *a)
{
	struct attempts old = *a;

	a->cap = old.cap ? 2 * old.cap : 1024;
	a->entries = mem_zalloc(a->cap, sizeof *a->entries);
	for (size_t i = 0; i < old.cap; i++)
		if (old.entries[i].n)
			*find_entry(a, old.entries[i].hash) = old.entries[i];
	free(old.entries);
}

unsigned attempts_count(struct attempts *a, const char *sha256)
{
	char first[17] = { 0 };
	struct attempts_entry *e;
	uint64_t hash;

	memcpy(first, sha256, 16);
	hash = strtoull(first, NULL, 16);
	if (2 * a->n >= a->cap)
		grow(a);
	e = find_entry(a, hash);
	a->n += e->n == 0;
	e->hash = hash;
	return e->n++;
}

void attempts_free(struct attempts *a)
{
	free(a->entries);
}

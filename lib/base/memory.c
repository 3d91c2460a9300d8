#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cgroup.h"

/* The number behind a name at the start of a line; -1 where there is none. */
static double number_in(const char *path, const char *name)
{
	char line[256];
	size_t len = strlen(name);
	double n = -1;
	FILE *f = fopen(path, "re");

	if (!f)
		return -1;
	while (n < 0 && fgets(line, sizeof(line), f))
		if (strncmp(line, name, len) == 0)
			n = strtod(line + len, NULL);
	fclose(f);
	return n;
}

/* What a group leaves: its limit less what it uses and could not give back. */
static double left_in(const char *dir)
{
	char limit[64], used[64], path[4096 + 64];
	double cache, left;
	int n = snprintf(path, sizeof(path), "%s/memory.stat", dir);

	if (n < 0 || (size_t)n >= sizeof(path))
		return 0;
	if (cgroup_line(dir, "memory.max", limit, sizeof(limit)) &&
	    cgroup_line(dir, "memory.current", used, sizeof(used))) {
		if (strcmp(limit, "max\n") == 0 || strcmp(limit, "max") == 0)
			return 0;
		cache = number_in(path, "inactive_file ");
	} else if (cgroup_line(dir, "memory.limit_in_bytes", limit, sizeof(limit)) &&
	    cgroup_line(dir, "memory.usage_in_bytes", used, sizeof(used))) {
		cache = number_in(path, "total_inactive_file ");
	} else {
		return 0;
	}
	left = atof(limit) - atof(used) + (cache > 0 ? cache : 0);
	return left > 1 ? left : 1;
}

uint64_t memory_available(void)
{
	double system = 1024 * number_in("/proc/meminfo", "MemAvailable:");
	double group = cgroup_smallest("memory", left_in);

	if (system <= 0)
		system = group;
	return (uint64_t)(group > 0 && group < system ? group : system);
}

static uint64_t status(const char *name)
{
	double kb = number_in("/proc/self/status", name);

	return kb > 0 ? (uint64_t)(1024 * kb) : 0;
}

uint64_t memory_used(void)
{
	return status("VmRSS:");
}

uint64_t memory_peak(void)
{
	return status("VmHWM:");
}

int memory_parse(const char *text, uint64_t *bytes, struct err *err)
{
	static const char units[] = "KMGT";
	const char *unit;
	char *end;
	double n = strtod(text, &end);

	unit = *end ? strchr(units, *end >= 'a' && *end <= 'z' ? *end - 'a' + 'A' : *end) : NULL;
	if (unit) {
		end++;
		for (; unit >= units; unit--)
			n *= 1024;
		if (strcmp(end, "iB") == 0)
			end += 2;
	}
	if (end == text || *end || !(n >= 1 && n < 1e18) || strspn(text, "0123456789.") == 0)
		return err_set(err, "\"%.40s\" is no size such as 8G or 512M", text);
	*bytes = (uint64_t)n;
	return 0;
}

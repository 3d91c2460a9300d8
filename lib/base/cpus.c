/* How many CPUs this process may really use: the scheduler's affinity mask
 * and the control groups' quotas, of both versions. */
#include "base/pool.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int affinity(void)
{
	for (int max = 1024; max <= 1 << 20; max *= 4) {
		cpu_set_t *set = CPU_ALLOC((size_t)max);
		if (!set)
			break;
		size_t size = CPU_ALLOC_SIZE((size_t)max);
		int n = sched_getaffinity(0, size, set) == 0 ? CPU_COUNT_S(size, set) : 0;
		CPU_FREE(set);
		if (n > 0)
			return n;
	}
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	return n > 0 ? (int)n : 1;
}

/* The first line of dir/name, without the newline; false where there is none. */
static bool first_line(const char *dir, const char *name, char *line, int size)
{
	char path[4096 + 64];
	int n = snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (n < 0 || (size_t)n >= sizeof(path))
		return false;
	FILE *f = fopen(path, "re");
	if (!f)
		return false;
	bool ok = fgets(line, size, f) != NULL;
	fclose(f);
	return ok;
}

/* The quota of one group in CPUs, rounded up; 0 where it has none. */
static double quota(const char *dir)
{
	char line[64], period_line[64];
	double used, period;
	if (first_line(dir, "cpu.max", line, sizeof(line))) {
		if (sscanf(line, "%lf %lf", &used, &period) != 2)
			return 0;
	} else if (first_line(dir, "cpu.cfs_quota_us", line, sizeof(line)) &&
	    first_line(dir, "cpu.cfs_period_us", period_line, sizeof(period_line))) {
		used = atof(line);
		period = atof(period_line);
	} else {
		return 0;
	}
	return used > 0 && period > 0 ? used / period : 0;
}

/* The smallest quota of the group root + path and of those above it. A
 * container sees its own group as the root, whatever path says. */
static double smallest(const char *root, const char *path, double least)
{
	char dir[4096];
	size_t base = strlen(root);
	int n = snprintf(dir, sizeof(dir), "%s%s", root, path);
	if (n < 0 || (size_t)n >= sizeof(dir))
		return least;
	for (;;) {
		double q = quota(dir);
		if (q > 0 && (least <= 0 || q < least))
			least = q;
		char *slash = strrchr(dir, '/');
		if (!slash || (size_t)(slash - dir) < base)
			return least;
		*slash = '\0';
	}
}

static bool in_list(const char *list, const char *word)
{
	size_t n = strlen(word);
	for (const char *p = list; p; p = strchr(p, ','), p = p ? p + 1 : NULL)
		if (strncmp(p, word, n) == 0 && (p[n] == ',' || p[n] == '\0'))
			return true;
	return false;
}

/* Lines of /proc/self/cgroup are "number:controllers:path"; version 2 has
 * no controllers. */
static double group_quota(void)
{
	char line[4096];
	double least = 0;
	FILE *f = fopen("/proc/self/cgroup", "re");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		char *list = strchr(line, ':'), *path = list ? strchr(list + 1, ':') : NULL;
		if (!path)
			continue;
		*path++ = '\0';
		list++;
		if (*list == '\0') {
			least = smallest("/sys/fs/cgroup", path, least);
			least = smallest("/sys/fs/cgroup/unified", path, least);
		} else if (in_list(list, "cpu")) {
			least = smallest("/sys/fs/cgroup/cpu", path, least);
			least = smallest("/sys/fs/cgroup/cpu,cpuacct", path, least);
		}
	}
	fclose(f);
	return least;
}

int cpus_available(void)
{
	int n = affinity();
	double q = group_quota();
	if (q > 0 && q < n) {
		n = (int)q;
		if (n < q)
			n++;
	}
	return n > 0 ? n : 1;
}

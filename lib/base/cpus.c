/* How many CPUs this process may really use: the scheduler's affinity mask
 * and the control groups' quotas, of both versions. */
#include "base/cgroup.h"
#include "base/pool.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
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

/* The quota of one group in CPUs, rounded up; 0 where it has none. */
static double quota(const char *dir)
{
	char line[64], period_line[64];
	double used, period;
	if (cgroup_line(dir, "cpu.max", line, sizeof(line))) {
		if (sscanf(line, "%lf %lf", &used, &period) != 2)
			return 0;
	} else if (cgroup_line(dir, "cpu.cfs_quota_us", line, sizeof(line)) &&
	    cgroup_line(dir, "cpu.cfs_period_us", period_line, sizeof(period_line))) {
		used = atof(line);
		period = atof(period_line);
	} else {
		return 0;
	}
	return used > 0 && period > 0 ? used / period : 0;
}

int cpus_available(void)
{
	int n = affinity();
	double q = cgroup_smallest("cpu", quota);
	if (q > 0 && q < n) {
		n = (int)q;
		if (n < q)
			n++;
	}
	return n > 0 ? n : 1;
}

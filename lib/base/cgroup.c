#include "base/cgroup.h"

#include <stdio.h>
#include <string.h>

bool cgroup_line(const char *dir, const char *name, char *line, int size)
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

/* The smallest value of the group root + path and of those above it. A
 * container sees its own group as the root, whatever path says. */
static double smallest(const char *root, const char *path, cgroup_value *value, double least)
{
	char dir[4096];
	size_t base = strlen(root);
	int n = snprintf(dir, sizeof(dir), "%s%s", root, path);
	if (n < 0 || (size_t)n >= sizeof(dir))
		return least;
	for (;;) {
		double q = value(dir);
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
double cgroup_smallest(const char *controller, cgroup_value *value)
{
	char line[4096], root[128];
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
			least = smallest("/sys/fs/cgroup", path, value, least);
			least = smallest("/sys/fs/cgroup/unified", path, value, least);
		} else if (in_list(list, controller)) {
			snprintf(root, sizeof(root), "/sys/fs/cgroup/%s", controller);
			least = smallest(root, path, value, least);
			snprintf(root, sizeof(root), "/sys/fs/cgroup/%.64s", list);
			least = smallest(root, path, value, least);
		}
	}
	fclose(f);
	return least;
}

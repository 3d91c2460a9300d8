/* The control groups that this process is in, of both versions. */
#ifndef MR_BASE_CGROUP_H
#define MR_BASE_CGROUP_H

#include <stdbool.h>

/* The first line of dir/name, without the newline; false where there is none. */
bool cgroup_line(const char *dir, const char *name, char *line, int size);

/* What a group's folder says; 0 or less: nothing. */
typedef double cgroup_value(const char *dir);

/* The smallest value of the groups of a controller ("cpu", "memory") that
 * this process is in, and of those above them; 0: none has one. */
double cgroup_smallest(const char *controller, cgroup_value *value);

#endif

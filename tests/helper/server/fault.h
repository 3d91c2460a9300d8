/* Which attempts fail, and how. */
#ifndef MR_TESTS_HELPER_SERVER_FAULT_H
#define MR_TESTS_HELPER_SERVER_FAULT_H

#include <stddef.h>

enum fault {
	NO_FAULT,
	F_429,
	F_500,
	F_503,
	F_RESET,
	F_CLOSE,
	F_GARBAGE,
	F_TRUNCATED,
	F_EMPTY,
	F_SLOW,
	F_HANG,
	NFAULTS
};
extern const char *const fault_names[NFAULTS];  /* NO_FAULT: "" */

/* "429=5,reset=5": how many percent of the attempts; -1 where it is not of this form. */
int fault_parse(const char *spec, double percent[NFAULTS]);

/* What becomes of this attempt at the request whose body has this SHA-256. */
enum fault fault_draw(const double percent[NFAULTS], const char *sha256, unsigned attempt);

/* How often a request came before, which is counted. */
struct attempts {
	struct attempts_entry *entries;
	size_t n, cap;
};
unsigned attempts_count(struct attempts *a, const char *sha256);
void attempts_free(struct attempts *a);

#endif

/* How much memory there is, and how much this process takes, in bytes. */
#ifndef MR_BASE_MEMORY_H
#define MR_BASE_MEMORY_H

#include <stdint.h>

#include "base/err.h"

/* What could be taken without swapping: the system's estimate, and what its
 * control groups leave this process; 0: unknown. */
uint64_t memory_available(void);
uint64_t memory_used(void);             /* resident now, mapped files too; 0: unknown */
uint64_t memory_peak(void);             /* the most it was; 0: unknown */

/* What every option that is a size takes: "100000", "512M", "1.5G", "8GiB": a
 * number of bytes, or of K, M, G or T (powers of 1024, in either case), behind
 * which "iB" may stand. Not "8GB", which is another number to many. */
int memory_parse(const char *text, uint64_t *bytes, struct err *err);

#endif

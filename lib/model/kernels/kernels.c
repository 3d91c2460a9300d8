#include "model/kernels/kernels.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "model/kernels/matmul.h"

extern const struct kernels kernels_portable;
#if defined(__x86_64__)
extern const struct kernels kernels_avx2, kernels_avx512, kernels_avx512vnni;
#endif

static _Atomic(const struct kernels *) chosen;

#if defined(__x86_64__)
/* Half floats: not a name that every compiler's __builtin_cpu_supports knows. */
static bool has_f16c(void)
{
	unsigned a, b, c, d;
	return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#endif

#if defined(__x86_64__)
static bool has_avx512(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	    __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
	    __builtin_cpu_supports("fma");
}

static bool has_avx512vnni(void)
{
	return has_avx512() && __builtin_cpu_supports("avx512vnni");
}

static bool has_avx2(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
}
#endif

static bool always(void)
{
	return true;
}

/* The fastest first. */
static const struct {
	const struct kernels *k;
	bool (*has)(void);
} all[] = {
#if defined(__x86_64__)
	{ &kernels_avx512vnni, has_avx512vnni },
	{ &kernels_avx512, has_avx512 },
	{ &kernels_avx2, has_avx2 },
#endif
	{ &kernels_portable, always },
};

enum { NALL = sizeof all / sizeof *all };

/* NULL: the fastest that this CPU has. */
static const struct kernels *available(const char *name)
{
#if defined(__x86_64__)
	__builtin_cpu_init();
#endif
	for (int i = 0; i < NALL; i++)
		if ((!name || strcmp(name, all[i].k->name) == 0) && all[i].has())
			return all[i].k;
	return NULL;
}

const struct kernels *kernels(void)
{
	const struct kernels *k = atomic_load_explicit(&chosen, memory_order_acquire);
	if (!k) {
		k = available(NULL);
		atomic_store_explicit(&chosen, k, memory_order_release);
	}
	return k;
}

const char *matmul_kernel_name(void)
{
	return kernels()->name;
}

int matmul_force(const char *name)
{
	const struct kernels *k = available(name);
	if (!k)
		return -1;
	atomic_store_explicit(&chosen, k, memory_order_release);
	return 0;
}

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
extern const struct kernels kernels_avx2, kernels_avx512;
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

/* The fastest first. */
static const struct kernels *available(const char *name)
{
#if defined(__x86_64__)
	__builtin_cpu_init();
	if ((!name || strcmp(name, "avx512") == 0) && __builtin_cpu_supports("avx512f") &&
	    __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
	    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("fma"))
		return &kernels_avx512;
	if ((!name || strcmp(name, "avx2") == 0) && __builtin_cpu_supports("avx2") &&
	    __builtin_cpu_supports("fma") && has_f16c())
		return &kernels_avx2;
#endif
	return !name || strcmp(name, "portable") == 0 ? &kernels_portable : NULL;
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

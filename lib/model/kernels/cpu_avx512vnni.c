#if defined(__AVX512VNNI__)
#define TABLE kernels_avx512vnni
#define NAME "avx512vnni"
#include "model/kernels/lanes_avx512.h"
#include "model/kernels/table.h"
#else
typedef int no_avx512vnni;    /* another machine */
#endif

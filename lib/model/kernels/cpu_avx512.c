#if defined(__AVX512F__)
#define TABLE kernels_avx512
#define NAME "avx512"
#include "model/kernels/lanes_avx512.h"
#include "model/kernels/table.h"
#else
typedef int no_avx512;    /* another machine */
#endif

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define TABLE kernels_avx2
#define NAME "avx2"
#include "model/kernels/lanes_avx2.h"
#include "model/kernels/table.h"
#else
typedef int no_avx2;    /* another machine */
#endif

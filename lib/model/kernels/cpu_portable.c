#define TABLE kernels_portable
#define NAME "portable"
#include "model/kernels/lanes_portable.h"
#include "model/kernels/table.h"

#if defined(__AVX512F__)
#include "model/kernels/lanes_avx512.h"
#include "model/kernels/matmul_body.h"
#include "model/kernels/integer_body.h"
#include "model/kernels/attention_body.h"

extern const struct kernels kernels_avx512;
const struct kernels kernels_avx512 = {
	.name = "avx512",
	.panel_rows = TILE_N,
	.panel = panel,
	.int_panel_rows = PANEL,
	.int_panel = int_panel,
	.round_row = round_row,
	.unpack = unpack,
	.attend = attend,
	.swiglu = swiglu,
	.exp = exp_scaled,
};
#else
typedef int no_avx512;    /* another machine */
#endif

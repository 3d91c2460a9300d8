#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#include "model/kernels/lanes_avx2.h"
#include "model/kernels/matmul_body.h"
#include "model/kernels/integer_body.h"
#include "model/kernels/attention_body.h"

extern const struct kernels kernels_avx2;
const struct kernels kernels_avx2 = {
	.name = "avx2",
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
typedef int no_avx2;    /* another machine */
#endif

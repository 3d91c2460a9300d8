#include "model/kernels/lanes_portable.h"
#include "model/kernels/matmul_body.h"
#include "model/kernels/attention_body.h"

extern const struct kernels kernels_portable;
const struct kernels kernels_portable = {
	.name = "portable",
	.panel_rows = TILE_N,
	.panel = panel,
	.unpack = unpack,
	.attend = attend,
	.swiglu = swiglu,
	.exp = exp_scaled,
};

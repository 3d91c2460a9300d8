#include "model/kernels/lanes_portable.h"
#include "model/kernels/matmul_body.h"
#include "model/kernels/integer_body.h"
#include "model/kernels/attention_body.h"

extern const struct kernels kernels_portable;
const struct kernels kernels_portable = {
	.name = "portable",
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

/* All of the bodies and their table, for one instruction set: included by
 * each cpu_*.c after its lanes_*.h, with TABLE and NAME. */
#include "model/kernels/matmul_body.h"
#include "model/kernels/integer_body.h"
#include "model/kernels/attention_body.h"

extern const struct kernels TABLE;
const struct kernels TABLE = {
	.name = NAME,
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

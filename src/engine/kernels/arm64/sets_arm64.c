/* The tables of the arm64 sets, and how a processor shows that it has them. Compiled plainly. */
#include "engine/kernels/arm64/arm64.h"
#include "engine/kernels/portable/portable.h"

const kx_kernels kx_kernels_neon = {
    .name = "neon",
    .lanes = 4,
    .tile_rows = 6,
    .tile_cols = 12,
    .depth_block = 256,
    .copy_rows = 24,
    .block_cols = 240,
    .tile = kx_tile_neon,
    .transpose = kx_transpose_neon,
    .widen = kx_widen_neon,
    .dots = kx_dots_neon,
    .epilogue = kx_epilogue_neon,
    .scale = kx_scale_neon,
    .affine = kx_affine_neon,
    .layer_norm = kx_layer_norm_neon,
    .rms_norm = kx_rms_norm_neon,
    .head_norm_rope = kx_head_norm_rope_neon,
    .softmax = kx_softmax_neon,
    .soften = kx_soften_portable,
    .column_sums = kx_column_sums_neon,
    .all_finite = kx_all_finite_neon,
    .tile_i8_limit = {4, 1},
    .tile_bf16_limit = {4, 1},
    .tile_i8 = kx_tile_i8_portable,
    .tile_bf16 = kx_tile_bf16_portable,
    .quantise = kx_quantise_portable,
    .narrow = kx_narrow_portable,
    .winograd_weights = kx_winograd_weights_neon,
    .winograd_input = kx_winograd_input_neon,
    .winograd_output = kx_winograd_output_neon,
};

static bool always(void)
{
    return true;
}

const kx_kernel_set kx_kernel_sets[] = {{&kx_kernels_portable, always, always}, {&kx_kernels_neon, always, always}};
const size_t kx_kernel_set_count = sizeof kx_kernel_sets / sizeof kx_kernel_sets[0];

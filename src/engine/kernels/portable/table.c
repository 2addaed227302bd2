#include "engine/kernels/portable/portable.h"

const kx_kernels kx_kernels_portable = {
    .name = "portable",
    .lanes = 8,
    .tile_rows = 4,
    .tile_cols = 8,
    .depth_block = 256,
    .copy_rows = 32,
    .block_cols = 256,
    .tile = kx_tile_portable,
    .transpose = kx_transpose_portable,
    .widen = kx_widen_portable,
    .dots = kx_dots_portable,
    .epilogue = kx_epilogue_portable,
    .scale = kx_scale_portable,
    .affine = kx_affine_portable,
    .layer_norm = kx_layer_norm_portable,
    .rms_norm = kx_rms_norm_portable,
    .head_norm_rope = kx_head_norm_rope_portable,
    .softmax = kx_softmax_portable,
    .column_sums = kx_column_sums_portable,
    .all_finite = kx_all_finite_portable,
};

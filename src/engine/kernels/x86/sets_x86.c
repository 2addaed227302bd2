/* The tables of the x86 sets, and how a processor shows that it has them. Compiled plainly. */
#include "engine/kernels/portable/portable.h"
#include "engine/kernels/x86/x86.h"

#include <cpuid.h>

const kx_kernels kx_kernels_avx2 = {
    .name = "avx2",
    .lanes = 8,
    .tile_rows = 6,
    .tile_cols = 16,
    .depth_block = 256,
    .copy_rows = 72,
    .block_cols = 256,
    .tile = kx_tile_avx2,
    .transpose = kx_transpose_avx2,
    .widen = kx_widen_avx2,
    .dots = kx_dots_avx2,
    .epilogue = kx_epilogue_avx2,
    .scale = kx_scale_avx2,
    .affine = kx_affine_avx2,
    .layer_norm = kx_layer_norm_avx2,
    .rms_norm = kx_rms_norm_avx2,
    .head_norm_rope = kx_head_norm_rope_avx2,
    .softmax = kx_softmax_avx2,
    .column_sums = kx_column_sums_avx2,
    .all_finite = kx_all_finite_avx2,
    .winograd_weights = kx_winograd_weights_avx2,
    .winograd_input = kx_winograd_input_avx2,
    .winograd_output = kx_winograd_output_avx2,
};

const kx_kernels kx_kernels_avx512 = {
    .name = "avx512",
    .lanes = 16,
    .tile_rows = 8,
    .tile_cols = 48,
    .depth_block = 256,
    .copy_rows = 8,
    .block_cols = 384,
    .tile = kx_tile_avx512,
    .transpose = kx_transpose_avx512,
    .widen = kx_widen_avx512,
    .dots = kx_dots_avx512,
    .epilogue = kx_epilogue_avx512,
    .scale = kx_scale_avx512,
    .affine = kx_affine_avx512,
    .layer_norm = kx_layer_norm_avx512,
    .rms_norm = kx_rms_norm_avx512,
    .head_norm_rope = kx_head_norm_rope_avx512,
    .softmax = kx_softmax_avx512,
    .column_sums = kx_column_sums_avx512,
    .all_finite = kx_all_finite_avx512,
    .winograd_weights = kx_winograd_weights_avx512,
    .winograd_input = kx_winograd_input_avx512,
    .winograd_output = kx_winograd_output_avx512,
};

static bool always(void)
{
    return true;
}

static bool has_f16c(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

/* __builtin_cpu_supports also asks whether the system saves the wide registers. */
static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
}

static bool has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

const kx_kernel_set kx_kernel_sets[] = {
    {&kx_kernels_portable, always}, {&kx_kernels_avx2, has_avx2}, {&kx_kernels_avx512, has_avx512}};
const size_t kx_kernel_set_count = sizeof kx_kernel_sets / sizeof kx_kernel_sets[0];

/* The tables of the arm64 sets, and how a processor shows that it has them. Compiled plainly. */
#include "engine/kernels/arm64/arm64.h"
#include "engine/kernels/portable/portable.h"

#include <asm/hwcap.h>
#include <sys/auxv.h>

/* What the sets share: everything but the packed products. */
#define NEON_ENTRIES                                                                                         \
    .lanes = 4, .tile_rows = 6, .tile_cols = 12, .depth_block = 256, .copy_rows = 24, .block_cols = 240,     \
    .tile = kx_tile_neon, .transpose = kx_transpose_neon, .widen = kx_widen_neon, .dots = kx_dots_neon,      \
    .epilogue = kx_epilogue_neon, .scale = kx_scale_neon, .affine = kx_affine_neon,                          \
    .layer_norm = kx_layer_norm_neon, .rms_norm = kx_rms_norm_neon,                                          \
    .head_norm_rope = kx_head_norm_rope_neon, .softmax = kx_softmax_neon,                                    \
    .column_sums = kx_column_sums_neon, .all_finite = kx_all_finite_neon,                                    \
    .winograd_weights = kx_winograd_weights_neon, .winograd_input = kx_winograd_input_neon,                  \
    .winograd_output = kx_winograd_output_neon, .quantise = kx_quantise_neon, .narrow = kx_narrow_neon,      \
    .soften = kx_soften_portable, .soften_i8 = kx_soften_i8_portable, .blend = kx_blend_neon,                \
    .hadamard = kx_hadamard_neon

const kx_kernels kx_kernels_neon = {.name = "neon",
                                    NEON_ENTRIES,
                                    .tile_i8_limit = {3, 1},
                                    .tile_bf16_limit = {6, 1},
                                    .tile_i8 = kx_tile_i8_neon,
                                    .tile_bf16 = kx_tile_bf16_neon};

const kx_kernels kx_kernels_dotprod = {.name = "dotprod",
                                       NEON_ENTRIES,
                                       .tile_i8_limit = {8, 1},
                                       .tile_bf16_limit = {6, 1},
                                       .tile_i8 = kx_tile_i8_dotprod,
                                       .tile_bf16 = kx_tile_bf16_neon};

const kx_kernels kx_kernels_i8mm = {.name = "i8mm",
                                    NEON_ENTRIES,
                                    .tile_i8_limit = {8, 1},
                                    .tile_bf16_limit = {8, 1},
                                    .tile_i8 = kx_tile_i8_i8mm,
                                    .tile_bf16 = kx_tile_bf16_i8mm};

static bool always(void)
{
    return true;
}

static bool has_dotprod(void)
{
    return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
}

static bool has_i8mm(void)
{
    const unsigned long both = HWCAP2_I8MM | HWCAP2_BF16;
    return has_dotprod() && (getauxval(AT_HWCAP2) & both) == both;
}

const kx_kernel_set kx_kernel_sets[] = {
    {&kx_kernels_portable, always, always},
    {&kx_kernels_neon, always, always},
    {&kx_kernels_dotprod, has_dotprod, always},
    {&kx_kernels_i8mm, has_i8mm, always},
};
const size_t kx_kernel_set_count = sizeof kx_kernel_sets / sizeof kx_kernel_sets[0];

/* The tables of the x86 sets, and how a processor shows that it has them. Compiled plainly. */
#include "engine/kernels/portable/portable.h"
#include "engine/kernels/x86/x86.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What the sets of a family share. */
#define F32_ENTRIES(suffix)                                                                                  \
    .tile = kx_tile_##suffix, .transpose = kx_transpose_##suffix, .widen = kx_widen_##suffix,                \
    .dots = kx_dots_##suffix, .epilogue = kx_epilogue_##suffix, .store_past = kx_store_past_##suffix,        \
    .scale = kx_scale_##suffix, .affine = kx_affine_##suffix, .layer_norm = kx_layer_norm_##suffix,          \
    .rms_norm = kx_rms_norm_##suffix, .head_norm_rope = kx_head_norm_rope_##suffix,                          \
    .softmax = kx_softmax_##suffix, .column_sums = kx_column_sums_##suffix,                                  \
    .all_finite = kx_all_finite_##suffix, .winograd_weights = kx_winograd_weights_##suffix,                  \
    .winograd_input = kx_winograd_input_##suffix, .winograd_output = kx_winograd_output_##suffix,            \
    .quantise = kx_quantise_##suffix, .narrow = kx_narrow_##suffix, .soften = kx_soften_##suffix,            \
    .soften_i8 = kx_soften_i8_##suffix, .blend = kx_blend_##suffix, .hadamard = kx_hadamard_##suffix
#define AVX2_ENTRIES                                                                                         \
    .lanes = 8, .tile_rows = 6, .tile_cols = 16, .depth_block = 256, .copy_rows = 72, .block_cols = 256,     \
    .tile_i8_limit = {6, 1}, .tile_bf16_limit = {6, 1}, .tiles_loop = true, F32_ENTRIES(avx2)
#define AVX512_ENTRIES                                                                                       \
    .lanes = 16, .tile_rows = 8, .tile_cols = 48, .depth_block = 256, .copy_rows = 8, .block_cols = 384,     \
    F32_ENTRIES(avx512)

const kx_kernels kx_kernels_avx2 = {
    .name = "avx2", AVX2_ENTRIES, .tile_i8 = kx_tile_i8_avx2, .tile_bf16 = kx_tile_bf16_avx2};

const kx_kernels kx_kernels_avxvnni = {
    .name = "avxvnni", AVX2_ENTRIES, .tile_i8 = kx_tile_i8_avxvnni, .tile_bf16 = kx_tile_bf16_avx2};

const kx_kernels kx_kernels_avx512 = {.name = "avx512",
                                      AVX512_ENTRIES,
                                      .tile_i8_limit = {8, 1},
                                      .tile_bf16_limit = {8, 1},
                                      .tile_i8 = kx_tile_i8_avx512,
                                      .tile_bf16 = kx_tile_bf16_avx512};

const kx_kernels kx_kernels_avx512vnni = {.name = "avx512vnni",
                                          AVX512_ENTRIES,
                                          .tile_i8_limit = {12, 2},
                                          .tile_bf16_limit = {8, 1},
                                          .tile_i8 = kx_tile_i8_avx512vnni,
                                          .tile_bf16 = kx_tile_bf16_avx512};

const kx_kernels kx_kernels_avx512bf16 = {.name = "avx512bf16",
                                          AVX512_ENTRIES,
                                          .tile_i8_limit = {12, 2},
                                          .tile_bf16_limit = {12, 2},
                                          .tile_i8 = kx_tile_i8_avx512vnni,
                                          .tile_bf16 = kx_tile_bf16_avx512bf16};

const kx_kernels kx_kernels_amx = {.name = "amx",
                                   AVX512_ENTRIES,
                                   .tile_i8_limit = {32, 2},
                                   .tile_bf16_limit = {32, 2},
                                   .tiles_loop = true,
                                   .panels = true,
                                   .enter_tiles = kx_enter_tiles_amx,
                                   .leave_tiles = kx_leave_tiles_amx,
                                   .tile_i8 = kx_tile_i8_amx,
                                   .tile_bf16 = kx_tile_bf16_amx,
                                   .sum_bf16 = kx_sum_bf16_amx,
                                   .affine_bf16 = kx_affine_bf16_amx,
                                   .store_pixels = kx_store_pixels_amx,
                                   .attend = kx_attend_amx};

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

static bool has_avxvnni(void)
{
    unsigned a, b, c, d;
    return has_avx2() && __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & bit_AVXVNNI) != 0;
}

static bool has_avx512vnni(void)
{
    return has_avx512() && __builtin_cpu_supports("avx512vnni");
}

static bool has_avx512bf16(void)
{
    return has_avx512vnni() && __builtin_cpu_supports("avx512bf16");
}

/* Does the system save tiles at all (bits of XCR0), and may this process use them? Linux since 5.16 gives
 * them to those who ask: the state of a thread grows by 8 KB. Asking again does no harm. */
static bool may_use_tiles(void)
{
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    enum { TILE_CONFIG = 1 << 17, TILE_DATA = 1 << 18 };
    if ((low & TILE_CONFIG) == 0 || (low & TILE_DATA) == 0) return false;
#ifdef SYS_arch_prctl
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA_BIT = 18 };
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA_BIT) == 0;
#else
    return false;
#endif
}

/* Also asks the system for the tiles, which a process must before it uses them. */
static bool has_amx(void)
{
    enum { BF16 = 1 << 22, TILE = 1 << 24, INT8 = 1 << 25, ALL = BF16 | TILE | INT8 };
    unsigned a, b, c, d;
    return has_avx512bf16() && __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & ALL) == ALL &&
           may_use_tiles();
}

static bool is_amd(void)
{
    return __builtin_cpu_is("amd");
}

const kx_kernel_set kx_kernel_sets[] = {
    {&kx_kernels_portable, always, always},
    {&kx_kernels_avx2, has_avx2, always},
    {&kx_kernels_avxvnni, has_avxvnni, always},
    {&kx_kernels_avx512, has_avx512, always},
    {&kx_kernels_avx512vnni, has_avx512vnni, always},
    {&kx_kernels_avx512bf16, has_avx512bf16, is_amd},
    {&kx_kernels_amx, has_amx, always},
};
const size_t kx_kernel_set_count = sizeof kx_kernel_sets / sizeof kx_kernel_sets[0];

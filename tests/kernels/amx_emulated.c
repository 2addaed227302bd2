#include "amx_emulated.h"

#include "lanes_emulated.h"
#include "tiles_emulated.h"

#include "engine/kernels/x86/attend_tiles.h"
#include "engine/kernels/x86/packed_tiles.h"
#include "engine/kernels/x86/sum_tiles.h"

static void enter(void)
{
    tiles_configure();
}

static void leave(void)
{
    tiles_release();
}

static void tile_i8(int64_t rows, int64_t blocks, int64_t planes, const uint8_t *a, int64_t a_plane,
                    const int8_t *b, int64_t b_block, const float *a_scale, const float *b_scale,
                    const int32_t *b_sum, bool add, float *c, int64_t c_stride)
{
    tile_i8_by_tiles(&(tile_call){rows, blocks, planes, a, a_plane, (const uint8_t *)b, b_block, a_scale,
                                  b_scale, b_sum, add, c, c_stride, pair_stride(rows, c_stride)});
}

static void tile_bf16(int64_t rows, int64_t blocks, int64_t planes, const uint16_t *a, int64_t a_plane,
                      const uint16_t *b, int64_t b_block, bool add, float *c, int64_t c_stride)
{
    tile_bf16_by_tiles(&(tile_call){rows, blocks, planes, (const uint8_t *)a, a_plane, (const uint8_t *)b,
                                    b_block, NULL, NULL, NULL, add, c, c_stride,
                                    pair_stride(rows, c_stride)});
}

const kx_kernels *test_amx_emulated(void)
{
    static kx_kernels set;
    set = *kx_kernel_sets[0].kernels;
    set.name = "amx-emulated";
    set.tile_i8_limit = set.tile_bf16_limit = (kx_tile_limit){32, 2};
    set.tiles_loop = set.panels = true;
    set.enter_tiles = enter;
    set.leave_tiles = leave;
    set.tile_i8 = tile_i8;
    set.tile_bf16 = tile_bf16;
    set.sum_bf16 = sum_bf16_by_tiles;
    set.attend = attend_by_tiles;
    return &set;
}

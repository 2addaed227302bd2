/* The packed products of packed_tiles.h by AMX. A byte of the operand is unsigned, one of the matrix signed,
 * as tdpbusd wants it. */
#include "engine/kernels/x86/tiles_amx.h"

#include "engine/kernels/x86/packed_tiles.h"
#include "engine/kernels/x86/sum_tiles.h"
#include "engine/kernels/x86/x86.h"

void kx_enter_tiles_amx(void)
{
    tiles_configure();
}

void kx_leave_tiles_amx(void)
{
    tiles_release();
}

void kx_tile_i8_amx(int64_t rows, int64_t blocks, int64_t planes, const uint8_t *a, int64_t a_plane,
                    const int8_t *b, int64_t b_block, const float *a_scale, const float *b_scale,
                    const int32_t *b_sum, bool add, float *c, int64_t c_stride)
{
    tile_i8_by_tiles(&(tile_call){rows, blocks, planes, a, a_plane, (const uint8_t *)b, b_block, a_scale,
                                  b_scale, b_sum, add, c, c_stride, pair_stride(rows, c_stride)});
}

void kx_tile_bf16_amx(int64_t rows, int64_t blocks, int64_t planes, const uint16_t *a, int64_t a_plane,
                      const uint16_t *b, int64_t b_block, bool add, float *c, int64_t c_stride)
{
    tile_bf16_by_tiles(&(tile_call){rows, blocks, planes, (const uint8_t *)a, a_plane, (const uint8_t *)b,
                                    b_block, NULL, NULL, NULL, add, c, c_stride,
                                    pair_stride(rows, c_stride)});
}

void kx_sum_bf16_amx(int64_t rows, int64_t blocks, const kx_tile_terms *terms, bool add, float *c,
                     int64_t c_stride)
{
    sum_bf16_by_tiles(rows, blocks, terms, add, c, c_stride);
}

/* The words of packed_tiles.h for AMX: eight tile registers of 16 rows x 64 bytes, named by a literal number
 * (the intrinsics paste it into the instruction). For files compiled with -mamx-tile -mamx-int8 -mamx-bf16.
 */
#pragma once

#include <immintrin.h>
#include <stdint.h>

enum { TILES = 8 };

/* What ldtilecfg reads: 64 bytes. */
typedef struct tile_shapes {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_shapes;

/* Gives this thread its tiles, all whole. A few hundred cycles. */
static inline void tiles_configure(void)
{
    /* Constant: gcc 12 tells the compiler of the first eight bytes only. */
    static const tile_shapes shapes = {.palette = 1,
                                       .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
                                       .rows = {16, 16, 16, 16, 16, 16, 16, 16}};
    _Static_assert(sizeof shapes == 64, "the layout is the processor's");
    _tile_loadconfig(&shapes);
}

/* Takes them away: there is nothing left to save when the thread is switched. */
static inline void tiles_release(void)
{
    _tile_release();
}

#define tile_zero(tile) _tile_zero(tile)
/* 16 rows of 64 bytes, `stride` bytes apart. gcc 12 does not know that the intrinsic reads memory, and would
 * leave out what was written before. */
#define tile_load(tile, from, stride)                                                                        \
    do {                                                                                                     \
        __asm__ volatile("" ::: "memory");                                                                   \
        _tile_loadd(tile, from, stride);                                                                     \
    } while (0)
/* The same of what is not needed again soon, and should not take the place of something that is. */
#define tile_load_once(tile, from, stride)                                                                   \
    do {                                                                                                     \
        __asm__ volatile("" ::: "memory");                                                                   \
        _tile_stream_loadd(tile, from, stride);                                                              \
    } while (0)
#define tile_store(tile, to, stride) _tile_stored(tile, to, stride)
/* sum (16 x 16) += left (16 x 64 unsigned bytes) x right (16 x [16 columns][4 signed bytes]), in int32. */
#define tile_dot_i8(sum, left, right) _tile_dpbusd(sum, left, right)
/* sum (16 x 16) += left (16 x 32 bf16) x right (16 x [16 columns][2 bf16]), in f32. */
#define tile_dot_bf16(sum, left, right) _tile_dpbf16ps(sum, left, right)

/* The words of x86/tiles_amx.h in plain C, with the results that Intel's manual gives: int8 products exact;
 * bf16 pairs multiplied and added in f32, the even and the odd values apart within an instruction, to nearest
 * even, subnormal operands and results counting as zero. (What a NaN's bits are is left open.) A tile that is
 * used where none is configured fails an assertion; the processor raises an exception. */
#pragma once

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { TILES = 8, EMULATED_ROWS = 16, EMULATED_ROW_BYTES = 64, EMULATED_COLS = 16 };

typedef union emulated_tile {
    uint8_t bytes[EMULATED_ROWS][EMULATED_ROW_BYTES];
    int8_t signed_bytes[EMULATED_ROWS][EMULATED_ROW_BYTES];
    uint16_t words[EMULATED_ROWS][EMULATED_ROW_BYTES / 2];
    int32_t ints[EMULATED_ROWS][EMULATED_COLS];
    float floats[EMULATED_ROWS][EMULATED_COLS];
} emulated_tile;

static _Thread_local emulated_tile emulated_tiles[TILES];
static _Thread_local bool emulated_configured;

static inline void tiles_configure(void)
{
    assert(!emulated_configured); /* who configures them, releases them */
    memset(emulated_tiles, 0, sizeof emulated_tiles);
    emulated_configured = true;
}

static inline void tiles_release(void)
{
    assert(emulated_configured);
    emulated_configured = false;
}

static inline emulated_tile *tile_at(int tile)
{
    assert(emulated_configured && tile >= 0 && tile < TILES);
    return &emulated_tiles[tile];
}

static inline void tile_zero(int tile)
{
    memset(tile_at(tile), 0, sizeof(emulated_tile));
}

static inline void tile_load(int tile, const void *from, int64_t stride)
{
    for (int r = 0; r < EMULATED_ROWS; r++)
        memcpy(tile_at(tile)->bytes[r], (const uint8_t *)from + r * stride, EMULATED_ROW_BYTES);
}

static inline void tile_load_once(int tile, const void *from, int64_t stride)
{
    tile_load(tile, from, stride);
}

static inline void tile_store(int tile, void *to, int64_t stride)
{
    for (int r = 0; r < EMULATED_ROWS; r++)
        memcpy((uint8_t *)to + r * stride, tile_at(tile)->bytes[r], EMULATED_ROW_BYTES);
}

static inline void tile_dot_i8(int sum, int left, int right)
{
    emulated_tile *s = tile_at(sum);
    const emulated_tile *a = tile_at(left), *b = tile_at(right);
    for (int m = 0; m < EMULATED_ROWS; m++)
        for (int k = 0; k < EMULATED_ROWS; k++)
            for (int n = 0; n < EMULATED_COLS; n++)
                for (int i = 0; i < 4; i++)
                    s->ints[m][n] += a->bytes[m][4 * k + i] * b->signed_bytes[k][4 * n + i];
}

static inline float emulated_flush(float x)
{
    return fabsf(x) < FLT_MIN ? copysignf(0, x) : x;
}

static inline float emulated_wide(uint16_t bits)
{
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return emulated_flush(value);
}

static inline void tile_dot_bf16(int sum, int left, int right)
{
    emulated_tile *s = tile_at(sum);
    const emulated_tile *a = tile_at(left), *b = tile_at(right);
    for (int m = 0; m < EMULATED_ROWS; m++)
        for (int n = 0; n < EMULATED_COLS; n++) {
            float pair[2] = {0};
            for (int k = 0; k < EMULATED_ROWS; k++)
                for (int i = 0; i < 2; i++)
                    pair[i] = emulated_flush(fmaf(emulated_wide(a->words[m][2 * k + i]),
                                                  emulated_wide(b->words[k][2 * n + i]), pair[i]));
            float both = emulated_flush(pair[0] + pair[1]);
            s->floats[m][n] = emulated_flush(emulated_flush(s->floats[m][n]) + both);
        }
}

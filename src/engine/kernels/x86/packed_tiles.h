/* Packed products on matrix tiles: 32 rows x 2 blocks of 16 columns in four tiles of sums. The layouts of
 * tensor/packed.h are tiles as they stand: 16 rows of a plane, and a plane of a block.
 *
 * Include the words first: tiles_amx.h, or the tests' emulation of it in plain C, so that this file is tested
 * where there are no such tiles. Nothing else here depends on the processor; vectors of 16 columns become
 * AVX-512 where that may be used. The functions are static, and packed_SET.c gives them their names. They
 * are called between tiles_configure and tiles_release.
 *
 * Tiles are always whole, because another shape means another configuration, which costs as much as half a
 * group's products. Of 17 to 31 rows the second tile begins before the first one ends, and what both have is
 * stored once; fewer than 16 are copied with zeros below them.
 */
#pragma once

#include "engine/kernels/kernels.h"

#include <string.h>

enum { TILE_ROWS = 16, TILE_COLS = KX_PACKED_COLUMNS, TILE_BYTES = TILE_ROWS * KX_PLANE_BYTES };

/* Sums of [rows][columns], operands; literal numbers, see tiles_amx.h. */
#define SUM_00  0
#define SUM_01  1
#define SUM_10  2
#define SUM_11  3
#define LEFT_0  4
#define LEFT_1  5
#define RIGHT_0 6
#define RIGHT_1 7

/* The rows of one call. */
typedef struct tile_left {
    int64_t rows, planes, plane_bytes;
    const uint8_t *first, *second; /* the tiles of plane 0; second: NULL up to 16 rows */
} tile_left;

/* rows (under 16) of each plane -> whole tiles. */
static inline tile_left tiles_copied(int64_t rows, int64_t planes, const uint8_t *a, int64_t a_plane,
                                     uint8_t (*copy)[TILE_BYTES])
{
    size_t bytes = (size_t)rows * KX_PLANE_BYTES;
    for (int64_t p = 0; p < planes; p++) {
        memcpy(copy[p], a + p * a_plane, bytes);
        memset(copy[p] + bytes, 0, TILE_BYTES - bytes);
    }
    return (tile_left){rows, planes, TILE_BYTES, copy[0], NULL};
}

static inline tile_left tiles_of(int64_t rows, int64_t planes, const uint8_t *a, int64_t a_plane,
                                 uint8_t (*copy)[TILE_BYTES])
{
    if (rows < TILE_ROWS) return tiles_copied(rows, planes, a, a_plane, copy);
    const uint8_t *second = rows > TILE_ROWS ? a + (rows - TILE_ROWS) * KX_PLANE_BYTES : NULL;
    return (tile_left){rows, planes, a_plane, a, second};
}

/* The rows of c that are read later are on their way while the sums are made. */
static inline void prefetch_rows(int64_t rows, int64_t first, int64_t count, const float *c, int64_t c_stride)
{
    for (int64_t r = first; r < first + count && r < rows; r++) {
        __builtin_prefetch(c + r * c_stride, 1);
        __builtin_prefetch(c + r * c_stride + TILE_COLS, 1);
    }
}

/* The sums of a whole call, in the four tiles. One tile is loaded for every product. */
#define SUM_PLANES(dot)                                                                                      \
    tile_zero(SUM_00);                                                                                       \
    tile_zero(SUM_01);                                                                                       \
    tile_zero(SUM_10);                                                                                       \
    tile_zero(SUM_11);                                                                                       \
    for (int64_t p = 0; p < left.planes; p++) {                                                              \
        const uint8_t *right = b + p * TILE_BYTES;                                                           \
        tile_load(RIGHT_0, right, KX_PLANE_BYTES);                                                           \
        tile_load(LEFT_0, left.first + p * left.plane_bytes, KX_PLANE_BYTES);                                \
        dot(SUM_00, LEFT_0, RIGHT_0);                                                                        \
        if (blocks > 1) {                                                                                    \
            tile_load(RIGHT_1, right + b_block, KX_PLANE_BYTES);                                             \
            dot(SUM_01, LEFT_0, RIGHT_1);                                                                    \
        }                                                                                                    \
        if (left.second != NULL) {                                                                           \
            tile_load(LEFT_1, left.second + p * left.plane_bytes, KX_PLANE_BYTES);                           \
            dot(SUM_10, LEFT_1, RIGHT_0);                                                                    \
            if (blocks > 1) dot(SUM_11, LEFT_1, RIGHT_1);                                                    \
        }                                                                                                    \
        prefetch_rows(left.rows, 4 * p, 4, c, c_stride);                                                     \
    }

/* Stores the four tiles in `sums`, [rows][32], the second pair after the 16 rows of the first. */
#define STORE_SUMS(sums)                                                                                     \
    tile_store(SUM_00, (sums)[0], sizeof(sums)[0]);                                                          \
    tile_store(SUM_01, (sums)[0] + TILE_COLS, sizeof(sums)[0]);                                              \
    tile_store(SUM_10, (sums)[TILE_ROWS], sizeof(sums)[0]);                                                  \
    tile_store(SUM_11, (sums)[TILE_ROWS] + TILE_COLS, sizeof(sums)[0])

/* Where row r of a call stands in the stored sums. */
static inline int64_t stored_row(int64_t rows, int64_t r)
{
    return r < TILE_ROWS ? r : r + 2 * TILE_ROWS - rows;
}

/* The columns of a block, one register with AVX-512. Not loops over floats: clang 14 turns those into gathers
 * across blocks. */
typedef float tile_floats __attribute__((vector_size(4 * TILE_COLS)));
typedef int32_t tile_ints __attribute__((vector_size(4 * TILE_COLS)));
typedef uint32_t tile_words __attribute__((vector_size(4 * TILE_COLS)));

static inline void add_columns(const tile_floats *values, bool add, float *c)
{
    tile_floats result;
    memcpy(&result, c, sizeof result);
    result = add ? result + *values : *values;
    memcpy(c, &result, sizeof result);
}

/* One row of one block. Added as unsigned: a file may hold any b_sum, and a signed sum must not overflow. */
static inline void add_scaled(const int32_t *sums, float a_scale, const float *b_scale, const int32_t *b_sum,
                              bool add, float *c)
{
    tile_words sum, correction;
    tile_floats scales;
    memcpy(&sum, sums, sizeof sum);
    memcpy(&correction, b_sum, sizeof correction);
    memcpy(&scales, b_scale, sizeof scales);
    tile_floats values = __builtin_convertvector((tile_ints)(sum + correction), tile_floats);
    values = values * scales * a_scale;
    add_columns(&values, add, c);
}

static inline void tile_i8_by_tiles(int64_t rows, int64_t blocks, int64_t planes, const uint8_t *a,
                                    int64_t a_plane, const int8_t *b_bytes, int64_t b_block,
                                    const float *a_scale, const float *b_scale, const int32_t *b_sum,
                                    bool add, float *c, int64_t c_stride)
{
    _Alignas(64) uint8_t copy[KX_GROUP_PLANES][TILE_BYTES];
    _Alignas(64) int32_t sums[2 * TILE_ROWS][2 * TILE_COLS];
    const uint8_t *b = (const uint8_t *)b_bytes;
    tile_left left = tiles_of(rows, planes, a, a_plane, copy);
    SUM_PLANES(tile_dot_i8)
    STORE_SUMS(sums);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < blocks * TILE_COLS; j += TILE_COLS)
            add_scaled(sums[stored_row(rows, r)] + j, a_scale[r], b_scale + j, b_sum + j, add,
                       c + r * c_stride + j);
}

static inline void tile_bf16_by_tiles(int64_t rows, int64_t blocks, int64_t planes, const uint16_t *a,
                                      int64_t a_plane, const uint16_t *b_pairs, int64_t b_block, bool add,
                                      float *c, int64_t c_stride)
{
    _Alignas(64) uint8_t copy[KX_GROUP_PLANES][TILE_BYTES];
    _Alignas(64) float sums[2 * TILE_ROWS][2 * TILE_COLS];
    const uint8_t *b = (const uint8_t *)b_pairs;
    tile_left left = tiles_of(rows, planes, (const uint8_t *)a, a_plane, copy);
    SUM_PLANES(tile_dot_bf16)
    STORE_SUMS(sums);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < blocks * TILE_COLS; j += TILE_COLS) {
            tile_floats values;
            memcpy(&values, sums[stored_row(rows, r)] + j, sizeof values);
            add_columns(&values, add, c + r * c_stride + j);
        }
}

/* The sum of some products of bf16 on matrix tiles: kernels.h, sum_bf16. Include the words of tiles first
 * (see packed_tiles.h).
 *
 * A *step* is 32 rows x 2 blocks of 16 columns: four tiles of sums, which stay where they are through all
 * terms. They are stored in front of the first products of the step after it, one at a time; any earlier, and
 * what follows would wait for products whose result takes 52 cycles. Steps go down the rows of two blocks, so
 * these are what an L2 cache has to keep. Terms follow each other within a plane: operands that overlap, as
 * the taps of a convolution do, are then in L1, which the matrix passes by.
 */
#pragma once

#include "engine/kernels/kernels.h"

enum { SUM_COLS = KX_PACKED_COLUMNS, SUM_TILE = 16 * KX_PLANE_BYTES };

typedef struct sum_step {
    const kx_tile_terms *terms;
    int64_t row, c_row; /* c_row: bytes */
    const uint8_t *b;
    float *c;    /* NULL: no step, but the end of the one before */
    bool second; /* there is a second block */
    bool add;    /* to what is in c */
} sum_step;

/* Tile i of the sums, of the block at `column`: those of the step before go where they belong, then it begins
 * with this step's. */
#define SUM_TURN(i, down, column)                                                                            \
    do {                                                                                                     \
        if (before->c != NULL && (before->second || (column) == 0))                                          \
            tile_store(i, before->c + (down)*before->c_row / 4 + (column), before->c_row);                   \
        if (step->add && (step->second || (column) == 0))                                                    \
            tile_load(i, step->c + (down)*step->c_row / 4 + (column), step->c_row);                          \
        else                                                                                                 \
            tile_zero(i);                                                                                    \
    } while (0)

/* The first products of a step. */
static inline __attribute__((always_inline)) void sum_begin(const sum_step *step, const sum_step *before)
{
    const uint8_t *a = step->terms->a[0] + step->row * KX_PLANE_BYTES, *b = step->b;
    tile_load(4, a, KX_PLANE_BYTES);
    tile_load_once(5, b, KX_PLANE_BYTES);
    SUM_TURN(0, 0, 0);
    tile_dot_bf16(0, 4, 5);
    tile_load(6, a + SUM_TILE, KX_PLANE_BYTES);
    SUM_TURN(1, 16, 0);
    tile_dot_bf16(1, 6, 5);
    if (step->second) tile_load_once(7, b + step->terms->b_block, KX_PLANE_BYTES);
    SUM_TURN(2, 0, SUM_COLS);
    if (step->second) tile_dot_bf16(2, 4, 7);
    SUM_TURN(3, 16, SUM_COLS);
    if (step->second) tile_dot_bf16(3, 6, 7);
}

/* Any others. */
static inline __attribute__((always_inline)) void sum_plane(const sum_step *step, const uint8_t *a,
                                                            const uint8_t *b)
{
    tile_load(4, a, KX_PLANE_BYTES);
    tile_load_once(5, b, KX_PLANE_BYTES);
    tile_dot_bf16(0, 4, 5);
    tile_load(6, a + SUM_TILE, KX_PLANE_BYTES);
    tile_dot_bf16(1, 6, 5);
    if (!step->second) return;
    tile_load_once(7, b + step->terms->b_block, KX_PLANE_BYTES);
    tile_dot_bf16(2, 4, 7);
    tile_dot_bf16(3, 6, 7);
}

/* The other part of the operand with the matrix that the products before it left in tiles 5 and 7. */
static inline __attribute__((always_inline)) void sum_part(const sum_step *step, const uint8_t *a)
{
    tile_load(4, a, KX_PLANE_BYTES);
    tile_dot_bf16(0, 4, 5);
    tile_load(6, a + SUM_TILE, KX_PLANE_BYTES);
    tile_dot_bf16(1, 6, 5);
    if (!step->second) return;
    tile_dot_bf16(2, 4, 7);
    tile_dot_bf16(3, 6, 7);
}

static inline void sum_make(const sum_step *step, const sum_step *before)
{
    const kx_tile_terms *terms = step->terms;
    const uint8_t *b = step->b;
    for (int64_t p = 0; p < terms->planes; p++) {
        int64_t at = p * terms->a_plane + step->row * KX_PLANE_BYTES;
        for (int64_t t = 0; t < terms->terms; t++, b += SUM_TILE) {
            const uint8_t *a = terms->a[t] + at;
            if (t == 0 && p == 0)
                sum_begin(step, before);
            else
                sum_plane(step, a, b);
            if (t < terms->pairs) sum_part(step, a + terms->a_part);
        }
    }
}

static inline void sum_end(const sum_step *before)
{
    const sum_step *step = &(sum_step){0};
    SUM_TURN(0, 0, 0);
    SUM_TURN(1, 16, 0);
    SUM_TURN(2, 0, SUM_COLS);
    SUM_TURN(3, 16, SUM_COLS);
}

static inline void sum_bf16_by_tiles(int64_t rows, int64_t blocks, const kx_tile_terms *terms, bool add,
                                     float *c, int64_t c_stride)
{
    sum_step before = {0};
    for (int64_t block = 0; block < blocks; block += 2)
        for (int64_t row = 0; row < rows; row += KX_SUM_ROWS) {
            sum_step step = {.terms = terms,
                             .row = row,
                             .c_row = c_stride * 4,
                             .b = terms->b + block * terms->b_block,
                             .c = c + row * c_stride + block * SUM_COLS,
                             .second = block + 1 < blocks,
                             .add = add};
            sum_make(&step, &before);
            before = step;
        }
    sum_end(&before);
}

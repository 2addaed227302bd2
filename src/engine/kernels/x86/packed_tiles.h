/* Packed products on matrix tiles. The layouts of tensor/packed.h are tiles as they stand: 16 rows of a
 * plane, and a plane of a block.
 *
 * Include the words first: tiles_amx.h, or the tests' emulation of it in plain C, so that this file is tested
 * where there are no such tiles. Nothing else here depends on the processor; vectors of 16 columns become
 * AVX-512 where that may be used. The functions are static, and packed_SET.c gives them their names. They
 * are called between tiles_configure and tiles_release.
 *
 * A *step* is 32 rows x 2 blocks of 16 columns: four tiles of sums. There are five, which take turns: a step
 * begins in the spare one, and stores one of the step before it in front of each of its own first products,
 * when the processor has long made that sum. Stored right after its last product it would fill the store
 * buffer with what is not there yet, and the next step's loads would wait. What was stored is scaled and
 * added to c between the products of the step's other planes, on units that have nothing else to do.
 *
 * The matrix's columns of a step, 16 KB of a group, stay in L1 while all rows go by. The rows are loaded past
 * it as far as the processor can (tile_load_once), and sums are best in panels (kernels.h): both leave L1 to
 * what is used again.
 *
 * Tiles are always whole, because another shape means another configuration, which costs as much as half a
 * group's products. What is left of the rows and columns is computed in steps of its own: of 17 to 31 rows
 * the second tile begins before the first one ends, and what both have is stored once; fewer than 16 are
 * copied with zeros below them.
 */
#pragma once

#include "engine/kernels/kernels.h"
#include "engine/kernels/x86/fetch_tiles.h"

#include <string.h>

enum {
    TILE_ROWS = 16,
    TILE_COLS = KX_PACKED_COLUMNS,
    TILE_BYTES = TILE_ROWS * KX_PLANE_BYTES,
    STEP_ROWS = 2 * TILE_ROWS,
    STEP_COLS = 2 * TILE_COLS,
};

/* Operands; literal numbers, see tiles_amx.h. 0 to 4 are sums. */
#define LEFT_0 5
#define LEFT_1 6
#define RIGHT  7

/* The columns of a block, one register with AVX-512. Not loops over floats: clang 14 turns those into gathers
 * across blocks. */
typedef float tile_floats __attribute__((vector_size(4 * TILE_COLS)));
typedef int32_t tile_ints __attribute__((vector_size(4 * TILE_COLS)));
typedef uint32_t tile_words __attribute__((vector_size(4 * TILE_COLS)));

/* One call: the arguments of kx_kernels.tile_i8 or tile_bf16. */
typedef struct tile_call {
    int64_t rows, blocks, planes;
    const uint8_t *a;
    int64_t a_plane;
    const uint8_t *b;
    int64_t b_block;
    const float *a_scale, *b_scale; /* int8; NULL: bf16 */
    const int32_t *b_sum;
    bool add;
    float *c;
    int64_t c_stride;
    int64_t c_pair; /* floats from two blocks of c to the next two */
} tile_call;

/* c_pair of a call: panels, where a row has no room for more than two blocks. */
static inline int64_t pair_stride(int64_t rows, int64_t c_stride)
{
    return c_stride == STEP_COLS ? rows * STEP_COLS : STEP_COLS;
}

/* Where a step's sums go. */
typedef struct tile_target {
    float *c;
    const float *a_scale, *b_scale;
    const int32_t *b_sum;
} tile_target;

static inline tile_target target_of(const tile_call *call, int64_t row, int64_t block)
{
    tile_target target = {.c = call->c + row * call->c_stride + block / 2 * call->c_pair};
    if (call->a_scale != NULL) {
        target.a_scale = call->a_scale + row;
        target.b_scale = call->b_scale + block * TILE_COLS;
        target.b_sum = call->b_sum + block * TILE_COLS;
    }
    return target;
}

/* ---- What follows the products ------------------------------------------------------------------------- */

/* The scales and corrections of a step's columns. */
typedef struct tile_columns {
    tile_floats scales[2];
    tile_words corrections[2];
} tile_columns;

static inline __attribute__((always_inline)) tile_columns columns_of(const tile_target *target, int blocks)
{
    tile_columns columns = {0};
    if (target->b_scale == NULL) return columns;
    for (int j = 0; j < blocks; j++) {
        memcpy(&columns.scales[j], target->b_scale + j * TILE_COLS, sizeof columns.scales[j]);
        memcpy(&columns.corrections[j], target->b_sum + j * TILE_COLS, sizeof columns.corrections[j]);
    }
    return columns;
}

/* Row r of a step, whose sums are as they were stored, into c. Corrections are added as unsigned: a file may
 * hold any b_sum, and a signed sum must not overflow. */
static inline __attribute__((always_inline)) void finish_row(const tile_target *target,
                                                             const tile_columns *columns, int blocks,
                                                             int64_t r, const uint32_t *sums, bool is_i8,
                                                             bool add, int64_t c_stride)
{
    float *c = target->c + r * c_stride;
    for (int j = 0; j < blocks; j++, sums += TILE_COLS, c += TILE_COLS) {
        tile_floats values, before;
        if (is_i8) {
            tile_words sum;
            memcpy(&sum, sums, sizeof sum);
            values = __builtin_convertvector((tile_ints)(sum + columns->corrections[j]), tile_floats);
            values = values * columns->scales[j] * target->a_scale[r];
        } else {
            memcpy(&values, sums, sizeof values);
        }
        if (add) {
            memcpy(&before, c, sizeof before);
            values = before + values;
        }
        memcpy(c, &values, sizeof values);
    }
}

/* ---- What comes next ----------------------------------------------------------------------------------- */

/* What is asked for between products: the next two blocks (behind the last ones: the first two of the next
 * group), a share for each plane of these; and the rows of the next group, a share for each plane of all
 * blocks. That there is no next group is not known here, and does no harm. */
typedef struct step_fetch {
    tile_fetch blocks;
    const uint8_t *a;
    int64_t a_at, a_end, a_share; /* bytes of one plane */
} step_fetch;

static inline step_fetch fetch_of(const tile_call *call, int64_t rows, int64_t blocks)
{
    int64_t turns = rows / STEP_ROWS * call->planes, bytes = call->planes * TILE_BYTES;
    int64_t row_bytes = rows * KX_PLANE_BYTES, times = turns * (blocks / 2);
    return (step_fetch){.blocks = {.end = bytes, .share = bytes / turns + KX_PLANE_BYTES},
                        .a = call->a + call->planes * call->a_plane,
                        .a_end = row_bytes,
                        .a_share = row_bytes * call->planes / times + KX_PLANE_BYTES};
}

/* Before the first step of the two blocks in front of `block`. */
static inline void fetch_blocks(const tile_call *call, step_fetch *fetch, int64_t block, int64_t blocks)
{
    fetch->blocks.first =
        block < blocks ? call->b + block * call->b_block : call->b + call->planes * TILE_BYTES;
    fetch->blocks.second = fetch->blocks.first + call->b_block;
    fetch->blocks.at = 0;
}

static inline __attribute__((always_inline)) void fetch_next(const tile_call *call, step_fetch *fetch)
{
    fetch_some(&fetch->blocks);
    for (int64_t end = fetch->a_at + fetch->a_share; fetch->a_at < end; fetch->a_at += KX_PLANE_BYTES)
        __builtin_prefetch(fetch->a + fetch->a_at, 0, 2);
    if (fetch->a_at < fetch->a_end) return;
    fetch->a_at = 0;
    fetch->a += call->a_plane;
}

/* ---- Whole steps --------------------------------------------------------------------------------------- */

/* One step, in the sums s00 (rows 0 to 15, columns 0 to 15), s10 (rows 16 to 31), s01, s11. Those of the step
 * before are s10, s01, s11 and spare, in this order. One tile is loaded for every product. */
#define TILE_STEP(dot, s00, s10, s01, s11, spare)                                                            \
    do {                                                                                                     \
        const uint8_t *left = call->a + row * KX_PLANE_BYTES, *right = call->b + block * call->b_block;      \
        tile_columns columns = columns_of(&before, 2);                                                       \
        if (row == 0) fetch_blocks(call, &fetch, block + 2, blocks);                                         \
        tile_load_once(LEFT_0, left, KX_PLANE_BYTES);                                                        \
        tile_load(RIGHT, right, KX_PLANE_BYTES);                                                             \
        tile_zero(s00);                                                                                      \
        dot(s00, LEFT_0, RIGHT);                                                                             \
        tile_store(s10, sums[0], sizeof sums[0]);                                                            \
        tile_zero(s10);                                                                                      \
        tile_load_once(LEFT_1, left + TILE_BYTES, KX_PLANE_BYTES);                                           \
        dot(s10, LEFT_1, RIGHT);                                                                             \
        tile_load(RIGHT, right + call->b_block, KX_PLANE_BYTES);                                             \
        tile_store(s01, sums[TILE_ROWS], sizeof sums[0]);                                                    \
        tile_zero(s01);                                                                                      \
        dot(s01, LEFT_0, RIGHT);                                                                             \
        tile_store(s11, sums[0] + TILE_COLS, sizeof sums[0]);                                                \
        tile_zero(s11);                                                                                      \
        dot(s11, LEFT_1, RIGHT);                                                                             \
        tile_store(spare, sums[TILE_ROWS] + TILE_COLS, sizeof sums[0]);                                      \
        int64_t done = before.c == NULL ? STEP_ROWS : 0, end = done;                                         \
        for (int64_t p = 1; p < call->planes; p++) {                                                         \
            left += call->a_plane;                                                                           \
            right += TILE_BYTES;                                                                             \
            tile_load_once(LEFT_0, left, KX_PLANE_BYTES);                                                    \
            tile_load(RIGHT, right, KX_PLANE_BYTES);                                                         \
            dot(s00, LEFT_0, RIGHT);                                                                         \
            tile_load_once(LEFT_1, left + TILE_BYTES, KX_PLANE_BYTES);                                       \
            dot(s10, LEFT_1, RIGHT);                                                                         \
            tile_load(RIGHT, right + call->b_block, KX_PLANE_BYTES);                                         \
            dot(s01, LEFT_0, RIGHT);                                                                         \
            dot(s11, LEFT_1, RIGHT);                                                                         \
            fetch_next(call, &fetch);                                                                        \
            for (end = end + share < STEP_ROWS ? end + share : STEP_ROWS; done < end; done++)                \
                finish_row(&before, &columns, 2, done, sums[done], is_i8, add, c_stride);                    \
        }                                                                                                    \
        for (; done < STEP_ROWS; done++)                                                                     \
            finish_row(&before, &columns, 2, done, sums[done], is_i8, add, c_stride);                        \
        before = target_of(call, row, block);                                                                \
        row += STEP_ROWS;                                                                                    \
        if (row == rows) row = 0, block += 2;                                                                \
    } while (0)

/* The sums of the last step. */
#define TILE_LAST(s00, s10, s01, s11)                                                                        \
    do {                                                                                                     \
        tile_store(s00, sums[0], sizeof sums[0]);                                                            \
        tile_store(s10, sums[TILE_ROWS], sizeof sums[0]);                                                    \
        tile_store(s01, sums[0] + TILE_COLS, sizeof sums[0]);                                                \
        tile_store(s11, sums[TILE_ROWS] + TILE_COLS, sizeof sums[0]);                                        \
    } while (0)

/* One turn of the tiles; leaves the loop behind the last step. */
#define TILE_TURN(dot, s00, s10, s01, s11, spare)                                                            \
    TILE_STEP(dot, s00, s10, s01, s11, spare);                                                               \
    if (block == blocks) {                                                                                   \
        TILE_LAST(s00, s10, s01, s11);                                                                       \
        break;                                                                                               \
    }

/* rows and blocks, multiples of a step, of a call, whose c_stride is a constant where it can be. The first
 * step stores tiles that nothing was summed in, and nobody reads them. */
#define DEFINE_STEPS(name, dot, kind)                                                                        \
    static inline __attribute__((always_inline)) void name(const tile_call *call, int64_t rows,              \
                                                           int64_t blocks, bool add, int64_t c_stride)       \
    {                                                                                                        \
        _Alignas(64) uint32_t sums[STEP_ROWS][STEP_COLS];                                                    \
        const bool is_i8 = kind;                                                                             \
        int64_t row = 0, block = 0;                                                                          \
        int64_t share = call->planes > 2 ? (STEP_ROWS + call->planes - 2) / (call->planes - 1) : STEP_ROWS;  \
        tile_target before = {0};                                                                            \
        step_fetch fetch = fetch_of(call, rows, blocks);                                                     \
        for (;;) {                                                                                           \
            TILE_TURN(dot, 0, 1, 2, 3, 4)                                                                    \
            TILE_TURN(dot, 4, 0, 1, 2, 3)                                                                    \
            TILE_TURN(dot, 3, 4, 0, 1, 2)                                                                    \
            TILE_TURN(dot, 2, 3, 4, 0, 1)                                                                    \
            TILE_TURN(dot, 1, 2, 3, 4, 0)                                                                    \
        }                                                                                                    \
        tile_columns columns = columns_of(&before, 2);                                                       \
        for (int64_t r = 0; r < STEP_ROWS; r++)                                                              \
            finish_row(&before, &columns, 2, r, sums[r], is_i8, add, c_stride);                              \
    }

/* ---- What is left -------------------------------------------------------------------------------------- */

/* The rows of a step that is not whole. */
typedef struct tile_left {
    int64_t plane_bytes;
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
    return (tile_left){TILE_BYTES, copy[0], NULL};
}

static inline tile_left tiles_of(int64_t rows, int64_t planes, const uint8_t *a, int64_t a_plane,
                                 uint8_t (*copy)[TILE_BYTES])
{
    if (rows < TILE_ROWS) return tiles_copied(rows, planes, a, a_plane, copy);
    const uint8_t *second = rows > TILE_ROWS ? a + (rows - TILE_ROWS) * KX_PLANE_BYTES : NULL;
    return (tile_left){a_plane, a, second};
}

/* Where row r of such a step stands in its stored sums. */
static inline int64_t stored_row(int64_t rows, int64_t r)
{
    return r < TILE_ROWS ? r : r + STEP_ROWS - rows;
}

/* rows (up to a step) x 1 or 2 blocks of a call, from `row` and `block` on. */
#define DEFINE_PART(name, dot, is_i8)                                                                        \
    static inline void name(const tile_call *call, int64_t row, int64_t rows, int64_t block, int blocks)     \
    {                                                                                                        \
        _Alignas(64) uint8_t copy[KX_GROUP_PLANES][TILE_BYTES];                                              \
        _Alignas(64) uint32_t sums[STEP_ROWS][STEP_COLS];                                                    \
        tile_left left = tiles_of(rows, call->planes, call->a + row * KX_PLANE_BYTES, call->a_plane, copy);  \
        const uint8_t *b = call->b + block * call->b_block;                                                  \
        tile_zero(0);                                                                                        \
        tile_zero(1);                                                                                        \
        tile_zero(2);                                                                                        \
        tile_zero(3);                                                                                        \
        for (int64_t p = 0; p < call->planes; p++) {                                                         \
            const uint8_t *right = b + p * TILE_BYTES;                                                       \
            tile_load(RIGHT, right, KX_PLANE_BYTES);                                                         \
            tile_load(LEFT_0, left.first + p * left.plane_bytes, KX_PLANE_BYTES);                            \
            dot(0, LEFT_0, RIGHT);                                                                           \
            if (left.second != NULL) {                                                                       \
                tile_load(LEFT_1, left.second + p * left.plane_bytes, KX_PLANE_BYTES);                       \
                dot(1, LEFT_1, RIGHT);                                                                       \
            }                                                                                                \
            if (blocks < 2) continue;                                                                        \
            tile_load(RIGHT, right + call->b_block, KX_PLANE_BYTES);                                         \
            dot(2, LEFT_0, RIGHT);                                                                           \
            if (left.second != NULL) dot(3, LEFT_1, RIGHT);                                                  \
        }                                                                                                    \
        TILE_LAST(0, 1, 2, 3);                                                                               \
        tile_target target = target_of(call, row, block);                                                    \
        tile_columns columns = columns_of(&target, blocks);                                                  \
        for (int64_t r = 0; r < rows; r++)                                                                   \
            finish_row(&target, &columns, blocks, r, sums[stored_row(rows, r)], is_i8, call->add,            \
                       call->c_stride);                                                                      \
    }

/* ---- Calls --------------------------------------------------------------------------------------------- */

/* Any number of rows and blocks. */
#define DEFINE_CALL(name, steps, part)                                                                       \
    static inline void name(const tile_call *call)                                                           \
    {                                                                                                        \
        int64_t rows = call->rows / STEP_ROWS * STEP_ROWS, blocks = call->blocks / 2 * 2;                    \
        if (rows > 0 && blocks > 0) {                                                                        \
            if (call->c_stride != STEP_COLS)                                                                 \
                steps(call, rows, blocks, call->add, call->c_stride);                                        \
            else if (call->add)                                                                              \
                steps(call, rows, blocks, true, STEP_COLS);                                                  \
            else                                                                                             \
                steps(call, rows, blocks, false, STEP_COLS);                                                 \
        }                                                                                                    \
        for (int64_t row = 0; row < rows && blocks < call->blocks; row += STEP_ROWS)                         \
            part(call, row, STEP_ROWS, blocks, 1);                                                           \
        for (int64_t block = 0; block < call->blocks && rows < call->rows; block += 2)                       \
            part(call, rows, call->rows - rows, block, call->blocks - block > 1 ? 2 : 1);                    \
    }

DEFINE_STEPS(steps_i8, tile_dot_i8, true)
DEFINE_STEPS(steps_bf16, tile_dot_bf16, false)
DEFINE_PART(part_i8, tile_dot_i8, true)
DEFINE_PART(part_bf16, tile_dot_bf16, false)
DEFINE_CALL(tile_i8_by_tiles, steps_i8, part_i8)
DEFINE_CALL(tile_bf16_by_tiles, steps_bf16, part_bf16)

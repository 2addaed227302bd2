/* A block of keys of packed attention on matrix tiles: kernels.h, attend.
 *
 * Include the words of tiles first (see packed_tiles.h), lanes of 16, and those of soften_lanes.h.
 *
 * Two tiles of 16 lines (64 bytes) are multiplied in 16 cycles, so what matters is where they come from: a
 * line from L1 takes half a cycle, one from L2 more than one, and a store to a line that is in L2 alone three
 * and a half. Some keys stay in L1 while all rows go by, 16 at a time; then some columns of the values do:
 *
 *     for 64 keys after the other                    keys, 64 x planes x 64 bytes, in L1
 *         for 16 rows after the other                scores of these, and those of 16 rows before
 *             scores, and between their products the weights of the 16 rows before
 *     for 64 columns after the other                 values, keys of the block x 64 x 2 bytes, in L1
 *         for 16 rows after the other
 *             sums += weights . values
 *
 * There is no pass over scores for their maximum, because nothing needs one: bf16 is as exact below a
 * reference that is wrong by any power of two. Nor are sums ever scaled: tiles begin with what is there.
 *
 * A *step* is what four tiles sum: 16 rows x 4 blocks of 16 columns. Its sums are stored in front of the
 * first products of the step after it, one tile at a time. Any earlier, and what follows would wait for
 * products whose result takes 52 cycles.
 */
#pragma once

#include "engine/kernels/kernels.h"
#include "engine/kernels/soften_lanes.h"
#include "engine/kernels/x86/fetch_tiles.h"

enum {
    ATTEND_ROWS = KX_ATTEND_ROWS,
    ATTEND_COLS = KX_PACKED_COLUMNS,
    ATTEND_BLOCKS = 4, /* of a step */
    ATTEND_KEYS = ATTEND_BLOCKS * ATTEND_COLS,
    ATTEND_TILE = ATTEND_ROWS * KX_PLANE_BYTES,
    WEIGHT_KEYS = KX_PLANE_BYTES / 2, /* of a plane of weights */
    SCORES = ATTEND_ROWS * ATTEND_KEYS,
};
_Static_assert((int)LANES == (int)ATTEND_COLS, "a register holds the columns of a block");
_Static_assert(2 * SCORES * 4 == KX_ATTEND_SCRATCH, "the scratch is used up");

/* ---- Steps --------------------------------------------------------------------------------------------- */

/* c (16 rows, up to 4 blocks) = a b, or c += a b. */
typedef struct tile_step {
    const uint8_t *a; /* planes a_plane bytes apart */
    int64_t a_plane;
    const uint8_t *b; /* blocks b_block bytes apart */
    int64_t b_block;
    int64_t planes, blocks;
    float *c;
    int64_t c_row; /* bytes */
    bool adds;
    const uint8_t *next_a; /* of the step after it, to be fetched ahead; or NULL */
} tile_step;

/* Tile i of the sums: those of the step before go where they belong, then it begins with this step's. */
#define STEP_BEGIN(i)                                                                                        \
    do {                                                                                                     \
        if ((i) < before->blocks) tile_store(i, before->c + (i)*ATTEND_COLS, before->c_row);                 \
        if ((i) >= step->blocks) break;                                                                      \
        if (step->adds)                                                                                      \
            tile_load(i, step->c + (i)*ATTEND_COLS, step->c_row);                                            \
        else                                                                                                 \
            tile_zero(i);                                                                                    \
    } while (0)

/* One product of the tile `left` with block i. */
#define STEP_DOT(i, left, right)                                                                             \
    do {                                                                                                     \
        if ((i) >= step->blocks) break;                                                                      \
        tile_load(right, b + (i)*step->b_block, KX_PLANE_BYTES);                                             \
        tile_dot_bf16(i, left, right);                                                                       \
    } while (0)

/* Asks for what the step after it sees in this plane. */
static inline __attribute__((always_inline)) void fetch_step(const tile_step *step, int64_t plane)
{
    if (step->next_a == NULL) return;
    const uint8_t *a = step->next_a + plane * step->a_plane;
    for (int64_t r = 0; r < ATTEND_ROWS; r++) __builtin_prefetch(a + r * KX_PLANE_BYTES);
}

/* The first plane of a step. before: the step before it, blocks of 0 where there is none. */
static inline __attribute__((always_inline)) void step_begin(const tile_step *step, const tile_step *before)
{
    const uint8_t *b = step->b;
    if (step->blocks > 0) tile_load_once(4, step->a, KX_PLANE_BYTES);
    STEP_BEGIN(0);
    STEP_DOT(0, 4, 5);
    STEP_BEGIN(1);
    STEP_DOT(1, 4, 6);
    STEP_BEGIN(2);
    STEP_DOT(2, 4, 5);
    STEP_BEGIN(3);
    STEP_DOT(3, 4, 6);
    fetch_step(step, 0);
}

#define STEP_PLANE(left)                                                                                     \
    do {                                                                                                     \
        tile_load_once(left, step->a + plane * step->a_plane, KX_PLANE_BYTES);                               \
        STEP_DOT(0, left, 5);                                                                                \
        STEP_DOT(1, left, 6);                                                                                \
        STEP_DOT(2, left, 5);                                                                                \
        STEP_DOT(3, left, 6);                                                                                \
    } while (0)

/* Any other plane. */
static inline __attribute__((always_inline)) void step_plane(const tile_step *step, int64_t plane)
{
    const uint8_t *b = step->b + plane * ATTEND_TILE;
    if (plane % 2 == 0)
        STEP_PLANE(4);
    else
        STEP_PLANE(7);
    fetch_step(step, plane);
}

/* ---- Weights ------------------------------------------------------------------------------------------- */

/* 2^x without power_of_two's care for numbers far below 0: where x is -1e12 or less the result may be
 * infinite, and a NaN where it is -infinity. */
static inline __attribute__((always_inline)) lanes plain_power_of_two(lanes x)
{
    const lanes rounds = lanes_set(12582912.0f);
    lanes n = lanes_sub(lanes_add(x, rounds), rounds);
    return lanes_times_power(mantissa_of(lanes_sub(x, n)), n);
}

/* The first n of LANES values; none where n is negative. */
static inline __attribute__((always_inline)) lanes only_first(lanes v, int64_t n)
{
    return n >= LANES ? v : n <= 0 ? lanes_set(0) : lanes_first(v, n);
}

/* The weights of a step of scores, made between the products of the next. */
typedef struct attend_weights {
    const float *scores;
    float *reference, *parts; /* of its rows */
    uint8_t *weights;         /* its planes */
    int64_t plane;            /* bytes between them */
    int64_t keys;             /* how many there are */
    int64_t row, rows;        /* rows that are done; how many there are, 0 or 16 */
} attend_weights;

static inline __attribute__((always_inline)) void weigh_row(const attend_weights *work, int64_t r)
{
    const float *scores = work->scores + r * ATTEND_KEYS;
    float *parts = work->parts + r * LANES;
    const lanes f = lanes_set(POWER_OF_E), m = lanes_set(-work->reference[r] * POWER_OF_E);
    lanes sum = lanes_load(parts);
    for (int64_t i = 0; i < ATTEND_KEYS / WEIGHT_KEYS; i++, scores += WEIGHT_KEYS) {
        int64_t left = work->keys - i * WEIGHT_KEYS;
        if (left <= 0) break;
        lanes low = plain_power_of_two(lanes_fma(lanes_load(scores), f, m));
        lanes high = plain_power_of_two(lanes_fma(lanes_load(scores + LANES), f, m));
        if (left < WEIGHT_KEYS) {
            low = only_first(low, left);
            high = only_first(high, left - LANES);
        }
        sum = lanes_add(sum, lanes_add(low, high));
        uint8_t *to = work->weights + i * work->plane + r * KX_PLANE_BYTES;
        lanes_store_bf16((uint16_t *)(void *)to, low, high);
    }
    lanes_store(parts, sum);
}

static inline __attribute__((always_inline)) void weigh_rows(attend_weights *work, int64_t end)
{
    for (; work->row < end && work->row < work->rows; work->row++) weigh_row(work, work->row);
}

/* The references of the first block of keys: the largest of its first few scores. */
static inline void set_references(const attend_weights *work)
{
    for (int64_t r = 0; r < work->rows; r++)
        work->reference[r] = top_of(work->keys < ATTEND_KEYS ? work->keys : ATTEND_KEYS,
                                    work->scores + r * ATTEND_KEYS, -INFINITY);
}

/* ---- Calls --------------------------------------------------------------------------------------------- */

/* Scores of the keys first.., and what becomes of them. */
static inline void attend_keys(const kx_attend *call, int64_t first)
{
    int64_t left = call->count - first, block_bytes = call->planes * ATTEND_TILE;
    int64_t blocks = ((left < ATTEND_KEYS ? left : ATTEND_KEYS) + ATTEND_COLS - 1) / ATTEND_COLS;
    float *scores = (float *)(void *)call->scratch;
    tile_step before = {0};
    attend_weights weights = {0};
    for (int64_t row = 0; row < call->rows; row += ATTEND_ROWS) {
        tile_step step = {.a = call->q + row * KX_PLANE_BYTES,
                          .a_plane = call->q_plane,
                          .b = call->k + first / ATTEND_COLS * block_bytes,
                          .b_block = block_bytes,
                          .planes = call->planes,
                          .blocks = blocks,
                          .c = scores + row / ATTEND_ROWS % 2 * SCORES,
                          .c_row = ATTEND_KEYS * 4};
        if (row + ATTEND_ROWS < call->rows) step.next_a = step.a + ATTEND_TILE;
        step_begin(&step, &before);
        if (call->first && first == 0 && row > 0) set_references(&weights);
        for (int64_t p = 1; p < step.planes; p++) {
            weigh_rows(&weights, p * weights.rows / step.planes);
            step_plane(&step, p);
        }
        weigh_rows(&weights, weights.rows);
        weights = (attend_weights){.scores = step.c,
                                   .reference = call->reference + row,
                                   .parts = call->parts + row * LANES,
                                   .weights = call->weights + first / WEIGHT_KEYS * call->weights_plane +
                                              row * KX_PLANE_BYTES,
                                   .plane = call->weights_plane,
                                   .keys = left,
                                   .rows = ATTEND_ROWS};
        before = step;
    }
    step_begin(&(tile_step){0}, &before);
    if (call->first && first == 0) set_references(&weights);
    weigh_rows(&weights, weights.rows);
}

/* The next block of keys and its values, a share of them for each plane of this one's values. */
static inline tile_fetch fetch_begin(const kx_attend *call)
{
    int64_t steps = call->rows / ATTEND_ROWS * ((call->blocks + ATTEND_BLOCKS - 1) / ATTEND_BLOCKS);
    int64_t planes = steps * (KX_ATTEND_KEYS / WEIGHT_KEYS - 1);
    return (tile_fetch){call->next_k, call->next_v, 0, call->next_bytes, call->next_bytes / planes + 1};
}

/* The sums of the columns of 4 blocks from `block` on. */
static inline void attend_values(const kx_attend *call, int64_t block, tile_fetch *fetch)
{
    int64_t planes = (call->count + WEIGHT_KEYS - 1) / WEIGHT_KEYS, width = call->blocks * ATTEND_COLS;
    int64_t left = call->blocks - block, blocks = left < ATTEND_BLOCKS ? left : ATTEND_BLOCKS;
    tile_step before = {0};
    for (int64_t row = 0; row < call->rows; row += ATTEND_ROWS) {
        tile_step step = {.a = call->weights + row * KX_PLANE_BYTES,
                          .a_plane = call->weights_plane,
                          .b = call->v + block * planes * ATTEND_TILE,
                          .b_block = planes * ATTEND_TILE,
                          .planes = planes,
                          .blocks = blocks,
                          .c = call->sums + row * width + block * ATTEND_COLS,
                          .c_row = width * 4,
                          .adds = true};
        step_begin(&step, &before);
        for (int64_t p = 1; p < planes; p++) {
            step_plane(&step, p);
            fetch_some(fetch);
        }
        before = step;
    }
    step_begin(&(tile_step){0}, &before);
}

static inline void attend_by_tiles(const kx_attend *call)
{
    for (int64_t first = 0; first < call->count; first += ATTEND_KEYS) attend_keys(call, first);
    tile_fetch fetch = fetch_begin(call);
    for (int64_t block = 0; block < call->blocks; block += ATTEND_BLOCKS) attend_values(call, block, &fetch);
}

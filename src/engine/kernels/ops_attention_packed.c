/* Attention in lower precision: Q K^T and P V in int8 or bf16, sums and softmax in f32.
 *
 * The tiles are those of the packed products (tensor/packed.h). The keys of a head are a matrix whose columns
 * are keys, its values one whose K are keys, so both are packed once, before any query needs them:
 *
 *     keys     [keys/16][plane][16][64 bytes]                             planes of head_dim
 *     values   [block of KEYS keys][head_dim/16][plane][16][64 bytes]     planes of 32 or 64 keys
 *
 * As many heads are packed and then used in one pass as keep every thread busy to the end. A chunk is some
 * query rows of one head (of several, where the result is an operand: those whose columns are quantised
 * together). It walks over the keys in blocks, and in a block over its rows in stripes, so that what is
 * written in between stays in L1: scores of the stripe, then their exponentials, then the
 * product with the values, added to the chunk's sums.
 *
 *     one head, in L2: queries, rows x planes x 64 | keys and values of a block | sums, rows x width x 4
 *     a stripe, in L1: scores, stripe x KEYS x 4 | exponentials, stripe x KEYS x 1 or 2
 *
 * Of int8 keys the mean over all keys is taken away first. That adds the same to all scores of a query, which
 * the softmax does not see, and what is left needs a smaller scale (Zhang et al. 2024, SageAttention).
 *
 * In int8 an exponential is one of 255 steps below the largest of its row *and block*, so that a key with a
 * large score takes no precision from keys of other blocks. Steps round small ones to 0; what that takes from
 * a row, as a sum over the block, is spread over the block's keys: share x (sum of their values), which is
 * also how the operand's bytes, 127 below what they stand for, are put right. Weights thus add up to one, and
 * many small ones still weigh what they weighed.
 *
 * A set may do all that a block of keys does to some rows in one call (kernels.h, attend), in bf16. It takes
 * exponentials below a reference that later scores may exceed by too much; then the stripe is made again as
 * above, and those of its rows are taken from there.
 *
 * A row's result depends on its own query and on the order of the key blocks alone. `out` may be `q`: a chunk
 * has converted its rows of a head before it writes the same rows and columns.
 */
#include "engine/kernels/driver.h"

#include <math.h>

enum {
    KEYS = KX_ATTEND_KEYS, /* of a block */
    STRIPE = 24,           /* rows, or a tile of the set where that has more */
    ROWS_MOST = 192,
    ROWS_ATTENDED = 384, /* where the set attends, which reads keys and values from L3 for each chunk */
    ROWS_LEAST = 48,
    CHUNKS_PER_THREAD = 24, /* of a pass, where there are as many */
    INT8_DIM_MOST = 128,
    BF16_DIM_MOST = 256,
    MEAN_COLS = 64,
    PIECES = KX_PLANE_BYTES / 4,
    KEYS_STRIDE = KEYS + 16, /* of columns of values side by side: not 1 KB, where they would share lines */
    BLOCK_PLANE = KX_PACKED_COLUMNS * KX_PLANE_BYTES, /* bytes of a plane of 16 columns */
    GROUP_BYTES = KX_GROUP_PLANES * KX_PLANE_BYTES,   /* what a tile and a quantiser take at once */
};
_Static_assert(INT8_DIM_MOST <= GROUP_BYTES && 2 * BF16_DIM_MOST <= GROUP_BYTES,
               "a row of a head is one group");
_Static_assert((int)STRIPE <= (int)KX_SOFTEN_ROWS, "a stripe is softened in one call");
_Static_assert(2 * KEYS <= GROUP_BYTES && KEYS % KX_PLANE_BYTES == 0,
               "a block of keys is whole planes of one group");

typedef struct attention_work {
    kx_guard guard;
    const kx_kernels *kernels;
    const kx_attention *attention;
    const kx_tensor *q, *k, *v, *out;
    kx_dtype dtype;            /* of queries and keys */
    int64_t planes;            /* of a query or a key */
    int64_t width;             /* head_dim rounded up to blocks of 16 */
    int64_t key_blocks;        /* of KEYS */
    int64_t plane_keys;        /* keys of a plane of values */
    int64_t unit;              /* heads of a chunk */
    int64_t heads, first_head; /* of a pass */
    int64_t stripe;            /* a multiple of the set's tiles */
    int64_t rows, row_chunks;
    uint8_t *keys, *values; /* of the heads of a pass */
    int64_t key_bytes, value_bytes, padded_keys;
    float *key_scales;                  /* int8: [head][padded_keys] */
    int32_t *key_sums;                  /* int8: the same */
    float *minus_mean;                  /* int8: (cols) */
    float *value_scales, *value_totals; /* int8: [head][block][width]; totals: of the values themselves */
    int32_t *value_sums;                /* int8: the same */
    uint8_t *scratch;
    int64_t piece;
} attention_work;

/* ---- Packing ------------------------------------------------------------------------------------------- */

/* minus_mean of some columns. */
static void mean_chunk(void *arguments, size_t chunk, size_t worker)
{
    attention_work *work = arguments;
    if (kx_guard_stopped(&work->guard, worker)) return;
    int64_t first = (int64_t)chunk * MEAN_COLS, count = kx_min(MEAN_COLS, work->k->cols - first);
    double sums[MEAN_COLS] = {0};
    work->kernels->column_sums(work->k->rows, count, kx_tensor_f32(work->k) + first, work->k->stride, NULL,
                               sums);
    for (int64_t i = 0; i < count; i++)
        work->minus_mean[first + i] = (float)(-sums[i] / (double)work->k->rows);
}

/* Columns of one head are far apart in memory (12 KB in a row of 24 heads), so the processor does not see
 * what comes next: this asks for n columns of a row some rows ahead, if there is one. */
static void fetch_ahead(const kx_tensor *t, int64_t row, int64_t col, int64_t n)
{
    enum { AHEAD = 8, LINE = 16 };
    if (row + AHEAD >= t->rows) return;
    const float *x = kx_tensor_f32(t) + (row + AHEAD) * t->stride + col;
    for (int64_t i = 0; i < n; i += LINE) __builtin_prefetch(x + i);
}

/* One key -> its planes, 64 bytes each, and for int8 its scale and sum. */
static void convert_key(const attention_work *work, int64_t head, int64_t key, float *row, uint8_t *to)
{
    int64_t dim = work->attention->head_dim, col = (work->first_head + head) * dim;
    const float *k = kx_tensor_f32(work->k) + key * work->k->stride + col;
    fetch_ahead(work->k, key, col, dim);
    if (work->dtype == KX_BF16) {
        work->kernels->narrow(dim, k, (uint16_t *)(void *)to, KX_PLANE_BYTES);
        return;
    }
    int64_t entry = head * work->padded_keys + key;
    work->kernels->epilogue(KX_EPILOGUE_STORE, dim, k, work->minus_mean + col, NULL, row);
    kx_driver_quantise_group(work->kernels, dim, row, to, KX_PLANE_BYTES, &work->key_scales[entry]);
    work->key_sums[entry] = -KX_OPERAND_OFFSET * kx_driver_make_signed(work->planes * KX_PLANE_BYTES, to);
}

/* Sixteen keys from `first` -> their block. scratch: a row, then sixteen keys' planes. */
static void pack_keys(const attention_work *work, int64_t head, int64_t first, uint8_t *scratch)
{
    int64_t bytes = work->planes * KX_PLANE_BYTES;
    float *row = (float *)(void *)scratch;
    uint8_t *converted = scratch + kx_round_up(work->width * (int64_t)sizeof(float), KX_PLANE_BYTES);
    for (int64_t n = 0; n < KX_PACKED_COLUMNS; n++) {
        if (first + n < work->k->rows) {
            convert_key(work, head, first + n, row, converted + n * bytes);
            continue;
        }
        memset(converted + n * bytes, 0, (size_t)bytes);
        if (work->dtype != KX_I8) continue;
        work->key_scales[head * work->padded_keys + first + n] = 0;
        work->key_sums[head * work->padded_keys + first + n] = 0;
    }
    kx_driver_join_columns(work->kernels, work->planes, converted,
                           work->keys + head * work->key_bytes + first * bytes);
}

/* Two values of each column side by side. */
static void interleave(const uint16_t *even, const uint16_t *odd, uint32_t *to)
{
    for (int64_t n = 0; n < KX_PACKED_COLUMNS; n++) to[n] = even[n] | (uint32_t)odd[n] << 16;
}

/* Where the values of a block of keys lie. */
static uint8_t *values_at(const attention_work *work, int64_t head, int64_t block)
{
    return work->values + head * work->value_bytes +
           block * (KEYS / work->plane_keys) * BLOCK_PLANE * (work->width / KX_PACKED_COLUMNS);
}

/* The values of a block of keys. scratch: two rows of bf16. */
static void pack_values_bf16(const attention_work *work, int64_t head, int64_t block, uint8_t *scratch)
{
    int64_t dim = work->attention->head_dim, col = (work->first_head + head) * dim;
    int64_t first = block * KEYS, count = kx_min(KEYS, work->k->rows - first);
    int64_t planes = kx_ceil_div(count, work->plane_keys);
    int64_t row_bytes = kx_planes_of(KX_BF16, dim) * KX_PLANE_BYTES;
    uint8_t *to = values_at(work, head, block);
    for (int64_t pair = 0; pair < planes * PIECES; pair++) {
        for (int64_t odd = 0; odd < 2; odd++) {
            int64_t key = 2 * pair + odd;
            if (key >= count) {
                memset(scratch + odd * row_bytes, 0, (size_t)row_bytes);
                continue;
            }
            const float *v = kx_tensor_f32(work->v) + (first + key) * work->v->stride + col;
            fetch_ahead(work->v, first + key, col, dim);
            work->kernels->narrow(dim, v, (uint16_t *)(void *)(scratch + odd * row_bytes), KX_PLANE_BYTES);
        }
        const uint16_t *even = (const uint16_t *)(const void *)scratch;
        const uint16_t *odd = (const uint16_t *)(const void *)(scratch + row_bytes);
        for (int64_t c = 0; c < work->width; c += KX_PACKED_COLUMNS)
            interleave(
                even + c, odd + c,
                (uint32_t *)(void *)(to + (c / KX_PACKED_COLUMNS * planes * PIECES + pair) * KX_PLANE_BYTES));
    }
}

/* Sixteen columns of KEYS values, KEYS_STRIDE apart, the first of them `entry`, -> their block. */
static void pack_columns_i8(const attention_work *work, int64_t count, int64_t entry, const float *columns,
                            uint8_t *to)
{
    _Alignas(KX_PLANE_BYTES) uint8_t converted[KX_PACKED_COLUMNS * KEYS];
    int64_t planes = kx_ceil_div(count, work->plane_keys), bytes = planes * KX_PLANE_BYTES;
    for (int64_t n = 0; n < KX_PACKED_COLUMNS; n++, entry++) {
        uint8_t *column = converted + n * bytes;
        work->kernels->quantise(count, columns + n * KEYS_STRIDE, column, KX_PLANE_BYTES,
                                &work->value_scales[entry]);
        int32_t sum = kx_driver_make_signed(bytes, column);
        work->value_sums[entry] = -KX_OPERAND_OFFSET * sum;
        work->value_totals[entry] = (float)sum * work->value_scales[entry];
    }
    kx_driver_join_columns(work->kernels, planes, converted, to);
}

/* The values of a block of keys in int8, a scale for each column. scratch: the columns in f32. */
static void pack_values_i8(const attention_work *work, int64_t head, int64_t block, uint8_t *scratch)
{
    int64_t dim = work->attention->head_dim, col = (work->first_head + head) * dim;
    int64_t first = block * KEYS, count = kx_min(KEYS, work->k->rows - first), lanes = work->kernels->lanes;
    float *columns = (float *)(void *)scratch;
    for (int64_t key = 0; key < count; key += lanes) {
        int64_t rows = kx_min(lanes, count - key);
        for (int64_t r = 0; r < rows; r++) fetch_ahead(work->v, first + key + lanes + r, col, dim);
        work->kernels->transpose(rows, dim, kx_tensor_f32(work->v) + (first + key) * work->v->stride + col,
                                 work->v->stride, columns + key, KEYS_STRIDE);
    }
    for (int64_t c = dim; c < work->width; c++)
        memset(columns + c * KEYS_STRIDE, 0, KEYS * sizeof columns[0]);
    int64_t entry = (head * work->key_blocks + block) * work->width;
    int64_t block_bytes = kx_ceil_div(count, work->plane_keys) * BLOCK_PLANE;
    for (int64_t c = 0; c < work->width; c += KX_PACKED_COLUMNS)
        pack_columns_i8(work, count, entry + c, columns + c * KEYS_STRIDE,
                        values_at(work, head, block) + c / KX_PACKED_COLUMNS * block_bytes);
}

static int64_t pack_scratch_bytes(const attention_work *work)
{
    int64_t keys = kx_round_up(work->width * (int64_t)sizeof(float), KX_PLANE_BYTES) +
                   KX_PACKED_COLUMNS * work->planes * KX_PLANE_BYTES;
    int64_t values = work->dtype == KX_I8 ? work->width * KEYS_STRIDE * (int64_t)sizeof(float) : 0;
    return kx_max(keys, values);
}

/* Keys and values of one head and block. */
static void pack_chunk(void *arguments, size_t chunk, size_t worker)
{
    attention_work *work = arguments;
    if (kx_guard_stopped(&work->guard, worker)) return;
    int64_t head = (int64_t)chunk / work->key_blocks, block = (int64_t)chunk % work->key_blocks;
    uint8_t *scratch = work->scratch + (int64_t)worker * work->piece;
    int64_t end = kx_min(work->padded_keys, (block + 1) * KEYS);
    for (int64_t first = block * KEYS; first < end; first += KX_PACKED_COLUMNS)
        pack_keys(work, head, first, scratch);
    if (work->dtype == KX_I8)
        pack_values_i8(work, head, block, scratch);
    else
        pack_values_bf16(work, head, block, scratch);
}

/* ---- Attention ----------------------------------------------------------------------------------------- */

/* A worker's chunk. */
typedef struct attention_block {
    int64_t head, first, rows; /* head: in the pass */
    uint8_t *q, *weights;      /* planes; weights: exponentials of a stripe */
    int64_t q_plane, weights_plane;
    float *q_scales, *row, *scores, *factors, *shares, *weight_scales, *sums, *maximum, *total, *result;
    float *parts, *spare; /* where the set attends: of the rows' totals; of a stripe, its sums and totals */
    uint8_t *tiles;
} attention_block;

enum { SCORES_STRIDE = KEYS + KX_PACKED_COLUMNS };

/* Whether the set does all that a block of keys does to some rows in one call. */
static bool attends(const attention_work *work)
{
    return work->dtype == KX_BF16 && work->kernels->attend != NULL;
}

/* Cuts `scratch` into the parts of a chunk, and returns how long they are together. */
static int64_t lay_out(const attention_work *work, uint8_t *scratch, attention_block *block)
{
    int64_t rows = work->rows, floats = sizeof(float);
    block->q_plane = (rows | 1) * KX_PLANE_BYTES;
    block->weights_plane = ((attends(work) ? rows : work->stripe) | 1) * KX_PLANE_BYTES;
    int64_t sizes[] = {
        work->planes * block->q_plane,
        KEYS / work->plane_keys * block->weights_plane,
        rows * floats,
        work->width * floats,
        work->stripe * SCORES_STRIDE * floats,
        work->stripe * floats,
        work->stripe * floats,
        work->stripe * floats,
        rows * work->width * floats,
        rows * floats,
        rows * floats,
        kx_tensor_is_operand(work->out) ? rows * work->unit * work->attention->head_dim * floats : 0,
        attends(work) ? rows * KX_PACKED_COLUMNS * floats : 0,
        attends(work) ? work->stripe * (work->width + 1) * floats : 0,
        attends(work) ? KX_ATTEND_SCRATCH : 0};
    void *parts[sizeof sizes / sizeof sizes[0]];
    int64_t bytes = kx_driver_cut(scratch, sizeof sizes / sizeof sizes[0], sizes, parts);
    block->q = parts[0];
    block->weights = parts[1];
    block->q_scales = parts[2];
    block->row = parts[3];
    block->scores = parts[4];
    block->factors = parts[5];
    block->shares = parts[6];
    block->weight_scales = parts[7];
    block->sums = parts[8];
    block->maximum = parts[9];
    block->total = parts[10];
    block->result = parts[11];
    block->parts = parts[12];
    block->spare = parts[13];
    block->tiles = parts[14];
    return bytes;
}

static void convert_queries(const attention_work *work, const attention_block *block)
{
    const kx_kernels *kernels = work->kernels;
    int64_t dim = work->attention->head_dim, col = (work->first_head + block->head) * dim;
    const float *q = kx_tensor_f32(work->q) + block->first * work->q->stride + col;
    for (int64_t r = 0; r < block->rows; r++, q += work->q->stride) {
        fetch_ahead(work->q, block->first + r, col, dim);
        uint8_t *to = block->q + r * KX_PLANE_BYTES;
        if (work->dtype == KX_I8) {
            kx_driver_quantise_group(kernels, dim, q, to, block->q_plane, &block->q_scales[r]);
            block->q_scales[r] *= work->attention->scale / (float)kx_hadamard_size(dim);
        } else {
            kernels->scale(dim, q, work->attention->scale, block->row);
            kernels->narrow(dim, block->row, (uint16_t *)(void *)to, block->q_plane);
        }
        block->maximum[r] = -INFINITY;
        block->total[r] = 0;
    }
}

/* a (rows, planes) x b (planes, blocks) -> c, in bf16. */
static void multiply_bf16(const kx_kernels *kernels, int64_t rows, int64_t blocks, int64_t planes,
                          const uint8_t *a, int64_t a_plane, const uint8_t *b, bool add, float *c,
                          int64_t c_stride)
{
    kx_tile_limit limit = kx_driver_tile_most(kernels, kernels->tile_bf16_limit, rows, blocks);
    int64_t b_block = planes * BLOCK_PLANE;
    for (int64_t j = 0; j < blocks; j += limit.blocks)
        for (int64_t r = 0; r < rows; r += limit.rows)
            kernels->tile_bf16(kx_min(limit.rows, rows - r), kx_min(limit.blocks, blocks - j), planes,
                               (const uint16_t *)(const void *)(a + r * KX_PLANE_BYTES), a_plane,
                               (const uint16_t *)(const void *)(b + j * b_block), b_block, add,
                               c + r * c_stride + j * KX_PACKED_COLUMNS, c_stride);
}

/* Packed columns of int8. */
typedef struct columns_i8 {
    const uint8_t *data;
    const float *scales;
    const int32_t *sums;
} columns_i8;

/* a (rows, planes) with a scale for each row x b (planes, blocks) -> c, in int8. */
static void multiply_i8(const kx_kernels *kernels, int64_t rows, int64_t blocks, int64_t planes,
                        const uint8_t *a, int64_t a_plane, const float *a_scales, columns_i8 b, bool add,
                        float *c, int64_t c_stride)
{
    kx_tile_limit limit = kx_driver_tile_most(kernels, kernels->tile_i8_limit, rows, blocks);
    int64_t b_block = planes * BLOCK_PLANE;
    for (int64_t j = 0; j < blocks; j += limit.blocks)
        for (int64_t r = 0; r < rows; r += limit.rows)
            kernels->tile_i8(kx_min(limit.rows, rows - r), kx_min(limit.blocks, blocks - j), planes,
                             a + r * KX_PLANE_BYTES, a_plane, (const int8_t *)b.data + j * b_block, b_block,
                             a_scales + r, b.scales + j * KX_PACKED_COLUMNS, b.sums + j * KX_PACKED_COLUMNS,
                             add, c + r * c_stride + j * KX_PACKED_COLUMNS, c_stride);
}

/* The scores of a stripe's rows with the keys first.. of the head. */
static void score(const attention_work *work, const attention_block *block, int64_t row, int64_t rows,
                  int64_t first, int64_t count)
{
    const kx_kernels *kernels = work->kernels;
    int64_t blocks = kx_ceil_div(count, KX_PACKED_COLUMNS), bytes = work->planes * KX_PLANE_BYTES;
    const uint8_t *a = block->q + row * KX_PLANE_BYTES;
    const uint8_t *b = work->keys + block->head * work->key_bytes + first * bytes;
    if (work->dtype == KX_BF16) {
        multiply_bf16(kernels, rows, blocks, work->planes, a, block->q_plane, b, false, block->scores,
                      SCORES_STRIDE);
        return;
    }
    int64_t entry = block->head * work->padded_keys + first;
    columns_i8 keys = {b, work->key_scales + entry, work->key_sums + entry};
    multiply_i8(kernels, rows, blocks, work->planes, a, block->q_plane, block->q_scales + row, keys, false,
                block->scores, SCORES_STRIDE);
}

/* The softmax of a stripe's rows. */
static kx_soften_rows rows_of(const attention_block *block, int64_t row)
{
    return (kx_soften_rows){.max = block->maximum + row,
                            .sum = block->total + row,
                            .factor = block->factors,
                            .share = block->shares,
                            .scale = block->weight_scales};
}

/* The scores of a stripe -> weights in bf16, and with them times the block's values to the sums. */
static void add_values_bf16(const attention_work *work, const attention_block *block, int64_t row,
                            int64_t rows, int64_t first, int64_t count)
{
    const kx_kernels *kernels = work->kernels;
    int64_t width = work->width;
    float *sums = block->sums + row * width;
    kx_soften_rows state = rows_of(block, row);
    kernels->soften(rows, count, block->scores, SCORES_STRIDE, &state, (uint16_t *)(void *)block->weights,
                    block->weights_plane);
    for (int64_t r = 0; r < rows && first > 0; r++)
        if (state.factor[r] != 1.0f)
            kernels->scale(width, sums + r * width, state.factor[r], sums + r * width);
    multiply_bf16(kernels, rows, width / KX_PACKED_COLUMNS, kx_ceil_div(count, work->plane_keys),
                  block->weights, block->weights_plane, values_at(work, block->head, first / KEYS), first > 0,
                  sums, width);
}

/* The same in int8. */
static void add_values_i8(const attention_work *work, const attention_block *block, int64_t row, int64_t rows,
                          int64_t first, int64_t count)
{
    const kx_kernels *kernels = work->kernels;
    int64_t width = work->width, entry = (block->head * work->key_blocks + first / KEYS) * width;
    float *sums = block->sums + row * width;
    const float *totals = work->value_totals + entry;
    kx_soften_rows state = rows_of(block, row);
    kernels->soften_i8(rows, count, block->scores, SCORES_STRIDE, &state, block->weights,
                       block->weights_plane);
    for (int64_t r = 0; r < rows; r++) {
        if (first > 0)
            kernels->blend(width, totals, state.share[r], state.factor[r], sums + r * width);
        else
            kernels->scale(width, totals, state.share[r], sums + r * width);
    }
    columns_i8 values = {values_at(work, block->head, first / KEYS), work->value_scales + entry,
                         work->value_sums + entry};
    multiply_i8(kernels, rows, width / KX_PACKED_COLUMNS, kx_ceil_div(count, work->plane_keys),
                block->weights, block->weights_plane, state.scale, values, true, sums, width);
}

/* Some rows, up to a stripe, with one block of keys. */
static void add_keys(const attention_work *work, const attention_block *block, int64_t row, int64_t rows,
                     int64_t first)
{
    int64_t count = kx_min(KEYS, work->k->rows - first);
    score(work, block, row, rows, first, count);
    if (work->dtype == KX_I8)
        add_values_i8(work, block, row, rows, first, count);
    else
        add_values_bf16(work, block, row, rows, first, count);
}

/* The rows of one head to where they belong. */
static void finish_head(const attention_work *work, const attention_block *block, int64_t within)
{
    int64_t dim = work->attention->head_dim, col = (work->first_head + block->head) * dim;
    bool operand = kx_tensor_is_operand(work->out);
    int64_t stride = operand ? work->unit * dim : work->out->stride;
    float *to =
        operand ? block->result + within * dim : kx_tensor_f32(work->out) + block->first * stride + col;
    for (int64_t r = 0; r < block->rows; r++) {
        if (!operand) fetch_ahead(work->out, block->first + r, col, dim);
        work->kernels->scale(dim, block->sums + r * work->width, 1.0f / block->total[r], to + r * stride);
    }
}

/* False: the op was cancelled. */
static bool attend_by_stripes(const attention_work *work, const attention_block *block, kx_guard *guard,
                              size_t worker)
{
    for (int64_t first = 0; first < work->k->rows; first += KEYS) {
        if (kx_guard_stopped(guard, worker)) return false;
        for (int64_t row = 0; row < block->rows; row += work->stripe)
            add_keys(work, block, row, kx_min(work->stripe, block->rows - row), first);
    }
    return true;
}

/* ---- With a set that attends --------------------------------------------------------------------------- */

/* What it finds when it begins: sums of zero, and zeros as queries up to a whole stripe. */
static void begin_attending(const attention_work *work, const attention_block *block)
{
    int64_t rows = kx_round_up(block->rows, work->stripe);
    memset(block->sums, 0, (size_t)(rows * work->width) * sizeof block->sums[0]);
    memset(block->parts, 0, (size_t)(rows * KX_PACKED_COLUMNS) * sizeof block->parts[0]);
    for (int64_t p = 0; p < work->planes; p++)
        memset(block->q + p * block->q_plane + block->rows * KX_PLANE_BYTES, 0,
               (size_t)((rows - block->rows) * KX_PLANE_BYTES));
}

/* The stripe at `row` again, with running maxima; but of its rows only those whose total was too large are
 * kept so. */
static void attend_again(const attention_work *work, const attention_block *block, int64_t row)
{
    int64_t rows = kx_min(work->stripe, block->rows - row), width = work->width;
    float *sums = block->sums + row * width, *total = block->total + row;
    float *kept_sums = block->spare, *kept_total = block->spare + work->stripe * width;
    memcpy(kept_sums, sums, (size_t)(rows * width) * sizeof sums[0]);
    memcpy(kept_total, total, (size_t)rows * sizeof total[0]);
    for (int64_t r = 0; r < rows; r++) {
        block->maximum[row + r] = -INFINITY;
        total[r] = 0;
    }
    for (int64_t first = 0; first < work->k->rows; first += KEYS) add_keys(work, block, row, rows, first);
    for (int64_t r = 0; r < rows; r++) {
        if (!(kept_total[r] < KX_ATTEND_SUM_MOST)) continue;
        memcpy(sums + r * width, kept_sums + r * width, (size_t)width * sizeof sums[0]);
        total[r] = kept_total[r];
    }
}

static void finish_attending(const attention_work *work, const attention_block *block)
{
    for (int64_t row = 0; row < block->rows; row += work->stripe) {
        bool right = true;
        for (int64_t r = row; r < kx_min(row + work->stripe, block->rows); r++) {
            const float *parts = block->parts + r * KX_PACKED_COLUMNS;
            float total = 0;
            for (int64_t i = 0; i < KX_PACKED_COLUMNS; i++) total += parts[i];
            block->total[r] = total;
            right = right && total < KX_ATTEND_SUM_MOST; /* false for a NaN */
        }
        if (!right) attend_again(work, block, row);
    }
}

/* False: the op was cancelled. */
static bool attend_at_once(const attention_work *work, const attention_block *block, kx_guard *guard,
                           size_t worker)
{
    begin_attending(work, block);
    for (int64_t first = 0; first < work->k->rows; first += KEYS) {
        if (kx_guard_stopped(guard, worker)) return false;
        kx_attend call = {.rows = kx_round_up(block->rows, work->stripe),
                          .count = kx_min(KEYS, work->k->rows - first),
                          .planes = work->planes,
                          .blocks = work->width / KX_PACKED_COLUMNS,
                          .q = block->q,
                          .k = work->keys + block->head * work->key_bytes +
                               first * work->planes * KX_PLANE_BYTES,
                          .v = values_at(work, block->head, first / KEYS),
                          .q_plane = block->q_plane,
                          .reference = block->maximum,
                          .parts = block->parts,
                          .sums = block->sums,
                          .weights = block->weights,
                          .weights_plane = block->weights_plane,
                          .scratch = block->tiles,
                          .first = first == 0};
        int64_t next = first + KEYS, next_count = kx_min(KEYS, work->k->rows - next);
        if (next_count > 0) {
            call.next_k = call.k + KEYS * work->planes * KX_PLANE_BYTES;
            call.next_v = values_at(work, block->head, next / KEYS);
            call.next_bytes = next_count * work->width * 2;
        }
        work->kernels->attend(&call);
    }
    finish_attending(work, block);
    return true;
}

/* ---- Chunks -------------------------------------------------------------------------------------------- */

static void attention_chunk(void *arguments, size_t chunk, size_t worker)
{
    attention_work *work = arguments;
    attention_block block;
    lay_out(work, work->scratch + (int64_t)worker * work->piece, &block);
    block.first = (int64_t)chunk % work->row_chunks * work->rows;
    block.rows = kx_min(work->rows, work->q->rows - block.first);
    int64_t head = (int64_t)chunk / work->row_chunks * work->unit,
            heads = kx_min(work->unit, work->heads - head);
    for (int64_t h = 0; h < heads; h++) {
        block.head = head + h;
        convert_queries(work, &block);
        kx_driver_enter_tiles(work->kernels);
        bool done = attends(work) ? attend_at_once(work, &block, &work->guard, worker)
                                  : attend_by_stripes(work, &block, &work->guard, worker);
        kx_driver_leave_tiles(work->kernels);
        if (!done) return;
        finish_head(work, &block, h);
    }
    if (!kx_tensor_is_operand(work->out)) return;
    int64_t dim = work->attention->head_dim, stride = work->unit * dim;
    for (int64_t r = 0; r < block.rows; r++)
        kx_driver_store_operand(work->kernels, block.result + r * stride, heads * dim, work->out,
                                block.first + r, (work->first_head + head) * dim);
}

/* ---- The op -------------------------------------------------------------------------------------------- */

/* Heads whose columns fill whole groups of the operand `out`; all, if no fewer do. */
static int64_t heads_together(const kx_attention *attention, const kx_tensor *out)
{
    if (!kx_tensor_is_operand(out)) return 1;
    int64_t values = kx_group_values(out->dtype), heads = 1;
    while (heads < attention->heads && heads * attention->head_dim % values != 0) heads++;
    return heads;
}

/* Few rows where there would be too few chunks, then no more heads in a pass than keep the threads busy. */
static void choose_chunks(attention_work *work, int64_t threads)
{
    int64_t wanted = threads > 1 ? CHUNKS_PER_THREAD * threads : 1;
    int64_t most = attends(work) ? ROWS_ATTENDED : ROWS_MOST;
    int64_t units = kx_ceil_div(work->attention->heads, work->unit);
    while (most / 2 >= ROWS_LEAST && units * kx_ceil_div(work->q->rows, most) < wanted) most /= 2;
    work->rows = kx_even_part(work->q->rows, most, work->stripe);
    work->row_chunks = kx_ceil_div(work->q->rows, work->rows);
    work->heads = kx_min(units, kx_ceil_div(wanted, work->row_chunks)) * work->unit;
}

static void take_memory(kx_ops *ops, attention_work *work)
{
    int64_t keys = work->k->rows, cols = work->k->cols;
    work->padded_keys = kx_packed_rows(keys);
    work->key_bytes = work->padded_keys * work->planes * KX_PLANE_BYTES;
    work->value_bytes = kx_ceil_div(keys, work->plane_keys) * BLOCK_PLANE * (work->width / KX_PACKED_COLUMNS);
    work->keys = kx_driver_take(ops, "attention: packed keys", work->heads * work->key_bytes);
    work->values = kx_driver_take(ops, "attention: packed values", work->heads * work->value_bytes);
    if (work->dtype == KX_I8) {
        int64_t entries = work->heads * work->padded_keys;
        work->key_scales = kx_driver_take(ops, "attention: scales of keys", entries * (int64_t)sizeof(float));
        work->key_sums = kx_driver_take(ops, "attention: sums of keys", entries * (int64_t)sizeof(int32_t));
        work->minus_mean = kx_driver_take(ops, "attention: mean of keys", cols * (int64_t)sizeof(float));
        entries = work->heads * work->key_blocks * work->width;
        work->value_scales =
            kx_driver_take(ops, "attention: scales of values", entries * (int64_t)sizeof(float));
        work->value_totals =
            kx_driver_take(ops, "attention: totals of values", entries * (int64_t)sizeof(float));
        work->value_sums =
            kx_driver_take(ops, "attention: sums of values", entries * (int64_t)sizeof(int32_t));
    }
    attention_block block;
    work->piece = kx_driver_piece(kx_max(lay_out(work, NULL, &block), pack_scratch_bytes(work)));
    work->scratch = kx_driver_take_workers(ops, "attention: blocks of the workers", work->piece);
}

kx_dtype kx_driver_attention_dtype(const kx_ops *ops, const kx_attention *attention)
{
    bool plain = attention->causal || attention->distance_bias != NULL || attention->head_dim > BF16_DIM_MOST;
    if (plain || attention->exact) return KX_F32;
    kx_dtype dtype = kx_packed_dtype(ops->precision);
    bool bf16 = attention->head_dim > INT8_DIM_MOST || ops->kernels->attend != NULL;
    return dtype == KX_I8 && bf16 ? KX_BF16 : dtype;
}

void kx_driver_packed_attention(kx_ops *ops, const kx_attention *attention, const kx_tensor *q,
                                const kx_tensor *k, const kx_tensor *v, const kx_tensor *out)
{
    assert(kx_driver_attention_dtype(ops, attention) != KX_F32);
    attention_work work = {.guard = {.ops = ops},
                           .kernels = ops->kernels,
                           .attention = attention,
                           .q = q,
                           .k = k,
                           .v = v,
                           .out = out,
                           .dtype = kx_driver_attention_dtype(ops, attention),
                           .width = kx_round_up(attention->head_dim, KX_PACKED_COLUMNS),
                           .key_blocks = kx_ceil_div(k->rows, KEYS),
                           .unit = heads_together(attention, out)};
    work.planes = kx_planes_of(work.dtype, attention->head_dim);
    work.plane_keys = kx_plane_values(work.dtype);
    work.stripe =
        kx_max(STRIPE, kx_max(ops->kernels->tile_i8_limit.rows, ops->kernels->tile_bf16_limit.rows));
    choose_chunks(&work, (int64_t)kx_pool_threads(ops->pool));
    kx_scratch_mark mark = kx_ops_mark(ops);
    take_memory(ops, &work);
    int64_t pass = work.heads;
    if (!kx_ops_idle(ops) && work.dtype == KX_I8)
        kx_guard_run(&work.guard, kx_ceil_div(k->cols, MEAN_COLS), mean_chunk, &work);
    for (work.first_head = 0; work.first_head < attention->heads; work.first_head += pass) {
        work.heads = kx_min(pass, attention->heads - work.first_head);
        if (kx_ops_idle(ops)) break;
        kx_guard_run(&work.guard, work.heads * work.key_blocks, pack_chunk, &work);
        if (kx_driver_failed(ops)) break;
        kx_guard_run(&work.guard, kx_ceil_div(work.heads, work.unit) * work.row_chunks, attention_chunk,
                     &work);
    }
    kx_ops_release(ops, mark);
}

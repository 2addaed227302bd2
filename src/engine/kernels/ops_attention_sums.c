/* Attention of the autoencoder on sets that sum products of bf16 on tiles (kernels.h, sum_bf16), in
 * precisions below f32. Operands are rounded to bf16 where the attention is `rounded`. Else each is the sum
 * of two values of bf16, the rounded one and what rounding left, rounded, and a product is the sum of three
 * (the fourth, of what was left on both sides, is below what is lost anyway): results stay near those of f32.
 *
 * Streaming as in ops_attention.c. All keys and values are packed once, the values by blocks of KEYS:
 *
 *     keys     [head][keys/16][plane][part][16][64 bytes]                             planes of head_dim
 *     values   [head][block of KEYS keys][head_dim/16][plane][part][16][64 bytes]     planes of 32 keys
 *
 * A chunk is some query rows of a head, which stay in L2 with one block of keys:
 *
 *     worker: queries [part][plane][rows][64 bytes] | weights, the same of KEYS | scores [rows][KEYS]
 *             | sums [rows][width] | maximum [rows] | total [rows] | a row      (width: head_dim to blocks)
 *
 * A row's result depends on the order of the key blocks alone. `out` may be `q`: a chunk has converted its
 * rows of q before it writes the same rows and columns of out, and no other chunk reads those.
 */
#include "engine/kernels/driver.h"

#include <math.h>

enum {
    KEYS = 128, /* of a block */
    ROWS_MOST = 256,
    ROWS_LEAST = KX_SUM_ROWS,
    CHUNKS_PER_THREAD = 4,
    LEAST_DIM = 32,
    PLANE_VALUES = KX_PLANE_BYTES / 2,
    KEY_PLANES = KEYS / PLANE_VALUES,
    BLOCK_PLANE = KX_PACKED_COLUMNS * KX_PLANE_BYTES,
};

typedef struct attention_work {
    kx_guard guard;
    const kx_kernels *kernels;
    const kx_attention *attention;
    const kx_tensor *q, *k, *v, *out;
    int64_t parts;  /* of an operand: 1 or 2 */
    int64_t planes; /* of a part of a query or a key */
    int64_t width;  /* head_dim rounded up to blocks of 16 */
    int64_t key_blocks;
    int64_t rows, row_chunks;
    uint8_t *keys, *values;
    int64_t key_bytes, value_bytes; /* of a block of KEYS */
    uint8_t *scratch;
    int64_t piece;
} attention_work;

/* A chunk: its place, and the parts of the worker's scratch. */
typedef struct attention_block {
    int64_t head, first, rows; /* rows: of the chunk */
    int64_t padded;            /* a multiple of KX_SUM_ROWS */
    uint8_t *q, *weights;
    int64_t plane; /* bytes, of queries and weights */
    float *scores, *sums, *maximum, *total, *row;
} attention_block;

/* x (n) -> its planes, `plane` bytes apart, the second part `part` bytes behind the first. */
static void store_parts(const attention_work *work, int64_t n, const float *x, uint8_t *to, int64_t plane,
                        int64_t part)
{
    work->kernels->affine_bf16(n, x, NULL, NULL, false, (uint16_t *)(void *)to,
                               work->parts > 1 ? (uint16_t *)(void *)(to + part) : NULL, plane);
}

/* ---- Packing ------------------------------------------------------------------------------------------- */

/* Sixteen keys from `first` -> their block. columns: room for as much again. */
static void pack_keys(const attention_work *work, int64_t head, int64_t first, uint8_t *columns, uint8_t *to)
{
    int64_t dim = work->attention->head_dim, plane = work->parts * KX_PLANE_BYTES;
    int64_t bytes = work->planes * plane;
    for (int64_t n = 0; n < KX_PACKED_COLUMNS; n++) {
        if (first + n < work->k->rows)
            store_parts(work, dim, kx_tensor_f32(work->k) + (first + n) * work->k->stride + head * dim,
                        columns + n * bytes, plane, KX_PLANE_BYTES);
        else
            memset(columns + n * bytes, 0, (size_t)bytes);
    }
    kx_driver_join_columns(work->kernels, work->parts * work->planes, columns, to);
}

/* Sixteen columns of the values of a block of keys -> their block. wide: these columns, keys side by side. */
static void pack_values(const attention_work *work, int64_t head, int64_t key, int64_t col, float *wide,
                        uint8_t *columns, uint8_t *to)
{
    int64_t dim = work->attention->head_dim, lanes = work->kernels->lanes;
    int64_t keys = kx_min(KEYS, work->v->rows - key), cols = kx_min(KX_PACKED_COLUMNS, dim - col);
    int64_t plane = work->parts * KX_PLANE_BYTES, bytes = KEY_PLANES * plane;
    const float *v = kx_tensor_f32(work->v) + key * work->v->stride + head * dim + col;
    memset(wide, 0, (size_t)(KX_PACKED_COLUMNS * KEYS) * sizeof wide[0]);
    for (int64_t i = 0; i < keys; i += lanes)
        work->kernels->transpose(kx_min(lanes, keys - i), cols, v + i * work->v->stride, work->v->stride,
                                 wide + i, KEYS);
    for (int64_t n = 0; n < KX_PACKED_COLUMNS; n++)
        store_parts(work, KEYS, wide + n * KEYS, columns + n * bytes, plane, KX_PLANE_BYTES);
    kx_driver_join_columns(work->kernels, work->parts * KEY_PLANES, columns, to);
}

static int64_t pack_bytes(const attention_work *work)
{
    int64_t planes = work->parts * kx_max(work->planes, KEY_PLANES);
    return planes * BLOCK_PLANE + KX_PACKED_COLUMNS * KEYS * (int64_t)sizeof(float);
}

/* A block of KEYS keys of a head, and its values. */
static void pack_chunk(void *arguments, size_t chunk, size_t worker)
{
    attention_work *work = arguments;
    if (kx_guard_stopped(&work->guard, worker)) return;
    int64_t head = (int64_t)chunk / work->key_blocks, first = (int64_t)chunk % work->key_blocks * KEYS;
    float *wide = (float *)(void *)(work->scratch + (int64_t)worker * work->piece);
    uint8_t *columns = (uint8_t *)(wide + KX_PACKED_COLUMNS * KEYS);
    uint8_t *keys = work->keys + (int64_t)chunk * work->key_bytes;
    for (int64_t n = 0; n < KEYS; n += KX_PACKED_COLUMNS, keys += work->parts * work->planes * BLOCK_PLANE)
        pack_keys(work, head, first + n, columns, keys);
    uint8_t *values = work->values + (int64_t)chunk * work->value_bytes;
    for (int64_t col = 0; col < work->width;
         col += KX_PACKED_COLUMNS, values += work->parts * KEY_PLANES * BLOCK_PLANE)
        pack_values(work, head, first, col, wide, columns, values);
}

/* ---- Attention ----------------------------------------------------------------------------------------- */

/* Cuts `scratch` into the parts of a chunk, and returns how long they are together. */
static int64_t lay_out(const attention_work *work, uint8_t *scratch, attention_block *block)
{
    int64_t rows = work->rows, floats = sizeof(float);
    block->plane = (rows | 1) * KX_PLANE_BYTES;
    int64_t sizes[] = {work->parts * work->planes * block->plane,
                       work->parts * KEY_PLANES * block->plane,
                       rows * KEYS * floats,
                       rows * work->width * floats,
                       rows * floats,
                       rows * floats,
                       work->width * floats};
    void *parts[sizeof sizes / sizeof sizes[0]];
    int64_t bytes = kx_driver_cut(scratch, sizeof sizes / sizeof sizes[0], sizes, parts);
    block->q = parts[0];
    block->weights = parts[1];
    block->scores = parts[2];
    block->sums = parts[3];
    block->maximum = parts[4];
    block->total = parts[5];
    block->row = parts[6];
    return bytes;
}

/* The chunk's queries, scaled, and zeros below them. */
static void convert_queries(const attention_work *work, const attention_block *block)
{
    int64_t dim = work->attention->head_dim;
    const float *q = kx_tensor_f32(work->q) + block->first * work->q->stride + block->head * dim;
    for (int64_t r = 0; r < block->padded; r++, q += work->q->stride) {
        if (r < block->rows)
            work->kernels->scale(dim, q, work->attention->scale, block->row);
        else
            memset(block->row, 0, (size_t)dim * sizeof block->row[0]);
        store_parts(work, dim, block->row, block->q + r * KX_PLANE_BYTES, block->plane,
                    work->planes * block->plane);
        block->maximum[r] = -INFINITY;
        block->total[r] = 0;
    }
}

/* a (rows, planes) b (planes, cols) -> c (rows, cols): both parts of a with the first of b, and the first of
 * a with the second of b; or the only ones. */
static void multiply(const attention_work *work, const attention_block *block, const uint8_t *a,
                     const uint8_t *b, int64_t planes, int64_t cols, bool add, float *c)
{
    const uint8_t *operands[2] = {a, a};
    kx_tile_terms terms = {.terms = work->parts,
                           .planes = planes,
                           .pairs = work->parts - 1,
                           .a = operands,
                           .a_plane = block->plane,
                           .a_part = planes * block->plane,
                           .b = b,
                           .b_block = work->parts * planes * BLOCK_PLANE};
    work->kernels->sum_bf16(block->padded, cols / KX_PACKED_COLUMNS, &terms, add, c, cols);
}

/* Scores of `count` keys -> weights, and the sums, if there are any, to the new maximum. */
static void soften(const attention_work *work, const attention_block *block, int64_t count, bool has_sums)
{
    const kx_kernels *kernels = work->kernels;
    for (int64_t r = 0; r < block->padded; r++) {
        float *scores = block->scores + r * KEYS, *sums = block->sums + r * work->width;
        float factor = kernels->softmax(count, scores, &block->maximum[r], &block->total[r]);
        if (has_sums && factor != 1.0f) kernels->scale(work->width, sums, factor, sums);
        memset(scores + count, 0, (size_t)(KEYS - count) * sizeof scores[0]);
        store_parts(work, KEYS, scores, block->weights + r * KX_PLANE_BYTES, block->plane,
                    KEY_PLANES * block->plane);
    }
}

static void finish_chunk(const attention_work *work, const attention_block *block)
{
    int64_t dim = work->attention->head_dim, stride = work->out->stride;
    float *out = kx_tensor_f32(work->out) + block->first * stride + block->head * dim;
    for (int64_t r = 0; r < block->rows; r++)
        work->kernels->scale(dim, block->sums + r * work->width, 1.0f / block->total[r], out + r * stride);
}

static void attention_chunk(void *arguments, size_t chunk, size_t worker)
{
    attention_work *work = arguments;
    if (kx_guard_stopped(&work->guard, worker)) return;
    attention_block block;
    lay_out(work, work->scratch + (int64_t)worker * work->piece, &block);
    block.head = (int64_t)chunk / work->row_chunks;
    block.first = (int64_t)chunk % work->row_chunks * work->rows;
    block.rows = kx_min(work->rows, work->q->rows - block.first);
    block.padded = kx_round_up(block.rows, KX_SUM_ROWS);
    convert_queries(work, &block);
    bool done = true;
    kx_driver_enter_tiles(work->kernels);
    for (int64_t i = 0; i < work->key_blocks && done; i++) {
        int64_t at = block.head * work->key_blocks + i;
        multiply(work, &block, block.q, work->keys + at * work->key_bytes, work->planes, KEYS, false,
                 block.scores);
        soften(work, &block, kx_min(KEYS, work->k->rows - i * KEYS), i > 0);
        multiply(work, &block, block.weights, work->values + at * work->value_bytes, KEY_PLANES, work->width,
                 i > 0, block.sums);
        done = !kx_guard_stopped(&work->guard, worker);
    }
    kx_driver_leave_tiles(work->kernels);
    if (done) finish_chunk(work, &block);
}

/* ---- The op -------------------------------------------------------------------------------------------- */

bool kx_driver_attention_sums(const kx_ops *ops, const kx_attention *attention)
{
    return kx_ops_narrow(ops) && attention->exact && !attention->causal && attention->distance_bias == NULL &&
           ops->kernels->sum_bf16 != NULL && attention->head_dim >= LEAST_DIM;
}

static void choose_rows(attention_work *work, int64_t threads)
{
    int64_t wanted = threads > 1 ? CHUNKS_PER_THREAD * threads : 1, most = ROWS_MOST;
    while (most / 2 >= ROWS_LEAST && work->attention->heads * kx_ceil_div(work->q->rows, most) < wanted)
        most /= 2;
    work->rows = kx_even_part(work->q->rows, most, KX_SUM_ROWS);
    work->row_chunks = kx_ceil_div(work->q->rows, work->rows);
}

void kx_driver_summed_attention(kx_ops *ops, const kx_attention *attention, const kx_tensor *q,
                                const kx_tensor *k, const kx_tensor *v, const kx_tensor *out)
{
    attention_work work = {.guard = {.ops = ops},
                           .kernels = ops->kernels,
                           .attention = attention,
                           .q = q,
                           .k = k,
                           .v = v,
                           .out = out,
                           .parts = attention->rounded ? 1 : 2,
                           .planes = kx_planes_of(KX_BF16, attention->head_dim),
                           .width = kx_round_up(attention->head_dim, KX_PACKED_COLUMNS),
                           .key_blocks = kx_ceil_div(k->rows, KEYS)};
    choose_rows(&work, (int64_t)kx_pool_threads(ops->pool));
    work.key_bytes = work.parts * KEYS * work.planes * KX_PLANE_BYTES;
    work.value_bytes = work.parts * work.width * KEY_PLANES * KX_PLANE_BYTES;
    int64_t blocks = attention->heads * work.key_blocks;
    attention_block block;
    kx_scratch_mark mark = kx_ops_mark(ops);
    work.keys = kx_driver_take(ops, "attention: packed keys", blocks * work.key_bytes);
    work.values = kx_driver_take(ops, "attention: packed values", blocks * work.value_bytes);
    work.piece = kx_driver_piece(kx_max(pack_bytes(&work), lay_out(&work, NULL, &block)));
    work.scratch = kx_driver_take_workers(ops, "attention: blocks of the workers", work.piece);
    if (!kx_ops_idle(ops)) {
        kx_guard_run(&work.guard, blocks, pack_chunk, &work);
        if (!kx_driver_failed(ops))
            kx_guard_run(&work.guard, attention->heads * work.row_chunks, attention_chunk, &work);
    }
    kx_ops_release(ops, mark);
}

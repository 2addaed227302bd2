/* Attention with a streaming softmax (Milakov and Gimelshein 2018; Dao et al. 2022). (In lower precision:
 * ops_attention_packed.c, and of the autoencoder ops_attention_sums.c.)
 *
 * A chunk is one head and a block of query rows. It walks over the keys in blocks: packs the block's keys and
 * values into panels that stay in L2, computes the scores, turns them into exp(score - running maximum),
 * rescales what was summed so far where the maximum moved, and adds P V. A row's result depends on the order
 * of the key blocks alone, so the query rows may be cut as the threads suggest.
 *
 *     worker: key panels [dim][keys] | value panels [keys][width] | scores [rows][keys] | out [rows][width]
 *             | q [rows][dim] scaled | maximum [rows] | sum [rows]      (width: dim rounded up to lanes)
 *
 * `out` may be `q`: a chunk has copied its rows of q before it writes the same rows and columns of out, and
 * no other chunk reads those.
 */
#include "engine/kernels/driver.h"

#include <math.h>

enum {
    QUERY_ELEMENTS = 128 * 1024, /* of a block: QUERY_ROWS_MOST rows up to dim 256 */
    KEY_ELEMENTS = 24 * 1024,    /* 192 keys at dim 128 */
    QUERY_ROWS_MOST = 512,
    QUERY_ROWS_LEAST = 32,
    KEYS_MOST = 384,
    CHUNKS_PER_THREAD = 4,
};

typedef struct attention_work {
    kx_guard guard;
    const kx_kernels *kernels;
    const kx_attention *attention;
    const kx_tensor *q, *k, *v, *out;
    int64_t rows, keys; /* of a block */
    int64_t width;
    int64_t row_chunks;
    uint8_t *scratch;
    int64_t piece;
} attention_work;

/* One chunk: its place, and its part of the worker's scratch. */
typedef struct attention_block {
    int64_t head, first, rows;
    float *q, *out, *scores, *key_panels, *value_panels, *maximum, *sum;
} attention_block;

static int64_t scratch_floats(const attention_work *work)
{
    int64_t dim = work->attention->head_dim;
    return work->rows * (dim + work->width + work->keys + 2) + work->keys * (dim + work->width);
}

static void choose_blocks(attention_work *work, int64_t threads)
{
    const kx_kernels *kernels = work->kernels;
    int64_t dim = work->attention->head_dim, step = kernels->tile_rows;
    int64_t most = kx_max(QUERY_ROWS_LEAST, kx_min(QUERY_ROWS_MOST, QUERY_ELEMENTS / dim));
    int64_t wanted = threads > 1 ? CHUNKS_PER_THREAD * threads : 1;
    while (most / 2 >= QUERY_ROWS_LEAST && work->attention->heads * kx_ceil_div(work->q->rows, most) < wanted)
        most /= 2;
    work->rows = kx_even_part(work->q->rows, most, step);
    work->row_chunks = kx_ceil_div(work->q->rows, work->rows);
    int64_t keys = kx_max(1, kx_min(KEYS_MOST, KEY_ELEMENTS / dim) / kernels->tile_cols) * kernels->tile_cols;
    work->keys = kx_min(keys, kx_round_up(work->k->rows, kernels->lanes));
    work->width = kx_round_up(dim, kernels->lanes);
}

static attention_block open_block(const attention_work *work, size_t chunk, size_t worker)
{
    int64_t dim = work->attention->head_dim;
    attention_block block = {.head = (int64_t)chunk / work->row_chunks,
                             .first = (int64_t)chunk % work->row_chunks * work->rows};
    block.rows = kx_min(work->rows, work->q->rows - block.first);
    block.key_panels = (float *)(void *)(work->scratch + (int64_t)worker * work->piece);
    block.value_panels = block.key_panels + work->keys * dim;
    block.scores = block.value_panels + work->keys * work->width;
    block.out = block.scores + work->rows * work->keys;
    block.q = block.out + work->rows * work->width;
    block.maximum = block.q + work->rows * dim;
    block.sum = block.maximum + work->rows;
    const float *q = kx_tensor_f32(work->q) + block.first * work->q->stride + block.head * dim;
    for (int64_t r = 0; r < block.rows; r++) {
        work->kernels->scale(dim, q + r * work->q->stride, work->attention->scale, block.q + r * dim);
        block.maximum[r] = -INFINITY;
        block.sum[r] = 0;
    }
    return block;
}

/* Keys first..first+count-1 as panels [count/w][dim][w] for Q K^T, values as panels [dim/w][count][w] for P
 * V. */
static void pack_keys_and_values(const attention_work *work, const attention_block *block, int64_t first,
                                 int64_t count)
{
    const kx_kernels *kernels = work->kernels;
    int64_t dim = work->attention->head_dim;
    const float *k = kx_tensor_f32(work->k) + first * work->k->stride + block->head * dim;
    const float *v = kx_tensor_f32(work->v) + first * work->v->stride + block->head * dim;
    float *panel = block->key_panels;
    for (int64_t j = 0; j < count;) {
        int64_t width = kx_panel_width(kernels, j, count);
        for (int64_t lane = 0; lane < width; lane += kernels->lanes)
            kernels->transpose(kx_max(0, kx_min(kernels->lanes, count - j - lane)), dim,
                               k + (j + lane) * work->k->stride, work->k->stride, panel + lane, width);
        panel += dim * width;
        j += width;
    }
    panel = block->value_panels;
    for (int64_t c = 0; c < dim;) {
        int64_t width = kx_panel_width(kernels, c, dim), columns = kx_min(width, dim - c);
        for (int64_t j = 0; j < count; j++) {
            memcpy(panel + j * width, v + j * work->v->stride + c, (size_t)columns * sizeof(float));
            for (int64_t pad = columns; pad < width; pad++) panel[j * width + pad] = 0;
        }
        panel += count * width;
        c += width;
    }
}

/* left (rows, depth) x panels (depth, cols) -> c (rows, cols rounded up). */
static void multiply_panels(const kx_kernels *kernels, int64_t rows, int64_t cols, int64_t depth,
                            const float *left, int64_t left_stride, const float *panels, bool add, float *c,
                            int64_t c_stride)
{
    for (int64_t j = 0; j < cols;) {
        int64_t width = kx_panel_width(kernels, j, cols);
        for (int64_t r = 0; r < rows; r += kernels->tile_rows)
            kernels->tile(kx_min(kernels->tile_rows, rows - r), width, depth, left + r * left_stride,
                          left_stride, panels, add, c + r * c_stride + j, c_stride);
        panels += depth * width;
        j += width;
    }
}

/* Scores of row r -> exp(score - maximum), and the row of `out` to the new maximum. */
static void soften_row(const attention_work *work, const attention_block *block, int64_t r, int64_t first,
                       int64_t count)
{
    const kx_attention *attention = work->attention;
    float *scores = block->scores + r * work->keys;
    int64_t query = block->first + r, keys = work->k->rows, seen = count;
    if (attention->distance_bias != NULL) {
        const float *bias =
            attention->distance_bias + block->head * (2 * keys - 1) + first - query + keys - 1;
        work->kernels->epilogue(KX_EPILOGUE_ADD, count, bias, NULL, NULL, scores);
    }
    if (attention->causal) {
        seen = kx_max(0, kx_min(count, query + 1 - first));
        memset(scores + seen, 0, (size_t)(count - seen) * sizeof(float));
    }
    if (seen == 0) return;
    float factor = work->kernels->softmax(seen, scores, &block->maximum[r], &block->sum[r]);
    if (first > 0 && factor != 1.0f)
        work->kernels->scale(work->width, block->out + r * work->width, factor, block->out + r * work->width);
}

static void attention_chunk(void *arguments, size_t chunk, size_t worker)
{
    attention_work *work = arguments;
    if (kx_guard_stopped(&work->guard, worker)) return;
    const kx_kernels *kernels = work->kernels;
    int64_t dim = work->attention->head_dim, keys = work->k->rows;
    attention_block block = open_block(work, chunk, worker);
    if (work->attention->causal) keys = kx_min(keys, block.first + block.rows);
    for (int64_t first = 0; first < keys; first += work->keys) {
        int64_t count = kx_min(work->keys, work->k->rows - first);
        if (kx_guard_stopped(&work->guard, worker)) return;
        pack_keys_and_values(work, &block, first, count);
        multiply_panels(kernels, block.rows, count, dim, block.q, dim, block.key_panels, false, block.scores,
                        work->keys);
        for (int64_t r = 0; r < block.rows; r++) soften_row(work, &block, r, first, count);
        multiply_panels(kernels, block.rows, dim, count, block.scores, work->keys, block.value_panels,
                        first > 0, block.out, work->width);
    }
    float *out = kx_tensor_f32(work->out) + block.first * work->out->stride + block.head * dim;
    for (int64_t r = 0; r < block.rows; r++)
        kernels->scale(dim, block.out + r * work->width, 1.0f / block.sum[r], out + r * work->out->stride);
}

static void exact_attention(kx_ops *ops, const kx_attention *attention, const kx_tensor *q,
                            const kx_tensor *k, const kx_tensor *v, const kx_tensor *out)
{
    kx_scratch_mark mark = kx_ops_mark(ops);
    attention_work work = {.guard = {.ops = ops},
                           .kernels = ops->kernels,
                           .attention = attention,
                           .q = q,
                           .k = k,
                           .v = v,
                           .out = out};
    choose_blocks(&work, (int64_t)kx_pool_threads(ops->pool));
    work.piece = kx_driver_piece(scratch_floats(&work) * (int64_t)sizeof(float));
    work.scratch = kx_driver_take_workers(ops, "attention: blocks of the workers", work.piece);
    if (!kx_ops_idle(ops))
        kx_guard_run(&work.guard, attention->heads * work.row_chunks, attention_chunk, &work);
    kx_ops_release(ops, mark);
}

void kx_op_attention(kx_ops *ops, const kx_attention *attention, const kx_tensor *q, const kx_tensor *k,
                     const kx_tensor *v, kx_tensor *out)
{
    int64_t cols = attention->heads * attention->head_dim;
    bool packed = kx_driver_attention_dtype(ops, attention) != KX_F32, operand = kx_tensor_is_operand(out);
    assert(attention->heads > 0 && attention->head_dim > 0 && k->rows > 0);
    assert(q->cols == cols && k->cols == cols && v->cols == cols && out->cols == cols);
    assert(out->rows == q->rows && v->rows == k->rows);
    assert(q->dtype == KX_F32 && k->dtype == KX_F32 && v->dtype == KX_F32);
    assert(operand ? kx_ops_narrow(ops) : out->dtype == KX_F32);
    assert(attention->distance_bias == NULL || q->rows <= k->rows);
    if (kx_driver_failed(ops) || q->rows == 0) return;
    kx_scratch_mark mark = kx_ops_mark(ops);
    kx_tensor exact = operand && !packed ? kx_ops_take(ops, "attention: exact", q->rows, cols) : *out;
    ops->flops += 4 * (uint64_t)q->rows * (uint64_t)k->rows * (uint64_t)cols;
    kx_profile_attention(ops, attention, q, k);
    if (packed)
        kx_driver_packed_attention(ops, attention, q, k, v, out);
    else if (kx_driver_attention_sums(ops, attention))
        kx_driver_summed_attention(ops, attention, q, k, v, &exact);
    else
        exact_attention(ops, attention, q, k, v, &exact);
    kx_profile_end(ops);
    if (operand && !packed) kx_op_quantise(ops, &exact, out);
    kx_ops_release(ops, mark);
}

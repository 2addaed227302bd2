/* The f32 product y = epilogue(W x + b), after Goto: blocks that fit the caches, packed, around one register
 * tile. (The product of an operand is ops_packed.c's.)
 *
 * A chunk is `rows` x `cols` of y. For each block of the sum (depth_block columns of x and W) a worker widens
 * its rows of W, straight from the mapped file, into f32 panels that stay in its L2, then copies a few rows
 * of x at a time beside each other (their own stride, often a multiple of 4096 bytes, would fall into one
 * cache set) and lets the tile kernel run over all panels. The partial sums stay in the worker's `sums` until
 * the last block; then the epilogue is applied once and y is written.
 *
 *     worker: sums [rows][cols] | panels [cols/width][depth][width]
 *             | copy [copy_rows][depth + 16] | wide [lanes][depth + 16]       (depth: depth_block at most)
 *
 * So a weight is never held twice. With few rows the time is that of reading W, and packing would double it:
 * up to KX_DOT_ROWS_MAX rows are computed as dot products, one row of W after the other. The order of a sum
 * depends on K, on the kernel set, and on which of the two ways is taken.
 */
#include "engine/kernels/driver.h"

enum {
    STRIDE_PAD = 16,
    ROWS_MOST = 1024,
    ROWS_LEAST = 64,
    CHUNKS_PER_THREAD = 4,
    DOT_PIECE = 512,                /* columns of W that are widened at a time */
    DOT_CHUNK_ELEMENTS = 128 * 1024 /* of W */
};

typedef struct linear_work {
    kx_guard guard;
    const kx_kernels *kernels;
    const kx_tensor *x, *y;
    const kx_linear *linear;
    kx_epilogue epilogue;
    const float *gate;
    int64_t rows, cols; /* of a chunk */
    int64_t row_chunks;
    uint8_t *scratch;
    int64_t piece;
} linear_work;

static void choose_chunks(const kx_kernels *kernels, int64_t T, int64_t N, int64_t threads, int64_t *rows,
                          int64_t *cols)
{
    int64_t most_rows = ROWS_MOST, most_cols = kernels->block_cols;
    int64_t wanted = threads > 1 ? CHUNKS_PER_THREAD * threads : 1;
    for (;;) {
        *rows = kx_even_part(T, most_rows, kernels->tile_rows);
        *cols = kx_even_part(N, most_cols, kernels->tile_cols);
        if (kx_ceil_div(T, *rows) * kx_ceil_div(N, *cols) >= wanted) return;
        if (most_rows / 2 >= ROWS_LEAST && T > most_rows / 2) {
            most_rows /= 2;
        } else if (most_cols > 2 * kernels->tile_cols) {
            most_cols = kx_round_up(most_cols / 2, kernels->tile_cols);
        } else {
            return;
        }
    }
}

static int64_t tile_scratch_floats(const kx_kernels *kernels, int64_t rows, int64_t cols)
{
    int64_t stride = kernels->depth_block + STRIDE_PAD;
    return rows * cols + kernels->depth_block * cols + (kernels->copy_rows + kernels->lanes) * stride;
}

/* Asks for bytes that are needed soon; rows of x and W lie pages apart, where the processor does not look
 * ahead. */
static void prefetch(const void *from, int64_t bytes)
{
    for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch((const uint8_t *)from + i);
}

static const float *x_at(const linear_work *work, int64_t row, int64_t k)
{
    return kx_tensor_f32(work->x) + row * work->x->stride + k;
}

/* Rows first..first+cols-1 of W, columns k0..k0+depth-1, as panels. `wide` holds lanes x (depth_block + pad).
 */
static void pack_panels(const linear_work *work, int64_t first, int64_t cols, int64_t k0, int64_t depth,
                        float *wide, float *panels)
{
    const kx_kernels *kernels = work->kernels;
    int64_t stride = kernels->depth_block + STRIDE_PAD, lanes = kernels->lanes;
    for (int64_t j = 0; j < cols;) {
        int64_t width = kx_panel_width(kernels, j, cols);
        for (int64_t lane = 0; lane < width; lane += lanes) {
            int64_t count = kx_max(0, kx_min(lanes, cols - j - lane));
            for (int64_t r = 0; r < count; r++) {
                kx_dtype dtype;
                float scale;
                const uint8_t *row =
                    kx_weight_row(&work->linear->weight, first + j + lane + r, &dtype, &scale);
                kernels->widen(dtype, row + k0 * (int64_t)kx_dtype_bytes(dtype), depth, scale,
                               wide + r * stride);
            }
            kernels->transpose(count, depth, wide, stride, panels + lane, width);
        }
        panels += depth * width;
        j += width;
    }
}

/* Rows t0.. of x, columns k0..k0+depth-1, beside each other. */
static void copy_rows(const linear_work *work, int64_t t0, int64_t rows, int64_t k0, int64_t depth,
                      float *copy)
{
    for (int64_t r = 0; r < rows; r++)
        memcpy(copy + r * (work->kernels->depth_block + STRIDE_PAD), x_at(work, t0 + r, k0),
               (size_t)depth * sizeof(float));
}

/* One block of the sum for rows t0..t0+rows-1 of x against all panels. While the tiles of some rows are
 * computed, the rows after them are fetched, one or more for each panel. */
static void multiply_block(const linear_work *work, int64_t t0, int64_t rows, int64_t cols, int64_t k0,
                           int64_t depth, const float *panels, float *copy, float *sums)
{
    const kx_kernels *kernels = work->kernels;
    int64_t stride = kernels->depth_block + STRIDE_PAD;
    int64_t ahead = kx_ceil_div(kernels->copy_rows, kx_ceil_div(cols, kernels->tile_cols));
    for (int64_t i = 0; i < rows; i += kernels->copy_rows) {
        int64_t copied = kx_min(kernels->copy_rows, rows - i), next = i + copied;
        copy_rows(work, t0 + i, copied, k0, depth, copy);
        const float *panel = panels;
        for (int64_t j = 0; j < cols;) {
            int64_t width = kx_panel_width(kernels, j, cols), end = kx_min(rows, next + ahead);
            for (; next < end; next++) prefetch(x_at(work, t0 + next, k0), depth * (int64_t)sizeof(float));
            for (int64_t r = 0; r < copied; r += kernels->tile_rows)
                kernels->tile(kx_min(kernels->tile_rows, copied - r), width, depth, copy + r * stride, stride,
                              panel, k0 > 0, sums + (i + r) * work->cols + j, work->cols);
            panel += depth * width;
            j += width;
        }
    }
}

static void linear_chunk(void *arguments, size_t chunk, size_t worker)
{
    linear_work *work = arguments;
    const kx_kernels *kernels = work->kernels;
    int64_t K = work->x->cols;
    int64_t t0 = (int64_t)chunk % work->row_chunks * work->rows,
            n0 = (int64_t)chunk / work->row_chunks * work->cols;
    int64_t rows = kx_min(work->rows, work->x->rows - t0), cols = kx_min(work->cols, work->y->cols - n0);
    float *sums = (float *)(void *)(work->scratch + (int64_t)worker * work->piece);
    float *panels = sums + work->rows * work->cols;
    float *copy = panels + kernels->depth_block * work->cols;
    float *wide = copy + kernels->copy_rows * (kernels->depth_block + STRIDE_PAD);
    for (int64_t k0 = 0; k0 < K; k0 += kernels->depth_block) {
        if (kx_guard_stopped(&work->guard, worker)) return;
        int64_t depth = kx_min(kernels->depth_block, K - k0);
        pack_panels(work, n0, cols, k0, depth, wide, panels);
        multiply_block(work, t0, rows, cols, k0, depth, panels, copy, sums);
    }
    const float *bias = work->linear->bias == NULL ? NULL : work->linear->bias + n0;
    const float *gate = work->gate == NULL ? NULL : work->gate + n0;
    for (int64_t r = 0; r < rows; r++)
        kernels->epilogue(work->epilogue, cols, sums + r * work->cols, bias, gate,
                          kx_tensor_f32(work->y) + (t0 + r) * work->y->stride + n0);
}

/* w (K) of any weight type, x (T,K) -> dots (T). `wide` holds DOT_PIECE floats. */
static void dot_row(const linear_work *work, int64_t n, float *wide, float *dots)
{
    const kx_kernels *kernels = work->kernels;
    int64_t K = work->x->cols;
    kx_dtype dtype;
    float scale;
    const uint8_t *row = kx_weight_row(&work->linear->weight, n, &dtype, &scale);
    bool ready = dtype == KX_F32 && scale == 1.0f && (uintptr_t)row % sizeof(float) == 0;
    memset(dots, 0, KX_DOT_ROWS_MAX * sizeof dots[0]);
    for (int64_t k0 = 0; k0 < K; k0 += DOT_PIECE) {
        int64_t depth = kx_min(DOT_PIECE, K - k0);
        int64_t size = (int64_t)kx_dtype_bytes(dtype);
        const uint8_t *from = row + k0 * size;
        if (!ready) kernels->widen(dtype, from, depth, scale, wide);
        kernels->dots(work->x->rows, depth, ready ? (const float *)(const void *)from : wide,
                      kx_tensor_f32(work->x) + k0, work->x->stride, dots);
    }
}

/* The dot products of `cols` rows of W are kept as [T][cols] until the epilogue. */
static void dot_chunk(void *arguments, size_t chunk, size_t worker)
{
    linear_work *work = arguments;
    if (kx_guard_stopped(&work->guard, worker)) return;
    int64_t T = work->x->rows, n0 = (int64_t)chunk * work->cols,
            cols = kx_min(work->cols, work->y->cols - n0);
    float *sums = (float *)(void *)(work->scratch + (int64_t)worker * work->piece);
    float *wide = sums + T * work->cols;
    for (int64_t n = 0; n < cols; n++) {
        float dots[KX_DOT_ROWS_MAX];
        dot_row(work, n0 + n, wide, dots);
        for (int64_t t = 0; t < T; t++) sums[t * work->cols + n] = dots[t];
    }
    const float *bias = work->linear->bias == NULL ? NULL : work->linear->bias + n0;
    const float *gate = work->gate == NULL ? NULL : work->gate + n0;
    for (int64_t t = 0; t < T; t++)
        work->kernels->epilogue(work->epilogue, cols, sums + t * work->cols, bias, gate,
                                kx_tensor_f32(work->y) + t * work->y->stride + n0);
}

void kx_op_linear(kx_ops *ops, const kx_tensor *x, const kx_linear *linear, kx_epilogue epilogue,
                  const float *gate, kx_tensor *y)
{
    int64_t T = x->rows, K = x->cols, N = y->cols;
    assert(y->rows == T && kx_weight_rows(&linear->weight) == N && kx_weight_cols(&linear->weight) == K);
    assert(ops->dry || epilogue != KX_EPILOGUE_GATED_ADD || gate != NULL);
    if (kx_driver_failed(ops) || T == 0 || N == 0) return;
    ops->flops += 2 * (uint64_t)T * (uint64_t)K * (uint64_t)N;
    kx_profile_linear(ops, x, linear, epilogue, y);
    if (kx_tensor_is_operand(x)) {
        kx_driver_packed_linear(ops, x, linear, epilogue, gate, y);
        kx_profile_end(ops);
        return;
    }
    assert(x->dtype == KX_F32 && y->dtype == KX_F32);
    kx_scratch_mark mark = kx_ops_mark(ops);
    linear_work work = {.guard = {.ops = ops},
                        .kernels = ops->kernels,
                        .x = x,
                        .y = y,
                        .linear = linear,
                        .epilogue = epilogue,
                        .gate = gate};
    bool few_rows = T <= KX_DOT_ROWS_MAX;
    int64_t floats;
    if (few_rows) {
        work.row_chunks = 1;
        work.cols = kx_even_part(N, kx_max(1, DOT_CHUNK_ELEMENTS / kx_max(1, K)), 1);
        floats = T * work.cols + DOT_PIECE;
    } else {
        choose_chunks(ops->kernels, T, N, (int64_t)kx_pool_threads(ops->pool), &work.rows, &work.cols);
        work.row_chunks = kx_ceil_div(T, work.rows);
        floats = tile_scratch_floats(ops->kernels, work.rows, work.cols);
    }
    work.piece = kx_driver_piece(floats * (int64_t)sizeof(float));
    work.scratch = kx_driver_take_workers(ops, "linear: blocks of the workers", work.piece);
    if (!kx_ops_idle(ops))
        kx_guard_run(&work.guard, work.row_chunks * kx_ceil_div(N, work.cols),
                     few_rows ? dot_chunk : linear_chunk, &work);
    kx_ops_release(ops, mark);
    kx_profile_end(ops);
}

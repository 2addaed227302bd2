/* The product of an operand with a packed matrix (tensor/packed.h): int8 or bf16.
 *
 * A chunk is `rows` x `cols` of y; where y is an operand, `cols` are whole groups of it, so that a row is
 * quantised once its epilogue is done. For each group of K the tile kernel adds its part to the chunk's f32
 * sums. It works on, at the largest chunk (256 x 512), which stays in an L2 cache of 1 MB:
 *
 *     a group of the operand, rows x 512 bytes: 128 KB | of the matrix, cols x 512 bytes: 256 KB
 *     | sums, rows x cols x 4 bytes: 512 KB
 *
 * Sums are rows, or, where the set prefers that, panels of 32 columns; then a row is put together when it is
 * finished.
 *
 * The matrix is used in place, from the mapped file or from where it was packed: nothing is copied. A row of
 * y does not depend on the others, and groups are added in order: the bytes depend neither on the threads nor
 * on the chunks.
 */
#include "engine/kernels/driver.h"

enum {
    PANEL = 2 * KX_PACKED_COLUMNS,
    ROWS_MOST = 256,
    ROWS_LEAST = 48,
    COLS_MOST = 512,
    CHUNKS_PER_THREAD = 4
};

typedef struct packed_work {
    kx_guard guard;
    const kx_kernels *kernels;
    const kx_tensor *x, *y;
    const kx_packed *packed;
    const float *bias, *gate;
    kx_epilogue epilogue;
    kx_tile_limit tile;
    int64_t groups, planes;
    int64_t rows, cols; /* of a chunk */
    int64_t row_chunks;
    uint8_t *scratch; /* of each worker: sums (rows, cols to whole panels) | a row of them */
    int64_t piece;
} packed_work;

/* One chunk: rows first.. and columns col.. of y. */
typedef struct packed_chunk {
    int64_t first, rows, col, cols;
    float *sums, *row;
} packed_chunk;

static void choose_chunks(packed_work *work, int64_t threads)
{
    int64_t T = work->x->rows, N = work->y->cols, step = work->tile.rows;
    int64_t wanted = threads > 1 ? CHUNKS_PER_THREAD * threads : 1, most = ROWS_MOST;
    int64_t col_step = kx_tensor_is_operand(work->y) ? kx_group_values(work->y->dtype)
                                                     : work->tile.blocks * KX_PACKED_COLUMNS;
    work->cols = kx_min(kx_round_up(N, KX_PACKED_COLUMNS), kx_max(col_step, COLS_MOST / col_step * col_step));
    for (;;) {
        work->rows = kx_even_part(T, most, step);
        work->row_chunks = kx_ceil_div(T, work->rows);
        if (work->row_chunks * kx_ceil_div(N, work->cols) >= wanted) return;
        if (most / 2 >= ROWS_LEAST && T > most / 2)
            most /= 2;
        else if (work->cols / 2 >= col_step && work->cols / 2 % col_step == 0)
            work->cols /= 2;
        else
            return;
    }
}

/* Floats between rows of the sums. */
static int64_t sums_stride(const packed_work *work)
{
    return work->kernels->panels ? PANEL : work->cols;
}

/* One group of the sum for all rows and columns of the chunk. */
static void add_group(const packed_work *work, const packed_chunk *chunk, int64_t group)
{
    const kx_kernels *kernels = work->kernels;
    const kx_packed *packed = work->packed;
    int64_t block_bytes = work->planes * KX_PACKED_COLUMNS * KX_PLANE_BYTES;
    int64_t blocks = kx_ceil_div(chunk->cols, KX_PACKED_COLUMNS), padded = kx_packed_rows(packed->rows);
    kx_packed_group at = kx_packed_group_at(packed->dtype, packed->cols, packed->split, group);
    const uint8_t *right = (const uint8_t *)packed->data + chunk->col / KX_PACKED_COLUMNS * block_bytes +
                           at.plane * KX_PACKED_COLUMNS * KX_PLANE_BYTES;
    const uint8_t *left = (const uint8_t *)work->x->data + at.plane * work->x->plane_bytes;
    kx_tile_limit most = kx_driver_tile_most(kernels, work->tile, chunk->rows, blocks);
    int64_t stride = sums_stride(work);
    for (int64_t j = 0; j < blocks; j += most.blocks) {
        int64_t some = kx_min(most.blocks, blocks - j);
        int64_t entry = group * padded + chunk->col + j * KX_PACKED_COLUMNS;
        for (int64_t r = 0; r < chunk->rows; r += most.rows) {
            int64_t count = kx_min(most.rows, chunk->rows - r), row = chunk->first + r;
            float *to = chunk->sums + r * stride + j * KX_PACKED_COLUMNS;
            const uint8_t *a = left + row * KX_PLANE_BYTES, *b = right + j * block_bytes;
            if (packed->dtype == KX_I8)
                kernels->tile_i8(count, some, at.planes, a, work->x->plane_bytes, (const int8_t *)b,
                                 block_bytes, work->x->scales + group * work->x->scale_stride + row,
                                 packed->scales + entry, packed->sums + entry, group > 0, to, stride);
            else
                kernels->tile_bf16(count, some, at.planes, (const uint16_t *)(const void *)a,
                                   work->x->plane_bytes, (const uint16_t *)(const void *)b, block_bytes,
                                   group > 0, to, stride);
        }
    }
}

/* Row r of the sums. */
static float *sums_of(const packed_work *work, const packed_chunk *chunk, int64_t r)
{
    if (!work->kernels->panels) return chunk->sums + r * work->cols;
    const float *from = chunk->sums + r * PANEL;
    for (int64_t c = 0; c < chunk->cols; c += PANEL)
        memcpy(chunk->row + c, from + c * chunk->rows, PANEL * sizeof from[0]);
    return chunk->row;
}

static void finish_chunk(const packed_work *work, const packed_chunk *chunk)
{
    const float *bias = work->bias == NULL ? NULL : work->bias + chunk->col;
    const float *gate = work->gate == NULL ? NULL : work->gate + chunk->col;
    bool operand = kx_tensor_is_operand(work->y);
    bool past = !operand && kx_driver_goes_past(work->kernels, work->epilogue, work->y);
    for (int64_t r = 0; r < chunk->rows; r++) {
        float *sums = sums_of(work, chunk, r);
        float *y =
            operand ? sums : kx_tensor_f32(work->y) + (chunk->first + r) * work->y->stride + chunk->col;
        if (past)
            work->kernels->store_past(chunk->cols, sums, bias, y);
        else
            work->kernels->epilogue(work->epilogue, chunk->cols, sums, bias, gate, y);
        if (operand)
            kx_driver_store_operand(work->kernels, sums, chunk->cols, work->y, chunk->first + r, chunk->col);
    }
}

/* False: the op was cancelled. */
static bool add_groups(const packed_work *work, kx_guard *guard, const packed_chunk *chunk, size_t worker)
{
    for (int64_t group = 0; group < work->groups; group++) {
        if (kx_guard_stopped(guard, worker)) return false;
        add_group(work, chunk, group);
    }
    return true;
}

static void run_chunk(void *arguments, size_t index, size_t worker)
{
    packed_work *work = arguments;
    packed_chunk chunk = {.first = (int64_t)index % work->row_chunks * work->rows,
                          .col = (int64_t)index / work->row_chunks * work->cols,
                          .sums = (float *)(void *)(work->scratch + (int64_t)worker * work->piece)};
    chunk.row = chunk.sums + work->rows * kx_round_up(work->cols, PANEL);
    chunk.rows = kx_min(work->rows, work->x->rows - chunk.first);
    chunk.cols = kx_min(work->cols, work->y->cols - chunk.col);
    kx_driver_enter_tiles(work->kernels);
    bool done = add_groups(work, &work->guard, &chunk, worker);
    kx_driver_leave_tiles(work->kernels);
    if (done) finish_chunk(work, &chunk);
}

static bool fits(const kx_tensor *x, const kx_linear *linear, const kx_tensor *y)
{
    const kx_packed *packed = linear->packed;
    return packed != NULL && x->dtype == kx_operand_dtype(kx_precision_of(packed->dtype)) &&
           x->cols == packed->cols && y->cols == packed->rows && linear->split == packed->split;
}

void kx_driver_packed_linear(kx_ops *ops, const kx_tensor *x, const kx_linear *linear, kx_epilogue epilogue,
                             const float *gate, kx_tensor *y)
{
    assert(y->rows == x->rows && !(kx_tensor_is_operand(y) && kx_epilogue_reads(epilogue)));
    assert(ops->dry || fits(x, linear, y)); /* a plan is made before anything is packed */
    bool is_int8 = x->dtype == KX_U8;
    kx_scratch_mark mark = kx_ops_mark(ops);
    packed_work work = {.guard = {.ops = ops},
                        .kernels = ops->kernels,
                        .x = x,
                        .y = y,
                        .packed = linear->packed,
                        .bias = linear->bias,
                        .gate = gate,
                        .epilogue = epilogue,
                        .tile = is_int8 ? ops->kernels->tile_i8_limit : ops->kernels->tile_bf16_limit,
                        .groups = kx_packed_groups(x->dtype, x->cols, linear->split),
                        .planes = kx_packed_planes(x->dtype, x->cols, linear->split)};
    choose_chunks(&work, (int64_t)kx_pool_threads(ops->pool));
    work.piece = kx_driver_piece((work.rows + 1) * kx_round_up(work.cols, PANEL) * (int64_t)sizeof(float));
    work.scratch = kx_driver_take_workers(ops, "linear: sums of the workers", work.piece);
    if (!kx_ops_idle(ops))
        kx_guard_run(&work.guard, work.row_chunks * kx_ceil_div(y->cols, work.cols), run_chunk, &work);
    kx_ops_release(ops, mark);
}

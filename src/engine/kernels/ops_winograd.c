/* Convolution 3 x 3 of stride 1 by Winograd's F(6x6, 3x3) (Winograd 1980; Lavin and Gray 2016), for
 * precisions below f32: a fifth of the multiplications, in f32, with about 6e-6 relative error of a
 * convolution where the formula has 3e-7.
 *
 * The map is cut into tiles of 6 x 6 outputs, which see 8 x 8 inputs. Tiles and weights are transformed to 64
 * points each; at a point the convolution is a plain product (tiles, C) x (C, N). First the weights are
 * transformed: panels [point][n0][c][width]. A chunk is a block of tiles, and on many threads also a part of
 * the output channels:
 *
 *     worker: input [8][block width x 6 + 2][C] | points [64][tiles][C] | products [64][tiles][columns]
 *             | outputs of a tile at the border [6][6][columns]
 *
 * It copies one row of tiles after the other into `input` with affine map and SiLU applied, transforms them,
 * multiplies point by point, `columns` output channels at a time, and transforms back. The rows of points and
 * products are padded, or the 64 places of a tile would fall on the same lines of a cache.
 */
#include "engine/kernels/conv.h"

enum {
    POINTS = KX_WINOGRAD_POINTS,
    POINTS2 = POINTS * POINTS,
    OUTPUTS = KX_WINOGRAD_OUTPUTS,
    OVERLAP = POINTS - OUTPUTS,
    TAPS = 9,
    LEAST_CHANNELS = 8,
    BLOCK_TILES = 64,
    BLOCK_ACROSS = 8,
    BLOCK_LEAST = 16,
    BLOCK_FLOATS = 2 * 1024 * 1024, /* of points */
    COLUMNS = 192,
    PAD = 16,
    PACK_CHANNELS = 32,
    CHUNKS_PER_THREAD = 2,
};

typedef struct winograd_work {
    kx_guard guard;
    const kx_kernels *kernels;
    kx_conv_source source;
    const kx_conv *conv;
    const kx_tensor *y;
    bool add;
    int64_t C, N;
    int64_t tiles_across, tiles_down;
    int64_t block_across, block_down; /* tiles */
    int64_t blocks_across, blocks;
    int64_t part_cols; /* output channels of a chunk */
    int64_t columns;   /* output channels that are multiplied before they are transformed back */
    int64_t weight_stride, point_stride, product_stride;
    float *weights;
    uint8_t *scratch;
    int64_t piece;
} winograd_work;

/* A chunk: its place, and the parts of the worker's scratch. */
typedef struct winograd_block {
    int64_t top, left, down, across; /* tiles */
    int64_t first, end;              /* output channels */
    float *input, *points, *products, *outputs;
} winograd_block;

/* ---- Weights ------------------------------------------------------------------------------------------- */

static int64_t pack_floats(const winograd_work *work)
{
    return PACK_CHANNELS * TAPS * (work->kernels->lanes + work->kernels->tile_cols);
}

/* Channels c0..c0+count-1 of the panel at n0 -> taps [count][9][width]; rows: scratch. */
static void gather_taps(const winograd_work *work, int64_t n0, int64_t width, int64_t c0, int64_t count,
                        float *rows, float *taps)
{
    const kx_kernels *kernels = work->kernels;
    int64_t length = count * TAPS;
    for (int64_t lane = 0; lane < width; lane += kernels->lanes) {
        int64_t real = kx_max(0, kx_min(kernels->lanes, work->N - n0 - lane));
        for (int64_t r = 0; r < real; r++) {
            kx_dtype dtype;
            float scale;
            const uint8_t *from = kx_weight_row(&work->conv->weight, n0 + lane + r, &dtype, &scale);
            kernels->widen(dtype, from + c0 * TAPS * (int64_t)kx_dtype_bytes(dtype), length, scale,
                           rows + r * length);
        }
        kernels->transpose(real, length, rows, length, taps + lane, width);
    }
}

/* One panel of output channels at all points. */
static void pack_chunk(void *arguments, size_t chunk, size_t worker)
{
    winograd_work *work = arguments;
    int64_t n0 = (int64_t)chunk * work->kernels->tile_cols;
    int64_t width = kx_panel_width(work->kernels, n0, work->N);
    float *rows = (float *)(void *)(work->scratch + (int64_t)worker * work->piece);
    float *taps = rows + PACK_CHANNELS * TAPS * work->kernels->lanes;
    for (int64_t c0 = 0; c0 < work->C; c0 += PACK_CHANNELS) {
        int64_t count = kx_min(PACK_CHANNELS, work->C - c0);
        if (kx_guard_stopped(&work->guard, worker)) return;
        gather_taps(work, n0, width, c0, count, rows, taps);
        for (int64_t c = 0; c < count; c++)
            work->kernels->winograd_weights(width, taps + c * TAPS * width,
                                            work->weights + n0 * work->C + (c0 + c) * width,
                                            work->weight_stride);
    }
}

/* ---- A block of tiles ---------------------------------------------------------------------------------- */

static winograd_block open_block(const winograd_work *work, size_t chunk, size_t worker)
{
    int64_t place = (int64_t)chunk % work->blocks, part = (int64_t)chunk / work->blocks;
    winograd_block block = {.top = place / work->blocks_across * work->block_down,
                            .left = place % work->blocks_across * work->block_across,
                            .first = part * work->part_cols};
    block.down = kx_min(work->block_down, work->tiles_down - block.top);
    block.across = kx_min(work->block_across, work->tiles_across - block.left);
    block.end = kx_min(work->N, block.first + work->part_cols);
    block.points = (float *)(void *)(work->scratch + (int64_t)worker * work->piece);
    block.products = block.points + POINTS2 * work->point_stride;
    block.outputs = block.products + POINTS2 * work->product_stride;
    block.input = block.outputs + OUTPUTS * OUTPUTS * work->columns;
    return block;
}

/* The inputs of tile row `row` of the block; the first rows are the last ones of the row before. */
static void fill_input(const winograd_work *work, const winograd_block *block, int64_t row)
{
    int64_t width = block->across * OUTPUTS + OVERLAP, line = width * work->C, first = 0;
    if (row > 0) {
        memcpy(block->input, block->input + OUTPUTS * line, (size_t)(OVERLAP * line) * sizeof(float));
        first = OVERLAP;
    }
    int64_t y = (block->top + row) * OUTPUTS - 1, x = block->left * OUTPUTS - 1;
    for (int64_t i = first; i < POINTS; i++)
        for (int64_t j = 0; j < width; j++)
            kx_conv_copy_pixel(&work->source, y + i, x + j, block->input + i * line + j * work->C);
}

static void transform_inputs(const winograd_work *work, const winograd_block *block)
{
    int64_t C = work->C, line = (block->across * OUTPUTS + OVERLAP) * C;
    for (int64_t row = 0; row < block->down; row++) {
        fill_input(work, block, row);
        for (int64_t col = 0; col < block->across; col++)
            work->kernels->winograd_input(C, block->input + col * OUTPUTS * C, line, C,
                                          block->points + (row * block->across + col) * C,
                                          work->point_stride);
    }
}

/* products = points x weights at one point, for the output channels n0.. of `cols`. */
static void multiply_point(const winograd_work *work, const winograd_block *block, int64_t point, int64_t n0,
                           int64_t cols)
{
    const kx_kernels *kernels = work->kernels;
    int64_t C = work->C, tiles = block->down * block->across;
    const float *points = block->points + point * work->point_stride;
    float *products = block->products + point * work->product_stride;
    for (int64_t n = n0; n < n0 + cols; n += kernels->tile_cols) {
        int64_t width = kx_panel_width(kernels, n, work->N);
        const float *panel = work->weights + point * work->weight_stride + n * C;
        for (int64_t k0 = 0; k0 < C; k0 += kernels->depth_block)
            for (int64_t t = 0; t < tiles; t += kernels->tile_rows)
                kernels->tile(kx_min(kernels->tile_rows, tiles - t), width,
                              kx_min(kernels->depth_block, C - k0), points + t * C + k0, C,
                              panel + k0 * width, k0 > 0, products + t * work->columns + n - n0,
                              work->columns);
    }
}

/* The 6 x 6 outputs of a tile, as far as they lie in the map. */
static void store_tile(const winograd_work *work, const winograd_block *block, int64_t tile, int64_t n0,
                       int64_t cols)
{
    const kx_tensor *map = work->y;
    int64_t top = (block->top + tile / block->across) * OUTPUTS,
            left = (block->left + tile % block->across) * OUTPUTS, line = map->width * map->stride;
    int64_t rows = kx_min(OUTPUTS, map->height - top), across = kx_min(OUTPUTS, map->width - left);
    const float *bias = work->conv->bias == NULL ? NULL : work->conv->bias + n0;
    const float *products = block->products + tile * work->columns;
    float *y = kx_tensor_f32(map) + top * line + left * map->stride + n0;
    if (rows == OUTPUTS && across == OUTPUTS) {
        work->kernels->winograd_output(cols, products, work->product_stride, bias, work->add, y, line,
                                       map->stride);
        return;
    }
    kx_epilogue epilogue = work->add ? KX_EPILOGUE_ADD : KX_EPILOGUE_STORE;
    work->kernels->winograd_output(cols, products, work->product_stride, NULL, false, block->outputs,
                                   OUTPUTS * cols, cols);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < across; j++)
            work->kernels->epilogue(epilogue, cols, block->outputs + (i * OUTPUTS + j) * cols, bias, NULL,
                                    y + i * line + j * map->stride);
}

static void block_chunk(void *arguments, size_t chunk, size_t worker)
{
    winograd_work *work = arguments;
    if (kx_guard_stopped(&work->guard, worker)) return;
    winograd_block block = open_block(work, chunk, worker);
    transform_inputs(work, &block);
    for (int64_t n0 = block.first; n0 < block.end; n0 += work->columns) {
        int64_t cols = kx_min(work->columns, block.end - n0);
        if (kx_guard_stopped(&work->guard, worker)) return;
        for (int64_t point = 0; point < POINTS2; point++) multiply_point(work, &block, point, n0, cols);
        for (int64_t tile = 0; tile < block.down * block.across; tile++)
            store_tile(work, &block, tile, n0, cols);
    }
}

/* ---- The op -------------------------------------------------------------------------------------------- */

static int64_t chunks_of(const winograd_work *work)
{
    return work->blocks * kx_ceil_div(work->N, work->part_cols);
}

static void set_blocks(winograd_work *work, int64_t tiles, int64_t across)
{
    work->block_across = kx_even_part(work->tiles_across, across, 1);
    work->block_down = kx_even_part(work->tiles_down, kx_max(1, tiles / work->block_across), 1);
    work->blocks_across = kx_ceil_div(work->tiles_across, work->block_across);
    work->blocks = work->blocks_across * kx_ceil_div(work->tiles_down, work->block_down);
}

static void choose_blocks(winograd_work *work, int64_t threads)
{
    int64_t cols = work->kernels->tile_cols, wanted = threads > 1 ? CHUNKS_PER_THREAD * threads : 1;
    int64_t tiles = kx_max(BLOCK_LEAST, kx_min(BLOCK_TILES, BLOCK_FLOATS / (POINTS2 * work->C)));
    work->tiles_across = kx_ceil_div(work->y->width, OUTPUTS);
    work->tiles_down = kx_ceil_div(work->y->height, OUTPUTS);
    work->part_cols = kx_round_up(work->N, cols);
    set_blocks(work, tiles, BLOCK_ACROSS);
    while (chunks_of(work) < wanted && tiles > BLOCK_LEAST) set_blocks(work, tiles /= 2, BLOCK_ACROSS);
    while (chunks_of(work) < wanted && work->part_cols > cols)
        work->part_cols = kx_round_up(work->part_cols / 2, cols);
    work->columns = kx_min(work->part_cols, kx_round_up(COLUMNS, cols));
    tiles = work->block_across * work->block_down;
    work->weight_stride = work->C * kx_round_up(work->N, cols) + PAD;
    work->point_stride = tiles * work->C + PAD;
    work->product_stride = tiles * work->columns + PAD;
}

bool kx_winograd_fits(const kx_ops *ops, const kx_conv *conv, kx_conv_mode mode)
{
    const kx_weight *weight = &conv->weight;
    return kx_ops_narrow(ops) && mode != KX_CONV_DOWN && weight->rank == 4 && weight->shape[2] == 3 &&
           weight->shape[1] >= LEAST_CHANNELS;
}

void kx_winograd_conv(kx_ops *ops, const kx_tensor *x, const kx_conv_input *input, const kx_conv *conv,
                      kx_conv_mode mode, bool add, kx_tensor *y)
{
    winograd_work work = {.guard = {.ops = ops},
                          .kernels = ops->kernels,
                          .source = {ops->kernels, x, input, mode == KX_CONV_UP ? 2 : 1},
                          .conv = conv,
                          .y = y,
                          .add = add,
                          .C = x->cols,
                          .N = y->cols};
    choose_blocks(&work, (int64_t)kx_pool_threads(ops->pool));
    int64_t floats = POINTS2 * (work.point_stride + work.product_stride) + OUTPUTS * OUTPUTS * work.columns +
                     POINTS * (work.block_across * OUTPUTS + OVERLAP) * work.C;
    kx_scratch_mark mark = kx_ops_mark(ops);
    work.piece = kx_driver_piece(kx_max(floats, pack_floats(&work)) * (int64_t)sizeof(float));
    work.weights = kx_driver_take(ops, "convolution: transformed weights",
                                  POINTS2 * work.weight_stride * (int64_t)sizeof(float));
    work.scratch = kx_driver_take_workers(ops, "convolution: tiles of the workers", work.piece);
    if (!kx_ops_idle(ops)) {
        kx_guard_run(&work.guard, kx_ceil_div(work.N, ops->kernels->tile_cols), pack_chunk, &work);
        if (!kx_driver_failed(ops)) kx_guard_run(&work.guard, chunks_of(&work), block_chunk, &work);
    }
    kx_ops_release(ops, mark);
}

/* Convolution, channels last, as an implicit matrix product. (3 x 3 ones of a lower precision:
 * ops_winograd.c and ops_conv_packed.c.)
 *
 * First the weights (N,C,k,k) are packed for the op: panels [dy][dx][c][width], so that one kernel row (dx,
 * c) is contiguous. A chunk is a tile of output pixels, and on many threads also a part of the output
 * channels. Its worker copies the input pixels that the tile sees into its scratch, with affine map and SiLU
 * applied once for each pixel, zeros outside the picture, and pixels doubled when the mode is UP. There the k
 * x C inputs of one kernel row lie beside each other as well, so that a run of output pixels times a kernel
 * row is a plain product whose left rows start C (DOWN: 2 C) apart and overlap.
 *
 *     worker: input [tile height x stride + k - 1][tile width x stride + k - 1][C] | sums [pixels][tile_cols]
 *
 * The sum of an output value runs over dy, then blocks of (dx, c): it depends on the weights' shape alone.
 */
#include "engine/kernels/conv.h"

enum { TILE_PIXELS = 128, TILE_WIDTH = 16, TILE_PIXELS_DOWN = 64, CHUNKS_PER_THREAD = 2 };

typedef struct conv_work {
    kx_guard guard;
    const kx_kernels *kernels;
    kx_conv_source source;
    const kx_tensor *x, *y;
    const kx_conv *conv;
    bool add;
    int64_t size;          /* k */
    int64_t stride;        /* 2 for DOWN */
    int64_t before;        /* zeros above and left */
    int64_t height, width; /* of y */
    int64_t tile_height, tile_width;
    int64_t input_height, input_width; /* of the copied tile */
    int64_t tiles_across, tiles;
    int64_t part_cols; /* output channels of a chunk */
    float *weights;
    uint8_t *scratch;
    int64_t piece;
} conv_work;

static int64_t depth_of(const conv_work *work)
{
    return work->size * work->size * work->x->cols;
}

static void set_mode(conv_work *work, kx_conv_mode mode)
{
    work->stride = mode == KX_CONV_DOWN ? 2 : 1;
    work->before = mode == KX_CONV_DOWN ? 0 : work->size / 2;
    work->height = work->x->height * work->source.grow / work->stride;
    work->width = work->x->width * work->source.grow / work->stride;
}

static void choose_tiles(conv_work *work, int64_t threads)
{
    const kx_kernels *kernels = work->kernels;
    int64_t pixels = work->stride == 2 ? TILE_PIXELS_DOWN : TILE_PIXELS, N = work->y->cols;
    work->tile_width = kx_min(work->width, kx_even_part(work->width, TILE_WIDTH, kernels->tile_rows));
    work->tile_height = kx_even_part(work->height, kx_max(1, pixels / work->tile_width), 1);
    work->input_height = (work->tile_height - 1) * work->stride + work->size;
    work->input_width = (work->tile_width - 1) * work->stride + work->size;
    work->tiles_across = kx_ceil_div(work->width, work->tile_width);
    work->tiles = work->tiles_across * kx_ceil_div(work->height, work->tile_height);
    work->part_cols = kx_round_up(N, kernels->tile_cols);
    while (threads > 1 && work->tiles * kx_ceil_div(N, work->part_cols) < CHUNKS_PER_THREAD * threads &&
           work->part_cols > kernels->tile_cols)
        work->part_cols = kx_round_up(work->part_cols / 2, kernels->tile_cols);
}

/* Packs the panel of output channels chunk*tile_cols... The values (c, dy, dx) of a row become (dy, dx, c).
 */
static void pack_chunk(void *arguments, size_t chunk, size_t worker)
{
    conv_work *work = arguments;
    if (kx_guard_stopped(&work->guard, worker)) return;
    int64_t depth = depth_of(work), C = work->x->cols, taps = work->size * work->size, N = work->y->cols;
    int64_t first = (int64_t)chunk * work->kernels->tile_cols;
    int64_t width = kx_panel_width(work->kernels, first, N);
    float *panel = work->weights + first * depth,
          *row = (float *)(void *)(work->scratch + (int64_t)worker * work->piece);
    for (int64_t j = 0; j < width; j++) {
        if (first + j < N) {
            kx_dtype dtype;
            float scale;
            const void *from = kx_weight_row(&work->conv->weight, first + j, &dtype, &scale);
            work->kernels->widen(dtype, from, depth, scale, row);
        } else {
            memset(row, 0, (size_t)depth * sizeof(float));
        }
        for (int64_t tap = 0; tap < taps; tap++)
            for (int64_t c = 0; c < C; c++) panel[(tap * C + c) * width + j] = row[c * taps + tap];
    }
}

const float *kx_conv_pixel(const kx_conv_source *source, int64_t y, int64_t x)
{
    const kx_tensor *map = source->x;
    if (y < 0 || x < 0 || y >= map->height * source->grow || x >= map->width * source->grow) return NULL;
    return kx_tensor_f32(map) + (y / source->grow * map->width + x / source->grow) * map->stride;
}

void kx_conv_copy_pixel(const kx_conv_source *source, int64_t y, int64_t x, float *to)
{
    const kx_tensor *map = source->x;
    const kx_conv_input *input = source->input;
    const float *from = kx_conv_pixel(source, y, x);
    if (from == NULL) {
        memset(to, 0, (size_t)map->cols * sizeof(float));
        return;
    }
    if (input == NULL || (input->scale == NULL && !input->silu)) {
        memcpy(to, from, (size_t)map->cols * sizeof(float));
        return;
    }
    const float *scale = input->scale == NULL ? NULL : kx_tensor_f32(input->scale);
    const float *shift = input->shift == NULL ? NULL : kx_tensor_f32(input->shift);
    source->kernels->affine(map->cols, from, scale, shift, input->silu, to);
}

/* The input of output pixels top.., left.. (rows x cols of them). */
static void copy_input(const conv_work *work, int64_t top, int64_t left, int64_t rows, int64_t cols,
                       float *input)
{
    int64_t C = work->x->cols;
    int64_t input_rows = (rows - 1) * work->stride + work->size,
            input_cols = (cols - 1) * work->stride + work->size;
    for (int64_t i = 0; i < input_rows; i++)
        for (int64_t j = 0; j < input_cols; j++)
            kx_conv_copy_pixel(&work->source, top * work->stride - work->before + i,
                               left * work->stride - work->before + j,
                               input + (i * work->input_width + j) * C);
}

/* All of one panel's sums: (rows x cols pixels, width), sums stride tile_cols. */
static void multiply_panel(const conv_work *work, int64_t rows, int64_t cols, const float *input,
                           const float *panel, int64_t width, float *sums)
{
    const kx_kernels *kernels = work->kernels;
    int64_t C = work->x->cols, across = work->size * C, left_stride = work->stride * C;
    for (int64_t dy = 0; dy < work->size; dy++) {
        for (int64_t k0 = 0; k0 < across; k0 += kernels->depth_block) {
            int64_t depth = kx_min(kernels->depth_block, across - k0);
            const float *b = panel + (dy * across + k0) * width;
            for (int64_t tile = 0; tile < rows * kx_ceil_div(cols, kernels->tile_rows); tile++) {
                int64_t i = tile / kx_ceil_div(cols, kernels->tile_rows);
                int64_t j = tile % kx_ceil_div(cols, kernels->tile_rows) * kernels->tile_rows;
                const float *a =
                    input + ((i * work->stride + dy) * work->input_width + j * work->stride) * C + k0;
                kernels->tile(kx_min(kernels->tile_rows, cols - j), width, depth, a, left_stride, b,
                              dy > 0 || k0 > 0, sums + (i * work->tile_width + j) * kernels->tile_cols,
                              kernels->tile_cols);
            }
        }
    }
}

static void store_panel(const conv_work *work, int64_t top, int64_t left, int64_t rows, int64_t cols,
                        int64_t n0, int64_t count, const float *sums)
{
    const kx_kernels *kernels = work->kernels;
    const float *bias = work->conv->bias == NULL ? NULL : work->conv->bias + n0;
    kx_epilogue epilogue = work->add ? KX_EPILOGUE_ADD : KX_EPILOGUE_STORE;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) {
            float *to = kx_tensor_f32(work->y) + ((top + i) * work->width + left + j) * work->y->stride + n0;
            kernels->epilogue(epilogue, count, sums + (i * work->tile_width + j) * kernels->tile_cols, bias,
                              NULL, to);
        }
}

static void conv_chunk(void *arguments, size_t chunk, size_t worker)
{
    conv_work *work = arguments;
    int64_t N = work->y->cols, tile = (int64_t)chunk % work->tiles, part = (int64_t)chunk / work->tiles;
    int64_t top = tile / work->tiles_across * work->tile_height,
            left = tile % work->tiles_across * work->tile_width;
    int64_t rows = kx_min(work->tile_height, work->height - top),
            cols = kx_min(work->tile_width, work->width - left);
    float *input = (float *)(void *)(work->scratch + (int64_t)worker * work->piece);
    float *sums = input + work->input_height * work->input_width * work->x->cols;
    if (kx_guard_stopped(&work->guard, worker)) return;
    copy_input(work, top, left, rows, cols, input);
    int64_t end = kx_min(N, (part + 1) * work->part_cols);
    for (int64_t n0 = part * work->part_cols; n0 < end; n0 += work->kernels->tile_cols) {
        if (kx_guard_stopped(&work->guard, worker)) return;
        int64_t width = kx_panel_width(work->kernels, n0, N);
        multiply_panel(work, rows, cols, input, work->weights + n0 * depth_of(work), width, sums);
        store_panel(work, top, left, rows, cols, n0, kx_min(width, N - n0), sums);
    }
}

static void check_arguments(const kx_tensor *x, const kx_conv *conv, kx_conv_mode mode, const conv_work *work,
                            const kx_tensor *y)
{
    assert(x->dtype == KX_F32 && y->dtype == KX_F32);
    assert(x->height * x->width == x->rows && x->rows > 0 && y->height * y->width == y->rows);
    assert(work->size == 1 || work->size == 3);
    assert(conv->weight.rank == 2 || (conv->weight.rank == 4 && conv->weight.shape[3] == work->size));
    assert(conv->weight.shape[0] == y->cols && conv->weight.shape[1] == x->cols);
    assert(mode != KX_CONV_DOWN || (work->size == 3 && x->height % 2 == 0 && x->width % 2 == 0));
    assert(y->height == work->height && y->width == work->width);
    (void)x, (void)conv, (void)mode, (void)work, (void)y;
}

/* As the formula says. */
static void run_direct(kx_ops *ops, conv_work *work)
{
    int64_t depth = depth_of(work), N = work->y->cols, cols = ops->kernels->tile_cols;
    choose_tiles(work, (int64_t)kx_pool_threads(ops->pool));
    int64_t floats =
        work->input_height * work->input_width * work->x->cols + work->tile_height * work->tile_width * cols;
    kx_scratch_mark mark = kx_ops_mark(ops);
    work->piece = kx_driver_piece(kx_max(floats, depth) * (int64_t)sizeof(float));
    work->weights = kx_driver_take(ops, "convolution: packed weights",
                                   depth * kx_round_up(N, cols) * (int64_t)sizeof(float));
    work->scratch = kx_driver_take_workers(ops, "convolution: tiles of the workers", work->piece);
    if (!kx_ops_idle(ops)) {
        kx_guard_run(&work->guard, kx_ceil_div(N, cols), pack_chunk, work);
        if (!kx_driver_failed(ops))
            kx_guard_run(&work->guard, work->tiles * kx_ceil_div(N, work->part_cols), conv_chunk, work);
    }
    kx_ops_release(ops, mark);
}

void kx_op_conv(kx_ops *ops, const kx_tensor *x, const kx_conv_input *input, const kx_conv *conv,
                kx_conv_mode mode, bool add, kx_tensor *y, kx_channel_stats *stats)
{
    if (stats != NULL) stats->known = false;
    if (kx_driver_failed(ops)) return;
    conv_work work = {.guard = {.ops = ops},
                      .kernels = ops->kernels,
                      .source = {ops->kernels, x, input, mode == KX_CONV_UP ? 2 : 1},
                      .x = x,
                      .y = y,
                      .conv = conv,
                      .add = add,
                      .size = conv->weight.rank == 4 ? conv->weight.shape[2] : 1};
    set_mode(&work, mode);
    check_arguments(x, conv, mode, &work, y);
    ops->flops += 2 * (uint64_t)depth_of(&work) * (uint64_t)y->cols * (uint64_t)y->rows;
    kx_profile_conv(ops, x, conv, mode, add, y);
    if (kx_packed_conv_fits(ops, conv))
        kx_packed_conv(ops, x, input, conv, mode, add, y, stats);
    else if (kx_winograd_fits(ops, conv, mode))
        kx_winograd_conv(ops, x, input, conv, mode, add, y);
    else
        run_direct(ops, &work);
    kx_profile_end(ops);
}

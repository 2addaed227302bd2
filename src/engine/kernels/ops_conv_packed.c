/* Convolution 3 x 3 or 1 x 1 as an implicit product of packed matrices (tensor/packed.h), for precisions
 * below f32 on sets that sum products of bf16 on tiles. Operands of a `rounded` convolution are rounded to
 * bf16. Of any other one the weights have to be bf16 in the file, and the input is the sum of two values of
 * bf16, the rounded one and what rounding left, rounded: 2^-17 of it is lost at most, and the work is twice
 * as much.
 *
 * A chunk is a block of output pixels, and on many threads also a part of the output channels. Its worker
 * rounds the input pixels that the block sees, with affine map and SiLU applied, to an operand: planes of 32
 * channels, in which the pixels of a line lie side by side, and line follows line. Seen from one of the taps
 * the inputs of all output pixels are rows of this operand, from the tap's own place on; so a tap is a term
 * of a plain sum of products, and nothing is copied nine times. The rows between two lines of outputs (two,
 * where a line of inputs is longer than one of outputs) are computed too, and not used. So are some behind
 * the last: planes have room there.
 *
 * Where the stride is 2, pixels are dealt out to four such maps by the parity of their line and column: a tap
 * then sees every pixel of one of them.
 *
 *     weights [N/16][tap][plane][16][64 bytes], for either part
 *     | worker: input [map][part][plane][lines][line][64 bytes] | sums [rows][32 channels]
 *     | a pixel in f32, what was rounded of it, the same in bf16
 *
 * An L2 cache has to keep the input and the weights of 32 output channels. The sum of an output value runs
 * over taps, then planes, then parts: it depends on the weights' shape alone.
 */
#include "engine/kernels/conv.h"

enum {
    LEAST_CHANNELS = 32, /* on both sides */
    INPUT_BYTES = 640 * 1024,
    ACROSS = 64, /* outputs of a block, where it has as many lines; else half as many */
    COLS = 32,   /* that are summed together */
    CHUNKS_PER_THREAD = 2,
    BLOCK_PLANE = KX_PACKED_COLUMNS * KX_PLANE_BYTES,
    PLANE_PAD = 2048 / KX_PLANE_BYTES, /* rows; planes must not share the lines of a cache */
    TAPS_MOST = 9,
};
_Static_assert((int)PLANE_PAD >= (int)KX_SUM_ROWS, "there is room behind the last row of a plane");

typedef struct conv_work {
    kx_guard guard;
    const kx_kernels *kernels;
    kx_conv_source source;
    const kx_conv *conv;
    const kx_tensor *y;
    bool add;
    int64_t C, N, planes;
    int64_t side, taps;     /* of the kernel */
    int64_t parts;          /* values of bf16 that an input value is the sum of: 1 or 2 */
    int64_t stride, before; /* of the outputs in the input; zeros above and left */
    int64_t height, width;  /* of a block, in outputs */
    int64_t blocks_across, blocks;
    int64_t share_cols;  /* output channels of a chunk */
    int64_t lines, line; /* of a map of a block's input */
    int64_t plane_bytes, map_bytes;
    uint8_t *weights, *scratch;
    int64_t piece;
} conv_work;

/* A chunk: its place, and the parts of the worker's scratch. */
typedef struct conv_block {
    int64_t top, left, down, across; /* outputs */
    int64_t first, cols;             /* output channels */
    uint8_t *input;
    float *sums, *pixel, *rounded;
    uint16_t *narrow;
} conv_block;

/* C rounded up to whole planes. */
static int64_t padded_channels(const conv_work *work)
{
    return work->planes * kx_plane_values(KX_BF16);
}

/* x (C) -> to: its planes, `stride` bytes apart. */
static void narrow_channels(const conv_work *work, const float *x, uint8_t *to, int64_t stride)
{
    int64_t group = kx_group_values(KX_BF16);
    for (int64_t c = 0; c < work->C; c += group)
        work->kernels->narrow(kx_min(group, work->C - c), x + c,
                              (uint16_t *)(void *)(to + kx_planes_of(KX_BF16, c) * stride), stride);
}

/* ---- Weights ------------------------------------------------------------------------------------------- */

/* The row of output channel n, (C, taps), -> to [tap][plane][64 bytes]; wide (taps C), taps (taps, padded C).
 */
static void convert_weights(const conv_work *work, int64_t n, float *wide, float *taps, uint8_t *to)
{
    const kx_kernels *kernels = work->kernels;
    int64_t stride = padded_channels(work);
    kx_dtype dtype;
    float scale;
    const void *from = kx_weight_row(&work->conv->weight, n, &dtype, &scale);
    kernels->widen(dtype, from, work->C * work->taps, scale, wide);
    for (int64_t c = 0; c < work->C; c += kernels->lanes)
        kernels->transpose(kx_min(kernels->lanes, work->C - c), work->taps, wide + c * work->taps, work->taps,
                           taps + c, stride);
    for (int64_t tap = 0; tap < work->taps; tap++, to += work->planes * KX_PLANE_BYTES)
        narrow_channels(work, taps + tap * stride, to, KX_PLANE_BYTES);
}

/* Planes of all that a row of the operand has at one tap. */
static int64_t depth_planes(const conv_work *work)
{
    return work->parts * work->planes;
}

static int64_t pack_bytes(const conv_work *work)
{
    return (work->C + padded_channels(work)) * work->taps * (int64_t)sizeof(float) +
           work->taps * work->planes * BLOCK_PLANE;
}

/* Sixteen output channels -> their block. */
static void pack_chunk(void *arguments, size_t chunk, size_t worker)
{
    conv_work *work = arguments;
    if (kx_guard_stopped(&work->guard, worker)) return;
    int64_t first = (int64_t)chunk * KX_PACKED_COLUMNS,
            row_bytes = work->taps * work->planes * KX_PLANE_BYTES;
    float *wide = (float *)(void *)(work->scratch + (int64_t)worker * work->piece);
    float *taps = wide + work->C * work->taps;
    uint8_t *columns = (uint8_t *)(taps + padded_channels(work) * work->taps);
    for (int64_t n = 0; n < KX_PACKED_COLUMNS; n++) {
        if (first + n < work->N)
            convert_weights(work, first + n, wide, taps, columns + n * row_bytes);
        else
            memset(columns + n * row_bytes, 0, (size_t)row_bytes);
    }
    kx_driver_join_columns(work->kernels, work->taps * work->planes, columns,
                           work->weights + first * row_bytes);
}

/* ---- A block of outputs -------------------------------------------------------------------------------- */

/* Rows that are computed for so many lines of outputs. */
static int64_t sum_rows(const conv_work *work, int64_t lines)
{
    return kx_round_up((lines - 1) * work->line + work->width, KX_SUM_ROWS);
}

static conv_block open_block(const conv_work *work, size_t chunk, size_t worker)
{
    int64_t place = (int64_t)chunk % work->blocks, part = (int64_t)chunk / work->blocks;
    conv_block block = {.top = place / work->blocks_across * work->height,
                        .left = place % work->blocks_across * work->width,
                        .first = part * work->share_cols,
                        .input = work->scratch + (int64_t)worker * work->piece};
    block.down = kx_min(work->height, work->y->height - block.top);
    block.across = kx_min(work->width, work->y->width - block.left);
    block.cols = kx_min(work->share_cols, work->N - block.first);
    block.sums = (float *)(void *)(block.input + work->stride * work->stride * work->map_bytes);
    block.pixel = block.sums + sum_rows(work, work->height) * COLS;
    block.rounded = block.pixel + padded_channels(work);
    block.narrow = (uint16_t *)(void *)(block.rounded + padded_channels(work));
    return block;
}

/* Where input pixel (i, j) of a block lies in its maps. */
static int64_t place_of(const conv_work *work, int64_t i, int64_t j)
{
    int64_t map = i % work->stride * work->stride + j % work->stride;
    return map * work->map_bytes + (i / work->stride * work->line + j / work->stride) * KX_PLANE_BYTES;
}

/* The pixel that was copied -> to: the planes of its parts. */
static void convert_pixel(const conv_work *work, const conv_block *block, uint8_t *to)
{
    const kx_kernels *kernels = work->kernels;
    narrow_channels(work, block->pixel, to, work->plane_bytes);
    if (work->parts < 2) return;
    narrow_channels(work, block->pixel, (uint8_t *)block->narrow, KX_PLANE_BYTES);
    kernels->widen(KX_BF16, block->narrow, work->C, 1, block->rounded);
    kernels->blend(work->C, block->rounded, -1, 1, block->pixel);
    narrow_channels(work, block->pixel, to + work->planes * work->plane_bytes, work->plane_bytes);
}

/* The planes of n pixels again, from one place of a map to another. */
static void repeat_pixels(const conv_work *work, const conv_block *block, int64_t from, int64_t to, int64_t n)
{
    for (int64_t p = 0; p < depth_planes(work); p++)
        memcpy(block->input + p * work->plane_bytes + to, block->input + p * work->plane_bytes + from,
               (size_t)(n * KX_PLANE_BYTES));
}

/* A pixel that is the one beside or above it, because the source grows, is converted once. */
static void fill_input(const conv_work *work, const conv_block *block)
{
    int64_t rows = (block->down - 1) * work->stride + work->side,
            cols = (block->across - 1) * work->stride + work->side;
    int64_t y = block->top * work->stride - work->before, x = block->left * work->stride - work->before;
    bool grows = work->source.grow == 2;
    for (int64_t i = 0; i < rows; i++) {
        if (grows && i > 0 && (y + i) % 2 == 1) {
            repeat_pixels(work, block, place_of(work, i - 1, 0), place_of(work, i, 0), cols);
            continue;
        }
        for (int64_t j = 0; j < cols; j++) {
            if (grows && j > 0 && (x + j) % 2 == 1) {
                repeat_pixels(work, block, place_of(work, i, j - 1), place_of(work, i, j), 1);
                continue;
            }
            kx_conv_copy_pixel(&work->source, y + i, x + j, block->pixel);
            convert_pixel(work, block, block->input + place_of(work, i, j));
        }
    }
}

/* Output channels first.. of the block, up to COLS, to y. */
static void store_block(const conv_work *work, const conv_block *block, int64_t first)
{
    const kx_tensor *y = work->y;
    const float *bias = work->conv->bias == NULL ? NULL : work->conv->bias + first;
    kx_epilogue epilogue = work->add ? KX_EPILOGUE_ADD : KX_EPILOGUE_STORE;
    bool past = kx_driver_goes_past(work->kernels, epilogue, y);
    int64_t count = kx_min(COLS, work->N - first);
    for (int64_t i = 0; i < block->down; i++)
        for (int64_t j = 0; j < block->across; j++) {
            const float *sums = block->sums + (i * work->line + j) * COLS;
            float *to =
                kx_tensor_f32(y) + ((block->top + i) * y->width + block->left + j) * y->stride + first;
            if (past)
                work->kernels->store_past(count, sums, bias, to);
            else
                work->kernels->epilogue(epilogue, count, sums, bias, NULL, to);
        }
}

/* All output channels of the chunk. */
static void multiply_block(const conv_work *work, const conv_block *block, kx_guard *guard, size_t worker)
{
    const uint8_t *taps[TAPS_MOST];
    for (int64_t tap = 0; tap < work->taps; tap++)
        taps[tap] = block->input + place_of(work, tap / work->side, tap % work->side);
    int64_t b_block = work->taps * work->planes * BLOCK_PLANE;
    for (int64_t first = block->first; first < block->first + block->cols; first += COLS) {
        if (kx_guard_stopped(guard, worker)) return;
        int64_t blocks = kx_ceil_div(kx_min(COLS, work->N - first), KX_PACKED_COLUMNS);
        kx_tile_terms terms = {.terms = work->taps,
                               .planes = work->planes,
                               .parts = work->parts,
                               .a = taps,
                               .a_plane = work->plane_bytes,
                               .a_part = work->planes * work->plane_bytes,
                               .b = work->weights + first / KX_PACKED_COLUMNS * b_block,
                               .b_block = b_block};
        work->kernels->sum_bf16(sum_rows(work, block->down), blocks, &terms, block->sums, COLS);
        store_block(work, block, first);
    }
}

static void block_chunk(void *arguments, size_t chunk, size_t worker)
{
    conv_work *work = arguments;
    if (kx_guard_stopped(&work->guard, worker)) return;
    conv_block block = open_block(work, chunk, worker);
    fill_input(work, &block);
    kx_driver_enter_tiles(work->kernels);
    multiply_block(work, &block, &work->guard, worker);
    kx_driver_leave_tiles(work->kernels);
}

/* ---- The op -------------------------------------------------------------------------------------------- */

static int64_t chunks_of(const conv_work *work)
{
    return work->blocks * kx_ceil_div(work->N, work->share_cols);
}

/* Blocks of about `outputs` pixels. */
static void set_blocks(conv_work *work, int64_t outputs)
{
    int64_t across = outputs >= ACROSS * ACROSS / 2 ? ACROSS : ACROSS / 2;
    work->width = kx_even_part(work->y->width, across, 1);
    work->height = kx_even_part(work->y->height, kx_max(1, outputs / work->width), 1);
    work->blocks_across = kx_ceil_div(work->y->width, work->width);
    work->blocks = work->blocks_across * kx_ceil_div(work->y->height, work->height);
}

static void choose_blocks(conv_work *work, int64_t threads)
{
    int64_t wanted = threads > 1 ? CHUNKS_PER_THREAD * threads : 1;
    int64_t outputs =
        kx_max(ACROSS, INPUT_BYTES / (depth_planes(work) * KX_PLANE_BYTES) / (work->stride * work->stride));
    work->share_cols = kx_round_up(work->N, COLS);
    set_blocks(work, outputs);
    while (chunks_of(work) < wanted && outputs > ACROSS) set_blocks(work, outputs /= 2);
    while (chunks_of(work) < wanted && work->share_cols > COLS)
        work->share_cols = kx_round_up(work->share_cols / 2, COLS);
    int64_t more = work->stride == 1 ? work->side - 1 : 1;
    work->lines = work->height + more;
    work->line = work->width + more;
    work->plane_bytes = (kx_round_up(work->lines * work->line, 2 * PLANE_PAD) + PLANE_PAD) * KX_PLANE_BYTES;
    work->map_bytes = depth_planes(work) * work->plane_bytes;
}

static bool is_bf16(const kx_weight *weight)
{
    for (int i = 0; i < weight->num_segments; i++)
        if (weight->segments[i].dtype != KX_BF16 || weight->segments[i].scale != 1) return false;
    return true;
}

bool kx_packed_conv_fits(const kx_ops *ops, const kx_conv *conv)
{
    const kx_weight *weight = &conv->weight;
    return kx_ops_narrow(ops) && ops->kernels->sum_bf16 != NULL && weight->rank == 4 &&
           weight->shape[0] >= LEAST_CHANNELS && weight->shape[1] >= LEAST_CHANNELS &&
           (conv->rounded || is_bf16(weight));
}

void kx_packed_conv(kx_ops *ops, const kx_tensor *x, const kx_conv_input *input, const kx_conv *conv,
                    kx_conv_mode mode, bool add, kx_tensor *y)
{
    bool down = mode == KX_CONV_DOWN;
    conv_work work = {.guard = {.ops = ops},
                      .kernels = ops->kernels,
                      .source = {ops->kernels, x, input, mode == KX_CONV_UP ? 2 : 1},
                      .conv = conv,
                      .y = y,
                      .add = add,
                      .C = x->cols,
                      .N = y->cols,
                      .planes = kx_planes_of(KX_BF16, x->cols),
                      .side = conv->weight.shape[2],
                      .taps = conv->weight.shape[2] * conv->weight.shape[2],
                      .parts = conv->rounded ? 1 : 2,
                      .stride = down ? 2 : 1,
                      .before = down ? 0 : conv->weight.shape[2] / 2};
    choose_blocks(&work, (int64_t)kx_pool_threads(ops->pool));
    int64_t floats = sum_rows(&work, work.height) * COLS + 2 * padded_channels(&work);
    int64_t bytes = work.stride * work.stride * work.map_bytes + floats * (int64_t)sizeof(float) +
                    work.planes * KX_PLANE_BYTES;
    kx_scratch_mark mark = kx_ops_mark(ops);
    work.piece = kx_driver_piece(kx_max(bytes, pack_bytes(&work)));
    work.weights = kx_driver_take(ops, "convolution: packed weights",
                                  kx_packed_rows(work.N) * work.taps * work.planes * KX_PLANE_BYTES);
    work.scratch = kx_driver_take_workers(ops, "convolution: blocks of the workers", work.piece);
    if (!kx_ops_idle(ops)) {
        kx_guard_run(&work.guard, kx_ceil_div(work.N, KX_PACKED_COLUMNS), pack_chunk, &work);
        if (!kx_driver_failed(ops)) kx_guard_run(&work.guard, chunks_of(&work), block_chunk, &work);
    }
    kx_ops_release(ops, mark);
}

/* Convolution 3 x 3 as an implicit product of packed matrices (tensor/packed.h), for precisions below f32 on
 * sets whose tiles of bf16 leave f32 far behind. Sums are f32. Operands of a `rounded` convolution are
 * rounded to bf16. Of any other one the weights have to be bf16 in the file, and the input is the sum of two
 * values of bf16, the rounded one and what rounding left, rounded: 2^-17 of it is lost at most, and the work
 * is twice as much.
 *
 * A chunk is a block of output pixels, and on many threads also a part of the output channels. Its worker
 * rounds the input pixels that the block sees, with affine map and SiLU applied, to an operand: planes of 32
 * channels, in which the pixels of a line lie side by side, and line follows line. Seen from one of the nine
 * taps the inputs of all output pixels are rows of this operand, from the tap's own place on; so the tap is a
 * plain product, and nothing is copied nine times. The rows between two lines of outputs (two, where a line
 * of inputs is longer than one of outputs) are computed too, and not used.
 *
 * Where the stride is 2, pixels are dealt out to four such maps by the parity of their line and column: a tap
 * then sees every pixel of one of them.
 *
 *     weights [N/16][tap][part][plane][16][64 bytes], each part the same
 *     | worker: input [map][part][plane][lines][line][64 bytes] | sums [rows][share of the channels]
 *     | a pixel in f32, what was rounded of it, the same in bf16
 *
 * The sum of an output value runs over taps, then groups of planes: it depends on the weights' shape alone.
 */
#include "engine/kernels/conv.h"

enum {
    TAPS = 9,
    SIDE = 3,
    LEAST_CHANNELS = 32, /* on both sides */
    BLOCK_ACROSS = 64,
    SUMS = 256 * 512, /* most values of a chunk */
    COLS_MOST = 512,
    CHUNKS_PER_THREAD = 2,
    BLOCK_PLANE = KX_PACKED_COLUMNS * KX_PLANE_BYTES,
    PLANE_PAD = 2048 / KX_PLANE_BYTES, /* rows; planes must not share the lines of a cache */
};

typedef struct conv_work {
    kx_guard guard;
    const kx_kernels *kernels;
    kx_conv_source source;
    const kx_conv *conv;
    const kx_tensor *y;
    bool add;
    int64_t C, N, planes;
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

/* The row of output channel n, (C,3,3), -> to [tap][part][plane][64 bytes]; wide (9 C), taps (9, padded C).
 */
static void convert_weights(const conv_work *work, int64_t n, float *wide, float *taps, uint8_t *to)
{
    const kx_kernels *kernels = work->kernels;
    int64_t stride = padded_channels(work), part_bytes = work->planes * KX_PLANE_BYTES;
    kx_dtype dtype;
    float scale;
    const void *from = kx_weight_row(&work->conv->weight, n, &dtype, &scale);
    kernels->widen(dtype, from, work->C * TAPS, scale, wide);
    for (int64_t c = 0; c < work->C; c += kernels->lanes)
        kernels->transpose(kx_min(kernels->lanes, work->C - c), TAPS, wide + c * TAPS, TAPS, taps + c,
                           stride);
    for (int64_t tap = 0; tap < TAPS; tap++, to += work->parts * part_bytes) {
        narrow_channels(work, taps + tap * stride, to, KX_PLANE_BYTES);
        if (work->parts > 1) memcpy(to + part_bytes, to, (size_t)part_bytes);
    }
}

/* Planes of all that a row of the operand or of the matrix has at one tap. */
static int64_t depth_planes(const conv_work *work)
{
    return work->parts * work->planes;
}

static int64_t pack_bytes(const conv_work *work)
{
    return (work->C + padded_channels(work)) * TAPS * (int64_t)sizeof(float) +
           TAPS * depth_planes(work) * BLOCK_PLANE;
}

/* Sixteen output channels -> their block. */
static void pack_chunk(void *arguments, size_t chunk, size_t worker)
{
    conv_work *work = arguments;
    if (kx_guard_stopped(&work->guard, worker)) return;
    int64_t first = (int64_t)chunk * KX_PACKED_COLUMNS,
            row_bytes = TAPS * depth_planes(work) * KX_PLANE_BYTES;
    float *wide = (float *)(void *)(work->scratch + (int64_t)worker * work->piece);
    float *taps = wide + work->C * TAPS;
    uint8_t *columns = (uint8_t *)(taps + padded_channels(work) * TAPS);
    for (int64_t n = 0; n < KX_PACKED_COLUMNS; n++) {
        if (first + n < work->N)
            convert_weights(work, first + n, wide, taps, columns + n * row_bytes);
        else
            memset(columns + n * row_bytes, 0, (size_t)row_bytes);
    }
    kx_driver_join_columns(work->kernels, TAPS * depth_planes(work), columns,
                           work->weights + first * row_bytes);
}

/* ---- A block of outputs -------------------------------------------------------------------------------- */

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
    block.pixel = block.sums + work->lines * work->line * work->share_cols;
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

static void fill_input(const conv_work *work, const conv_block *block)
{
    int64_t rows = (block->down - 1) * work->stride + SIDE, cols = (block->across - 1) * work->stride + SIDE;
    int64_t y = block->top * work->stride - work->before, x = block->left * work->stride - work->before;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) {
            kx_conv_copy_pixel(&work->source, y + i, x + j, block->pixel);
            convert_pixel(work, block, block->input + place_of(work, i, j));
        }
}

/* Adds what a tap sees to the sums, which begin with the first tap. */
static void add_tap(const conv_work *work, const conv_block *block, int64_t tap)
{
    const kx_kernels *kernels = work->kernels;
    int64_t rows = (block->down - 1) * work->line + block->across;
    int64_t planes = depth_planes(work), b_block = TAPS * planes * BLOCK_PLANE;
    int64_t blocks = kx_ceil_div(block->cols, KX_PACKED_COLUMNS);
    const uint8_t *a = block->input + place_of(work, tap / SIDE, tap % SIDE);
    const uint8_t *b = work->weights + block->first / KX_PACKED_COLUMNS * b_block;
    for (int64_t p = 0; p < planes; p += KX_GROUP_PLANES)
        kernels->tile_bf16(rows, blocks, kx_min(KX_GROUP_PLANES, planes - p),
                           (const uint16_t *)(const void *)(a + p * work->plane_bytes), work->plane_bytes,
                           (const uint16_t *)(const void *)(b + (tap * planes + p) * BLOCK_PLANE), b_block,
                           tap > 0 || p > 0, block->sums, work->share_cols);
}

static void store_block(const conv_work *work, const conv_block *block)
{
    const kx_tensor *y = work->y;
    const float *bias = work->conv->bias == NULL ? NULL : work->conv->bias + block->first;
    kx_epilogue epilogue = work->add ? KX_EPILOGUE_ADD : KX_EPILOGUE_STORE;
    bool past = kx_driver_goes_past(work->kernels, epilogue, y);
    for (int64_t i = 0; i < block->down; i++)
        for (int64_t j = 0; j < block->across; j++) {
            const float *sums = block->sums + (i * work->line + j) * work->share_cols;
            float *to = kx_tensor_f32(y) +
                        ((block->top + i) * y->width + block->left + j) * y->stride + block->first;
            if (past)
                work->kernels->store_past(block->cols, sums, bias, to);
            else
                work->kernels->epilogue(epilogue, block->cols, sums, bias, NULL, to);
        }
}

/* False: the op was cancelled. */
static bool add_taps(const conv_work *work, kx_guard *guard, const conv_block *block, size_t worker)
{
    for (int64_t tap = 0; tap < TAPS; tap++) {
        if (kx_guard_stopped(guard, worker)) return false;
        add_tap(work, block, tap);
    }
    return true;
}

static void block_chunk(void *arguments, size_t chunk, size_t worker)
{
    conv_work *work = arguments;
    if (kx_guard_stopped(&work->guard, worker)) return;
    conv_block block = open_block(work, chunk, worker);
    fill_input(work, &block);
    kx_driver_enter_tiles(work->kernels);
    bool done = add_taps(work, &work->guard, &block, worker);
    kx_driver_leave_tiles(work->kernels);
    if (done) store_block(work, &block);
}

/* ---- The op -------------------------------------------------------------------------------------------- */

static int64_t chunks_of(const conv_work *work)
{
    return work->blocks * kx_ceil_div(work->N, work->share_cols);
}

/* Blocks of about `rows` outputs. */
static void set_blocks(conv_work *work, int64_t rows)
{
    work->width = kx_even_part(work->y->width, BLOCK_ACROSS, 1);
    work->height = kx_even_part(work->y->height, kx_max(1, rows / work->width), 1);
    work->blocks_across = kx_ceil_div(work->y->width, work->width);
    work->blocks = work->blocks_across * kx_ceil_div(work->y->height, work->height);
}

static void choose_blocks(conv_work *work, int64_t threads)
{
    int64_t wanted = threads > 1 ? CHUNKS_PER_THREAD * threads : 1;
    int64_t step = work->kernels->tile_bf16_limit.blocks * KX_PACKED_COLUMNS;
    work->share_cols = kx_min(COLS_MOST, kx_round_up(work->N, step));
    int64_t rows = SUMS / work->share_cols;
    set_blocks(work, rows);
    while (chunks_of(work) < wanted && rows > BLOCK_ACROSS) set_blocks(work, rows /= 2);
    while (chunks_of(work) < wanted && work->share_cols > step)
        work->share_cols = kx_round_up(work->share_cols / 2, step);
    int64_t more = work->stride == 1 ? SIDE - 1 : 1;
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
    return kx_ops_narrow(ops) && ops->kernels->conv_by_tiles && weight->rank == 4 &&
           weight->shape[2] == SIDE && weight->shape[0] >= LEAST_CHANNELS &&
           weight->shape[1] >= LEAST_CHANNELS && (conv->rounded || is_bf16(weight));
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
                      .parts = conv->rounded ? 1 : 2,
                      .stride = down ? 2 : 1,
                      .before = down ? 0 : 1};
    choose_blocks(&work, (int64_t)kx_pool_threads(ops->pool));
    int64_t floats = work.lines * work.line * work.share_cols + 2 * padded_channels(&work);
    int64_t bytes = work.stride * work.stride * work.map_bytes + floats * (int64_t)sizeof(float) +
                    work.planes * KX_PLANE_BYTES;
    kx_scratch_mark mark = kx_ops_mark(ops);
    work.piece = kx_driver_piece(kx_max(bytes, pack_bytes(&work)));
    work.weights = kx_driver_take(ops, "convolution: packed weights",
                                  kx_packed_rows(work.N) * TAPS * depth_planes(&work) * KX_PLANE_BYTES);
    work.scratch = kx_driver_take_workers(ops, "convolution: blocks of the workers", work.piece);
    if (!kx_ops_idle(ops)) {
        kx_guard_run(&work.guard, kx_ceil_div(work.N, KX_PACKED_COLUMNS), pack_chunk, &work);
        if (!kx_driver_failed(ops)) kx_guard_run(&work.guard, chunks_of(&work), block_chunk, &work);
    }
    kx_ops_release(ops, mark);
}

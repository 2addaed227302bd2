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
 *     weights [N/16][plane][tap][16][64 bytes], for either part
 *     | worker: input [map][part][plane][lines][line][64 bytes] | sums [rows][32 channels]
 *
 * An L2 cache has to keep the input and the weights of 32 output channels. The sum of an output value runs
 * over planes, then taps, then parts: it depends on the weights' shape alone.
 *
 * A block's statistics, of each channel, are taken when it is stored, as sums of what its values are above
 * its first one. Blocks are put together in order as in ops_norm.c; they are cut as the shapes say, whatever
 * the number of threads.
 */
#include "engine/kernels/conv.h"

enum {
    LEAST_CHANNELS = 32, /* on both sides */
    INPUT_BYTES = 640 * 1024,
    ACROSS = 64,              /* outputs of a block, where it has as many lines; else half as many */
    COLS = KX_STORE_CHANNELS, /* that are summed together */
    BLOCKS_LEAST = 8,
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
    double *means, *squares; /* [block][N]; NULL: nobody asks */
} conv_work;

/* A chunk: its place, and the parts of the worker's scratch. */
typedef struct conv_block {
    int64_t place;
    int64_t top, left, down, across; /* outputs */
    int64_t first, cols;             /* output channels */
    uint8_t *input;
    float *sums;
} conv_block;

/* C rounded up to whole planes. */
static int64_t padded_channels(const conv_work *work)
{
    return work->planes * kx_plane_values(KX_BF16);
}

/* Of sixteen output channels. */
static int64_t block_bytes(const conv_work *work)
{
    return work->taps * work->planes * BLOCK_PLANE;
}

/* ---- Weights ------------------------------------------------------------------------------------------- */

/* Scratch of a worker: a row (C, taps) as it is in the file, the same with channels beside each other, and
 * sixteen rows of these as planes. */
typedef struct pack_scratch {
    float *row, *taps;
    uint8_t *columns;
} pack_scratch;

static pack_scratch open_scratch(const conv_work *work, uint8_t *scratch)
{
    pack_scratch s = {.row = (float *)(void *)scratch};
    s.taps = s.row + work->C * work->taps;
    s.columns = (uint8_t *)(s.taps + padded_channels(work) * work->taps);
    return s;
}

static int64_t pack_bytes(const conv_work *work)
{
    return (work->C + padded_channels(work)) * work->taps * (int64_t)sizeof(float) + block_bytes(work);
}

/* Output channel n -> to [plane][tap][64 bytes]. */
static void convert_row(const conv_work *work, int64_t n, const pack_scratch *s, uint8_t *to)
{
    const kx_kernels *kernels = work->kernels;
    int64_t stride = padded_channels(work);
    kx_dtype dtype;
    float scale;
    const void *from = kx_weight_row(&work->conv->weight, n, &dtype, &scale);
    kernels->widen(dtype, from, work->C * work->taps, scale, s->row);
    for (int64_t c = 0; c < work->C; c += kernels->lanes)
        kernels->transpose(kx_min(kernels->lanes, work->C - c), work->taps, s->row + c * work->taps,
                           work->taps, s->taps + c, stride);
    for (int64_t tap = 0; tap < work->taps; tap++, to += KX_PLANE_BYTES)
        kernels->affine_bf16(work->C, s->taps + tap * stride, NULL, NULL, false, (uint16_t *)(void *)to, NULL,
                             work->taps * KX_PLANE_BYTES);
}

/* Sixteen output channels -> their block. */
static void pack_chunk(void *arguments, size_t chunk, size_t worker)
{
    conv_work *work = arguments;
    if (kx_guard_stopped(&work->guard, worker)) return;
    pack_scratch s = open_scratch(work, work->scratch + (int64_t)worker * work->piece);
    int64_t first = (int64_t)chunk * KX_PACKED_COLUMNS,
            row_bytes = work->taps * work->planes * KX_PLANE_BYTES;
    for (int64_t n = 0; n < KX_PACKED_COLUMNS; n++) {
        if (first + n < work->N)
            convert_row(work, first + n, &s, s.columns + n * row_bytes);
        else
            memset(s.columns + n * row_bytes, 0, (size_t)row_bytes);
    }
    kx_driver_join_columns(work->kernels, work->taps * work->planes, s.columns,
                           work->weights + first * row_bytes);
}

/* ---- A block of outputs -------------------------------------------------------------------------------- */

/* Planes of all that a row of the operand has at one tap. */
static int64_t depth_planes(const conv_work *work)
{
    return work->parts * work->planes;
}

/* Rows that are computed for so many lines of outputs. */
static int64_t sum_rows(const conv_work *work, int64_t lines)
{
    return kx_round_up((lines - 1) * work->line + work->width, KX_SUM_ROWS);
}

static conv_block open_block(const conv_work *work, size_t chunk, size_t worker)
{
    int64_t place = (int64_t)chunk % work->blocks, part = (int64_t)chunk / work->blocks;
    conv_block block = {.place = place,
                        .top = place / work->blocks_across * work->height,
                        .left = place % work->blocks_across * work->width,
                        .first = part * work->share_cols,
                        .input = work->scratch + (int64_t)worker * work->piece};
    block.down = kx_min(work->height, work->y->height - block.top);
    block.across = kx_min(work->width, work->y->width - block.left);
    block.cols = kx_min(work->share_cols, work->N - block.first);
    block.sums = (float *)(void *)(block.input + work->stride * work->stride * work->map_bytes);
    return block;
}

/* Where input pixel (i, j) of a block lies in its maps. */
static int64_t place_of(const conv_work *work, int64_t i, int64_t j)
{
    int64_t map = i % work->stride * work->stride + j % work->stride;
    return map * work->map_bytes + (i / work->stride * work->line + j / work->stride) * KX_PLANE_BYTES;
}

/* Pixel (y, x) of the input -> to: the planes of its parts; zeros outside of the picture. */
static void fill_pixel(const conv_work *work, int64_t y, int64_t x, uint8_t *to)
{
    const kx_conv_input *input = work->source.input;
    const float *from = kx_conv_pixel(&work->source, y, x);
    if (from == NULL) {
        for (int64_t p = 0; p < depth_planes(work); p++)
            memset(to + p * work->plane_bytes, 0, KX_PLANE_BYTES);
        return;
    }
    bool maps = input != NULL && input->scale != NULL;
    uint8_t *rest = to + work->planes * work->plane_bytes;
    work->kernels->affine_bf16(work->C, from, maps ? kx_tensor_f32(input->scale) : NULL,
                               maps ? kx_tensor_f32(input->shift) : NULL, input != NULL && input->silu,
                               (uint16_t *)(void *)to, work->parts > 1 ? (uint16_t *)(void *)rest : NULL,
                               work->plane_bytes);
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
    bool grows = work->source.grow > 1;
    for (int64_t i = 0; i < rows; i++) {
        if (grows && i > 0 && (y + i) % 2 == 1) {
            repeat_pixels(work, block, place_of(work, i - 1, 0), place_of(work, i, 0), cols);
            continue;
        }
        for (int64_t j = 0; j < cols; j++) {
            if (grows && j > 0 && (x + j) % 2 == 1)
                repeat_pixels(work, block, place_of(work, i, j - 1), place_of(work, i, j), 1);
            else
                fill_pixel(work, y + i, x + j, block->input + place_of(work, i, j));
        }
    }
}

/* Where line i of the block begins in y. */
static float *target_of(const conv_work *work, const conv_block *block, int64_t i)
{
    return kx_tensor_f32(work->y) + ((block->top + i) * work->y->width + block->left) * work->y->stride;
}

/* Output channels first.. of the block, `call->n` of them. Without a middle there are no statistics. */
static void store_lines(const conv_work *work, const conv_block *block, int64_t first, kx_store_pixels *call)
{
    for (int64_t i = 0; i < block->down; i++) {
        call->r = block->sums + i * work->line * COLS;
        call->y = target_of(work, block, i) + first;
        work->kernels->store_pixels(call);
    }
}

/* The same with statistics. */
static void store_counting(const conv_work *work, const conv_block *block, int64_t first,
                           kx_store_pixels *call)
{
    float middle[COLS];
    double sums[COLS] = {0}, squares[COLS] = {0}, count = (double)(block->down * block->across);
    const float *before = target_of(work, block, 0) + first;
    for (int64_t c = 0; c < call->n; c++)
        middle[c] = block->sums[c] + (call->bias == NULL ? 0 : call->bias[c]) + (call->add ? before[c] : 0);
    call->middle = middle;
    call->sums = sums;
    call->squares = squares;
    store_lines(work, block, first, call);
    int64_t at = block->place * work->N + first;
    for (int64_t c = 0; c < call->n; c++) {
        work->means[at + c] = (double)middle[c] + sums[c] / count;
        work->squares[at + c] = squares[c] - sums[c] * sums[c] / count;
    }
}

static void store_block(const conv_work *work, const conv_block *block, int64_t first)
{
    kx_epilogue epilogue = work->add ? KX_EPILOGUE_ADD : KX_EPILOGUE_STORE;
    kx_store_pixels call = {.pixels = block->across,
                            .n = kx_min(COLS, work->N - first),
                            .r_stride = COLS,
                            .bias = work->conv->bias == NULL ? NULL : work->conv->bias + first,
                            .y_stride = work->y->stride,
                            .add = work->add,
                            .past = kx_driver_goes_past(work->kernels, epilogue, work->y)};
    if (work->means == NULL)
        store_lines(work, block, first, &call);
    else
        store_counting(work, block, first, &call);
}

/* Output channels first.. of the block, up to COLS. */
static void multiply_block(const conv_work *work, const conv_block *block, int64_t first)
{
    const uint8_t *taps[TAPS_MOST];
    for (int64_t tap = 0; tap < work->taps; tap++)
        taps[tap] = block->input + place_of(work, tap / work->side, tap % work->side);
    int64_t blocks = kx_ceil_div(kx_min(COLS, work->N - first), KX_PACKED_COLUMNS);
    kx_tile_terms terms = {.terms = work->taps,
                           .planes = work->planes,
                           .pairs = work->parts > 1 ? work->taps : 0,
                           .a = taps,
                           .a_plane = work->plane_bytes,
                           .a_part = work->planes * work->plane_bytes,
                           .b = work->weights + first / KX_PACKED_COLUMNS * block_bytes(work),
                           .b_block = block_bytes(work)};
    work->kernels->sum_bf16(sum_rows(work, block->down), blocks, &terms, false, block->sums, COLS);
    store_block(work, block, first);
}

static void block_chunk(void *arguments, size_t chunk, size_t worker)
{
    conv_work *work = arguments;
    conv_block block = open_block(work, chunk, worker);
    if (kx_guard_stopped(&work->guard, worker)) return;
    fill_input(work, &block);
    kx_driver_enter_tiles(work->kernels);
    for (int64_t first = block.first; first < block.first + block.cols; first += COLS) {
        if (kx_guard_stopped(&work->guard, worker)) break;
        multiply_block(work, &block, first);
    }
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
    set_blocks(work, outputs);
    while (work->blocks < BLOCKS_LEAST && outputs > ACROSS) set_blocks(work, outputs /= 2);
    work->share_cols = kx_round_up(work->N, COLS);
    while (chunks_of(work) < wanted && work->share_cols > COLS)
        work->share_cols = kx_round_up(work->share_cols / 2, COLS);
    int64_t more = work->stride == 1 ? work->side - 1 : 1;
    work->lines = work->height + more;
    work->line = work->width + more;
    work->plane_bytes = (kx_round_up(work->lines * work->line, 2 * PLANE_PAD) + PLANE_PAD) * KX_PLANE_BYTES;
    work->map_bytes = depth_planes(work) * work->plane_bytes;
}

/* Outputs of the block at `place`. */
static double outputs_of(const conv_work *work, int64_t place)
{
    int64_t top = place / work->blocks_across * work->height,
            left = place % work->blocks_across * work->width;
    return (double)(kx_min(work->height, work->y->height - top) * kx_min(work->width, work->y->width - left));
}

/* The statistics of all blocks put together. */
static void join_blocks(const conv_work *work, kx_channel_stats *stats)
{
    int64_t N = work->N;
    memset(stats->mean, 0, (size_t)N * sizeof stats->mean[0]);
    memset(stats->squares, 0, (size_t)N * sizeof stats->squares[0]);
    for (int64_t i = 0; i < work->blocks; i++) {
        double share = outputs_of(work, i) / (double)work->y->rows;
        for (int64_t c = 0; c < N; c++) stats->mean[c] += share * work->means[i * N + c];
    }
    for (int64_t i = 0; i < work->blocks; i++) {
        double count = outputs_of(work, i);
        for (int64_t c = 0; c < N; c++) {
            double apart = work->means[i * N + c] - stats->mean[c];
            stats->squares[c] += work->squares[i * N + c] + count * apart * apart;
        }
    }
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
    return kx_ops_narrow(ops) && ops->kernels->sum_bf16 != NULL && weight->shape[0] >= LEAST_CHANNELS &&
           weight->shape[1] >= LEAST_CHANNELS && (conv->rounded || is_bf16(weight));
}

void kx_packed_conv(kx_ops *ops, const kx_tensor *x, const kx_conv_input *input, const kx_conv *conv,
                    kx_conv_mode mode, bool add, kx_tensor *y, kx_channel_stats *stats)
{
    bool down = mode == KX_CONV_DOWN;
    int64_t side = conv->weight.rank == 4 ? conv->weight.shape[2] : 1;
    conv_work work = {.guard = {.ops = ops},
                      .kernels = ops->kernels,
                      .source = {ops->kernels, x, input, mode == KX_CONV_UP ? 2 : 1},
                      .conv = conv,
                      .y = y,
                      .add = add,
                      .C = x->cols,
                      .N = y->cols,
                      .planes = kx_planes_of(KX_BF16, x->cols),
                      .side = side,
                      .taps = side * side,
                      .parts = conv->rounded ? 1 : 2,
                      .stride = down ? 2 : 1,
                      .before = down ? 0 : side / 2};
    choose_blocks(&work, (int64_t)kx_pool_threads(ops->pool));
    int64_t bytes = work.stride * work.stride * work.map_bytes +
                    sum_rows(&work, work.height) * COLS * (int64_t)sizeof(float);
    kx_scratch_mark mark = kx_ops_mark(ops);
    work.piece = kx_driver_piece(kx_max(bytes, pack_bytes(&work)));
    work.weights = kx_driver_take(ops, "convolution: packed weights",
                                  kx_ceil_div(work.N, KX_PACKED_COLUMNS) * block_bytes(&work));
    work.scratch = kx_driver_take_workers(ops, "convolution: blocks of the workers", work.piece);
    if (stats != NULL) {
        int64_t bytes_of_all = work.blocks * work.N * (int64_t)sizeof(double);
        work.means = kx_driver_take(ops, "convolution: means", bytes_of_all);
        work.squares = kx_driver_take(ops, "convolution: squares", bytes_of_all);
        stats->known = true;
    }
    if (!kx_ops_idle(ops)) {
        kx_guard_run(&work.guard, kx_ceil_div(work.N, KX_PACKED_COLUMNS), pack_chunk, &work);
        if (!kx_driver_failed(ops)) kx_guard_run(&work.guard, chunks_of(&work), block_chunk, &work);
        if (!kx_driver_failed(ops) && stats != NULL) join_blocks(&work, stats);
    }
    kx_ops_release(ops, mark);
}

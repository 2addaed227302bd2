/* The walks through encoder and decoder. How large the two planes (see vae.h) must be is not computed by
 * hand: the walk is first run dry over a canvas without memory, which notes how far into each plane it
 * reached. */
#include "engine/model/vae.h"

#include "engine/model/vae_parts.h"

#include <math.h>

enum { SHORTCUT_PIECE_FLOATS = 1 << 20 };

typedef struct canvas {
    kx_tensor planes[2]; /* one row each */
    int64_t reached[2];  /* floats of each plane that were in use at some time */
    int64_t widest;      /* channels of a map at the most */
    int current;         /* the plane that holds x */
    kx_tensor x;
    kx_channel_stats stats, hidden_stats; /* of x, and of what a block has in the other plane */
} canvas;

/* A map (height, width, channels) in a plane, from float `first` on; `stride` floats from cell to cell. */
static kx_tensor place(canvas *c, int plane, int64_t first, int64_t height, int64_t width, int64_t channels,
                       int64_t stride)
{
    int64_t end = first + height * width * stride;
    if (end > c->reached[plane]) c->reached[plane] = end;
    if (channels > c->widest) c->widest = channels;
    kx_tensor map = kx_tensor_cols(&c->planes[plane], first, channels);
    map.rows = height * width;
    map.stride = stride;
    map.height = height;
    map.width = width;
    return map;
}

/* The same size as x, in the plane that x is not in. */
static kx_tensor place_beside(canvas *c, int64_t first, int64_t channels)
{
    return place(c, 1 - c->current, first, c->x.height, c->x.width, channels, channels);
}

/* y = conv(silu(GN(x))), or y += that. stats: of x; of_y: see kx_op_conv. */
static void normed_conv(const kx_vae *vae, kx_ops *ops, const kx_tensor *x, const kx_channel_stats *stats,
                        const kx_norm *norm, const kx_conv *conv, bool add, kx_tensor *y,
                        kx_channel_stats *of_y)
{
    kx_scratch_mark mark = kx_ops_mark(ops);
    kx_tensor scale = kx_ops_take(ops, "vae: norm scale", 1, x->cols);
    kx_tensor shift = kx_ops_take(ops, "vae: norm shift", 1, x->cols);
    kx_op_group_norm_affine(ops, x, stats, vae->config.groups, vae->config.eps, norm->weight, norm->bias,
                            &scale, &shift);
    kx_conv_input input = {.scale = &scale, .shift = &shift, .silu = true};
    kx_op_conv(ops, x, &input, conv, KX_CONV_SAME, add, y, of_y);
    kx_ops_release(ops, mark);
}

/* x (H,W,in) -> x (H,W,out) = W x + b, in place, some lines at a time: the stride of x has room for both. */
static void apply_shortcut(kx_ops *ops, const kx_vae_block *block, kx_tensor *x)
{
    kx_scratch_mark mark = kx_ops_mark(ops);
    int64_t lines = SHORTCUT_PIECE_FLOATS / (block->out_channels * x->width);
    if (lines < 1) lines = 1;
    if (lines > x->height) lines = x->height;
    kx_tensor piece = kx_ops_take(ops, "vae: shortcut lines", lines * x->width, block->out_channels);
    for (int64_t first = 0; first < x->height; first += lines) {
        int64_t count = x->height - first < lines ? x->height - first : lines;
        kx_tensor from = kx_tensor_rows(x, first * x->width, count * x->width), to;
        kx_tensor some = kx_tensor_rows(&piece, 0, count * x->width);
        from.height = some.height = count;
        from.width = some.width = x->width;
        to = from;
        to.cols = block->out_channels;
        kx_op_conv(ops, &from, NULL, &block->shortcut, KX_CONV_SAME, false, &some, NULL);
        kx_op_copy(ops, &some, &to);
    }
    x->cols = block->out_channels;
    kx_ops_release(ops, mark);
}

/* x = shortcut(x) + conv2(silu(GN2(conv1(silu(GN1(x)))))) */
static void run_block(const kx_vae *vae, kx_ops *ops, const kx_vae_block *block, canvas *c)
{
    kx_tensor hidden = place_beside(c, 0, block->out_channels);
    normed_conv(vae, ops, &c->x, &c->stats, &block->norm1, &block->conv1, false, &hidden, &c->hidden_stats);
    if (block->has_shortcut) apply_shortcut(ops, block, &c->x);
    normed_conv(vae, ops, &hidden, &c->hidden_stats, &block->norm2, &block->conv2, true, &c->x, &c->stats);
}

/* x += Wo softmax(Q K^T / sqrt(C)) V, one head; Q, K, V from GN(x). The cells are the rows. */
static void run_attention(const kx_vae *vae, kx_ops *ops, const kx_vae_middle *middle, canvas *c)
{
    kx_scratch_mark mark = kx_ops_mark(ops);
    int64_t channels = c->x.cols, size = c->x.rows * channels;
    kx_tensor scale = kx_ops_take(ops, "vae: norm scale", 1, channels);
    kx_tensor shift = kx_ops_take(ops, "vae: norm shift", 1, channels);
    kx_tensor q = place_beside(c, 0, channels), k = place_beside(c, size, channels),
              v = place_beside(c, 2 * size, channels);
    kx_op_group_norm_affine(ops, &c->x, &c->stats, vae->config.groups, vae->config.eps, middle->norm.weight,
                            middle->norm.bias, &scale, &shift);
    kx_conv_input normed = {.scale = &scale, .shift = &shift};
    kx_op_conv(ops, &c->x, &normed, &middle->q, KX_CONV_SAME, false, &q, NULL);
    kx_op_conv(ops, &c->x, &normed, &middle->k, KX_CONV_SAME, false, &k, NULL);
    kx_op_conv(ops, &c->x, &normed, &middle->v, KX_CONV_SAME, false, &v, NULL);
    kx_attention attention = {.heads = 1,
                              .head_dim = channels,
                              .scale = 1.0f / sqrtf((float)channels),
                              .exact = true,
                              .rounded = middle->q.rounded};
    kx_op_attention(ops, &attention, &q, &k, &v, &q);
    kx_op_conv(ops, &q, NULL, &middle->out, KX_CONV_SAME, true, &c->x, &c->stats);
    kx_ops_release(ops, mark);
}

static void run_middle(const kx_vae *vae, kx_ops *ops, const kx_vae_middle *middle, canvas *c)
{
    run_block(vae, ops, &middle->before, c);
    run_attention(vae, ops, middle, c);
    run_block(vae, ops, &middle->after, c);
}

/* The blocks of a level, then the way to the next one (NULL: there is none), whose widest map decides the
 * stride. */
static void run_level(const kx_vae *vae, kx_ops *ops, const kx_vae_level *level, kx_conv_mode mode,
                      const kx_vae_level *next, canvas *c)
{
    for (int i = 0; i < level->num_blocks; i++) run_block(vae, ops, &level->blocks[i], c);
    if (next == NULL) return;
    int64_t height = mode == KX_CONV_UP ? 2 * c->x.height : c->x.height / 2;
    int64_t width = mode == KX_CONV_UP ? 2 * c->x.width : c->x.width / 2;
    kx_tensor y = place(c, 1 - c->current, 0, height, width, c->x.cols, next->widest);
    kx_op_conv(ops, &c->x, NULL, &level->resample, mode, false, &y, &c->stats);
    c->current = 1 - c->current;
    c->x = y;
}

/* pixels (H,W,3) -> moments (h,w,2z) */
static void walk_encoder(const kx_vae *vae, kx_ops *ops, canvas *c, const kx_tensor *pixels,
                         kx_tensor *moments)
{
    const kx_vae_half *half = &vae->encoder;
    c->x = place(c, 0, 0, pixels->height, pixels->width, half->first.weight.shape[0], half->levels[0].widest);
    kx_op_conv(ops, pixels, NULL, &half->first, KX_CONV_SAME, false, &c->x, &c->stats);
    for (int i = 0; i < half->num_levels; i++) {
        run_level(vae, ops, &half->levels[i], KX_CONV_DOWN,
                  i < half->num_levels - 1 ? &half->levels[i + 1] : NULL, c);
        kx_ops_trace(ops, &c->x, "vae.encode.level.%d", i);
    }
    run_middle(vae, ops, &half->middle, c);
    kx_ops_trace(ops, &c->x, "vae.encode.middle");
    normed_conv(vae, ops, &c->x, &c->stats, &half->norm, &half->last, false, moments, NULL);
}

/* latent (h,w,z), scaled -> pixels (H,W,3) */
static void walk_decoder(const kx_vae *vae, kx_ops *ops, canvas *c, const kx_tensor *latent,
                         kx_tensor *pixels)
{
    const kx_vae_half *half = &vae->decoder;
    kx_tensor scale = kx_tensor_of(vae->decode_scale, 1, vae->config.latent_channels);
    kx_tensor shift = kx_tensor_of(vae->decode_shift, 1, vae->config.latent_channels);
    kx_conv_input unscaled = {.scale = &scale, .shift = &shift};
    int last = half->num_levels - 1;
    c->x =
        place(c, 0, 0, latent->height, latent->width, half->first.weight.shape[0], half->levels[last].widest);
    kx_op_conv(ops, latent, &unscaled, &half->first, KX_CONV_SAME, false, &c->x, &c->stats);
    run_middle(vae, ops, &half->middle, c);
    kx_ops_trace(ops, &c->x, "vae.decode.middle");
    for (int i = last; i >= 0; i--) {
        run_level(vae, ops, &half->levels[i], KX_CONV_UP, i > 0 ? &half->levels[i - 1] : NULL, c);
        kx_ops_trace(ops, &c->x, "vae.decode.level.%d", i);
    }
    normed_conv(vae, ops, &c->x, &c->stats, &half->norm, &half->last, false, pixels, NULL);
}

typedef void walk(const kx_vae *vae, kx_ops *ops, canvas *c, const kx_tensor *from, kx_tensor *to);

/* The walk over planes from the scratch, of the size that a dry walk reached. */
static void run_walk(const kx_vae *vae, kx_ops *ops, walk *way, const kx_tensor *from, kx_tensor *to)
{
    kx_scratch_mark mark = kx_ops_mark(ops);
    kx_scratch uncounted;
    kx_scratch_measure(&uncounted);
    kx_ops dry = *ops;
    dry.dry = true;
    dry.scratch = &uncounted;
    canvas c = {.planes = {kx_tensor_of(NULL, 1, 0), kx_tensor_of(NULL, 1, 0)}};
    way(vae, &dry, &c, from, to);
    canvas real = {.planes = {kx_ops_take(ops, "vae: plane", 1, c.reached[0]),
                              kx_ops_take(ops, "vae: other plane", 1, c.reached[1])},
                   .stats = kx_ops_take_stats(ops, "vae: statistics", c.widest),
                   .hidden_stats = kx_ops_take_stats(ops, "vae: statistics of a block", c.widest)};
    way(vae, ops, &real, from, to);
    kx_ops_release(ops, mark);
}

static bool fits_cells(const kx_vae *vae, kx_ops *ops, const kx_tensor *pixels)
{
    int64_t cell = kx_vae_cell_px(vae);
    if (pixels->height > 0 && pixels->width > 0 && pixels->height % cell == 0 && pixels->width % cell == 0)
        return true;
    kx_error_set(&ops->error, KX_ERR_INTERNAL, __FILE__, __LINE__,
                 "vae: a picture of %lldx%lld pixels does not consist of cells of %lldx%lld",
                 (long long)pixels->width, (long long)pixels->height, (long long)cell, (long long)cell);
    return false;
}

void kx_vae_encode(const kx_vae *vae, kx_ops *ops, const kx_tensor *pixels, kx_tensor *latent)
{
    kx_scratch_mark mark = kx_ops_mark(ops);
    int64_t cell = kx_vae_cell_px(vae), channels = vae->config.latent_channels;
    if (!fits_cells(vae, ops, pixels)) return;
    kx_tensor moments =
        kx_ops_take_map(ops, "vae: moments", pixels->height / cell, pixels->width / cell, 2 * channels);
    run_walk(vae, ops, walk_encoder, pixels, &moments);
    kx_ops_trace(ops, &moments, "vae.encode.moments");
    kx_tensor mean = kx_tensor_cols(&moments, 0, channels);
    kx_tensor scale = kx_tensor_of(vae->encode_scale, 1, channels);
    kx_tensor shift = kx_tensor_of(vae->encode_shift, 1, channels);
    kx_op_affine(ops, &mean, &scale, &shift, latent);
    kx_ops_release(ops, mark);
}

void kx_vae_decode(const kx_vae *vae, kx_ops *ops, const kx_tensor *latent, kx_tensor *pixels)
{
    if (fits_cells(vae, ops, pixels)) run_walk(vae, ops, walk_decoder, latent, pixels);
}

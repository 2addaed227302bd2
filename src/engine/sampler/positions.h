/* Sizes, packing and positions: how pictures become tokens of the transformer.
 *
 * A picture of W x H pixels (multiples of 16) is a latent of W/8 x H/8 cells with 16 channels, and W/16 x
 * H/16 tokens: each token is a patch of 2x2 cells. Every token has a position of three numbers (index, y, x)
 * that the rotary embedding turns into angles. The target has index 0; references have other indexes or lie
 * beside each other. Positions are f32 throughout: bf16 cannot hold every integer above 256.
 */
#pragma once

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

#define KX_POSITION_AXES   3
#define KX_TOKEN_PX        16 /* pixels along a side of a token */
#define KX_LATENT_CHANNELS 16
#define KX_TOKEN_FEATURES  (KX_LATENT_CHANNELS * 4)

/* ---- Sizes ---- */

/* The 17 sizes of about one megapixel that Kontext was trained on. */
extern const kx_size kx_positions_preferred_sizes[17];

/* The entry of `sizes` (count >= 1) whose width/height is nearest to source's; among equals the narrower,
 * then the lower. This is the rule of the model's own code, which forms the ratio from the true size.
 * (diffusers first floors both sides to multiples of 16, which can choose a neighbour; see ..._floored.) */
kx_size kx_positions_choose_preferred(const kx_size *sizes, size_t count, kx_size source);
/* The rule of diffusers, for comparison with it. A side below 16 counts as 16. */
kx_size kx_positions_choose_preferred_floored(const kx_size *sizes, size_t count, kx_size source);

/* The size of about `area_px` pixels with the ratio aspect_w : aspect_h, floored to multiples of 16.
 * Errors: KX_ERR_INPUT when the ratio is not positive and finite or a side leaves 16-2048. */
kx_status kx_positions_size_from_aspect(double aspect_w, double aspect_h, uint64_t area_px, kx_size *size,
                                        kx_error *err);

/* The smallest multiples of 16 that hold `size`: what the model computes before the result is cropped back.
 */
kx_size kx_positions_pad(kx_size size);

/* Shrinks `count` working sizes by one common factor until all together have at most `budget_px` pixels;
 * sizes within the budget stay as they are, 0 means no budget. Sides are floored to multiples of 16 and never
 * below 16, so a budget under 256 pixels a picture cannot be met. */
void kx_positions_fit_budget(kx_size *sizes, size_t count, uint64_t budget_px);

/* ---- Packing ---- */

/* How a latent lies in memory: element (c, y, x) is latent[c * channel_stride + (y * width + x) *
 * cell_stride]. */
typedef struct kx_latent_layout {
    size_t height, width; /* cells, both even */
    size_t channel_stride, cell_stride;
} kx_latent_layout;

/* (16, height, width) in C order, as noise is drawn. */
kx_latent_layout kx_latent_layout_planes(size_t height, size_t width);
/* (height, width, 16), channels last, as the VAE computes. */
kx_latent_layout kx_latent_layout_cells(size_t height, size_t width);

/* latent -> tokens (height/2 * width/2, 64): feature 4 c + 2 (y mod 2) + x mod 2. */
void kx_positions_pack(const float *latent, kx_latent_layout layout, float *tokens);
/* The inverse. */
void kx_positions_unpack(const float *tokens, kx_latent_layout layout, float *latent);

/* ---- Positions ---- */

/* Where a reference lies in the position space, in tokens. */
typedef struct kx_placement {
    int index;
    int offset_y, offset_x;
} kx_placement;

/* sizes (count), working sizes in pixels -> placements (count).
 * offset: index 1 for all, each beside what is there already, below or to the right, whichever keeps the
 * whole nearer to a square (the rule of ComfyUI). index: 1, 2, ... from their own origin. stitch: the
 * references are one canvas by now, so each of `count` (1) is placed at (1, 0, 0). */
void kx_positions_place(kx_reference_scheme scheme, const kx_size *sizes, size_t count,
                        kx_placement *placements);

/* -> ids (tokens, 3), all zero: the text. */
void kx_positions_write_text(float *ids, size_t tokens);
/* -> ids (rows * cols, 3): (index, y + offset_y, x + offset_x) row by row. The target is placed at (0, 0, 0).
 */
void kx_positions_write_grid(float *ids, size_t rows, size_t cols, kx_placement placement);

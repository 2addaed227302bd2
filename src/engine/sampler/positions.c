#include "engine/sampler/positions.h"

#include "base/limits.h"

#include <assert.h>
#include <math.h>

const kx_size kx_positions_preferred_sizes[17] = {
    {672, 1568}, {688, 1504}, {720, 1456},  {752, 1392}, {800, 1328}, {832, 1248},
    {880, 1184}, {944, 1104}, {1024, 1024}, {1104, 944}, {1184, 880}, {1248, 832},
    {1328, 800}, {1392, 752}, {1456, 720},  {1504, 688}, {1568, 672},
};

static int floor_to_token(int side_px)
{
    return side_px / KX_TOKEN_PX * KX_TOKEN_PX;
}

static int floor_to_token_at_least_one(int side_px)
{
    return side_px < KX_TOKEN_PX ? KX_TOKEN_PX : floor_to_token(side_px);
}

kx_size kx_positions_choose_preferred(const kx_size *sizes, size_t count, kx_size source)
{
    assert(count >= 1 && source.width_px > 0 && source.height_px > 0);
    double aspect = (double)source.width_px / source.height_px;
    kx_size best = sizes[0];
    double best_distance = INFINITY;
    for (size_t i = 0; i < count; i++) {
        double distance = fabs(aspect - (double)sizes[i].width_px / sizes[i].height_px);
        bool smaller = sizes[i].width_px != best.width_px ? sizes[i].width_px < best.width_px
                                                          : sizes[i].height_px < best.height_px;
        if (distance > best_distance || (distance == best_distance && !smaller)) continue;
        best = sizes[i];
        best_distance = distance;
    }
    return (kx_size){floor_to_token(best.width_px), floor_to_token(best.height_px)};
}

kx_size kx_positions_choose_preferred_floored(const kx_size *sizes, size_t count, kx_size source)
{
    kx_size floored = {floor_to_token_at_least_one(source.width_px),
                       floor_to_token_at_least_one(source.height_px)};
    return kx_positions_choose_preferred(sizes, count, floored);
}

kx_status kx_positions_size_from_aspect(double aspect_w, double aspect_h, uint64_t area_px, kx_size *size,
                                        kx_error *err)
{
    kx_status status = KX_OK;
    double ratio = aspect_w / aspect_h;
    KX_FAIL_IF(!(aspect_w > 0 && aspect_h > 0) || !(ratio > 0 && isfinite(ratio)), err, KX_ERR_INPUT,
               "aspect %g:%g: two positive numbers are expected", aspect_w, aspect_h);
    double width = KX_TOKEN_PX * floor(rint(sqrt((double)area_px * ratio)) / KX_TOKEN_PX);
    double height = KX_TOKEN_PX * floor(rint(sqrt((double)area_px / ratio)) / KX_TOKEN_PX);
    KX_FAIL_IF(fmin(width, height) < KX_LIMIT_SIDE_MIN_PX || fmax(width, height) > KX_LIMIT_SIDE_MAX_PX, err,
               KX_ERR_INPUT, "aspect %g:%g: gives a picture of %.0fx%.0f, each side must be %d-%d", aspect_w,
               aspect_h, width, height, KX_LIMIT_SIDE_MIN_PX, KX_LIMIT_SIDE_MAX_PX);
    *size = (kx_size){(int)width, (int)height};
out:
    return status;
}

kx_size kx_positions_pad(kx_size size)
{
    return (kx_size){floor_to_token(size.width_px + KX_TOKEN_PX - 1),
                     floor_to_token(size.height_px + KX_TOKEN_PX - 1)};
}

void kx_positions_fit_budget(kx_size *sizes, size_t count, uint64_t budget_px)
{
    uint64_t total = 0;
    for (size_t i = 0; i < count; i++) total += (uint64_t)sizes[i].width_px * (uint64_t)sizes[i].height_px;
    if (budget_px == 0 || total <= budget_px) return;
    double factor = sqrt((double)budget_px / (double)total);
    for (size_t i = 0; i < count; i++) {
        sizes[i].width_px = floor_to_token_at_least_one((int)(sizes[i].width_px * factor));
        sizes[i].height_px = floor_to_token_at_least_one((int)(sizes[i].height_px * factor));
    }
}

/* The place of cell (channel, y, x) among the tokens of a latent that is `width` cells wide. */
static size_t token_place(size_t channel, size_t y, size_t x, size_t width)
{
    size_t token = y / 2 * (width / 2) + x / 2;
    return token * KX_TOKEN_FEATURES + 4 * channel + 2 * (y % 2) + x % 2;
}

kx_latent_layout kx_latent_layout_planes(size_t height, size_t width)
{
    return (kx_latent_layout){height, width, height * width, 1};
}

kx_latent_layout kx_latent_layout_cells(size_t height, size_t width)
{
    return (kx_latent_layout){height, width, 1, KX_LATENT_CHANNELS};
}

static size_t latent_place(const kx_latent_layout *layout, size_t c, size_t y, size_t x)
{
    return c * layout->channel_stride + (y * layout->width + x) * layout->cell_stride;
}

void kx_positions_pack(const float *latent, kx_latent_layout layout, float *tokens)
{
    assert(layout.height % 2 == 0 && layout.width % 2 == 0);
    for (size_t c = 0; c < KX_LATENT_CHANNELS; c++)
        for (size_t y = 0; y < layout.height; y++)
            for (size_t x = 0; x < layout.width; x++)
                tokens[token_place(c, y, x, layout.width)] = latent[latent_place(&layout, c, y, x)];
}

void kx_positions_unpack(const float *tokens, kx_latent_layout layout, float *latent)
{
    assert(layout.height % 2 == 0 && layout.width % 2 == 0);
    for (size_t c = 0; c < KX_LATENT_CHANNELS; c++)
        for (size_t y = 0; y < layout.height; y++)
            for (size_t x = 0; x < layout.width; x++)
                latent[latent_place(&layout, c, y, x)] = tokens[token_place(c, y, x, layout.width)];
}

/* ComfyUI counts in latent cells and halves at the end; (cells + 1) / 2 is tokens. */
static void place_by_offset(const kx_size *sizes, size_t count, kx_placement *placements)
{
    const int cell_px = 8;
    int total_height = 0, total_width = 0;
    for (size_t i = 0; i < count; i++) {
        int height = sizes[i].height_px / cell_px, width = sizes[i].width_px / cell_px;
        int y = 0, x = 0;
        if (height + total_height > width + total_width)
            x = total_width;
        else
            y = total_height;
        if (height + y > total_height) total_height = height + y;
        if (width + x > total_width) total_width = width + x;
        placements[i] = (kx_placement){.index = 1, .offset_y = (y + 1) / 2, .offset_x = (x + 1) / 2};
    }
}

void kx_positions_place(kx_reference_scheme scheme, const kx_size *sizes, size_t count,
                        kx_placement *placements)
{
    if (scheme == KX_REFERENCES_OFFSET) {
        place_by_offset(sizes, count, placements);
        return;
    }
    for (size_t i = 0; i < count; i++)
        placements[i] = (kx_placement){.index = scheme == KX_REFERENCES_INDEX ? (int)i + 1 : 1};
}

void kx_positions_write_text(float *ids, size_t tokens)
{
    for (size_t i = 0; i < tokens * KX_POSITION_AXES; i++) ids[i] = 0.0f;
}

void kx_positions_write_grid(float *ids, size_t rows, size_t cols, kx_placement placement)
{
    for (size_t y = 0; y < rows; y++) {
        for (size_t x = 0; x < cols; x++) {
            float *id = ids + (y * cols + x) * KX_POSITION_AXES;
            id[0] = (float)placement.index;
            id[1] = (float)((int64_t)y + placement.offset_y);
            id[2] = (float)((int64_t)x + placement.offset_x);
        }
    }
}

#include "engine/pipeline/geometry.h"

#include "base/limits.h"

#include <math.h>

static int floor_16(int px)
{
    return px / KX_TOKEN_PX * KX_TOKEN_PX;
}

static int nearest_16(int px)
{
    int rounded = floor_16(px + KX_TOKEN_PX / 2);
    return rounded < KX_TOKEN_PX ? KX_TOKEN_PX : rounded;
}

static bool same_size(kx_size a, kx_size b)
{
    return a.width_px == b.width_px && a.height_px == b.height_px;
}

/* Which part of `source` is used and what size it gets. */
static kx_status working_size(const kx_geometry_rules *rules, const kx_edit_request *request, kx_size source,
                              kx_size *cropped, kx_size *working, kx_error *err)
{
    kx_status status = KX_OK;
    *cropped = source;
    switch (request->ref_size) {
    case KX_REF_SIZE_NATIVE:
        *working = (kx_size){floor_16(source.width_px), floor_16(source.height_px)};
        KX_FAIL_IF(working->width_px == 0 || working->height_px == 0, err, KX_ERR_INPUT,
                   "%dx%d pixels cannot keep their own size, at least %dx%d are needed", source.width_px,
                   source.height_px, KX_TOKEN_PX, KX_TOKEN_PX);
        KX_FAIL_IF(working->width_px > KX_LIMIT_SIDE_MAX_PX || working->height_px > KX_LIMIT_SIDE_MAX_PX, err,
                   KX_ERR_INPUT, "%dx%d pixels cannot keep their own size, the limit is %dx%d",
                   source.width_px, source.height_px, KX_LIMIT_SIDE_MAX_PX, KX_LIMIT_SIDE_MAX_PX);
        *cropped = *working;
        break;
    case KX_REF_SIZE_GIVEN:
        *working = (kx_size){nearest_16(request->ref_width_px), nearest_16(request->ref_height_px)};
        break;
    default:
        *working = kx_positions_choose_preferred(rules->preferred_sizes, rules->num_preferred_sizes, source);
    }
out:
    return status;
}

/* Stitching: all references at the first one's height, side by side on one canvas. */
static kx_status lay_out_canvas(kx_geometry *geometry, const kx_size *sources, kx_error *err)
{
    kx_status status = KX_OK;
    int64_t width = 0, height = sources[0].height_px;
    for (size_t k = 0; k < geometry->num_references; k++) {
        int64_t part = height * sources[k].width_px / sources[k].height_px;
        if (part < 1) part = 1;
        width += part;
        KX_FAIL_IF(
            width > KX_LIMIT_PICTURE_SIDE_PX || width * height > KX_LIMIT_PICTURE_PIXELS, err, KX_ERR_INPUT,
            "the references side by side would be %lldx%lld pixels, the limit is %d a side and %u in all",
            (long long)width, (long long)height, KX_LIMIT_PICTURE_SIDE_PX, KX_LIMIT_PICTURE_PIXELS);
        geometry->canvas_parts[k] = (kx_size){(int)part, (int)height};
    }
    geometry->stream_source[0] = (kx_size){(int)width, (int)height};
    geometry->num_streams = 1;
out:
    return status;
}

static kx_status size_streams(const kx_geometry_rules *rules, const kx_edit_request *request,
                              const kx_size *sources, kx_geometry *geometry, kx_error *err)
{
    kx_status status = KX_OK;
    bool stitch = request->scheme == KX_REFERENCES_STITCH && geometry->num_references > 1;
    if (stitch) {
        KX_TRY(lay_out_canvas(geometry, sources, err));
    } else {
        geometry->num_streams = geometry->num_references;
        for (size_t k = 0; k < geometry->num_streams; k++) geometry->stream_source[k] = sources[k];
    }
    for (size_t k = 0; k < geometry->num_streams; k++) {
        status = working_size(rules, request, geometry->stream_source[k], &geometry->stream_cropped[k],
                              &geometry->stream_working[k], err);
        if (status != KX_OK) kx_error_prefix(err, stitch ? "the stitched references" : "image %zu", k + 1);
        if (status != KX_OK) goto out;
    }
    kx_size before[KX_MAX_REFERENCES];
    for (size_t k = 0; k < geometry->num_streams; k++) before[k] = geometry->stream_working[k];
    kx_positions_fit_budget(geometry->stream_working, geometry->num_streams, request->ref_pixels);
    for (size_t k = 0; k < geometry->num_streams; k++) {
        /* A native reference that the budget shrinks is resized whole, no longer cropped. */
        if (!same_size(before[k], geometry->stream_working[k]))
            geometry->stream_cropped[k] = geometry->stream_source[k];
        geometry->reference_tokens += kx_size_tokens(geometry->stream_working[k]);
    }
    kx_positions_place(request->scheme, geometry->stream_working, geometry->num_streams,
                       geometry->placements);
out:
    return status;
}

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

/* Reference k of a canvas, on which it begins at left_px. What the canvas loses right and below (native size)
 * is lost to the references that lie there. */
static void map_part(const kx_geometry *geometry, size_t k, int left_px, kx_reference_mapping *mapping)
{
    kx_size source = mapping->source, part = geometry->canvas_parts[k], used = geometry->stream_cropped[0];
    double scale_x = (double)geometry->stream_working[0].width_px / used.width_px;
    double scale_y = (double)geometry->stream_working[0].height_px / used.height_px;
    int width = smaller(part.width_px, used.width_px > left_px ? used.width_px - left_px : 0);
    int height = smaller(part.height_px, used.height_px);
    mapping->cropped = (kx_size){(int)lround((double)width * source.width_px / part.width_px),
                                 (int)lround((double)height * source.height_px / part.height_px)};
    mapping->working = (kx_size){(int)lround(scale_x * width), (int)lround(scale_y * height)};
    mapping->scale_x = scale_x * part.width_px / source.width_px;
    mapping->scale_y = scale_y * part.height_px / source.height_px;
    mapping->offset_x_tokens = (int)(scale_x * left_px / KX_TOKEN_PX);
}

static void map_references(const kx_size *sources, kx_geometry *geometry)
{
    bool stitch = geometry->num_streams < geometry->num_references;
    int left_px = 0; /* on the canvas */
    for (size_t k = 0; k < geometry->num_references; k++) {
        size_t stream = stitch ? 0 : k;
        kx_reference_mapping *mapping = &geometry->references[k];
        kx_size cropped = geometry->stream_cropped[stream], working = geometry->stream_working[stream];
        *mapping = (kx_reference_mapping){
            .source = sources[k],
            .cropped = cropped,
            .working = working,
            .scale_x = (double)working.width_px / cropped.width_px,
            .scale_y = (double)working.height_px / cropped.height_px,
            .offset_x_tokens = geometry->placements[stream].offset_x,
            .offset_y_tokens = geometry->placements[stream].offset_y,
            .index = geometry->placements[stream].index,
        };
        if (stitch) map_part(geometry, k, left_px, mapping);
        left_px += geometry->canvas_parts[k].width_px;
    }
}

/* The size of the result: asked for, or that of the first reference as the model would see it alone and
 * without a budget, which is for references only. */
static kx_status size_target(const kx_geometry_rules *rules, const kx_edit_request *request,
                             const kx_size *sources, kx_geometry *geometry, kx_error *err)
{
    kx_status status = KX_OK;
    bool by_aspect = request->aspect_w != 0 || request->aspect_h != 0;
    kx_size asked = {request->width_px, request->height_px};
    if (asked.width_px != 0 || asked.height_px != 0) {
        KX_FAIL_IF(by_aspect, err, KX_ERR_USAGE, "a size and an aspect ratio exclude each other");
        geometry->requested = geometry->final = asked;
    } else if (by_aspect) {
        KX_TRY(kx_positions_size_from_aspect(request->aspect_w, request->aspect_h, rules->native_area_px,
                                             &geometry->final, err));
        geometry->requested = geometry->final;
    } else if (geometry->num_streams == 0) {
        int side = nearest_16((int)lround(sqrt((double)rules->native_area_px)));
        geometry->final = (kx_size){side, side};
    } else {
        kx_size cropped;
        status = working_size(rules, request, sources[0], &cropped, &geometry->final, err);
        if (status != KX_OK) kx_error_prefix(err, "image 1");
        if (status != KX_OK) goto out;
    }
    kx_size final = geometry->final;
    KX_FAIL_IF(final.width_px < rules->min_side_px || final.height_px < rules->min_side_px ||
                   final.width_px > rules->max_side_px || final.height_px > rules->max_side_px,
               err, KX_ERR_INPUT, "the output size is %dx%d, each side must be %d to %d pixels",
               final.width_px, final.height_px, rules->min_side_px, rules->max_side_px);
    geometry->working = kx_positions_pad(final);
    geometry->target_tokens = kx_size_tokens(geometry->working);
out:
    return status;
}

kx_status kx_geometry_make(const kx_geometry_rules *rules, const kx_edit_request *request,
                           const kx_size *sources, kx_geometry *geometry, kx_error *err)
{
    kx_status status = KX_OK;
    *geometry = (kx_geometry){.num_references = request->num_references};
    for (size_t k = 0; k < request->num_references; k++)
        KX_FAIL_IF(sources[k].width_px < 1 || sources[k].height_px < 1 ||
                       sources[k].width_px > KX_LIMIT_PICTURE_SIDE_PX ||
                       sources[k].height_px > KX_LIMIT_PICTURE_SIDE_PX,
                   err, KX_ERR_INPUT, "image %zu is %dx%d pixels, each side must be 1 to %d", k + 1,
                   sources[k].width_px, sources[k].height_px, KX_LIMIT_PICTURE_SIDE_PX);
    KX_TRY(size_streams(rules, request, sources, geometry, err));
    map_references(sources, geometry);
    KX_TRY(size_target(rules, request, sources, geometry, err));
out:
    return status;
}

/* Sizes of one edit: from what was asked for and what the references measure to the working sizes, the token
 * counts and the places in the position space. Everything here is arithmetic on sizes; no picture is touched,
 * so that a plan can be made from sizes alone and an edit is refused before any work. */
#pragma once

#include "base/error.h"
#include "engine/sampler/positions.h"

typedef struct kx_geometry_rules {
    const kx_size *preferred_sizes;
    size_t num_preferred_sizes;
    uint64_t native_area_px;
    int min_side_px, max_side_px; /* of the output */
} kx_geometry_rules;

typedef struct kx_geometry {
    kx_size requested; /* 0, 0: nothing was requested */
    kx_size working;
    kx_size final;
    kx_reference_mapping references[KX_MAX_REFERENCES];
    size_t num_references;
    /* What the model sees: one stream for each reference, or the canvas that holds them all (stitch). */
    size_t num_streams;
    kx_size stream_source[KX_MAX_REFERENCES]; /* the picture before the resize: a reference, or the canvas */
    kx_size stream_cropped[KX_MAX_REFERENCES];
    kx_size stream_working[KX_MAX_REFERENCES];
    kx_placement placements[KX_MAX_REFERENCES];
    kx_size canvas_parts[KX_MAX_REFERENCES]; /* stitch: size of each reference on the canvas */
    size_t target_tokens;
    size_t reference_tokens;
} kx_geometry;

/* sources (request->num_references): sizes after orientation.
 * Errors: KX_ERR_INPUT, naming the option or the image. */
kx_status kx_geometry_make(const kx_geometry_rules *rules, const kx_edit_request *request,
                           const kx_size *sources, kx_geometry *geometry, kx_error *err);

static inline size_t kx_size_tokens(kx_size size)
{
    return (size_t)(size.width_px / KX_TOKEN_PX) * (size_t)(size.height_px / KX_TOKEN_PX);
}

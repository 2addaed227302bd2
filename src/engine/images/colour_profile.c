#include "engine/images/colour_profile.h"

#include <lcms2.h>
#include <stdlib.h>

struct kx_colour_profile {
    cmsContext context;
    cmsHTRANSFORM transform;
};

typedef struct layout_formats {
    cmsColorSpaceSignature space;
    cmsUInt32Number in;
    cmsUInt32Number out;
    cmsUInt32Number flags;
} layout_formats;

static const layout_formats formats_of[] = {
    [KX_LAYOUT_GREY] = {cmsSigGrayData, TYPE_GRAY_8, TYPE_RGB_8, 0},
    [KX_LAYOUT_GREY_ALPHA] = {cmsSigGrayData, TYPE_GRAYA_8, TYPE_RGBA_8, cmsFLAGS_COPY_ALPHA},
    [KX_LAYOUT_RGB] = {cmsSigRgbData, TYPE_RGB_8, TYPE_RGB_8, 0},
    [KX_LAYOUT_RGBA] = {cmsSigRgbData, TYPE_RGBA_8, TYPE_RGBA_8, cmsFLAGS_COPY_ALPHA},
    [KX_LAYOUT_CMYK] = {cmsSigCmykData, TYPE_CMYK_8, TYPE_RGB_8, 0},
};

static bool describes_pictures(cmsHPROFILE profile, cmsColorSpaceSignature space)
{
    cmsProfileClassSignature class = cmsGetDeviceClass(profile);
    bool device = class == cmsSigInputClass || class == cmsSigDisplayClass || class == cmsSigOutputClass ||
                  class == cmsSigColorSpaceClass;
    return device && cmsGetColorSpace(profile) == space;
}

/* Does one probe colour move by more than a level? `channels` 1 or 3. */
static bool colour_moves(cmsHTRANSFORM transform, const uint8_t *colour, size_t channels)
{
    uint8_t out[3];
    cmsDoTransform(transform, colour, out, 1);
    for (size_t c = 0; c < 3; c++) {
        int moved = out[c] - colour[channels == 3 ? c : 0];
        if (moved < -1 || moved > 1) return true;
    }
    return false;
}

/* The probes: all greys, and a 9x9x9 grid of colours. */
static bool is_identity(cmsHTRANSFORM transform, size_t channels)
{
    for (unsigned v = 0; v < 256; v++) {
        uint8_t grey[3] = {(uint8_t)v, (uint8_t)v, (uint8_t)v};
        if (colour_moves(transform, grey, channels)) return false;
    }
    for (unsigned i = 0; i < 9 * 9 * 9 && channels == 3; i++) {
        uint8_t colour[3] = {(uint8_t)(i / 81 * 255 / 8), (uint8_t)(i / 9 % 9 * 255 / 8),
                             (uint8_t)(i % 9 * 255 / 8)};
        if (colour_moves(transform, colour, channels)) return false;
    }
    return true;
}

static cmsHTRANSFORM make_transform(cmsContext context, cmsHPROFILE from, cmsHPROFILE to,
                                    const layout_formats *formats, kx_raster_layout layout)
{
    /* The probe goes without alpha, so that its pixels have as many channels as colours. */
    kx_raster_layout bare = formats->space == cmsSigGrayData ? KX_LAYOUT_GREY : KX_LAYOUT_RGB;
    if (layout != KX_LAYOUT_CMYK) {
        cmsHTRANSFORM probe =
            cmsCreateTransformTHR(context, from, formats_of[bare].in, to, TYPE_RGB_8, INTENT_PERCEPTUAL, 0);
        bool useless = probe == NULL || is_identity(probe, kx_raster_channels(bare));
        if (probe != NULL) cmsDeleteTransform(probe);
        if (useless) return NULL;
    }
    return cmsCreateTransformTHR(context, from, formats->in, to, formats->out, INTENT_PERCEPTUAL,
                                 formats->flags);
}

kx_status kx_colour_profile_create(kx_colour_profile **profile, const uint8_t *icc, size_t bytes,
                                   kx_raster_layout layout, kx_error *err)
{
    kx_status status = KX_OK;
    const layout_formats *formats = &formats_of[layout];
    cmsHPROFILE from = NULL, to = NULL;
    kx_colour_profile *made = NULL;
    *profile = NULL;
    if (icc == NULL) return KX_OK;
    made = calloc(1, sizeof *made);
    KX_FAIL_IF(made == NULL, err, KX_ERR_MEMORY, "out of memory: %zu bytes", sizeof *made);
    made->context = cmsCreateContext(NULL, NULL);
    KX_FAIL_IF(made->context == NULL, err, KX_ERR_MEMORY, "out of memory for a colour profile");
    from = cmsOpenProfileFromMemTHR(made->context, icc, (cmsUInt32Number)bytes);
    to = cmsCreate_sRGBProfileTHR(made->context);
    if (from != NULL && to != NULL && describes_pictures(from, formats->space))
        made->transform = make_transform(made->context, from, to, formats, layout);
    if (made->transform != NULL) {
        *profile = made;
        made = NULL;
    }
out:
    if (from != NULL) cmsCloseProfile(from);
    if (to != NULL) cmsCloseProfile(to);
    kx_colour_profile_destroy(made);
    return status;
}

void kx_colour_profile_row(const kx_colour_profile *profile, const uint8_t *in, uint8_t *out, size_t pixels)
{
    cmsDoTransform(profile->transform, in, out, (cmsUInt32Number)pixels);
}

void kx_colour_profile_destroy(kx_colour_profile *profile)
{
    if (profile == NULL) return;
    if (profile->transform != NULL) cmsDeleteTransform(profile->transform);
    if (profile->context != NULL) cmsDeleteContext(profile->context);
    free(profile);
}

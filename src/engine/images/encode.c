#include "engine/images/encode.h"

#include "base/checked.h"
#include "engine/images/xmp.h"

#include <string.h>
#include <strings.h>

static const struct {
    const char *suffix;
    kx_picture_format format;
} suffixes[] = {
    {".png", KX_FORMAT_PNG},
    {".jpg", KX_FORMAT_JPEG},
    {".jpeg", KX_FORMAT_JPEG},
    {".webp", KX_FORMAT_WEBP},
};

kx_status kx_picture_format_of(const char *path, kx_picture_format *format, kx_error *err)
{
    kx_status status = KX_OK;
    const char *slash = strrchr(path, '/');
    const char *dot = strrchr(slash != NULL ? slash : path, '.');
    for (size_t i = 0; dot != NULL && i < sizeof suffixes / sizeof suffixes[0]; i++)
        if (strcasecmp(dot, suffixes[i].suffix) == 0) {
            *format = suffixes[i].format;
            return KX_OK;
        }
    KX_FAIL(err, KX_ERR_INPUT, "%s: the name must end in .png, .jpg, .jpeg or .webp", path);
out:
    return status;
}

static kx_status check_picture(const kx_picture *picture, const kx_save_options *options, kx_error *err)
{
    kx_status status = KX_OK;
    size_t pixels, bytes;
    KX_FAIL_IF(picture == NULL || picture->rgb == NULL || picture->width_px < 1 || picture->height_px < 1,
               err, KX_ERR_INPUT, "there are no pixels to encode");
    KX_FAIL_IF(!kx_checked_mul((size_t)picture->width_px, (size_t)picture->height_px, &pixels) ||
                   !kx_checked_mul(pixels, 4, &bytes),
               err, KX_ERR_INPUT, "a picture of %dx%d is too large to encode", picture->width_px,
               picture->height_px);
    KX_FAIL_IF(options->quality < 0 || options->quality > 100, err, KX_ERR_INPUT,
               "quality is %d; 1 to 100 is expected, or 0 for the default", options->quality);
    KX_TRY(kx_xmp_check_entries(options->metadata, options->num_metadata, err));
out:
    return status;
}

kx_status kx_picture_encode_bytes(const kx_picture *picture, const kx_save_options *options, kx_bytes *out,
                                  kx_error *err)
{
    kx_status status = KX_OK;
    KX_TRY(check_picture(picture, options, err));
    switch (options->format) {
    case KX_FORMAT_PNG:
        return kx_png_encode(picture, options, out, err);
    case KX_FORMAT_JPEG:
        return kx_jpeg_encode(picture, options, out, err);
    case KX_FORMAT_WEBP:
        return kx_webp_encode(picture, options, out, err);
    case KX_FORMAT_AUTO:
        break;
    }
    KX_FAIL(err, KX_ERR_INPUT, "the format to encode is not named; PNG, JPEG and WebP are known");
out:
    return status;
}

#include "engine/images/decode.h"

#include "engine/images/orient.h"

#include <stdlib.h>
#include <string.h>

static bool begins(const uint8_t *data, size_t bytes, size_t at, const char *magic, size_t length)
{
    return bytes >= at + length && memcmp(data + at, magic, length) == 0;
}

static bool is_jpeg(const uint8_t *data, size_t bytes)
{
    return begins(data, bytes, 0, "\xff\xd8\xff", 3);
}

static bool is_png(const uint8_t *data, size_t bytes)
{
    return begins(data, bytes, 0, "\x89PNG", 4);
}

static bool is_webp(const uint8_t *data, size_t bytes)
{
    return begins(data, bytes, 0, "RIFF", 4) && begins(data, bytes, 8, "WEBP", 4);
}

static bool is_gif(const uint8_t *data, size_t bytes)
{
    return begins(data, bytes, 0, "GIF87a", 6) || begins(data, bytes, 0, "GIF89a", 6);
}

/* "BM" alone begins many a text; the length of the second header is one of a few small numbers. */
static bool is_bmp(const uint8_t *data, size_t bytes)
{
    return begins(data, bytes, 0, "BM", 2) &&
           (bytes < 18 || (data[14] >= 12 && data[15] == 0 && data[16] == 0 && data[17] == 0));
}

static bool is_tiff(const uint8_t *data, size_t bytes)
{
    return begins(data, bytes, 0, "II*\0", 4) || begins(data, bytes, 0, "MM\0*", 4) ||
           begins(data, bytes, 0, "II+\0", 4) || begins(data, bytes, 0, "MM\0+", 4);
}

static const struct {
    bool (*matches)(const uint8_t *data, size_t bytes);
    kx_decoder *decode;
} formats[] = {
    {is_jpeg, kx_jpeg_decode}, {is_png, kx_png_decode}, {is_webp, kx_webp_decode},
    {is_gif, kx_gif_decode},   {is_bmp, kx_bmp_decode}, {is_tiff, kx_tiff_decode},
};

static bool looks_like_text(const uint8_t *data, size_t bytes)
{
    size_t probe = bytes < 1024 ? bytes : 1024;
    for (size_t i = 0; i < probe; i++) {
        bool blank = data[i] == '\t' || data[i] == '\n' || data[i] == '\r' || data[i] == '\f';
        if ((data[i] < 0x20 && !blank) || data[i] == 0x7f) return false;
    }
    return true;
}

/* What the bytes are instead of a picture that is read: the middle of a sentence. */
static const char *guess(const uint8_t *data, size_t bytes)
{
    static const struct {
        size_t at;
        size_t length;
        const char *magic, *words;
    } others[] = {
        {4, 8, "ftypavif", "this is an AVIF picture, which is not read"},
        {4, 8, "ftypheic", "this is a HEIC picture, which is not read"},
        {4, 8, "ftypmif1", "this is a HEIF picture, which is not read"},
        {4, 4, "ftyp", "this is a film or sound file, not a picture"},
        {0, 12, "\0\0\0\x0cJXL \r\n\x87\n", "this is a JPEG XL picture, which is not read"},
        {0, 2, "\xff\x0a", "this is a JPEG XL picture, which is not read"},
        {0, 12, "\0\0\0\x0cjP  \r\n\x87\n", "this is a JPEG 2000 picture, which is not read"},
        {0, 4, "8BPS", "this is a Photoshop file, which is not read"},
        {0, 5, "%PDF-", "this is a PDF document, not a picture"},
        {0, 4, "<svg", "this is an SVG drawing, which is not read"},
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (begins(data, bytes, others[i].at, others[i].magic, others[i].length)) return others[i].words;
    if (looks_like_text(data, bytes)) return "this is text, not a picture";
    return "this is not a picture of a known format";
}

static kx_status decode_raster(kx_raster *raster, const uint8_t *data, size_t bytes,
                               const kx_picture_limits *limits, kx_error *err)
{
    kx_status status = KX_OK;
    KX_FAIL_IF(bytes == 0, err, KX_ERR_INPUT, "the picture is empty: 0 bytes");
    KX_FAIL_IF(bytes > limits->bytes, err, KX_ERR_INPUT, "the picture has %zu bytes, the limit is %zu", bytes,
               limits->bytes);
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (formats[i].matches(data, bytes)) return formats[i].decode(raster, data, bytes, limits, err);
    KX_FAIL(err, KX_ERR_INPUT, "%s; the known formats are JPEG, PNG, WebP, GIF, BMP and TIFF",
            guess(data, bytes));
out:
    return status;
}

kx_status kx_picture_decode_within(kx_picture *picture, const void *data, size_t bytes,
                                   const kx_picture_limits *limits, kx_error *err)
{
    kx_status status = KX_OK;
    kx_raster raster = {0};
    kx_picture made = {0};
    *picture = (kx_picture){0};
    KX_TRY(decode_raster(&raster, data, bytes, limits, err));
    KX_TRY(kx_raster_to_picture(&raster, &made, err));
    KX_TRY(kx_orient_picture(&made, raster.orientation, err));
    *picture = made;
    made.rgb = NULL;
out:
    free(made.rgb);
    kx_raster_free(&raster);
    return status;
}

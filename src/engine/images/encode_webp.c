/* WebP: lossless unless a quality is given; an XMP chunk is put in by the muxer. One thread, so that the
 * bytes do not depend on the machine. */
#include "engine/images/encode.h"
#include "engine/images/xmp.h"

#include <webp/encode.h>
#include <webp/mux.h>

#define LOSSLESS_LEVEL 6
#define LOSSY_METHOD   4

static const char *reason(WebPEncodingError code)
{
    switch (code) {
    case VP8_ENC_ERROR_OUT_OF_MEMORY:
    case VP8_ENC_ERROR_BITSTREAM_OUT_OF_MEMORY:
        return "out of memory";
    case VP8_ENC_ERROR_PARTITION0_OVERFLOW:
    case VP8_ENC_ERROR_PARTITION_OVERFLOW:
        return "the picture is too detailed for the format at this size";
    default:
        return "the encoder refuses";
    }
}

static bool configure(WebPConfig *config, int quality)
{
    if (!WebPConfigInit(config)) return false;
    if (quality == 0) return WebPConfigLosslessPreset(config, LOSSLESS_LEVEL) != 0;
    config->quality = (float)quality;
    config->method = LOSSY_METHOD;
    return WebPValidateConfig(config) != 0;
}

static kx_status encode_image(const kx_picture *picture, int quality, WebPMemoryWriter *writer, kx_error *err)
{
    kx_status status = KX_OK;
    WebPConfig config;
    WebPPicture image;
    bool begun = WebPPictureInit(&image) != 0;
    KX_FAIL_IF(!begun || !configure(&config, quality), err, KX_ERR_INTERNAL,
               "libwebp refuses its configuration");
    image.use_argb = quality == 0;
    image.width = picture->width_px;
    image.height = picture->height_px;
    image.writer = WebPMemoryWrite;
    image.custom_ptr = writer;
    KX_FAIL_IF(!WebPPictureImportRGB(&image, picture->rgb, picture->width_px * 3), err, KX_ERR_MEMORY,
               "out of memory to encode a WebP of %dx%d", picture->width_px, picture->height_px);
    KX_FAIL_IF(!WebPEncode(&config, &image), err,
               image.error_code == VP8_ENC_ERROR_PARTITION_OVERFLOW ||
                       image.error_code == VP8_ENC_ERROR_PARTITION0_OVERFLOW
                   ? KX_ERR_INPUT
                   : KX_ERR_MEMORY,
               "the picture cannot be encoded as WebP: %s", reason(image.error_code));
out:
    if (begun) WebPPictureFree(&image);
    return status;
}

/* Wraps the encoded image and the packet into one file. */
static kx_status add_xmp(const WebPMemoryWriter *image, const kx_bytes *xmp, kx_bytes *out, kx_error *err)
{
    kx_status status = KX_OK;
    WebPData file = {0};
    WebPData coded = {.bytes = image->mem, .size = image->size},
             packet = {.bytes = xmp->data, .size = xmp->size};
    WebPMux *mux = WebPMuxCreate(&coded, 0);
    KX_FAIL_IF(mux == NULL || WebPMuxSetChunk(mux, "XMP ", &packet, 0) != WEBP_MUX_OK ||
                   WebPMuxAssemble(mux, &file) != WEBP_MUX_OK,
               err, KX_ERR_MEMORY, "out of memory to put metadata into a WebP");
    KX_TRY(kx_bytes_append(out, file.bytes, file.size, err));
out:
    WebPDataClear(&file);
    WebPMuxDelete(mux);
    return status;
}

kx_status kx_webp_encode(const kx_picture *picture, const kx_save_options *options, kx_bytes *out,
                         kx_error *err)
{
    kx_status status = KX_OK;
    kx_bytes xmp = {.cap = (size_t)1 << 30};
    WebPMemoryWriter writer;
    WebPMemoryWriterInit(&writer);
    KX_FAIL_IF(picture->width_px > WEBP_MAX_DIMENSION || picture->height_px > WEBP_MAX_DIMENSION, err,
               KX_ERR_INPUT, "the picture is %dx%d, WebP holds at most %dx%d", picture->width_px,
               picture->height_px, WEBP_MAX_DIMENSION, WEBP_MAX_DIMENSION);
    KX_TRY(encode_image(picture, options->quality, &writer, err));
    if (options->num_metadata > 0) {
        KX_TRY(kx_xmp_write(&xmp, options->metadata, options->num_metadata, xmp.cap, err));
        KX_TRY(add_xmp(&writer, &xmp, out, err));
    } else {
        KX_TRY(kx_bytes_append(out, writer.mem, writer.size, err));
    }
out:
    WebPMemoryWriterClear(&writer);
    kx_bytes_free(&xmp);
    return status;
}

/* WebP by libwebp: lossy, lossless, with alpha; of an animation the first frame on its canvas, whose
 * uncovered part is transparent.
 */
#include "engine/images/decode.h"
#include "engine/images/exif.h"

#include <webp/decode.h>
#include <webp/demux.h>

#include <stdlib.h>

static void keep_chunk(const WebPDemuxer *demuxer, const char *name, kx_raster *raster)
{
    WebPChunkIterator chunk;
    if (!WebPDemuxGetChunk(demuxer, name, 1, &chunk)) return;
    if (name[0] == 'I')
        kx_raster_keep_profile(raster, chunk.chunk.bytes, chunk.chunk.size);
    else
        raster->orientation = kx_exif_orientation(chunk.chunk.bytes, chunk.chunk.size);
    WebPDemuxReleaseChunkIterator(&chunk);
}

/* The frame lies within the canvas: the demuxer has checked that, and it is checked again. */
static kx_status decode_frame(const WebPIterator *frame, kx_raster *raster, kx_error *err)
{
    kx_status status = KX_OK;
    size_t x = (size_t)frame->x_offset, y = (size_t)frame->y_offset;
    size_t width = (size_t)frame->width, height = (size_t)frame->height;
    int stored_width = 0, stored_height = 0;
    KX_FAIL_IF(x + width > raster->width_px || y + height > raster->height_px, err, KX_ERR_INPUT,
               "WebP is broken: its first frame reaches over the canvas");
    KX_FAIL_IF(!WebPGetInfo(frame->fragment.bytes, frame->fragment.size, &stored_width, &stored_height) ||
                   (size_t)stored_width != width || (size_t)stored_height != height,
               err, KX_ERR_INPUT, "WebP is broken: its frame is not of the size that its header says");
    size_t channels = kx_raster_channels(raster->layout), stride = raster->width_px * channels;
    uint8_t *corner = kx_raster_row(raster, y) + x * channels;
    size_t room = stride * (height - 1) + width * channels;
    const uint8_t *done =
        channels == 4
            ? WebPDecodeRGBAInto(frame->fragment.bytes, frame->fragment.size, corner, room, (int)stride)
            : WebPDecodeRGBInto(frame->fragment.bytes, frame->fragment.size, corner, room, (int)stride);
    KX_FAIL_IF(done == NULL, err, KX_ERR_INPUT, "WebP is broken: its picture data cannot be decoded");
out:
    return status;
}

kx_status kx_webp_decode(kx_raster *raster, const uint8_t *data, size_t bytes,
                         const kx_picture_limits *limits, kx_error *err)
{
    kx_status status = KX_OK;
    WebPDemuxer *demuxer = NULL;
    WebPIterator frame = {0};
    /* The header comes first: a picture that is too large gets its sentence also when the file is cut off. */
    WebPBitstreamFeatures features;
    KX_FAIL_IF(WebPGetFeatures(data, bytes, &features) != VP8_STATUS_OK, err, KX_ERR_INPUT,
               "WebP is broken: its header cannot be read");
    KX_TRY(kx_raster_check("WebP", (uint64_t)features.width, (uint64_t)features.height, limits, err));
    WebPData file = {.bytes = data, .size = bytes};
    demuxer = WebPDemux(&file);
    KX_FAIL_IF(demuxer == NULL, err, KX_ERR_INPUT,
               "WebP is broken: the file ends too early or its chunks do not fit");
    uint32_t width = WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_WIDTH);
    uint32_t height = WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_HEIGHT);
    KX_FAIL_IF(!WebPDemuxGetFrame(demuxer, 1, &frame), err, KX_ERR_INPUT,
               "WebP is broken: it has no picture");
    bool covers = (uint32_t)frame.width == width && (uint32_t)frame.height == height;
    bool alpha = frame.has_alpha || !covers;
    KX_TRY(
        kx_raster_take(raster, "WebP", width, height, alpha ? KX_LAYOUT_RGBA : KX_LAYOUT_RGB, limits, err));
    KX_TRY(decode_frame(&frame, raster, err));
    keep_chunk(demuxer, "ICCP", raster);
    keep_chunk(demuxer, "EXIF", raster);
out:
    WebPDemuxReleaseIterator(&frame);
    WebPDemuxDelete(demuxer);
    return status;
}

/* GIF by giflib: the first frame on its canvas. What the frame does not cover, and its transparent colour,
 * are transparent (so white later); the background colour of the header is ignored, as every viewer does.
 */
#include "engine/images/decode.h"

#include <gif_lib.h>
#include <stdlib.h>
#include <string.h>

typedef struct gif_reader {
    const uint8_t *data;
    size_t bytes;
    size_t at;
    GifFileType *gif;
    int transparent; /* colour index, or -1 */
} gif_reader;

static int on_read(GifFileType *gif, GifByteType *out, int length)
{
    gif_reader *reader = gif->UserData;
    size_t left = reader->bytes - reader->at;
    size_t got = (size_t)length < left ? (size_t)length : left;
    memcpy(out, reader->data + reader->at, got);
    reader->at += got;
    return (int)got;
}

static const char *reason(int code)
{
    const char *words = GifErrorString(code);
    return words != NULL ? words : "unknown reason";
}

/* Skips extensions up to the first image, noting the transparent colour on the way. */
static kx_status find_image(gif_reader *reader, kx_error *err)
{
    kx_status status = KX_OK;
    GifRecordType type = UNDEFINED_RECORD_TYPE;
    for (;;) {
        KX_FAIL_IF(DGifGetRecordType(reader->gif, &type) != GIF_OK, err, KX_ERR_INPUT, "GIF is broken: %s",
                   reason(reader->gif->Error));
        if (type == IMAGE_DESC_RECORD_TYPE) break;
        KX_FAIL_IF(type != EXTENSION_RECORD_TYPE, err, KX_ERR_INPUT, "GIF is broken: it has no picture");
        int code = 0;
        GifByteType *block = NULL;
        int got = DGifGetExtension(reader->gif, &code, &block);
        while (got == GIF_OK && block != NULL) {
            GraphicsControlBlock control;
            if (code == GRAPHICS_EXT_FUNC_CODE && DGifExtensionToGCB(block[0], block + 1, &control) == GIF_OK)
                reader->transparent = control.TransparentColor;
            got = DGifGetExtensionNext(reader->gif, &block);
        }
        KX_FAIL_IF(got != GIF_OK, err, KX_ERR_INPUT, "GIF is broken: %s", reason(reader->gif->Error));
    }
    KX_FAIL_IF(DGifGetImageDesc(reader->gif) != GIF_OK, err, KX_ERR_INPUT, "GIF is broken: %s",
               reason(reader->gif->Error));
out:
    return status;
}

/* colours (256,4) RGBA: black where the file's table is shorter. */
static void fill_colours(uint8_t colours[256][4], const ColorMapObject *map, int transparent)
{
    for (int i = 0; i < 256; i++) {
        GifColorType colour = i < map->ColorCount ? map->Colors[i] : (GifColorType){0, 0, 0};
        colours[i][0] = colour.Red;
        colours[i][1] = colour.Green;
        colours[i][2] = colour.Blue;
        colours[i][3] = i == transparent ? 0 : 255;
    }
}

/* The rows in the order of the file; an interlaced picture has them in four passes. */
static kx_status read_rows(gif_reader *reader, const ColorMapObject *map, kx_raster *raster, uint8_t *indices,
                           kx_error *err)
{
    static const struct {
        size_t first;
        size_t step;
    } whole[] = {{0, 1}}, passes[] = {{0, 8}, {4, 8}, {2, 4}, {1, 2}};
    kx_status status = KX_OK;
    const GifImageDesc *frame = &reader->gif->Image;
    size_t num_passes = frame->Interlace ? 4 : 1, width = (size_t)frame->Width,
           height = (size_t)frame->Height;
    uint8_t colours[256][4];
    fill_colours(colours, map, reader->transparent);
    for (size_t pass = 0; pass < num_passes; pass++) {
        size_t first = frame->Interlace ? passes[pass].first : whole[0].first;
        size_t step = frame->Interlace ? passes[pass].step : whole[0].step;
        for (size_t y = first; y < height; y += step) {
            KX_FAIL_IF(DGifGetLine(reader->gif, indices, frame->Width) != GIF_OK, err, KX_ERR_INPUT,
                       "GIF is broken: %s", reason(reader->gif->Error));
            uint8_t *out = kx_raster_row(raster, (size_t)frame->Top + y) + 4 * (size_t)frame->Left;
            for (size_t x = 0; x < width; x++) memcpy(out + 4 * x, colours[indices[x]], 4);
        }
    }
out:
    return status;
}

kx_status kx_gif_decode(kx_raster *raster, const uint8_t *data, size_t bytes, const kx_picture_limits *limits,
                        kx_error *err)
{
    kx_status status = KX_OK;
    uint8_t *indices = NULL;
    int code = 0;
    gif_reader reader = {.data = data, .bytes = bytes, .transparent = -1};
    reader.gif = DGifOpen(&reader, on_read, &code);
    KX_FAIL_IF(reader.gif == NULL, err, code == D_GIF_ERR_NOT_ENOUGH_MEM ? KX_ERR_MEMORY : KX_ERR_INPUT,
               "GIF is broken: %s", reason(code));
    KX_TRY(find_image(&reader, err));
    const GifImageDesc *frame = &reader.gif->Image;
    KX_FAIL_IF(frame->Left < 0 || frame->Top < 0 || frame->Width <= 0 || frame->Height <= 0, err,
               KX_ERR_INPUT, "GIF is broken: its first frame has no pixels");
    const ColorMapObject *map = frame->ColorMap != NULL ? frame->ColorMap : reader.gif->SColorMap;
    KX_FAIL_IF(map == NULL, err, KX_ERR_INPUT, "GIF is broken: it has no colour table");
    /* A frame that reaches over the canvas widens it, as in browsers and in Pillow. */
    int right = frame->Left + frame->Width, bottom = frame->Top + frame->Height;
    int width = right > reader.gif->SWidth ? right : reader.gif->SWidth;
    int height = bottom > reader.gif->SHeight ? bottom : reader.gif->SHeight;
    KX_TRY(kx_raster_take(raster, "GIF", (uint64_t)width, (uint64_t)height, KX_LAYOUT_RGBA, limits, err));
    indices = malloc((size_t)frame->Width);
    KX_FAIL_IF(indices == NULL, err, KX_ERR_MEMORY, "out of memory: %d bytes", frame->Width);
    KX_TRY(read_rows(&reader, map, raster, indices, err));
out:
    free(indices);
    if (reader.gif != NULL) DGifCloseFile(reader.gif, &code);
    return status;
}

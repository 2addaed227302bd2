/* PNG by libpng: every colour type and depth, interlaced or not, widened to 8 bits a sample (of 16 bits the
 * high byte is kept, as Pillow does for colours). The file must be whole up to its IEND chunk.
 */
#include "engine/images/decode.h"
#include "engine/images/exif.h"

#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#define CHUNK_BYTES_MAX (64u << 20) /* one ancillary chunk, decompressed */

typedef struct png_reader {
    const uint8_t *data;
    size_t bytes;
    size_t at;
    png_structp png;
    png_infop info;
    char message[160];
    jmp_buf failed; /* libpng's errors land here; set by each step below */
} png_reader;

__attribute__((noreturn)) static void on_error(png_structp png, png_const_charp message)
{
    png_reader *reader = png_get_error_ptr(png);
    snprintf(reader->message, sizeof reader->message, "%s", message);
    longjmp(reader->failed, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void on_read(png_structp png, png_bytep out, size_t length)
{
    png_reader *reader = png_get_io_ptr(png);
    if (length > reader->bytes - reader->at) png_error(png, "the file ends too early");
    memcpy(out, reader->data + reader->at, length);
    reader->at += length;
}

static bool read_header(png_reader *reader)
{
    /* Texts and suggested palettes are of no use here and may be large: they are skipped unread. */
    static const png_byte skipped[] = "tEXt\0zTXt\0iTXt\0sPLT\0hIST";
    if (setjmp(reader->failed) != 0) return false;
    png_set_read_fn(reader->png, reader, on_read);
    png_set_user_limits(reader->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_chunk_malloc_max(reader->png, CHUNK_BYTES_MAX);
    png_set_keep_unknown_chunks(reader->png, PNG_HANDLE_CHUNK_NEVER, skipped, 5);
    png_read_info(reader->png, reader->info);
    return true;
}

/* To 8 bits; palettes to RGB; transparent colours to alpha. Returns the channels, 1-4. */
static size_t set_widening(png_reader *reader, int *passes)
{
    if (setjmp(reader->failed) != 0) return 0;
    png_set_expand(reader->png);
    png_set_strip_16(reader->png);
    *passes = png_set_interlace_handling(reader->png);
    png_read_update_info(reader->png, reader->info);
    return png_get_channels(reader->png, reader->info);
}

static bool read_pixels(png_reader *reader, const kx_raster *raster, int passes)
{
    if (setjmp(reader->failed) != 0) return false;
    for (int pass = 0; pass < passes; pass++)
        for (size_t y = 0; y < raster->height_px; y++)
            png_read_row(reader->png, kx_raster_row(raster, y), NULL);
    png_read_end(reader->png, reader->info);
    return true;
}

static void keep_metadata(const png_reader *reader, kx_raster *raster)
{
    png_charp name;
    png_bytep data;
    int compression;
    png_uint_32 bytes;
    if (png_get_iCCP(reader->png, reader->info, &name, &compression, &data, &bytes) == PNG_INFO_iCCP)
        kx_raster_keep_profile(raster, data, bytes);
    if (png_get_eXIf_1(reader->png, reader->info, &bytes, &data) == PNG_INFO_eXIf)
        raster->orientation = kx_exif_orientation(data, bytes);
}

kx_status kx_png_decode(kx_raster *raster, const uint8_t *data, size_t bytes, const kx_picture_limits *limits,
                        kx_error *err)
{
    static const kx_raster_layout layouts[] = {KX_LAYOUT_GREY, KX_LAYOUT_GREY_ALPHA, KX_LAYOUT_RGB,
                                               KX_LAYOUT_RGBA};
    kx_status status = KX_OK;
    int passes = 1;
    png_reader reader = {.data = data, .bytes = bytes};
    reader.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader, on_error, on_warning);
    KX_FAIL_IF(reader.png == NULL, err, KX_ERR_MEMORY, "out of memory for the PNG decoder");
    reader.info = png_create_info_struct(reader.png);
    KX_FAIL_IF(reader.info == NULL, err, KX_ERR_MEMORY, "out of memory for the PNG decoder");
    KX_FAIL_IF(!read_header(&reader), err, KX_ERR_INPUT, "PNG is broken: %s", reader.message);
    uint32_t width = png_get_image_width(reader.png, reader.info);
    uint32_t height = png_get_image_height(reader.png, reader.info);
    KX_TRY(kx_raster_check("PNG", width, height, limits, err));
    size_t channels = set_widening(&reader, &passes);
    KX_FAIL_IF(channels < 1 || channels > 4, err, KX_ERR_INPUT, "PNG is broken: %s", reader.message);
    KX_TRY(kx_raster_take(raster, "PNG", width, height, layouts[channels - 1], limits, err));
    KX_FAIL_IF(!read_pixels(&reader, raster, passes), err, KX_ERR_INPUT, "PNG is broken: %s", reader.message);
    keep_metadata(&reader, raster);
out:
    if (reader.png != NULL) png_destroy_read_struct(&reader.png, &reader.info, NULL);
    return status;
}

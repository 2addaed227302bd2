/* TIFF by libtiff, the first picture of the file. Grey, RGB and CMYK of 8 or 16 bits are read as they are
 * stored, so that profile and alpha can be applied exactly; everything else (bilevel, palettes, YCbCr, Lab)
 * goes through libtiff's own conversion to RGBA. libtiff is told to open from memory, to send its words here,
 * and how much it may allocate.
 */
#include "engine/images/decode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tiffio.h>

#define SAMPLES_MAX 8 /* of one pixel */

typedef struct tiff_reader {
    const uint8_t *data;
    size_t bytes;
    uint64_t at;
    TIFF *tiff;
    char message[160];
    uint32_t width, height;
    uint16_t bits, samples, photometric, planar, compression, sample_format, orientation;
    uint16_t num_extra;
    uint16_t extra; /* kind of the first extra sample */
    size_t colours; /* channels without alpha; 0: libtiff converts */
    bool has_alpha;
} tiff_reader;

static tmsize_t on_read(thandle_t handle, void *out, tmsize_t size)
{
    tiff_reader *reader = handle;
    uint64_t left = reader->at < reader->bytes ? reader->bytes - reader->at : 0;
    uint64_t got = size < 0 ? 0 : (uint64_t)size < left ? (uint64_t)size : left;
    memcpy(out, reader->data + (got > 0 ? reader->at : 0), (size_t)got);
    reader->at += got;
    return (tmsize_t)got;
}

static tmsize_t on_write(thandle_t handle, void *data, tmsize_t size)
{
    (void)handle;
    (void)data;
    (void)size;
    return 0;
}

static toff_t on_seek(thandle_t handle, toff_t offset, int whence)
{
    tiff_reader *reader = handle;
    uint64_t base = whence == SEEK_CUR ? reader->at : whence == SEEK_END ? reader->bytes : 0;
    reader->at = base + offset; /* wraps for offsets "below zero"; reading there gives nothing */
    return reader->at;
}

static int on_close(thandle_t handle)
{
    (void)handle;
    return 0;
}

static toff_t on_size(thandle_t handle)
{
    return ((const tiff_reader *)handle)->bytes;
}

/* The first error tells the most. */
__attribute__((format(printf, 4, 0))) static int on_error(TIFF *tiff, void *user, const char *module,
                                                          const char *format, va_list args)
{
    tiff_reader *reader = user;
    (void)tiff;
    (void)module;
    if (reader->message[0] == '\0') vsnprintf(reader->message, sizeof reader->message, format, args);
    return 1;
}

__attribute__((format(printf, 4, 0))) static int on_warning(TIFF *tiff, void *user, const char *module,
                                                            const char *format, va_list args)
{
    (void)tiff;
    (void)user;
    (void)module;
    (void)format;
    (void)args;
    return 1;
}

static const char *reason(const tiff_reader *reader)
{
    return reader->message[0] != '\0' ? reader->message : "the file ends too early";
}

static kx_status open_memory(tiff_reader *reader, const kx_picture_limits *limits, kx_error *err)
{
    kx_status status = KX_OK;
    TIFFOpenOptions *options = TIFFOpenOptionsAlloc();
    KX_FAIL_IF(options == NULL, err, KX_ERR_MEMORY, "out of memory for the TIFF decoder");
    TIFFOpenOptionsSetMaxSingleMemAlloc(options, (tmsize_t)(limits->pixels * 2 * SAMPLES_MAX + (1u << 20)));
    TIFFOpenOptionsSetErrorHandlerExtR(options, on_error, reader);
    TIFFOpenOptionsSetWarningHandlerExtR(options, on_warning, reader);
    reader->tiff = TIFFClientOpenExt("picture", "rm", reader, on_read, on_write, on_seek, on_close, on_size,
                                     NULL, NULL, options);
    TIFFOpenOptionsFree(options);
    KX_FAIL_IF(reader->tiff == NULL, err, KX_ERR_INPUT, "TIFF is broken: %s", reason(reader));
out:
    return status;
}

static void read_tags(tiff_reader *reader)
{
    TIFF *tiff = reader->tiff;
    const uint16_t *extra = NULL;
    TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &reader->width);
    TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &reader->height);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &reader->bits);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &reader->samples);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &reader->planar);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_COMPRESSION, &reader->compression);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLEFORMAT, &reader->sample_format);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_ORIENTATION, &reader->orientation);
    if (!TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &reader->photometric))
        reader->photometric = reader->samples >= 3 ? PHOTOMETRIC_RGB : PHOTOMETRIC_MINISBLACK;
    if (TIFFGetField(tiff, TIFFTAG_EXTRASAMPLES, &reader->num_extra, &extra) && reader->num_extra > 0)
        reader->extra = extra[0];
}

/* The compressions that pictures come in; libtiff's rarer codecs stay out of reach of strangers' files. */
static bool compression_is_known(unsigned compression)
{
    static const unsigned known[] = {
        COMPRESSION_NONE,     COMPRESSION_CCITTRLE, COMPRESSION_CCITTFAX3,     COMPRESSION_CCITTFAX4,
        COMPRESSION_LZW,      COMPRESSION_JPEG,     COMPRESSION_ADOBE_DEFLATE, COMPRESSION_DEFLATE,
        COMPRESSION_PACKBITS, COMPRESSION_ZSTD,     COMPRESSION_WEBP,          COMPRESSION_LZMA,
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (compression == known[i]) return true;
    return false;
}

/* How the samples are read: sets colours and has_alpha. */
static void choose_reading(tiff_reader *reader)
{
    size_t colours = 0;
    if (reader->photometric == PHOTOMETRIC_MINISBLACK || reader->photometric == PHOTOMETRIC_MINISWHITE)
        colours = 1;
    else if (reader->photometric == PHOTOMETRIC_RGB)
        colours = 3;
    else if (reader->photometric == PHOTOMETRIC_SEPARATED)
        colours = 4;
    else if (reader->photometric == PHOTOMETRIC_YCBCR && reader->compression == COMPRESSION_JPEG &&
             reader->planar == PLANARCONFIG_CONTIG && reader->samples == 3 &&
             TIFFSetField(reader->tiff, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB))
        colours = 3;
    bool plain = (reader->bits == 8 || reader->bits == 16) &&
                 (reader->sample_format == SAMPLEFORMAT_UINT || reader->sample_format == SAMPLEFORMAT_VOID);
    if (!plain || reader->samples < colours) return;
    reader->colours = colours;
    /* A fourth sample without a word about it is alpha, an "unspecified" one is not (as in Pillow). CMYK has
     * none. */
    bool extra = colours != 0 && colours < 4 && reader->samples > colours;
    reader->has_alpha = extra && (reader->num_extra == 0 || reader->extra == EXTRASAMPLE_ASSOCALPHA ||
                                  reader->extra == EXTRASAMPLE_UNASSALPHA);
}

/* A decoded strip or tile: its place in the picture, and which of its samples go to which channels. */
typedef struct tiff_block {
    const uint8_t *data;
    size_t x, y, width, height;
    size_t stride;       /* samples of one of its rows */
    size_t step;         /* samples of one of its pixels */
    size_t channel;      /* first channel of the raster */
    size_t num_channels; /* that follow one another in the block */
} tiff_block;

static void place(const tiff_reader *reader, kx_raster *raster, const tiff_block *block)
{
    size_t channels = kx_raster_channels(raster->layout);
    for (size_t j = 0; j < block->height; j++) {
        uint8_t *out = kx_raster_row(raster, block->y + j) + block->x * channels + block->channel;
        for (size_t i = 0; i < block->width; i++)
            for (size_t c = 0; c < block->num_channels; c++) {
                size_t at = j * block->stride + i * block->step + c;
                uint16_t wide = 0;
                if (reader->bits == 16)
                    memcpy(&wide, block->data + 2 * at, 2); /* in the machine's byte order */
                out[i * channels + c] = reader->bits == 16 ? (uint8_t)(wide >> 8) : block->data[at];
            }
    }
}

static kx_status read_strips(tiff_reader *reader, kx_raster *raster, tiff_block *block, uint16_t plane,
                             kx_error *err)
{
    kx_status status = KX_OK;
    uint32_t rows = 0;
    size_t row_bytes = block->stride * reader->bits / 8;
    uint8_t *data = NULL;
    TIFFGetFieldDefaulted(reader->tiff, TIFFTAG_ROWSPERSTRIP, &rows);
    if (rows == 0 || rows > reader->height) rows = reader->height;
    data = malloc(row_bytes * rows);
    KX_FAIL_IF(data == NULL, err, KX_ERR_MEMORY, "out of memory: %zu bytes", row_bytes * rows);
    block->data = data;
    block->width = reader->width;
    for (uint32_t y = 0; y < reader->height; y += rows) {
        block->y = y;
        block->height = reader->height - y < rows ? reader->height - y : rows;
        tmsize_t expected = (tmsize_t)(row_bytes * block->height);
        uint32_t strip = TIFFComputeStrip(reader->tiff, y, plane);
        tmsize_t got = TIFFReadEncodedStrip(reader->tiff, strip, data, expected);
        KX_FAIL_IF(got != expected, err, KX_ERR_INPUT, "TIFF is broken: %s", reason(reader));
        place(reader, raster, block);
    }
out:
    free(data);
    return status;
}

static kx_status read_tiles(tiff_reader *reader, kx_raster *raster, tiff_block *block, uint16_t plane,
                            kx_error *err)
{
    kx_status status = KX_OK;
    uint32_t wide = 0, high = 0;
    uint8_t *data = NULL;
    TIFFGetField(reader->tiff, TIFFTAG_TILEWIDTH, &wide);
    TIFFGetField(reader->tiff, TIFFTAG_TILELENGTH, &high);
    size_t bytes = (size_t)wide * high * block->step * reader->bits / 8; /* bounded by check_tiles */
    data = malloc(bytes);
    KX_FAIL_IF(data == NULL, err, KX_ERR_MEMORY, "out of memory: %zu bytes", bytes);
    block->data = data;
    block->stride = wide * block->step;
    KX_FAIL_IF((size_t)TIFFTileSize(reader->tiff) != bytes, err, KX_ERR_INPUT,
               "TIFF is broken: its tiles are not of the size that their header says");
    for (uint32_t y = 0; y < reader->height; y += high)
        for (uint32_t x = 0; x < reader->width; x += wide) {
            block->x = x;
            block->y = y;
            block->width = reader->width - x < wide ? reader->width - x : wide;
            block->height = reader->height - y < high ? reader->height - y : high;
            KX_FAIL_IF(TIFFReadTile(reader->tiff, data, x, y, 0, plane) != (tmsize_t)bytes, err, KX_ERR_INPUT,
                       "TIFF is broken: %s", reason(reader));
            place(reader, raster, block);
        }
out:
    free(data);
    return status;
}

static kx_status read_plane(tiff_reader *reader, kx_raster *raster, tiff_block *block, uint16_t plane,
                            kx_error *err)
{
    block->stride = reader->width * block->step;
    return TIFFIsTiled(reader->tiff) ? read_tiles(reader, raster, block, plane, err)
                                     : read_strips(reader, raster, block, plane, err);
}

static kx_status read_samples(tiff_reader *reader, kx_raster *raster, kx_error *err)
{
    kx_status status = KX_OK;
    size_t channels = kx_raster_channels(raster->layout);
    if (reader->planar == PLANARCONFIG_CONTIG) {
        tiff_block block = {.step = reader->samples, .num_channels = channels};
        return read_plane(reader, raster, &block, 0, err);
    }
    for (size_t c = 0; c < channels; c++) {
        tiff_block block = {.step = 1, .channel = c, .num_channels = 1};
        KX_TRY(read_plane(reader, raster, &block, (uint16_t)c, err));
    }
out:
    return status;
}

/* Alpha that was multiplied into the colours is divided out again, cut off as in Pillow. */
static void divide_by_alpha(kx_raster *raster)
{
    size_t channels = kx_raster_channels(raster->layout), pixels = raster->width_px * raster->height_px;
    for (size_t i = 0; i < pixels; i++) {
        uint8_t *pixel = raster->pixels + i * channels;
        unsigned alpha = pixel[channels - 1];
        for (size_t c = 0; c + 1 < channels && alpha != 0; c++) {
            unsigned colour = 255u * pixel[c] / alpha;
            pixel[c] = (uint8_t)(colour < 255 ? colour : 255);
        }
    }
}

static void invert_grey(kx_raster *raster)
{
    size_t channels = kx_raster_channels(raster->layout), pixels = raster->width_px * raster->height_px;
    for (size_t i = 0; i < pixels; i++)
        raster->pixels[i * channels] = (uint8_t)(255 - raster->pixels[i * channels]);
}

/* libtiff's own conversion. It is told that the file's orientation is the wanted one, so that it turns
 * nothing. */
static kx_status read_converted(tiff_reader *reader, kx_raster *raster, kx_error *err)
{
    kx_status status = KX_OK;
    TIFFRGBAImage image;
    bool begun = false;
    char words[1024] = "";
    KX_FAIL_IF(!TIFFRGBAImageOK(reader->tiff, words) || !TIFFRGBAImageBegin(&image, reader->tiff, 1, words),
               err, KX_ERR_INPUT, "TIFF of %u bits a sample cannot be read: %s", reader->bits,
               words[0] != '\0' ? words : reason(reader));
    begun = true;
    image.req_orientation = image.orientation;
    uint32_t *pixels = (uint32_t *)(void *)raster->pixels; /* from calloc, so aligned */
    KX_FAIL_IF(!TIFFRGBAImageGet(&image, pixels, reader->width, reader->height), err, KX_ERR_INPUT,
               "TIFF is broken: %s", reason(reader));
    for (size_t i = 0; i < raster->width_px * raster->height_px; i++) {
        uint32_t value = pixels[i];
        uint8_t bytes[4] = {(uint8_t)TIFFGetR(value), (uint8_t)TIFFGetG(value), (uint8_t)TIFFGetB(value),
                            (uint8_t)TIFFGetA(value)};
        memcpy(raster->pixels + 4 * i, bytes, 4);
    }
    if (image.alpha != 0) divide_by_alpha(raster);
out:
    if (begun) TIFFRGBAImageEnd(&image);
    return status;
}

/* A tile is decoded whole, however little of it is seen. */
static kx_status check_tiles(const tiff_reader *reader, const kx_picture_limits *limits, kx_error *err)
{
    kx_status status = KX_OK;
    uint32_t wide = 0, high = 0;
    if (!TIFFIsTiled(reader->tiff)) return KX_OK;
    TIFFGetField(reader->tiff, TIFFTAG_TILEWIDTH, &wide);
    TIFFGetField(reader->tiff, TIFFTAG_TILELENGTH, &high);
    KX_TRY(kx_raster_check("a tile of the TIFF", wide, high, limits, err));
out:
    return status;
}

static kx_status check(const tiff_reader *reader, const kx_picture_limits *limits, kx_error *err)
{
    kx_status status = KX_OK;
    KX_TRY(kx_raster_check("TIFF", reader->width, reader->height, limits, err));
    KX_TRY(check_tiles(reader, limits, err));
    KX_FAIL_IF(reader->samples == 0 || reader->samples > SAMPLES_MAX, err, KX_ERR_INPUT,
               "TIFF has %u samples a pixel, 1 to %d are read", reader->samples, SAMPLES_MAX);
    KX_FAIL_IF(reader->bits == 0 || reader->bits > 16, err, KX_ERR_INPUT,
               "TIFF has %u bits a sample, 1 to 16 are read", reader->bits);
    KX_FAIL_IF(!compression_is_known(reader->compression), err, KX_ERR_INPUT,
               "TIFF has compression %u, which is not read", reader->compression);
out:
    return status;
}

kx_status kx_tiff_decode(kx_raster *raster, const uint8_t *data, size_t bytes,
                         const kx_picture_limits *limits, kx_error *err)
{
    kx_status status = KX_OK;
    tiff_reader reader = {.data = data, .bytes = bytes};
    uint32_t icc_bytes = 0;
    const void *icc = NULL;
    KX_TRY(open_memory(&reader, limits, err));
    read_tags(&reader);
    KX_TRY(check(&reader, limits, err));
    choose_reading(&reader);
    kx_raster_layout layout = reader.colours == 1   ? reader.has_alpha ? KX_LAYOUT_GREY_ALPHA : KX_LAYOUT_GREY
                              : reader.colours == 4 ? KX_LAYOUT_CMYK
                              : reader.colours == 3 && !reader.has_alpha ? KX_LAYOUT_RGB
                                                                         : KX_LAYOUT_RGBA;
    KX_TRY(kx_raster_take(raster, "TIFF", reader.width, reader.height, layout, limits, err));
    if (reader.colours == 0) {
        KX_TRY(read_converted(&reader, raster, err));
    } else {
        KX_TRY(read_samples(&reader, raster, err));
        if (reader.photometric == PHOTOMETRIC_MINISWHITE) invert_grey(raster);
        if (reader.has_alpha && reader.extra == EXTRASAMPLE_ASSOCALPHA) divide_by_alpha(raster);
    }
    raster->orientation = reader.orientation;
    if (TIFFGetField(reader.tiff, TIFFTAG_ICCPROFILE, &icc_bytes, &icc))
        kx_raster_keep_profile(raster, icc, icc_bytes);
out:
    if (reader.tiff != NULL) TIFFClose(reader.tiff);
    return status;
}

/* BMP, read here because no library is worth it. Header, table of colours, rows:
 *
 *     0  "BM", file bytes u32, 0 u32, offset of the pixels u32
 *     14 header bytes u32: 12 (OS/2 1: width u16, height u16, planes u16, bits u16) or 40 and more
 *        (width i32, height i32, planes u16, bits u16, compression u32, image bytes u32, 2 x i32, colours
 * u32, u32), followed by masks of red, green, blue (and alpha) from 52 (56) bytes on, or behind a header of
 * 40 bytes
 *     .. table of colours, B G R (0), 3 bytes each in OS/2 1, else 4
 *
 * Rows go from bottom to top unless the height is negative, each padded to 4 bytes. Numbers are
 * little-endian. 32 bits without masks carry no alpha. Samples of less than 8 bits are widened by v * 255 /
 * max, cut off, as in Pillow.
 */
#include "engine/images/decode.h"

#include <stdlib.h>
#include <string.h>

enum { BMP_RGB = 0, BMP_RLE8 = 1, BMP_RLE4 = 2, BMP_BITFIELDS = 3, BMP_ALPHA_BITFIELDS = 6 };

typedef struct bmp_mask {
    uint32_t mask;
    unsigned shift;
    uint32_t max; /* 0: the channel is absent */
} bmp_mask;

typedef struct bmp_reader {
    const uint8_t *data;
    size_t bytes;
    size_t header_bytes; /* of the second header */
    size_t pixels_at;
    int64_t width, height; /* height > 0 */
    bool top_down;
    unsigned bits;
    uint32_t compression;
    bmp_mask masks[4]; /* red, green, blue, alpha */
    uint8_t colours[256][3];
} bmp_reader;

static uint32_t u16_at(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t u32_at(const uint8_t *p)
{
    return u16_at(p) | u16_at(p + 2) << 16;
}

static bmp_mask make_mask(uint32_t mask)
{
    bmp_mask made = {.mask = mask};
    if (mask == 0) return made;
    while ((mask >> made.shift & 1) == 0) made.shift++;
    made.max = mask >> made.shift;
    return made;
}

static uint8_t masked(uint32_t pixel, const bmp_mask *mask)
{
    uint64_t value = (pixel & mask->mask) >> mask->shift;
    return mask->max == 0 ? 0 : (uint8_t)(value * 255 / mask->max);
}

static kx_status read_size(bmp_reader *reader, kx_error *err)
{
    kx_status status = KX_OK;
    const uint8_t *header = reader->data + 14;
    KX_FAIL_IF(reader->bytes < 14 + 12, err, KX_ERR_INPUT, "BMP is broken: the file ends too early");
    reader->pixels_at = u32_at(reader->data + 10);
    reader->header_bytes = u32_at(header);
    KX_FAIL_IF(reader->header_bytes != 12 && (reader->header_bytes < 40 || reader->header_bytes > 256), err,
               KX_ERR_INPUT, "BMP has a header of %zu bytes; 12 and 40 to 124 are known",
               reader->header_bytes);
    KX_FAIL_IF(reader->header_bytes > reader->bytes - 14, err, KX_ERR_INPUT,
               "BMP is broken: the file ends too early");
    if (reader->header_bytes == 12) {
        reader->width = u16_at(header + 4);
        reader->height = u16_at(header + 6);
        reader->bits = u16_at(header + 10);
    } else {
        reader->width = (int32_t)u32_at(header + 4);
        reader->height = (int32_t)u32_at(header + 8);
        reader->bits = u16_at(header + 14);
        reader->compression = u32_at(header + 16);
    }
    reader->top_down = reader->height < 0;
    if (reader->top_down) reader->height = -reader->height;
    if (reader->width < 0) reader->width = 0; /* refused with the sentence for empty pictures */
out:
    return status;
}

static kx_status check_kind(const bmp_reader *reader, kx_error *err)
{
    kx_status status = KX_OK;
    unsigned bits = reader->bits;
    bool known = false;
    switch (reader->compression) {
    case BMP_RGB:
        known = bits == 1 || bits == 4 || bits == 8 || bits == 16 || bits == 24 || bits == 32;
        break;
    case BMP_RLE8:
        known = bits == 8;
        break;
    case BMP_RLE4:
        known = bits == 4;
        break;
    case BMP_BITFIELDS:
    case BMP_ALPHA_BITFIELDS:
        known = bits == 16 || bits == 32;
        break;
    default:
        break;
    }
    KX_FAIL_IF(!known, err, KX_ERR_INPUT, "BMP has %u bits a pixel with compression %u, which is not known",
               bits, (unsigned)reader->compression);
out:
    return status;
}

/* Masks for 16 and 32 bits. */
static kx_status read_masks(bmp_reader *reader, kx_error *err)
{
    kx_status status = KX_OK;
    static const uint32_t masks_555[] = {0x7c00, 0x03e0, 0x001f},
                          masks_888[] = {0xff0000, 0x00ff00, 0x0000ff};
    const uint8_t *at = reader->data + 14 + 40;
    bool given = reader->compression == BMP_BITFIELDS || reader->compression == BMP_ALPHA_BITFIELDS;
    size_t alpha = reader->header_bytes >= 56 || reader->compression == BMP_ALPHA_BITFIELDS ? 1 : 0;
    KX_FAIL_IF(given && reader->bytes < 14 + 40 + 4 * (3 + alpha), err, KX_ERR_INPUT,
               "BMP is broken: the file ends too early");
    for (size_t c = 0; c < 3; c++)
        reader->masks[c] = make_mask(given                ? u32_at(at + 4 * c)
                                     : reader->bits == 16 ? masks_555[c]
                                                          : masks_888[c]);
    if (given && alpha == 1) reader->masks[3] = make_mask(u32_at(at + 12));
out:
    return status;
}

/* The table of colours for 1, 4 and 8 bits; black beyond its end. */
static kx_status read_colours(bmp_reader *reader, kx_error *err)
{
    kx_status status = KX_OK;
    bool old = reader->header_bytes == 12;
    size_t entry = old ? 3 : 4, at = 14 + reader->header_bytes, room = (size_t)1 << reader->bits;
    size_t count = old ? 0 : u32_at(reader->data + 14 + 32);
    if (count == 0 || count > room) count = room;
    /* A short table ends where the pixels begin. */
    if (reader->pixels_at > at && count > (reader->pixels_at - at) / entry)
        count = (reader->pixels_at - at) / entry;
    KX_FAIL_IF(count * entry > reader->bytes - at, err, KX_ERR_INPUT,
               "BMP is broken: the file ends too early");
    for (size_t i = 0; i < count; i++)
        for (size_t c = 0; c < 3; c++) reader->colours[i][c] = reader->data[at + i * entry + 2 - c];
out:
    return status;
}

static uint8_t *row_of(const bmp_reader *reader, const kx_raster *raster, size_t y)
{
    return kx_raster_row(raster, reader->top_down ? y : raster->height_px - 1 - y);
}

static void read_indexed_row(const bmp_reader *reader, const uint8_t *in, uint8_t *out, size_t pixels)
{
    unsigned per_byte = 8 / reader->bits, mask = (1u << reader->bits) - 1;
    for (size_t x = 0; x < pixels; x++) {
        unsigned shift = 8 - reader->bits * (unsigned)(x % per_byte + 1);
        memcpy(out + 3 * x, reader->colours[in[x / per_byte] >> shift & mask], 3);
    }
}

static void read_masked_row(const bmp_reader *reader, const uint8_t *in, uint8_t *out, size_t pixels,
                            size_t channels)
{
    size_t step = reader->bits / 8;
    for (size_t x = 0; x < pixels; x++) {
        uint32_t pixel = step == 2 ? u16_at(in + 2 * x) : u32_at(in + 4 * x);
        for (size_t c = 0; c < channels; c++) out[channels * x + c] = masked(pixel, &reader->masks[c]);
    }
}

static void read_bgr_row(const uint8_t *in, uint8_t *out, size_t pixels)
{
    for (size_t x = 0; x < pixels; x++)
        for (size_t c = 0; c < 3; c++) out[3 * x + c] = in[3 * x + 2 - c];
}

static kx_status read_plain(const bmp_reader *reader, kx_raster *raster, kx_error *err)
{
    kx_status status = KX_OK;
    size_t stride = (raster->width_px * reader->bits + 31) / 32 * 4; /* no overflow: the sides are limited */
    size_t left = reader->pixels_at < reader->bytes ? reader->bytes - reader->pixels_at : 0;
    size_t row_bytes = (raster->width_px * reader->bits + 7) / 8;
    /* The padding of the last row may be missing. */
    KX_FAIL_IF(left < stride * (raster->height_px - 1) + row_bytes, err, KX_ERR_INPUT,
               "BMP is broken: %zu bytes of pixels are expected, the file has %zu",
               stride * raster->height_px, left);
    for (size_t y = 0; y < raster->height_px; y++) {
        const uint8_t *in = reader->data + reader->pixels_at + y * stride;
        uint8_t *out = row_of(reader, raster, y);
        if (reader->bits <= 8)
            read_indexed_row(reader, in, out, raster->width_px);
        else if (reader->bits == 24)
            read_bgr_row(in, out, raster->width_px);
        else
            read_masked_row(reader, in, out, raster->width_px, kx_raster_channels(raster->layout));
    }
out:
    return status;
}

typedef struct bmp_cursor {
    size_t at; /* in the file */
    size_t x, y;
} bmp_cursor;

/* One pixel of a run; what lies right of the picture is dropped. */
static void put_index(const bmp_reader *reader, kx_raster *raster, bmp_cursor *cursor, unsigned index)
{
    if (cursor->x < raster->width_px)
        memcpy(row_of(reader, raster, cursor->y) + 3 * cursor->x, reader->colours[index], 3);
    cursor->x++;
}

/* `count` pixels given one by one; the block is padded to two bytes. */
static kx_status read_literal(const bmp_reader *reader, kx_raster *raster, bmp_cursor *cursor, size_t count,
                              kx_error *err)
{
    kx_status status = KX_OK;
    size_t bytes = (count * reader->bits + 7) / 8, padded = (bytes + 1) / 2 * 2;
    const uint8_t *in = reader->data + cursor->at;
    KX_FAIL_IF(bytes > reader->bytes - cursor->at, err, KX_ERR_INPUT,
               "BMP is broken: the file ends too early");
    for (size_t i = 0; i < count; i++) {
        unsigned index = reader->bits == 8 ? in[i] : i % 2 == 0 ? in[i / 2] >> 4 : in[i / 2] & 15u;
        put_index(reader, raster, cursor, index);
    }
    cursor->at += padded < reader->bytes - cursor->at ? padded : reader->bytes - cursor->at;
out:
    return status;
}

/* Pairs (count, index): a run; (0, 0): end of row; (0, 1): end of picture; (0, 2) dx dy: a jump; (0, n): n
 * literals. Pixels that are jumped over have colour 0. */
static kx_status read_runs(const bmp_reader *reader, kx_raster *raster, kx_error *err)
{
    kx_status status = KX_OK;
    bmp_cursor cursor = {.at = reader->pixels_at};
    for (size_t i = 0; i < raster->width_px * raster->height_px; i++)
        memcpy(raster->pixels + 3 * i, reader->colours[0], 3);
    while (cursor.y < raster->height_px) {
        KX_FAIL_IF(cursor.at >= reader->bytes || reader->bytes - cursor.at < 2, err, KX_ERR_INPUT,
                   "BMP is broken: the file ends too early");
        size_t count = reader->data[cursor.at];
        unsigned value = reader->data[cursor.at + 1];
        cursor.at += 2;
        if (count > 0) {
            for (size_t i = 0; i < count; i++)
                put_index(reader, raster, &cursor,
                          reader->bits == 8 ? value
                          : i % 2 == 0      ? value >> 4
                                            : value & 15u);
        } else if (value == 0) {
            cursor.x = 0;
            cursor.y++;
        } else if (value == 1) {
            break;
        } else if (value == 2) {
            KX_FAIL_IF(reader->bytes - cursor.at < 2, err, KX_ERR_INPUT,
                       "BMP is broken: the file ends too early");
            cursor.x += reader->data[cursor.at];
            cursor.y += reader->data[cursor.at + 1];
            cursor.at += 2;
        } else {
            KX_TRY(read_literal(reader, raster, &cursor, value, err));
        }
    }
out:
    return status;
}

kx_status kx_bmp_decode(kx_raster *raster, const uint8_t *data, size_t bytes, const kx_picture_limits *limits,
                        kx_error *err)
{
    kx_status status = KX_OK;
    bmp_reader reader = {.data = data, .bytes = bytes};
    KX_TRY(read_size(&reader, err));
    KX_TRY(kx_raster_check("BMP", (uint64_t)reader.width, (uint64_t)reader.height, limits, err));
    KX_TRY(check_kind(&reader, err));
    if (reader.bits == 16 || reader.bits == 32) KX_TRY(read_masks(&reader, err));
    if (reader.bits <= 8) KX_TRY(read_colours(&reader, err));
    bool alpha = reader.masks[3].max != 0;
    KX_TRY(kx_raster_take(raster, "BMP", (uint64_t)reader.width, (uint64_t)reader.height,
                          alpha ? KX_LAYOUT_RGBA : KX_LAYOUT_RGB, limits, err));
    if (reader.compression == BMP_RLE8 || reader.compression == BMP_RLE4)
        KX_TRY(read_runs(&reader, raster, err));
    else
        KX_TRY(read_plain(&reader, raster, err));
out:
    return status;
}

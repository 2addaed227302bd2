#include "engine/images/exif.h"

#include <stdbool.h>
#include <string.h>

#define TAG_ORIENTATION 0x0112
#define TYPE_SHORT      3

typedef struct exif_view {
    const uint8_t *data;
    size_t bytes;
    bool big_endian;
} exif_view;

static bool read_u16(const exif_view *view, size_t at, unsigned *value)
{
    if (view->bytes < 2 || at > view->bytes - 2) return false;
    const uint8_t *p = view->data + at;
    *value = view->big_endian ? (unsigned)p[0] << 8 | p[1] : (unsigned)p[1] << 8 | p[0];
    return true;
}

static bool read_u32(const exif_view *view, size_t at, uint32_t *value)
{
    unsigned first, second;
    if (!read_u16(view, at, &first) || !read_u16(view, at + 2, &second)) return false;
    *value = view->big_endian ? (uint32_t)first << 16 | second : (uint32_t)second << 16 | first;
    return true;
}

int kx_exif_orientation(const uint8_t *exif, size_t bytes)
{
    if (bytes >= 6 && memcmp(exif, "Exif\0\0", 6) == 0) {
        exif += 6;
        bytes -= 6;
    }
    if (bytes < 8) return 0;
    exif_view view = {.data = exif, .bytes = bytes, .big_endian = exif[0] == 'M'};
    unsigned magic, entries, tag, type, value;
    uint32_t at, count;
    if (memcmp(exif, "II", 2) != 0 && memcmp(exif, "MM", 2) != 0) return 0;
    if (!read_u16(&view, 2, &magic) || magic != 42 || !read_u32(&view, 4, &at)) return 0;
    if (!read_u16(&view, at, &entries)) return 0;
    for (size_t i = 0; i < entries; i++) {
        size_t entry = (size_t)at + 2 + 12 * i;
        if (!read_u16(&view, entry, &tag)) return 0;
        if (tag != TAG_ORIENTATION) continue;
        if (!read_u16(&view, entry + 2, &type) || !read_u32(&view, entry + 4, &count)) return 0;
        if (type != TYPE_SHORT || count != 1 || !read_u16(&view, entry + 8, &value)) return 0;
        return value >= 1 && value <= 8 ? (int)value : 0;
    }
    return 0;
}

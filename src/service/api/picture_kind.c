#include "service/api/picture_kind.h"

#include <string.h>
#include <strings.h>

static const kx_picture_kind jpeg = {"image/jpeg", "jpeg"};
static const kx_picture_kind png = {"image/png", "png"};
static const kx_picture_kind webp = {"image/webp", "webp"};
static const kx_picture_kind gif = {"image/gif", "gif"};
static const kx_picture_kind bmp = {"image/bmp", "bmp"};
static const kx_picture_kind tiff = {"image/tiff", "tiff"};

static const struct {
    const char *bytes;
    size_t size;
    const kx_picture_kind *kind;
} beginnings[] = {
    {"\xff\xd8\xff", 3, &jpeg},
    {"\x89PNG\r\n\x1a\n", 8, &png},
    {"GIF87a", 6, &gif},
    {"GIF89a", 6, &gif},
    {"BM", 2, &bmp},
    {"II*\0", 4, &tiff},
    {"MM\0*", 4, &tiff},
};

static const struct {
    const char *name;
    const kx_picture_kind *kind;
} names[] = {
    {"image/jpeg", &jpeg}, {"image/jpg", &jpeg}, {"image/png", &png},   {"image/webp", &webp},
    {"image/gif", &gif},   {"image/bmp", &bmp},  {"image/tiff", &tiff}, {"jpeg", &jpeg},
    {"jpg", &jpeg},        {"png", &png},        {"webp", &webp},       {"gif", &gif},
    {"bmp", &bmp},         {"tiff", &tiff},      {"tif", &tiff},
};

const kx_picture_kind *kx_picture_kind_of(const void *head, size_t bytes)
{
    for (size_t i = 0; i < sizeof beginnings / sizeof beginnings[0]; i++)
        if (bytes >= beginnings[i].size && memcmp(head, beginnings[i].bytes, beginnings[i].size) == 0)
            return beginnings[i].kind;
    if (bytes >= 12 && memcmp(head, "RIFF", 4) == 0 && memcmp((const char *)head + 8, "WEBP", 4) == 0)
        return &webp;
    return NULL;
}

static const kx_picture_kind *named(const char *name)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcasecmp(names[i].name, name) == 0) return names[i].kind;
    return NULL;
}

const kx_picture_kind *kx_picture_kind_named(const char *content_type, const char *filename)
{
    const kx_picture_kind *kind = content_type == NULL ? NULL : named(content_type);
    const char *dot = filename == NULL ? NULL : strrchr(filename, '.');
    if (kind == NULL && dot != NULL) kind = named(dot + 1);
    return kind;
}

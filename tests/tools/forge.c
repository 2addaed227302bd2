/* Makes the files that the end-to-end tests need, good and bad.
 *
 *     forge picture W H SEED FILE       a smooth picture; the format is the file's suffix
 *     forge png-header W H FILE         a PNG that says it is W x H and has no pixels
 *     forge png-bomb W H FILE           a complete black PNG of W x H, 1 bit a pixel: small file, many pixels
 *     forge st-header FILE WHAT         changes a safetensors file in place: "overlap" gives two tensors one
 * place, "dtype" another type to the first tensor, "shape" another shape forge st-nan FILE makes the first
 * number of the first tensor NaN and prints the tensor's name forge st-noise W H FILE           a safetensors
 * file with the tensor "noise" [16,H,W], all 0.5
 */
#include "base/file.h"

#include <jansson.h>
#include <kontext/kontext.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static _Noreturn void give_up(const char *sentence)
{
    fprintf(stderr, "forge: %s\n", sentence);
    exit(1);
}

static void write_file(const char *path, const void *data, size_t bytes)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(data, 1, bytes, file) != bytes || fclose(file) != 0) give_up("cannot write");
}

/* ---- Pictures ---- */

static void make_picture(int width, int height, unsigned seed, const char *path)
{
    kx_error err = {0};
    kx_picture picture = {width, height, malloc((size_t)width * (size_t)height * 3)};
    if (picture.rgb == NULL) give_up("out of memory");
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            uint8_t *pixel = picture.rgb + 3 * ((size_t)y * (size_t)width + (size_t)x);
            pixel[0] = (uint8_t)(255 * x / width);
            pixel[1] = (uint8_t)(255 * y / height);
            pixel[2] = (uint8_t)((unsigned)(x + y) * (seed + 1));
        }
    }
    if (kx_picture_save(&picture, path, NULL, &err) != KX_OK) give_up(err.message);
    kx_picture_free(&picture);
}

static size_t put_big_endian(uint8_t *out, uint32_t value)
{
    for (int i = 0; i < 4; i++) out[i] = (uint8_t)(value >> (24 - 8 * i));
    return 4;
}

static size_t put_chunk(uint8_t *out, const char *type, const uint8_t *data, size_t bytes)
{
    size_t at = put_big_endian(out, (uint32_t)bytes);
    memcpy(out + at, type, 4);
    if (bytes > 0) memcpy(out + at + 4, data, bytes);
    uint32_t sum = (uint32_t)crc32(0, out + at, (uInt)(bytes + 4));
    return at + 4 + bytes + put_big_endian(out + at + 4 + bytes, sum);
}

/* IHDR, `data` as IDAT, IEND. */
static void write_png(uint32_t width, uint32_t height, const uint8_t *data, size_t bytes, const char *path)
{
    static const uint8_t signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    uint8_t header[13] = {0}, *out = malloc(bytes + 128);
    if (out == NULL) give_up("out of memory");
    put_big_endian(header, width);
    put_big_endian(header + 4, height);
    header[8] = 1; /* bits a pixel, grey */
    size_t at = sizeof signature;
    memcpy(out, signature, sizeof signature);
    at += put_chunk(out + at, "IHDR", header, sizeof header);
    at += put_chunk(out + at, "IDAT", data, bytes);
    at += put_chunk(out + at, "IEND", NULL, 0);
    write_file(path, out, at);
    free(out);
}

static void make_bomb(uint32_t width, uint32_t height, const char *path)
{
    size_t raw_bytes = (size_t)height * (1 + (width + 7) / 8);
    uLongf bytes = compressBound(raw_bytes);
    uint8_t *raw = calloc(1, raw_bytes), *packed = malloc(bytes);
    if (raw == NULL || packed == NULL || compress2(packed, &bytes, raw, raw_bytes, 9) != Z_OK)
        give_up("cannot deflate");
    write_png(width, height, packed, bytes, path);
    free(raw);
    free(packed);
}

/* ---- Safetensors ---- */

typedef struct tensors_file {
    kx_bytes bytes;
    size_t header_bytes;
    json_t *header;
    const char *first; /* name of the first tensor in the data */
    const char *second;
} tensors_file;

static size_t offset_of(const tensors_file *file, const char *name, size_t end)
{
    json_t *range = json_object_get(json_object_get(file->header, name), "data_offsets");
    return (size_t)json_integer_value(json_array_get(range, end));
}

static void find_first_two(tensors_file *file)
{
    const char *name;
    json_t *entry;
    json_object_foreach(file->header, name, entry)
    {
        if (json_object_get(entry, "data_offsets") == NULL) continue;
        if (file->first == NULL || offset_of(file, name, 0) < offset_of(file, file->first, 0)) {
            file->second = file->first;
            file->first = name;
        } else if (file->second == NULL || offset_of(file, name, 0) < offset_of(file, file->second, 0)) {
            file->second = name;
        }
    }
    if (file->second == NULL) give_up("the file has fewer than two tensors");
}

static void open_tensors(tensors_file *file, const char *path)
{
    kx_error err = {0};
    *file = (tensors_file){.bytes = {.cap = (size_t)1 << 31}};
    if (kx_file_read(path, &file->bytes, KX_ERR_INPUT, &err) != KX_OK) give_up(err.message);
    for (size_t i = 0; i < 8; i++) file->header_bytes |= (size_t)file->bytes.data[i] << (8 * i);
    file->header = json_loadb((const char *)file->bytes.data + 8, file->header_bytes, 0, NULL);
    if (file->header == NULL) give_up("no safetensors file");
    find_first_two(file);
}

/* The new header takes the place of the old one, filled up with spaces; the data stays where it is. */
static void save_tensors(tensors_file *file, const char *path)
{
    char *text = json_dumps(file->header, JSON_COMPACT);
    size_t length = text != NULL ? strlen(text) : 0;
    if (text == NULL || length > file->header_bytes) give_up("the new header is longer than the old one");
    memset(file->bytes.data + 8, ' ', file->header_bytes);
    memcpy(file->bytes.data + 8, text, length);
    write_file(path, file->bytes.data, file->bytes.size);
    free(text);
    json_decref(file->header);
    kx_bytes_free(&file->bytes);
}

static void change_header(const char *path, const char *what)
{
    tensors_file file;
    open_tensors(&file, path);
    json_t *first = json_object_get(file.header, file.first),
           *second = json_object_get(file.header, file.second);
    if (strcmp(what, "overlap") == 0) {
        /* Two bytes earlier: the length stays right, the first two bytes are shared. */
        size_t begin = offset_of(&file, file.second, 0) - 2, end = offset_of(&file, file.second, 1) - 2;
        json_object_set_new(second, "data_offsets", json_pack("[I,I]", (json_int_t)begin, (json_int_t)end));
    } else if (strcmp(what, "dtype") == 0) {
        bool is_i16 = strcmp(json_string_value(json_object_get(first, "dtype")), "F32") != 0;
        json_object_set_new(first, "dtype", json_string(is_i16 ? "I16" : "I32"));
    } else if (strcmp(what, "shape") == 0) {
        json_object_set_new(first, "shape", json_pack("[i]", 3));
    } else {
        give_up("unknown change");
    }
    save_tensors(&file, path);
}

static void put_nan(const char *path)
{
    tensors_file file;
    open_tensors(&file, path);
    size_t begin = offset_of(&file, file.first, 0), end = offset_of(&file, file.first, 1);
    uint8_t *data = file.bytes.data + 8 + file.header_bytes;
    bool wide = strcmp(json_string_value(json_object_get(json_object_get(file.header, file.first), "dtype")),
                       "F32") == 0;
    /* Little-endian quiet NaN: 7fc00000 as F32, 7fc0 as BF16, which as F16 is a NaN too. */
    const uint8_t nan_f32[4] = {0, 0, 0xc0, 0x7f}, nan_16[2] = {0xc0, 0x7f};
    for (size_t at = begin; at < end; at += wide ? 4 : 2)
        memcpy(data + at, wide ? nan_f32 : nan_16, wide ? 4 : 2);
    puts(file.first);
    write_file(path, file.bytes.data, file.bytes.size);
    json_decref(file.header);
    kx_bytes_free(&file.bytes);
}

static void make_noise(size_t width, size_t height, const char *path)
{
    char header[256];
    size_t count = 16 * height * width, bytes = count * sizeof(float);
    int length = snprintf(header, sizeof header,
                          "{\"noise\":{\"dtype\":\"F32\",\"shape\":[16,%zu,%zu],\"data_offsets\":[0,%zu]}}",
                          height, width, bytes);
    uint8_t *out = calloc(1, 8 + (size_t)length + bytes);
    if (out == NULL) give_up("out of memory");
    out[0] = (uint8_t)length;
    memcpy(out + 8, header, (size_t)length);
    const float half = 0.5f;
    for (size_t i = 0; i < count; i++) memcpy(out + 8 + (size_t)length + 4 * i, &half, 4);
    write_file(path, out, 8 + (size_t)length + bytes);
    free(out);
}

int main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[1] : "";
    if (strcmp(what, "picture") == 0 && argc == 6)
        make_picture(atoi(argv[2]), atoi(argv[3]), (unsigned)atoi(argv[4]), argv[5]);
    else if (strcmp(what, "png-header") == 0 && argc == 5)
        write_png((uint32_t)atoi(argv[2]), (uint32_t)atoi(argv[3]), (const uint8_t *)"", 0, argv[4]);
    else if (strcmp(what, "png-bomb") == 0 && argc == 5)
        make_bomb((uint32_t)atoi(argv[2]), (uint32_t)atoi(argv[3]), argv[4]);
    else if (strcmp(what, "st-header") == 0 && argc == 4)
        change_header(argv[2], argv[3]);
    else if (strcmp(what, "st-nan") == 0 && argc == 3)
        put_nan(argv[2]);
    else if (strcmp(what, "st-noise") == 0 && argc == 5)
        make_noise((size_t)atoi(argv[2]), (size_t)atoi(argv[3]), argv[4]);
    else
        give_up("see the top of forge.c");
    return 0;
}

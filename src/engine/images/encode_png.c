/* PNG: 8-bit RGB with an sRGB chunk; the entries as iTXt, and an XMP packet that says how the picture came
 * about. */
#include "engine/images/encode.h"
#include "engine/images/xmp.h"

#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct png_writer {
    png_structp png;
    png_infop info;
    kx_bytes *out;
    kx_error *err;
    char message[160];
    jmp_buf failed;
} png_writer;

__attribute__((noreturn)) static void on_error(png_structp png, png_const_charp message)
{
    png_writer *writer = png_get_error_ptr(png);
    snprintf(writer->message, sizeof writer->message, "%s", message);
    longjmp(writer->failed, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void on_write(png_structp png, png_bytep data, size_t length)
{
    png_writer *writer = png_get_io_ptr(png);
    if (kx_bytes_append(writer->out, data, length, writer->err) != KX_OK) png_error(png, "out of memory");
}

static void on_flush(png_structp png)
{
    (void)png;
}

/* libpng copies what is set here; its interface lacks the const. */
static void set_text(png_writer *writer, const char *key, const char *value)
{
    png_text text = {
        .compression = PNG_ITXT_COMPRESSION_NONE,
        .key = (png_charp)(uintptr_t)key,
        .text = (png_charp)(uintptr_t)value,
        .itxt_length = strlen(value),
        .lang = (png_charp)(uintptr_t) "",
        .lang_key = (png_charp)(uintptr_t) "",
    };
    png_set_text(writer->png, writer->info, &text, 1);
}

/* xmp: a terminated packet, or NULL. */
static bool write_all(png_writer *writer, const kx_picture *picture, const kx_save_options *options,
                      const char *xmp)
{
    if (setjmp(writer->failed) != 0) return false;
    png_set_write_fn(writer->png, writer, on_write, on_flush);
    png_set_user_limits(writer->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_IHDR(writer->png, writer->info, (png_uint_32)picture->width_px, (png_uint_32)picture->height_px,
                 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_set_sRGB(writer->png, writer->info, PNG_sRGB_INTENT_PERCEPTUAL);
    for (size_t i = 0; i < options->num_metadata; i++)
        set_text(writer, options->metadata[i].key, options->metadata[i].value);
    if (xmp != NULL) set_text(writer, "XML:com.adobe.xmp", xmp);
    png_write_info(writer->png, writer->info);
    for (size_t y = 0; y < (size_t)picture->height_px; y++)
        png_write_row(writer->png, picture->rgb + y * (size_t)picture->width_px * 3);
    png_write_end(writer->png, writer->info);
    return true;
}

kx_status kx_png_encode(const kx_picture *picture, const kx_save_options *options, kx_bytes *out,
                        kx_error *err)
{
    kx_status status = KX_OK;
    kx_bytes xmp = {.cap = 1u << 20};
    png_writer *writer = calloc(1, sizeof *writer);
    KX_FAIL_IF(writer == NULL, err, KX_ERR_MEMORY, "out of memory for the PNG encoder");
    writer->out = out;
    writer->err = err;
    if (options->num_metadata > 0) {
        /* The entries stand beside it as iTXt, where other programs look for them. */
        KX_TRY(kx_xmp_write(&xmp, NULL, 0, xmp.cap - 1, err));
        KX_TRY(kx_bytes_append(&xmp, "", 1, err));
    }
    writer->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, writer, on_error, on_warning);
    KX_FAIL_IF(writer->png == NULL, err, KX_ERR_MEMORY, "out of memory for the PNG encoder");
    writer->info = png_create_info_struct(writer->png);
    KX_FAIL_IF(writer->info == NULL, err, KX_ERR_MEMORY, "out of memory for the PNG encoder");
    KX_FAIL_IF(!write_all(writer, picture, options, (const char *)xmp.data), err, KX_ERR_INTERNAL,
               "the picture cannot be encoded as PNG: %s", writer->message);
out:
    if (writer != NULL && writer->png != NULL) png_destroy_write_struct(&writer->png, &writer->info);
    free(writer);
    kx_bytes_free(&xmp);
    return status;
}

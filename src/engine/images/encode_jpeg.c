/* JPEG: baseline with optimal Huffman tables; colours at full resolution from quality 90, halved both ways
 * below. */
#include "engine/images/encode.h"
#include "engine/images/xmp.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

#define DEFAULT_QUALITY     95
#define FULL_COLOUR_QUALITY 90
#define OUTPUT_BYTES        65536

/* The name that marks an APP1 segment as XMP; its zero byte counts. A segment holds 65533 bytes. */
static const char xmp_name[] = "http://ns.adobe.com/xap/1.0/";
#define XMP_BYTES_MAX (65533 - sizeof xmp_name)

typedef struct jpeg_writer {
    struct jpeg_compress_struct info;
    struct jpeg_error_mgr errors;
    struct jpeg_destination_mgr destination;
    kx_bytes *out;
    kx_error *err;
    char message[JMSG_LENGTH_MAX];
    jmp_buf failed;
    JOCTET buffer[OUTPUT_BYTES];
} jpeg_writer;

__attribute__((noreturn)) static void on_error(j_common_ptr info)
{
    jpeg_writer *writer = info->client_data;
    info->err->format_message(info, writer->message);
    longjmp(writer->failed, 1);
}

static void on_output(j_common_ptr info)
{
    (void)info;
}

static void start_buffer(j_compress_ptr info)
{
    jpeg_writer *writer = info->client_data;
    writer->destination.next_output_byte = writer->buffer;
    writer->destination.free_in_buffer = OUTPUT_BYTES;
}

static void put(jpeg_writer *writer, size_t bytes)
{
    if (kx_bytes_append(writer->out, writer->buffer, bytes, writer->err) == KX_OK) return;
    snprintf(writer->message, sizeof writer->message, "out of memory");
    longjmp(writer->failed, 1);
}

static boolean on_buffer_full(j_compress_ptr info)
{
    put(info->client_data, OUTPUT_BYTES);
    start_buffer(info);
    return TRUE;
}

static void on_end(j_compress_ptr info)
{
    jpeg_writer *writer = info->client_data;
    put(writer, OUTPUT_BYTES - writer->destination.free_in_buffer);
}

static void set_options(jpeg_writer *writer, const kx_picture *picture, int quality)
{
    j_compress_ptr info = &writer->info;
    info->image_width = (JDIMENSION)picture->width_px;
    info->image_height = (JDIMENSION)picture->height_px;
    info->input_components = 3;
    info->in_color_space = JCS_RGB;
    jpeg_set_defaults(info);
    jpeg_set_quality(info, quality, TRUE);
    info->optimize_coding = TRUE;
    info->dct_method = JDCT_ISLOW;
    int sampling = quality >= FULL_COLOUR_QUALITY ? 1 : 2;
    info->comp_info[0].h_samp_factor = sampling;
    info->comp_info[0].v_samp_factor = sampling;
}

/* segment: the XMP packet after its name, or empty. */
static bool write_all(jpeg_writer *writer, const kx_picture *picture, int quality, const kx_bytes *segment)
{
    writer->info.err = jpeg_std_error(&writer->errors);
    writer->errors.error_exit = on_error;
    writer->errors.output_message = on_output;
    writer->info.client_data = writer;
    if (setjmp(writer->failed) != 0) return false;
    jpeg_create_compress(&writer->info);
    writer->destination.init_destination = start_buffer;
    writer->destination.empty_output_buffer = on_buffer_full;
    writer->destination.term_destination = on_end;
    writer->info.dest = &writer->destination;
    set_options(writer, picture, quality);
    jpeg_start_compress(&writer->info, TRUE);
    if (segment->size > 0)
        jpeg_write_marker(&writer->info, JPEG_APP0 + 1, segment->data, (unsigned)segment->size);
    while (writer->info.next_scanline < writer->info.image_height) {
        JSAMPROW row = picture->rgb + (size_t)writer->info.next_scanline * (size_t)picture->width_px * 3;
        jpeg_write_scanlines(&writer->info, &row, 1);
    }
    jpeg_finish_compress(&writer->info);
    return true;
}

kx_status kx_jpeg_encode(const kx_picture *picture, const kx_save_options *options, kx_bytes *out,
                         kx_error *err)
{
    kx_status status = KX_OK;
    kx_bytes segment = {.cap = (size_t)1 << 30};
    jpeg_writer *writer = calloc(1, sizeof *writer);
    KX_FAIL_IF(writer == NULL, err, KX_ERR_MEMORY, "out of memory for the JPEG encoder");
    writer->out = out;
    writer->err = err;
    KX_FAIL_IF(picture->width_px > JPEG_MAX_DIMENSION || picture->height_px > JPEG_MAX_DIMENSION, err,
               KX_ERR_INPUT, "the picture is %dx%d, JPEG holds at most %ldx%ld", picture->width_px,
               picture->height_px, JPEG_MAX_DIMENSION, JPEG_MAX_DIMENSION);
    if (options->num_metadata > 0) {
        KX_TRY(kx_bytes_append(&segment, xmp_name, sizeof xmp_name, err));
        KX_TRY(kx_xmp_write(&segment, options->metadata, options->num_metadata, XMP_BYTES_MAX, err));
    }
    int quality = options->quality == 0 ? DEFAULT_QUALITY : options->quality;
    KX_FAIL_IF(!write_all(writer, picture, quality, &segment), err, KX_ERR_INTERNAL,
               "the picture cannot be encoded as JPEG: %s", writer->message);
out:
    if (writer != NULL) jpeg_destroy_compress(&writer->info);
    free(writer);
    kx_bytes_free(&segment);
    return status;
}

/* JPEG by libjpeg-turbo with its default (accurate) methods, so that the bytes equal Pillow's. A file that
 * ends before its EOI marker, or whose coded data do not make up the picture, is an error: libjpeg itself
 * would fill the rest with grey and warn.
 */
#include "engine/images/decode.h"
#include "engine/images/exif.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

#define MARKER_BYTES_MAX 0xffff

typedef struct jpeg_reader {
    struct jpeg_decompress_struct info;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    int scans_max;
    bool out_of_memory;
    char message[JMSG_LENGTH_MAX];
    jmp_buf failed; /* libjpeg's errors land here; set by each step below */
} jpeg_reader;

__attribute__((noreturn)) static void give_up(jpeg_reader *reader, const char *message)
{
    snprintf(reader->message, sizeof reader->message, "%s", message);
    longjmp(reader->failed, 1);
}

__attribute__((noreturn)) static void on_error(j_common_ptr info)
{
    jpeg_reader *reader = info->client_data;
    reader->out_of_memory = info->err->msg_code == JERR_OUT_OF_MEMORY;
    info->err->format_message(info, reader->message);
    longjmp(reader->failed, 1);
}

/* Warnings that mean "part of the picture is made up" are errors; the others (such as stray bytes between
 * markers, which cameras write) are not worth a word. */
static void on_message(j_common_ptr info, int level)
{
    if (level >= 0) return;
    switch (info->err->msg_code) {
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_MUST_RESYNC:
        on_error(info);
    default:
        break;
    }
}

static void on_output(j_common_ptr info)
{
    (void)info;
}

/* Each scan of a progressive file costs a pass over all coefficients, however few bytes it has. */
static void on_progress(j_common_ptr info)
{
    jpeg_reader *reader = info->client_data;
    if (info->is_decompressor && reader->info.input_scan_number > reader->scans_max) {
        char message[80];
        snprintf(message, sizeof message, "it has more than %d scans", reader->scans_max);
        give_up(reader, message);
    }
}

static void on_source_start(j_decompress_ptr info)
{
    (void)info;
}

static boolean on_source_empty(j_decompress_ptr info)
{
    give_up(info->client_data, "the file ends too early");
}

static void on_source_skip(j_decompress_ptr info, long bytes)
{
    if (bytes <= 0) return;
    if ((size_t)bytes > info->src->bytes_in_buffer) on_source_empty(info);
    info->src->next_input_byte += bytes;
    info->src->bytes_in_buffer -= (size_t)bytes;
}

static bool read_header(jpeg_reader *reader, const uint8_t *data, size_t bytes)
{
    reader->info.err = jpeg_std_error(&reader->errors);
    reader->errors.error_exit = on_error;
    reader->errors.emit_message = on_message;
    reader->errors.output_message = on_output;
    reader->info.client_data = reader;
    if (setjmp(reader->failed) != 0) return false;
    jpeg_create_decompress(&reader->info);
    reader->info.client_data = reader;
    reader->source = (struct jpeg_source_mgr){
        .next_input_byte = data,
        .bytes_in_buffer = bytes,
        .init_source = on_source_start,
        .fill_input_buffer = on_source_empty,
        .skip_input_data = on_source_skip,
        .resync_to_restart = jpeg_resync_to_restart,
        .term_source = on_source_start,
    };
    reader->info.src = &reader->source;
    reader->progress.progress_monitor = on_progress;
    reader->info.progress = &reader->progress;
    jpeg_save_markers(&reader->info, JPEG_APP0 + 1, MARKER_BYTES_MAX);
    jpeg_save_markers(&reader->info, JPEG_APP0 + 2, MARKER_BYTES_MAX);
    jpeg_read_header(&reader->info, TRUE);
    return true;
}

static bool read_pixels(jpeg_reader *reader, const kx_raster *raster)
{
    if (setjmp(reader->failed) != 0) return false;
    jpeg_start_decompress(&reader->info);
    if ((size_t)reader->info.output_components != kx_raster_channels(raster->layout))
        give_up(reader, "unexpected colour channels");
    while (reader->info.output_scanline < reader->info.output_height) {
        JSAMPROW row = kx_raster_row(raster, reader->info.output_scanline);
        jpeg_read_scanlines(&reader->info, &row, 1);
    }
    jpeg_finish_decompress(&reader->info);
    return true;
}

static void keep_metadata(jpeg_reader *reader, kx_raster *raster)
{
    for (jpeg_saved_marker_ptr marker = reader->info.marker_list; marker != NULL; marker = marker->next) {
        bool is_exif = marker->marker == JPEG_APP0 + 1 && marker->data_length >= 6 &&
                       memcmp(marker->data, "Exif\0\0", 6) == 0;
        if (is_exif && raster->orientation == 0)
            raster->orientation = kx_exif_orientation(marker->data, marker->data_length);
    }
    JOCTET *icc = NULL;
    unsigned icc_bytes = 0;
    if (setjmp(reader->failed) == 0 && jpeg_read_icc_profile(&reader->info, &icc, &icc_bytes)) {
        kx_raster_keep_profile(raster, icc, icc_bytes);
        free(icc);
    }
}

/* Files with four colours store 255 - ink, after Adobe's custom, which everybody follows. */
static void invert(kx_raster *raster)
{
    size_t samples = raster->width_px * raster->height_px * 4;
    for (size_t i = 0; i < samples; i++) raster->pixels[i] = (uint8_t)(255 - raster->pixels[i]);
}

static bool choose_layout(jpeg_reader *reader, kx_raster_layout *layout)
{
    switch (reader->info.out_color_space) {
    case JCS_GRAYSCALE:
        *layout = KX_LAYOUT_GREY;
        return true;
    case JCS_RGB:
        *layout = KX_LAYOUT_RGB;
        return true;
    case JCS_CMYK:
        *layout = KX_LAYOUT_CMYK;
        return true;
    default:
        return false;
    }
}

kx_status kx_jpeg_decode(kx_raster *raster, const uint8_t *data, size_t bytes,
                         const kx_picture_limits *limits, kx_error *err)
{
    kx_status status = KX_OK;
    kx_raster_layout layout = KX_LAYOUT_RGB;
    jpeg_reader *reader = calloc(1, sizeof *reader);
    KX_FAIL_IF(reader == NULL, err, KX_ERR_MEMORY, "out of memory for the JPEG decoder");
    reader->scans_max = limits->jpeg_scans;
    KX_FAIL_IF(!read_header(reader, data, bytes), err, reader->out_of_memory ? KX_ERR_MEMORY : KX_ERR_INPUT,
               "JPEG is broken: %s", reader->message);
    KX_FAIL_IF(!choose_layout(reader, &layout), err, KX_ERR_INPUT,
               "JPEG has %d colour channels of an unknown kind; grey, RGB, YCbCr, CMYK and YCCK are known",
               reader->info.num_components);
    KX_TRY(kx_raster_take(raster, "JPEG", reader->info.image_width, reader->info.image_height, layout, limits,
                          err));
    keep_metadata(reader, raster);
    KX_FAIL_IF(!read_pixels(reader, raster), err, reader->out_of_memory ? KX_ERR_MEMORY : KX_ERR_INPUT,
               "JPEG is broken: %s", reader->message);
    if (layout == KX_LAYOUT_CMYK) invert(raster);
out:
    if (reader != NULL) jpeg_destroy_decompress(&reader->info);
    free(reader);
    return status;
}

/* The picture functions of the public header: NULL arguments, files and names; the work is in decode.c and
 * encode.c. */
#include "base/bytes.h"
#include "base/file.h"
#include "base/limits.h"
#include "engine/images/decode.h"
#include "engine/images/encode.h"

#include <stdlib.h>
#include <string.h>

#define ENCODED_BYTES_MAX ((size_t)2 << 30)

kx_status kx_picture_decode(kx_picture *picture, const void *data, size_t bytes, kx_error *err)
{
    kx_status status = KX_OK;
    kx_error own = {0};
    kx_picture_limits limits = kx_picture_limits_default();
    if (err == NULL) err = &own;
    KX_FAIL_IF(picture == NULL || (data == NULL && bytes > 0), err, KX_ERR_USAGE,
               "kx_picture_decode needs a picture to fill and the bytes to decode");
    KX_TRY(kx_picture_decode_within(picture, data, bytes, &limits, err));
out:
    return status;
}

kx_status kx_picture_load(kx_picture *picture, const char *path, kx_error *err)
{
    kx_status status = KX_OK;
    kx_error own = {0};
    kx_bytes file = {.cap = KX_LIMIT_PICTURE_BYTES};
    if (err == NULL) err = &own;
    KX_FAIL_IF(picture == NULL || path == NULL, err, KX_ERR_USAGE,
               "kx_picture_load needs a picture to fill and a path");
    *picture = (kx_picture){0};
    KX_TRY(kx_file_read(path, &file, KX_ERR_INPUT, err));
    status = kx_picture_decode(picture, file.data, file.size, err);
    if (status != KX_OK) kx_error_prefix(err, "%s", path);
out:
    kx_bytes_free(&file);
    return status;
}

kx_status kx_picture_encode(const kx_picture *picture, const kx_save_options *options, uint8_t **data,
                            size_t *bytes, kx_error *err)
{
    kx_status status = KX_OK;
    kx_error own = {0};
    kx_bytes out = {.cap = ENCODED_BYTES_MAX};
    if (err == NULL) err = &own;
    KX_FAIL_IF(options == NULL || data == NULL || bytes == NULL, err, KX_ERR_USAGE,
               "kx_picture_encode needs options, and somewhere to put the bytes");
    *data = NULL;
    *bytes = 0;
    KX_TRY(kx_picture_encode_bytes(picture, options, &out, err));
    *data = out.data;
    *bytes = out.size;
    out = (kx_bytes){0};
out:
    kx_bytes_free(&out);
    return status;
}

kx_status kx_picture_save(const kx_picture *picture, const char *path, const kx_save_options *options,
                          kx_error *err)
{
    kx_status status = KX_OK;
    kx_error own = {0};
    kx_bytes out = {.cap = ENCODED_BYTES_MAX};
    kx_file_write file = {.fd = -1};
    kx_save_options chosen = options != NULL ? *options : (kx_save_options){0};
    if (err == NULL) err = &own;
    KX_FAIL_IF(path == NULL, err, KX_ERR_USAGE, "kx_picture_save needs a path");
    if (chosen.format == KX_FORMAT_AUTO) KX_TRY(kx_picture_format_of(path, &chosen.format, err));
    status = kx_picture_encode_bytes(picture, &chosen, &out, err);
    if (status != KX_OK) kx_error_prefix(err, "%s", path);
    if (status != KX_OK) goto out;
    KX_TRY(kx_file_write_open(&file, path, err));
    KX_TRY(kx_file_write_bytes(&file, out.data, out.size, err));
    KX_TRY(kx_file_write_commit(&file, err));
out:
    kx_file_write_discard(&file);
    kx_bytes_free(&out);
    return status;
}

void kx_picture_free(kx_picture *picture)
{
    if (picture == NULL) return;
    free(picture->rgb);
    *picture = (kx_picture){0};
}

void kx_free(void *memory)
{
    free(memory);
}

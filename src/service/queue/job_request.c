#include "service/queue/job_request.h"

#include "base/json_file.h"
#include "base/limits.h"

#include <string.h>

static const char *const format_names[] = {
    [KX_FORMAT_AUTO] = "auto", [KX_FORMAT_PNG] = "png", [KX_FORMAT_JPEG] = "jpeg", [KX_FORMAT_WEBP] = "webp"};
#define FORMATS (sizeof format_names / sizeof format_names[0])

/* ---- Writing ---- */

static json_t *image_to_json(const kx_job_image *image)
{
    if (image->blob[0] != '\0') return json_pack("{s:s}", "blob", image->blob);
    return json_pack("{s:s}", "url", image->url);
}

json_t *kx_job_request_to_json(const kx_job_request *request)
{
    json_t *images = json_array();
    if (images == NULL) return NULL;
    for (size_t i = 0; i < request->num_images_in; i++) {
        if (json_array_append_new(images, image_to_json(&request->images[i])) == 0) continue;
        json_decref(images);
        return NULL;
    }
    /* JSON integers are signed here: a seed beyond 63 bits is stored as the negative number of equal bits. */
    return json_pack("{s:s, s:o, s:i, s:i, s:i, s:f, s:I, s:i, s:s, s:i}", "prompt", request->prompt,
                     "images", images, "width", request->width_px, "height", request->height_px, "steps",
                     request->steps, "guidance", request->guidance, "seed", (json_int_t)request->seed,
                     "num_images", (int)request->num_images, "format", format_names[request->format],
                     "quality", request->quality);
}

/* ---- Reading ---- */

typedef struct reader {
    const json_t *root;
    kx_arena *arena;
} reader;

static kx_status read_integer(const reader *r, const char *key, json_int_t lowest, json_int_t highest,
                              json_int_t *value, kx_error *err)
{
    kx_status status = KX_OK;
    const json_t *item = json_object_get(r->root, key);
    KX_FAIL_IF(!json_is_integer(item), err, KX_ERR_INTERNAL,
               "the stored request's '%s' is %s, an integer is expected", key, kx_json_kind(item));
    *value = json_integer_value(item);
    KX_FAIL_IF(*value < lowest || *value > highest, err, KX_ERR_INTERNAL,
               "the stored request's '%s' is %" JSON_INTEGER_FORMAT ", %" JSON_INTEGER_FORMAT
               " to %" JSON_INTEGER_FORMAT " is expected",
               key, *value, lowest, highest);
out:
    return status;
}

static kx_status read_int(const reader *r, const char *key, int highest, int *out, kx_error *err)
{
    json_int_t value = 0;
    kx_status status = read_integer(r, key, 0, highest, &value, err);
    *out = (int)value;
    return status;
}

static kx_status copy_text(const reader *r, const json_t *item, const char *key, const char **out,
                           kx_error *err)
{
    kx_status status = KX_OK;
    char *copy = NULL;
    KX_FAIL_IF(!json_is_string(item), err, KX_ERR_INTERNAL,
               "the stored request's '%s' is %s, a string is expected", key, kx_json_kind(item));
    KX_TRY(kx_arena_copy_text(r->arena, json_string_value(item), json_string_length(item), &copy, err));
    *out = copy;
out:
    return status;
}

static kx_status read_image(const reader *r, const json_t *item, kx_job_image *image, kx_error *err)
{
    kx_status status = KX_OK;
    const json_t *blob = json_object_get(item, "blob");
    if (blob == NULL) return copy_text(r, json_object_get(item, "url"), "url", &image->url, err);
    KX_FAIL_IF(!json_is_string(blob) || json_string_length(blob) != KX_SHA256_HEX - 1, err, KX_ERR_INTERNAL,
               "the stored request's 'blob' is not a hash");
    memcpy(image->blob, json_string_value(blob), KX_SHA256_HEX);
out:
    return status;
}

static kx_status read_images(const reader *r, kx_job_request *request, kx_error *err)
{
    kx_status status = KX_OK;
    const json_t *images = json_object_get(r->root, "images");
    KX_FAIL_IF(!json_is_array(images) || json_array_size(images) > KX_MAX_REFERENCES, err, KX_ERR_INTERNAL,
               "the stored request's 'images' is not a list of at most %d", KX_MAX_REFERENCES);
    request->num_images_in = json_array_size(images);
    for (size_t i = 0; i < request->num_images_in; i++)
        KX_TRY(read_image(r, json_array_get(images, i), &request->images[i], err));
out:
    return status;
}

static kx_status read_format(const reader *r, kx_job_request *request, kx_error *err)
{
    kx_status status = KX_OK;
    const char *name = json_string_value(json_object_get(r->root, "format"));
    for (size_t i = 0; name != NULL && i < FORMATS; i++) {
        if (strcmp(name, format_names[i]) != 0) continue;
        request->format = (kx_picture_format)i;
        goto out;
    }
    KX_FAIL(err, KX_ERR_INTERNAL, "the stored request's 'format' is not known");
out:
    return status;
}

kx_status kx_job_request_parse(kx_job_request *request, const char *json, kx_arena *arena, kx_error *err)
{
    kx_status status = KX_OK;
    json_t *root = NULL;
    json_int_t seed = 0, num_images = 0;
    *request = (kx_job_request){0};
    KX_TRY(kx_json_text_load(&root, json, strlen(json), "the stored request", KX_ERR_INTERNAL, err));
    reader r = {root, arena};
    KX_TRY(copy_text(&r, json_object_get(root, "prompt"), "prompt", &request->prompt, err));
    KX_TRY(read_images(&r, request, err));
    KX_TRY(read_int(&r, "width", KX_LIMIT_SIDE_MAX_PX, &request->width_px, err));
    KX_TRY(read_int(&r, "height", KX_LIMIT_SIDE_MAX_PX, &request->height_px, err));
    KX_TRY(read_int(&r, "steps", KX_LIMIT_STEPS_MAX, &request->steps, err));
    KX_TRY(read_int(&r, "quality", 100, &request->quality, err));
    KX_TRY(read_integer(&r, "seed", INT64_MIN, INT64_MAX, &seed, err));
    KX_TRY(read_integer(&r, "num_images", 1, KX_LIMIT_IMAGES_MAX, &num_images, err));
    KX_TRY(read_format(&r, request, err));
    const json_t *guidance = json_object_get(root, "guidance");
    KX_FAIL_IF(!json_is_number(guidance), err, KX_ERR_INTERNAL,
               "the stored request's 'guidance' is %s, a number is expected", kx_json_kind(guidance));
    request->guidance = json_number_value(guidance);
    request->seed = (uint64_t)seed;
    request->num_images = (unsigned)num_images;
out:
    json_decref(root);
    return status;
}

#include "service/api/submit_parameters.h"

#include "base/limits.h"
#include "service/api/parameter_values.h"

#include <string.h>

#define KX_PLACE(member) offsetof(kx_parameters, member)

static const kx_parameter rows[] = {
    {"prompt", KX_PARAMETER_TEXT, KX_PARAMETER_REQUIRED, KX_PLACE(prompt), 0, 0, 0,
     "What to change and what to keep."},
    {"images", KX_PARAMETER_PICTURES, KX_PARAMETER_OF_MULTI, 0, 0, 0, 0,
     "Reference pictures: URLs, data URIs or base64. None: the picture is made from the prompt alone."},
    {"image", KX_PARAMETER_PICTURE, KX_PARAMETER_OF_SINGLE, 0, 0, 0, 0,
     "One reference picture: a URL, a data URI or base64. Counts when images is empty or absent."},
    {"size", KX_PARAMETER_SIZE, 0, KX_PLACE(size), 0, 0, 0,
     "Pixels of the output, width*height. Absent: as the first reference."},
    {"width", KX_PARAMETER_SIDE, KX_PARAMETER_UNLISTED, KX_PLACE(width), 0, 0, 0,
     "With height another way to say size, which wins."},
    {"height", KX_PARAMETER_SIDE, KX_PARAMETER_UNLISTED, KX_PLACE(height), 0, 0, 0,
     "With width another way to say size, which wins."},
    {"num_inference_steps", KX_PARAMETER_INTEGER, KX_PARAMETER_OF_WEIGHTS, KX_PLACE(steps), 1, 50, 28,
     "Denoising steps. More take longer and can be finer."},
    {"guidance_scale", KX_PARAMETER_NUMBER, KX_PARAMETER_OF_WEIGHTS, KX_PLACE(guidance), 1, 20, 2.5,
     "How closely the prompt is followed."},
    {"num_images", KX_PARAMETER_INTEGER, 0, KX_PLACE(num_images), 1, KX_IMAGES_LIMIT, 1,
     "Pictures to make; picture k uses seed + k."},
    {"seed", KX_PARAMETER_SEED, 0, KX_PLACE(seed), -1, (double)KX_SEED_LIMIT, -1,
     "The same seed gives the same picture; -1 draws one."},
    {"output_format", KX_PARAMETER_FORMAT, 0, KX_PLACE(format), 0, 0, KX_FORMAT_JPEG,
     "File format of the output."},
    {"enable_base64_output", KX_PARAMETER_BOOLEAN, KX_PARAMETER_API_ONLY, KX_PLACE(base64), 0, 0, 0,
     "Outputs are base64 strings in place of URLs. Only through the API."},
    {"enable_sync_mode", KX_PARAMETER_BOOLEAN, KX_PARAMETER_API_ONLY, KX_PLACE(sync), 0, 0, 0,
     "The answer waits for the result. Only through the API."},
    {"enable_safety_checker", KX_PARAMETER_BOOLEAN, KX_PARAMETER_UNLISTED, KX_PLACE(safety_checker), 0, 0, 1,
     "Accepted for older clients; there is no checker, so it has no effect."},
    {"webhook_url", KX_PARAMETER_URL, KX_PARAMETER_UNLISTED, KX_PLACE(webhook), 0, 0, 0,
     "Where the result is sent; the same as the query's webhook, which wins."},
};

static const size_t num_rows = sizeof rows / sizeof rows[0];

const kx_parameter *kx_parameter_rows(size_t *count)
{
    *count = num_rows;
    return rows;
}

static const kx_parameter *find_row(const char *name)
{
    for (size_t i = 0; i < num_rows; i++)
        if (strcmp(rows[i].name, name) == 0) return &rows[i];
    return NULL;
}

double kx_parameter_default(const kx_parameter *row, const kx_parameter_limits *limits)
{
    if ((row->flags & KX_PARAMETER_OF_WEIGHTS) == 0) return row->fallback;
    double value =
        row->kind == KX_PARAMETER_INTEGER ? (double)limits->default_steps : limits->default_guidance;
    if (value < row->minimum) return row->minimum;
    return value > row->maximum ? row->maximum : value;
}

static void set_defaults(kx_parameters *parameters, const kx_parameter_limits *limits)
{
    for (size_t i = 0; i < num_rows; i++) {
        char *place = (char *)parameters + rows[i].place;
        double value = kx_parameter_default(&rows[i], limits);
        switch (rows[i].kind) {
        case KX_PARAMETER_INTEGER:
        case KX_PARAMETER_SEED:
        case KX_PARAMETER_FORMAT:
            *(int64_t *)(void *)place = (int64_t)value;
            break;
        case KX_PARAMETER_NUMBER:
            *(double *)(void *)place = value;
            break;
        case KX_PARAMETER_BOOLEAN:
            *(bool *)place = value > 0;
            break;
        default:
            break;
        }
    }
}

/* Only pictures come in two fields; which one counts depends on what the model takes. */
static kx_status read_pictures(kx_value_reader *reader, const json_t *body, const kx_api_model *model)
{
    const char *fields[2] = {"images", "image"};
    bool one = model->max_pictures == 1;
    if (one) fields[0] = "image", fields[1] = "images";
    for (size_t i = 0; i < 2; i++) {
        const kx_parameter *row = find_row(fields[i]);
        const json_t *value = json_object_get(body, fields[i]);
        if (value == NULL || json_is_null(value)) continue;
        if (reader->out->num_pictures > 0) {
            kx_value_warn(reader, "field '%s' ignored, because '%s' is given", fields[i], fields[0]);
            continue;
        }
        kx_status status = kx_value_read(reader, row, value);
        if (status != KX_OK) return status;
        if (reader->out->num_pictures > 0) reader->out->pictures_field = fields[i];
    }
    if (reader->out->num_pictures <= model->max_pictures) return KX_OK;
    return kx_error_set(reader->err, KX_ERR_INPUT, __FILE__, __LINE__,
                        "%s: at most %u picture%s expected, %zu are found", reader->out->pictures_field,
                        model->max_pictures, one ? " is" : "s are", reader->out->num_pictures);
}

static kx_status settle_size(kx_value_reader *reader)
{
    kx_parameters *out = reader->out;
    if (out->size.width_px > 0) {
        if (out->width > 0 || out->height > 0)
            kx_value_warn(reader, "fields 'width' and 'height' ignored, because 'size' is given");
        return KX_OK;
    }
    if ((out->width > 0) != (out->height > 0))
        return kx_error_set(reader->err, KX_ERR_INPUT, __FILE__, __LINE__,
                            "%s: width and height are expected together, %s alone is found",
                            out->width > 0 ? "width" : "height", out->width > 0 ? "width" : "height");
    out->size = (kx_size){(int)out->width, (int)out->height};
    return KX_OK;
}

static kx_status read_fields(kx_value_reader *reader, const json_t *body)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)body, name, value)
    {
        const kx_parameter *row = find_row(name);
        if (row == NULL) {
            kx_value_warn_unknown(reader, name);
            continue;
        }
        if (json_is_null(value) || row->kind == KX_PARAMETER_PICTURES || row->kind == KX_PARAMETER_PICTURE)
            continue;
        kx_status status = kx_value_read(reader, row, value);
        if (status != KX_OK) return status;
        if (json_object_set(reader->out->input, name, value) != 0)
            return kx_error_set(reader->err, KX_ERR_MEMORY, __FILE__, __LINE__, "out of memory");
    }
    return KX_OK;
}

kx_status kx_parameters_read(kx_parameters *parameters, const json_t *body, const kx_api_model *model,
                             const kx_parameter_limits *limits, kx_error *err)
{
    kx_status status = KX_OK;
    kx_value_reader reader = {parameters, limits, err};
    *parameters = (kx_parameters){.warnings = json_array(), .input = json_object()};
    KX_FAIL_IF(parameters->warnings == NULL || parameters->input == NULL, err, KX_ERR_MEMORY,
               "out of memory");
    set_defaults(parameters, limits);
    KX_TRY(read_fields(&reader, body));
    KX_FAIL_IF(parameters->prompt == NULL, err, KX_ERR_INPUT,
               "prompt: a string is expected (what to change), nothing is found");
    KX_TRY(read_pictures(&reader, body, model));
    KX_TRY(settle_size(&reader));
out:
    return status;
}

void kx_parameters_free(kx_parameters *parameters)
{
    json_decref(parameters->warnings);
    json_decref(parameters->input);
    parameters->warnings = parameters->input = NULL;
}

kx_status kx_parameters_read_num_images(const json_t *inputs, int64_t *num_images, kx_error *err)
{
    kx_parameters scratch = {.num_images = 1};
    kx_parameter_limits limits = {0};
    kx_value_reader reader = {&scratch, &limits, err};
    const json_t *value = json_object_get(inputs, "num_images");
    kx_status status = KX_OK;
    if (inputs != NULL && !json_is_object(inputs) && !json_is_null(inputs))
        return kx_value_refuse("inputs", "an object", inputs, err);
    if (value != NULL && !json_is_null(value)) status = kx_value_read(&reader, find_row("num_images"), value);
    *num_images = scratch.num_images;
    return status;
}

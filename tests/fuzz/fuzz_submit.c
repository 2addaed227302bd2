/* A submit's body: it is refused with a sentence that names something, or what was read lies within the
 * contract. */
#include "base/json_file.h"
#include "service/api/submit_parameters.h"
#include "service/api/submitted_pictures.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const kx_parameter_limits limits = {16, 1536, 28, 2.5};

static bool is_within(int64_t value, int64_t low, int64_t high)
{
    return value >= low && value <= high;
}

static void check_ranges(const kx_parameters *p, const kx_api_model *model)
{
    if (p->prompt == NULL || p->prompt[0] == '\0') abort();
    if (p->num_pictures > model->max_pictures) abort();
    if ((p->num_pictures > 0) != (p->pictures_field != NULL)) abort();
    if (!is_within(p->steps, 1, 50) || !is_within(p->num_images, 1, KX_IMAGES_LIMIT)) abort();
    if (!is_within(p->seed, -1, KX_SEED_LIMIT) || !(p->guidance >= 1 && p->guidance <= 20)) abort();
    bool has_size = p->size.width_px != 0 || p->size.height_px != 0;
    if (has_size && (!is_within(p->size.width_px, 16, 1536) || !is_within(p->size.height_px, 16, 1536)))
        abort();
    if (json_array_size(p->warnings) > 32) abort();
}

static void check_pictures(const kx_parameters *p)
{
    for (size_t i = 0; i < p->num_pictures; i++) {
        kx_error err = {0};
        char token[33];
        if (kx_picture_source_of(p->pictures[i]) == KX_PICTURE_DATA_URI)
            (void)kx_data_uri_payload(p->pictures[i], &err);
        if (kx_file_url_token(p->pictures[i], token) && strlen(token) != 32) abort();
    }
}

static void read_as(const json_t *body, const char *name)
{
    const kx_api_model *model = kx_api_model_find(name);
    kx_error err = {0};
    kx_parameters parameters;
    kx_status status = kx_parameters_read(&parameters, body, model, &limits, &err);
    if (status == KX_OK) {
        check_ranges(&parameters, model);
        check_pictures(&parameters);
    } else if (status != KX_ERR_INPUT || strchr(err.message, ':') == NULL) {
        abort();
    }
    kx_parameters_free(&parameters);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *body = NULL;
    kx_error err = {0};
    if (size > (1 << 20)) return 0;
    if (kx_json_text_load(&body, (const char *)data, size, "body", KX_ERR_INPUT, &err) != KX_OK) return 0;
    if (json_is_object(body)) {
        read_as(body, "wavespeed-ai/flux-kontext-dev/multi");
        read_as(body, "wavespeed-ai/flux-kontext-dev");
    }
    json_decref(body);
    return 0;
}

#include "cli/cli_request.h"

#include "base/installed.h"
#include "cli/cli_report.h"

#include <limits.h>
#include <stdint.h>
#include <stdlib.h>

/* Places of the words that --preset takes. */
enum { PRESET_EXACT, PRESET_FAST };

/* `operand`: a model named without an option, or NULL. `demo`: room for the path of the demo model. */
static kx_status find_model(const kx_cli_arguments *arguments, const char *operand, char *demo, size_t room,
                            kx_model_options *options, kx_error *err)
{
    kx_status status = KX_OK;
    const char *from_environment = getenv("KONTEXT_MODEL");
    bool by_option = arguments->model != NULL && arguments->model != from_environment;
    KX_FAIL_IF(operand != NULL && by_option, err, KX_ERR_USAGE, "two models are named, '%s' and '%s'",
               arguments->model, operand);
    const char *path = operand != NULL ? operand : arguments->model;
    if (path == NULL && kx_installed_find("models/demo", demo, room)) path = demo;
    KX_FAIL_IF(path == NULL, err, KX_ERR_MODEL,
               "no model is given: name a folder with -m or KONTEXT_MODEL, or make one for trying with "
               "'kontext model "
               "synth --preset tiny DIR'");
    *options = kx_model_options_default();
    options->path = path;
    options->tokenizers = arguments->tokenizers;
    bool fast = arguments->preset_of_edit == PRESET_FAST && !kx_cli_given(arguments, "precision");
    options->precision = fast ? KX_PRECISION_INT8 : (kx_precision)arguments->precision;
    options->cpu = arguments->cpu;
    options->threads = arguments->threads;
    options->cache_bytes = 0; /* a command makes one edit */
    options->warn = kx_cli_tell_warning;
    options->user = (void *)(uintptr_t)arguments;
out:
    return status;
}

kx_status kx_cli_open_model(kx_model **model, const kx_cli_arguments *arguments, kx_error *err)
{
    kx_status status = KX_OK;
    char demo[PATH_MAX + 64];
    kx_model_options options;
    const char *operand = arguments->num_operands > 0 ? arguments->operands[0] : NULL;
    KX_TRY(find_model(arguments, operand, demo, sizeof demo, &options, err));
    KX_TRY(kx_model_open(model, &options, err));
out:
    return status;
}

kx_status kx_cli_convert_model(const kx_cli_arguments *arguments, const kx_callbacks *callbacks,
                               kx_error *err)
{
    kx_status status = KX_OK;
    char demo[PATH_MAX + 64];
    kx_model_options options;
    kx_precision precision = (kx_precision)arguments->precision;
    if (precision == KX_PRECISION_AUTO) precision = KX_PRECISION_INT8;
    KX_TRY(find_model(arguments, NULL, demo, sizeof demo, &options, err));
    KX_TRY(kx_model_convert(&options, arguments->operands[0], precision, callbacks, err));
out:
    return status;
}

kx_status kx_cli_fill_request(kx_edit_request *request, const kx_cli_arguments *arguments, kx_error *err)
{
    kx_status status = KX_OK;
    *request = kx_edit_request_default();
    KX_FAIL_IF(arguments->size.width_px > 0 && arguments->aspect[0] > 0, err, KX_ERR_USAGE,
               "--size and --aspect exclude each other");
    request->width_px = arguments->size.width_px;
    request->height_px = arguments->size.height_px;
    request->aspect_w = arguments->aspect[0];
    request->aspect_h = arguments->aspect[1];
    request->steps = arguments->steps;
    request->guidance = arguments->guidance;
    request->num_images = arguments->copies;
    request->scheme = (kx_reference_scheme)arguments->scheme;
    request->ref_size = (kx_ref_size)arguments->ref_rule;
    request->ref_width_px = arguments->ref_size.width_px;
    request->ref_height_px = arguments->ref_size.height_px;
    request->ref_pixels = arguments->ref_pixels;
    if (arguments->preset_of_edit == PRESET_FAST) request->cache = KX_CACHE_FIRST_BLOCK;
    if (arguments->cache != NULL)
        KX_TRY(kx_cache_parse(arguments->cache, &request->cache, &request->cache_threshold, err));
out:
    return status;
}

void kx_cli_limit_references(kx_edit_request *request, const kx_cli_arguments *arguments)
{
    bool sizes_are_given = kx_cli_given(arguments, "ref-pixels") || kx_cli_given(arguments, "ref-size");
    if (arguments->preset_of_edit != PRESET_FAST || sizes_are_given) return;
    request->ref_pixels =
        (uint64_t)request->num_references * (uint64_t)request->width_px * (uint64_t)request->height_px;
}

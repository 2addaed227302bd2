/* /llms.txt: the service in short, for language models and those who read plain text. */
#include "service/api/api_state.h"
#include "service/api/facts.h"
#include "service/api/handlers.h"
#include "service/api/routes.h"
#include "service/api/text_out.h"

#include <string.h>

enum { PAGE_BYTES_MAX = 256 << 10 };

/* ---- llms.txt ---- */

static void add_parameters(kx_bytes *out, const kx_parameter_limits *limits)
{
    size_t count = 0;
    const kx_parameter *rows = kx_parameter_rows(&count);
    for (size_t i = 0; i < count; i++) {
        const kx_parameter *row = &rows[i];
        bool is_number = row->kind == KX_PARAMETER_INTEGER || row->kind == KX_PARAMETER_NUMBER;
        kx_text_add(out, "- %s%s: %s", row->name, row->flags & KX_PARAMETER_REQUIRED ? " (required)" : "",
                    row->description);
        if (is_number)
            kx_text_add(out, " %g to %g, default %g.", row->minimum, row->maximum,
                        kx_parameter_default(row, limits));
        if (row->kind == KX_PARAMETER_SIZE || row->kind == KX_PARAMETER_SIDE)
            kx_text_add(out, " %d to %d a side.", limits->min_side_px, limits->max_side_px);
        if (row->kind == KX_PARAMETER_FORMAT) kx_text_add(out, " jpeg (default), png or webp.");
        kx_text_add(out, "\n");
    }
}

static void add_routes(kx_bytes *out)
{
    size_t count = 0;
    const kx_route *routes = kx_api_routes(&count);
    const kx_route_text *texts = kx_api_route_texts(&count);
    for (size_t i = 0; i < count; i++)
        if (texts[i].summary[0] != '\0')
            kx_text_add(out, "- %s %s: %s\n", routes[i].method, routes[i].path, texts[i].summary);
}

void kx_handle_llms(kx_exchange *exchange, void *user)
{
    kx_api *api = user;
    kx_bytes out = {.cap = PAGE_BYTES_MAX};
    kx_parameter_limits limits;
    size_t count = 0;
    const kx_api_model *models = kx_api_models(&count);
    const char *base = kx_exchange_base_url(exchange);
    kx_facts_limits(api->queue, &limits);
    kx_text_add(
        &out,
        "# kontext\n\n> Instruction-based image editing with FLUX.1 Kontext [dev]. The REST contract is "
        "WaveSpeedAI's v3.\n\nBase URL: %s/api/v3\nAuthentication: Authorization: Bearer KEY\n\n"
        "Submit with POST %s/api/v3/MODEL and a JSON object; poll data.urls.get until data.status is "
        "completed, failed, cancelled or timeout; read data.outputs.\n\n## Models\n\n",
        base, base);
    for (size_t i = 0; i < count; i++)
        kx_text_add(&out, "- %s ($%g for each picture): %s\n", models[i].id,
                    (double)kx_api_model_price(&models[i], api->settings) / 1e6, models[i].description);
    kx_text_add(&out, "\n## Parameters\n\n");
    add_parameters(&out, &limits);
    kx_text_add(&out, "\n## Routes\n\n");
    add_routes(&out);
    kx_text_add(&out, "\nEvery route, body and answer: %s/openapi.json\n", base);
    kx_answer_bytes(exchange, 200, "text/plain; charset=utf-8", out.data, out.size);
    kx_bytes_free(&out);
}

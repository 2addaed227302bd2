/* What people and language models read first: the page at / and /llms.txt. No scripts, nothing from
 * elsewhere. */
#include "service/api/api_state.h"
#include "service/api/facts.h"
#include "service/api/handlers.h"
#include "service/api/routes.h"
#include "service/api/text_out.h"

#include <string.h>

enum { PAGE_BYTES_MAX = 256 << 10 };

static void add_escaped(kx_bytes *out, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '&':
            kx_text_add(out, "&amp;");
            break;
        case '<':
            kx_text_add(out, "&lt;");
            break;
        case '>':
            kx_text_add(out, "&gt;");
            break;
        case '"':
            kx_text_add(out, "&quot;");
            break;
        default:
            kx_text_add(out, "%c", *text);
        }
    }
}

static void add_model_state(kx_bytes *out, kx_queue *queue)
{
    kx_model_facts facts = {0};
    kx_queue_model_facts(queue, &facts);
    kx_text_add(out, "<p>Model: <b>");
    add_escaped(out, facts.name == NULL ? "not open yet" : facts.name);
    kx_text_add(out, "</b>, %s.</p>\n", facts.is_ready ? "ready" : "not ready");
}

static void add_sample(kx_bytes *out, const char *base_url)
{
    kx_text_add(out, "<h2>Start</h2>\n<pre>curl -X POST ");
    add_escaped(out, base_url);
    kx_text_add(
        out,
        "/api/v3/wavespeed-ai/flux-kontext-dev/multi \\\n"
        "  -H \"Authorization: Bearer $KEY\" -H \"Content-Type: application/json\" \\\n"
        "  -d '{\"prompt\": \"Make the roof red\", \"images\": [\"https://.../house.png\"], "
        "\"enable_sync_mode\": true}'</pre>\n"
        "<p>The key was printed when the server first started; <code>kontext key create</code> makes more. "
        "Clients for WaveSpeedAI's v3 API work with this address as their base URL.</p>\n");
}

static void add_models(kx_bytes *out, const kx_settings *settings)
{
    size_t count = 0;
    const kx_api_model *models = kx_api_models(&count);
    kx_text_add(out, "<h2>Models</h2>\n<ul>\n");
    for (size_t i = 0; i < count; i++) {
        kx_text_add(out, "<li><code>%s</code>, $%g for each picture. ", models[i].id,
                    (double)kx_api_model_price(&models[i], settings) / 1e6);
        add_escaped(out, models[i].description);
        kx_text_add(out, "</li>\n");
    }
    kx_text_add(out, "</ul>\n");
}

void kx_handle_front_page(kx_exchange *exchange, void *user)
{
    kx_api *api = user;
    kx_bytes out = {.cap = PAGE_BYTES_MAX};
    kx_text_add(&out,
                "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>kontext</title>\n"
                "<meta name=\"viewport\" content=\"width=device-width\"></head><body>\n<h1>kontext</h1>\n"
                "<p>Instruction-based image editing with FLUX.1 Kontext [dev], over HTTP.</p>\n");
    add_model_state(&out, api->queue);
    add_sample(&out, kx_exchange_base_url(exchange));
    add_models(&out, api->settings);
    kx_text_add(
        &out,
        "<h2>Read on</h2>\n<ul>\n"
        "<li><a href=\"openapi.json\">openapi.json</a>: every route, body and answer (OpenAPI 3.1)</li>\n"
        "<li><a href=\"llms.txt\">llms.txt</a>: the same in short, as text</li>\n"
        "<li><a href=\"capabilities\">capabilities</a>: every limit</li>\n"
        "<li><a href=\"healthz\">healthz</a>, <a href=\"readyz\">readyz</a>, "
        "<a href=\"metrics\">metrics</a>: for operators</li>\n</ul>\n</body></html>\n");
    kx_answer_bytes(exchange, 200, "text/html; charset=utf-8", out.data, out.size);
    kx_bytes_free(&out);
}

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

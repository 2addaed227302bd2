#include "service/api/openapi.h"

#include "service/api/api_state.h"
#include "service/api/facts.h"
#include "service/api/handlers.h"
#include "service/api/parameters_schema.h"
#include "service/api/routes.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { PATH_MAX_BYTES = 160 };

static const struct {
    const char *name, *type, *description;
} query_parameters[] = {
    {"wait", "number", "Seconds to wait for the end"},
    {"webhook", "string", "Where the result is sent"},
    {"page", "integer", "From 1"},
    {"page_size", "integer", "1 to 100"},
    {"model", "string", ""},
    {"status", "string", ""},
    {"created_after", "string", "RFC 3339"},
    {"created_before", "string", "RFC 3339"},
    {"include_inputs", "boolean", ""},
    {"types", "string", ""},
};

static json_t *reference(const char *schema)
{
    return json_pack("{s:o}", "$ref", json_sprintf("#/components/schemas/%s", schema));
}

static json_t *content(const char *type, json_t *schema)
{
    return json_pack("{s:{s:o}}", type, "schema", schema);
}

static json_t *parameter(const char *name, const char *where, const char *type, const char *description)
{
    return json_pack("{s:s, s:s, s:b, s:s, s:{s:s}}", "name", name, "in", where, "required",
                     strcmp(where, "path") == 0, "description", description, "schema", "type", type);
}

/* The names in braces of `path`. */
static void add_path_parameters(json_t *list, const char *path)
{
    char name[32];
    for (const char *at = strchr(path, '{'); at != NULL; at = strchr(at + 1, '{')) {
        snprintf(name, sizeof name, "%.*s", (int)strcspn(at + 1, "*}"), at + 1);
        json_array_append_new(list, parameter(name, "path", "string", ""));
    }
}

static bool has_word(const char *words, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = strstr(words, word); at != NULL; at = strstr(at + 1, word))
        if ((at == words || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0')) return true;
    return false;
}

static json_t *parameters_json(const kx_route *route, const kx_route_text *text, const char *path)
{
    json_t *list = json_array();
    add_path_parameters(list, path);
    for (size_t i = 0; i < sizeof query_parameters / sizeof query_parameters[0]; i++)
        if (has_word(text->query, query_parameters[i].name))
            json_array_append_new(list, parameter(query_parameters[i].name, "query", query_parameters[i].type,
                                                  query_parameters[i].description));
    if (route->handle == kx_handle_submit) {
        json_array_append_new(
            list, parameter("Idempotency-Key", "header", "string",
                            "Repeats with the same key and body get the same prediction for a day"));
        json_array_append_new(list,
                              parameter("Prefer", "header", "string", "wait=SECONDS: as enable_sync_mode"));
    }
    return list;
}

static json_t *answer_json(const char *answer)
{
    if (strchr(answer, '/') != NULL) return content(answer, json_object());
    if (answer[0] == '=') return content("application/json", reference(answer + 1));
    char name[32];
    size_t length = strcspn(answer, "[");
    snprintf(name, sizeof name, "%.*s", (int)length, answer);
    json_t *data = answer[length] == '[' ? json_pack("{s:s, s:o}", "type", "array", "items", reference(name))
                                         : reference(name);
    json_t *envelope = json_pack("{s:s, s:[s, s, s], s:{s:{s:i}, s:{s:s}, s:o}}", "type", "object",
                                 "required", "code", "message", "data", "properties", "code", "const", 200,
                                 "message", "type", "string", "data", data);
    return content("application/json", envelope);
}

static json_t *responses_json(const kx_route_text *text)
{
    bool is_health = strcmp(text->answer, "=Health") == 0;
    json_t *failed = is_health ? content("application/json", reference("Health"))
                               : content("application/json", reference("Error"));
    return json_pack("{s:{s:s, s:o}, s:{s:s, s:o}, s:{s:s, s:o}}", "200", "description", "Done", "content",
                     answer_json(text->answer), "4XX", "description", "Refused", "content",
                     content("application/json", reference("Error")), "5XX", "description",
                     "Not possible now", "content", failed);
}

static const char *body_type(kx_body body)
{
    if (body == KX_BODY_FORM) return "multipart/form-data";
    return body == KX_BODY_RAW ? "application/octet-stream" : "application/json";
}

static bool body_is_required(const char *schema)
{
    size_t length = strlen(schema);
    return length < 5 || strcmp(schema + length - 5, "Query") != 0 || strcmp(schema, "PriceQuery") == 0 ||
           strcmp(schema, "ProductPriceQuery") == 0;
}

static json_t *operation_json(const kx_route *route, const kx_route_text *text, const char *path,
                              const char *body)
{
    json_t *operation = json_pack("{s:s, s:o, s:o}", "summary", text->summary, "parameters",
                                  parameters_json(route, text, path), "responses", responses_json(text));
    if (body[0] != '\0')
        json_object_set_new(operation, "requestBody",
                            json_pack("{s:b, s:o}", "required", body_is_required(body), "content",
                                      content(body_type(route->body), reference(body))));
    if (route->access == KX_ACCESS_PUBLIC) json_object_set_new(operation, "security", json_array());
    return operation;
}

static void add_operation(json_t *paths, const kx_route *route, const char *path, json_t *operation)
{
    char method[8] = "";
    for (size_t i = 0; i + 1 < sizeof method && route->method[i] != '\0'; i++)
        method[i] = (char)tolower((unsigned char)route->method[i]);
    json_t *item = json_object_get(paths, path);
    if (item == NULL) {
        json_object_set_new(paths, path, json_object());
        item = json_object_get(paths, path);
    }
    json_object_set_new(item, method, operation);
}

/* "wavespeed-ai/flux-kontext-dev/multi" -> "Input-flux-kontext-dev-multi". */
static void input_name(const kx_api_model *model, char name[64])
{
    snprintf(name, 64, "Input-%s", strchr(model->id, '/') + 1);
    for (char *at = name; *at != '\0'; at++)
        if (*at == '/') *at = '-';
}

static void add_submits(json_t *paths, json_t *schemas, const kx_route *route, const kx_route_text *text,
                        const kx_parameter_limits *limits)
{
    size_t count = 0;
    const kx_api_model *models = kx_api_models(&count);
    for (size_t i = 0; i < count; i++) {
        char path[PATH_MAX_BYTES], name[64];
        snprintf(path, sizeof path, "/api/v3/%s", models[i].id);
        input_name(&models[i], name);
        json_object_set_new(schemas, name, kx_parameters_accepted_schema(&models[i], limits));
        json_t *operation = operation_json(route, text, path, name);
        json_object_set_new(operation, "description", json_string(models[i].description));
        add_operation(paths, route, path, operation);
    }
}

json_t *kx_openapi_make(const char *base_url, const kx_parameter_limits *limits)
{
    size_t count = 0, num_texts = 0;
    const kx_route *routes = kx_api_routes(&count);
    const kx_route_text *texts = kx_api_route_texts(&num_texts);
    json_t *paths = json_object(), *schemas = kx_openapi_schemas();
    for (size_t i = 0; i < count; i++) {
        char path[PATH_MAX_BYTES];
        if (texts[i].summary[0] == '\0') continue;
        if (routes[i].handle == kx_handle_submit) {
            add_submits(paths, schemas, &routes[i], &texts[i], limits);
            continue;
        }
        snprintf(path, sizeof path, "%s", routes[i].path);
        char *star = strchr(path, '*');
        if (star != NULL) memmove(star, star + 1, strlen(star));
        add_operation(paths, &routes[i], path, operation_json(&routes[i], &texts[i], path, texts[i].body));
    }
    return json_pack("{s:s, s:{s:s, s:s, s:s}, s:[{s:s}], s:[{s:[]}], s:o, s:{s:o, s:{s:{s:s, s:s}}}}",
                     "openapi", "3.1.0", "info", "title", "kontext", "version", kx_version(), "description",
                     "Instruction-based image editing with FLUX.1 Kontext [dev].", "servers", "url", base_url,
                     "security", "key", "paths", paths, "components", "schemas", schemas, "securitySchemes",
                     "key", "type", "http", "scheme", "bearer");
}

void kx_handle_openapi(kx_exchange *exchange, void *user)
{
    kx_api *api = user;
    kx_parameter_limits limits;
    kx_facts_limits(api->queue, &limits);
    json_t *document = kx_openapi_make(kx_exchange_base_url(exchange), &limits);
    if (document == NULL)
        kx_answer_error(exchange, 503, "out of memory");
    else
        kx_answer_json(exchange, 200, document);
}

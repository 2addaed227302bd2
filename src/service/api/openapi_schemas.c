/* Bodies and answers as one table of fields. A type is one of JSON Schema's, with "?" behind it when null may
 * stand there, "[]" when it is an array of that type; a name with a capital letter is another schema. A "*"
 * before a field's name: it is always there (answers) or needed (bodies). */
#include "service/api/openapi.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *schema, *name, *type, *description;
} fields[] = {
    {"Error", "*code", "integer", "The HTTP status"},
    {"Error", "*message", "string", "What is wrong: the field, what is expected, what is found"},
    {"Error", "*error", "string", "The same text"},

    {"Prediction", "*id", "string", "32 hexadecimal digits"},
    {"Prediction", "*model", "string", ""},
    {"Prediction", "*status", "string", "created, processing, completed, failed, cancelled or timeout"},
    {"Prediction", "*outputs", "string[]", "URLs, or base64 where that was asked for; empty until completed"},
    {"Prediction", "*urls", "Urls", ""},
    {"Prediction", "*has_nsfw_contents", "boolean[]",
     "One for each output; there is no checker, so always false"},
    {"Prediction", "*created_at", "string", "RFC 3339, UTC, nine digits"},
    {"Prediction", "*error", "string", "Empty when there is none"},
    {"Prediction", "*code", "integer",
     "0, or 1402 (a picture could not be fetched), 5004 (still working), ..."},
    {"Prediction", "*executionTime", "integer", "Milliseconds of work"},
    {"Prediction", "*execution_time", "integer", "The same"},
    {"Prediction", "*timings", "Timings", ""},
    {"Prediction", "input", "object", "What was submitted; inline pictures as URLs"},
    {"Prediction", "*warnings", "string[]", "What was ignored or changed"},
    {"Prediction", "*price", "number",
     "US dollars that the submit reserved, for all outputs; it stays, whatever became of it"},
    {"Prediction", "*charge", "string",
     "What became of the price: reserved (has not ended), captured (completed: it was charged) or released "
     "(any other end: nothing was charged)"},
    {"Prediction", "*num_images", "integer", "Outputs that were asked for"},
    {"Prediction", "*attempts", "integer", "How often the work was begun"},
    {"Prediction", "*seeds", "integer[]", "The seed of each output"},
    {"Prediction", "progress", "number", "0 to 1"},
    {"Prediction", "stage", "string", "fetch, text, encode, denoise, decode or store"},
    {"Prediction", "step", "integer", ""},
    {"Prediction", "total_steps", "integer", "Over all outputs"},
    {"Prediction", "queue_position", "integer", "Predictions that will run before; while created"},
    {"Prediction", "eta_ms", "integer",
     "Until it ends, or until it begins while created; absent when not known"},
    {"Prediction", "sizes", "object", "The output as requested, as computed, as delivered"},
    {"Prediction", "references", "object[]", "How each reference was cropped, scaled and placed"},
    {"Prediction", "stage_timings", "object", "Seconds of each stage"},
    {"Prediction", "tokens", "object", "Of the prompt, and how many were cut off"},
    {"Prediction", "cache", "object", "The step cache, its threshold, and how many steps it answered"},
    {"Prediction", "memory", "object", "Bytes planned and seen"},
    {"Prediction", "precision", "string", ""},
    {"Prediction", "kernel_set", "string", ""},
    {"Prediction", "resumed", "boolean", "Whether the work went on from a checkpoint"},
    {"Prediction", "started_at", "string", ""},
    {"Prediction", "finished_at", "string", ""},
    {"Urls", "*get", "string", "Its result"},
    {"Urls", "*cancel", "string", "POST cancels"},
    {"Urls", "*stream", "string", "Server-sent events"},
    {"Timings", "*inference", "number", "Milliseconds"},

    {"HistoryQuery", "page", "integer?", "From 1"},
    {"HistoryQuery", "page_size", "integer?", "1 to 100"},
    {"HistoryQuery", "model", "string?", ""},
    {"HistoryQuery", "status", "string?", ""},
    {"HistoryQuery", "created_after", "string?", "RFC 3339"},
    {"HistoryQuery", "created_before", "string?", "RFC 3339"},
    {"HistoryQuery", "include_inputs", "boolean?", ""},
    {"History", "*page", "integer", ""},
    {"History", "*page_size", "integer", ""},
    {"History", "*total", "integer", ""},
    {"History", "*items", "Prediction[]", ""},
    {"Ids", "*ids", "string[]", "1 to 100"},
    {"DeletedCount", "*deleted_count", "integer", ""},
    {"Deleted", "deleted_count", "integer", "When it had ended; else the fields of a prediction"},

    {"UploadAsked", "filename", "string?", ""},
    {"UploadAsked", "size", "integer?", "Bytes"},
    {"UploadAsked", "content_type", "string?", ""},
    {"UploadTicket", "*type", "string", "image"},
    {"UploadTicket", "*download_url", "string", "Use it as an input once the bytes are there"},
    {"UploadTicket", "*filename", "string", ""},
    {"UploadTicket", "*size", "integer", ""},
    {"UploadTicket", "*upload", "UploadTarget", ""},
    {"UploadTarget", "*method", "string", "PUT"},
    {"UploadTarget", "*url", "string", "Needs no key"},
    {"UploadTarget", "*headers", "object", "To be sent along"},
    {"UploadTarget", "*expires_at", "string", ""},
    {"UploadDone", "*size", "integer", ""},
    {"Upload", "*type", "string", "image"},
    {"Upload", "*download_url", "string", ""},
    {"Upload", "*filename", "string", ""},
    {"Upload", "*size", "integer", ""},
    {"UploadOld", "*type", "string", "image"},
    {"UploadOld", "*url", "string", ""},
    {"UploadOld", "*filename", "string", ""},
    {"UploadOld", "*size", "integer", ""},

    {"Balance", "*balance", "number", "US dollars"},
    {"PriceQuery", "*model_id", "string", ""},
    {"PriceQuery", "inputs", "object?", "May be incomplete"},
    {"ProductPriceQuery", "*model_uuid", "string", ""},
    {"ProductPriceQuery", "inputs", "object?", "May be incomplete"},
    {"Price", "*model_id", "string", ""},
    {"Price", "*price", "number", "US dollars"},
    {"Price", "*discounted_price", "number", ""},
    {"Price", "*unit_price", "number", ""},
    {"Price", "*currency", "string", "USD"},
    {"Model", "*model_id", "string", ""},
    {"Model", "*name", "string", ""},
    {"Model", "*base_price", "number", ""},
    {"Model", "*description", "string", ""},
    {"Model", "*type", "string", ""},
    {"Model", "*sort_order", "integer", ""},
    {"Model", "*api_schema", "object", ""},
    {"Secret", "*secret", "string", "whsec_..."},
    {"Deliveries", "*items", "object[]", ""},
    {"Queued", "*queued", "boolean", ""},

    {"BillingsQuery", "page", "integer?", ""},
    {"BillingsQuery", "page_size", "integer?", ""},
    {"BillingsQuery", "billing_type", "string?", "reserve, capture, release or credit"},
    {"BillingsQuery", "start_time", "string?", "RFC 3339"},
    {"BillingsQuery", "end_time", "string?", "RFC 3339"},
    {"BillingsQuery", "model_uuid", "string?", ""},
    {"Billings", "*page", "integer", ""},
    {"Billings", "*has_more", "boolean", ""},
    {"Billings", "*items", "object[]", ""},
    {"UsageQuery", "start_time", "string?", "RFC 3339"},
    {"UsageQuery", "end_time", "string?", "RFC 3339"},
    {"UsageQuery", "model_uuid", "string?", ""},
    {"Usage", "*per_model_usage", "object[]", ""},
    {"Usage", "*daily_usage", "object[]", ""},
    {"Usage", "*summary", "object", ""},

    {"KeyAsked", "*name", "string", ""},
    {"KeyAsked", "role", "string?", "read, submit or admin"},
    {"KeyAsked", "balance", "number?", "US dollars"},
    {"KeyAsked", "concurrency", "integer?", "0: the server's setting"},
    {"KeyAsked", "submits_per_minute", "integer?", "0: the server's setting"},
    {"Key", "*uuid", "string", ""},
    {"Key", "*name", "string", ""},
    {"Key", "*role", "string", ""},
    {"Key", "*hint", "string", "Its first and last characters"},
    {"Key", "*balance", "number", ""},
    {"Key", "*created_at", "string?", ""},
    {"Key", "*revoked_at", "string?", ""},
    {"Key", "*used_at", "string?", ""},
    {"KeyMade", "*uuid", "string", ""},
    {"KeyMade", "*name", "string", ""},
    {"KeyMade", "*key", "string", "The value, told only here"},
    {"Keys", "*items", "Key[]", ""},
    {"Limits", "concurrency", "integer?", "Jobs at a time; 0: the server's setting"},
    {"Limits", "submits_per_minute", "integer?", "0: the server's setting"},

    {"SignIn", "*token", "string", "Of the link that the first start prints"},
    {"SignedIn", "*key", "string", ""},

    {"Credit", "*amount", "number", "US dollars; negative takes away"},
    {"Credit", "note", "string?", ""},

    {"Type", "*type", "string", ""},
    {"Type", "*count", "integer", ""},
    {"Products", "*items", "object[]", ""},
    {"Product", "*model_uuid", "string", ""},
    {"Product", "*api_schema", "object", ""},
    {"Capabilities", "*models", "string[]", ""},
    {"Capabilities", "*model", "object", "The loaded model"},
    {"Capabilities", "*request", "object", "Limits of a submit"},
    {"Capabilities", "*transfer", "object", "Limits of bodies, uploads, fetches, connections"},
    {"Health", "*status", "string", ""},
    {"Health", "problem", "string", ""},
};

static json_t *type_json(const char *type)
{
    char name[32];
    size_t length = strcspn(type, "?[");
    snprintf(name, sizeof name, "%.*s", (int)length, type);
    json_t *one = isupper((unsigned char)name[0])
                      ? json_pack("{s:o}", "$ref", json_sprintf("#/components/schemas/%s", name))
                      : json_pack("{s:s}", "type", name);
    if (type[length] == '[') return json_pack("{s:s, s:o}", "type", "array", "items", one);
    if (type[length] == '?') json_object_set_new(one, "type", json_pack("[s, s]", name, "null"));
    return one;
}

static json_t *schema_of(json_t *schemas, const char *name)
{
    json_t *schema = json_object_get(schemas, name);
    if (schema != NULL) return schema;
    json_object_set_new(schemas, name,
                        json_pack("{s:s, s:{}, s:[]}", "type", "object", "properties", "required"));
    return json_object_get(schemas, name);
}

json_t *kx_openapi_schemas(void)
{
    json_t *schemas = json_object();
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        json_t *schema = schema_of(schemas, fields[i].schema);
        bool is_needed = fields[i].name[0] == '*';
        const char *name = fields[i].name + (is_needed ? 1 : 0);
        json_t *type = type_json(fields[i].type);
        if (fields[i].description[0] != '\0')
            json_object_set_new(type, "description", json_string(fields[i].description));
        json_object_set_new(json_object_get(schema, "properties"), name, type);
        if (is_needed) json_array_append_new(json_object_get(schema, "required"), json_string(name));
    }
    json_object_set_new(schemas, "Form",
                        json_pack("{s:s, s:{s:{s:s}}, s:[s]}", "type", "object", "properties", "file",
                                  "contentMediaType", "application/octet-stream", "required", "file"));
    json_object_set_new(schemas, "Bytes", json_object());
    return schemas;
}

#include "service/api/parameters_schema.h"

#include <math.h>

/* Whole numbers are told as integers: 50, not 50.0. */
static json_t *number(double value)
{
    return floor(value) < value ? json_real(value) : json_integer((json_int_t)value);
}

static void put(json_t *object, const char *name, json_t *value)
{
    json_object_set_new(object, name, value);
}

static void put_range(json_t *schema, double minimum, double maximum)
{
    put(schema, "minimum", number(minimum));
    put(schema, "maximum", number(maximum));
}

static json_t *format_names(void)
{
    return json_pack("[s, s, s]", "jpeg", "png", "webp");
}

/* ---- The catalogue ---- */

static bool is_listed(const kx_parameter *row, const kx_api_model *model)
{
    unsigned other = model->max_pictures > 1 ? KX_PARAMETER_OF_SINGLE : KX_PARAMETER_OF_MULTI;
    return (row->flags & (KX_PARAMETER_UNLISTED | other)) == 0;
}

static json_t *accept_pictures(void)
{
    return json_pack("{s:s}", "accept", "image/*");
}

static void fill_listed(json_t *schema, const kx_parameter *row, const kx_api_model *model,
                        const kx_parameter_limits *limits)
{
    double fallback = kx_parameter_default(row, limits);
    switch (row->kind) {
    case KX_PARAMETER_TEXT:
        put(schema, "type", json_string("string"));
        put(schema, "x-ui-component", json_string("textarea"));
        break;
    case KX_PARAMETER_PICTURES:
        put(schema, "type", json_string("array"));
        put(schema, "items", json_pack("{s:s}", "type", "string"));
        put(schema, "maxItems", json_integer(model->max_pictures));
        put(schema, "default", json_array());
        put(schema, "x-ui-component", json_string("uploaders"));
        put(schema, "x-ui-component-props", accept_pictures());
        break;
    case KX_PARAMETER_PICTURE:
        put(schema, "type", json_string("string"));
        put(schema, "x-ui-component", json_string("uploader"));
        put(schema, "x-ui-component-props", accept_pictures());
        break;
    case KX_PARAMETER_SIZE:
        put(schema, "type", json_string("string"));
        put_range(schema, limits->min_side_px, limits->max_side_px);
        break;
    case KX_PARAMETER_FORMAT:
        put(schema, "type", json_string("string"));
        put(schema, "enum", format_names());
        put(schema, "default", json_string("jpeg"));
        break;
    case KX_PARAMETER_BOOLEAN:
        put(schema, "type", json_string("boolean"));
        put(schema, "default", json_boolean(fallback > 0));
        if (row->flags & KX_PARAMETER_API_ONLY) put(schema, "disabled", json_true());
        break;
    case KX_PARAMETER_NUMBER:
    case KX_PARAMETER_INTEGER:
    case KX_PARAMETER_SEED:
        put(schema, "type", json_string(row->kind == KX_PARAMETER_NUMBER ? "number" : "integer"));
        put(schema, "default", number(fallback));
        put_range(schema, row->minimum, row->maximum);
        break;
    default:
        break; /* the kinds of unlisted rows */
    }
}

json_t *kx_parameters_catalogue_schema(const kx_api_model *model, const kx_parameter_limits *limits)
{
    size_t count = 0;
    const kx_parameter *rows = kx_parameter_rows(&count);
    json_t *properties = json_object(), *order = json_array(), *required = json_array();
    for (size_t i = 0; i < count; i++) {
        if (!is_listed(&rows[i], model)) continue;
        json_t *schema = json_pack("{s:s}", "description", rows[i].description);
        fill_listed(schema, &rows[i], model, limits);
        put(properties, rows[i].name, schema);
        json_array_append_new(order, json_string(rows[i].name));
        if (rows[i].flags & KX_PARAMETER_REQUIRED) json_array_append_new(required, json_string(rows[i].name));
    }
    return json_pack("{s:s, s:b, s:o, s:o, s:o}", "type", "object", "additionalProperties", 0, "properties",
                     properties, "required", required, "x-order-properties", order);
}

/* ---- What is accepted ---- */

static void put_type(json_t *schema, const kx_parameter *row, const char *type)
{
    put(schema, "type",
        row->flags & KX_PARAMETER_REQUIRED ? json_string(type) : json_pack("[s, s]", type, "null"));
}

static void fill_accepted(json_t *schema, const kx_parameter *row, const kx_api_model *model,
                          const kx_parameter_limits *limits)
{
    double fallback = kx_parameter_default(row, limits);
    switch (row->kind) {
    case KX_PARAMETER_TEXT:
        put_type(schema, row, "string");
        put(schema, "minLength", json_integer(1));
        break;
    case KX_PARAMETER_PICTURES:
        put_type(schema, row, "array");
        put(schema, "items", json_pack("{s:s}", "type", "string"));
        put(schema, "maxItems", json_integer(model->max_pictures));
        break;
    case KX_PARAMETER_PICTURE:
        put_type(schema, row, "string");
        break;
    case KX_PARAMETER_SIZE:
        put(schema, "anyOf",
            json_pack("[{s:s, s:s}, {s:s, s:i, s:i}, {s:s}]", "type", "string", "pattern",
                      "^([0-9]{1,6}([*xX][0-9]{1,6})?)?$", "type", "integer", "minimum", limits->min_side_px,
                      "maximum", limits->max_side_px, "type", "null"));
        break;
    case KX_PARAMETER_SIDE:
        put_type(schema, row, "integer");
        put_range(schema, limits->min_side_px, limits->max_side_px);
        break;
    case KX_PARAMETER_INTEGER:
    case KX_PARAMETER_NUMBER:
        put_type(schema, row, row->kind == KX_PARAMETER_NUMBER ? "number" : "integer");
        put_range(schema, row->minimum, row->maximum);
        put(schema, "default", number(fallback));
        break;
    case KX_PARAMETER_SEED:
        put_type(schema, row, "integer");
        put(schema, "minimum", number(row->minimum));
        put(schema, "default", number(fallback));
        break;
    case KX_PARAMETER_FORMAT:
        put(schema, "enum", json_pack("[s, s, s, s, n]", "jpeg", "jpg", "png", "webp"));
        put(schema, "default", json_string("jpeg"));
        break;
    case KX_PARAMETER_BOOLEAN:
        put_type(schema, row, "boolean");
        put(schema, "default", json_boolean(fallback > 0));
        break;
    case KX_PARAMETER_URL:
        put_type(schema, row, "string");
        put(schema, "maxLength", json_integer(KX_PARAMETER_URL_MAX));
        break;
    case KX_PARAMETER_KINDS:
        break;
    }
}

json_t *kx_parameters_accepted_schema(const kx_api_model *model, const kx_parameter_limits *limits)
{
    size_t count = 0;
    const kx_parameter *rows = kx_parameter_rows(&count);
    json_t *properties = json_object(), *required = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *schema = json_pack("{s:s}", "description", rows[i].description);
        fill_accepted(schema, &rows[i], model, limits);
        put(properties, rows[i].name, schema);
        if (rows[i].flags & KX_PARAMETER_REQUIRED) json_array_append_new(required, json_string(rows[i].name));
    }
    return json_pack("{s:s, s:b, s:o, s:o, s:{s:[s], s:[s]}}", "type", "object", "additionalProperties", 1,
                     "properties", properties, "required", required, "dependentRequired", "width", "height",
                     "height", "width");
}

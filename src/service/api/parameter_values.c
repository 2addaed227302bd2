#include "service/api/parameter_values.h"

#include "base/limits.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WARNINGS_MAX = 32, SHOWN_BYTES = 64 };

/* The first bytes of `text` that are whole characters. */
static int shown_bytes(const char *text)
{
    size_t length = strlen(text);
    if (length <= SHOWN_BYTES) return (int)length;
    length = SHOWN_BYTES;
    while (length > 0 && ((unsigned char)text[length] & 0xC0) == 0x80) length--;
    return (int)length;
}

void kx_value_warn(kx_value_reader *reader, const char *format, ...)
{
    char text[256];
    if (json_array_size(reader->out->warnings) >= WARNINGS_MAX) return;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    json_array_append_new(reader->out->warnings, json_string(text));
}

void kx_value_warn_unknown(kx_value_reader *reader, const char *name)
{
    kx_value_warn(reader, "unknown field '%.*s' ignored", shown_bytes(name), name);
}

kx_status kx_value_refuse(const char *name, const char *expected, const json_t *value, kx_error *err)
{
    bool is_shown = value != NULL && !json_is_object(value) && !json_is_array(value);
    char *found = is_shown ? json_dumps(value, JSON_ENCODE_ANY) : NULL;
    const char *kind = value == NULL ? "nothing" : json_is_object(value) ? "an object" : "an array";
    const char *shown = found != NULL ? found : kind;
    int bytes = shown_bytes(shown);
    kx_error_set(err, KX_ERR_INPUT, __FILE__, __LINE__, "%s: %s is expected, %.*s%s is found", name, expected,
                 bytes, shown, shown[bytes] == '\0' ? "" : "...");
    free(found);
    return KX_ERR_INPUT;
}

static kx_status refuse(kx_value_reader *reader, const kx_parameter *row, const char *expected,
                        const json_t *value)
{
    return kx_value_refuse(row->name, expected, value, reader->err);
}

/* A whole number, also where it is written as 28.0. */
static bool whole_number(const json_t *value, int64_t *number)
{
    if (json_is_integer(value)) {
        *number = json_integer_value(value);
        return true;
    }
    double real = json_is_real(value) ? json_real_value(value) : 0.5;
    if (fabs(real) > 9007199254740992.0 || floor(real) < real) return false;
    *number = (int64_t)real;
    return true;
}

static void *place_of(kx_value_reader *reader, const kx_parameter *row)
{
    return (char *)reader->out + row->place;
}

static kx_status read_text(kx_value_reader *reader, const kx_parameter *row, const json_t *value)
{
    size_t bytes = json_string_length(value);
    if (!json_is_string(value) || bytes == 0) return refuse(reader, row, "a string that is not empty", value);
    if (bytes > KX_LIMIT_PROMPT_BYTES)
        return kx_error_set(reader->err, KX_ERR_INPUT, __FILE__, __LINE__,
                            "%s: at most %u bytes are expected, %zu are found", row->name,
                            KX_LIMIT_PROMPT_BYTES, bytes);
    *(const char **)place_of(reader, row) = json_string_value(value);
    return KX_OK;
}

static kx_status read_integer(kx_value_reader *reader, const kx_parameter *row, const json_t *value)
{
    char expected[80];
    int64_t number = 0;
    snprintf(expected, sizeof expected, "an integer from %.0f to %.0f", row->minimum, row->maximum);
    if (!whole_number(value, &number) || (double)number < row->minimum || (double)number > row->maximum)
        return refuse(reader, row, expected, value);
    *(int64_t *)place_of(reader, row) = number;
    return KX_OK;
}

static kx_status read_number(kx_value_reader *reader, const kx_parameter *row, const json_t *value)
{
    char expected[80];
    double number = json_number_value(value);
    snprintf(expected, sizeof expected, "a number from %g to %g", row->minimum, row->maximum);
    if (!json_is_number(value) || !(number >= row->minimum && number <= row->maximum))
        return refuse(reader, row, expected, value);
    *(double *)place_of(reader, row) = number;
    return KX_OK;
}

static kx_status read_seed(kx_value_reader *reader, const kx_parameter *row, const json_t *value)
{
    int64_t asked = 0;
    if (!whole_number(value, &asked) || asked < -1)
        return refuse(reader, row, "an integer from -1 to 2147483647", value);
    int64_t seed = asked > KX_SEED_LIMIT ? asked & KX_SEED_LIMIT : asked;
    if (seed != asked)
        kx_value_warn(reader, "seed %lld is beyond 2147483647 and was wrapped to %lld", (long long)asked,
                      (long long)seed);
    *(int64_t *)place_of(reader, row) = seed;
    return KX_OK;
}

static kx_status read_boolean(kx_value_reader *reader, const kx_parameter *row, const json_t *value)
{
    if (!json_is_boolean(value)) return refuse(reader, row, "true or false", value);
    *(bool *)place_of(reader, row) = json_is_true(value);
    return KX_OK;
}

static kx_status read_format(kx_value_reader *reader, const kx_parameter *row, const json_t *value)
{
    static const struct {
        const char *name;
        kx_picture_format format;
    } formats[] = {
        {"jpeg", KX_FORMAT_JPEG}, {"jpg", KX_FORMAT_JPEG}, {"png", KX_FORMAT_PNG}, {"webp", KX_FORMAT_WEBP}};
    for (size_t i = 0; json_is_string(value) && i < sizeof formats / sizeof formats[0]; i++) {
        if (strcmp(json_string_value(value), formats[i].name) != 0) continue;
        *(int64_t *)place_of(reader, row) = formats[i].format;
        return KX_OK;
    }
    return refuse(reader, row, "\"jpeg\", \"png\" or \"webp\"", value);
}

static kx_status read_url(kx_value_reader *reader, const kx_parameter *row, const json_t *value)
{
    if (!json_is_string(value) || json_string_length(value) > KX_PARAMETER_URL_MAX)
        return refuse(reader, row, "an URL", value);
    if (json_string_length(value) > 0) *(const char **)place_of(reader, row) = json_string_value(value);
    return KX_OK;
}

static bool read_side_text(const char **text, int *side)
{
    int64_t number = 0;
    if (!isdigit((unsigned char)**text)) return false;
    while (isdigit((unsigned char)**text)) {
        number = number * 10 + (*(*text)++ - '0');
        if (number > 1000000) return false;
    }
    *side = (int)number;
    return true;
}

bool kx_size_parse(const char *text, kx_size *size)
{
    if (!read_side_text(&text, &size->width_px)) return false;
    size->height_px = size->width_px;
    if (*text == '\0') return true;
    if (strchr("*xX", *text) == NULL) return false;
    text++;
    return read_side_text(&text, &size->height_px) && *text == '\0';
}

static kx_status read_size(kx_value_reader *reader, const kx_parameter *row, const json_t *value)
{
    char expected[120];
    int low = reader->limits->min_side_px, high = reader->limits->max_side_px;
    kx_size size = {0, 0};
    int64_t number = 0;
    bool is_size = false;
    if (json_is_string(value)) {
        if (json_string_length(value) == 0) return KX_OK;
        is_size = kx_size_parse(json_string_value(value), &size);
    } else if (whole_number(value, &number) && number >= low && number <= high) {
        size = (kx_size){(int)number, (int)number};
        is_size = true;
    }
    snprintf(expected, sizeof expected, "width*height with sides from %d to %d", low, high);
    if (!is_size || size.width_px < low || size.width_px > high || size.height_px < low ||
        size.height_px > high)
        return refuse(reader, row, expected, value);
    *(kx_size *)place_of(reader, row) = size;
    return KX_OK;
}

static kx_status read_side(kx_value_reader *reader, const kx_parameter *row, const json_t *value)
{
    kx_parameter bounded = *row;
    bounded.minimum = reader->limits->min_side_px;
    bounded.maximum = reader->limits->max_side_px;
    return read_integer(reader, &bounded, value);
}

static kx_status add_picture(kx_value_reader *reader, const kx_parameter *row, const json_t *value)
{
    kx_parameters *out = reader->out;
    if (!json_is_string(value)) return refuse(reader, row, "a string (an URL, a data URI or base64)", value);
    if (json_string_length(value) == 0) {
        kx_value_warn(reader, "an empty string in '%s' ignored", row->name);
        return KX_OK;
    }
    /* Those beyond the last place are only counted, for the sentence that refuses them. */
    if (out->num_pictures < KX_MAX_REFERENCES) out->pictures[out->num_pictures] = json_string_value(value);
    out->num_pictures++;
    return KX_OK;
}

static kx_status read_pictures(kx_value_reader *reader, const kx_parameter *row, const json_t *value)
{
    if (!json_is_array(value))
        return refuse(reader, row, "value must be an array of strings: an array", value);
    for (size_t i = 0; i < json_array_size(value); i++) {
        kx_status status = add_picture(reader, row, json_array_get(value, i));
        if (status != KX_OK) return status;
    }
    return KX_OK;
}

kx_status kx_value_read(kx_value_reader *reader, const kx_parameter *row, const json_t *value)
{
    static kx_status (*const readers[KX_PARAMETER_KINDS])(kx_value_reader *, const kx_parameter *,
                                                          const json_t *) = {
        [KX_PARAMETER_TEXT] = read_text,      [KX_PARAMETER_PICTURES] = read_pictures,
        [KX_PARAMETER_PICTURE] = add_picture, [KX_PARAMETER_SIZE] = read_size,
        [KX_PARAMETER_SIDE] = read_side,      [KX_PARAMETER_INTEGER] = read_integer,
        [KX_PARAMETER_NUMBER] = read_number,  [KX_PARAMETER_SEED] = read_seed,
        [KX_PARAMETER_FORMAT] = read_format,  [KX_PARAMETER_BOOLEAN] = read_boolean,
        [KX_PARAMETER_URL] = read_url,
    };
    return readers[row->kind](reader, row, value);
}

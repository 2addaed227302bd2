#include "cli/cli_settings.h"

#include "cli/cli_config.h"
#include "cli/cli_values.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct unit {
    const char *name;
    uint64_t factor;
} unit;

/* The first unit that divides a value writes it, so larger ones come first; "" is for reading alone. */
static const unit byte_units[] = {
    {"T", UINT64_C(1) << 40},
    {"G", UINT64_C(1) << 30},
    {"M", UINT64_C(1) << 20},
    {"K", UINT64_C(1) << 10},
    {"", 1},
};
static const unit second_units[] = {{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}, {"", 1}};
static const unit millisecond_units[] = {
    {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {"", 1000},
};
static const unit no_units[] = {{"", 1}};

typedef struct kind_units {
    const unit *units;
    size_t count;
    const char *example;
} kind_units;

#define UNITS(array, example)                                                                                \
    (kind_units)                                                                                             \
    {                                                                                                        \
        (array), sizeof(array) / sizeof((array)[0]), (example)                                               \
    }

static kind_units units_of(kx_cli_kind kind)
{
    switch (kind) {
    case KX_CLI_KIND_BYTES:
        return UNITS(byte_units, " such as 20M");
    case KX_CLI_KIND_SECONDS:
    case KX_CLI_KIND_LONG_SECONDS:
        return UNITS(second_units, " such as 90s or 7d");
    case KX_CLI_KIND_MILLISECONDS:
        return UNITS(millisecond_units, " such as 90s or 250ms");
    default:
        return UNITS(no_units, "");
    }
}

/* ---- Numbers with units ---- */

static bool parse_with_unit(const char *text, kind_units units, uint64_t *value)
{
    size_t digits = strspn(text, "0123456789");
    uint64_t number = 0;
    if (digits == 0 || digits > 19) return false;
    for (size_t i = 0; i < digits; i++) number = 10 * number + (uint64_t)(text[i] - '0');
    for (size_t i = 0; i < units.count; i++)
        if (strcmp(text + digits, units.units[i].name) == 0)
            return !__builtin_mul_overflow(number, units.units[i].factor, value);
    return false;
}

static void format_with_unit(uint64_t value, kind_units units, char *out, size_t room)
{
    size_t i = 0;
    while (i + 1 < units.count && (value % units.units[i].factor != 0 || value == 0)) i++;
    /* 0 has no unit, and neither has what no unit divides. */
    snprintf(out, room, "%" PRIu64 "%s", value / units.units[i].factor, units.units[i].name);
}

bool kx_cli_parse_money(const char *text, int64_t *micro)
{
    bool negative = text[0] == '-';
    const char *at = text + negative;
    size_t whole = strspn(at, "0123456789");
    if (whole == 0 || whole > 12) return false;
    uint64_t value = 0;
    for (size_t i = 0; i < whole; i++) value = 10 * value + (uint64_t)(at[i] - '0');
    at += whole;
    size_t decimals = *at == '.' ? strspn(at + 1, "0123456789") : 0;
    if (*at == '.' && (decimals == 0 || decimals > 6)) return false;
    for (size_t i = 0; i < 6; i++) value = 10 * value + (i < decimals ? (uint64_t)(at[1 + i] - '0') : 0);
    if (*at == '.') at += 1 + decimals;
    if (*at != '\0') return false;
    *micro = negative ? -(int64_t)value : (int64_t)value;
    return true;
}

const char *kx_cli_format_money(int64_t micro, char out[32])
{
    uint64_t value = micro < 0 ? 0 - (uint64_t)micro : (uint64_t)micro;
    int length =
        snprintf(out, 32, "%s%" PRIu64 ".%06" PRIu64, micro < 0 ? "-" : "", value / 1000000, value % 1000000);
    while (length > 1 && out[length - 1] == '0') out[--length] = '\0';
    if (out[length - 1] == '.') out[length - 1] = '\0';
    return out;
}

/* ---- Reading ---- */

static void *field_of(const kx_cli_arguments *arguments, const kx_cli_option *option)
{
    return (char *)(uintptr_t)arguments + option->field;
}

static kx_status read_switch(bool *field, const char *text, kx_error *err)
{
    kx_status status = KX_OK;
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    size_t place = 0;
    while (text != NULL && place < 8 && strcmp(text, words[place]) != 0) place++;
    KX_FAIL_IF(place == 8, err, KX_ERR_INPUT, "'%s' is found, true or false is expected", text);
    *field = text == NULL || place % 2 == 1;
out:
    return status;
}

static kx_status read_text(kx_cli_arguments *arguments, const kx_cli_option *option, const char *text,
                           kx_error *err)
{
    if (option->choices != NULL) return kx_cli_read_word(arguments, option, text, err);
    *(const char **)field_of(arguments, option) = text[0] != '\0' ? text : NULL;
    return KX_OK;
}

static kx_status read_money(const kx_cli_option *option, const char *text, int64_t *field, kx_error *err)
{
    kx_status status = KX_OK;
    char least[32], most[32];
    int64_t value = 0;
    bool good = kx_cli_parse_money(text, &value);
    KX_FAIL_IF(!good || (double)value < option->least || (double)value > option->most, err, KX_ERR_INPUT,
               "'%s' is found, dollars from %s to %s with at most 6 decimals are expected", text,
               kx_cli_format_money((int64_t)option->least, least),
               kx_cli_format_money((int64_t)option->most, most));
    *field = value;
out:
    return status;
}

static kx_status read_number(const kx_cli_option *option, const char *text, uint64_t *value, kx_error *err)
{
    kx_status status = KX_OK;
    char least[32], most[32];
    kind_units units = units_of(option->kind);
    bool good = parse_with_unit(text, units, value);
    format_with_unit((uint64_t)option->least, units, least, sizeof least);
    format_with_unit((uint64_t)option->most, units, most, sizeof most);
    KX_FAIL_IF(!good || (double)*value < option->least || (double)*value > option->most, err, KX_ERR_INPUT,
               "'%s' is found, a whole number%s from %s to %s is expected", text, units.example, least, most);
out:
    return status;
}

kx_status kx_cli_read_setting(kx_cli_arguments *arguments, const kx_cli_option *option, const char *text,
                              kx_error *err)
{
    kx_status status = KX_OK;
    void *field = field_of(arguments, option);
    uint64_t value = 0;
    if (option->kind == KX_CLI_KIND_SWITCH) return read_switch(field, text, err);
    if (option->kind == KX_CLI_KIND_TEXT) return read_text(arguments, option, text, err);
    if (option->kind == KX_CLI_KIND_MONEY) return read_money(option, text, field, err);
    KX_TRY(read_number(option, text, &value, err));
    if (option->kind == KX_CLI_KIND_BYTES || option->kind == KX_CLI_KIND_LONG_SECONDS)
        *(uint64_t *)field = value;
    else
        *(unsigned *)field = (unsigned)value;
out:
    return status;
}

kx_status kx_cli_read_delays(kx_cli_arguments *arguments, const kx_cli_option *option, const char *text,
                             kx_error *err)
{
    kx_status status = KX_OK;
    for (const char *at = text; *text != '\0';) {
        size_t digits = strspn(at, "0123456789");
        unsigned long long number = digits > 0 && digits < 10 ? strtoull(at, NULL, 10) : 0;
        KX_FAIL_IF((double)number < option->least || (double)number > option->most ||
                       (at[digits] != ',' && at[digits] != '\0'),
                   err, KX_ERR_INPUT,
                   "'%s' is found, seconds from %.0f to %.0f such as 10,60,600 are expected", text,
                   option->least, option->most);
        if (at[digits] == '\0') break;
        at += digits + 1;
    }
    *(const char **)field_of(arguments, option) = text;
out:
    return status;
}

/* ---- Writing ---- */

void kx_cli_setting_text(const kx_cli_option *option, const kx_cli_arguments *arguments, char *out,
                         size_t room)
{
    const void *field = field_of(arguments, option);
    const char *text;
    switch (option->kind) {
    case KX_CLI_KIND_SWITCH:
        snprintf(out, room, "%s", *(const bool *)field ? "true" : "false");
        break;
    case KX_CLI_KIND_TEXT:
        text = *(const char *const *)field;
        snprintf(out, room, "%s", text != NULL ? text : "");
        break;
    case KX_CLI_KIND_MONEY: {
        char money[32];
        snprintf(out, room, "%s", kx_cli_format_money(*(const int64_t *)field, money));
        break;
    }
    case KX_CLI_KIND_BYTES:
    case KX_CLI_KIND_LONG_SECONDS:
        format_with_unit(*(const uint64_t *)field, units_of(option->kind), out, room);
        break;
    default:
        format_with_unit(*(const unsigned *)field, units_of(option->kind), out, room);
    }
}

void kx_cli_default_text(const kx_cli_option *option, char *out, size_t room)
{
    kx_cli_arguments defaults = {.settings = kx_settings_default()};
    out[0] = '\0';
    if (option->fallback != NULL)
        snprintf(out, room, "%s", option->fallback);
    else if (option->kind != KX_CLI_KIND_OTHER)
        kx_cli_setting_text(option, &defaults, out, room);
}

/* ---- Lists of settings ---- */

static bool is_setting(const kx_cli_option *option)
{
    return (option->commands & KX_CLI_SERVE) != 0 && (option->sources & KX_CLI_IN_FILE) != 0;
}

/* A text of any length as it stands, anything else in `room`. */
static const char *value_of(const kx_cli_option *option, const kx_cli_arguments *arguments, char *room,
                            size_t room_bytes)
{
    const char *text = option->kind == KX_CLI_KIND_TEXT ? *(char *const *)field_of(arguments, option) : NULL;
    if (text != NULL) return text;
    kx_cli_setting_text(option, arguments, room, room_bytes);
    /* Where one of some words is expected, nothing is none of them. */
    if (room[0] == '\0' && option->choices != NULL) kx_cli_default_text(option, room, room_bytes);
    return room;
}

void kx_cli_print_config(FILE *stream, const kx_cli_arguments *arguments)
{
    const char *group = NULL;
    char room[1024];
    fprintf(stream, "# Configuration of kontext serve. Lines that begin with # are the defaults.\n");
    for (size_t i = 0; i < kx_cli_num_options; i++) {
        const kx_cli_option *option = &kx_cli_options[i];
        if (!is_setting(option)) continue;
        if (group != option->group) fprintf(stream, "\n[%s]\n", option->group);
        group = option->group;
        fprintf(stream, "\n# %s\n", option->help);
        bool given = arguments->given[i];
        const char *text = value_of(option, arguments, room, sizeof room);
        fprintf(stream, "%s%s = ", given ? "" : "#", option->name);
        if (option->kind == KX_CLI_KIND_TEXT)
            kx_cli_config_write_quoted(stream, text);
        else
            fputs(text, stream);
        fputc('\n', stream);
    }
}

static void print_cell(FILE *stream, const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '|') fputc('\\', stream);
        fputc(*at, stream);
    }
}

void kx_cli_print_options_table(FILE *stream)
{
    char text[256];
    fprintf(stream, "| option | default | what it is |\n|---|---|---|\n");
    for (size_t i = 0; i < kx_cli_num_options; i++) {
        const kx_cli_option *option = &kx_cli_options[i];
        if (!is_setting(option)) continue;
        kx_cli_default_text(option, text, sizeof text);
        fprintf(stream, "| `--%s%s", option->name, option->argument != NULL ? " " : "");
        print_cell(stream, option->argument != NULL ? option->argument : "");
        fprintf(stream, "` | ");
        print_cell(stream, text);
        fprintf(stream, " | ");
        print_cell(stream, option->help);
        fprintf(stream, " |\n");
    }
}

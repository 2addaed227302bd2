#include "cli/cli_config.h"

#include "base/file.h"
#include "base/limits.h"
#include "cli/cli_hints.h"
#include "cli/cli_values.h"

#include <stdlib.h>
#include <string.h>

enum { NAME_ROOM = 64 };

typedef struct config_line {
    const char *path;
    size_t number;
    char name[NAME_ROOM]; /* with dashes */
    char *value;          /* in the arena of the arguments */
} config_line;

typedef struct config_reader {
    kx_cli_arguments *arguments;
    const char *path;
    size_t seen_at[KX_CLI_OPTIONS_MAX]; /* number of the line, by row of the option table */
} config_reader;

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && is_blank(*at)) at++;
    return at;
}

static bool is_end(const char *at, const char *end)
{
    at = skip_blanks(at, end);
    return at == end || *at == '#';
}

/* ---- One line ---- */

static bool is_name_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static kx_status read_name(config_line *line, const char **at, const char *end, kx_error *err)
{
    kx_status status = KX_OK;
    size_t length = 0;
    for (; *at < end && is_name_character(**at) && length + 1 < NAME_ROOM; ++*at)
        line->name[length++] = **at == '_' ? '-' : **at;
    line->name[length] = '\0';
    *at = skip_blanks(*at, end);
    KX_FAIL_IF(length == 0 || *at == end || **at != '=', err, KX_ERR_USAGE,
               "%s:%zu: a line NAME = VALUE is expected", line->path, line->number);
    *at = skip_blanks(*at + 1, end);
out:
    return status;
}

/* From behind the opening quote; *at ends behind the closing one. */
static kx_status read_quoted(config_line *line, char quote, const char **at, const char *end, kx_error *err)
{
    kx_status status = KX_OK;
    char *to = line->value;
    static const char escaped[] = "\"\\nt", plain[] = "\"\\\n\t";
    for (; *at < end && **at != quote; ++*at) {
        if (quote == '\'' || **at != '\\') {
            *to++ = **at;
            continue;
        }
        const char *place = *at + 1 < end ? strchr(escaped, (*at)[1]) : NULL;
        KX_FAIL_IF(place == NULL || *place == '\0', err, KX_ERR_USAGE,
                   "%s:%zu: a backslash is followed by \", \\, n or t", line->path, line->number);
        *to++ = plain[place - escaped];
        ++*at;
    }
    KX_FAIL_IF(*at == end, err, KX_ERR_USAGE, "%s:%zu: the closing quote is missing", line->path,
               line->number);
    *to = '\0';
    ++*at;
out:
    return status;
}

/* Up to the end or to a # behind a blank. */
static void read_bare(config_line *line, const char **at, const char *end)
{
    const char *from = *at;
    while (*at < end && !(**at == '#' && (*at == from || is_blank((*at)[-1])))) ++*at;
    const char *last = *at;
    while (last > from && is_blank(last[-1])) last--;
    memcpy(line->value, from, (size_t)(last - from));
    line->value[last - from] = '\0';
}

static kx_status read_value(config_line *line, kx_arena *arena, const char **at, const char *end,
                            kx_error *err)
{
    kx_status status = KX_OK;
    KX_TRY(KX_ARENA_ARRAY(arena, end - *at + 1, &line->value, err));
    if (*at < end && (**at == '"' || **at == '\'')) {
        char quote = *(*at)++;
        KX_TRY(read_quoted(line, quote, at, end, err));
    } else {
        read_bare(line, at, end);
    }
    KX_FAIL_IF(!is_end(*at, end), err, KX_ERR_USAGE, "%s:%zu: something stands behind the value of %s",
               line->path, line->number, line->name);
out:
    return status;
}

static kx_status check_heading(const config_line *line, const char *at, const char *end, kx_error *err)
{
    kx_status status = KX_OK;
    const char *close = memchr(at, ']', (size_t)(end - at));
    KX_FAIL_IF(close == NULL || !is_end(close + 1, end), err, KX_ERR_USAGE,
               "%s:%zu: a heading in brackets is expected", line->path, line->number);
out:
    return status;
}

/* ---- What it sets ---- */

static bool is_setting(const kx_cli_option *option)
{
    return (option->sources & KX_CLI_IN_FILE) != 0;
}

static kx_status set_unknown(const config_line *line, kx_error *err)
{
    const char *nearest = kx_cli_nearest_option(KX_CLI_EVERY, KX_CLI_IN_FILE, line->name);
    if (nearest != NULL)
        return kx_error_set(err, KX_ERR_USAGE, __FILE__, __LINE__,
                            "%s:%zu: unknown name %s, did you mean %s?", line->path, line->number, line->name,
                            nearest);
    return kx_error_set(err, KX_ERR_USAGE, __FILE__, __LINE__,
                        "%s:%zu: unknown name %s, kontext serve --help lists them", line->path, line->number,
                        line->name);
}

static kx_status apply_line(config_reader *reader, const config_line *line, kx_error *err)
{
    kx_status status = KX_OK;
    kx_cli_arguments *arguments = reader->arguments;
    size_t i = 0;
    while (i < kx_cli_num_options &&
           !(is_setting(&kx_cli_options[i]) && strcmp(kx_cli_options[i].name, line->name) == 0))
        i++;
    if (i == kx_cli_num_options) return set_unknown(line, err);
    KX_FAIL_IF(reader->seen_at[i] != 0, err, KX_ERR_USAGE, "%s:%zu: %s stands in line %zu already",
               line->path, line->number, line->name, reader->seen_at[i]);
    reader->seen_at[i] = line->number;
    const kx_cli_option *option = &kx_cli_options[i];
    /* A value that is not used is read all the same: a bad line is told before it begins to matter. */
    kx_cli_arguments unused = {0};
    bool counts = (option->commands & (unsigned)arguments->command->id) != 0 && !arguments->given[i];
    char source[512];
    snprintf(source, sizeof source, "%s:%zu: %s", line->path, line->number, line->name);
    KX_TRY(kx_cli_apply(counts ? arguments : &unused, option, line->value, source, err));
out:
    return status;
}

static kx_status read_line(config_reader *reader, size_t number, const char *at, const char *end,
                           kx_error *err)
{
    kx_status status = KX_OK;
    config_line line = {.path = reader->path, .number = number};
    if (is_end(at, end)) return KX_OK;
    at = skip_blanks(at, end);
    if (*at == '[') return check_heading(&line, at, end, err);
    KX_TRY(read_name(&line, &at, end, err));
    KX_TRY(read_value(&line, &reader->arguments->texts, &at, end, err));
    KX_TRY(apply_line(reader, &line, err));
out:
    return status;
}

kx_status kx_cli_config_apply(kx_cli_arguments *arguments, const char *text, size_t bytes, const char *path,
                              kx_error *err)
{
    kx_status status = KX_OK;
    config_reader reader = {.arguments = arguments, .path = path};
    if (bytes == 0) return KX_OK; /* of an empty file there is no address */
    const char *at = text, *end = text + bytes;
    for (size_t number = 1; at < end; number++) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        if (line_end == NULL) line_end = end;
        KX_FAIL_IF(memchr(at, '\0', (size_t)(line_end - at)) != NULL ||
                       !kx_cli_is_utf8(at, (size_t)(line_end - at)),
                   err, KX_ERR_USAGE, "%s:%zu: the line is not UTF-8 text", path, number);
        KX_TRY(read_line(&reader, number, at, line_end, err));
        at = line_end < end ? line_end + 1 : end;
    }
out:
    return status;
}

/* ---- The file ---- */

static kx_status default_data(kx_cli_arguments *arguments, kx_error *err)
{
    kx_status status = KX_OK;
    const char *base = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    bool has_base = base != NULL && base[0] == '/';
    char path[4096];
    KX_FAIL_IF(!has_base && (home == NULL || home[0] != '/'), err, KX_ERR_USAGE,
               "there is no home folder for the data: name a folder with --data or KONTEXT_DATA");
    int length =
        snprintf(path, sizeof path, "%s%s/kontext", has_base ? base : home, has_base ? "" : "/.local/share");
    KX_FAIL_IF(length >= (int)sizeof path, err, KX_ERR_USAGE, "the path of the home folder is too long");
    char *copy;
    KX_TRY(kx_arena_copy_text(&arguments->texts, path, (size_t)length, &copy, err));
    arguments->settings.data = copy;
out:
    return status;
}

static kx_status load_file(kx_cli_arguments *arguments, const char *path, kx_error *err)
{
    kx_status status = KX_OK;
    kx_bytes text = {.cap = KX_LIMIT_CONFIG_BYTES};
    KX_TRY(kx_file_read(path, &text, KX_ERR_INPUT, err));
    KX_TRY(kx_cli_config_apply(arguments, (const char *)text.data, text.size, path, err));
out:
    kx_bytes_free(&text);
    return status;
}

/* The file that is found by the data folder cannot move the data folder. */
static kx_status load_from_data(kx_cli_arguments *arguments, kx_error *err)
{
    kx_status status = KX_OK;
    const char *data = arguments->settings.data;
    bool data_was_given = kx_cli_given(arguments, "data");
    char *path = kx_file_join(data, "kontext.ini");
    KX_FAIL_IF(path == NULL, err, KX_ERR_MEMORY, "out of memory");
    if (kx_file_exists(path)) KX_TRY(load_file(arguments, path, err));
    KX_FAIL_IF(
        !data_was_given && kx_cli_given(arguments, "data"), err, KX_ERR_USAGE,
        "%s: data is set, but this file was found by the data folder; name another with --data or --config",
        path);
out:
    free(path);
    return status;
}

kx_status kx_cli_config_load(kx_cli_arguments *arguments, kx_error *err)
{
    kx_status status = KX_OK;
    if (arguments->config != NULL) KX_TRY(load_file(arguments, arguments->config, err));
    if (!kx_cli_given(arguments, "data") || arguments->settings.data == NULL)
        KX_TRY(default_data(arguments, err));
    if (arguments->config == NULL) KX_TRY(load_from_data(arguments, err));
out:
    return status;
}

void kx_cli_config_write_quoted(FILE *stream, const char *text)
{
    fputc('"', stream);
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '\n') {
            fputs("\\n", stream);
        } else if (*at == '\t') {
            fputs("\\t", stream);
        } else {
            if (*at == '"' || *at == '\\') fputc('\\', stream);
            fputc(*at, stream);
        }
    }
    fputc('"', stream);
}

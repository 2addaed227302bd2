#include "cli/cli_output.h"

#include "base/file.h"
#include "cli/cli_report.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

/* The last suffix with its dot, or the end of the name. ".png" alone is a name, not a suffix. */
static const char *suffix_of(const char *name)
{
    const char *slash = strrchr(name, '/');
    const char *base = slash != NULL ? slash + 1 : name;
    const char *dot = strrchr(base, '.');
    return dot != NULL && dot != base ? dot : name + strlen(name);
}

static kx_status format_by_suffix(const char *name, kx_picture_format *format, kx_error *err)
{
    static const struct {
        const char *suffix;
        kx_picture_format format;
    } rows[] = {{".png", KX_FORMAT_PNG},
                {".jpg", KX_FORMAT_JPEG},
                {".jpeg", KX_FORMAT_JPEG},
                {".webp", KX_FORMAT_WEBP}};
    kx_status status = KX_OK;
    const char *suffix = suffix_of(name);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcasecmp(suffix, rows[i].suffix) != 0) continue;
        *format = rows[i].format;
        goto out;
    }
    KX_FAIL(err, KX_ERR_INPUT, "--output: '%s' has %s%s, expected is .png, .jpg, .jpeg or .webp, or --format",
            name, suffix[0] != '\0' ? "the suffix " : "no suffix", suffix);
out:
    return status;
}

/* "out.png" -> "out-3.png" */
static kx_status number_name(kx_cli_outputs *outputs, const char *name, size_t index, kx_error *err)
{
    kx_status status = KX_OK;
    const char *suffix = suffix_of(name);
    size_t room = strlen(name) + 16;
    KX_TRY(KX_ARENA_ARRAY(&outputs->arena, room, &outputs->names[index], err));
    snprintf(outputs->names[index], room, "%.*s-%zu%s", (int)(suffix - name), name, index + 1, suffix);
out:
    return status;
}

kx_status kx_cli_outputs_name(kx_cli_outputs *outputs, const kx_cli_arguments *arguments, kx_error *err)
{
    kx_status status = KX_OK;
    *outputs = (kx_cli_outputs){.format = (kx_picture_format)arguments->format};
    const char *name = arguments->output;
    outputs->to_stdout = strcmp(name, "-") == 0;
    KX_FAIL_IF(outputs->to_stdout && outputs->format == KX_FORMAT_AUTO, err, KX_ERR_USAGE,
               "--output: standard output has no suffix, --format png, jpeg or webp is needed");
    if (outputs->format == KX_FORMAT_AUTO) KX_TRY(format_by_suffix(name, &outputs->format, err));
    KX_TRY(KX_ARENA_ARRAY(&outputs->arena, arguments->copies, &outputs->names, err));
    outputs->count = arguments->copies;
    if (outputs->count == 1) {
        KX_TRY(kx_arena_copy_text(&outputs->arena, name, strlen(name), &outputs->names[0], err));
        goto out;
    }
    for (size_t i = 0; i < outputs->count; i++) KX_TRY(number_name(outputs, name, i, err));
out:
    return status;
}

/* A device or a pipe is written into; a temporary file renamed over it would take its place. */
static bool is_special_file(const char *name)
{
    struct stat info;
    return stat(name, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode);
}

kx_status kx_cli_check_writable(const char *name, kx_error *err)
{
    kx_file_write file = {.fd = -1};
    kx_status status = kx_file_write_open(&file, name, err);
    kx_file_write_discard(&file);
    return status;
}

kx_status kx_cli_outputs_check(const kx_cli_outputs *outputs, kx_error *err)
{
    kx_status status = KX_OK;
    for (size_t i = 0; i < outputs->count && !outputs->to_stdout; i++)
        if (!is_special_file(outputs->names[i])) KX_TRY(kx_cli_check_writable(outputs->names[i], err));
out:
    return status;
}

static kx_status write_stream(FILE *stream, const char *name, const kx_picture *picture,
                              const kx_save_options *options, kx_error *err)
{
    kx_status status = KX_OK;
    uint8_t *data = NULL;
    size_t bytes = 0;
    KX_TRY(kx_picture_encode(picture, options, &data, &bytes, err));
    errno = 0;
    bool failed = fwrite(data, 1, bytes, stream) != bytes || fflush(stream) != 0;
    KX_FAIL_IF(failed, err, KX_ERR_OUTPUT, "%s: cannot write: %s", name, strerror(errno));
out:
    kx_free(data);
    return status;
}

kx_status kx_cli_outputs_write(const kx_cli_outputs *outputs, size_t index, const kx_picture *picture,
                               const kx_save_options *options, kx_error *err)
{
    kx_status status = KX_OK;
    kx_save_options complete = *options;
    complete.format = outputs->format;
    const char *name = outputs->names[index];
    FILE *special = NULL;
    if (outputs->to_stdout) {
        KX_TRY(write_stream(stdout, "standard output", picture, &complete, err));
    } else if (is_special_file(name)) {
        special = fopen(name, "wb");
        KX_FAIL_IF(special == NULL, err, KX_ERR_OUTPUT, "%s: cannot write there: %s", name, strerror(errno));
        KX_TRY(write_stream(special, name, picture, &complete, err));
    } else {
        KX_TRY(kx_picture_save(picture, name, &complete, err));
    }
out:
    if (special != NULL) fclose(special);
    return status;
}

void kx_cli_outputs_free(kx_cli_outputs *outputs)
{
    kx_arena_free(&outputs->arena);
    *outputs = (kx_cli_outputs){0};
}

#include "cli/cli_report.h"

#include "cli/cli_values.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void kx_cli_tell_error(const kx_cli_arguments *arguments, const kx_error *err)
{
    char clean[sizeof err->message];
    kx_cli_clean_text(err->message, clean, sizeof clean);
    fprintf(stderr, "error: %s\n", clean);
    if (!arguments->json) return;
    json_t *object =
        json_pack("{s:{s:s,s:s}}", "error", "code", kx_status_name(err->status), "message", clean);
    kx_error ignored = {0};
    kx_cli_print_json(object, &ignored);
}

void kx_cli_tell_warning(void *user, const char *sentence)
{
    const kx_cli_arguments *arguments = user;
    char clean[1024];
    if (arguments->quiet) return;
    kx_cli_clean_text(sentence, clean, sizeof clean);
    fprintf(stderr, "warning: %s\n", clean);
}

kx_status kx_cli_flush_stdout(kx_error *err)
{
    kx_status status = KX_OK;
    errno = 0;
    bool failed = fflush(stdout) != 0 || ferror(stdout);
    KX_FAIL_IF(failed, err, KX_ERR_OUTPUT, "standard output: cannot write: %s",
               errno != 0 ? strerror(errno) : "an earlier write failed");
out:
    return status;
}

kx_status kx_cli_print_json(json_t *object, kx_error *err)
{
    kx_status status = KX_OK;
    char *text = object != NULL ? json_dumps(object, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    KX_FAIL_IF(text == NULL, err, KX_ERR_MEMORY, "out of memory for the JSON object");
    fputs(text, stdout);
    fputc('\n', stdout);
    KX_TRY(kx_cli_flush_stdout(err));
out:
    free(text);
    json_decref(object);
    return status;
}

json_t *kx_cli_json_text(const char *text)
{
    size_t room = strlen(text) + 1;
    char *clean = malloc(room);
    if (clean == NULL) return NULL;
    kx_cli_clean_text(text, clean, room);
    json_t *string = json_string(clean);
    free(clean);
    return string;
}

json_t *kx_cli_json_seed(uint64_t seed)
{
    char text[32];
    if (seed <= INT64_MAX) return json_integer((json_int_t)seed);
    snprintf(text, sizeof text, "%" PRIu64, seed);
    return json_string(text);
}

json_t *kx_cli_json_size(kx_size size)
{
    return json_pack("{s:i,s:i}", "width", size.width_px, "height", size.height_px);
}

const char *kx_cli_format_bytes(uint64_t bytes, char out[32])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 1024 && unit + 1 < sizeof units / sizeof units[0]; unit++) value /= 1024;
    snprintf(out, 32, unit < 2 ? "%.0f %s" : "%.2f %s", value, units[unit]);
    return out;
}

const char *kx_cli_format_duration(double seconds, char out[32])
{
    unsigned long whole = seconds > 0 && seconds < 1e9 ? (unsigned long)(seconds + 0.5) : 0;
    if (seconds < 10)
        snprintf(out, 32, "%.1f s", seconds > 0 ? seconds : 0);
    else if (whole < 60)
        snprintf(out, 32, "%lu s", whole);
    else if (whole < 3600)
        snprintf(out, 32, "%lu min %lu s", whole / 60, whole % 60);
    else
        snprintf(out, 32, "%lu h %lu min", whole / 3600, whole % 3600 / 60);
    return out;
}

#include "base/error.h"

#include <stdio.h>
#include <string.h>

typedef struct status_row {
    const char *name;
    const char *sentence;
    int exit_status;
    int http_status;
    bool retryable;
} status_row;

static const status_row status_rows[] = {
#define KX_STATUS_ROW(id, value, name, exit_status, http_status, retryable, sentence)                        \
    [value] = {name, sentence, exit_status, http_status, retryable},
    KX_STATUS_LIST(KX_STATUS_ROW)
#undef KX_STATUS_ROW
};

static const status_row *row_of(kx_status status)
{
    size_t count = sizeof status_rows / sizeof status_rows[0];
    size_t index = (size_t)status < count ? (size_t)status : (size_t)KX_ERR_INTERNAL;
    return &status_rows[index];
}

const char *kx_status_name(kx_status status)
{
    return row_of(status)->name;
}

const char *kx_status_sentence(kx_status status)
{
    return row_of(status)->sentence;
}

int kx_status_exit(kx_status status)
{
    return row_of(status)->exit_status;
}

int kx_status_http(kx_status status)
{
    return row_of(status)->http_status;
}

int kx_status_retryable(kx_status status)
{
    return row_of(status)->retryable;
}

kx_status kx_error_set(kx_error *err, kx_status status, const char *file, int line, const char *format, ...)
{
    if (err->status != KX_OK) return err->status;
    err->status = status;
    err->file = file;
    err->line = line;
    va_list args;
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    return status;
}

void kx_error_prefix(kx_error *err, const char *format, ...)
{
    char old[sizeof err->message];
    memcpy(old, err->message, sizeof old);
    va_list args;
    va_start(args, format);
    int used = vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    if (used < 0 || (size_t)used >= sizeof err->message) return;
    snprintf(err->message + used, sizeof err->message - (size_t)used, ": %s", old);
}

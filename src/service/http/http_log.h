/* The access log: whole lines from any thread, written by a thread of its own, so that a log that cannot be
 * written holds nobody up. When too many lines are pending, new ones are dropped and counted. */
#pragma once

#include "base/error.h"

#include <stddef.h>

typedef struct kx_http_log kx_http_log;

kx_status kx_http_log_open(kx_http_log **log, int fd, kx_error *err);    /* `fd` stays the caller's */
void kx_http_log_close(kx_http_log *log);                                /* writes what is pending */
void kx_http_log_line(kx_http_log *log, const char *line, size_t bytes); /* with its line feed */

#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

void kx_log_warn(const kx_log *log, const char *format, ...)
{
    if (log == NULL || log->warn == NULL) return;
    char sentence[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    log->warn(log->user, sentence);
}

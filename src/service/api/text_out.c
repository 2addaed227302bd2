#include "service/api/text_out.h"

#include <stdio.h>

bool kx_text_add(kx_bytes *out, const char *format, ...)
{
    kx_error err = {0};
    uint8_t *where = NULL;
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    /* vsnprintf writes a terminator, which is then given back. */
    bool fits = length >= 0 && kx_bytes_grow(out, (size_t)length + 1, &where, &err) == KX_OK;
    if (fits) {
        vsnprintf((char *)where, (size_t)length + 1, format, again);
        out->size--;
    }
    va_end(again);
    va_end(args);
    return fits;
}

/* Text that is built piece by piece: metrics, events, pages. */
#pragma once

#include "base/bytes.h"

/* Appends; false when memory or the cap is out. */
__attribute__((format(printf, 2, 3))) bool kx_text_add(kx_bytes *out, const char *format, ...);

/* Time. Everything that asks what time it is asks here, so that tests can move it.
 *
 * Wall time is UTC and may jump; it is for what people and other machines see, and for what must survive a
 * restart (retention, retries). Monotonic time never jumps; it is for deadlines within one process.
 */
#pragma once

#include "base/error.h"

#include <stdint.h>

typedef struct kx_clock kx_clock;

/* `offset_file` NULL: the system's time. Otherwise wall time is the system's plus the seconds that the file
 * holds as a decimal number, read again whenever the file changes (for tests; a missing file is 0). */
kx_status kx_clock_open(kx_clock **clock, const char *offset_file, kx_error *err);
void kx_clock_close(kx_clock *clock);

int64_t kx_clock_wall_ns(kx_clock *clock); /* since 1970-01-01T00:00:00Z; from any thread */
int64_t kx_clock_monotonic_ms(void);

/* "2025-09-25T09:12:48.239112031Z": always nine digits. `text` has room for 31 bytes. */
#define KX_CLOCK_TEXT_BYTES 31
void kx_clock_format(int64_t wall_ns, char text[KX_CLOCK_TEXT_BYTES]);
/* RFC 3339 with any number of digits and any offset. Returns false when `text` is something else. */
int kx_clock_parse(const char *text, int64_t *wall_ns);

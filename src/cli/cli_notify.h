/* What a service tells systemd about itself: datagrams to the socket that NOTIFY_SOCKET names (sd_notify(3)).
 */
#pragma once

#include <stdint.h>

/* Sends "READY=1" or the like. Does nothing where nobody listens. */
void kx_cli_notify(const char *words);
/* How often "WATCHDOG=1" is expected, halved; 0: never. */
uint64_t kx_cli_watchdog_ms(void);

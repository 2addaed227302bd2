/* How webhooks are signed: HMAC-SHA256 over "{id}.{timestamp}.{raw body}". The key is the secret without its
 * "whsec_" in front, its characters as they are (they look like base64 and are not decoded). */
#pragma once

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

#define KX_WEBHOOK_SIGNATURE_BYTES 68 /* "v3," + 64 hex digits + terminator */

kx_status kx_webhook_sign(const char *secret, const char *id, int64_t timestamp_s, const void *body,
                          size_t bytes, char signature[KX_WEBHOOK_SIGNATURE_BYTES], kx_error *err);

#include "service/queue/webhook_signature.h"

#include "base/bytes.h"
#include "service/common/crypto.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char secret_prefix[] = "whsec_";

kx_status kx_webhook_sign(const char *secret, const char *id, int64_t timestamp_s, const void *body,
                          size_t bytes, char signature[KX_WEBHOOK_SIGNATURE_BYTES], kx_error *err)
{
    kx_status status = KX_OK;
    kx_bytes content = {.cap = bytes + 256};
    char front[128], hex[KX_SHA256_HEX];
    size_t prefix = strlen(secret_prefix);
    if (strncmp(secret, secret_prefix, prefix) == 0) secret += prefix;
    int length = snprintf(front, sizeof front, "%s.%" PRId64 ".", id, timestamp_s);
    KX_FAIL_IF(length < 0 || (size_t)length >= sizeof front, err, KX_ERR_INTERNAL,
               "the id of a webhook is too long to be signed");
    KX_TRY(kx_bytes_append(&content, front, (size_t)length, err));
    KX_TRY(kx_bytes_append(&content, body, bytes, err));
    kx_hmac_sha256(secret, strlen(secret), content.data, content.size, hex);
    snprintf(signature, KX_WEBHOOK_SIGNATURE_BYTES, "v3,%s", hex);
out:
    kx_bytes_free(&content);
    return status;
}

/* Hashes, random names and text forms of bytes, over OpenSSL's libcrypto. */
#pragma once

#include "base/bytes.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KX_SHA256_BYTES 32
#define KX_SHA256_HEX   65 /* with the terminator */

typedef struct kx_sha256 kx_sha256; /* a running hash */

kx_status kx_sha256_open(kx_sha256 **hash, kx_error *err);
void kx_sha256_add(kx_sha256 *hash, const void *data, size_t bytes);
void kx_sha256_close(kx_sha256 *hash,
                     char hex[KX_SHA256_HEX]); /* writes the hash and frees; `hex` may be NULL */

void kx_sha256_of(const void *data, size_t bytes, char hex[KX_SHA256_HEX]);
void kx_hmac_sha256(const void *key, size_t key_bytes, const void *data, size_t bytes,
                    char hex[KX_SHA256_HEX]);

/* Errors: KX_ERR_INTERNAL when the system gives no random bytes. */
kx_status kx_random_bytes(void *out, size_t bytes, kx_error *err);
/* `digits` lowercase hex digits and a terminator. */
kx_status kx_random_hex(char *out, size_t digits, kx_error *err);
bool kx_equal_in_constant_time(const void *a, const void *b, size_t bytes);

/* Standard base64 without line breaks, appended. */
kx_status kx_base64_encode(const void *data, size_t bytes, kx_bytes *out, kx_error *err);
/* Padding may be missing; white space is allowed. KX_ERR_INPUT names the first wrong byte. */
kx_status kx_base64_decode(const char *text, size_t length, kx_bytes *out, kx_error *err);

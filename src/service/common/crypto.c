#include "service/common/crypto.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

struct kx_sha256 {
    EVP_MD_CTX *context;
};

static void write_hex(const uint8_t *data, size_t bytes, char *hex)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < bytes; i++) {
        hex[2 * i] = digits[data[i] >> 4];
        hex[2 * i + 1] = digits[data[i] & 15];
    }
    hex[2 * bytes] = '\0';
}

kx_status kx_sha256_open(kx_sha256 **hash, kx_error *err)
{
    kx_status status = KX_OK;
    kx_sha256 *made = calloc(1, sizeof *made);
    KX_FAIL_IF(made == NULL, err, KX_ERR_MEMORY, "out of memory");
    made->context = EVP_MD_CTX_new();
    KX_FAIL_IF(made->context == NULL || EVP_DigestInit_ex(made->context, EVP_sha256(), NULL) != 1, err,
               KX_ERR_MEMORY, "out of memory for a hash");
    *hash = made;
    made = NULL;
out:
    kx_sha256_close(made, NULL);
    return status;
}

void kx_sha256_add(kx_sha256 *hash, const void *data, size_t bytes)
{
    EVP_DigestUpdate(hash->context, data, bytes);
}

void kx_sha256_close(kx_sha256 *hash, char hex[KX_SHA256_HEX])
{
    if (hash == NULL) return;
    if (hex != NULL) {
        uint8_t raw[EVP_MAX_MD_SIZE] = {0};
        EVP_DigestFinal_ex(hash->context, raw, NULL);
        write_hex(raw, KX_SHA256_BYTES, hex);
    }
    EVP_MD_CTX_free(hash->context);
    free(hash);
}

void kx_sha256_of(const void *data, size_t bytes, char hex[KX_SHA256_HEX])
{
    uint8_t raw[EVP_MAX_MD_SIZE] = {0};
    EVP_Digest(data, bytes, raw, NULL, EVP_sha256(), NULL);
    write_hex(raw, KX_SHA256_BYTES, hex);
}

void kx_hmac_sha256(const void *key, size_t key_bytes, const void *data, size_t bytes,
                    char hex[KX_SHA256_HEX])
{
    uint8_t raw[EVP_MAX_MD_SIZE] = {0};
    /* libcrypto takes a NULL key as "the one before". */
    HMAC(EVP_sha256(), key_bytes == 0 ? "" : key, (int)key_bytes, data, bytes, raw, NULL);
    write_hex(raw, KX_SHA256_BYTES, hex);
}

kx_status kx_random_bytes(void *out, size_t bytes, kx_error *err)
{
    kx_status status = KX_OK;
    KX_FAIL_IF(bytes > INT32_MAX || RAND_bytes(out, (int)bytes) != 1, err, KX_ERR_INTERNAL,
               "the system gives no random bytes");
out:
    return status;
}

kx_status kx_random_hex(char *out, size_t digits, kx_error *err)
{
    kx_status status = KX_OK;
    for (size_t done = 0; done < digits;) {
        uint8_t raw[32];
        char hex[2 * sizeof raw + 1];
        size_t count = digits - done < 2 * sizeof raw ? digits - done : 2 * sizeof raw;
        KX_TRY(kx_random_bytes(raw, sizeof raw, err));
        write_hex(raw, sizeof raw, hex);
        memcpy(out + done, hex, count);
        done += count;
    }
    out[digits] = '\0';
out:
    return status;
}

bool kx_equal_in_constant_time(const void *a, const void *b, size_t bytes)
{
    return CRYPTO_memcmp(a, b, bytes) == 0;
}

/* multipart/form-data, taken apart as its bytes arrive, strictly: CR LF only, no preamble, every part with a
 * name, nothing behind the end but white space. The caller's functions get the parts; each returns false to
 * stop. */
#pragma once

#include "service/http/http_head.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct kx_multipart kx_multipart;

typedef struct kx_part {
    const char *name;         /* unquoted, otherwise as it came */
    const char *filename;     /* "" where not announced */
    const char *content_type; /* "" likewise */
    bool is_file;             /* a file name was announced */
} kx_part;

typedef struct kx_multipart_calls {
    bool (*begin)(void *user, const kx_part *part);
    bool (*data)(void *user, const uint8_t *bytes, size_t size);
    bool (*end)(void *user);
    void *user;
} kx_multipart_calls;

/* From the Content-Type header. NULL: it is not multipart/form-data with a proper boundary (*refusal). */
kx_multipart *kx_multipart_open(const char *content_type, const kx_multipart_calls *calls,
                                kx_refusal *refusal);
void kx_multipart_close(kx_multipart *multipart);
/* False: broken (*refusal; its status is 0 when one of the caller's functions said no). */
bool kx_multipart_take(kx_multipart *multipart, const uint8_t *bytes, size_t size, kx_refusal *refusal);
/* Whether the closing boundary has been seen. */
bool kx_multipart_is_whole(const kx_multipart *multipart);

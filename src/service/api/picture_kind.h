/* What kind of picture some bytes are, by their first bytes: never by what a client says. */
#pragma once

#include <stddef.h>

typedef struct kx_picture_kind {
    const char *content_type; /* "image/png" */
    const char *suffix;       /* "png" */
} kx_picture_kind;

/* NULL: none that the engine reads. Twelve bytes are enough. */
const kx_picture_kind *kx_picture_kind_of(const void *head, size_t bytes);
/* By a content type or a file name's suffix, in whatever case; NULL: unknown. */
const kx_picture_kind *kx_picture_kind_named(const char *content_type, const char *filename);

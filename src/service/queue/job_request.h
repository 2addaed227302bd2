/* What a worker runs, as one plain record: every contract is parsed into it, and it is stored with the job as
 * JSON. */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "service/common/crypto.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct kx_job_image {
    const char *url;          /* to be fetched; NULL when it is a blob already */
    char blob[KX_SHA256_HEX]; /* "" until it is one */
} kx_job_image;

typedef struct kx_job_request {
    const char *prompt;
    kx_job_image images[KX_MAX_REFERENCES];
    size_t num_images_in;
    int width_px, height_px; /* 0, 0: not given */
    int steps;
    double guidance;
    uint64_t seed; /* drawn before the job is stored, so that a resumed job draws none */
    unsigned num_images;
    kx_picture_format format;
    int quality; /* 0: the default */
} kx_job_request;

/* NULL when memory is out. */
json_t *kx_job_request_to_json(const kx_job_request *request);
/* Strings live in `arena`. KX_ERR_INTERNAL for text that is not such a record. */
kx_status kx_job_request_parse(kx_job_request *request, const char *json, kx_arena *arena, kx_error *err);

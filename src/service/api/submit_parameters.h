/* The parameters of a submit. One table of rows drives what is read here, the catalogue's schema and OpenAPI
 * (parameters_schema.h), and so what the documents say. */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "service/api/api_models.h"

#include <jansson.h>
#include <stdint.h>

#define KX_SEED_LIMIT        2147483647LL /* the largest seed of the contract; a larger one wraps */
#define KX_IMAGES_LIMIT      4            /* output pictures of one job */
#define KX_PARAMETER_URL_MAX 8192         /* bytes of an URL */

/* What belongs to the loaded model. */
typedef struct kx_parameter_limits {
    int min_side_px, max_side_px;
    int default_steps;
    double default_guidance;
} kx_parameter_limits;

typedef enum kx_parameter_kind {
    KX_PARAMETER_TEXT = 0,
    KX_PARAMETER_PICTURES, /* array of strings */
    KX_PARAMETER_PICTURE,  /* one string */
    KX_PARAMETER_SIZE,     /* "W*H", "WxH", "N", N */
    KX_PARAMETER_SIDE,
    KX_PARAMETER_INTEGER,
    KX_PARAMETER_NUMBER,
    KX_PARAMETER_SEED,
    KX_PARAMETER_FORMAT,
    KX_PARAMETER_BOOLEAN,
    KX_PARAMETER_URL,
    KX_PARAMETER_KINDS
} kx_parameter_kind;

enum {
    KX_PARAMETER_REQUIRED = 1,
    KX_PARAMETER_API_ONLY = 2,    /* pages do not show it */
    KX_PARAMETER_UNLISTED = 4,    /* accepted, but not in the catalogue, which keeps the vendor's fields */
    KX_PARAMETER_OF_MULTI = 8,    /* listed where several pictures are taken */
    KX_PARAMETER_OF_SINGLE = 16,  /* listed where one picture is taken */
    KX_PARAMETER_OF_WEIGHTS = 32, /* the default is the loaded model's */
};

typedef struct kx_parameter {
    const char *name;
    kx_parameter_kind kind;
    unsigned flags;
    size_t place; /* in kx_parameters */
    double minimum, maximum, fallback;
    const char *description;
} kx_parameter;

/* What was asked for, checked. Strings are borrowed from the JSON that was read. */
typedef struct kx_parameters {
    const char *prompt;
    const char *pictures[KX_MAX_REFERENCES];
    size_t num_pictures;
    const char *pictures_field; /* "images" or "image": where they stood; NULL without pictures */
    kx_size size;               /* 0, 0: not given; `size`, or `width` and `height` */
    int64_t width, height;
    int64_t steps;
    double guidance;
    int64_t num_images;
    int64_t seed;   /* -1: to be drawn */
    int64_t format; /* kx_picture_format */
    bool base64, sync, safety_checker;
    const char *webhook; /* NULL: none */
    json_t *warnings;    /* array of strings */
    json_t *input;       /* the known fields as submitted, without pictures, which the caller puts there */
} kx_parameters;

const kx_parameter *kx_parameter_rows(size_t *count);
/* The default of a number; for rows with KX_PARAMETER_OF_WEIGHTS within the row's range. */
double kx_parameter_default(const kx_parameter *row, const kx_parameter_limits *limits);

/* KX_ERR_INPUT names the field, what is expected and what is found. Free with kx_parameters_free in any case.
 */
kx_status kx_parameters_read(kx_parameters *parameters, const json_t *body, const kx_api_model *model,
                             const kx_parameter_limits *limits, kx_error *err);
void kx_parameters_free(kx_parameters *parameters);

/* num_images of inputs that may be incomplete or, NULL or null, absent: what a price needs. */
kx_status kx_parameters_read_num_images(const json_t *inputs, int64_t *num_images, kx_error *err);

/* "W*H", "WxH", "WXH" or "N" of digits alone; false for anything else. */
bool kx_size_parse(const char *text, kx_size *size);

/* The models that the contract names. All run the one model that is loaded; they differ in price and in how
 * many pictures they take. */
#pragma once

#include "service/common/settings.h"

#include <stddef.h>

typedef struct kx_api_model {
    const char *id;
    const char *description;
    unsigned max_pictures;
    int sort_order; /* lists are sorted by it, ascending */
    size_t price;   /* where kx_settings holds it */
} kx_api_model;

const kx_api_model *kx_api_models(size_t *count);
/* NULL: none has that name. */
const kx_api_model *kx_api_model_find(const char *id);
/* Of one output picture, in micro-dollars. */
int64_t kx_api_model_price(const kx_api_model *model, const kx_settings *settings);

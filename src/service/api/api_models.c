#include "service/api/api_models.h"

#include <string.h>

#define KX_PRICE(member) offsetof(kx_settings, member)

static const kx_api_model models[] = {
    {"wavespeed-ai/flux-kontext-dev/multi",
     "FLUX.1 Kontext [dev] with up to four reference pictures: edits by instruction, and new pictures that "
     "keep people, products and styles of the references.",
     4, 100, KX_PRICE(price_multi_micro)},
    {"wavespeed-ai/flux-kontext-dev/multi-ultra-fast",
     "The same as wavespeed-ai/flux-kontext-dev/multi, at a price of its own. No accelerated setting exists "
     "on this server yet: it takes the same steps and the same time.",
     4, 200, KX_PRICE(price_ultra_fast_micro)},
    {"wavespeed-ai/flux-kontext-dev",
     "FLUX.1 Kontext [dev] with one reference picture: edits by instruction.", 1, 300,
     KX_PRICE(price_single_micro)},
};

const kx_api_model *kx_api_models(size_t *count)
{
    *count = sizeof models / sizeof models[0];
    return models;
}

const kx_api_model *kx_api_model_find(const char *id)
{
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++)
        if (strcmp(models[i].id, id) == 0) return &models[i];
    return NULL;
}

int64_t kx_api_model_price(const kx_api_model *model, const kx_settings *settings)
{
    int64_t price = 0;
    memcpy(&price, (const char *)settings + model->price, sizeof price);
    return price;
}

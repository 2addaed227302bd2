#include "engine/formats/configs.h"

#include "base/file.h"
#include "base/json_file.h"
#include "base/limits.h"

#include <math.h>
#include <string.h>

enum { TOKEN_PX = 16 }; /* side of the square that one token stands for */

/* One file being read. */
typedef struct reader {
    const json_t *root;
    const char *path;
    kx_arena *arena;
} reader;

/* NULL when the key is absent or null. */
static const json_t *member(const reader *r, const char *key)
{
    const json_t *value = json_object_get(r->root, key);
    return json_is_null(value) ? NULL : value;
}

static kx_status read_int(const reader *r, const char *key, int64_t low, int64_t high, kx_known_int *out,
                          kx_error *err)
{
    kx_status status = KX_OK;
    const json_t *value = member(r, key);
    if (value == NULL) goto out;
    KX_FAIL_IF(!json_is_integer(value), err, KX_ERR_MODEL, "%s: %s must be a whole number, found %s", r->path,
               key, kx_json_kind(value));
    int64_t number = json_integer_value(value);
    KX_FAIL_IF(number < low || number > high, err, KX_ERR_MODEL, "%s: %s is %lld, %lld to %lld is expected",
               r->path, key, (long long)number, (long long)low, (long long)high);
    *out = (kx_known_int){number, true};
out:
    return status;
}

static kx_status read_real(const reader *r, const char *key, double low, double high, kx_known_real *out,
                           kx_error *err)
{
    kx_status status = KX_OK;
    const json_t *value = member(r, key);
    if (value == NULL) goto out;
    KX_FAIL_IF(!json_is_number(value), err, KX_ERR_MODEL, "%s: %s must be a number, found %s", r->path, key,
               kx_json_kind(value));
    double number = json_number_value(value);
    KX_FAIL_IF(!(number >= low && number <= high), err, KX_ERR_MODEL, "%s: %s is %g, %g to %g is expected",
               r->path, key, number, low, high);
    *out = (kx_known_real){number, true};
out:
    return status;
}

static kx_status read_flag(const reader *r, const char *key, kx_known_flag *out, kx_error *err)
{
    kx_status status = KX_OK;
    const json_t *value = member(r, key);
    if (value == NULL) goto out;
    KX_FAIL_IF(!json_is_boolean(value), err, KX_ERR_MODEL, "%s: %s must be true or false, found %s", r->path,
               key, kx_json_kind(value));
    *out = (kx_known_flag){json_is_true(value), true};
out:
    return status;
}

/* A text of at most 200 bytes; *out stays as it is when the key is absent. */
static kx_status read_text(const reader *r, const char *key, const char **out, kx_error *err)
{
    kx_status status = KX_OK;
    const json_t *value = member(r, key);
    if (value == NULL) goto out;
    KX_FAIL_IF(!json_is_string(value), err, KX_ERR_MODEL, "%s: %s must be a string, found %s", r->path, key,
               kx_json_kind(value));
    KX_FAIL_IF(json_string_length(value) > 200, err, KX_ERR_MODEL, "%s: %s has %zu bytes, the limit is 200",
               r->path, key, json_string_length(value));
    char *copy;
    KX_TRY(kx_arena_copy_text(r->arena, json_string_value(value), json_string_length(value), &copy, err));
    *out = copy;
out:
    return status;
}

/* When the key is there, its text must be one of `choices` (ended by NULL); the index goes to *chosen, -1 if
 * absent. */
static kx_status read_choice(const reader *r, const char *key, const char *const *choices, int *chosen,
                             kx_error *err)
{
    kx_status status = KX_OK;
    const char *text = NULL;
    *chosen = -1;
    KX_TRY(read_text(r, key, &text, err));
    if (text == NULL) goto out;
    for (int i = 0; choices[i] != NULL && *chosen < 0; i++) {
        if (strcmp(choices[i], text) == 0) *chosen = i;
    }
    KX_FAIL_IF(*chosen < 0, err, KX_ERR_MODEL, "%s: %s is \"%s\", \"%s\" is expected", r->path, key, text,
               choices[0]);
out:
    return status;
}

static kx_status need_text(const reader *r, const char *key, const char *expected, kx_error *err)
{
    int chosen;
    return read_choice(r, key, (const char *const[]){expected, NULL}, &chosen, err);
}

/* A switch for something that is not implemented: absent, null or `expected`. */
static kx_status need_flag(const reader *r, const char *key, bool expected, kx_error *err)
{
    kx_status status = KX_OK;
    kx_known_flag flag = {expected, false};
    KX_TRY(read_flag(r, key, &flag, err));
    KX_FAIL_IF(flag.value != expected, err, KX_ERR_MODEL, "%s: %s is %s, which is not supported", r->path,
               key, flag.value ? "true" : "false");
out:
    return status;
}

static kx_status read_axes(const reader *r, kx_transformer_json *config, kx_error *err)
{
    kx_status status = KX_OK;
    const json_t *list = member(r, "axes_dims_rope");
    if (list == NULL) goto out;
    KX_FAIL_IF(json_array_size(list) != KX_CONFIG_AXES, err, KX_ERR_MODEL,
               "%s: axes_dims_rope must be a list of %d numbers", r->path, KX_CONFIG_AXES);
    int64_t sum = 0;
    for (size_t i = 0; i < KX_CONFIG_AXES; i++) {
        const json_t *value = json_array_get(list, i);
        int64_t dim = json_is_integer(value) ? json_integer_value(value) : -1;
        KX_FAIL_IF(dim < 2 || dim > 1024 || dim % 2 != 0, err, KX_ERR_MODEL,
                   "%s: axes_dims_rope must hold even numbers from 2 to 1024", r->path);
        config->axes_dims_rope[i] = (int)dim;
        sum += dim;
    }
    KX_FAIL_IF(config->attention_head_dim.known && sum != config->attention_head_dim.value, err, KX_ERR_MODEL,
               "%s: axes_dims_rope sums to %lld, attention_head_dim is %lld", r->path, (long long)sum,
               (long long)config->attention_head_dim.value);
    config->axes_known = true;
out:
    return status;
}

static kx_status read_transformer(const reader *r, kx_transformer_json *config, kx_error *err)
{
    kx_status status = KX_OK;
    kx_known_int patch = {0};
    KX_TRY(need_text(r, "_class_name", "FluxTransformer2DModel", err));
    KX_TRY(read_int(r, "num_attention_heads", 1, 1024, &config->num_attention_heads, err));
    KX_TRY(read_int(r, "attention_head_dim", 2, 1024, &config->attention_head_dim, err));
    KX_TRY(read_int(r, "in_channels", 1, 65536, &config->in_channels, err));
    KX_TRY(read_int(r, "patch_size", 1, 1, &patch, err));
    KX_TRY(read_flag(r, "guidance_embeds", &config->guidance_embeds, err));
    KX_TRY(read_axes(r, config, err));
out:
    return status;
}

static kx_status read_vae(const reader *r, kx_vae_json *config, kx_error *err)
{
    kx_status status = KX_OK;
    KX_TRY(need_text(r, "_class_name", "AutoencoderKL", err));
    KX_TRY(need_text(r, "act_fn", "silu", err));
    KX_TRY(need_flag(r, "use_quant_conv", false, err));
    KX_TRY(need_flag(r, "use_post_quant_conv", false, err));
    KX_TRY(need_flag(r, "mid_block_add_attention", true, err));
    KX_TRY(read_int(r, "norm_num_groups", 1, 1024, &config->norm_num_groups, err));
    KX_TRY(read_int(r, "layers_per_block", 1, 16, &config->layers_per_block, err));
    KX_TRY(read_int(r, "latent_channels", 1, 1024, &config->latent_channels, err));
    KX_TRY(read_real(r, "scaling_factor", 1e-6, 1e6, &config->scaling_factor, err));
    KX_TRY(read_real(r, "shift_factor", -1e6, 1e6, &config->shift_factor, err));
out:
    return status;
}

static kx_status read_clip(const reader *r, kx_clip_json *config, kx_error *err)
{
    kx_status status = KX_OK;
    int act;
    KX_TRY(read_int(r, "num_attention_heads", 1, 1024, &config->num_attention_heads, err));
    KX_TRY(read_int(r, "eos_token_id", 0, 1 << 24, &config->eos_token_id, err));
    KX_TRY(read_int(r, "max_position_embeddings", 2, 65536, &config->max_position_embeddings, err));
    KX_TRY(read_real(r, "layer_norm_eps", 1e-12, 1, &config->layer_norm_eps, err));
    KX_TRY(read_choice(r, "hidden_act", (const char *const[]){"quick_gelu", "gelu", NULL}, &act, err));
    config->exact_gelu = act == 1;
out:
    return status;
}

static kx_status read_t5(const reader *r, kx_t5_json *config, kx_error *err)
{
    kx_status status = KX_OK;
    int act;
    KX_TRY(need_text(r, "feed_forward_proj", "gated-gelu", err));
    KX_TRY(need_flag(r, "is_gated_act", true, err));
    /* Three words for the tanh form: transformers turns "gated-gelu" into gelu_new whatever dense_act_fn
     * says. */
    KX_TRY(read_choice(r, "dense_act_fn",
                       (const char *const[]){"gelu_pytorch_tanh", "gelu_new", "gelu", NULL}, &act, err));
    KX_FAIL_IF(act == 2 && member(r, "feed_forward_proj") == NULL, err, KX_ERR_MODEL,
               "%s: dense_act_fn is \"gelu\", \"gelu_pytorch_tanh\" is expected", r->path);
    KX_TRY(read_int(r, "num_heads", 1, 1024, &config->num_heads, err));
    KX_TRY(read_int(r, "d_kv", 1, 1024, &config->d_kv, err));
    KX_TRY(read_int(r, "relative_attention_max_distance", 2, 1 << 20,
                    &config->relative_attention_max_distance, err));
    KX_TRY(read_real(r, "layer_norm_epsilon", 1e-12, 1, &config->layer_norm_epsilon, err));
out:
    return status;
}

static kx_status read_scheduler(const reader *r, kx_scheduler_json *config, kx_error *err)
{
    kx_status status = KX_OK;
    static const char *const off[] = {"invert_sigmas", "use_karras_sigmas", "use_exponential_sigmas",
                                      "use_beta_sigmas", "stochastic_sampling"};
    KX_TRY(need_text(r, "_class_name", "FlowMatchEulerDiscreteScheduler", err));
    KX_TRY(need_text(r, "time_shift_type", "exponential", err));
    for (size_t i = 0; i < sizeof off / sizeof *off; i++) KX_TRY(need_flag(r, off[i], false, err));
    KX_FAIL_IF(member(r, "shift_terminal") != NULL, err, KX_ERR_MODEL,
               "%s: shift_terminal is set, which is not supported", r->path);
    KX_TRY(read_real(r, "base_shift", -100, 100, &config->base_shift, err));
    KX_TRY(read_real(r, "max_shift", -100, 100, &config->max_shift, err));
    KX_TRY(read_int(r, "base_image_seq_len", 1, 1 << 24, &config->base_image_seq_len, err));
    KX_TRY(read_int(r, "max_image_seq_len", 1, 1 << 24, &config->max_image_seq_len, err));
    KX_FAIL_IF(config->base_image_seq_len.value >= config->max_image_seq_len.value, err, KX_ERR_MODEL,
               "%s: base_image_seq_len is %lld, less than max_image_seq_len (%lld) is expected", r->path,
               (long long)config->base_image_seq_len.value, (long long)config->max_image_seq_len.value);
    KX_TRY(read_real(r, "shift", 1e-3, 1e3, &config->shift, err));
    KX_TRY(read_flag(r, "use_dynamic_shifting", &config->use_dynamic_shifting, err));
    KX_TRY(read_int(r, "num_train_timesteps", 1, 1000000, &config->num_train_timesteps, err));
out:
    return status;
}

static int64_t element(const json_t *list, size_t index)
{
    const json_t *value = json_array_get(list, index);
    return json_is_integer(value) ? json_integer_value(value) : -1;
}

/* The published sizes stand where the file gives none; they must fit the file's own limits then. */
static kx_status check_published(const reader *r, const kx_kontext_json *config, kx_error *err)
{
    kx_status status = KX_OK;
    for (size_t i = 0; i < config->num_preferred_sizes; i++) {
        kx_size size = config->preferred_sizes[i];
        KX_FAIL_IF(size.width_px < config->min_side.value || size.width_px > config->max_side.value, err,
                   KX_ERR_MODEL,
                   "%s: min_side %lld and max_side %lld exclude the published size %dx%d, so preferred_sizes "
                   "must be given",
                   r->path, (long long)config->min_side.value, (long long)config->max_side.value,
                   size.width_px, size.height_px);
    }
out:
    return status;
}

static kx_status read_preferred(const reader *r, kx_kontext_json *config, kx_error *err)
{
    kx_status status = KX_OK;
    const json_t *list = member(r, "preferred_sizes");
    if (list == NULL) return check_published(r, config, err);
    size_t count = json_array_size(list);
    KX_FAIL_IF(count < 1 || count > KX_CONFIG_PREFERRED_MAX, err, KX_ERR_MODEL,
               "%s: preferred_sizes must be a list of 1 to %d sizes", r->path, KX_CONFIG_PREFERRED_MAX);
    int64_t low = config->min_side.value, high = config->max_side.value;
    for (size_t i = 0; i < count; i++) {
        const json_t *pair = json_array_get(list, i);
        int64_t width = element(pair, 0), height = element(pair, 1);
        KX_FAIL_IF(json_array_size(pair) != 2 || width < low || width > high || width % TOKEN_PX != 0 ||
                       height < low || height > high || height % TOKEN_PX != 0,
                   err, KX_ERR_MODEL,
                   "%s: preferred_sizes[%zu] must be [width,height], multiples of %d from %lld to %lld",
                   r->path, i, TOKEN_PX, (long long)low, (long long)high);
        config->preferred_sizes[i] = (kx_size){(int)width, (int)height};
    }
    config->num_preferred_sizes = count;
    config->preferred_known = true;
out:
    return status;
}

static kx_status read_kontext(const reader *r, kx_kontext_json *config, kx_error *err)
{
    kx_status status = KX_OK;
    int64_t low = KX_LIMIT_SIDE_MIN_PX, high = KX_LIMIT_SIDE_MAX_PX;
    KX_TRY(read_text(r, "name", &config->name, err));
    KX_TRY(read_text(r, "licence", &config->licence, err));
    KX_TRY(read_text(r, "family", &config->family, err));
    KX_TRY(read_int(r, "native_area", TOKEN_PX * TOKEN_PX, high * high, &config->native_area, err));
    KX_TRY(read_int(r, "min_side", low, high, &config->min_side, err));
    KX_TRY(read_int(r, "max_side", config->min_side.value, high, &config->max_side, err));
    KX_TRY(read_preferred(r, config, err));
    KX_TRY(read_int(r, "max_text_tokens", 1, 4096, &config->max_text_tokens, err));
    KX_TRY(read_int(r, "default_steps", 1, KX_LIMIT_STEPS_MAX, &config->default_steps, err));
    KX_TRY(read_real(r, "default_guidance", 0, KX_LIMIT_GUIDANCE_MAX, &config->default_guidance, err));
out:
    return status;
}

kx_status kx_config_read(kx_configs *configs, kx_config_kind kind, const json_t *root, const char *path,
                         kx_arena *arena, kx_error *err)
{
    kx_status status = KX_OK;
    reader r = {root, path, arena};
    KX_FAIL_IF(!json_is_object(root), err, KX_ERR_MODEL, "%s: expected an object, found %s", path,
               kx_json_kind(root));
    switch (kind) {
    case KX_CONFIG_TRANSFORMER:
        return read_transformer(&r, &configs->transformer, err);
    case KX_CONFIG_VAE:
        return read_vae(&r, &configs->vae, err);
    case KX_CONFIG_CLIP:
        return read_clip(&r, &configs->clip, err);
    case KX_CONFIG_T5:
        return read_t5(&r, &configs->t5, err);
    case KX_CONFIG_SCHEDULER:
        return read_scheduler(&r, &configs->scheduler, err);
    case KX_CONFIG_KONTEXT:
        return read_kontext(&r, &configs->kontext, err);
    default:
        return read_text(&r, "_class_name", &configs->pipeline_class, err);
    }
out:
    return status;
}

kx_status kx_config_load(kx_configs *configs, kx_config_kind kind, const char *path, kx_arena *arena,
                         kx_error *err)
{
    kx_status status = KX_OK;
    json_t *root = NULL;
    if (!kx_file_exists(path)) return KX_OK;
    KX_TRY(kx_json_file_load(&root, path, KX_LIMIT_CONFIG_BYTES, KX_ERR_MODEL, err));
    KX_TRY(kx_config_read(configs, kind, root, path, arena, err));
out:
    json_decref(root);
    return status;
}

/* Specification 1.1. */
static const kx_size flux_preferred_sizes[] = {
    {672, 1568}, {688, 1504}, {720, 1456},  {752, 1392}, {800, 1328}, {832, 1248},
    {880, 1184}, {944, 1104}, {1024, 1024}, {1104, 944}, {1184, 880}, {1248, 832},
    {1328, 800}, {1392, 752}, {1456, 720},  {1504, 688}, {1568, 672},
};

void kx_configs_default(kx_configs *configs)
{
    *configs = (kx_configs){
        .transformer.guidance_embeds.value = true,
        .vae = {.norm_num_groups.value = 32, .scaling_factor.value = 0.3611, .shift_factor.value = 0.1159},
        .clip = {.eos_token_id.value = 2, .layer_norm_eps.value = 1e-5},
        .t5 = {.relative_attention_max_distance.value = 128, .layer_norm_epsilon.value = 1e-6},
        .scheduler = {.base_shift.value = 0.5,
                      .max_shift.value = 1.15,
                      .base_image_seq_len.value = 256,
                      .max_image_seq_len.value = 4096,
                      .shift.value = 3,
                      .use_dynamic_shifting.value = true,
                      .num_train_timesteps.value = 1000},
        .kontext = {.native_area.value = 1024 * 1024,
                    .num_preferred_sizes = sizeof flux_preferred_sizes / sizeof *flux_preferred_sizes,
                    .min_side.value = KX_LIMIT_SIDE_MIN_PX,
                    .max_side.value = KX_LIMIT_SIDE_MAX_PX,
                    .max_text_tokens.value = 512,
                    .default_steps.value = 28,
                    .default_guidance.value = 2.5},
    };
    memcpy(configs->kontext.preferred_sizes, flux_preferred_sizes, sizeof flux_preferred_sizes);
}

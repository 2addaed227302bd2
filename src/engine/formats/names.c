#include "engine/formats/names.h"

#include "engine/formats/checksum.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In a rule, `#` is a number, `^` the same number counted from the other end (levels - 1 - number), and `*`
 * the rest of the name. The first rule that fits applies. */
typedef struct rule {
    const char *canonical;
    const char *sources[KX_NAME_MAX_SOURCES];
    bool swap_halves;
} rule;

#define T "transformer_blocks.#."
#define S "single_transformer_blocks.#."
static const rule transformer_diffusers[] = {
    {"img_in.*", {"x_embedder.*"}, false},
    {"txt_in.*", {"context_embedder.*"}, false},
    {"time_in.in_layer.*", {"time_text_embed.timestep_embedder.linear_1.*"}, false},
    {"time_in.out_layer.*", {"time_text_embed.timestep_embedder.linear_2.*"}, false},
    {"guidance_in.in_layer.*", {"time_text_embed.guidance_embedder.linear_1.*"}, false},
    {"guidance_in.out_layer.*", {"time_text_embed.guidance_embedder.linear_2.*"}, false},
    {"vector_in.in_layer.*", {"time_text_embed.text_embedder.linear_1.*"}, false},
    {"vector_in.out_layer.*", {"time_text_embed.text_embedder.linear_2.*"}, false},
    {"double_blocks.#.img_mod.lin.*", {T "norm1.linear.*"}, false},
    {"double_blocks.#.txt_mod.lin.*", {T "norm1_context.linear.*"}, false},
    {"double_blocks.#.img_attn.qkv.*", {T "attn.to_q.*", T "attn.to_k.*", T "attn.to_v.*"}, false},
    {"double_blocks.#.txt_attn.qkv.*",
     {T "attn.add_q_proj.*", T "attn.add_k_proj.*", T "attn.add_v_proj.*"},
     false},
    {"double_blocks.#.img_attn.norm.query_norm.scale", {T "attn.norm_q.weight"}, false},
    {"double_blocks.#.img_attn.norm.key_norm.scale", {T "attn.norm_k.weight"}, false},
    {"double_blocks.#.txt_attn.norm.query_norm.scale", {T "attn.norm_added_q.weight"}, false},
    {"double_blocks.#.txt_attn.norm.key_norm.scale", {T "attn.norm_added_k.weight"}, false},
    {"double_blocks.#.img_attn.proj.*", {T "attn.to_out.0.*"}, false},
    {"double_blocks.#.txt_attn.proj.*", {T "attn.to_add_out.*"}, false},
    {"double_blocks.#.img_mlp.0.*", {T "ff.net.0.proj.*"}, false},
    {"double_blocks.#.img_mlp.2.*", {T "ff.net.2.*"}, false},
    {"double_blocks.#.txt_mlp.0.*", {T "ff_context.net.0.proj.*"}, false},
    {"double_blocks.#.txt_mlp.2.*", {T "ff_context.net.2.*"}, false},
    {"single_blocks.#.modulation.lin.*", {S "norm.linear.*"}, false},
    {"single_blocks.#.linear1.*", {S "attn.to_q.*", S "attn.to_k.*", S "attn.to_v.*", S "proj_mlp.*"}, false},
    {"single_blocks.#.norm.query_norm.scale", {S "attn.norm_q.weight"}, false},
    {"single_blocks.#.norm.key_norm.scale", {S "attn.norm_k.weight"}, false},
    {"single_blocks.#.linear2.*", {S "proj_out.*"}, false},
    /* diffusers stores [scale; shift], BFL [shift; scale] */
    {"final_layer.adaLN_modulation.1.*", {"norm_out.linear.*"}, true},
    {"final_layer.linear.*", {"proj_out.*"}, false},
    {NULL, {NULL}, false},
};
#undef T
#undef S

/* The middle blocks are the same in the encoder and the decoder. */
#define MIDDLE(half)                                                                                         \
    {half ".mid.block_1.*", {half ".mid_block.resnets.0.*"}, false},                                         \
        {half ".mid.block_2.*", {half ".mid_block.resnets.1.*"}, false},                                     \
        {half ".mid.attn_1.norm.*", {half ".mid_block.attentions.0.group_norm.*"}, false},                   \
        {half ".mid.attn_1.q.*", {half ".mid_block.attentions.0.to_q.*"}, false},                            \
        {half ".mid.attn_1.k.*", {half ".mid_block.attentions.0.to_k.*"}, false},                            \
        {half ".mid.attn_1.v.*", {half ".mid_block.attentions.0.to_v.*"}, false},                            \
        {half ".mid.attn_1.proj_out.*", {half ".mid_block.attentions.0.to_out.0.*"}, false},                 \
        {half ".conv_in.*", {half ".conv_in.*"}, false}, {half ".conv_out.*", {half ".conv_out.*"}, false},  \
    {                                                                                                        \
        half ".norm_out.*", {half ".conv_norm_out.*"}, false                                                 \
    }
static const rule vae_diffusers[] = {
    MIDDLE("encoder"),
    MIDDLE("decoder"),
    {"encoder.down.#.block.#.nin_shortcut.*", {"encoder.down_blocks.#.resnets.#.conv_shortcut.*"}, false},
    {"encoder.down.#.block.#.*", {"encoder.down_blocks.#.resnets.#.*"}, false},
    {"encoder.down.#.downsample.conv.*", {"encoder.down_blocks.#.downsamplers.0.conv.*"}, false},
    {"decoder.up.#.block.#.nin_shortcut.*", {"decoder.up_blocks.^.resnets.#.conv_shortcut.*"}, false},
    {"decoder.up.#.block.#.*", {"decoder.up_blocks.^.resnets.#.*"}, false},
    {"decoder.up.#.upsample.conv.*", {"decoder.up_blocks.^.upsamplers.0.conv.*"}, false},
    {NULL, {NULL}, false},
};
#undef MIDDLE

static const rule identity[] = {{"*", {"*"}, false}, {NULL, {NULL}, false}};

/* Newer ComfyUI saves spell the norms' scales like any other weight. */
static const rule transformer_second_names[] = {
    {"double_blocks.#.img_attn.norm.query_norm.scale",
     {"double_blocks.#.img_attn.norm.query_norm.weight"},
     false},
    {"double_blocks.#.img_attn.norm.key_norm.scale",
     {"double_blocks.#.img_attn.norm.key_norm.weight"},
     false},
    {"double_blocks.#.txt_attn.norm.query_norm.scale",
     {"double_blocks.#.txt_attn.norm.query_norm.weight"},
     false},
    {"double_blocks.#.txt_attn.norm.key_norm.scale",
     {"double_blocks.#.txt_attn.norm.key_norm.weight"},
     false},
    {"single_blocks.#.norm.query_norm.scale", {"single_blocks.#.norm.query_norm.weight"}, false},
    {"single_blocks.#.norm.key_norm.scale", {"single_blocks.#.norm.key_norm.weight"}, false},
    {NULL, {NULL}, false},
};
static const rule t5_second_names[] = {
    {"shared.weight", {"encoder.embed_tokens.weight"}, false},
    {NULL, {NULL}, false},
};
static const rule no_rules[] = {{NULL, {NULL}, false}};

/* What a match took out of the canonical name. */
typedef struct capture {
    int numbers[2];
    int count;
    const char *rest;
} capture;

static bool match(const char *pattern, const char *name, capture *taken)
{
    *taken = (capture){0};
    for (; *pattern != '\0'; pattern++) {
        if (*pattern == '*') {
            taken->rest = name;
            return *name != '\0';
        }
        if (*pattern == '#') {
            int number = 0, digits = 0;
            for (; *name >= '0' && *name <= '9' && digits < 5; digits++)
                number = 10 * number + (*name++ - '0');
            if (digits == 0) return false;
            taken->numbers[taken->count++] = number;
        } else if (*name++ != *pattern) {
            return false;
        }
    }
    return *name == '\0';
}

/* False when the name would be too long, or counts below zero. */
static bool fill(const char *pattern, const capture *taken, int levels, char *out)
{
    size_t used = 0, room = KX_LIMIT_TENSOR_NAME_BYTES + 1;
    int next = 0;
    for (; *pattern != '\0' && used < room; pattern++) {
        if (*pattern == '#' || *pattern == '^') {
            int number = taken->numbers[next++];
            if (*pattern == '^') number = levels - 1 - number;
            if (number < 0) return false;
            used += (size_t)snprintf(out + used, room - used, "%d", number);
        } else if (*pattern == '*') {
            used += (size_t)snprintf(out + used, room - used, "%s", taken->rest);
        } else {
            out[used++] = *pattern;
        }
    }
    if (used >= room) return false;
    out[used] = '\0';
    return true;
}

static const rule *rules_of(kx_part_kind kind, kx_dialect dialect, int alternative)
{
    if (dialect == KX_DIALECT_DIFFUSERS) {
        if (alternative > 0) return no_rules;
        return kind == KX_PART_VAE ? vae_diffusers : transformer_diffusers;
    }
    if (alternative == 0) return identity;
    if (kind == KX_PART_TRANSFORMER) return transformer_second_names;
    return kind == KX_PART_T5 ? t5_second_names : no_rules;
}

bool kx_names_recipe(kx_part_kind kind, kx_dialect dialect, int vae_levels, const char *canonical,
                     int alternative, kx_name_recipe *recipe)
{
    capture taken;
    const rule *r = rules_of(kind, dialect, alternative);
    while (r->canonical != NULL && !match(r->canonical, canonical, &taken)) r++;
    if (r->canonical == NULL) return false;
    recipe->swap_halves = r->swap_halves;
    recipe->count = 0;
    for (int i = 0; i < KX_NAME_MAX_SOURCES && r->sources[i] != NULL; i++) {
        if (!fill(r->sources[i], &taken, vae_levels, recipe->names[i])) return false;
        recipe->count++;
    }
    return true;
}

const char *kx_part_kind_name(kx_part_kind kind)
{
    static const char *const names[KX_PART_COUNT] = {"transformer", "vae", "clip", "t5"};
    return names[kind];
}

const char *kx_dialect_name(kx_dialect dialect)
{
    static const char *const names[] = {"bfl", "hf", "comfyui", "diffusers"};
    return names[dialect];
}

/* ---- Recognition -------------------------------------------------------------------------------------- */

enum { MAX_MARKS = 4, MAX_PREFIXES = 12 };

/* Any one of the marks is enough, so that a file that lacks one of them is known for what it is and the
 * missing tensor is named. LoRA files have none of them: their names go on behind ".weight"'s place. */
static const struct {
    const char *prefixes[MAX_PREFIXES];
    const char *canonical[MAX_MARKS];
    const char *diffusers[MAX_MARKS];
} part_rows[KX_PART_COUNT] = {
    [KX_PART_TRANSFORMER] = {{"", "model.diffusion_model.", "diffusion_model.", "model.", "net."},
                             {"img_in.weight", "double_blocks.0.img_attn.qkv.weight",
                              "double_blocks.0.img_attn.proj.weight", "single_blocks.0.linear1.weight"},
                             {"x_embedder.weight", "transformer_blocks.0.attn.to_q.weight",
                              "single_transformer_blocks.0.attn.to_q.weight"}},
    [KX_PART_VAE] = {{"", "vae.", "first_stage_model."},
                     {"encoder.down.0.block.0.conv1.weight", "encoder.mid.block_1.conv1.weight",
                      "decoder.up.0.block.0.conv1.weight", "decoder.mid.block_1.conv1.weight"},
                     {"encoder.down_blocks.0.resnets.0.conv1.weight",
                      "encoder.mid_block.resnets.0.conv1.weight",
                      "decoder.up_blocks.0.resnets.0.conv1.weight",
                      "decoder.mid_block.resnets.0.conv1.weight"}},
    [KX_PART_CLIP] = {{"text_model.", "", "text_encoders.clip_l.transformer.text_model.",
                       "text_encoders.clip_l.transformer.", "clip_l.transformer.text_model.",
                       "clip_l.transformer.", "cond_stage_model.transformer.text_model.",
                       "cond_stage_model.transformer.", "te1.text_model.", "te1."},
                      {"embeddings.token_embedding.weight", "embeddings.position_embedding.weight",
                       "encoder.layers.0.self_attn.q_proj.weight"},
                      {NULL}},
    [KX_PART_T5] = {{"", "text_encoders.t5xxl.transformer.", "t5xxl.transformer."},
                    {"shared.weight", "encoder.block.0.layer.0.SelfAttention.q.weight",
                     "encoder.embed_tokens.weight"},
                    {NULL}},
};

static bool has_tensor(const kx_safetensors *const *files, size_t num_files, const char *prefix,
                       const char *name)
{
    char full[KX_LIMIT_TENSOR_NAME_BYTES + 1];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    for (size_t i = 0; i < num_files; i++) {
        if (kx_safetensors_find(files[i], full) != NULL) return true;
    }
    return false;
}

static bool has_mark(const kx_safetensors *const *files, size_t num_files, const char *prefix,
                     const char *const marks[MAX_MARKS])
{
    for (int i = 0; i < MAX_MARKS && marks[i] != NULL; i++) {
        if (has_tensor(files, num_files, prefix, marks[i])) return true;
    }
    return false;
}

static kx_part_sign sign_of(kx_part_kind kind, const char *prefix, bool diffusers)
{
    kx_part_sign sign = {.present = true};
    bool bare = prefix[0] == '\0' || strcmp(prefix, "text_model.") == 0;
    if (diffusers) {
        sign.dialect = KX_DIALECT_DIFFUSERS;
    } else if (!bare) {
        sign.dialect = KX_DIALECT_COMFYUI;
    } else {
        sign.dialect = kind == KX_PART_CLIP || kind == KX_PART_T5 ? KX_DIALECT_HF : KX_DIALECT_BFL;
    }
    snprintf(sign.prefix, sizeof sign.prefix, "%s", prefix);
    return sign;
}

void kx_names_recognise(const kx_safetensors *const *files, size_t num_files,
                        kx_part_sign signs[KX_PART_COUNT])
{
    for (int kind = 0; kind < KX_PART_COUNT; kind++) {
        signs[kind] = (kx_part_sign){0};
        for (int i = 0; i < MAX_PREFIXES && !signs[kind].present; i++) {
            const char *prefix = part_rows[kind].prefixes[i];
            if (prefix == NULL) break;
            bool canonical = has_mark(files, num_files, prefix, part_rows[kind].canonical);
            if (canonical || has_mark(files, num_files, prefix, part_rows[kind].diffusers))
                signs[kind] = sign_of((kx_part_kind)kind, prefix, !canonical);
        }
    }
}

static bool starts_with(const char *name, const char *start)
{
    return strncmp(name, start, strlen(start)) == 0;
}

/* `tail` is the end of `name`, from the beginning of a component. */
static bool ends_with(const char *name, const char *tail)
{
    size_t length = strlen(name), tail_length = strlen(tail);
    if (length < tail_length || strcmp(name + length - tail_length, tail) != 0) return false;
    return length == tail_length || name[length - tail_length - 1] == '.';
}

bool kx_names_is_ignored(kx_part_kind kind, const char *name)
{
    static const char *const tails[] = {
        "position_ids",    "text_projection.weight",
        "text_projection", "logit_scale",
        "spiece_model",    "scaled_fp8",
        "input_scale",     "scale_input",
        "comfy_quant",     KX_CHECKSUM_TENSOR,
    };
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        if (ends_with(name, tails[i])) return true;
    }
    if (kind == KX_PART_T5)
        return starts_with(name, "decoder.") || strcmp(name, "lm_head.weight") == 0 ||
               strcmp(name, "encoder.embed_tokens.weight") == 0;
    return kind == KX_PART_CLIP &&
           (starts_with(name, "vision_model.") || starts_with(name, "visual_projection."));
}

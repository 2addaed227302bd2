#include "formats_test_support.h"

#include "base/json_file.h"
#include "engine/formats/part.h"

#include <math.h>

/* ---- Names alone -------------------------------------------------------------------------------------- */

/* All canonical names of a transformer, handed to `visit`. */
static void each_transformer_name(int doubles, int singles, void (*visit)(void *, const char *),
                                  void *context)
{
    static const char *const outer[] = {"img_in",
                                        "txt_in",
                                        "time_in.in_layer",
                                        "time_in.out_layer",
                                        "guidance_in.in_layer",
                                        "guidance_in.out_layer",
                                        "vector_in.in_layer",
                                        "vector_in.out_layer",
                                        "final_layer.adaLN_modulation.1",
                                        "final_layer.linear"};
    static const char *const twice[] = {"img_mod.lin",   "txt_mod.lin",   "img_attn.qkv", "txt_attn.qkv",
                                        "img_attn.proj", "txt_attn.proj", "img_mlp.0",    "img_mlp.2",
                                        "txt_mlp.0",     "txt_mlp.2"};
    static const char *const norms[] = {"img_attn.norm.query_norm", "img_attn.norm.key_norm",
                                        "txt_attn.norm.query_norm", "txt_attn.norm.key_norm"};
    static const char *const once[] = {"modulation.lin", "linear1", "linear2"};
    static const char *const members[] = {"weight", "bias"};
    char name[256];
    for (int m = 0; m < 2; m++) {
        for (size_t i = 0; i < sizeof outer / sizeof *outer; i++) {
            snprintf(name, sizeof name, "%s.%s", outer[i], members[m]);
            visit(context, name);
        }
        for (int b = 0; b < doubles; b++) {
            for (size_t i = 0; i < sizeof twice / sizeof *twice; i++) {
                snprintf(name, sizeof name, "double_blocks.%d.%s.%s", b, twice[i], members[m]);
                visit(context, name);
            }
        }
        for (int b = 0; b < singles; b++) {
            for (size_t i = 0; i < sizeof once / sizeof *once; i++) {
                snprintf(name, sizeof name, "single_blocks.%d.%s.%s", b, once[i], members[m]);
                visit(context, name);
            }
        }
    }
    for (int b = 0; b < doubles; b++) {
        for (size_t i = 0; i < sizeof norms / sizeof *norms; i++) {
            snprintf(name, sizeof name, "double_blocks.%d.%s.scale", b, norms[i]);
            visit(context, name);
        }
    }
    for (int b = 0; b < singles; b++) {
        for (int i = 0; i < 2; i++) {
            snprintf(name, sizeof name, "single_blocks.%d.norm.%s_norm.scale", b, i == 0 ? "query" : "key");
            visit(context, name);
        }
    }
}

typedef struct name_count {
    json_t *left; /* names not yet met */
    size_t canonical;
} name_count;

static void strike_sources(void *context, const char *name)
{
    name_count *count = context;
    kx_name_recipe recipe;
    count->canonical++;
    if (!kx_names_recipe(KX_PART_TRANSFORMER, KX_DIALECT_DIFFUSERS, 0, name, 0, &recipe))
        fail_msg("no recipe for %s", name);
    for (int i = 0; i < recipe.count; i++) {
        if (json_object_del(count->left, recipe.names[i]) != 0)
            fail_msg("%s: source %s is not in the index, or was used before", name, recipe.names[i]);
    }
}

static void every_name_of_the_real_index_is_used_once(void **state)
{
    (void)state;
    kx_error err = {0};
    json_t *root;
    const char *path = test_shared_path(
        "models/flux1-dev-config/transformer/diffusion_pytorch_model.safetensors.index.json");
    assert_ok(kx_json_file_load(&root, path, 1 << 20, KX_ERR_MODEL, &err));
    name_count count = {.left = json_object_get(root, "weight_map")};
    assert_int_equal(json_object_size(count.left), 1160);
    each_transformer_name(19, 38, strike_sources, &count);
    assert_int_equal(count.canonical, 780);
    const char *name;
    json_t *value;
    json_object_foreach(count.left, name, value) fail_msg("%s belongs to no canonical name", name);
    json_decref(root);
}

static void assert_recipe(kx_part_kind kind, kx_dialect dialect, const char *canonical, int alternative,
                          const char *first)
{
    kx_name_recipe recipe;
    bool made = kx_names_recipe(kind, dialect, 4, canonical, alternative, &recipe);
    if (made != (first != NULL)) fail_msg("%s: a recipe is %s", canonical, made ? "made" : "not made");
    if (made) assert_string_equal(recipe.names[0], first);
}

static void recipes_follow_the_tables(void **state)
{
    (void)state;
    kx_part_kind vae = KX_PART_VAE, transformer = KX_PART_TRANSFORMER;
    kx_dialect diffusers = KX_DIALECT_DIFFUSERS, bfl = KX_DIALECT_BFL;
    assert_recipe(vae, diffusers, "decoder.up.3.block.0.conv1.bias", 0,
                  "decoder.up_blocks.0.resnets.0.conv1.bias");
    assert_recipe(vae, diffusers, "decoder.up.1.upsample.conv.weight", 0,
                  "decoder.up_blocks.2.upsamplers.0.conv.weight");
    assert_recipe(vae, diffusers, "decoder.up.4.block.0.conv1.bias", 0, NULL);
    assert_recipe(vae, diffusers, "encoder.down.2.block.0.nin_shortcut.weight", 0,
                  "encoder.down_blocks.2.resnets.0.conv_shortcut.weight");
    assert_recipe(vae, diffusers, "encoder.mid.attn_1.proj_out.weight", 0,
                  "encoder.mid_block.attentions.0.to_out.0.weight");
    assert_recipe(vae, diffusers, "encoder.norm_out.weight", 0, "encoder.conv_norm_out.weight");
    assert_recipe(vae, diffusers, "something.else", 0, NULL);
    assert_recipe(transformer, diffusers, "double_blocks.x.img_mod.lin.weight", 0, NULL);
    assert_recipe(transformer, diffusers, "double_blocks.7.img_mod.lin.", 0, NULL);
    assert_recipe(transformer, diffusers, "double_blocks.123456.img_mod.lin.weight", 0, NULL);
    assert_recipe(transformer, bfl, "single_blocks.3.norm.key_norm.scale", 0,
                  "single_blocks.3.norm.key_norm.scale");
    assert_recipe(transformer, bfl, "single_blocks.3.norm.key_norm.scale", 1,
                  "single_blocks.3.norm.key_norm.weight");
    assert_recipe(transformer, bfl, "img_in.weight", 1, NULL);
    assert_recipe(KX_PART_T5, KX_DIALECT_HF, "shared.weight", 1, "encoder.embed_tokens.weight");
    assert_recipe(KX_PART_CLIP, KX_DIALECT_HF, "final_layer_norm.weight", 1, NULL);
    char longest[400];
    memset(longest, 'n', sizeof longest);
    longest[399] = '\0';
    assert_recipe(transformer, bfl, longest, 0, NULL);
    memcpy(longest, "img_in.", 7);
    assert_recipe(transformer, diffusers, longest, 0, NULL);
}

/* ---- Parts of files ----------------------------------------------------------------------------------- */

typedef struct opened {
    kx_safetensors file;
    const kx_safetensors *files[1];
    kx_part_sign signs[KX_PART_COUNT];
    kx_part parts[KX_PART_COUNT];
    kx_arena arena;
} opened;

static kx_status open_parts(opened *o, const char *path, kx_error *err)
{
    kx_status status = KX_OK;
    *o = (opened){0};
    KX_TRY(kx_safetensors_open(&o->file, path, KX_ERR_MODEL, err));
    o->files[0] = &o->file;
    kx_names_recognise(o->files, 1, o->signs);
    for (int kind = 0; kind < KX_PART_COUNT; kind++) {
        if (!o->signs[kind].present) continue;
        KX_TRY(kx_part_open(&o->parts[kind], (kx_part_kind)kind, o->signs, o->files, 1, &o->arena, err));
    }
out:
    return status;
}

static void close_parts(opened *o)
{
    kx_safetensors_close(&o->file);
    kx_arena_free(&o->arena);
}

static kx_status find(opened *o, kx_part_kind kind, const char *name, kx_weight *weight, bool *found,
                      kx_error *err)
{
    const kx_weight_source *source = &o->parts[kind].source;
    return source->find(source->context, name, weight, found, err);
}

static kx_weight need(opened *o, kx_part_kind kind, const char *name)
{
    kx_error err = {0};
    kx_weight weight;
    bool found;
    assert_ok(find(o, kind, name, &weight, &found, &err));
    if (!found) fail_msg("%s is not found", name);
    return weight;
}

static float *read_all(const kx_weight *weight, size_t *count)
{
    *count = (size_t)(kx_weight_rows(weight) * kx_weight_cols(weight));
    float *values = malloc(*count * sizeof *values);
    kx_weight_read_f32(weight, values);
    return values;
}

static void assert_same(opened *a, opened *b, kx_part_kind kind, const char *name)
{
    kx_weight x = need(a, kind, name), y = need(b, kind, name);
    assert_int_equal(x.rank, y.rank);
    for (int i = 0; i < x.rank; i++) assert_int_equal(x.shape[i], y.shape[i]);
    size_t n, m;
    float *u = read_all(&x, &n), *v = read_all(&y, &m);
    assert_int_equal(n, m);
    if (memcmp(u, v, n * sizeof *u) != 0) fail_msg("%s differs between the layouts", name);
    free(u);
    free(v);
}

static void both_layouts_of_the_transformer_hold_the_same(void **state)
{
    (void)state;
    kx_error err = {0};
    opened bfl, diffusers;
    assert_ok(open_parts(&bfl, test_shared_path("golden/bfl-layout/tiny-bfl.safetensors"), &err));
    assert_ok(open_parts(
        &diffusers, test_shared_path("golden/tiny-diffusers/transformer/diffusion_pytorch_model.safetensors"),
        &err));
    assert_int_equal(bfl.parts[0].dialect, KX_DIALECT_BFL);
    assert_int_equal(diffusers.parts[0].dialect, KX_DIALECT_DIFFUSERS);
    assert_false(bfl.signs[1].present || bfl.signs[2].present || bfl.signs[3].present);
    assert_int_equal(bfl.parts[0].num_parameters, diffusers.parts[0].num_parameters);
    assert_int_equal(bfl.parts[0].num_bytes, 2 * bfl.parts[0].num_parameters);
    assert_int_equal(bfl.parts[0].num_tensors, 92);
    assert_int_equal(bfl.parts[0].dtype_tensors[KX_BF16], 92);
    for (size_t i = 0; i < bfl.file.num_tensors; i++)
        assert_same(&bfl, &diffusers, KX_PART_TRANSFORMER, bfl.file.tensors[i].name);
    assert_int_equal(need(&diffusers, KX_PART_TRANSFORMER, "single_blocks.0.linear1.weight").num_segments, 4);
    assert_ok(kx_part_check_extra(&bfl.parts[0], &err));
    assert_ok(kx_part_check_extra(&diffusers.parts[0], &err));
    /* The halves are swapped, not merely renamed. */
    kx_weight mod = need(&diffusers, KX_PART_TRANSFORMER, "final_layer.adaLN_modulation.1.bias");
    size_t n;
    float *values = read_all(&mod, &n);
    const kx_safetensors_tensor *raw = kx_safetensors_find(&diffusers.file, "norm_out.linear.bias");
    assert_true(values[0] == kx_dtype_get(raw->dtype, raw->data, n / 2));
    free(values);
    close_parts(&bfl);
    close_parts(&diffusers);
}

static void both_layouts_of_the_vae_hold_the_same(void **state)
{
    (void)state;
    kx_error err = {0};
    opened bfl, diffusers;
    assert_ok(open_parts(&bfl, test_shared_path("golden/bfl-layout/tiny-ae.safetensors"), &err));
    assert_ok(open_parts(
        &diffusers, test_shared_path("golden/tiny-diffusers/vae/diffusion_pytorch_model.safetensors"), &err));
    assert_int_equal(bfl.parts[KX_PART_VAE].dialect, KX_DIALECT_BFL);
    assert_int_equal(diffusers.parts[KX_PART_VAE].dialect, KX_DIALECT_DIFFUSERS);
    assert_int_equal(diffusers.parts[KX_PART_VAE].vae_levels, 4);
    assert_int_equal(bfl.file.num_tensors, diffusers.file.num_tensors);
    for (size_t i = 0; i < bfl.file.num_tensors; i++)
        assert_same(&bfl, &diffusers, KX_PART_VAE, bfl.file.tensors[i].name);
    assert_int_equal(need(&bfl, KX_PART_VAE, "decoder.mid.attn_1.q.weight").rank, 2);
    assert_int_equal(need(&bfl, KX_PART_VAE, "encoder.down.3.block.0.nin_shortcut.weight").rank, 4);
    assert_ok(kx_part_check_extra(&bfl.parts[KX_PART_VAE], &err));
    assert_ok(kx_part_check_extra(&diffusers.parts[KX_PART_VAE], &err));
    close_parts(&bfl);
    close_parts(&diffusers);
}

static void the_text_encoders_lose_their_prefix(void **state)
{
    (void)state;
    kx_error err = {0};
    opened clip, t5;
    assert_ok(
        open_parts(&clip, test_shared_path("golden/tiny-diffusers/text_encoder/model.safetensors"), &err));
    assert_ok(
        open_parts(&t5, test_shared_path("golden/tiny-diffusers/text_encoder_2/model.safetensors"), &err));
    assert_true(clip.signs[KX_PART_CLIP].present && !clip.signs[KX_PART_T5].present);
    assert_true(t5.signs[KX_PART_T5].present && !t5.signs[KX_PART_CLIP].present);
    assert_string_equal(kx_dialect_name(clip.parts[KX_PART_CLIP].dialect), "hf");
    assert_int_equal(need(&clip, KX_PART_CLIP, "embeddings.token_embedding.weight").shape[0], 49408);
    need(&clip, KX_PART_CLIP, "encoder.layers.1.mlp.fc2.bias");
    need(&clip, KX_PART_CLIP, "final_layer_norm.weight");
    assert_int_equal(need(&t5, KX_PART_T5, "shared.weight").shape[0], 32128);
    need(&t5, KX_PART_T5, "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight");
    kx_status status = kx_part_check_extra(&clip.parts[KX_PART_CLIP], &err);
    assert_says(&err, status, KX_ERR_MODEL, "of another model");
    close_parts(&clip);
    close_parts(&t5);
}

/* ---- Files of our own --------------------------------------------------------------------------------- */

static const float counted[64] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                  16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};

static const char *items_file(const char *name, const test_item *items, size_t count, const char *key,
                              const char *value)
{
    const char *path = path_in(test_temporary_folder(), name);
    write_items(path, items, count, key, value);
    return path;
}

#define OPEN(o, items, key, value)                                                                           \
    open_parts((o), items_file("own.safetensors", (items), sizeof(items) / sizeof *(items), (key), (value)), \
               &err)

static void one_checkpoint_holds_all_parts(void **state)
{
    (void)state;
    kx_error err = {0};
    opened all;
    test_item items[] = {
        {"model.diffusion_model.img_in.weight", KX_F32, 2, {2, 3}, counted},
        {"model.diffusion_model.double_blocks.0.img_attn.norm.key_norm.weight", KX_F32, 1, {4}, counted},
        {"vae.decoder.mid.block_1.conv1.weight", KX_F32, 4, {1, 1, 3, 3}, counted},
        {"text_encoders.clip_l.transformer.text_model.embeddings.token_embedding.weight",
         KX_F32,
         2,
         {5, 2},
         counted},
        {"text_encoders.clip_l.transformer.text_projection.weight", KX_F32, 2, {2, 2}, counted},
        {"text_encoders.clip_l.logit_scale", KX_F32, 0, {0}, counted},
        {"text_encoders.t5xxl.transformer.encoder.embed_tokens.weight", KX_F32, 2, {6, 2}, counted},
        {"text_encoders.t5xxl.spiece_model", KX_U8, 1, {9}, counted},
    };
    assert_ok(OPEN(&all, items, NULL, NULL));
    for (int kind = 0; kind < KX_PART_COUNT; kind++) {
        assert_true(all.signs[kind].present);
        assert_string_equal(kx_dialect_name(all.parts[kind].dialect), "comfyui");
    }
    assert_int_equal(all.parts[KX_PART_TRANSFORMER].num_tensors, 2);
    assert_int_equal(all.parts[KX_PART_CLIP].num_tensors, 1);
    need(&all, KX_PART_TRANSFORMER, "img_in.weight");
    need(&all, KX_PART_TRANSFORMER, "double_blocks.0.img_attn.norm.key_norm.scale");
    need(&all, KX_PART_VAE, "decoder.mid.block_1.conv1.weight");
    need(&all, KX_PART_CLIP, "embeddings.token_embedding.weight");
    assert_int_equal(need(&all, KX_PART_T5, "shared.weight").shape[0], 6);
    for (int kind = 0; kind < KX_PART_COUNT; kind++) assert_ok(kx_part_check_extra(&all.parts[kind], &err));
    close_parts(&all);
}

static void each_prefix_is_stripped(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        kx_part_kind kind;
        const char *canonical;
    } cases[] = {
        {"diffusion_model.img_in.weight", KX_PART_TRANSFORMER, "img_in.weight"},
        {"model.img_in.weight", KX_PART_TRANSFORMER, "img_in.weight"},
        {"net.img_in.weight", KX_PART_TRANSFORMER, "img_in.weight"},
        {"first_stage_model.encoder.mid.block_1.conv1.weight", KX_PART_VAE,
         "encoder.mid.block_1.conv1.weight"},
        {"embeddings.token_embedding.weight", KX_PART_CLIP, "embeddings.token_embedding.weight"},
        {"text_model.embeddings.token_embedding.weight", KX_PART_CLIP, "embeddings.token_embedding.weight"},
        {"clip_l.transformer.text_model.embeddings.token_embedding.weight", KX_PART_CLIP,
         "embeddings.token_embedding.weight"},
        {"cond_stage_model.transformer.text_model.embeddings.token_embedding.weight", KX_PART_CLIP,
         "embeddings.token_embedding.weight"},
        {"te1.text_model.embeddings.token_embedding.weight", KX_PART_CLIP,
         "embeddings.token_embedding.weight"},
        {"text_encoders.t5xxl.transformer.shared.weight", KX_PART_T5, "shared.weight"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        kx_error err = {0};
        opened one;
        test_item items[] = {{cases[i].name, KX_F32, 2, {2, 2}, counted}};
        assert_ok(OPEN(&one, items, NULL, NULL));
        for (int kind = 0; kind < KX_PART_COUNT; kind++)
            assert_int_equal(one.signs[kind].present, kind == (int)cases[i].kind);
        need(&one, cases[i].kind, cases[i].canonical);
        assert_ok(kx_part_check_extra(&one.parts[cases[i].kind], &err));
        close_parts(&one);
    }
}

static void other_files_are_not_recognised(void **state)
{
    (void)state;
    kx_error err = {0};
    opened lora;
    test_item items[] = {
        {"transformer.transformer_blocks.0.attn.to_q.lora_A.weight", KX_F32, 2, {2, 2}, counted},
        {"lora_unet_double_blocks_0_img_attn_qkv.lora_up.weight", KX_F32, 2, {2, 2}, counted},
        {"double_blocks.0.img_attn.qkv.lora_B.weight", KX_F32, 2, {2, 2}, counted},
    };
    assert_ok(OPEN(&lora, items, NULL, NULL));
    for (int kind = 0; kind < KX_PART_COUNT; kind++) assert_false(lora.signs[kind].present);
    close_parts(&lora);
}

static void foreign_tensors_are_reported(void **state)
{
    (void)state;
    kx_error err = {0};
    opened o;
    test_item items[] = {
        {"model.img_in.weight", KX_F32, 2, {2, 2}, counted},
        {"model.img_in.bias", KX_F32, 1, {2}, counted},
        {"model_ema.decay", KX_F32, 0, {0}, counted},
        {"model.scaled_fp8", KX_F32, 1, {0}, counted},
    };
    assert_ok(OPEN(&o, items, NULL, NULL));
    need(&o, KX_PART_TRANSFORMER, "img_in.weight");
    kx_status status = kx_part_check_extra(&o.parts[0], &err);
    assert_says(&err, status, KX_ERR_MODEL, "holds 2 tensors of another model, such as model.img_in.bias");
    need(&o, KX_PART_TRANSFORMER, "img_in.bias");
    status = kx_part_check_extra(&o.parts[0], &err);
    assert_says(&err, status, KX_ERR_MODEL, "holds 1 tensor of another model, such as model_ema.decay");
    kx_weight weight;
    bool found;
    assert_ok(find(&o, KX_PART_TRANSFORMER, "model_ema.decay", &weight, &found, &err));
    assert_false(found);
    close_parts(&o);
}

static void a_whole_t5_and_a_whole_clip_are_read_in_part(void **state)
{
    (void)state;
    kx_error err = {0};
    opened o;
    test_item t5[] = {
        {"shared.weight", KX_F32, 2, {2, 2}, counted},
        {"encoder.embed_tokens.weight", KX_F32, 2, {2, 2}, counted},
        {"decoder.block.0.layer.0.SelfAttention.q.weight", KX_F32, 2, {2, 2}, counted},
        {"lm_head.weight", KX_F32, 2, {2, 2}, counted},
    };
    assert_ok(OPEN(&o, t5, NULL, NULL));
    need(&o, KX_PART_T5, "shared.weight");
    assert_ok(kx_part_check_extra(&o.parts[KX_PART_T5], &err));
    assert_int_equal(o.parts[KX_PART_T5].num_tensors, 1);
    close_parts(&o);
    test_item clip[] = {
        {"text_model.embeddings.token_embedding.weight", KX_F32, 2, {2, 2}, counted},
        {"text_model.embeddings.position_ids", KX_I64, 2, {1, 2}, counted},
        {"vision_model.embeddings.class_embedding", KX_F32, 1, {2}, counted},
        {"visual_projection.weight", KX_F32, 2, {2, 2}, counted},
        {"logit_scale", KX_F32, 0, {0}, counted},
    };
    assert_ok(OPEN(&o, clip, NULL, NULL));
    need(&o, KX_PART_CLIP, "embeddings.token_embedding.weight");
    assert_ok(kx_part_check_extra(&o.parts[KX_PART_CLIP], &err));
    close_parts(&o);
}

static kx_status find_status(opened *o, const char *name, kx_error *err)
{
    kx_weight weight;
    bool found;
    return find(o, KX_PART_TRANSFORMER, name, &weight, &found, err);
}

static void broken_parameters_are_named(void **state)
{
    (void)state;
    kx_error err = {0};
    opened o;
    test_item items[] = {
        {"x_embedder.weight", KX_I32, 2, {2, 2}, counted},
        {"transformer_blocks.0.attn.to_q.weight", KX_F32, 2, {2, 2}, counted},
        {"transformer_blocks.0.attn.to_v.weight", KX_F32, 2, {2, 2}, counted},
        {"transformer_blocks.0.attn.add_q_proj.weight", KX_F32, 2, {2, 2}, counted},
        {"transformer_blocks.0.attn.add_k_proj.weight", KX_F32, 2, {2, 3}, counted},
        {"transformer_blocks.0.attn.add_v_proj.weight", KX_F32, 2, {2, 2}, counted},
        {"transformer_blocks.1.attn.add_q_proj.bias", KX_F32, 0, {0}, counted},
        {"transformer_blocks.1.attn.add_k_proj.bias", KX_F32, 0, {0}, counted},
        {"transformer_blocks.1.attn.add_v_proj.bias", KX_F32, 0, {0}, counted},
        {"norm_out.linear.weight", KX_F32, 2, {3, 2}, counted},
        {"norm_out.linear.bias", KX_F32, 0, {0}, counted},
    };
    assert_ok(OPEN(&o, items, NULL, NULL));
    kx_status status = find_status(&o, "img_in.weight", &err);
    assert_says(&err, status, KX_ERR_MODEL,
                "transformer: tensor x_embedder.weight has type I32; F32, BF16, F16 or F8 is expected");
    status = find_status(&o, "double_blocks.0.img_attn.qkv.weight", &err);
    assert_says(&err, status, KX_ERR_MODEL, "tensor transformer_blocks.0.attn.to_k.weight is missing");
    status = find_status(&o, "double_blocks.0.txt_attn.qkv.weight", &err);
    assert_says(&err, status, KX_ERR_MODEL, "add_k_proj.weight has shape [2,3], which cannot be stacked");
    status = find_status(&o, "double_blocks.1.txt_attn.qkv.bias", &err);
    assert_says(&err, status, KX_ERR_MODEL, "cannot be stacked");
    status = find_status(&o, "final_layer.adaLN_modulation.1.weight", &err);
    assert_says(&err, status, KX_ERR_MODEL, "has 3 rows, an even number is expected");
    status = find_status(&o, "final_layer.adaLN_modulation.1.bias", &err);
    assert_says(&err, status, KX_ERR_MODEL, "an even number is expected");
    close_parts(&o);
    size_t bytes;
    uint8_t *raw = raw_file(
        "{\"img_in.weight\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1],\"data_offsets\":[0,4]}}", 4, &bytes);
    const char *path = test_write_file("deep.safetensors", raw, bytes);
    free(raw);
    assert_ok(open_parts(&o, path, &err));
    status = find_status(&o, "img_in.weight", &err);
    assert_says(&err, status, KX_ERR_MODEL, "has 5 dimensions");
    close_parts(&o);
}

/* ---- fp8 ---------------------------------------------------------------------------------------------- */

/* 1, 1.5, -2, 448 in E4M3. */
static const uint8_t eights[4] = {0x38, 0x3c, 0xc0, 0x7e};
static const float half = 0.5f, quarter = 0.25f;

static void fp8_is_read_plain_and_scaled(void **state)
{
    (void)state;
    kx_error err = {0};
    opened o;
    float values[8];
    test_item items[] = {
        {"x_embedder.weight", KX_F8_E4M3, 2, {2, 2}, eights},
        {"context_embedder.weight", KX_F8_E4M3, 2, {2, 2}, eights},
        {"context_embedder.scale_weight", KX_F32, 0, {0}, &half},
        {"context_embedder.scale_input", KX_F32, 0, {0}, &half},
        {"transformer_blocks.0.attn.to_q.weight", KX_F8_E4M3, 2, {1, 2}, eights},
        {"transformer_blocks.0.attn.to_k.weight", KX_F8_E4M3, 2, {1, 2}, eights},
        {"transformer_blocks.0.attn.to_k.weight_scale", KX_F32, 1, {1}, &quarter},
        {"transformer_blocks.0.attn.to_k.input_scale", KX_F32, 0, {0}, &half},
        {"transformer_blocks.0.attn.to_k.comfy_quant", KX_U8, 1, {27}, "{\"format\":\"float8_e4m3fn\"}"},
        {"transformer_blocks.0.attn.to_v.weight", KX_F32, 2, {1, 2}, counted + 4},
        {"scaled_fp8", KX_F8_E4M3, 1, {2}, eights},
    };
    items[8].shape[0] = (int64_t)strlen(items[8].data);
    assert_ok(
        OPEN(&o, items, "_quantization_metadata", "{\"layers\":{\"a\":{\"format\":\"float8_e4m3fn\"}}}"));
    kx_weight weight = need(&o, KX_PART_TRANSFORMER, "img_in.weight");
    kx_weight_read_f32(&weight, values);
    assert_true(values[0] == 1 && values[1] == 1.5f && values[2] == -2 && values[3] == 448);
    weight = need(&o, KX_PART_TRANSFORMER, "txt_in.weight");
    kx_weight_read_f32(&weight, values);
    assert_true(values[0] == 0.5f && values[1] == 0.75f && values[2] == -1 && values[3] == 224);
    weight = need(&o, KX_PART_TRANSFORMER, "double_blocks.0.img_attn.qkv.weight");
    kx_weight_read_f32(&weight, values);
    assert_int_equal(weight.shape[0], 3);
    assert_true(values[0] == 1 && values[1] == 1.5f && values[2] == 0.25f && values[3] == 0.375f &&
                values[4] == 4 && values[5] == 5);
    assert_int_equal(o.parts[0].num_tensors, 5);
    assert_ok(kx_part_check_extra(&o.parts[0], &err));
    close_parts(&o);
}

static void other_quantisations_are_refused_by_name(void **state)
{
    (void)state;
    kx_error err = {0};
    opened o;
    test_item items[] = {
        {"img_in.weight", KX_I8, 2, {2, 2}, eights},
        {"img_in.comfy_quant", KX_U8, 1, {0}, "{\"format\":\"int8_tensorwise\",\"convrot\":true}"},
        {"img_in.weight_scale", KX_F32, 1, {2}, counted},
    };
    items[1].shape[0] = (int64_t)strlen(items[1].data);
    kx_status status =
        OPEN(&o, items, "_quantization_metadata", "{\"layers\":{\"img_in\":{\"format\":\"nvfp4\"}}}");
    assert_says(&err, status, KX_ERR_MODEL, "layer img_in is quantised as nvfp4");
    close_parts(&o);
    status = OPEN(&o, items, "_quantization_metadata", "{\"layers\":");
    assert_says(&err, status, KX_ERR_MODEL, "not valid JSON");
    close_parts(&o);
    assert_ok(OPEN(&o, items, NULL, NULL));
    status = find_status(&o, "img_in.weight", &err);
    assert_says(&err, status, KX_ERR_MODEL, "quantised as int8_tensorwise");
    close_parts(&o);
    items[1].data = "{}";
    items[1].shape[0] = 2;
    assert_ok(OPEN(&o, items, NULL, NULL));
    status = find_status(&o, "img_in.weight", &err);
    assert_says(&err, status, KX_ERR_MODEL, "an unnamed format");
    close_parts(&o);
    items[0].dtype = KX_F8_E4M3;
    items[1].name = "txt_in.comfy_quant";
    assert_ok(OPEN(&o, items, NULL, NULL));
    status = find_status(&o, "img_in.weight", &err);
    assert_says(&err, status, KX_ERR_MODEL,
                "tensor img_in.weight_scale has 2 elements of type F32, one F32 number");
    close_parts(&o);
    float nothing = NAN;
    items[2] = (test_item){"img_in.weight_scale", KX_F32, 0, {0}, &nothing};
    assert_ok(OPEN(&o, items, NULL, NULL));
    status = find_status(&o, "img_in.weight", &err);
    assert_says(&err, status, KX_ERR_MODEL, "weight_scale is not a finite number");
    close_parts(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_of_the_real_index_is_used_once),
        cmocka_unit_test(recipes_follow_the_tables),
        cmocka_unit_test(both_layouts_of_the_transformer_hold_the_same),
        cmocka_unit_test(both_layouts_of_the_vae_hold_the_same),
        cmocka_unit_test(the_text_encoders_lose_their_prefix),
        cmocka_unit_test(one_checkpoint_holds_all_parts),
        cmocka_unit_test(each_prefix_is_stripped),
        cmocka_unit_test(other_files_are_not_recognised),
        cmocka_unit_test(foreign_tensors_are_reported),
        cmocka_unit_test(a_whole_t5_and_a_whole_clip_are_read_in_part),
        cmocka_unit_test(broken_parameters_are_named),
        cmocka_unit_test(fp8_is_read_plain_and_scaled),
        cmocka_unit_test(other_quantisations_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

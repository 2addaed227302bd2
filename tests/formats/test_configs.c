#include "formats_test_support.h"

#include "base/json_file.h"
#include "engine/formats/configs.h"

static kx_configs configs;

static kx_status read_config(kx_config_kind kind, const char *text, kx_error *err)
{
    static kx_arena arena;
    json_t *root = NULL;
    kx_configs_default(&configs);
    kx_status status = kx_json_text_load(&root, text, strlen(text), "c.json", KX_ERR_MODEL, err);
    if (status == KX_OK) status = kx_config_read(&configs, kind, root, "c.json", &arena, err);
    json_decref(root);
    if (status != KX_OK) kx_arena_free(&arena);
    return status;
}

static void assert_accepted(kx_config_kind kind, const char *text)
{
    kx_error err = {0};
    assert_ok(read_config(kind, text, &err));
}

static void assert_refused(kx_config_kind kind, const char *text, const char *words)
{
    kx_error err = {0};
    kx_status status = read_config(kind, text, &err);
    assert_says(&err, status, KX_ERR_MODEL, words);
}

static void without_files_it_is_flux_kontext(void **state)
{
    (void)state;
    kx_configs_default(&configs);
    assert_int_equal(configs.kontext.num_preferred_sizes, 17);
    for (size_t i = 0; i < 17; i++) {
        kx_size size = configs.kontext.preferred_sizes[i], mirrored = configs.kontext.preferred_sizes[16 - i];
        assert_int_equal(size.width_px % 16, 0);
        assert_int_equal(size.width_px, mirrored.height_px);
        assert_int_equal(size.height_px, mirrored.width_px);
    }
    assert_int_equal(configs.kontext.native_area.value, 1024 * 1024);
    assert_int_equal(configs.kontext.max_text_tokens.value, 512);
    assert_int_equal(configs.kontext.default_steps.value, 28);
    assert_true(configs.kontext.default_guidance.value == 2.5);
    assert_false(configs.kontext.default_guidance.known);
    assert_true(configs.vae.scaling_factor.value == 0.3611 && configs.vae.shift_factor.value == 0.1159);
    assert_true(configs.scheduler.max_shift.value == 1.15 && configs.scheduler.use_dynamic_shifting.value);
    assert_int_equal(configs.clip.eos_token_id.value, 2);
}

static void the_published_files_are_read(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_arena arena = {0};
    static const struct {
        kx_config_kind kind;
        const char *path;
    } files[] = {
        {KX_CONFIG_TRANSFORMER, "transformer/config.json"},
        {KX_CONFIG_VAE, "vae/config.json"},
        {KX_CONFIG_CLIP, "text_encoder/config.json"},
        {KX_CONFIG_T5, "text_encoder_2/config.json"},
        {KX_CONFIG_SCHEDULER, "scheduler/scheduler_config.json"},
        {KX_CONFIG_INDEX, "model_index.json"},
    };
    kx_configs_default(&configs);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const char *path = path_in(test_shared_path("models/flux1-dev-config"), files[i].path);
        assert_true(kx_file_exists(path));
        assert_ok(kx_config_load(&configs, files[i].kind, path, &arena, &err));
    }
    assert_int_equal(configs.transformer.num_attention_heads.value, 24);
    assert_int_equal(configs.transformer.attention_head_dim.value, 128);
    assert_int_equal(configs.transformer.in_channels.value, 64);
    assert_false(configs.transformer.axes_known);
    assert_true(configs.transformer.guidance_embeds.known && configs.transformer.guidance_embeds.value);
    assert_int_equal(configs.vae.layers_per_block.value, 2);
    assert_true(configs.vae.scaling_factor.known && configs.vae.scaling_factor.value == 0.3611);
    assert_int_equal(configs.clip.num_attention_heads.value, 12);
    assert_false(configs.clip.exact_gelu);
    assert_int_equal(configs.t5.num_heads.value, 64);
    assert_int_equal(configs.t5.d_kv.value, 64);
    assert_false(configs.t5.relative_attention_max_distance.known);
    assert_int_equal(configs.t5.relative_attention_max_distance.value, 128);
    assert_true(configs.scheduler.base_shift.known && configs.scheduler.base_shift.value == 0.5);
    assert_string_equal(configs.pipeline_class, "FluxPipeline");
    kx_arena_free(&arena);
}

static void our_own_file_is_read(void **state)
{
    (void)state;
    assert_accepted(KX_CONFIG_KONTEXT,
                    "{\"name\":\"demo\",\"licence\":\"CC0\",\"family\":\"kontext\",\"native_area\":16384,"
                    "\"preferred_sizes\":[[128,128],[160,112]],\"min_side\":32,\"max_side\":512,"
                    "\"max_text_tokens\":64,\"default_steps\":8,\"default_guidance\":3,\"more\":{}}");
    const kx_kontext_json *k = &configs.kontext;
    assert_string_equal(k->name, "demo");
    assert_int_equal(k->num_preferred_sizes, 2);
    assert_int_equal(k->preferred_sizes[1].width_px, 160);
    assert_int_equal(k->preferred_sizes[1].height_px, 112);
    assert_int_equal(k->max_side.value, 512);
    assert_true(k->default_guidance.known && k->default_guidance.value == 3);
    assert_accepted(KX_CONFIG_KONTEXT, "{\"name\":null,\"default_steps\":null}");
    assert_null(configs.kontext.name);
    assert_int_equal(configs.kontext.default_steps.value, 28);
}

static void wrong_kinds_and_ranges_are_named(void **state)
{
    (void)state;
    assert_refused(KX_CONFIG_KONTEXT, "[]", "c.json: expected an object");
    assert_refused(KX_CONFIG_KONTEXT, "{\"name\":1}", "c.json: name must be a string");
    assert_refused(KX_CONFIG_KONTEXT, "{\"native_area\":1.5}", "native_area must be a whole number");
    assert_refused(KX_CONFIG_KONTEXT, "{\"native_area\":0}", "native_area is 0");
    assert_refused(KX_CONFIG_KONTEXT, "{\"native_area\":99999999}", "native_area is 99999999");
    assert_refused(KX_CONFIG_KONTEXT, "{\"default_steps\":0}", "default_steps is 0, 1 to 1000");
    assert_refused(KX_CONFIG_KONTEXT, "{\"default_steps\":\"4\"}", "default_steps must be");
    assert_refused(KX_CONFIG_KONTEXT, "{\"default_guidance\":-0.5}", "default_guidance is -0.5");
    assert_refused(KX_CONFIG_KONTEXT, "{\"default_guidance\":1e400}", "not valid JSON");
    assert_refused(KX_CONFIG_KONTEXT, "{\"min_side\":512,\"max_side\":256}", "max_side is 256, 512 to 2048");
    assert_refused(KX_CONFIG_KONTEXT, "{\"min_side\":256,\"preferred_sizes\":[[128,256]]}",
                   "from 256 to 2048");
    assert_refused(KX_CONFIG_KONTEXT, "{\"max_side\":512}", "preferred_sizes must be given");
    assert_refused(KX_CONFIG_KONTEXT, "{\"preferred_sizes\":[]}", "preferred_sizes must be a list");
    assert_refused(KX_CONFIG_KONTEXT, "{\"preferred_sizes\":7}", "preferred_sizes must be a list");
    assert_refused(KX_CONFIG_KONTEXT, "{\"preferred_sizes\":[[128,128],[128]]}", "preferred_sizes[1]");
    assert_refused(KX_CONFIG_KONTEXT, "{\"preferred_sizes\":[[128,100]]}", "preferred_sizes[0]");
    assert_refused(KX_CONFIG_KONTEXT, "{\"preferred_sizes\":[[128,4096]]}", "preferred_sizes[0]");
    assert_refused(KX_CONFIG_KONTEXT, "{\"preferred_sizes\":[[-16,128]]}", "preferred_sizes[0]");
    assert_refused(KX_CONFIG_KONTEXT, "{\"preferred_sizes\":[[128.0,128]]}", "preferred_sizes[0]");
    assert_refused(KX_CONFIG_KONTEXT, "{\"max_text_tokens\":5000}", "max_text_tokens is 5000");
    assert_refused(KX_CONFIG_TRANSFORMER, "{\"guidance_embeds\":1}", "guidance_embeds must be true or false");
    assert_refused(KX_CONFIG_TRANSFORMER, "{\"axes_dims_rope\":[16,56]}",
                   "axes_dims_rope must be a list of 3");
    assert_refused(KX_CONFIG_TRANSFORMER, "{\"axes_dims_rope\":[16,56,55]}", "even numbers");
    assert_refused(KX_CONFIG_TRANSFORMER, "{\"axes_dims_rope\":[16,56,56],\"attention_head_dim\":64}",
                   "sums to 128");
    assert_accepted(KX_CONFIG_TRANSFORMER, "{\"axes_dims_rope\":[4,14,14],\"attention_head_dim\":32}");
    assert_int_equal(configs.transformer.axes_dims_rope[2], 14);
    assert_refused(KX_CONFIG_VAE, "{\"scaling_factor\":0}", "scaling_factor is 0");
    assert_refused(KX_CONFIG_VAE, "{\"norm_num_groups\":-1}", "norm_num_groups is -1");
    assert_refused(KX_CONFIG_CLIP, "{\"layer_norm_eps\":\"x\"}", "layer_norm_eps must be a number");
    assert_refused(KX_CONFIG_SCHEDULER, "{\"base_image_seq_len\":4096}", "less than max_image_seq_len");
    assert_refused(KX_CONFIG_INDEX, "{\"_class_name\":[]}", "_class_name must be a string");
}

/* A setting that changes the numbers and is not implemented must not be passed over. */
static void what_is_not_implemented_is_refused(void **state)
{
    (void)state;
    assert_refused(KX_CONFIG_TRANSFORMER, "{\"_class_name\":\"QwenImageTransformer2DModel\"}",
                   "\"FluxTransformer2DModel\" is expected");
    assert_refused(KX_CONFIG_TRANSFORMER, "{\"patch_size\":2}", "patch_size is 2");
    assert_refused(KX_CONFIG_VAE, "{\"_class_name\":\"AutoencoderTiny\"}", "AutoencoderKL");
    assert_refused(KX_CONFIG_VAE, "{\"use_quant_conv\":true}", "use_quant_conv is true");
    assert_refused(KX_CONFIG_CLIP, "{\"hidden_act\":\"relu\"}", "hidden_act is \"relu\"");
    assert_accepted(KX_CONFIG_CLIP, "{\"hidden_act\":\"gelu\"}");
    assert_true(configs.clip.exact_gelu);
    assert_refused(KX_CONFIG_T5, "{\"feed_forward_proj\":\"relu\"}", "feed_forward_proj is \"relu\"");
    assert_refused(KX_CONFIG_T5, "{\"dense_act_fn\":\"relu\"}", "dense_act_fn is \"relu\"");
    assert_refused(KX_CONFIG_T5, "{\"dense_act_fn\":\"gelu\"}", "dense_act_fn is \"gelu\"");
    assert_accepted(KX_CONFIG_T5, "{\"dense_act_fn\":\"gelu\",\"feed_forward_proj\":\"gated-gelu\"}");
    assert_accepted(KX_CONFIG_T5, "{\"dense_act_fn\":\"gelu_new\",\"feed_forward_proj\":\"gated-gelu\"}");
    assert_refused(KX_CONFIG_T5, "{\"is_gated_act\":false}", "is_gated_act is false");
    assert_refused(KX_CONFIG_SCHEDULER, "{\"use_karras_sigmas\":true}", "use_karras_sigmas is true");
    assert_refused(KX_CONFIG_SCHEDULER, "{\"shift_terminal\":0.1}", "shift_terminal");
    assert_refused(KX_CONFIG_SCHEDULER, "{\"time_shift_type\":\"linear\"}", "time_shift_type");
    assert_accepted(KX_CONFIG_SCHEDULER, "{\"shift_terminal\":null,\"time_shift_type\":\"exponential\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_files_it_is_flux_kontext),
        cmocka_unit_test(the_published_files_are_read),
        cmocka_unit_test(our_own_file_is_read),
        cmocka_unit_test(wrong_kinds_and_ranges_are_named),
        cmocka_unit_test(what_is_not_implemented_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

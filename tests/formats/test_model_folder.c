#include "formats_test_support.h"

#include "engine/formats/model_folder.h"
#include "engine/formats/verify.h"

#include <sys/stat.h>

static const char weights[] = "diffusion_pytorch_model.safetensors";

/* A model folder made of links to the reference model, in the layout of diffusers, that a test may then
 * spoil. */
static const char *linked_model(const char *name)
{
    static const char *const files[] = {
        "model_index.json",
        "scheduler/scheduler_config.json",
        "transformer/config.json",
        "transformer/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "text_encoder_2/config.json",
        "text_encoder_2/model.safetensors",
    };
    kx_error err = {0};
    const char *source = test_shared_path("golden/tiny-diffusers");
    const char *folder = fresh_folder(name);
    char target[4096];
    assert_non_null(realpath(source, target));
    size_t length = strlen(target);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[2048];
        snprintf(path, sizeof path, "%s", path_in(folder, files[i]));
        *strrchr(path, '/') = '\0';
        assert_ok(kx_file_make_directory(path, &err));
        snprintf(target + length, sizeof target - length, "/%s", files[i]);
        assert_int_equal(symlink(target, path_in(folder, files[i])), 0);
    }
    return folder;
}

static const char *tokenizers(void)
{
    return test_shared_path("models/flux1-dev-config");
}

static kx_status open_model(const char *folder, const char *tokens, kx_error *err)
{
    kx_model_files *files = NULL;
    kx_status status = kx_model_files_open(&files, folder, tokens, err);
    kx_model_files_close(files);
    return status;
}

static void assert_refused(const char *folder, const char *words)
{
    kx_error err = {0};
    kx_status status = open_model(folder, tokenizers(), &err);
    assert_says(&err, status, KX_ERR_MODEL, words);
}

/* Puts the file at `to` in the place of a link. */
static void replace(const char *folder, const char *name, const char *text)
{
    const char *path = path_in(folder, name);
    unlink(path);
    write_text_file(path, text);
}

static void the_diffusers_layout_is_found(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_model_files *files = NULL;
    const char *folder = linked_model("complete");
    char slashed[2048];
    snprintf(slashed, sizeof slashed, "%s//", folder);
    assert_ok(kx_model_files_open(&files, slashed, tokenizers(), &err));
    assert_string_equal(files->path, folder);
    assert_int_equal(files->num_files, 4);
    assert_string_equal(kx_dialect_name(files->parts[KX_PART_TRANSFORMER].dialect), "diffusers");
    assert_string_equal(kx_dialect_name(files->parts[KX_PART_T5].dialect), "hf");
    assert_int_equal(files->configs.transformer.num_attention_heads.value, 3);
    assert_int_equal(files->configs.transformer.axes_dims_rope[1], 14);
    assert_int_equal(files->configs.clip.num_attention_heads.value, 4);
    assert_int_equal(files->configs.t5.d_kv.value, 16);
    assert_string_equal(files->configs.pipeline_class, "FluxKontextPipeline");
    assert_non_null(strstr(files->clip_tokenizer, "flux1-dev-config/tokenizer"));
    assert_non_null(strstr(files->t5_tokenizer, "flux1-dev-config/tokenizer_2"));
    assert_ok(kx_verify_model(files, NULL, &err));
    kx_model_files_close(files);
    kx_model_files_close(NULL);
}

/* All four parts as single files of meaningless names at the top; the encoders' folders hold each other's
 * model. */
static void parts_are_known_by_their_content(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_model_files *files = NULL;
    const char *folder = fresh_folder("flat");
    char target[4096];
    static const char *const from[] = {"golden/bfl-layout/tiny-bfl.safetensors",
                                       "golden/bfl-layout/tiny-ae.safetensors",
                                       "golden/tiny-diffusers/text_encoder/model.safetensors",
                                       "golden/tiny-diffusers/text_encoder_2/model.safetensors"};
    static const char *const to[] = {"b.safetensors", "c.sft", "d.safetensors", "a.safetensors"};
    for (int i = 0; i < 4; i++) {
        assert_non_null(realpath(test_shared_path(from[i]), target));
        assert_int_equal(symlink(target, path_in(folder, to[i])), 0);
    }
    assert_ok(kx_model_files_open(&files, folder, tokenizers(), &err));
    assert_string_equal(kx_dialect_name(files->parts[KX_PART_TRANSFORMER].dialect), "bfl");
    assert_string_equal(files->parts[KX_PART_T5].files[0]->path, path_in(folder, "a.safetensors"));
    assert_false(files->configs.transformer.axes_known);
    assert_int_equal(files->configs.kontext.num_preferred_sizes, 17);
    kx_model_files_close(files);

    folder = linked_model("swapped");
    assert_int_equal(rename(path_in(folder, "text_encoder"), path_in(folder, "x")), 0);
    assert_int_equal(rename(path_in(folder, "text_encoder_2"), path_in(folder, "text_encoder")), 0);
    assert_int_equal(rename(path_in(folder, "x"), path_in(folder, "text_encoder_2")), 0);
    assert_ok(kx_model_files_open(&files, folder, tokenizers(), &err));
    assert_int_equal(files->configs.clip.num_attention_heads.value, 4);
    assert_int_equal(files->configs.t5.num_heads.value, 4);
    assert_int_equal(files->configs.t5.d_kv.value, 16);
    assert_non_null(strstr(files->parts[KX_PART_T5].files[0]->path, "/text_encoder/"));
    kx_model_files_close(files);
}

static void a_missing_part_is_named_with_what_was_found(void **state)
{
    (void)state;
    static const struct {
        const char *file, *words;
    } cases[] = {
        {"transformer/diffusion_pytorch_model.safetensors", "missing: transformer; found: VAE in vae/"},
        {"vae/diffusion_pytorch_model.safetensors", "missing: VAE; found: transformer in transformer/"},
        {"text_encoder/model.safetensors", "missing: CLIP text encoder; found: "},
        {"text_encoder_2/model.safetensors", "missing: T5 text encoder; found: "},
    };
    for (size_t i = 0; i < 4; i++) {
        char name[32];
        snprintf(name, sizeof name, "lacks-%zu", i);
        const char *folder = linked_model(name);
        assert_int_equal(unlink(path_in(folder, cases[i].file)), 0);
        assert_refused(folder, cases[i].words);
    }
    const char *folder = fresh_folder("nothing");
    assert_refused(
        folder, "missing: transformer, VAE, CLIP text encoder, T5 text encoder; found: no safetensors files");
    write_text_file(path_in(folder, "flux1-kontext-dev-Q4_K.gguf"), "GGUF");
    assert_refused(folder, "cannot be read: flux1-kontext-dev-Q4_K.gguf");
    float zero = 0;
    test_item item = {"lora_unet.x", KX_F32, 0, {0}, &zero};
    write_items(path_in(folder, "style.safetensors"), &item, 1, NULL, NULL);
    assert_refused(folder, "something else in style.safetensors");
    assert_refused("/nonexistent/model", "/nonexistent/model: there is no such model folder");
    assert_refused(path_in(folder, "style.safetensors"), "is a file");
}

/* Configurations are optional, one by one. */
static void each_configuration_may_be_absent(void **state)
{
    (void)state;
    static const char *const files[] = {"model_index.json",         "scheduler/scheduler_config.json",
                                        "transformer/config.json",  "vae/config.json",
                                        "text_encoder/config.json", "text_encoder_2/config.json"};
    const char *folder = linked_model("bare");
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        kx_error err = {0};
        assert_int_equal(unlink(path_in(folder, files[i])), 0);
        assert_ok(open_model(folder, tokenizers(), &err));
    }
}

static void two_candidates_are_both_named(void **state)
{
    (void)state;
    kx_error err = {0};
    char target[4096];
    const char *folder = linked_model("twice");
    assert_non_null(realpath(test_shared_path("golden/bfl-layout/tiny-bfl.safetensors"), target));
    assert_int_equal(symlink(target, path_in(folder, "flux.safetensors")), 0);
    kx_status status = open_model(folder, tokenizers(), &err);
    assert_int_equal(status, KX_ERR_MODEL);
    assert_non_null(strstr(err.message, "two candidates for the transformer"));
    assert_non_null(strstr(err.message, "/flux.safetensors"));
    assert_non_null(strstr(err.message, "/transformer/diffusion_pytorch_model.safetensors"));
    /* What is hidden is not looked at. */
    assert_int_equal(rename(path_in(folder, "flux.safetensors"), path_in(folder, ".flux.safetensors")), 0);
    err = (kx_error){0};
    assert_ok(open_model(folder, tokenizers(), &err));
}

static void two_parts_without_prefixes_are_refused(void **state)
{
    (void)state;
    float zero[4] = {0};
    const char *folder = fresh_folder("merged");
    test_item items[] = {{"img_in.weight", KX_F32, 2, {2, 2}, zero},
                         {"shared.weight", KX_F32, 2, {2, 2}, zero}};
    write_items(path_in(folder, "all.safetensors"), items, 2, NULL, NULL);
    assert_refused(folder, "holds both a transformer and a T5 text encoder");
}

static void tokenizers_come_from_the_model_or_the_option(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_model_files *files = NULL;
    const char *folder = linked_model("tokens");
    kx_status status = open_model(folder, NULL, &err);
    assert_says(&err, status, KX_ERR_MODEL, "with --tokenizers");
    status = open_model(folder, path_in(folder, "vae"), &err);
    assert_says(&err, status, KX_ERR_MODEL, "there is no folder tokenizer/ there");
    assert_ok(kx_file_make_directory(path_in(folder, "tokenizer_2"), &err));
    status = open_model(folder, NULL, &err);
    assert_says(&err, status, KX_ERR_MODEL, "the model has no folder tokenizer/");
    assert_ok(kx_file_make_directory(path_in(folder, "tokenizer"), &err));
    assert_ok(kx_model_files_open(&files, folder, tokenizers(), &err));
    assert_string_equal(files->clip_tokenizer, path_in(folder, "tokenizer"));
    assert_string_equal(files->t5_tokenizer, path_in(folder, "tokenizer_2"));
    kx_model_files_close(files);
}

static void broken_files_are_named(void **state)
{
    (void)state;
    const char *folder = linked_model("broken");
    size_t bytes;
    uint8_t *data = test_read_file(path_in(folder, "vae/diffusion_pytorch_model.safetensors"), &bytes);
    const char *path = path_in(folder, "vae/diffusion_pytorch_model.safetensors");
    unlink(path);
    FILE *out = fopen(path, "wb");
    fwrite(data, 1, bytes - 100, out);
    fclose(out);
    free(data);
    assert_refused(folder, "vae/diffusion_pytorch_model.safetensors: the file is truncated");
    folder = linked_model("broken-link");
    unlink(path_in(folder, "vae/diffusion_pytorch_model.safetensors"));
    assert_int_equal(symlink("/nonexistent/file", path_in(folder, "vae/diffusion_pytorch_model.safetensors")),
                     0);
    assert_refused(folder, "vae/diffusion_pytorch_model.safetensors: No such file");
    folder = linked_model("cyclic");
    unlink(path_in(folder, "vae/diffusion_pytorch_model.safetensors"));
    assert_int_equal(symlink(weights, path_in(folder, "vae/diffusion_pytorch_model.safetensors")), 0);
    assert_refused(folder, "vae/diffusion_pytorch_model.safetensors: Too many levels");
    folder = linked_model("bad-json");
    replace(folder, "scheduler/scheduler_config.json", "{\"shift\":");
    assert_refused(folder, "scheduler/scheduler_config.json: not valid JSON");
    replace(folder, "scheduler/scheduler_config.json", "{\"base_shift\":\"much\"}");
    assert_refused(folder, "scheduler/scheduler_config.json: base_shift must be a number");
    replace(folder, "scheduler/scheduler_config.json", "{}");
    write_text_file(path_in(folder, "kontext.json"), "{\"default_steps\":5000}");
    assert_refused(folder, "kontext.json: default_steps is 5000");
}

/* ---- Shards ------------------------------------------------------------------------------------------- */

/* Cuts the reference transformer into two files with an index. */
static const char *sharded_model(const char *name)
{
    kx_error err = {0};
    kx_safetensors whole;
    const char *folder = linked_model(name);
    const char *path = path_in(folder, "transformer/diffusion_pytorch_model.safetensors");
    assert_ok(kx_safetensors_open(&whole, path, KX_ERR_MODEL, &err));
    unlink(path);
    FILE *index = fopen(path_in(folder, "transformer/diffusion_pytorch_model.safetensors.index.json"), "wb");
    fprintf(index, "{\"metadata\":{\"total_size\":1},\"weight_map\":{");
    for (size_t shard = 0; shard < 2; shard++) {
        static test_item items[200];
        size_t count = 0;
        char file[128];
        snprintf(file, sizeof file, "diffusion_pytorch_model-0000%zu-of-00002.safetensors", shard + 1);
        for (size_t i = shard; i < whole.num_tensors; i += 2) {
            const kx_safetensors_tensor *tensor = &whole.tensors[i];
            items[count] = (test_item){tensor->name, tensor->dtype, tensor->rank, {0}, tensor->data};
            for (int k = 0; k < tensor->rank; k++) items[count].shape[k] = tensor->shape[k];
            fprintf(index, "%s\"%s\":\"%s\"", shard + count > 0 ? "," : "", tensor->name, file);
            count++;
        }
        write_items(path_in(path_in(folder, "transformer"), file), items, count, NULL, NULL);
    }
    fprintf(index, "}}");
    fclose(index);
    kx_safetensors_close(&whole);
    return folder;
}

static void shards_are_one_model(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_model_files *files = NULL, *single = NULL;
    assert_ok(kx_model_files_open(&files, sharded_model("shards"), tokenizers(), &err));
    assert_ok(kx_model_files_open(&single, linked_model("single"), tokenizers(), &err));
    const kx_part *a = &files->parts[KX_PART_TRANSFORMER], *b = &single->parts[KX_PART_TRANSFORMER];
    assert_int_equal(a->num_files, 2);
    assert_int_equal(a->num_parameters, b->num_parameters);
    for (int i = 0; i < 2; i++) {
        const char *name = i == 0 ? "double_blocks.1.img_attn.qkv.weight" : "single_blocks.2.linear1.bias";
        kx_weight x, y;
        bool found;
        assert_ok(a->source.find(a->source.context, name, &x, &found, &err));
        assert_ok(b->source.find(b->source.context, name, &y, &found, &err));
        static float u[300 * 100], v[300 * 100];
        kx_weight_read_f32(&x, u);
        kx_weight_read_f32(&y, v);
        assert_memory_equal(u, v, (size_t)(kx_weight_rows(&x) * kx_weight_cols(&x)) * sizeof *u);
    }
    kx_model_files_close(files);
    kx_model_files_close(single);
}

static void a_missing_shard_is_named(void **state)
{
    (void)state;
    const char *folder = sharded_model("shard-missing");
    unlink(path_in(folder, "transformer/diffusion_pytorch_model-00002-of-00002.safetensors"));
    assert_refused(folder, "the shard diffusion_pytorch_model-00002-of-00002.safetensors is missing");
    unlink(path_in(folder, "transformer/diffusion_pytorch_model.safetensors.index.json"));
    assert_refused(folder, "diffusion_pytorch_model-00001-of-00002.safetensors: is one of several shards");
}

static void a_lying_index_is_refused(void **state)
{
    (void)state;
    const char *index = "transformer/diffusion_pytorch_model.safetensors.index.json";
    const char *folder = sharded_model("shard-lies");
    replace(folder, index,
            "{\"weight_map\":{\"x_embedder.weight\":\"../vae/diffusion_pytorch_model.safetensors\"}}");
    assert_refused(folder, "is not the name of a .safetensors file beside it");
    replace(folder, index, "{\"weight_map\":{\"x_embedder.weight\":\"/etc/passwd\"}}");
    assert_refused(folder, "is not the name of a .safetensors file beside it");
    replace(folder, index, "{\"weight_map\":{\"x_embedder.weight\":7}}");
    assert_refused(folder, "has no file name");
    replace(folder, index, "{\"weight_map\":{}}");
    assert_refused(folder, "weight_map is missing or empty");
    replace(folder, index, "[]");
    assert_refused(folder, "weight_map is missing or empty");
    replace(folder, index,
            "{\"weight_map\":{\"no.such.tensor\":\"diffusion_pytorch_model-00001-of-00002.safetensors\"}}");
    assert_refused(folder, "tensor no.such.tensor is not in diffusion_pytorch_model-00001");
    replace(folder, index, "{\"weight_map\":{\"a\":\"diffusion_pytorch_model.safetensors.index.json\"}}");
    assert_refused(folder, "is not the name of a .safetensors file beside it");
}

static void a_tensor_in_two_shards_is_refused(void **state)
{
    (void)state;
    float zero[4] = {0};
    const char *folder = linked_model("doubled");
    unlink(path_in(folder, "transformer/diffusion_pytorch_model.safetensors"));
    test_item items[] = {{"x_embedder.weight", KX_F32, 2, {2, 2}, zero}, {"extra", KX_F32, 0, {0}, zero}};
    write_items(path_in(folder, "transformer/a.safetensors"), items, 1, NULL, NULL);
    write_items(path_in(folder, "transformer/b.safetensors"), items, 2, NULL, NULL);
    write_text_file(path_in(folder, "transformer/m.safetensors.index.json"),
                    "{\"weight_map\":{\"x_embedder.weight\":\"a.safetensors\",\"extra\":\"b.safetensors\"}}");
    assert_refused(folder, "tensor x_embedder.weight is in ");
}

/* ---- Other models ------------------------------------------------------------------------------------- */

static void other_families_are_told_apart(void **state)
{
    (void)state;
    static float zero[384];
    const char *folder = linked_model("family");
    const char *path = path_in(folder, "transformer/diffusion_pytorch_model.safetensors");
    test_item items[] = {{"img_in.weight", KX_F32, 2, {1, 384}, zero}};
    unlink(path);
    write_items(path, items, 1, NULL, NULL);
    assert_refused(folder, "is a FLUX.1 Fill model (384 input channels)");
    items[0].shape[1] = 128;
    write_items(path, items, 1, NULL, NULL);
    assert_refused(folder, "is a FLUX.1 Canny or Depth model (128 input channels)");
    items[0].shape[1] = 64;
    write_items(path, items, 1, NULL, NULL);
    assert_refused(folder, "which config.json promises");
    unlink(path_in(folder, "transformer/config.json"));
    assert_refused(folder, "is a FLUX.1 schnell model");

    folder = linked_model("family-vae");
    path = path_in(folder, "vae/diffusion_pytorch_model.safetensors");
    test_item vae[] = {{"decoder.conv_in.weight", KX_F32, 4, {1, 4, 3, 3}, zero},
                       {"decoder.mid_block.resnets.0.conv1.weight", KX_F32, 1, {1}, zero}};
    unlink(path);
    write_items(path, vae, 2, NULL, NULL);
    assert_refused(folder, "is a VAE of 4 latent channels");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_diffusers_layout_is_found),
        cmocka_unit_test(parts_are_known_by_their_content),
        cmocka_unit_test(a_missing_part_is_named_with_what_was_found),
        cmocka_unit_test(each_configuration_may_be_absent),
        cmocka_unit_test(two_candidates_are_both_named),
        cmocka_unit_test(two_parts_without_prefixes_are_refused),
        cmocka_unit_test(tokenizers_come_from_the_model_or_the_option),
        cmocka_unit_test(broken_files_are_named),
        cmocka_unit_test(shards_are_one_model),
        cmocka_unit_test(a_missing_shard_is_named),
        cmocka_unit_test(a_lying_index_is_refused),
        cmocka_unit_test(a_tensor_in_two_shards_is_refused),
        cmocka_unit_test(other_families_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

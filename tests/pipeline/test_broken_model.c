/* Models that lack something or hold numbers that are none, and prompts that are too long for the model. */
#include "pipeline_test_support.h"

/* ---- Parts that are not there ---- */

static void every_missing_part_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *entry, *words;
    } parts[] = {
        {"transformer", "missing: transformer"},
        {"vae", "missing: VAE"},
        {"text_encoder", "missing: CLIP"},
        {"text_encoder_2", "missing: T5"},
        {"tokenizer", "tokenizer"},
        {"tokenizer_2", "tokenizer_2"},
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        kx_error err = {0};
        kx_model *model = (kx_model *)&err; /* must become NULL */
        char name[64];
        snprintf(name, sizeof name, "without-%s", parts[i].entry);
        const char *folder = test_linked_model(name, parts[i].entry);
        kx_status status = test_open_model(folder, 1, &model, &err);
        char message[sizeof err.message];
        memcpy(message, err.message, sizeof message);
        test_refused(parts[i].entry, &err, status, KX_ERR_MODEL, parts[i].words);
        if (strstr(message, folder) == NULL) fail_msg("\"%s\" does not name the folder", message);
        assert_null(model);
    }
    kx_error err = {0};
    kx_model *model = NULL;
    test_refused("no folder", &err, test_open_model("/nowhere", 1, &model, &err), KX_ERR_MODEL, "/nowhere");
    test_refused("no path", &err, test_open_model(NULL, 1, &model, &err), KX_ERR_MODEL, "no model folder");
}

static void what_is_not_needed_may_be_missing(void **state)
{
    (void)state;
    static const char *const entries[] = {"model_index.json", "kontext.json", "scheduler"};
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        kx_error err = {0};
        kx_model *model = NULL;
        char name[64];
        snprintf(name, sizeof name, "without-%s", entries[i]);
        assert_ok(test_open_model(test_linked_model(name, entries[i]), 1, &model, &err));
        kx_model_close(model);
    }
}

static void a_cut_file_is_named(void **state)
{
    (void)state;
    static const char *const files[] = {
        "transformer/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
        "text_encoder_2/model.safetensors",
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        kx_error err = {0};
        kx_model *model = NULL;
        char name[64];
        size_t bytes;
        snprintf(name, sizeof name, "cut-%zu", i);
        const char *folder = test_linked_model(name, NULL);
        uint8_t *data = test_read_file(test_path_in(folder, files[i]), &bytes);
        test_replace_file(folder, files[i], data, bytes - 2);
        free(data);
        test_refused(files[i], &err, test_open_model(folder, 1, &model, &err), KX_ERR_MODEL, files[i]);
        assert_null(model);
    }
}

/* ---- Numbers that are none ---- */

typedef struct bad_weight {
    const char *name, *file, *tensor;
    uint16_t bits;
    const char *stage; /* what the edit says */
} bad_weight;

static const bad_weight bad_weights[] = {
    {"clip", "text_encoder/model.safetensors", "text_model.final_layer_norm.weight", 0x7fc0, "text: CLIP"},
    {"t5", "text_encoder_2/model.safetensors", "encoder.block.0.layer.0.layer_norm.weight", 0x7f80,
     "text: T5"},
    {"encoder", "vae/diffusion_pytorch_model.safetensors", "encoder.conv_in.bias", 0xffc0,
     "encode: the latent of reference 1"},
    {"transformer", "transformer/diffusion_pytorch_model.safetensors", "x_embedder.bias", 0x7fc0,
     "denoise: the velocity of step 1"},
    {"a wide matrix", "transformer/diffusion_pytorch_model.safetensors",
     "single_transformer_blocks.0.proj_out.weight", 0xff80, "denoise: the velocity of step 1"},
    {"decoder", "vae/diffusion_pytorch_model.safetensors", "decoder.conv_in.bias", 0x7fc0,
     "decode: the picture"},
};

static void a_number_that_is_none_is_found_and_named(void **state)
{
    (void)state;
    kx_picture picture = test_paint(64, 64, 1);
    for (size_t i = 0; i < sizeof bad_weights / sizeof bad_weights[0]; i++) {
        const bad_weight *bad = &bad_weights[i];
        kx_error err = {0};
        kx_model *model = NULL;
        kx_result *result = NULL;
        char name[64], message[sizeof err.message];
        snprintf(name, sizeof name, "bad-%zu", i);
        const char *folder = test_linked_model(name, NULL);
        test_patch_weight(folder, bad->file, bad->tensor, 3, bad->bits);
        assert_ok(test_open_model(folder, 2, &model, &err));

        kx_status status = kx_model_verify(model, NULL, &err);
        memcpy(message, err.message, sizeof message);
        test_refused(bad->name, &err, status, KX_ERR_MODEL, bad->tensor);
        if (strstr(message, bad->file) == NULL) fail_msg("\"%s\" does not name %s", message, bad->file);
        assert_int_equal(kx_model_verify(model, NULL, NULL), KX_ERR_MODEL);

        kx_edit_request request = test_request("Broken");
        request.references[0].picture = &picture;
        request.num_references = 1;
        request.ref_size = KX_REF_SIZE_NATIVE;
        status = kx_edit_run(model, &request, NULL, &result, &err);
        test_refused(bad->name, &err, status, KX_ERR_MODEL, bad->stage);
        assert_null(result);
        kx_model_close(model);
    }
    kx_picture_free(&picture);
}

typedef struct verify_log {
    uint64_t done, total;
    int backwards;
} verify_log;

static void log_verify(void *user, const kx_progress *progress)
{
    verify_log *log = user;
    log->backwards += strcmp(progress->stage, "verify") != 0 || progress->done < log->done;
    log->done = progress->done;
    log->total = progress->total;
}

static int always(void *user)
{
    (void)user;
    return 1;
}

static void a_whole_model_is_verified(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_model *model = test_open_tiny(1);
    verify_log log = {0};
    kx_callbacks callbacks = {.progress = log_verify, .user = &log};
    assert_ok(kx_model_verify(model, &callbacks, &err));
    assert_true(log.total > 4000000 && log.done == log.total);
    assert_int_equal(log.backwards, 0);
    callbacks = (kx_callbacks){.cancelled = always};
    assert_int_equal(kx_model_verify(model, &callbacks, &err), KX_ERR_CANCELLED);
    kx_model_close(model);
}

/* ---- Prompts that are too long ---- */

typedef struct warnings {
    int count;
    char text[2][512];
} warnings;

static void keep_warning(void *user, const char *sentence)
{
    warnings *kept = user;
    if (kept->count < 2) snprintf(kept->text[kept->count], sizeof kept->text[0], "%s", sentence);
    kept->count++;
}

static kx_result *edit_with_words(const char *folder, int words, warnings *kept)
{
    static char prompt[8192];
    prompt[0] = '\0';
    for (int i = 0; i < words; i++)
        snprintf(prompt + 4 * i, sizeof prompt - 4 * (size_t)i, i + 1 < words ? "sun " : "sun");
    kx_model_options options = test_model_options(folder);
    options.warn = keep_warning;
    options.user = kept;
    *kept = (warnings){0};
    kx_model *model = test_open_with(options);
    kx_edit_request request = test_request(prompt);
    request.steps = 1;
    request.width_px = request.height_px = 16;
    kx_result *result = test_edit(model, &request);
    kx_model_close(model);
    return result;
}

static void assert_warned(const warnings *kept, const char *encoder, unsigned cut, unsigned room)
{
    char cut_words[64], room_words[64];
    snprintf(cut_words, sizeof cut_words, "is %u tokens too long for %s", cut, encoder);
    snprintf(room_words, sizeof room_words, "which reads %u:", room);
    for (int i = 0; i < kept->count && i < 2; i++)
        if (strstr(kept->text[i], cut_words) != NULL && strstr(kept->text[i], room_words) != NULL) return;
    fail_msg("no warning says that the prompt %s, %s (%d warnings, the first: \"%s\")", cut_words, room_words,
             kept->count, kept->text[0]);
}

/* A model that names no licence may be the published one, whose licence is not a free one. */
static void a_model_without_a_licence_is_met_with_the_known_one(void **state)
{
    (void)state;
    static const char rules[] = "{\"native_area\": 16384}";
    const char *folder = test_linked_model("no-licence", NULL);
    test_replace_file(folder, "kontext.json", rules, strlen(rules));
    warnings kept;
    kx_result_free(edit_with_words(folder, 2, &kept));
    assert_int_equal(kept.count, 1);
    assert_non_null(strstr(kept.text[0], "FLUX.1 [dev] Non-Commercial License"));
}

/* A word is the same number of tokens wherever it stands, so one more word is as many more that are cut. */
static void a_prompt_that_is_too_long_is_cut_with_a_warning(void **state)
{
    (void)state;
    static const char rules[] = "{\"licence\": \"none\", \"native_area\": 16384, \"max_text_tokens\": 512}";
    const char *folder = test_linked_model("long-prompts", NULL);
    test_replace_file(folder, "kontext.json", rules, strlen(rules));
    warnings kept;
    kx_result *result = edit_with_words(folder, 2, &kept);
    assert_int_equal(kept.count, 0);
    assert_int_equal(result->clip_tokens_cut + result->t5_tokens_cut, 0);
    unsigned clip_word = (result->clip_tokens - 2) / 2, t5_word = (result->t5_tokens - 1) / 2;
    assert_true(clip_word >= 1 && t5_word >= 1);
    kx_result_free(result);

    int words = 600;
    result = edit_with_words(folder, words, &kept);
    assert_int_equal(kept.count, 2);
    assert_int_equal(result->clip_tokens, 77);
    assert_int_equal(result->t5_tokens, 512);
    assert_int_equal(result->clip_tokens_cut, clip_word * 600 - 75);
    assert_int_equal(result->t5_tokens_cut, t5_word * 600 - 511);
    assert_warned(&kept, "CLIP", result->clip_tokens_cut, 77);
    assert_warned(&kept, "T5", result->t5_tokens_cut, 512);
    kx_result_free(result);

    /* Too long for CLIP alone. */
    result = edit_with_words(folder, 80, &kept);
    if (t5_word * 80 <= 511) assert_int_equal(kept.count, 1);
    assert_warned(&kept, "CLIP", clip_word * 80 - 75, 77);
    kx_result_free(result);

    /* The model's own rule: 64 tokens. */
    result = edit_with_words(test_tiny_model(), 80, &kept);
    assert_warned(&kept, "T5", t5_word * 80 - 63, 64);
    kx_result_free(result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_missing_part_is_named),
        cmocka_unit_test(what_is_not_needed_may_be_missing),
        cmocka_unit_test(a_cut_file_is_named),
        cmocka_unit_test(a_number_that_is_none_is_found_and_named),
        cmocka_unit_test(a_whole_model_is_verified),
        cmocka_unit_test(a_model_without_a_licence_is_met_with_the_known_one),
        cmocka_unit_test(a_prompt_that_is_too_long_is_cut_with_a_warning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

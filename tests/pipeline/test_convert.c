/* Models that are packed into files: they give the edits that packing in memory gives, and nothing of a
 * broken or half-written one is used. */
#include "pipeline_test_support.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

static const char transformer[] = "transformer/diffusion_pytorch_model.safetensors";
static const char t5[] = "text_encoder_2/model.safetensors";
static const char clip[] = "text_encoder/model.safetensors";

static kx_status convert(const char *from, const char *to, kx_precision precision,
                         const kx_callbacks *callbacks, kx_error *err)
{
    kx_model_options options = test_model_options(from);
    return kx_model_convert(&options, to, precision, callbacks, err);
}

/* The tiny model packed, in a fresh folder. */
static const char *packed_tiny(const char *name, kx_precision precision)
{
    kx_error err = {0};
    const char *folder = test_path_in(test_temporary_folder(), name);
    assert_ok(convert(test_tiny_model(), folder, precision, NULL, &err));
    return folder;
}

/* `file` of the folder `from`, in place of that of `folder`. */
static void take_file(const char *folder, const char *file, const char *from)
{
    size_t bytes;
    uint8_t *data = test_read_file(test_path_in(from, file), &bytes);
    test_replace_file(folder, file, data, bytes);
    free(data);
}

static kx_model *open_as(const char *folder, kx_precision precision)
{
    kx_model_options options = test_model_options(folder);
    options.precision = precision;
    return test_open_with(options);
}

static size_t entries_like(const char *folder, const char *start)
{
    DIR *directory = opendir(folder);
    size_t count = 0;
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        count += strncmp(entry->d_name, start, strlen(start)) == 0;
    closedir(directory);
    return count;
}

/* ---- What it is good for ---- */

static void a_packed_file_gives_the_edits_of_packing_in_memory(void **state)
{
    (void)state;
    kx_picture picture = test_paint(96, 64, 3);
    for (int p = KX_PRECISION_BF16; p <= KX_PRECISION_INT8; p++) {
        kx_precision precision = (kx_precision)p;
        const char *folder = packed_tiny(kx_precision_name(precision), precision);
        kx_model *memory = open_as(test_tiny_model(), precision), *file = open_as(folder, KX_PRECISION_AUTO);
        kx_edit_request request = test_request("A red roof");
        request.references[0].picture = &picture;
        request.num_references = 1;
        kx_result *a = test_edit(memory, &request), *b = test_edit(file, &request);
        test_same_pictures(kx_precision_name(precision), a, b);
        kx_result_free(a);
        kx_result_free(b);
        kx_error err = {0};
        assert_ok(kx_model_verify(file, NULL, &err));
        kx_model_close(memory);
        kx_model_close(file);
    }
    kx_picture_free(&picture);
}

static void a_packed_file_needs_no_memory_for_its_matrices(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_plan *plans[2];
    const char *folder = packed_tiny("plan", KX_PRECISION_INT8);
    kx_model *models[2] = {open_as(test_tiny_model(), KX_PRECISION_INT8), open_as(folder, KX_PRECISION_INT8)};
    kx_edit_request request = test_request("x");
    bool in_memory[2] = {false, false};
    for (int i = 0; i < 2; i++) {
        assert_ok(kx_edit_plan(models[i], &request, &plans[i], &err));
        for (size_t k = 0; k < plans[i]->num_buffers; k++)
            in_memory[i] = in_memory[i] || strcmp(plans[i]->buffers[k].name, "packed matrices") == 0;
    }
    assert_true(in_memory[0] && !in_memory[1]);
    assert_true(plans[1]->mapped_bytes < plans[0]->mapped_bytes);
    for (int i = 0; i < 2; i++) {
        kx_plan_free(plans[i]);
        kx_model_close(models[i]);
    }
}

/* Older versions packed the transformer and T5 alone. */
static void a_packed_folder_with_clip_as_published_gives_the_same_edits(void **state)
{
    (void)state;
    kx_error err = {0};
    const char *folder = packed_tiny("all", KX_PRECISION_INT8),
               *older = packed_tiny("older", KX_PRECISION_INT8);
    take_file(older, clip, test_tiny_model());
    kx_model *models[2] = {open_as(folder, KX_PRECISION_AUTO), open_as(older, KX_PRECISION_AUTO)};
    kx_edit_request request = test_request("A red roof");
    kx_result *results[2];
    for (int i = 0; i < 2; i++) results[i] = test_edit(models[i], &request);
    test_same_pictures("CLIP packed in memory", results[1], results[0]);
    assert_ok(kx_model_verify(models[1], NULL, &err));
    for (int i = 0; i < 2; i++) {
        kx_result_free(results[i]);
        kx_model_close(models[i]);
    }
}

static void a_packed_model_says_what_it_is(void **state)
{
    (void)state;
    kx_error err = {0};
    char *text = NULL;
    kx_model *model = open_as(packed_tiny("says", KX_PRECISION_INT8), KX_PRECISION_AUTO);
    kx_model *original = test_open_tiny(1);
    assert_ok(kx_model_describe(model, &text, &err));
    assert_non_null(strstr(text, "\"precision\": \"int8\""));
    int packed_parts = 0;
    for (const char *at = text; (at = strstr(at, "\"packed_for\": \"int8\"")) != NULL; at++) packed_parts++;
    assert_int_equal(packed_parts, 3);
    /* The parameters are those of the original. */
    char *other = NULL;
    assert_ok(kx_model_describe(original, &other, &err));
    const char *parameters = strstr(other, "\"parameters\":");
    assert_non_null(parameters);
    char line[64];
    snprintf(line, sizeof line, "%.*s", (int)strcspn(parameters, ",\n"), parameters);
    assert_non_null(strstr(text, line));
    kx_free(text);
    kx_free(other);
    kx_model_close(model);
    kx_model_close(original);
}

static void a_synthetic_model_is_packed_as_its_files_would_be(void **state)
{
    (void)state;
    kx_error err = {0};
    const char *made = test_path_in(test_temporary_folder(), "made"), *files[] = {transformer, t5, clip};
    assert_ok(kx_model_synth_packed(made, KX_SYNTH_TINY, 1, KX_PRECISION_INT8, NULL, &err));
    const char *converted = packed_tiny("converted", KX_PRECISION_INT8);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        size_t bytes[2];
        uint8_t *a = test_read_file(test_path_in(made, files[i]), &bytes[0]);
        uint8_t *b = test_read_file(test_path_in(converted, files[i]), &bytes[1]);
        assert_int_equal(bytes[0], bytes[1]);
        assert_memory_equal(a, b, bytes[0]);
        free(a);
        free(b);
    }
    kx_model *model = open_as(made, KX_PRECISION_AUTO);
    assert_ok(kx_model_verify(model, NULL, &err));
    kx_edit_request request = test_request("Noise");
    kx_result_free(test_edit(model, &request));
    kx_model_close(model);
    test_refused("f32", &err,
                 kx_model_synth_packed(test_path_in(test_temporary_folder(), "no"), KX_SYNTH_TINY, 1,
                                       KX_PRECISION_F32, NULL, &err),
                 KX_ERR_INPUT, "not for f32");
}

/* ---- What is refused ---- */

static void what_makes_no_sense_is_refused(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_model *model = NULL;
    const char *packed = packed_tiny("refuse", KX_PRECISION_INT8);
    const char *fresh = test_path_in(test_temporary_folder(), "fresh");
    test_refused("f32", &err, convert(test_tiny_model(), fresh, KX_PRECISION_F32, NULL, &err), KX_ERR_INPUT,
                 "f32");
    test_refused("packed", &err, convert(packed, fresh, KX_PRECISION_BF16, NULL, &err), KX_ERR_INPUT,
                 "packed for int8 already");
    test_refused("exists", &err, convert(test_tiny_model(), packed, KX_PRECISION_INT8, NULL, &err),
                 KX_ERR_OUTPUT, "not empty");
    test_refused("no model", &err, convert("/nowhere", fresh, KX_PRECISION_INT8, NULL, &err), KX_ERR_MODEL,
                 "/nowhere");
    assert_false(kx_file_exists(fresh));
    kx_model_options options = test_model_options(packed);
    options.precision = KX_PRECISION_BF16;
    test_refused("bf16", &err, kx_model_open(&model, &options, &err), KX_ERR_INPUT, "is packed for int8");
    options.precision = KX_PRECISION_F32;
    test_refused("f32", &err, kx_model_open(&model, &options, &err), KX_ERR_INPUT, "is packed for int8");
}

/* Cancelled at the poll with the number `at`. */
typedef struct countdown {
    int polls, at;
} countdown;

static int count_down(void *user)
{
    countdown *count = user;
    return count->polls++ >= count->at;
}

static void a_cancelled_conversion_leaves_nothing(void **state)
{
    (void)state;
    kx_error err = {0};
    const char *above = test_path_in(test_temporary_folder(), "above");
    const char *folder = test_path_in(above, "cancelled");
    static const int polls[] = {0, 1, 5, 40, 120};
    for (size_t i = 0; i < sizeof polls / sizeof polls[0]; i++) {
        countdown count = {.at = polls[i]};
        kx_callbacks callbacks = {.cancelled = count_down, .user = &count};
        assert_int_equal(convert(test_tiny_model(), folder, KX_PRECISION_INT8, &callbacks, &err),
                         KX_ERR_CANCELLED);
        assert_false(kx_file_exists(above));
        assert_int_equal(entries_like(test_temporary_folder(), "above"), 0);
    }
}

/* ---- What is not weights ---- */

static void count_warning(void *user, const char *sentence)
{
    *(int *)user += strstr(sentence, "is not a regular file") != NULL;
}

static void link_to(const char *target, const char *folder, const char *name)
{
    if (symlink(target, test_path_in(folder, name)) != 0) fail_msg("cannot make %s", name);
}

/* A sparse file of more bytes than the program reads of any text. */
static void write_large_file(const char *path)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(ftruncate(fileno(file), ((off_t)64 << 20) + 12345), 0);
    assert_int_equal(fclose(file), 0);
}

/* Pipes would be waited for, devices read for ever. */
static void other_files_are_copied_and_what_is_none_is_left_out(void **state)
{
    (void)state;
    kx_error err = {0};
    struct stat info;
    int warnings = 0;
    const char *folder = test_linked_model("with-others", NULL);
    const char *packed = test_path_in(test_temporary_folder(), "packed-with-others");
    test_write_file("LICENSE.of-theirs", "free", 4);
    link_to(test_path_in(test_temporary_folder(), "LICENSE.of-theirs"), folder, "LICENSE.md");
    write_large_file(test_path_in(folder, "NOTICE"));
    write_large_file(test_path_in(folder, "tokenizer/more.json"));
    assert_int_equal(mkfifo(test_path_in(folder, "README.pipe"), 0600), 0);
    link_to("/dev/zero", folder, "tokenizer_2/zero");
    link_to("/nowhere", folder, "tokenizer_2/nowhere");
    assert_ok(kx_file_make_directory(test_path_in(folder, "README.folder"), &err));
    kx_model_options options = test_model_options(folder);
    options.warn = count_warning;
    options.user = &warnings;
    assert_ok(kx_model_convert(&options, packed, KX_PRECISION_INT8, NULL, &err));
    assert_int_equal(warnings, 3);
    static const struct {
        const char *name;
        off_t bytes;
    } copied[] = {{"LICENSE.md", 4},
                  {"NOTICE", ((off_t)64 << 20) + 12345},
                  {"tokenizer/more.json", ((off_t)64 << 20) + 12345}};
    for (size_t i = 0; i < sizeof copied / sizeof copied[0]; i++) {
        assert_int_equal(lstat(test_path_in(packed, copied[i].name), &info), 0);
        assert_true(S_ISREG(info.st_mode) && info.st_size == copied[i].bytes);
    }
    static const char *const left_out[] = {"README.pipe", "README.folder", "tokenizer_2/zero",
                                           "tokenizer_2/nowhere"};
    for (size_t i = 0; i < sizeof left_out / sizeof left_out[0]; i++)
        assert_int_equal(lstat(test_path_in(packed, left_out[i]), &info), -1);
    kx_model_close(open_as(packed, KX_PRECISION_AUTO));
    for (size_t i = 0; i < 3; i++) unlink(test_path_in(packed, copied[i].name));
    unlink(test_path_in(folder, "NOTICE"));
    unlink(test_path_in(folder, "tokenizer/more.json"));
}

static void note_bytes(void *user, const kx_progress *progress)
{
    *(uint64_t *)user = progress->done;
}

/* The memory of a process is a regular file whose first byte cannot be read. */
static void an_unreadable_file_is_told_before_weights_are_written(void **state)
{
    (void)state;
    kx_error err = {0};
    uint64_t done = 0;
    kx_callbacks callbacks = {.progress = note_bytes, .user = &done};
    const char *folder = test_linked_model("unreadable", NULL);
    const char *packed = test_path_in(test_temporary_folder(), "packed-unreadable");
    link_to("/proc/self/mem", folder, "LICENSE");
    kx_status status = convert(folder, packed, KX_PRECISION_INT8, &callbacks, &err);
    test_refused("unreadable", &err, status, KX_ERR_MODEL, "LICENSE");
    assert_int_equal(done, 0);
    assert_int_equal(entries_like(test_temporary_folder(), "packed-unreadable"), 0);
}

/* ---- What is broken ---- */

static void verify_names_the_damaged_tensor(void **state)
{
    (void)state;
    static const struct {
        const char *file, *tensor;
    } places[] = {
        {transformer, "single_blocks.1.linear2.packed"},
        {transformer, "double_blocks.0.txt_attn.qkv.packed_sums"},
        {transformer, "img_in.weight"},
        {t5, "encoder.block.1.layer.0.SelfAttention.qkv.packed_scales"},
        {"vae/diffusion_pytorch_model.safetensors", "decoder.conv_in.weight"},
        {clip, "encoder.layers.1.mlp.fc1.packed"},
        {clip, "final_layer_norm.bias"},
    };
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        kx_error err = {0};
        kx_safetensors file = {0};
        char name[32];
        size_t bytes;
        snprintf(name, sizeof name, "damaged-%zu", i);
        const char *folder = packed_tiny(name, KX_PRECISION_INT8);
        uint8_t *data = test_read_file(test_path_in(folder, places[i].file), &bytes);
        assert_ok(kx_safetensors_open_memory(&file, data, bytes, "f", KX_ERR_MODEL, &err));
        const kx_safetensors_tensor *tensor = kx_safetensors_find(&file, places[i].tensor);
        if (tensor == NULL) fail_msg("%s is not there", places[i].tensor);
        const char *found = strrchr(tensor->name, '.') - 4;
        char words[64];
        snprintf(words, sizeof words, "%s is damaged", found);
        data[(size_t)(tensor->data - data) + tensor->bytes / 2] ^= 1;
        kx_safetensors_close(&file);
        test_replace_file(folder, places[i].file, data, bytes);
        free(data);
        kx_model *model = open_as(folder, KX_PRECISION_AUTO);
        test_refused(places[i].tensor, &err, kx_model_verify(model, NULL, &err), KX_ERR_MODEL, words);
        kx_model_close(model);
    }
}

static void note_progress(void *user, const kx_progress *progress)
{
    *(kx_progress *)user = *progress;
}

static void verify_reaches_its_total(void **state)
{
    (void)state;
    const char *folders[] = {test_tiny_model(), packed_tiny("totalled", KX_PRECISION_BF16)};
    for (size_t i = 0; i < 2; i++) {
        kx_error err = {0};
        kx_progress last = {0};
        kx_callbacks callbacks = {.progress = note_progress, .user = &last};
        kx_model *model = open_as(folders[i], KX_PRECISION_AUTO);
        assert_ok(kx_model_verify(model, &callbacks, &err));
        assert_string_equal(last.stage, "verify");
        assert_true(last.total > 0 && last.done == last.total);
        kx_model_close(model);
    }
}

static void a_cut_packed_file_is_refused(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_model *model = NULL;
    const char *folder = packed_tiny("cut", KX_PRECISION_INT8);
    size_t bytes;
    uint8_t *data = test_read_file(test_path_in(folder, transformer), &bytes);
    const size_t lengths[] = {bytes - 1, bytes / 2, 4096, 100, 8};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        test_replace_file(folder, transformer, data, lengths[i]);
        test_refused("cut", &err, test_open_model(folder, 1, &model, &err), KX_ERR_MODEL, transformer);
    }
    free(data);
}

/* Replaces the first `from` behind the header's beginning by `to` of the same length. */
static void change_text(uint8_t *data, size_t bytes, const char *from, const char *to)
{
    size_t length = strlen(from);
    assert_int_equal(length, strlen(to));
    for (size_t i = 0; i + length <= bytes; i++) {
        if (memcmp(data + i, from, length) != 0) continue;
        memcpy(data + i, to, length);
        return;
    }
    fail_msg("the file does not hold %s", from);
}

/* Widths of the tiny transformer: 96, the MLP 384. */
static void a_wrong_description_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *words;
    } changes[] = {
        {"\\\"version\\\":2", "\\\"version\\\":1", "packed in format 1"},
        {"\\\"precision\\\":\\\"int8\\\"", "\\\"precision\\\":\\\"int4\\\"", "packed for int4"},
        {"\\\"group\\\":512", "\\\"group\\\":128", "groups of 128"},
        {"\\\"double_blocks.0.img_attn.qkv\\\":[288,96,0]", "\\\"double_blocks.0.img_attn.qkv\\\":[288,97,0]",
         "double_blocks.0.img_attn.qkv"},
        {"\\\"double_blocks.0.img_attn.qkv\\\":[288,96,0]", "\\\"double_blocks.0.img_attn.qkv\\\":[304,96,0]",
         "double_blocks.0.img_attn.qkv"},
        {"\\\"double_blocks.0.img_attn.qkv\\\":[288,96,0]", "\\\"double_blocks.0.img_attn.qkx\\\":[288,96,0]",
         "double_blocks.0.img_attn.qkv"},
        {"\\\"double_blocks.0.img_attn.qkv\\\":[288,96,0]", "\\\"double_blocks.0.img_attn.qkv\\\":[288,-6,0]",
         "must be 1 to"},
        {"\\\"double_blocks.0.img_attn.qkv\\\":[288,96,0]", "\\\"double_blocks.0.img_att\\\":[288,1048577,0]",
         "must be 1 to 1048576"},
        {"\\\"double_blocks.0.img_attn.qkv.weight\\\":[288,96]",
         "\\\"double_blocks.0.img_attn.qkv.weight\\\":[288,98]", "double_blocks.0.img_attn.qkv"},
        {"\\\"double_blocks.0.img_attn.proj.weight\\\":[96,96]",
         "\\\"double_blocks.0.img_attn.proj.wwight\\\":[96,96]", "double_blocks.0.img_attn.proj.weight"},
        {"\"double_blocks.0.img_attn.qkv.packed\":{\"dtype\":\"I8\"",
         "\"double_blocks.0.img_attn.qkv.packed\":{\"dtype\":\"U8\"", "I8 [18,2,1024] is expected"},
        {"\"double_blocks.0.img_attn.qkv.packed_sums\"", "\"double_blocks.0.img_attn.qkv.packed_sumx\"",
         "packed_sums is missing"},
    };
    const char *folder = packed_tiny("described", KX_PRECISION_INT8);
    size_t bytes;
    uint8_t *data = test_read_file(test_path_in(folder, transformer), &bytes);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        kx_error err = {0};
        kx_model *model = NULL;
        uint8_t *changed = malloc(bytes);
        assert_non_null(changed);
        memcpy(changed, data, bytes);
        change_text(changed, bytes, changes[i].from, changes[i].to);
        test_replace_file(folder, transformer, changed, bytes);
        free(changed);
        test_refused(changes[i].to, &err, test_open_model(folder, 1, &model, &err), KX_ERR_MODEL,
                     changes[i].words);
    }
    free(data);
}

/* A parameter that is said to be packed and is in no matrix would be read from nowhere. */
static void only_matrices_can_be_packed(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_model *model = NULL;
    size_t bytes;
    const char *folder = packed_tiny("embedded", KX_PRECISION_INT8);
    uint8_t *data = test_read_file(test_path_in(folder, transformer), &bytes);
    /* One more parameter, in place of the spaces that fill the header. */
    static const char before[] = "\\\"parameters\\\":{", added[] = "\\\"img_in.weight\\\":[96,64],";
    size_t end = 8 + (data[0] | (size_t)data[1] << 8 | (size_t)data[2] << 16), at = 8, more = strlen(added);
    while (at < end && memcmp(data + at, before, strlen(before)) != 0) at++;
    at += strlen(before);
    assert_true(at < end - more && data[end - more] == ' ');
    memmove(data + at + more, data + at, end - more - at);
    memcpy(data + at, added, more);
    test_replace_file(folder, transformer, data, bytes);
    free(data);
    test_refused("img_in", &err, test_open_model(folder, 1, &model, &err), KX_ERR_MODEL,
                 "lists parameters of");
}

static void parts_of_different_precision_are_refused(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_model *model = NULL;
    const char *folder = packed_tiny("mixed", KX_PRECISION_INT8),
               *other = packed_tiny("mixed-16", KX_PRECISION_BF16);
    take_file(folder, clip, other);
    test_refused("clip", &err, test_open_model(folder, 1, &model, &err), KX_ERR_MODEL,
                 "the transformer is packed for int8, clip is packed for bf16");
    take_file(folder, t5, other);
    test_refused("mixed", &err, test_open_model(folder, 1, &model, &err), KX_ERR_MODEL,
                 "the transformer is packed for int8, t5 is packed for bf16");
    take_file(folder, t5, test_tiny_model());
    test_refused("half", &err, test_open_model(folder, 1, &model, &err), KX_ERR_MODEL,
                 "t5 is stored for f32");
    take_file(folder, transformer, test_tiny_model());
    test_refused("clip alone", &err, test_open_model(folder, 1, &model, &err), KX_ERR_MODEL,
                 "the transformer is stored for f32, clip is packed for bf16");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_packed_file_gives_the_edits_of_packing_in_memory),
        cmocka_unit_test(a_packed_file_needs_no_memory_for_its_matrices),
        cmocka_unit_test(a_packed_folder_with_clip_as_published_gives_the_same_edits),
        cmocka_unit_test(a_packed_model_says_what_it_is),
        cmocka_unit_test(a_synthetic_model_is_packed_as_its_files_would_be),
        cmocka_unit_test(what_makes_no_sense_is_refused),
        cmocka_unit_test(a_cancelled_conversion_leaves_nothing),
        cmocka_unit_test(other_files_are_copied_and_what_is_none_is_left_out),
        cmocka_unit_test(an_unreadable_file_is_told_before_weights_are_written),
        cmocka_unit_test(verify_names_the_damaged_tensor),
        cmocka_unit_test(verify_reaches_its_total),
        cmocka_unit_test(a_cut_packed_file_is_refused),
        cmocka_unit_test(a_wrong_description_is_refused),
        cmocka_unit_test(only_matrices_can_be_packed),
        cmocka_unit_test(parts_of_different_precision_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

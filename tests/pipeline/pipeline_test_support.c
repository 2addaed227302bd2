#include "pipeline_test_support.h"

#include <dirent.h>
#include <unistd.h>

const char *test_path_in(const char *folder, const char *name)
{
    static char paths[64][4096];
    static unsigned next;
    char path[sizeof paths[0]]; /* `folder` may be one of the buffers */
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return memcpy(paths[next++ % 64], path, sizeof path);
}

const char *test_tiny_model(void)
{
    static char folder[4096];
    if (folder[0] != '\0') return folder;
    kx_error err = {0};
    snprintf(folder, sizeof folder, "%s/tiny", test_temporary_folder());
    assert_ok(kx_model_synth(folder, KX_SYNTH_TINY, 1, NULL, &err));
    return folder;
}

kx_model_options test_model_options(const char *folder)
{
    kx_model_options options = kx_model_options_default();
    options.path = folder;
    options.cpu = getenv("KONTEXT_CPU");
    return options;
}

kx_status test_open_model(const char *folder, unsigned threads, kx_model **model, kx_error *err)
{
    kx_model_options options = test_model_options(folder);
    options.threads = threads;
    return kx_model_open(model, &options, err);
}

kx_model *test_open_with(kx_model_options options)
{
    kx_error err = {0};
    kx_model *model = NULL;
    assert_ok(kx_model_open(&model, &options, &err));
    return model;
}

kx_model *test_open_tiny(unsigned threads)
{
    kx_model_options options = test_model_options(test_tiny_model());
    options.threads = threads;
    return test_open_with(options);
}

/* Folders are made, files are linked. */
static void link_tree(const char *from, const char *to, const char *without)
{
    kx_error err = {0};
    assert_ok(kx_file_make_directory(to, &err));
    DIR *directory = opendir(from);
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (entry->d_name[0] == '.' || (without != NULL && strcmp(entry->d_name, without) == 0)) continue;
        char source[4096], target[4096];
        snprintf(source, sizeof source, "%s/%s", from, entry->d_name);
        snprintf(target, sizeof target, "%s/%s", to, entry->d_name);
        if (kx_file_is_directory(source)) {
            link_tree(source, target, NULL);
        } else if (symlink(source, target) != 0) {
            fail_msg("cannot link %s", target);
        }
    }
    closedir(directory);
}

const char *test_linked_model(const char *name, const char *without)
{
    const char *folder = test_path_in(test_temporary_folder(), name);
    link_tree(test_tiny_model(), folder, without);
    return folder;
}

void test_replace_file(const char *folder, const char *file, const void *data, size_t bytes)
{
    const char *path = test_path_in(folder, file);
    if (unlink(path) != 0) fail_msg("%s is not there", path);
    FILE *out = fopen(path, "wb");
    if (out == NULL || fwrite(data, 1, bytes, out) != bytes || fclose(out) != 0)
        fail_msg("cannot write %s", path);
}

void test_patch_weight(const char *folder, const char *file, const char *tensor, size_t element,
                       uint16_t bits)
{
    kx_error err = {0};
    kx_safetensors parsed = {0};
    size_t bytes;
    const char *path = test_path_in(folder, file);
    uint8_t *data = test_read_file(path, &bytes);
    assert_ok(kx_safetensors_open(&parsed, path, KX_ERR_MODEL, &err));
    const kx_safetensors_tensor *found = kx_safetensors_find(&parsed, tensor);
    if (found == NULL || found->dtype != KX_BF16 || element >= found->count)
        fail_msg("%s has no bf16 tensor %s with element %zu", file, tensor, element);
    size_t at = (size_t)(found->data - parsed.map.data) + 2 * element;
    data[at] = (uint8_t)bits;
    data[at + 1] = (uint8_t)(bits >> 8);
    kx_safetensors_close(&parsed);
    test_replace_file(folder, file, data, bytes);
    free(data);
}

kx_picture test_paint(int width_px, int height_px, unsigned seed)
{
    kx_picture picture = {width_px, height_px, malloc(3 * (size_t)width_px * (size_t)height_px)};
    assert_non_null(picture.rgb);
    uint32_t noise = seed * 2654435761u + 1;
    uint8_t *byte = picture.rgb;
    for (int y = 0; y < height_px; y++)
        for (int x = 0; x < width_px; x++)
            for (int c = 0; c < 3; c++) {
                noise = noise * 1664525u + 1013904223u;
                *byte++ = (uint8_t)((x * (c + 1) + y * (3 - c) + (int)seed * 37 + (int)(noise >> 28)) & 255);
            }
    return picture;
}

kx_edit_request test_request(const char *prompt)
{
    kx_edit_request request = kx_edit_request_default();
    request.prompt = prompt;
    request.steps = 2;
    request.seed = 7;
    return request;
}

kx_result *test_edit(kx_model *model, const kx_edit_request *request)
{
    kx_error err = {0};
    kx_result *result = NULL;
    assert_ok(kx_edit_run(model, request, NULL, &result, &err));
    assert_non_null(result);
    return result;
}

void test_same_pictures(const char *what, const kx_result *a, const kx_result *b)
{
    assert_int_equal(a->num_images, b->num_images);
    for (size_t k = 0; k < a->num_images; k++) {
        const kx_picture *p = &a->images[k].picture, *q = &b->images[k].picture;
        if (p->width_px != q->width_px || p->height_px != q->height_px)
            fail_msg("%s: picture %zu is %dx%d and %dx%d", what, k, p->width_px, p->height_px, q->width_px,
                     q->height_px);
        size_t bytes = 3 * (size_t)p->width_px * (size_t)p->height_px;
        for (size_t i = 0; i < bytes; i++)
            if (p->rgb[i] != q->rgb[i])
                fail_msg("%s: byte %zu of picture %zu is %d and %d", what, i, k, p->rgb[i], q->rgb[i]);
    }
}

void test_refused(const char *what, kx_error *err, kx_status status, kx_status expected, const char *words)
{
    if (status != expected)
        fail_msg("%s: the status is %s, %s is expected: %s", what, kx_status_name(status),
                 kx_status_name(expected), err->message);
    if (err->status != status)
        fail_msg("%s: the status is %d, that of the error is %d", what, status, err->status);
    if (strstr(err->message, words) == NULL)
        fail_msg("%s: \"%s\" does not say \"%s\"", what, err->message, words);
    size_t length = strlen(err->message);
    if (length == 0 || strchr(err->message, '\n') != NULL || err->message[length - 1] == '.')
        fail_msg("%s: \"%s\" is not one sentence without a full stop", what, err->message);
    *err = (kx_error){0};
}

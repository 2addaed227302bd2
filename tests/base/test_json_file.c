#include "test_support.h"

#include "base/json_file.h"

#include <stdlib.h>
#include <string.h>

static json_t *load(const char *text, kx_error *err)
{
    json_t *root = NULL;
    kx_status status = kx_json_text_load(&root, text, strlen(text), "the text", KX_ERR_MODEL, err);
    assert_int_equal(status == KX_OK, root != NULL);
    return root;
}

static void assert_refused(const char *text, const char *words)
{
    kx_error err = {0};
    assert_null(load(text, &err));
    assert_int_equal(err.status, KX_ERR_MODEL);
    if (strstr(err.message, words) == NULL) fail_msg("\"%s\" does not say \"%s\"", err.message, words);
}

static void good_json_is_read(void **state)
{
    (void)state;
    kx_error err = {0};
    json_t *root = load("{\"a\": [1, 2.5, \"\\u2581x\", null]}", &err);
    assert_non_null(root);
    assert_int_equal(json_array_size(json_object_get(root, "a")), 4);
    json_decref(root);
    assert_ok(kx_json_file_load(&root, test_write_file("good.json", "{\"k\": 7}", 8), 8, KX_ERR_INPUT, &err));
    assert_int_equal(json_integer_value(json_object_get(root, "k")), 7);
    json_decref(root);
}

static void broken_json_names_the_line(void **state)
{
    (void)state;
    assert_refused("{\n\"a\": 1,\n}", "the text: not valid JSON at line 3");
    assert_refused("", "line 1");
    assert_refused("[1] x", "end of file expected");
    assert_refused("7", "expected");
    assert_refused("[\"\xff\"]", "unable to decode byte 0xff");
    assert_refused("[1e999]", "overflow");
}

static void a_key_that_stands_twice_is_refused(void **state)
{
    (void)state;
    assert_refused("{\"a\": 1, \"a\": 2}", "duplicate");
}

static void deep_nesting_is_refused(void **state)
{
    (void)state;
    enum { DEPTH = 1000000 };
    char *text = malloc(DEPTH + 1);
    assert_non_null(text);
    memset(text, '[', DEPTH);
    text[DEPTH] = 0;
    assert_refused(text, "depth");
    free(text);
}

static void a_file_over_the_cap_is_refused(void **state)
{
    (void)state;
    kx_error err = {0};
    json_t *root = NULL;
    const char *path = test_write_file("large.json", "{\"k\": 77}", 9);
    assert_int_equal(kx_json_file_load(&root, path, 8, KX_ERR_INPUT, &err), KX_ERR_INPUT);
    assert_null(root);
    assert_non_null(strstr(err.message, "limit of 8 bytes"));
    err = (kx_error){0};
    assert_int_equal(kx_json_file_load(&root, "/nonexistent.json", 8, KX_ERR_MODEL, &err), KX_ERR_MODEL);
    err = (kx_error){0};
    assert_int_equal(kx_json_file_load(&root, test_write_file("empty.json", "", 0), 8, KX_ERR_MODEL, &err),
                     KX_ERR_MODEL);
}

static void integers_beyond_64_bits_need_the_reals(void **state)
{
    (void)state;
    kx_error err = {0};
    const char *text = "{\"model_max_length\": 1000000000000000019884624838656, \"k\": 3}";
    json_t *root = NULL;
    assert_refused(text, "too big integer");
    assert_ok(kx_json_text_load_reals(&root, text, strlen(text), "the text", KX_ERR_MODEL, &err));
    assert_true(json_real_value(json_object_get(root, "model_max_length")) > 1e29);
    assert_true(json_real_value(json_object_get(root, "k")) == 3.0);
    assert_string_equal(kx_json_kind(root), "an object");
    assert_string_equal(kx_json_kind(NULL), "nothing");
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_json_is_read),
        cmocka_unit_test(broken_json_names_the_line),
        cmocka_unit_test(a_key_that_stands_twice_is_refused),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(integers_beyond_64_bits_need_the_reals),
        cmocka_unit_test(a_file_over_the_cap_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

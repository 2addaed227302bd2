/* OpenAPI against the routes that are served, and against itself. */
#include "test_support.h"

#include "service/api/openapi.h"
#include "service/api/picture_kind.h"
#include "service/api/routes.h"

#include "service/api/api.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static json_t *document(void)
{
    kx_parameter_limits limits = {256, 1536, 28, 2.5};
    json_t *made = kx_openapi_make("http://h", &limits);
    assert_non_null(made);
    return made;
}

static const json_t *operation(const json_t *made, const char *path, const char *method)
{
    const char *name;
    json_t *value;
    json_object_foreach(json_object_get(json_object_get(made, "paths"), path), name,
                        value) if (strcasecmp(name, method) == 0) return value;
    return NULL;
}

static void every_route_is_described(void **state)
{
    (void)state;
    size_t count = 0, num_texts = 0;
    const kx_route *routes = kx_api_routes(&count);
    const kx_route_text *texts = kx_api_route_texts(&num_texts);
    json_t *made = document();
    assert_int_equal(count, num_texts);
    for (size_t i = 0; i < count; i++) {
        char path[200];
        if (texts[i].summary[0] == '\0' || strcmp(routes[i].path, "/api/v3/{model*}") == 0) continue;
        snprintf(path, sizeof path, "%s", routes[i].path);
        char *star = strchr(path, '*');
        if (star != NULL) memmove(star, star + 1, strlen(star));
        if (operation(made, path, routes[i].method) == NULL)
            fail_msg("%s %s is not described", routes[i].method, path);
    }
    assert_non_null(operation(made, "/api/v3/wavespeed-ai/flux-kontext-dev/multi", "POST"));
    assert_non_null(operation(made, "/api/v3/wavespeed-ai/flux-kontext-dev", "POST"));
    json_decref(made);
}

static void check_references(const json_t *value, const json_t *schemas)
{
    const char *name;
    json_t *item;
    size_t index;
    if (json_is_object(value)) {
        const char *reference = json_string_value(json_object_get(value, "$ref"));
        if (reference != NULL && json_object_get(schemas, strrchr(reference, '/') + 1) == NULL)
            fail_msg("%s is not there", reference);
        json_object_foreach((json_t *)(uintptr_t)value, name, item) check_references(item, schemas);
    }
    if (json_is_array(value)) json_array_foreach(value, index, item) check_references(item, schemas);
}

static void every_reference_has_its_schema(void **state)
{
    (void)state;
    json_t *made = document();
    check_references(made, json_object_get(json_object_get(made, "components"), "schemas"));
    json_decref(made);
}

static void unknown_fields_are_accepted(void **state)
{
    (void)state;
    json_t *made = document();
    const json_t *schemas = json_object_get(json_object_get(made, "components"), "schemas");
    const json_t *input = json_object_get(schemas, "Input-flux-kontext-dev-multi");
    assert_true(json_is_true(json_object_get(input, "additionalProperties")));
    assert_non_null(json_object_get(json_object_get(input, "properties"), "webhook_url"));
    json_decref(made);
}

static void pictures_are_told_by_their_bytes(void **state)
{
    (void)state;
    assert_string_equal(kx_picture_kind_of("\xff\xd8\xff\xe0", 4)->content_type, "image/jpeg");
    assert_string_equal(kx_picture_kind_of("RIFF\1\2\3\4WEBP", 12)->suffix, "webp");
    assert_string_equal(kx_picture_kind_of("MM\0*", 4)->suffix, "tiff");
    assert_null(kx_picture_kind_of("PK\3\4", 4));
    assert_null(kx_picture_kind_of("", 0));
    assert_null(kx_picture_kind_of("\x89PNG", 4));
    assert_string_equal(kx_picture_kind_named("IMAGE/JPG", "a.zip")->suffix, "jpeg");
    assert_string_equal(kx_picture_kind_named("", "a.b.TIF")->suffix, "tiff");
    assert_null(kx_picture_kind_named("text/html", "a"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_route_is_described),
        cmocka_unit_test(every_reference_has_its_schema),
        cmocka_unit_test(unknown_fields_are_accepted),
        cmocka_unit_test(pictures_are_told_by_their_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

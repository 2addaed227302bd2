/* Checks JSON that the program writes.
 *
 *     json_check FILE [PATH[=TEXT]]...
 *
 * FILE must hold one JSON value and nothing else. Each PATH ("sizes.final.width", "files.0") must exist and,
 * with =TEXT, be that string, number, true, false or null. With one path and no "=" its value is printed. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *step_into(json_t *value, const char *name)
{
    char *end;
    unsigned long index = strtoul(name, &end, 10);
    if (json_is_array(value) && *end == '\0') return json_array_get(value, index);
    return json_object_get(value, name);
}

static json_t *find(json_t *value, const char *path, size_t length)
{
    char name[128];
    for (size_t at = 0; value != NULL && at < length;) {
        size_t word = strcspn(path + at, ".");
        if (word > length - at) word = length - at;
        if (word >= sizeof name) return NULL;
        memcpy(name, path + at, word);
        name[word] = '\0';
        value = step_into(value, name);
        at += word + 1;
    }
    return value;
}

static void write_value(const json_t *value, char *out, size_t room)
{
    char *text = json_is_string(value)
                     ? NULL
                     : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
    snprintf(out, room, "%s", text != NULL ? text : json_string_value(value));
    free(text);
}

static int check_path(json_t *root, const char *argument, int alone)
{
    char found[4096];
    const char *equals = strchr(argument, '=');
    size_t length = equals != NULL ? (size_t)(equals - argument) : strlen(argument);
    json_t *value = find(root, argument, length);
    if (value == NULL) {
        fprintf(stderr, "json_check: there is no %.*s\n", (int)length, argument);
        return 1;
    }
    write_value(value, found, sizeof found);
    if (equals != NULL && strcmp(found, equals + 1) != 0) {
        fprintf(stderr, "json_check: %.*s is %s, expected is %s\n", (int)length, argument, found, equals + 1);
        return 1;
    }
    if (equals == NULL && alone) puts(found);
    return 0;
}

int main(int argc, char **argv)
{
    json_error_t error;
    if (argc < 2) return 2;
    json_t *root = json_load_file(argv[1], JSON_REJECT_DUPLICATES, &error);
    if (root == NULL) {
        fprintf(stderr, "json_check: %s: line %d: %s\n", argv[1], error.line, error.text);
        return 1;
    }
    int failed = 0;
    for (int i = 2; i < argc; i++) failed |= check_path(root, argv[i], argc == 3);
    json_decref(root);
    return failed;
}

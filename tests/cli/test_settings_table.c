/* The table of settings: every field of kx_settings can be set by a flag, by the environment and by the file,
 * each wins over the next, and what is printed is read back. */
#include "test_support.h"

#include "cli/cli_config.h"
#include "cli/cli_help.h"
#include "cli/cli_settings.h"
#include "cli/cli_values.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_setting(const kx_cli_option *option)
{
    return (option->commands & KX_CLI_SERVE) != 0 && (option->sources & KX_CLI_IN_FILE) != 0;
}

static size_t field_bytes(kx_cli_kind kind)
{
    switch (kind) {
    case KX_CLI_KIND_TEXT:
        return sizeof(const char *);
    case KX_CLI_KIND_SWITCH:
        return sizeof(bool);
    case KX_CLI_KIND_BYTES:
    case KX_CLI_KIND_LONG_SECONDS:
    case KX_CLI_KIND_MONEY:
        return sizeof(uint64_t);
    default:
        return sizeof(unsigned);
    }
}

/* Word `place` of "auto|f32|bf16|int8". */
static const char *choice(const char *words, int place, char out[64])
{
    for (; place > 0; place--) words = strchr(words, '|') + 1;
    snprintf(out, 64, "%.*s", (int)strcspn(words, "|"), words);
    return out;
}

/* Three different values that are not the default, for flag, environment and file. */
static const char *sample(const kx_cli_option *option, int which, char out[64])
{
    static const char *const paths[] = {"/tmp/flag", "/tmp/environment", "/tmp/file"};
    static const char *const caches[] = {"first-block", "teacache=0.3", "first-block=0"};
    static const char *const delays[] = {"1", "2,3", "4,5,6"};
    if (option->read == kx_cli_read_cache) return caches[which];
    if (option->choices != NULL) return choice(option->choices, which + 1, out);
    if (option->read == kx_cli_read_delays) return delays[which];
    if (option->kind == KX_CLI_KIND_TEXT) return paths[which];
    if (option->kind == KX_CLI_KIND_SWITCH) return "true";
    if (option->kind == KX_CLI_KIND_MONEY)
        snprintf(out, 64, "%d.125", which + 3);
    else if (option->kind == KX_CLI_KIND_BYTES)
        snprintf(out, 64, "%dK", which + 3);
    else if (option->kind == KX_CLI_KIND_MILLISECONDS)
        snprintf(out, 64, "%dms", which + 11);
    else if (option->kind == KX_CLI_KIND_SECONDS || option->kind == KX_CLI_KIND_LONG_SECONDS)
        snprintf(out, 64, "%dm", which + 2);
    else
        snprintf(out, 64, "%d", which + 11);
    return out;
}

/* What the option's field holds after flag, environment and file said what they say (NULL: nothing). */
static void value_after(const kx_cli_option *option, const char *flag, const char *environment,
                        const char *file, char *out, size_t room)
{
    kx_error err = {0};
    kx_cli_arguments arguments;
    char variable[KX_CLI_VARIABLE_BYTES], given[128], path[2048];
    kx_cli_variable_name(option, variable);
    if (environment != NULL) setenv(variable, environment, 1);
    snprintf(given, sizeof given, "--%s=%s", option->name, flag != NULL ? flag : "");
    snprintf(path, sizeof path, "%s/one.ini", test_temporary_folder());
    FILE *config = fopen(path, "w");
    assert_non_null(config);
    if (file != NULL) fprintf(config, "%s = \"%s\"\n", option->name, file);
    assert_int_equal(fclose(config), 0);
    char *argv[] = {"kontext", "serve", "--config", path, given};
    assert_ok(kx_cli_parse(&arguments, flag != NULL ? 5 : 4, argv, &err));
    kx_cli_setting_text(option, &arguments, out, room);
    kx_cli_arguments_free(&arguments);
    unsetenv(variable);
}

static void every_field_is_reached_from_everywhere(void **state)
{
    (void)state;
    bool covered[sizeof(kx_settings)] = {false};
    for (size_t i = 0; i < kx_cli_num_options; i++) {
        const kx_cli_option *option = &kx_cli_options[i];
        if (!is_setting(option)) continue;
        size_t at = option->field - offsetof(kx_cli_arguments, settings);
        assert_true(at + field_bytes(option->kind) <= sizeof(kx_settings));
        for (size_t k = 0; k < field_bytes(option->kind); k++) {
            if (covered[at + k]) fail_msg("--%s sets a field that another option sets", option->name);
            covered[at + k] = true;
        }
        char rooms[3][64], found[256], standard[256];
        const char *flag = sample(option, 0, rooms[0]), *environment = sample(option, 1, rooms[1]),
                   *file = sample(option, 2, rooms[2]);
        value_after(option, NULL, NULL, NULL, standard, sizeof standard);
        const char *const cases[][4] = {
            /* flag, environment, file, what counts */
            {flag, NULL, NULL, flag},        {NULL, environment, NULL, environment}, {NULL, NULL, file, file},
            {flag, environment, file, flag}, {NULL, environment, file, environment}, {flag, NULL, file, flag},
        };
        for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
            value_after(option, cases[k][0], cases[k][1], cases[k][2], found, sizeof found);
            if (strcmp(found, cases[k][3]) != 0)
                fail_msg("--%s, case %zu: '%s' is found, '%s' is expected", option->name, k, found,
                         cases[k][3]);
            if (strcmp(found, standard) == 0) fail_msg("--%s: the sample is the default", option->name);
        }
    }
    /* What is left must be gaps of the layout. */
    for (size_t at = 0, gap = 0; at < sizeof covered; at++) {
        gap = covered[at] ? 0 : gap + 1;
        if (gap >= sizeof(void *)) fail_msg("no option sets byte %zu of kx_settings", at);
    }
}

/* Declared fields of the struct in the header's text: each ends with a comma or a semicolon. */
static size_t count_declared(const char *text)
{
    size_t count = 0;
    const char *at = strstr(text, "typedef struct kx_settings {");
    assert_non_null(at);
    for (at = strchr(at, '{') + 1; *at != '}'; at++) {
        if (at[0] == '/' && at[1] == '*') at = strstr(at, "*/") + 1;
        count += *at == ',' || *at == ';';
    }
    return count;
}

/* What hides in a gap of the layout is counted here. */
static void there_are_as_many_options_as_fields(void **state)
{
    (void)state;
    char path[4096];
    size_t bytes, options = 0;
    const char *source = getenv("KONTEXT_SOURCE");
    if (source == NULL) skip();
    snprintf(path, sizeof path, "%s/src/service/common/settings.h", source);
    uint8_t *data = test_read_file(path, &bytes);
    char *text = calloc(1, bytes + 1);
    assert_non_null(text);
    memcpy(text, data, bytes);
    for (size_t i = 0; i < kx_cli_num_options; i++) options += is_setting(&kx_cli_options[i]);
    assert_int_equal(options, count_declared(text));
    free(text);
    free(data);
}

static void a_printed_configuration_is_read_back(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_cli_arguments arguments, again;
    char path[2048], a[256], b[256], networks[3000]; /* a long list */
    snprintf(path, sizeof path, "%s/printed.ini", test_temporary_folder());
    memset(networks, '1', sizeof networks - 1);
    networks[sizeof networks - 1] = '\0';
    char *argv[] = {"kontext",
                    "serve",
                    "--data",
                    "/tmp/a \"b\" \\ c",
                    "--max-body=3M",
                    "--retention",
                    "36h",
                    "--price-multi",
                    "0.05",
                    "--log-prompts",
                    "--webhook-backoff",
                    "1,2",
                    "--sync-window",
                    "1500ms",
                    "--listen=[::1]:0",
                    "--trusted-proxies",
                    networks};
    assert_ok(kx_cli_parse(&arguments, sizeof argv / sizeof argv[0], argv, &err));
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    kx_cli_print_config(file, &arguments);
    assert_int_equal(fclose(file), 0);
    char *second[] = {"kontext", "serve", "--config", path};
    assert_ok(kx_cli_parse(&again, 4, second, &err));
    for (size_t i = 0; i < kx_cli_num_options; i++) {
        if (!is_setting(&kx_cli_options[i])) continue;
        kx_cli_setting_text(&kx_cli_options[i], &arguments, a, sizeof a);
        kx_cli_setting_text(&kx_cli_options[i], &again, b, sizeof b);
        assert_string_equal(a, b);
        assert_int_equal(arguments.given[i], again.given[i]);
    }
    assert_string_equal(again.settings.trusted_proxies, networks);
    kx_cli_arguments_free(&arguments);
    kx_cli_arguments_free(&again);
}

/* ---- Values ---- */

typedef struct value_case {
    const char *name, *text, *expected; /* NULL: refused */
} value_case;

static const value_case value_cases[] = {
    {"max-body", "1024", "1K"},
    {"max-body", "1025", "1025"},
    {"max-body", "1G", "1G"},
    {"max-body", "1T", "1T"},
    {"max-body", "1023", NULL},
    {"max-body", "2T", NULL},
    {"max-body", "1m", NULL},
    {"max-body", "1MB", NULL},
    {"max-body", "1.5M", NULL},
    {"max-body", " 1M", NULL},
    {"max-body", "-1M", NULL},
    {"max-body", "99999999999999999999", NULL},
    {"max-body", "9999999999999999999T", NULL},
    {"max-body", "", NULL},
    {"retention", "7d", "7d"},
    {"retention", "36h", "36h"},
    {"retention", "90", "90s"},
    {"retention", "59s", NULL},
    {"retention", "1w", NULL},
    {"retention", "60ms", NULL},
    {"sync-window", "90", "90s"},
    {"sync-window", "250ms", "250ms"},
    {"sync-window", "91s", NULL},
    {"sync-window", "0", NULL},
    {"idle-timeout", "90s", "90s"},
    {"idle-timeout", "2m", "2m"},
    {"submits-per-minute", "0", "0"},
    {"submits-per-minute", "1s", NULL},
    {"concurrency", "0", NULL},
    {"price-multi", "0.03", "0.03"},
    {"price-multi", "0", "0"},
    {"price-multi", "0.000001", "0.000001"},
    {"price-multi", "1000000", "1000000"},
    {"price-multi", "0.0000001", NULL},
    {"price-multi", "-1", NULL},
    {"price-multi", "1.", NULL},
    {"price-multi", ".5", NULL},
    {"price-multi", "1e3", NULL},
    {"price-multi", "1000000.000001", NULL},
    {"log-prompts", "yes", "true"},
    {"log-prompts", "off", "false"},
    {"log-prompts", "maybe", NULL},
    {"cpu", "avx512", "avx512"},
    {"cpu", "sse", NULL},
    {"cache", "teacache=0.25", "teacache=0.25"},
    {"cache", "off", "off"},
    {"cache", "teacache=11", NULL},
    {"webhook-backoff", "10,60", "10,60"},
    {"webhook-backoff", "", ""},
    {"webhook-backoff", "10,", NULL},
    {"webhook-backoff", "10, 60", NULL},
    {"webhook-backoff", "0", NULL},
    {"webhook-backoff", "9999999999", NULL},
};

static void values_have_units(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof value_cases / sizeof value_cases[0]; i++) {
        const value_case *c = &value_cases[i];
        kx_error err = {0};
        kx_cli_arguments arguments;
        char given[128], found[128] = "", start[64];
        snprintf(given, sizeof given, "--%s=%s", c->name, c->text);
        snprintf(start, sizeof start, "--%s: ", c->name);
        char *argv[] = {"kontext", "serve", "--data", "/nowhere", given};
        kx_status status = kx_cli_parse(&arguments, 5, argv, &err);
        if (status != (c->expected != NULL ? KX_OK : KX_ERR_INPUT))
            fail_msg("%s: the status is %s: %s", given, kx_status_name(status), err.message);
        if (c->expected == NULL && strncmp(err.message, start, strlen(start)) != 0)
            fail_msg("%s: \"%s\" does not begin with %s", given, err.message, start);
        for (size_t k = 0; k < kx_cli_num_options && c->expected != NULL; k++)
            if (is_setting(&kx_cli_options[k]) && strcmp(kx_cli_options[k].name, c->name) == 0)
                kx_cli_setting_text(&kx_cli_options[k], &arguments, found, sizeof found);
        if (c->expected != NULL && strcmp(found, c->expected) != 0)
            fail_msg("%s reads as '%s', '%s' is expected", given, found, c->expected);
        kx_cli_arguments_free(&arguments);
    }
}

/* ---- Help ---- */

static void the_help_names_every_option_and_default(void **state)
{
    (void)state;
    char *text = NULL;
    size_t bytes = 0;
    FILE *stream = open_memstream(&text, &bytes);
    assert_non_null(stream);
    kx_cli_print_help(stream, kx_cli_find_command("serve"));
    assert_int_equal(fclose(stream), 0);
    for (char *at = text; *at != '\0'; at++)
        if (*at == '\n') *at = ' ';
    for (size_t i = 0; i < kx_cli_num_options; i++) {
        const kx_cli_option *option = &kx_cli_options[i];
        char name[80], variable[KX_CLI_VARIABLE_BYTES], standard[256];
        if (!is_setting(option)) continue;
        snprintf(name, sizeof name, "--%s ", option->name);
        kx_cli_variable_name(option, variable);
        if (strstr(text, name) == NULL || strstr(text, variable) == NULL)
            fail_msg("the help lacks %s or %s", name, variable);
        kx_cli_default_text(option, standard, sizeof standard);
        if (standard[0] == '\0') fail_msg("--%s has no default to tell", option->name);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_is_reached_from_everywhere),
        cmocka_unit_test(there_are_as_many_options_as_fields),
        cmocka_unit_test(a_printed_configuration_is_read_back),
        cmocka_unit_test(values_have_units),
        cmocka_unit_test(the_help_names_every_option_and_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

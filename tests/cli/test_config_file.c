/* The configuration file: what a line may be, and the sentence that each bad one gets. */
#include "test_support.h"

#include "cli/cli_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static kx_status apply(kx_cli_arguments *arguments, const char *text, kx_error *err)
{
    *arguments =
        (kx_cli_arguments){.command = kx_cli_find_command("serve"), .settings = kx_settings_default()};
    size_t bytes = strlen(text);
    char *exact = malloc(bytes + (bytes == 0)); /* a read behind the end is seen */
    assert_non_null(exact);
    memcpy(exact, text, bytes);
    kx_status status = kx_cli_config_apply(arguments, exact, bytes, "k.ini", err);
    free(exact);
    return status;
}

typedef struct good_text {
    const char *text, *listen; /* what `listen` is afterwards */
} good_text;

static const good_text good_texts[] = {
    {"", "127.0.0.1:8080"},
    {"\n\n  \t\r\n# only words\n   # more\n", "127.0.0.1:8080"},
    {"listen=a", "a"},
    {"  listen  =  a b  \r\n", "a b"},
    {"listen = a # b", "a"},
    {"listen = a#b", "a#b"},
    {"listen = \"a # b\" # c", "a # b"},
    {"listen = 'a \\ \"b\"'", "a \\ \"b\""},
    {"listen = \"a\\\"b\\\\c\\td\\n\"", "a\"b\\c\td\n"},
    {"[Place]\nlisten = a\n[ anything else ] # words\n", "a"},
    {"max_body = 1M\nmax-upload = 2M\nlisten = a", "a"},
    {"listen = \xc3\xa9", "\xc3\xa9"},
    {"log_prompts = true\nlisten = a=b", "a=b"},
};

static void a_line_is_a_name_and_a_value(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good_texts / sizeof good_texts[0]; i++) {
        kx_error err = {0};
        kx_cli_arguments arguments;
        if (apply(&arguments, good_texts[i].text, &err) != KX_OK) fail_msg("case %zu: %s", i, err.message);
        assert_string_equal(arguments.settings.listen, good_texts[i].listen);
        kx_cli_arguments_free(&arguments);
    }
}

static void an_empty_value_is_none(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_cli_arguments arguments;
    assert_ok(apply(&arguments, "public-url =\nfetch-allow = \"\"", &err));
    assert_null(arguments.settings.public_url);
    assert_null(arguments.settings.fetch_allow);
    kx_cli_arguments_free(&arguments);
}

typedef struct bad_text {
    const char *text;
    kx_status status;
    const char *sentence;
} bad_text;

static const bad_text bad_texts[] = {
    {"\n\nlisten", KX_ERR_USAGE, "k.ini:3: a line NAME = VALUE is expected"},
    {"= a", KX_ERR_USAGE, "k.ini:1: a line NAME = VALUE is expected"},
    {"Listen = a", KX_ERR_USAGE, "k.ini:1: a line NAME = VALUE is expected"},
    {"listen a = b", KX_ERR_USAGE, "k.ini:1: a line NAME = VALUE is expected"},
    {"# x\nlisen = a", KX_ERR_USAGE, "k.ini:2: unknown name lisen, did you mean listen?"},
    {"max_bdy = 1M", KX_ERR_USAGE, "k.ini:1: unknown name max-bdy, did you mean max-body?"},
    {"quantum = 1", KX_ERR_USAGE, "k.ini:1: unknown name quantum, kontext serve --help lists them"},
    {"prompt = a", KX_ERR_USAGE, "k.ini:1: unknown name prompt, kontext serve --help lists them"},
    {"config = a", KX_ERR_USAGE, "k.ini:1: unknown name config"},
    {"listen = a\nlisten = b", KX_ERR_USAGE, "k.ini:2: listen stands in line 1 already"},
    {"max-body = 1M\n\nmax_body = 1M", KX_ERR_USAGE, "k.ini:3: max-body stands in line 1 already"},
    {"max-body = 20Q", KX_ERR_INPUT, "k.ini:1: max-body: '20Q' is found, a whole number such as 20M"},
    {"log-prompts = perhaps", KX_ERR_INPUT, "k.ini:1: log-prompts: 'perhaps' is found, true or false"},
    {"cpu = mmx", KX_ERR_INPUT, "k.ini:1: cpu: 'mmx' is unknown"},
    {"listen = \"a", KX_ERR_USAGE, "k.ini:1: the closing quote is missing"},
    {"listen = 'a\n'", KX_ERR_USAGE, "k.ini:1: the closing quote is missing"},
    {"listen = \"a\\x\"", KX_ERR_USAGE, "k.ini:1: a backslash is followed by"},
    {"listen = \"a\\", KX_ERR_USAGE, "k.ini:1: a backslash is followed by"},
    {"listen = \"a\" b", KX_ERR_USAGE, "k.ini:1: something stands behind the value of listen"},
    {"[Place", KX_ERR_USAGE, "k.ini:1: a heading in brackets is expected"},
    {"[Place] x", KX_ERR_USAGE, "k.ini:1: a heading in brackets is expected"},
    {"listen = caf\xe9", KX_ERR_USAGE, "k.ini:1: the line is not UTF-8 text"},
};

static void a_bad_line_is_told_with_its_number(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_texts / sizeof bad_texts[0]; i++) {
        const bad_text *bad = &bad_texts[i];
        kx_error err = {0};
        kx_cli_arguments arguments;
        kx_status status = apply(&arguments, bad->text, &err);
        if (status != bad->status)
            fail_msg("'%s': the status is %s: %s", bad->text, kx_status_name(status), err.message);
        if (strncmp(err.message, bad->sentence, strlen(bad->sentence)) != 0)
            fail_msg("'%s': \"%s\" does not begin with \"%s\"", bad->text, err.message, bad->sentence);
        kx_cli_arguments_free(&arguments);
    }
}

/* ---- Which file ---- */

static char data[2048], own[2100], other[2100];

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static kx_status parse(kx_cli_arguments *arguments, char **words, int count, kx_error *err)
{
    char *argv[8] = {"kontext"};
    for (int i = 0; i < count; i++) argv[i + 1] = words[i];
    return kx_cli_parse(arguments, count + 1, argv, err);
}

static int make_files(void **state)
{
    (void)state;
    snprintf(data, sizeof data, "%s/data", test_temporary_folder());
    snprintf(own, sizeof own, "%s/kontext.ini", data);
    snprintf(other, sizeof other, "%s/other.ini", test_temporary_folder());
    if (mkdir(data, 0700) != 0) return -1;
    write_file(own, "listen = own\n");
    write_file(other, "listen = other\ndata = /elsewhere\n");
    unsetenv("KONTEXT_DATA");
    unsetenv("KONTEXT_CONFIG");
    return 0;
}

static void the_file_is_found_by_flag_environment_and_data_folder(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_cli_arguments arguments;
    assert_ok(parse(&arguments, (char *[]){"serve", "--data", data}, 3, &err));
    assert_string_equal(arguments.settings.listen, "own");
    kx_cli_arguments_free(&arguments);
    setenv("KONTEXT_CONFIG", other, 1);
    assert_ok(parse(&arguments, (char *[]){"serve", "--data", data}, 3, &err));
    assert_string_equal(arguments.settings.listen, "other");
    assert_string_equal(arguments.settings.data, data);
    kx_cli_arguments_free(&arguments);
    assert_ok(parse(&arguments, (char *[]){"key", "list"}, 2, &err));
    assert_string_equal(arguments.settings.data, "/elsewhere");
    kx_cli_arguments_free(&arguments);
    assert_ok(parse(&arguments, (char *[]){"serve", "--data", data, "--config", own}, 5, &err));
    assert_string_equal(arguments.settings.listen, "own");
    kx_cli_arguments_free(&arguments);
    unsetenv("KONTEXT_CONFIG");
}

static void the_data_folder_has_a_default(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_cli_arguments arguments;
    setenv("XDG_DATA_HOME", "/xdg", 1);
    assert_ok(parse(&arguments, (char *[]){"serve"}, 1, &err));
    assert_string_equal(arguments.settings.data, "/xdg/kontext");
    kx_cli_arguments_free(&arguments);
    unsetenv("XDG_DATA_HOME");
    setenv("HOME", "/home/x", 1);
    assert_ok(parse(&arguments, (char *[]){"key", "list"}, 2, &err));
    assert_string_equal(arguments.settings.data, "/home/x/.local/share/kontext");
    kx_cli_arguments_free(&arguments);
    unsetenv("HOME");
    assert_int_equal(parse(&arguments, (char *[]){"serve"}, 1, &err), KX_ERR_USAGE);
    kx_cli_arguments_free(&arguments);
}

static void a_file_in_the_data_folder_cannot_move_it(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_cli_arguments arguments;
    setenv("XDG_DATA_HOME", test_temporary_folder(), 1);
    char folder[2100], path[2200];
    snprintf(folder, sizeof folder, "%s/kontext", test_temporary_folder());
    snprintf(path, sizeof path, "%s/kontext.ini", folder);
    assert_int_equal(mkdir(folder, 0700), 0);
    write_file(path, "data = /elsewhere\n");
    assert_int_equal(parse(&arguments, (char *[]){"serve"}, 1, &err), KX_ERR_USAGE);
    assert_non_null(strstr(err.message, "data is set"));
    kx_cli_arguments_free(&arguments);
    unsetenv("XDG_DATA_HOME");
}

static void a_file_that_is_named_must_be_there(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_cli_arguments arguments;
    assert_int_equal(parse(&arguments, (char *[]){"serve", "--config", "/nowhere.ini"}, 3, &err),
                     KX_ERR_INPUT);
    assert_non_null(strstr(err.message, "/nowhere.ini"));
    kx_cli_arguments_free(&arguments);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_a_name_and_a_value),
        cmocka_unit_test(an_empty_value_is_none),
        cmocka_unit_test(a_bad_line_is_told_with_its_number),
        cmocka_unit_test(the_file_is_found_by_flag_environment_and_data_folder),
        cmocka_unit_test(the_data_folder_has_a_default),
        cmocka_unit_test(a_file_in_the_data_folder_cannot_move_it),
        cmocka_unit_test(a_file_that_is_named_must_be_there),
    };
    return cmocka_run_group_tests(tests, make_files, NULL);
}

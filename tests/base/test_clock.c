#include "test_support.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NS_PER_S INT64_C(1000000000)

static void a_time_has_nine_digits_and_comes_back(void **state)
{
    (void)state;
    static const struct {
        int64_t wall_ns;
        const char *text;
    } rows[] = {
        {0, "1970-01-01T00:00:00.000000000Z"},
        {INT64_C(1758791568239112031), "2025-09-25T09:12:48.239112031Z"},
        {INT64_C(1709164800) * NS_PER_S, "2024-02-29T00:00:00.000000000Z"},
        {-1, "1969-12-31T23:59:59.999999999Z"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[KX_CLOCK_TEXT_BYTES];
        int64_t back = 7;
        kx_clock_format(rows[i].wall_ns, text);
        assert_string_equal(text, rows[i].text);
        assert_true(kx_clock_parse(text, &back));
        assert_true(back == rows[i].wall_ns);
    }
}

static void any_rfc_3339_time_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t wall_ns;
    } rows[] = {
        {"1970-01-01T00:00:01Z", NS_PER_S},
        {"1970-01-01t00:00:01z", NS_PER_S},
        {"1970-01-01 00:00:01Z", NS_PER_S},
        {"1970-01-01T00:00:00.5Z", NS_PER_S / 2},
        {"1970-01-01T00:00:00.1234567891Z", 123456789},
        {"1970-01-01T02:30:00+02:30", 0},
        {"1969-12-31T19:00:00-05:00", 0},
        {"2000-03-01T00:00:00Z", INT64_C(951868800) * NS_PER_S},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t wall_ns = -7;
        if (!kx_clock_parse(rows[i].text, &wall_ns)) fail_msg("%s is not read", rows[i].text);
        if (wall_ns != rows[i].wall_ns) fail_msg("%s is read as %lld", rows[i].text, (long long)wall_ns);
    }
}

static void what_is_no_time_is_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "now",
        "1970-01-01",
        "1970-01-01T00:00:00",
        "1970-01-01T00:00:00.Z",
        "1970-1-1T00:00:00Z",
        "1970-13-01T00:00:00Z",
        "1970-00-01T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "1970-01-01T24:00:00Z",
        "1970-01-01T00:60:00Z",
        "1970-01-01T00:00:61Z",
        "1970-01-01T00:00:00+24:00",
        "1970-01-01T00:00:00+0200",
        "1970-01-01T00:00:00Zx",
        "9999-01-01T00:00:00Z",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t wall_ns;
        if (kx_clock_parse(rows[i], &wall_ns)) fail_msg("'%s' is read as a time", rows[i]);
    }
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void assert_offset(kx_clock *clock, kx_clock *real, double seconds)
{
    double found = (double)(kx_clock_wall_ns(clock) - kx_clock_wall_ns(real)) / (double)NS_PER_S;
    if (found < seconds - 5 || found > seconds + 5) fail_msg("the clock is %g s off, not %g", found, seconds);
}

static void a_file_moves_the_wall_clock_and_nothing_else(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_clock *clock = NULL, *real = NULL;
    char path[2048];
    snprintf(path, sizeof path, "%s/offset", test_temporary_folder());
    assert_ok(kx_clock_open(&real, NULL, &err));
    assert_ok(kx_clock_open(&clock, path, &err));
    assert_offset(clock, real, 0);
    write_file(path, "604800\n");
    int64_t before_ms = kx_clock_monotonic_ms();
    assert_offset(clock, real, 604800);
    write_file(path, "-3600.5");
    assert_offset(clock, real, -3600.5);
    /* A writer that has only opened the file does not move it. */
    write_file(path, "");
    assert_offset(clock, real, -3600.5);
    unlink(path);
    assert_offset(clock, real, 0);
    int64_t passed_ms = kx_clock_monotonic_ms() - before_ms;
    assert_true(passed_ms >= 0 && passed_ms < 60000);
    kx_clock_close(clock);
    kx_clock_close(real);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_time_has_nine_digits_and_comes_back),
        cmocka_unit_test(any_rfc_3339_time_is_read),
        cmocka_unit_test(what_is_no_time_is_refused),
        cmocka_unit_test(a_file_moves_the_wall_clock_and_nothing_else),
    };
    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}

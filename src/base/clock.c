#include "base/clock.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S INT64_C(1000000000)

struct kx_clock {
    char *offset_file;         /* NULL: none */
    _Atomic int64_t offset_ns; /* as last read */
};

kx_status kx_clock_open(kx_clock **clock, const char *offset_file, kx_error *err)
{
    kx_status status = KX_OK;
    kx_clock *made = calloc(1, sizeof *made);
    KX_FAIL_IF(made == NULL, err, KX_ERR_MEMORY, "out of memory");
    if (offset_file != NULL) {
        made->offset_file = strdup(offset_file);
        KX_FAIL_IF(made->offset_file == NULL, err, KX_ERR_MEMORY, "out of memory");
    }
    *clock = made;
    made = NULL;
out:
    kx_clock_close(made);
    return status;
}

void kx_clock_close(kx_clock *clock)
{
    if (clock == NULL) return;
    free(clock->offset_file);
    free(clock);
}

/* The file is read each time, since two changes can share a time stamp. Text that is no number, such as the
 * empty file of a writer that is half done, leaves the offset as it was. */
static void read_offset(kx_clock *clock)
{
    int fd = open(clock->offset_file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        atomic_store(&clock->offset_ns, 0);
        return;
    }
    char text[64];
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    if (got <= 0) return;
    text[got] = '\0';
    char *end = text;
    double seconds = strtod(text, &end);
    if (end != text && seconds > -1e10 && seconds < 1e10)
        atomic_store(&clock->offset_ns, (int64_t)(seconds * (double)NS_PER_S));
}

int64_t kx_clock_wall_ns(kx_clock *clock)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (clock->offset_file != NULL) read_offset(clock);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec + atomic_load(&clock->offset_ns);
}

int64_t kx_clock_monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void kx_clock_format(int64_t wall_ns, char text[KX_CLOCK_TEXT_BYTES])
{
    int64_t nanoseconds = wall_ns % NS_PER_S;
    if (nanoseconds < 0) nanoseconds += NS_PER_S;
    time_t seconds = (time_t)((wall_ns - nanoseconds) / NS_PER_S);
    struct tm parts = {0};
    gmtime_r(&seconds, &parts);
    size_t used = strftime(text, KX_CLOCK_TEXT_BYTES, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text + used, KX_CLOCK_TEXT_BYTES - used, ".%09dZ", (int)nanoseconds);
}

/* Reads exactly `digits` digits. */
static bool read_digits(const char **at, int digits, int *value)
{
    *value = 0;
    for (int i = 0; i < digits; i++, (*at)++) {
        if (**at < '0' || **at > '9') return false;
        *value = *value * 10 + (**at - '0');
    }
    return true;
}

static bool read_char(const char **at, const char *any_of)
{
    if (**at == '\0' || strchr(any_of, **at) == NULL) return false;
    (*at)++;
    return true;
}

static int days_of_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && is_leap ? 29 : days[month - 1];
}

/* Days since 1970-01-01, counted in years that begin in March so that the leap day is the last one. */
static int64_t days_from_date(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t m = month <= 2 ? month + 9 : month - 3;
    return y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719468;
}

static bool read_fraction(const char **at, int64_t *nanoseconds)
{
    *nanoseconds = 0;
    if (**at != '.') return true;
    (*at)++;
    int64_t scale = NS_PER_S / 10;
    const char *begin = *at;
    for (; **at >= '0' && **at <= '9'; (*at)++, scale /= 10) *nanoseconds += (**at - '0') * scale;
    return *at > begin;
}

static bool read_zone(const char **at, int64_t *offset_s)
{
    *offset_s = 0;
    if (read_char(at, "Zz")) return true;
    bool is_west = **at == '-';
    int hours, minutes;
    if (!read_char(at, "+-") || !read_digits(at, 2, &hours) || !read_char(at, ":") ||
        !read_digits(at, 2, &minutes) || hours > 23 || minutes > 59)
        return false;
    *offset_s = (hours * 60 + minutes) * 60;
    if (is_west) *offset_s = -*offset_s;
    return true;
}

int kx_clock_parse(const char *text, int64_t *wall_ns)
{
    const char *at = text;
    int year, month, day, hour, minute, second;
    int64_t nanoseconds, offset_s;
    if (!read_digits(&at, 4, &year) || !read_char(&at, "-") || !read_digits(&at, 2, &month) ||
        !read_char(&at, "-") || !read_digits(&at, 2, &day) || !read_char(&at, "Tt "))
        return false;
    if (!read_digits(&at, 2, &hour) || !read_char(&at, ":") || !read_digits(&at, 2, &minute) ||
        !read_char(&at, ":") || !read_digits(&at, 2, &second) || !read_fraction(&at, &nanoseconds) ||
        !read_zone(&at, &offset_s) || *at != '\0')
        return false;
    /* Nanoseconds in 64 bits hold 1678 to 2262. */
    if (year < 1700 || year > 2200 || month < 1 || month > 12 || day < 1 ||
        day > days_of_month(year, month) || hour > 23 || minute > 59 || second > 60)
        return false;
    int64_t seconds = days_from_date(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    *wall_ns = (seconds - offset_s) * NS_PER_S + nanoseconds;
    return true;
}

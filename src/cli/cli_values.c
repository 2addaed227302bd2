#include "cli/cli_values.h"

#include "base/limits.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *field_of(kx_cli_arguments *arguments, const kx_cli_option *option)
{
    return (char *)arguments + option->field;
}

/* ---- Text ---- */

/* Length of the UTF-8 sequence at `text`, 0 when it is none. */
static size_t sequence_length(const unsigned char *text, size_t bytes)
{
    unsigned char first = text[0];
    if (first < 0x80) return 1;
    size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || length > bytes) return 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80) return 0;
    if (first == 0xe0 && text[1] < 0xa0) return 0; /* overlong */
    if (first == 0xed && text[1] > 0x9f) return 0; /* surrogates */
    if (first == 0xf0 && text[1] < 0x90) return 0; /* overlong */
    if (first == 0xf4 && text[1] > 0x8f) return 0; /* above U+10FFFF */
    return length;
}

bool kx_cli_is_utf8(const char *text, size_t bytes)
{
    const unsigned char *at = (const unsigned char *)text;
    while (bytes > 0) {
        size_t length = sequence_length(at, bytes);
        if (length == 0) return false;
        at += length;
        bytes -= length;
    }
    return true;
}

void kx_cli_clean_text(const char *text, char *out, size_t room)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t left = strlen(text), used = 0;
    while (left > 0) {
        size_t length = sequence_length(at, left);
        bool bad = length == 0 || (length == 1 && iscntrl(at[0]));
        if (length == 0) length = 1;
        if (used + length >= room) break;
        if (bad)
            out[used] = '?';
        else
            memcpy(out + used, at, length);
        used += length;
        at += length;
        left -= length;
    }
    out[used] = '\0';
}

kx_status kx_cli_read_flag(kx_cli_arguments *arguments, const kx_cli_option *option, const char *text,
                           kx_error *err)
{
    (void)text;
    (void)err;
    *(bool *)field_of(arguments, option) = true;
    return KX_OK;
}

kx_status kx_cli_read_count(kx_cli_arguments *arguments, const kx_cli_option *option, const char *text,
                            kx_error *err)
{
    (void)text;
    (void)err;
    *(unsigned *)field_of(arguments, option) += 1;
    return KX_OK;
}

kx_status kx_cli_read_text(kx_cli_arguments *arguments, const kx_cli_option *option, const char *text,
                           kx_error *err)
{
    (void)err;
    *(const char **)field_of(arguments, option) = text;
    return KX_OK;
}

kx_status kx_cli_read_path(kx_cli_arguments *arguments, const kx_cli_option *option, const char *text,
                           kx_error *err)
{
    kx_status status = KX_OK;
    KX_FAIL_IF(text[0] == '\0', err, KX_ERR_INPUT, "the path is empty");
    *(const char **)field_of(arguments, option) = text;
out:
    return status;
}

kx_status kx_cli_read_profile(kx_cli_arguments *arguments, const kx_cli_option *option, const char *text,
                              kx_error *err)
{
    kx_status status = KX_OK;
    arguments->profile_file = NULL;
    if (text != NULL) KX_TRY(kx_cli_read_path(arguments, option, text, err));
    arguments->profile = true;
out:
    return status;
}

kx_status kx_cli_read_image(kx_cli_arguments *arguments, const kx_cli_option *option, const char *text,
                            kx_error *err)
{
    (void)option;
    kx_status status = KX_OK;
    KX_FAIL_IF(text[0] == '\0', err, KX_ERR_INPUT, "the path is empty");
    KX_FAIL_IF(arguments->num_images == KX_MAX_REFERENCES, err, KX_ERR_INPUT,
               "'%s' is reference number %d, the limit is %d", text, KX_MAX_REFERENCES + 1,
               KX_MAX_REFERENCES);
    arguments->images[arguments->num_images++] = text;
out:
    return status;
}

/* ---- Words ---- */

/* The place of `text` among the words of "a|b|c", or -1. */
static int place_in_choices(const char *choices, const char *text)
{
    size_t length = strlen(text);
    int place = 0;
    for (const char *word = choices;; place++) {
        size_t word_length = strcspn(word, "|");
        if (word_length == length && memcmp(word, text, length) == 0) return place;
        if (word[word_length] == '\0') return -1;
        word += word_length + 1;
    }
}

static void list_choices(const char *choices, char *out, size_t room)
{
    size_t used = 0;
    for (const char *at = choices; *at != '\0' && used + 3 < room; at++) {
        if (*at == '|') {
            out[used++] = ',';
            out[used++] = ' ';
        } else {
            out[used++] = *at;
        }
    }
    out[used] = '\0';
}

static kx_status find_choice(const kx_cli_option *option, const char *text, int *place, kx_error *err)
{
    kx_status status = KX_OK;
    char known[256];
    *place = place_in_choices(option->choices, text);
    list_choices(option->choices, known, sizeof known);
    KX_FAIL_IF(*place < 0, err, KX_ERR_INPUT, "'%s' is unknown, expected is one of: %s", text, known);
out:
    return status;
}

kx_status kx_cli_read_choice(kx_cli_arguments *arguments, const kx_cli_option *option, const char *text,
                             kx_error *err)
{
    kx_status status = KX_OK;
    int place;
    KX_TRY(find_choice(option, text, &place, err));
    /* "png|jpeg|webp" leaves out the zero of its enum (by the suffix); `least` says where the words start. */
    *(int *)field_of(arguments, option) = place + (int)option->least;
out:
    return status;
}

kx_status kx_cli_read_word(kx_cli_arguments *arguments, const kx_cli_option *option, const char *text,
                          kx_error *err)
{
    kx_status status = KX_OK;
    int place;
    KX_TRY(find_choice(option, text, &place, err));
    *(const char **)field_of(arguments, option) = text;
out:
    return status;
}

kx_status kx_cli_read_cache(kx_cli_arguments *arguments, const kx_cli_option *option, const char *text,
                            kx_error *err)
{
    kx_cache_kind kind;
    double threshold;
    kx_status status = kx_cache_parse(text, &kind, &threshold, err);
    if (status == KX_OK) *(const char **)field_of(arguments, option) = text;
    return status;
}

/* ---- Numbers ---- */

/* Decimal digits only: strtoull would take spaces, signs and what overflows. */
static bool parse_digits(const char *text, size_t length, uint64_t *value)
{
    *value = 0;
    if (length == 0) return false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9') return false;
        if (__builtin_mul_overflow(*value, 10u, value)) return false;
        if (__builtin_add_overflow(*value, (uint64_t)(text[i] - '0'), value)) return false;
    }
    return true;
}

static kx_status read_whole(const kx_cli_option *option, const char *text, uint64_t *value, kx_error *err)
{
    kx_status status = KX_OK;
    bool fits = parse_digits(text, strlen(text), value);
    KX_FAIL_IF(!fits || (double)*value < option->least || (double)*value > option->most, err, KX_ERR_INPUT,
               "'%s' is found, a whole number from %.0f to %.0f is expected", text, option->least,
               option->most);
out:
    return status;
}

kx_status kx_cli_read_int(kx_cli_arguments *arguments, const kx_cli_option *option, const char *text,
                          kx_error *err)
{
    uint64_t value;
    kx_status status = read_whole(option, text, &value, err);
    if (status == KX_OK) *(int *)field_of(arguments, option) = (int)value;
    return status;
}

kx_status kx_cli_read_unsigned(kx_cli_arguments *arguments, const kx_cli_option *option, const char *text,
                               kx_error *err)
{
    uint64_t value;
    kx_status status = read_whole(option, text, &value, err);
    if (status == KX_OK) *(unsigned *)field_of(arguments, option) = (unsigned)value;
    return status;
}

kx_status kx_cli_read_uint64(kx_cli_arguments *arguments, const kx_cli_option *option, const char *text,
                             kx_error *err)
{
    uint64_t value;
    kx_status status = read_whole(option, text, &value, err);
    if (status == KX_OK) *(uint64_t *)field_of(arguments, option) = value;
    return status;
}

kx_status kx_cli_read_seed(kx_cli_arguments *arguments, const kx_cli_option *option, const char *text,
                           kx_error *err)
{
    kx_status status = KX_OK;
    bool random_allowed = option->least < 0;
    arguments->seed_is_random = random_allowed && strcmp(text, "-1") == 0;
    if (arguments->seed_is_random) goto out;
    KX_FAIL_IF(!parse_digits(text, strlen(text), &arguments->seed), err, KX_ERR_INPUT,
               "'%s' is found, a whole number from %d to 18446744073709551615 is expected", text,
               random_allowed ? -1 : 0);
out:
    return status;
}

/* A plain decimal number; strtod alone would also take "nan", "inf", hexadecimal and leading spaces. */
static bool parse_real(const char *text, size_t length, double *value)
{
    char copy[64];
    if (length == 0 || length >= sizeof copy || strspn(text, "0123456789.eE+-") < length) return false;
    memcpy(copy, text, length);
    copy[length] = '\0';
    char *end;
    *value = strtod(copy, &end);
    return *end == '\0' && isfinite(*value);
}

kx_status kx_cli_read_real(kx_cli_arguments *arguments, const kx_cli_option *option, const char *text,
                           kx_error *err)
{
    kx_status status = KX_OK;
    double value = 0;
    bool fits = parse_real(text, strlen(text), &value);
    KX_FAIL_IF(!fits || value < option->least || value > option->most, err, KX_ERR_INPUT,
               "'%s' is found, a number from %g to %g is expected", text, option->least, option->most);
    *(double *)field_of(arguments, option) = value;
out:
    return status;
}

/* ---- Sizes ---- */

/* "WxH" in the first `length` bytes. */
static bool parse_size(const char *text, size_t length, double least, double most, kx_size *size)
{
    const char *cross = memchr(text, 'x', length);
    uint64_t width, height;
    if (cross == NULL) return false;
    size_t before = (size_t)(cross - text);
    if (!parse_digits(text, before, &width) || !parse_digits(cross + 1, length - before - 1, &height))
        return false;
    if (fmin((double)width, (double)height) < least || fmax((double)width, (double)height) > most)
        return false;
    *size = (kx_size){(int)width, (int)height};
    return true;
}

kx_status kx_cli_read_size(kx_cli_arguments *arguments, const kx_cli_option *option, const char *text,
                           kx_error *err)
{
    kx_status status = KX_OK;
    KX_FAIL_IF(!parse_size(text, strlen(text), option->least, option->most, field_of(arguments, option)), err,
               KX_ERR_INPUT, "'%s' is found, WIDTHxHEIGHT with sides from %.0f to %.0f is expected", text,
               option->least, option->most);
out:
    return status;
}

kx_status kx_cli_read_ref_size(kx_cli_arguments *arguments, const kx_cli_option *option, const char *text,
                               kx_error *err)
{
    kx_status status = KX_OK;
    int place = place_in_choices(option->choices, text);
    arguments->ref_rule = place >= 0 ? place : (int)KX_REF_SIZE_GIVEN;
    if (place >= 0) goto out;
    KX_FAIL_IF(!parse_size(text, strlen(text), option->least, option->most, &arguments->ref_size), err,
               KX_ERR_INPUT,
               "'%s' is found, preferred, native or WIDTHxHEIGHT with sides from %.0f to %.0f is expected",
               text, option->least, option->most);
out:
    return status;
}

kx_status kx_cli_read_aspect(kx_cli_arguments *arguments, const kx_cli_option *option, const char *text,
                             kx_error *err)
{
    kx_status status = KX_OK;
    double *aspect = field_of(arguments, option);
    size_t before = strcspn(text, ":");
    bool good = text[before] == ':' && parse_real(text, before, &aspect[0]) &&
                parse_real(text + before + 1, strlen(text + before + 1), &aspect[1]) && aspect[0] > 0 &&
                aspect[1] > 0;
    KX_FAIL_IF(!good, err, KX_ERR_INPUT, "'%s' is found, two positive numbers like 16:9 are expected", text);
out:
    return status;
}

kx_status kx_cli_parse_sizes(const char *text, kx_size native, kx_size *sizes, size_t *count, kx_error *err)
{
    kx_status status = KX_OK;
    uint64_t number;
    *count = 0;
    if (parse_digits(text, strlen(text), &number)) {
        KX_FAIL_IF(number > KX_MAX_REFERENCES, err, KX_ERR_INPUT,
                   "--images: %s references are given, the limit is %d", text, KX_MAX_REFERENCES);
        for (*count = 0; *count < number; ++*count) sizes[*count] = native;
        goto out;
    }
    for (const char *at = text;; at++) {
        size_t length = strcspn(at, ",");
        KX_FAIL_IF(*count == KX_MAX_REFERENCES, err, KX_ERR_INPUT,
                   "--images: '%s' has more than %d sizes, the limit is %d", text, KX_MAX_REFERENCES,
                   KX_MAX_REFERENCES);
        KX_FAIL_IF(
            !parse_size(at, length, 1, KX_LIMIT_PICTURE_SIDE_PX, &sizes[*count]), err, KX_ERR_INPUT,
            "--images: '%s' is found, a number from 0 to %d or sizes like 1024x768,640x480 are expected",
            text, KX_MAX_REFERENCES);
        ++*count;
        at += length;
        if (*at == '\0') break;
    }
out:
    return status;
}

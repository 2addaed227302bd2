/* Readers of option values: text in, a checked number, size or choice out. Each is a kx_cli_reader that fills
 * the field its option names; the sentence of an error says what was found and what is expected. */
#pragma once

#include "cli/cli_options.h"

kx_cli_reader kx_cli_read_flag;     /* bool */
kx_cli_reader kx_cli_read_count;    /* unsigned, one more each time */
kx_cli_reader kx_cli_read_text;     /* const char *, may be empty */
kx_cli_reader kx_cli_read_path;     /* const char *, not empty */
kx_cli_reader kx_cli_read_choice;   /* int, the place in option->choices */
kx_cli_reader kx_cli_read_int;      /* int, least to most */
kx_cli_reader kx_cli_read_unsigned; /* unsigned, least to most */
kx_cli_reader kx_cli_read_uint64;   /* uint64_t, least to most */
kx_cli_reader kx_cli_read_real;     /* double, least to most */
kx_cli_reader kx_cli_read_size;     /* kx_size, each side least to most */
kx_cli_reader kx_cli_read_aspect;   /* double[2], A:B */
kx_cli_reader kx_cli_read_seed;     /* seed and seed_is_random; -1 = random */
kx_cli_reader kx_cli_read_profile;  /* profile, and profile_file where there is a value */
kx_cli_reader kx_cli_read_image;    /* the next of images[] */
kx_cli_reader kx_cli_read_word;      /* const char *, one of option->choices */
kx_cli_reader kx_cli_read_cache;    /* const char *, what kx_cache_parse takes */
kx_cli_reader kx_cli_read_ref_size; /* ref_rule and ref_size */

/* The sizes of `model plan --images`: "2" is two pictures of `native`, "1024x768,640x480" are given ones.
 * Errors: KX_ERR_INPUT. */
kx_status kx_cli_parse_sizes(const char *text, kx_size native, kx_size *sizes, size_t *count, kx_error *err);

/* Whether the bytes are UTF-8 (no surrogates, nothing overlong, nothing above U+10FFFF). */
bool kx_cli_is_utf8(const char *text, size_t bytes);
/* Copies text for a message: control characters and bytes that are not UTF-8 become '?'. */
void kx_cli_clean_text(const char *text, char *out, size_t room);

#include "engine/text/charsmap.h"

#include "engine/text/utf8.h"

#include <string.h>
#include <utf8proc.h>

enum { WHOLE_CLUSTER_BYTES = 6 }; /* clusters of fewer bytes are looked up as a whole */

static uint32_t little_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

kx_status kx_charsmap_read(kx_charsmap *map, const uint8_t *blob, size_t bytes, const char *name,
                           kx_arena *arena, kx_error *err)
{
    kx_status status = KX_OK;
    uint32_t *units;
    uint8_t *strings;
    KX_FAIL_IF(bytes < 4, err, KX_ERR_MODEL, "%s: the character map is %zu bytes, at least 4 are needed",
               name, bytes);
    size_t trie_bytes = little_u32(blob), count = trie_bytes / 4;
    KX_FAIL_IF(
        trie_bytes > bytes - 4 || trie_bytes % 4 != 0 || count == 0, err, KX_ERR_MODEL,
        "%s: the character map says that its trie has %zu bytes, of %zu behind the number; a multiple of 4 "
        "is expected",
        name, trie_bytes, bytes - 4);
    size_t string_bytes = bytes - 4 - trie_bytes;
    KX_TRY(KX_ARENA_ARRAY(arena, count, &units, err));
    KX_TRY(KX_ARENA_ARRAY(arena, string_bytes + 1, &strings, err)); /* ends with a zero byte in any case */
    for (size_t i = 0; i < count; i++) units[i] = little_u32(blob + 4 + 4 * i);
    memcpy(strings, blob + 4 + trie_bytes, string_bytes);
    kx_error broken = {0};
    KX_FAIL_IF(kx_text_check_utf8((const char *)strings, string_bytes, &broken) != KX_OK, err, KX_ERR_MODEL,
               "%s: the strings of the character map: %s", name, broken.message);
    *map = (kx_charsmap){units, count, strings, string_bytes + 1, name};
out:
    return status;
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

kx_status kx_charsmap_read_base64(kx_charsmap *map, const char *text, size_t length, const char *name,
                                  kx_arena *arena, kx_error *err)
{
    kx_status status = KX_OK;
    kx_bytes blob = {.cap = length + 4};
    size_t padding = length >= 2 && text[length - 1] == '=' ? 1u + (text[length - 2] == '=') : 0;
    KX_FAIL_IF(length % 4 != 0, err, KX_ERR_MODEL,
               "%s: the character map has %zu characters of base64, a multiple of 4 is expected", name,
               length);
    for (size_t i = 0; i < length; i += 4) {
        uint32_t bits = 0;
        for (size_t k = i; k < i + 4; k++) {
            int value = k >= length - padding ? 0 : base64_value(text[k]);
            KX_FAIL_IF(value < 0, err, KX_ERR_MODEL, "%s: the character map: character %zu is not base64",
                       name, k);
            bits = bits << 6 | (uint32_t)value;
        }
        uint8_t bytes[3] = {(uint8_t)(bits >> 16), (uint8_t)(bits >> 8), (uint8_t)bits};
        KX_TRY(kx_bytes_append(&blob, bytes, i + 4 == length ? 3 - padding : 3, err));
    }
    KX_TRY(kx_charsmap_read(map, blob.data, blob.size, name, arena, err));
out:
    kx_bytes_free(&blob);
    return status;
}

static size_t unit_offset(uint32_t unit)
{
    return (size_t)(unit >> 10) << ((unit & 0x200) >> 6);
}

/* The shortest key that starts the text: its value in *value. */
static bool find_shortest(const kx_charsmap *map, const uint8_t *text, size_t bytes, size_t *value)
{
    size_t place = unit_offset(map->units[0]);
    for (size_t i = 0; i < bytes && text[i] != 0; i++) {
        place ^= text[i];
        if (place >= map->unit_count || (map->units[place] & 0x800000ffu) != text[i]) return false;
        uint32_t unit = map->units[place];
        place ^= unit_offset(unit);
        if ((unit >> 8 & 1) == 0) continue;
        *value = place < map->unit_count ? map->units[place] & 0x7fffffffu : SIZE_MAX;
        return true;
    }
    return false;
}

/* Appends the normal form of text[0..bytes) taken as one key; *found says whether there is one. */
static kx_status replace(const kx_charsmap *map, const uint8_t *text, size_t bytes, bool *found,
                         kx_bytes *out, kx_error *err)
{
    kx_status status = KX_OK;
    size_t value;
    *found = find_shortest(map, text, bytes, &value);
    if (!*found) goto out;
    KX_FAIL_IF(value >= map->string_bytes, err, KX_ERR_MODEL,
               "%s: the character map points outside of its strings, which have %zu bytes", map->name,
               map->string_bytes);
    KX_FAIL_IF((map->strings[value] & 0xc0) == 0x80, err, KX_ERR_MODEL,
               "%s: the character map points into the middle of a character, at byte %zu of its strings",
               map->name, value);
    const uint8_t *string = map->strings + value;
    size_t length = strlen((const char *)string); /* the last byte of strings is zero */
    KX_FAIL_IF(length > out->cap - out->size, err, KX_ERR_INPUT,
               "the prompt grows beyond %zu bytes when its characters are normalised", out->cap);
    KX_TRY(kx_bytes_append(out, string, length, err));
out:
    return status;
}

static kx_status apply_cluster(const kx_charsmap *map, const uint8_t *cluster, size_t bytes, kx_bytes *out,
                               kx_error *err)
{
    kx_status status = KX_OK;
    bool found = false;
    if (bytes < WHOLE_CLUSTER_BYTES) KX_TRY(replace(map, cluster, bytes, &found, out, err));
    if (found) goto out;
    for (size_t i = 0, length; i < bytes; i += length) {
        kx_utf8_decode(cluster + i, &length);
        KX_TRY(replace(map, cluster + i, length, &found, out, err));
        if (found) continue;
        KX_FAIL_IF(length > out->cap - out->size, err, KX_ERR_INPUT,
                   "the prompt grows beyond %zu bytes when its characters are normalised", out->cap);
        KX_TRY(kx_bytes_append(out, cluster + i, length, err));
    }
out:
    return status;
}

kx_status kx_charsmap_apply(const kx_charsmap *map, const uint8_t *text, size_t bytes, kx_bytes *out,
                            kx_error *err)
{
    kx_status status = KX_OK;
    if (map->unit_count == 0) {
        KX_TRY(kx_bytes_append(out, text, bytes, err));
        goto out;
    }
    utf8proc_int32_t break_state = 0;
    for (size_t start = 0, end = 0, length; start < bytes; start = end) {
        int32_t last = (int32_t)kx_utf8_decode(text + start, &length);
        for (end = start + length; end < bytes; end += length) {
            int32_t next = (int32_t)kx_utf8_decode(text + end, &length);
            if (utf8proc_grapheme_break_stateful(last, next, &break_state)) break;
            last = next;
        }
        KX_TRY(apply_cluster(map, text + start, end - start, out, err));
    }
out:
    return status;
}

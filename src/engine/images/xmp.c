#include "engine/images/xmp.h"

#include <stdint.h>
#include <string.h>
#include <utf8proc.h>

#define KEY_BYTES_MAX 79

static const char packet_start[] =
    "<?xpacket begin=\"\xef\xbb\xbf\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n"
    "<x:xmpmeta xmlns:x=\"adobe:ns:meta/\">\n"
    " <rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\n"
    "  <rdf:Description rdf:about=\"\"\n"
    "    xmlns:Iptc4xmpExt=\"http://iptc.org/std/Iptc4xmpExt/2008-02-29/\"\n"
    "    xmlns:kontext=\"urn:kontext:xmp:1#\">\n"
    "   <Iptc4xmpExt:DigitalSourceType>http://cv.iptc.org/newscodes/digitalsourcetype/"
    "compositeWithTrainedAlgorithmicMedia</Iptc4xmpExt:DigitalSourceType>\n";
static const char packet_end[] = "  </rdf:Description>\n"
                                 " </rdf:RDF>\n"
                                 "</x:xmpmeta>\n"
                                 "<?xpacket end=\"w\"?>";

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool key_is_valid(const char *key)
{
    if (key == NULL || !is_letter(key[0]) || strlen(key) > KEY_BYTES_MAX) return false;
    for (const char *c = key; *c != '\0'; c++)
        if (!is_letter(*c) && !(*c >= '0' && *c <= '9') && *c != '-' && *c != '_') return false;
    return true;
}

/* Where the first byte lies that is not UTF-8, or the length. */
static size_t valid_prefix(const char *text, size_t length)
{
    size_t at = 0;
    while (at < length) {
        utf8proc_int32_t code;
        utf8proc_ssize_t used =
            utf8proc_iterate((const utf8proc_uint8_t *)text + at, (utf8proc_ssize_t)(length - at), &code);
        if (used <= 0) return at;
        at += (size_t)used;
    }
    return at;
}

kx_status kx_xmp_check_entries(const kx_text_entry *entries, size_t count, kx_error *err)
{
    kx_status status = KX_OK;
    for (size_t i = 0; i < count; i++) {
        const char *key = entries[i].key, *value = entries[i].value;
        KX_FAIL_IF(
            !key_is_valid(key), err, KX_ERR_INPUT,
            "metadata key \"%.80s\": a letter is expected, then letters, digits, - or _, at most %d bytes",
            key != NULL ? key : "", KEY_BYTES_MAX);
        KX_FAIL_IF(value == NULL, err, KX_ERR_INPUT, "metadata \"%s\" has no value", key);
        size_t length = strlen(value), valid = valid_prefix(value, length);
        KX_FAIL_IF(valid != length, err, KX_ERR_INPUT, "metadata \"%s\" is not UTF-8 at byte %zu", key,
                   valid);
        for (size_t k = 0; k < i; k++)
            KX_FAIL_IF(strcmp(entries[k].key, key) == 0, err, KX_ERR_INPUT, "metadata \"%s\" is given twice",
                       key);
    }
out:
    return status;
}

/* How a character of a value is written: an entity, a replacement, or NULL for itself. */
static const char *escape(utf8proc_int32_t code)
{
    switch (code) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\r':
        return "&#13;";
    case '\t':
    case '\n':
        return NULL;
    default:
        return code < 0x20 || code == 0xfffe || code == 0xffff ? "\xef\xbf\xbd" : NULL;
    }
}

/* At most `bytes_max` bytes of the value, counted before they are escaped. */
static kx_status write_value(kx_bytes *out, const char *value, size_t bytes_max, kx_error *err)
{
    kx_status status = KX_OK;
    size_t length = strlen(value), at = 0;
    while (at < length) {
        utf8proc_int32_t code = 0;
        utf8proc_ssize_t used =
            utf8proc_iterate((const utf8proc_uint8_t *)value + at, (utf8proc_ssize_t)(length - at), &code);
        if (used <= 0) break; /* not after kx_xmp_check_entries */
        if (at + (size_t)used > bytes_max) {
            KX_TRY(kx_bytes_append(out, "\xe2\x80\xa6", 3, err));
            break;
        }
        const char *written = escape(code);
        if (written != NULL)
            KX_TRY(kx_bytes_append(out, written, strlen(written), err));
        else
            KX_TRY(kx_bytes_append(out, value + at, (size_t)used, err));
        at += (size_t)used;
    }
out:
    return status;
}

static kx_status write_packet(kx_bytes *out, const kx_text_entry *entries, size_t count,
                              size_t value_bytes_max, kx_error *err)
{
    kx_status status = KX_OK;
    KX_TRY(kx_bytes_append(out, packet_start, sizeof packet_start - 1, err));
    for (size_t i = 0; i < count; i++) {
        const char *key = entries[i].key;
        KX_TRY(kx_bytes_append(out, "   <kontext:", 12, err));
        KX_TRY(kx_bytes_append(out, key, strlen(key), err));
        KX_TRY(kx_bytes_append(out, ">", 1, err));
        KX_TRY(write_value(out, entries[i].value, value_bytes_max, err));
        KX_TRY(kx_bytes_append(out, "</kontext:", 10, err));
        KX_TRY(kx_bytes_append(out, key, strlen(key), err));
        KX_TRY(kx_bytes_append(out, ">\n", 2, err));
    }
    KX_TRY(kx_bytes_append(out, packet_end, sizeof packet_end - 1, err));
out:
    return status;
}

kx_status kx_xmp_write(kx_bytes *out, const kx_text_entry *entries, size_t count, size_t bytes_max,
                       kx_error *err)
{
    kx_status status = KX_OK;
    size_t start = out->size, value_bytes_max = SIZE_MAX;
    KX_TRY(write_packet(out, entries, count, value_bytes_max, err));
    while (out->size - start > bytes_max) {
        KX_FAIL_IF(value_bytes_max == 0, err, KX_ERR_INPUT,
                   "%zu metadata entries do not fit into the %zu bytes that the format has for them", count,
                   bytes_max);
        value_bytes_max = value_bytes_max == SIZE_MAX ? bytes_max : value_bytes_max / 2;
        out->size = start;
        KX_TRY(write_packet(out, entries, count, value_bytes_max, err));
    }
out:
    return status;
}

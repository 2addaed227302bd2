/* The delimiter between parts is CR LF "--" boundary. How much of one the last bytes match is counted; when
 * the next byte does not fit, the matched bytes were data. The first delimiter has no CR LF in front, so the
 * count starts at two. */
#include "service/http/http_multipart.h"

#include "service/http/http_target.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { BOUNDARY_MAX = 70, PART_HEAD_MAX = 4096, PARTS_MAX = 64 };

typedef enum state {
    STATE_FIRST = 0, /* before the first delimiter */
    STATE_DATA,
    STATE_AFTER, /* behind a delimiter: CR LF or "--" */
    STATE_HEAD,
    STATE_END,
} state;

struct kx_multipart {
    kx_multipart_calls calls;
    state state;
    char delimiter[BOUNDARY_MAX + 5]; /* CR LF "--" boundary */
    size_t delimiter_bytes;
    size_t matched; /* bytes of the delimiter seen so far */
    char after[2];
    size_t after_bytes;
    char head[PART_HEAD_MAX + 1];
    size_t head_bytes;
    unsigned parts;
};

static bool refuse(kx_refusal *refusal, int status, const char *sentence)
{
    *refusal = (kx_refusal){status, sentence};
    return false;
}

typedef enum found { FOUND_NOT = 0, FOUND, FOUND_BROKEN } found;

/* Copies the value of `;name=value` or `;name="value"`. Broken: a quote that is not closed, or it does not
 * fit. */
static found parameter(const char *text, const char *name, char *out, size_t room)
{
    size_t length = strlen(name);
    while ((text = strchr(text, ';')) != NULL) {
        text += 1 + strspn(text + 1, " \t");
        bool is_it = strncasecmp(text, name, length) == 0 && text[length] == '=';
        text += strcspn(text, "=;");
        if (*text != '=') continue;
        bool is_quoted = *++text == '"';
        if (is_quoted) text++;
        size_t used = 0;
        for (; *text != '\0' && (is_quoted ? *text != '"' : *text != ';'); text++) {
            if (is_quoted && *text == '\\' && (text[1] == '"' || text[1] == '\\')) text++;
            if (is_it && used + 1 >= room) return FOUND_BROKEN;
            if (is_it) out[used++] = *text;
        }
        if (is_quoted && *text != '"') return FOUND_BROKEN;
        if (!is_it) continue;
        while (!is_quoted && used > 0 && (out[used - 1] == ' ' || out[used - 1] == '\t')) used--;
        out[used] = '\0';
        return FOUND;
    }
    return FOUND_NOT;
}

static bool is_boundary(const char *text)
{
    size_t length = strlen(text);
    return length > 0 && length <= BOUNDARY_MAX && text[length - 1] != ' ' &&
           strspn(text, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'()+_,-./:=? ") ==
               length;
}

kx_multipart *kx_multipart_open(const char *content_type, const kx_multipart_calls *calls,
                                kx_refusal *refusal)
{
    char boundary[BOUNDARY_MAX + 1];
    if (content_type == NULL || strncasecmp(content_type, "multipart/form-data", 19) != 0 ||
        strchr("; \t", content_type[19]) == NULL || content_type[19] == '\0') {
        refuse(refusal, 415, "a form is expected: Content-Type: multipart/form-data; boundary=...");
        return NULL;
    }
    if (parameter(content_type, "boundary", boundary, sizeof boundary) != FOUND || !is_boundary(boundary)) {
        refuse(refusal, 400, "the form's Content-Type has no proper boundary");
        return NULL;
    }
    kx_multipart *multipart = calloc(1, sizeof *multipart);
    if (multipart == NULL) {
        refuse(refusal, 503, "out of memory");
        return NULL;
    }
    multipart->calls = *calls;
    size_t length = strlen(boundary);
    memcpy(multipart->delimiter, "\r\n--", 4);
    memcpy(multipart->delimiter + 4, boundary, length + 1);
    multipart->delimiter_bytes = length + 4;
    multipart->matched = 2;
    return multipart;
}

void kx_multipart_close(kx_multipart *multipart)
{
    free(multipart);
}

bool kx_multipart_is_whole(const kx_multipart *multipart)
{
    return multipart->state == STATE_END;
}

/* The value of one line "Name: value" of the part's head, when it has that name. */
static char *line_value(char *line, const char *name)
{
    size_t length = strlen(name);
    if (strncasecmp(line, name, length) != 0 || line[length] != ':') return NULL;
    line += length + 1;
    return line + strspn(line, " \t");
}

typedef struct part_lines {
    char *disposition, *type;
    bool has_coding;
} part_lines;

static bool sort_line(part_lines *lines, char *line)
{
    char *value;
    char *colon = strchr(line, ':');
    if (colon == NULL || colon == line || memchr(line, ' ', (size_t)(colon - line)) != NULL) return false;
    if ((value = line_value(line, "Content-Disposition")) != NULL) {
        if (lines->disposition != NULL) return false;
        lines->disposition = value;
    } else if ((value = line_value(line, "Content-Type")) != NULL) {
        if (lines->type != NULL) return false;
        lines->type = value;
    } else if ((value = line_value(line, "Content-Transfer-Encoding")) != NULL) {
        lines->has_coding = strcasecmp(value, "binary") != 0 && strcasecmp(value, "8bit") != 0 &&
                            strcasecmp(value, "7bit") != 0;
    }
    return true;
}

/* Browsers write a quote in a name as %22; the form of RFC 5987 is percent-encoded as a whole. */
static bool read_names(char *disposition, kx_part *part, char *name, char *filename, size_t room)
{
    if (strncasecmp(disposition, "form-data", 9) != 0 || strchr("; \t", disposition[9]) == NULL) return false;
    if (parameter(disposition, "name", name, room) != FOUND) return false;
    part->name = name;
    part->filename = "";
    found plain = parameter(disposition, "filename", filename, room);
    if (plain == FOUND_BROKEN) return false;
    if (plain == FOUND) {
        part->is_file = true;
        part->filename = filename;
    } else if (parameter(disposition, "filename*", filename, room) == FOUND) {
        part->is_file = true;
        if (strncasecmp(filename, "utf-8''", 7) != 0 || !kx_target_decode(filename + 7, false)) return false;
        part->filename = filename + 7;
    }
    return true;
}

static bool is_plain_text(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f) return false;
    }
    return true;
}

static bool begin_part(kx_multipart *multipart, kx_refusal *refusal)
{
    kx_part part = {0};
    part_lines lines = {0};
    char name[PART_HEAD_MAX], filename[PART_HEAD_MAX];
    for (char *line = multipart->head; *line != '\0';) {
        char *end = strstr(line, "\r\n");
        if (end == NULL) break;
        *end = '\0';
        if (line[0] != '\0' && (!is_plain_text(line) || !sort_line(&lines, line)))
            return refuse(refusal, 400, "a header line of a form part is broken");
        line = end + 2;
    }
    if (lines.has_coding) return refuse(refusal, 400, "a form part has a transfer encoding");
    if (lines.disposition == NULL || !read_names(lines.disposition, &part, name, filename, sizeof name))
        return refuse(refusal, 400, "a form part has no Content-Disposition: form-data with a name");
    if (++multipart->parts > PARTS_MAX) return refuse(refusal, 400, "the form has more than 64 parts");
    part.content_type = lines.type == NULL ? "" : lines.type;
    multipart->head_bytes = 0;
    multipart->state = STATE_DATA;
    return multipart->calls.begin(multipart->calls.user, &part) || refuse(refusal, 0, "");
}

static bool take_head_byte(kx_multipart *multipart, char c, kx_refusal *refusal)
{
    char *head = multipart->head;
    size_t size = multipart->head_bytes;
    if (size == PART_HEAD_MAX || c == '\0')
        return refuse(refusal, 400, "the head of a form part is too long or broken");
    if ((size > 0 && head[size - 1] == '\r') != (c == '\n'))
        return refuse(refusal, 400, "a line of a form part does not end in CR LF");
    head[size++] = c;
    head[size] = '\0';
    multipart->head_bytes = size;
    /* Two bytes: a part without a head, whose data must not be read as one. */
    bool is_end = (size == 2 && c == '\n') || (size >= 4 && memcmp(head + size - 4, "\r\n\r\n", 4) == 0);
    return !is_end || begin_part(multipart, refusal);
}

static bool take_after_byte(kx_multipart *multipart, char c, kx_refusal *refusal)
{
    multipart->after[multipart->after_bytes++] = c;
    if (multipart->after_bytes < 2) return true;
    multipart->after_bytes = 0;
    if (memcmp(multipart->after, "--", 2) == 0) {
        multipart->state = STATE_END;
        return true;
    }
    if (memcmp(multipart->after, "\r\n", 2) != 0)
        return refuse(refusal, 400, "a boundary of the form is not followed by CR LF");
    multipart->state = STATE_HEAD;
    return true;
}

static bool give(kx_multipart *multipart, const uint8_t *bytes, size_t size, kx_refusal *refusal)
{
    if (size == 0) return true;
    if (multipart->state == STATE_FIRST)
        return refuse(refusal, 400, "the form does not begin with its boundary");
    return multipart->calls.data(multipart->calls.user, bytes, size) || refuse(refusal, 0, "");
}

/* A CR stands only at the delimiter's beginning, so a mismatch starts again there and nowhere else. */
static bool take_data(kx_multipart *multipart, const uint8_t **at, const uint8_t *end, kx_refusal *refusal)
{
    const uint8_t *delimiter = (const uint8_t *)multipart->delimiter;
    if (multipart->matched == 0) {
        const uint8_t *cr = memchr(*at, '\r', (size_t)(end - *at));
        const uint8_t *stop = cr == NULL ? end : cr;
        if (!give(multipart, *at, (size_t)(stop - *at), refusal)) return false;
        *at = stop;
        if (cr == NULL) return true;
    }
    while (*at < end && multipart->matched < multipart->delimiter_bytes &&
           **at == delimiter[multipart->matched]) {
        (*at)++;
        multipart->matched++;
    }
    if (multipart->matched == multipart->delimiter_bytes) {
        bool was_data = multipart->state == STATE_DATA;
        multipart->state = STATE_AFTER;
        multipart->matched = 0;
        return !was_data || multipart->calls.end(multipart->calls.user) || refuse(refusal, 0, "");
    }
    if (*at == end) return true;
    size_t kept = multipart->matched;
    multipart->matched = 0;
    return give(multipart, delimiter, kept, refusal);
}

static bool take_end_byte(uint8_t c, kx_refusal *refusal)
{
    return c == '\r' || c == '\n' || c == ' ' || c == '\t' ||
           refuse(refusal, 400, "the form goes on behind its last boundary");
}

bool kx_multipart_take(kx_multipart *multipart, const uint8_t *bytes, size_t size, kx_refusal *refusal)
{
    const uint8_t *at = bytes, *end = bytes + size;
    bool good = true;
    while (good && at < end) {
        if (multipart->state == STATE_FIRST || multipart->state == STATE_DATA)
            good = take_data(multipart, &at, end, refusal);
        else if (multipart->state == STATE_AFTER)
            good = take_after_byte(multipart, (char)*at++, refusal);
        else if (multipart->state == STATE_HEAD)
            good = take_head_byte(multipart, (char)*at++, refusal);
        else
            good = take_end_byte(*at++, refusal);
    }
    return good;
}

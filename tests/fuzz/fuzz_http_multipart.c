/* The first line is the Content-Type, the rest the form: refused, or the same parts however the bytes are cut
 * into pieces. */
#include "service/http/http_multipart.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct outcome {
    uint64_t hash;
    unsigned begun, ended;
    bool good, whole;
} outcome;

static void add(outcome *all, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) all->hash = (all->hash ^ ((const uint8_t *)bytes)[i]) * 1099511628211u;
}

static bool begin(void *user, const kx_part *part)
{
    outcome *all = user;
    if (all->begun != all->ended) abort();
    all->begun++;
    add(all, part->name, strlen(part->name) + 1);
    add(all, part->filename, strlen(part->filename) + 1);
    add(all, part->content_type, strlen(part->content_type) + 1);
    return true;
}

static bool take(void *user, const uint8_t *bytes, size_t size)
{
    outcome *all = user;
    if (all->begun != all->ended + 1 || size == 0) abort();
    add(all, bytes, size);
    return true;
}

static bool end(void *user)
{
    outcome *all = user;
    if (all->begun != ++all->ended) abort();
    add(all, "end", 3);
    return true;
}

static bool run(outcome *all, const char *type, const uint8_t *data, size_t size, size_t piece)
{
    kx_refusal refusal = {0};
    kx_multipart_calls calls = {begin, take, end, all};
    *all = (outcome){.hash = 14695981039346656037u, .good = true};
    kx_multipart *form = kx_multipart_open(type, &calls, &refusal);
    if (form == NULL) return false;
    for (size_t at = 0; at < size && all->good; at += piece)
        all->good = kx_multipart_take(form, data + at, size - at < piece ? size - at : piece, &refusal);
    if (!all->good && refusal.status < 400) abort();
    all->whole = kx_multipart_is_whole(form);
    if (all->whole && all->begun != all->ended) abort();
    kx_multipart_close(form);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char type[300];
    outcome whole, single, some;
    const uint8_t *line_end = memchr(data, '\n', size);
    size_t length = line_end == NULL ? size : (size_t)(line_end - data);
    if (line_end == NULL || length >= sizeof type || size > 100000) return 0;
    memcpy(type, data, length);
    type[length] = '\0';
    data = line_end + 1;
    size -= length + 1;
    if (!run(&whole, type, data, size, size + 1)) return 0;
    run(&single, type, data, size, 1);
    run(&some, type, data, size, 13);
    if (whole.good != single.good || whole.good != some.good) abort();
    if (whole.hash != single.hash || whole.hash != some.hash || whole.whole != single.whole) abort();
    return 0;
}

/* The first eight bytes are the file's size, the rest the text of Range and If-None-Match. */
#include "service/http/http_range.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t bytes, first, last;
    if (size < sizeof bytes) return 0;
    memcpy(&bytes, data, sizeof bytes);
    size -= sizeof bytes;
    char *text = malloc(size + 1);
    if (text == NULL) return 0;
    memcpy(text, data + sizeof bytes, size);
    text[size] = '\0';
    if (kx_range_parse(text, bytes, &first, &last) == KX_RANGE_ONE && (first > last || last >= bytes))
        abort();
    kx_etag_matches(text, "0123456789abcdef");
    free(text);
    return 0;
}

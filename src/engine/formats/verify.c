#include "engine/formats/verify.h"

#include "engine/formats/checksum.h"
#include "engine/formats/ticker.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 8 << 20 };

/* A value is no finite number when its exponent is all ones; for E4M3, when all bits but the sign are. So:
 * mask these bits out, add one at their lowest place, and look whether the sum carries into the sign's place.
 * That is done in eight bytes at once, each lane on its own. */
typedef struct lanes {
    uint64_t mask, one, carry;
} lanes;

static lanes lanes_of(kx_dtype dtype)
{
    switch (dtype) {
    case KX_F32:
        return (lanes){0x7f8000007f800000u, 0x0080000000800000u, 0x8000000080000000u};
    case KX_BF16:
        return (lanes){0x7f807f807f807f80u, 0x0080008000800080u, 0x8000800080008000u};
    case KX_F16:
        return (lanes){0x7c007c007c007c00u, 0x0400040004000400u, 0x8000800080008000u};
    case KX_F8_E4M3:
        return (lanes){0x7f7f7f7f7f7f7f7fu, 0x0101010101010101u, 0x8080808080808080u};
    case KX_F8_E5M2:
        return (lanes){0x7c7c7c7c7c7c7c7cu, 0x0404040404040404u, 0x8080808080808080u};
    case KX_F64:
        return (lanes){0x7ff0000000000000u, 0x0010000000000000u, 0x8000000000000000u};
    default:
        return (lanes){0, 0, 0};
    }
}

static bool is_finite(const uint8_t *data, size_t bytes, lanes l)
{
    uint64_t word, carries = 0;
    size_t i = 0;
    for (; i + sizeof word <= bytes; i += sizeof word) {
        memcpy(&word, data + i, sizeof word);
        carries |= (word & l.mask) + l.one;
    }
    word = 0;
    if (i < bytes) memcpy(&word, data + i, bytes - i);
    carries |= (word & l.mask) + l.one;
    return (carries & l.carry) == 0;
}

/* The first bad element of a block that is known to hold one. */
static size_t first_bad(const uint8_t *data, size_t bytes, size_t element_bytes, lanes l)
{
    size_t i = 0;
    while (i < bytes && is_finite(data + i, element_bytes, l)) i += element_bytes;
    return i / element_bytes;
}

static bool verify_block(const kx_safetensors_tensor *tensor, size_t from, size_t bytes, size_t *element)
{
    lanes l = lanes_of(tensor->dtype);
    size_t element_bytes = kx_dtype_bytes(tensor->dtype);
    if (l.mask == 0 || is_finite(tensor->data + from, bytes, l)) return true;
    *element = from / element_bytes + first_bad(tensor->data + from, bytes, element_bytes, l);
    return false;
}

bool kx_verify_tensor(const kx_safetensors_tensor *tensor, size_t *element)
{
    return verify_block(tensor, 0, tensor->bytes, element);
}

/* Both questions are put to a block while it is in the cache. */
static kx_status read_tensor(const kx_safetensors *file, const kx_safetensors_tensor *tensor,
                             kx_checksum *sum, kx_ticker *ticker, kx_error *err)
{
    kx_status status = KX_OK;
    for (size_t from = 0; from < tensor->bytes; from += BLOCK_BYTES) {
        size_t bytes = tensor->bytes - from < BLOCK_BYTES ? tensor->bytes - from : BLOCK_BYTES, element;
        if (sum != NULL) kx_checksum_add(sum, tensor->data + from, bytes);
        KX_FAIL_IF(!verify_block(tensor, from, bytes, &element), err, KX_ERR_MODEL,
                   "%s: tensor %s: element %zu of %zu is not a finite number", file->path, tensor->name,
                   element, tensor->count);
        KX_TRY(kx_ticker_advance(ticker, bytes, err));
    }
out:
    return status;
}

static int compare_places(const void *a, const void *b)
{
    const uint8_t *x = (*(const kx_safetensors_tensor *const *)a)->data,
                  *y = (*(const kx_safetensors_tensor *const *)b)->data;
    return (x > y) - (x < y);
}

/* The tensors of a file that carries checksums, in the order of these. */
static kx_status verify_checksums(const kx_safetensors *file, const kx_safetensors_tensor *sums,
                                  kx_ticker *ticker, kx_error *err)
{
    kx_status status = KX_OK;
    size_t count = 0;
    const kx_safetensors_tensor **ordered = calloc(file->num_tensors, sizeof *ordered);
    KX_FAIL_IF(ordered == NULL, err, KX_ERR_MEMORY, "out of memory: %zu tensors", file->num_tensors);
    for (size_t i = 0; i < file->num_tensors; i++)
        if (&file->tensors[i] != sums) ordered[count++] = &file->tensors[i];
    KX_FAIL_IF(sums->dtype != KX_U64 || sums->count != count, err, KX_ERR_MODEL,
               "%s: tensor %s has %zu elements of type %s, %zu of type U64 are expected", file->path,
               sums->name, sums->count, kx_dtype_name(sums->dtype), count);
    if (count > 0) qsort(ordered, count, sizeof *ordered, compare_places);
    for (size_t i = 0; i < count; i++) {
        kx_checksum sum = kx_checksum_start();
        uint64_t expected;
        KX_TRY(read_tensor(file, ordered[i], &sum, ticker, err));
        memcpy(&expected, sums->data + i * sizeof expected, sizeof expected);
        KX_FAIL_IF(kx_checksum_end(&sum) != expected, err, KX_ERR_MODEL,
                   "%s: tensor %s is damaged: its checksum is not the one that was written", file->path,
                   ordered[i]->name);
    }
    KX_TRY(kx_ticker_advance(ticker, sums->bytes, err)); /* they were read, too */
out:
    free(ordered);
    return status;
}

static kx_status verify_file(const kx_safetensors *file, kx_ticker *ticker, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_safetensors_tensor *sums = kx_safetensors_find(file, KX_CHECKSUM_TENSOR);
    if (sums != NULL) return verify_checksums(file, sums, ticker, err);
    for (size_t i = 0; i < file->num_tensors; i++)
        KX_TRY(read_tensor(file, &file->tensors[i], NULL, ticker, err));
out:
    return status;
}

kx_status kx_verify_model(const kx_model_files *files, const kx_callbacks *callbacks, kx_error *err)
{
    kx_status status = KX_OK;
    kx_ticker ticker;
    uint64_t total = 0;
    for (size_t f = 0; f < files->num_files; f++) {
        for (size_t i = 0; i < files->files[f]->num_tensors; i++) total += files->files[f]->tensors[i].bytes;
    }
    kx_ticker_start(&ticker, callbacks, "verify", total);
    KX_TRY(kx_ticker_advance(&ticker, 0, err));
    for (size_t f = 0; f < files->num_files; f++) KX_TRY(verify_file(files->files[f], &ticker, err));
out:
    return status;
}

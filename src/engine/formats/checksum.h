/* Checksums of the tensors of a file that this program wrote: a running 64-bit hash, fast enough to be taken
 * while gigabytes are copied. It finds damage; it does not withstand somebody who looks for a collision.
 *
 *     kx_checksum sum = kx_checksum_start();
 *     kx_checksum_add(&sum, data, bytes);      // as often as there are pieces
 *     uint64_t value = kx_checksum_end(&sum);  // the same for any cut into pieces
 *
 * A file carries them as its last tensor, KX_CHECKSUM_TENSOR, U64 [n]: those of the other tensors in the
 * order of their bytes.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define KX_CHECKSUM_TENSOR "kontext.checksums"

enum { KX_CHECKSUM_LANES = 4, KX_CHECKSUM_STRIPE = 8 * KX_CHECKSUM_LANES };

typedef struct kx_checksum {
    uint64_t lanes[KX_CHECKSUM_LANES];
    uint64_t bytes;
    uint8_t held[KX_CHECKSUM_STRIPE]; /* of a stripe that is not whole yet */
    size_t num_held;
} kx_checksum;

kx_checksum kx_checksum_start(void);
void kx_checksum_add(kx_checksum *sum, const void *data, size_t bytes);
uint64_t kx_checksum_end(const kx_checksum *sum);

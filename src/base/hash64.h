/* A running 64-bit hash (FNV-1a): finds damage and tells things apart. It does not withstand somebody who
 * looks for a collision.
 *
 *     uint64_t hash = KX_HASH64_START;
 *     hash = kx_hash64_add(hash, data, bytes);      // as often as there are parts
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define KX_HASH64_START UINT64_C(0xcbf29ce484222325)

uint64_t kx_hash64_add(uint64_t hash, const void *data, size_t bytes);
/* A text with its end, so that "ab" + "c" is not "a" + "bc". */
uint64_t kx_hash64_add_text(uint64_t hash, const char *text);

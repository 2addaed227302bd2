/* Files by content: a blob is named by the SHA-256 of its bytes and written once, complete or not at all.
 * Today a folder ("blobs/ab/abcdef..."); another store would stand behind the same calls. From any thread. */
#pragma once

#include "base/bytes.h"
#include "base/error.h"
#include "service/common/crypto.h"

#include <stdint.h>

typedef struct kx_blobs kx_blobs;
typedef struct kx_blob_writer kx_blob_writer;

/* `folder` gets blobs/ and tmp/; what an earlier process left in tmp/ is removed. Errors: KX_ERR_OUTPUT. */
kx_status kx_blobs_open(kx_blobs **blobs, const char *folder, kx_error *err);
void kx_blobs_close(kx_blobs *blobs);

/* Streaming: bytes go to tmp/ and are hashed on the way. Over `cap` bytes: KX_ERR_INPUT. Commit syncs the
 * file and renames it; discard (also after commit) frees. */
kx_status kx_blob_writer_open(kx_blob_writer **writer, kx_blobs *blobs, uint64_t cap, kx_error *err);
kx_status kx_blob_writer_add(kx_blob_writer *writer, const void *data, size_t bytes, kx_error *err);
uint64_t kx_blob_writer_bytes(const kx_blob_writer *writer);
kx_status kx_blob_writer_commit(kx_blob_writer *writer, char hash[KX_SHA256_HEX], kx_error *err);
void kx_blob_writer_discard(kx_blob_writer *writer);

kx_status kx_blobs_put(kx_blobs *blobs, const void *data, size_t bytes, char hash[KX_SHA256_HEX],
                       kx_error *err);
/* An open read-only descriptor and its size; the caller closes it. KX_ERR_INPUT when there is no such blob.
 */
kx_status kx_blobs_open_file(kx_blobs *blobs, const char *hash, int *fd, uint64_t *bytes, kx_error *err);
kx_status kx_blobs_read(kx_blobs *blobs, const char *hash, kx_bytes *out, kx_error *err);
void kx_blobs_remove(kx_blobs *blobs, const char *hash); /* one that is not there is no error */
/* The same for a sweep: removes it only when it was last put at least `min_age_s` ago, so that a blob whose
 * record is on its way stays. */
void kx_blobs_remove_older(kx_blobs *blobs, const char *hash, uint64_t min_age_s);
/* Calls `visit` for every blob, with its age since it was last put, by the system's clock; for the sweep that
 * removes blobs which no record names. `visit` may remove. */
kx_status kx_blobs_each(kx_blobs *blobs, void (*visit)(void *user, const char *hash, uint64_t age_s),
                        void *user, kx_error *err);

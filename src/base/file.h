/* Files: read-only maps, whole reads with a cap, and writes that appear complete or not at all. */
#pragma once

#include "base/bytes.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A read-only, shared map of a whole regular file. Zero-initialise; closing twice is harmless. */
typedef struct kx_file_map {
    const uint8_t *data;
    size_t bytes;
} kx_file_map;

/* `blame` is the status for a file that is missing, not a regular file or unreadable (KX_ERR_MODEL,
 * KX_ERR_INPUT). */
kx_status kx_file_map_open(kx_file_map *map, const char *path, kx_status blame, kx_error *err);
void kx_file_map_close(kx_file_map *map);
/* Lets the pages leave memory; they are read again when touched. */
void kx_file_map_drop(const kx_file_map *map);
/* The same for the whole pages among some bytes of a map. */
void kx_file_drop_range(const void *data, size_t bytes);

/* Bytes of a map that will be read soon: the system may begin to read what is not in memory. */
void kx_file_expect_range(const void *data, size_t bytes);

/* Appends the file to `out`, whose cap bounds it; a larger file is `blame`. Reads pipes and devices as well.
 */
kx_status kx_file_read(const char *path, kx_bytes *out, kx_status blame, kx_error *err);

bool kx_file_exists(const char *path); /* anything at that path */
bool kx_file_is_directory(const char *path);
bool kx_file_is_regular(const char *path); /* links are followed */

/* A file being written: the bytes go to a temporary beside `path`, which commit renames into place after
 * fsync; discard (also right after commit) removes what is left. */
typedef struct kx_file_write {
    char *path;
    char *temporary;
    int fd;
    uint64_t written;
} kx_file_write;

kx_status kx_file_write_open(kx_file_write *file, const char *path, kx_error *err);
kx_status kx_file_write_bytes(kx_file_write *file, const void *data, size_t size, kx_error *err);
/* Overwrites bytes already written, at `offset`. */
kx_status kx_file_write_at(kx_file_write *file, uint64_t offset, const void *data, size_t size,
                           kx_error *err);
kx_status kx_file_write_commit(kx_file_write *file, kx_error *err);
void kx_file_write_discard(kx_file_write *file);

/* Makes a file (open for reading and writing) or a folder under a name that nothing else has: the last six
 * characters of `path` are chosen. Rights are those that the process gives to what it makes. The descriptor
 * of the file, 0 for a folder; -1 and errno. */
int kx_file_make_unique(char *path, bool folder);

/* The bytes of the regular file `from`, of any size, to the file `to`. `blame` is the status for what is
 * wrong with `from`. */
kx_status kx_file_copy(const char *from, const char *to, kx_status blame, kx_error *err);

/* Bytes free for this user on the file system that holds `path` (its folder, when it does not exist yet). */
kx_status kx_file_free_bytes(const char *path, uint64_t *bytes, kx_error *err);
/* mkdir -p. */
kx_status kx_file_make_directory(const char *path, kx_error *err);
/* "folder/name" in a fresh malloc'ed string, NULL when memory is out. */
char *kx_file_join(const char *folder, const char *name);

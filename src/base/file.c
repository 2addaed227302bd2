#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { CHUNK_BYTES = 64 * 1024 };

static kx_status open_for_reading(const char *path, bool only_regular, int *fd, struct stat *info,
                                  kx_status blame, kx_error *err)
{
    kx_status status = KX_OK;
    /* O_NONBLOCK: opening a pipe that nobody writes to must not hang before it is known to be a pipe. */
    *fd = open(path, O_RDONLY | O_CLOEXEC | (only_regular ? O_NONBLOCK : 0));
    KX_FAIL_IF(*fd < 0, err, blame, "%s: %s", path, strerror(errno));
    KX_FAIL_IF(fstat(*fd, info) != 0, err, blame, "%s: %s", path, strerror(errno));
    KX_FAIL_IF(S_ISDIR(info->st_mode), err, blame, "%s: is a directory, a file is expected", path);
    KX_FAIL_IF(only_regular && !S_ISREG(info->st_mode), err, blame, "%s: is not a regular file", path);
out:
    if (status != KX_OK && *fd >= 0) {
        close(*fd);
        *fd = -1;
    }
    return status;
}

kx_status kx_file_map_open(kx_file_map *map, const char *path, kx_status blame, kx_error *err)
{
    kx_status status = KX_OK;
    int fd = -1;
    struct stat info;
    map->data = NULL;
    map->bytes = 0;
    KX_TRY(open_for_reading(path, true, &fd, &info, blame, err));
    KX_FAIL_IF(info.st_size == 0, err, blame, "%s: the file is empty", path);
    void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, fd, 0);
    KX_FAIL_IF(data == MAP_FAILED, err, KX_ERR_MEMORY, "%s: cannot map %lld bytes: %s", path,
               (long long)info.st_size, strerror(errno));
    map->data = data;
    map->bytes = (size_t)info.st_size;
out:
    if (fd >= 0) close(fd);
    return status;
}

void kx_file_map_close(kx_file_map *map)
{
    if (map->data != NULL) munmap((void *)(uintptr_t)map->data, map->bytes);
    map->data = NULL;
    map->bytes = 0;
}

void kx_file_map_drop(const kx_file_map *map)
{
    if (map->data != NULL) madvise((void *)(uintptr_t)map->data, map->bytes, MADV_DONTNEED);
}

void kx_file_drop_range(const void *data, size_t bytes)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = ((uintptr_t)data + page - 1) / page * page;
    uintptr_t end = ((uintptr_t)data + bytes) / page * page;
    if (end > begin) madvise((void *)begin, end - begin, MADV_DONTNEED);
}

void kx_file_expect_range(const void *data, size_t bytes)
{
    if (bytes == 0) return;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)data / page * page;
    madvise((void *)begin, (uintptr_t)data + bytes - begin, MADV_WILLNEED);
}

/* Up to CHUNK_BYTES of the file; 0 at its end. */
static kx_status read_chunk(int fd, const char *path, uint8_t *chunk, size_t *got, kx_status blame,
                            kx_error *err)
{
    kx_status status = KX_OK;
    ssize_t count;
    *got = 0;
    do count = read(fd, chunk, CHUNK_BYTES);
    while (count < 0 && errno == EINTR);
    KX_FAIL_IF(count < 0, err, blame, "%s: %s", path, strerror(errno));
    *got = (size_t)count;
out:
    return status;
}

kx_status kx_file_read(const char *path, kx_bytes *out, kx_status blame, kx_error *err)
{
    kx_status status = KX_OK;
    int fd = -1;
    struct stat info;
    uint8_t chunk[CHUNK_BYTES];
    size_t got;
    KX_TRY(open_for_reading(path, false, &fd, &info, blame, err));
    for (;;) {
        KX_TRY(read_chunk(fd, path, chunk, &got, blame, err));
        if (got == 0) break;
        KX_FAIL_IF(got > out->cap - out->size, err, blame,
                   "%s: the file is larger than the limit of %zu bytes", path, out->cap);
        KX_TRY(kx_bytes_append(out, chunk, got, err));
    }
out:
    if (fd >= 0) close(fd);
    return status;
}

bool kx_file_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

bool kx_file_is_directory(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

bool kx_file_is_regular(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

/* A device or a pipe, whose place a renamed file must not take. */
static bool is_special(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode);
}

/* mkstemp and mkdtemp give rights of their own, and what the process gives can be asked only by changing it
 * for all threads. */
int kx_file_make_unique(char *path, bool folder)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
    enum { TAIL = 6, TRIES = 100 };
    char *tail = path + strlen(path) - TAIL;
    for (int i = 0; i < TRIES; i++) {
        uint8_t random[TAIL];
        if (getrandom(random, sizeof random, 0) != TAIL) return -1;
        for (int k = 0; k < TAIL; k++) tail[k] = letters[random[k] % (sizeof letters - 1)];
        int made = folder ? mkdir(path, 0777) : open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (made >= 0 || errno != EEXIST) return made;
    }
    return -1;
}

kx_status kx_file_write_open(kx_file_write *file, const char *path, kx_error *err)
{
    kx_status status = KX_OK;
    *file = (kx_file_write){.fd = -1};
    size_t room = strlen(path) + 32;
    KX_FAIL_IF(kx_file_is_directory(path), err, KX_ERR_OUTPUT, "%s: is a directory, a file name is expected",
               path);
    KX_FAIL_IF(is_special(path), err, KX_ERR_OUTPUT, "%s: is a device or a pipe, a file name is expected",
               path);
    file->path = strdup(path);
    file->temporary = malloc(room);
    KX_FAIL_IF(file->path == NULL || file->temporary == NULL, err, KX_ERR_MEMORY, "out of memory: %zu bytes",
               room);
    snprintf(file->temporary, room, "%s.part-%ld-XXXXXX", path, (long)getpid());
    file->fd = kx_file_make_unique(file->temporary, false);
    if (file->fd < 0) {
        int reason = errno;
        free(file->temporary);
        file->temporary = NULL;
        KX_FAIL(err, KX_ERR_OUTPUT, "%s: cannot write there: %s", path, strerror(reason));
    }
out:
    if (status != KX_OK) kx_file_write_discard(file);
    return status;
}

kx_status kx_file_write_bytes(kx_file_write *file, const void *data, size_t size, kx_error *err)
{
    kx_status status = kx_file_write_at(file, file->written, data, size, err);
    if (status == KX_OK) file->written += size;
    return status;
}

kx_status kx_file_write_at(kx_file_write *file, uint64_t offset, const void *data, size_t size, kx_error *err)
{
    kx_status status = KX_OK;
    const uint8_t *from = data;
    while (size > 0) {
        ssize_t put = pwrite(file->fd, from, size, (off_t)offset);
        if (put < 0 && errno == EINTR) continue;
        KX_FAIL_IF(put < 0, err, KX_ERR_OUTPUT, "%s: cannot write: %s", file->path, strerror(errno));
        from += put;
        size -= (size_t)put;
        offset += (uint64_t)put;
    }
out:
    return status;
}

kx_status kx_file_write_commit(kx_file_write *file, kx_error *err)
{
    kx_status status = KX_OK;
    KX_FAIL_IF(fsync(file->fd) != 0 && errno != EINVAL, err, KX_ERR_OUTPUT, "%s: cannot write: %s",
               file->path, strerror(errno));
    int closed = close(file->fd);
    file->fd = -1;
    KX_FAIL_IF(closed != 0, err, KX_ERR_OUTPUT, "%s: cannot write: %s", file->path, strerror(errno));
    KX_FAIL_IF(rename(file->temporary, file->path) != 0, err, KX_ERR_OUTPUT, "%s: cannot write there: %s",
               file->path, strerror(errno));
    free(file->temporary);
    file->temporary = NULL;
out:
    kx_file_write_discard(file);
    return status;
}

void kx_file_write_discard(kx_file_write *file)
{
    if (file->fd >= 0 && file->temporary != NULL) close(file->fd);
    if (file->temporary != NULL) unlink(file->temporary);
    free(file->temporary);
    free(file->path);
    *file = (kx_file_write){.fd = -1};
}

kx_status kx_file_copy(const char *from, const char *to, kx_status blame, kx_error *err)
{
    kx_status status = KX_OK;
    int fd = -1;
    struct stat info;
    kx_file_write file = {.fd = -1};
    uint8_t chunk[CHUNK_BYTES];
    size_t got;
    KX_TRY(open_for_reading(from, true, &fd, &info, blame, err));
    KX_TRY(kx_file_write_open(&file, to, err));
    for (;;) {
        KX_TRY(read_chunk(fd, from, chunk, &got, blame, err));
        if (got == 0) break;
        KX_TRY(kx_file_write_bytes(&file, chunk, got, err));
    }
    KX_TRY(kx_file_write_commit(&file, err));
out:
    kx_file_write_discard(&file);
    if (fd >= 0) close(fd);
    return status;
}

kx_status kx_file_free_bytes(const char *path, uint64_t *bytes, kx_error *err)
{
    kx_status status = KX_OK;
    struct statvfs info;
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s", path);
    while (statvfs(folder, &info) != 0) {
        KX_FAIL_IF(errno != ENOENT && errno != ENOTDIR, err, KX_ERR_OUTPUT, "%s: %s", path, strerror(errno));
        char *slash = strrchr(folder, '/');
        if (slash == NULL) {
            snprintf(folder, sizeof folder, ".");
        } else if (slash == folder) {
            snprintf(folder, sizeof folder, "/");
        } else {
            *slash = '\0';
        }
    }
    *bytes = (uint64_t)info.f_bavail * info.f_frsize;
out:
    return status;
}

kx_status kx_file_make_directory(const char *path, kx_error *err)
{
    kx_status status = KX_OK;
    char *copy = strdup(path);
    KX_FAIL_IF(copy == NULL, err, KX_ERR_MEMORY, "out of memory");
    for (char *at = copy + 1;; at++) {
        if (*at != '/' && *at != '\0') continue;
        char kept = *at;
        *at = '\0';
        KX_FAIL_IF(mkdir(copy, 0777) != 0 && errno != EEXIST, err, KX_ERR_OUTPUT,
                   "%s: cannot make the directory: %s", copy, strerror(errno));
        *at = kept;
        if (kept == '\0') break;
    }
    KX_FAIL_IF(!kx_file_is_directory(path), err, KX_ERR_OUTPUT, "%s: exists and is not a directory", path);
out:
    free(copy);
    return status;
}

char *kx_file_join(const char *folder, const char *name)
{
    size_t room = strlen(folder) + strlen(name) + 2;
    char *path = malloc(room);
    if (path != NULL) snprintf(path, room, "%s/%s", folder, name);
    return path;
}

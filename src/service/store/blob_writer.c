/* A blob on its way: a file in tmp/ without a name that counts. Commit makes it durable before it is named,
 * and the name durable before it is told: file synced, renamed, folder synced. */
#include "base/file.h"
#include "service/store/blobs_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct kx_blob_writer {
    kx_blobs *blobs;
    kx_sha256 *hash;
    char *path; /* in tmp/; NULL once it is renamed */
    int fd;
    uint64_t bytes, cap;
};

kx_status kx_blob_writer_open(kx_blob_writer **writer, kx_blobs *blobs, uint64_t cap, kx_error *err)
{
    kx_status status = KX_OK;
    kx_blob_writer *made = calloc(1, sizeof *made);
    KX_FAIL_IF(made == NULL, err, KX_ERR_MEMORY, "out of memory");
    *made = (kx_blob_writer){.blobs = blobs, .fd = -1, .cap = cap};
    KX_TRY(kx_sha256_open(&made->hash, err));
    char *path = kx_file_join(blobs->tmp, "blob-XXXXXX");
    KX_FAIL_IF(path == NULL, err, KX_ERR_MEMORY, "out of memory");
    made->fd = mkstemp(path);
    if (made->fd < 0) {
        free(path);
        KX_TRY(kx_blobs_fail(blobs->tmp, errno, err));
    }
    made->path = path;
    fcntl(made->fd, F_SETFD, FD_CLOEXEC);
    *writer = made;
    made = NULL;
out:
    kx_blob_writer_discard(made);
    return status;
}

kx_status kx_blob_writer_add(kx_blob_writer *writer, const void *data, size_t bytes, kx_error *err)
{
    kx_status status = KX_OK;
    const uint8_t *from = data;
    KX_FAIL_IF(bytes > writer->cap - writer->bytes, err, KX_ERR_INPUT,
               "the file is larger than the limit of %llu bytes", (unsigned long long)writer->cap);
    for (size_t left = bytes; left > 0;) {
        ssize_t put = write(writer->fd, from, left);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) KX_TRY(kx_blobs_fail(writer->path, errno, err));
        from += put;
        left -= (size_t)put;
    }
    kx_sha256_add(writer->hash, data, bytes);
    writer->bytes += bytes;
out:
    return status;
}

uint64_t kx_blob_writer_bytes(const kx_blob_writer *writer)
{
    return writer->bytes;
}

static kx_status sync_folder(const char *folder, kx_error *err)
{
    kx_status status = KX_OK;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0) KX_TRY(kx_blobs_fail(folder, errno, err));
out:
    if (fd >= 0) close(fd);
    return status;
}

/* Makes "blobs/ab" when it is not there. */
static kx_status make_folder(const kx_blobs *blobs, const char *folder, kx_error *err)
{
    if (mkdir(folder, 0777) == 0) return sync_folder(blobs->blobs, err);
    return errno == EEXIST ? KX_OK : kx_blobs_fail(folder, errno, err);
}

/* The same bytes put again make the file young, which keeps a sweep away from it. */
static bool find_again(kx_blobs *blobs, const char *path)
{
    pthread_mutex_lock(&blobs->lock);
    bool is_there = utimensat(AT_FDCWD, path, NULL, 0) == 0;
    pthread_mutex_unlock(&blobs->lock);
    return is_there;
}

static kx_status folder_of(const char *path, char **folder, kx_error *err)
{
    kx_status status = KX_OK;
    *folder = strdup(path);
    KX_FAIL_IF(*folder == NULL, err, KX_ERR_MEMORY, "out of memory");
    *strrchr(*folder, '/') = '\0';
out:
    return status;
}

static kx_status sync_folder_of(const char *path, kx_error *err)
{
    kx_status status = KX_OK;
    char *folder = NULL;
    KX_TRY(folder_of(path, &folder, err));
    KX_TRY(sync_folder(folder, err));
out:
    free(folder);
    return status;
}

static kx_status give_name(kx_blob_writer *writer, const char *path, kx_error *err)
{
    kx_status status = KX_OK;
    char *folder = NULL;
    KX_TRY(folder_of(path, &folder, err));
    KX_TRY(make_folder(writer->blobs, folder, err));
    pthread_mutex_lock(&writer->blobs->lock);
    int code = rename(writer->path, path) == 0 ? 0 : errno;
    pthread_mutex_unlock(&writer->blobs->lock);
    if (code != 0) KX_TRY(kx_blobs_fail(path, code, err));
    free(writer->path);
    writer->path = NULL;
    KX_TRY(sync_folder(folder, err));
out:
    free(folder);
    return status;
}

kx_status kx_blob_writer_commit(kx_blob_writer *writer, char hash[KX_SHA256_HEX], kx_error *err)
{
    kx_status status = KX_OK;
    char *path = NULL;
    kx_sha256_close(writer->hash, hash);
    writer->hash = NULL;
    KX_TRY(kx_blobs_path(writer->blobs, hash, &path, err));
    if (find_again(writer->blobs, path)) {
        /* Who wrote it may be a moment before his own sync. */
        KX_TRY(sync_folder_of(path, err));
        goto out;
    }
    if (fsync(writer->fd) != 0) KX_TRY(kx_blobs_fail(writer->path, errno, err));
    KX_TRY(give_name(writer, path, err));
out:
    free(path);
    return status;
}

void kx_blob_writer_discard(kx_blob_writer *writer)
{
    if (writer == NULL) return;
    if (writer->fd >= 0) close(writer->fd);
    if (writer->path != NULL) unlink(writer->path);
    kx_sha256_close(writer->hash, NULL);
    free(writer->path);
    free(writer);
}

#include "base/file.h"
#include "service/store/blobs_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

kx_status kx_blobs_fail(const char *path, int reason, kx_error *err)
{
    bool is_full = reason == ENOSPC || reason == EDQUOT || reason == EFBIG;
    return kx_error_set(err, KX_ERR_OUTPUT, __FILE__, __LINE__, "%s: %s", path,
                        is_full ? "the disk is full, the file was not stored" : strerror(reason));
}

static bool is_hash(const char *hash)
{
    return strlen(hash) == KX_SHA256_HEX - 1 && strspn(hash, "0123456789abcdef") == KX_SHA256_HEX - 1;
}

kx_status kx_blobs_path(const kx_blobs *blobs, const char *hash, char **path, kx_error *err)
{
    kx_status status = KX_OK;
    *path = NULL;
    KX_FAIL_IF(!is_hash(hash), err, KX_ERR_INPUT, "'%.80s' is no name of a stored file", hash);
    size_t room = strlen(blobs->blobs) + KX_SHA256_HEX + 5;
    *path = malloc(room);
    KX_FAIL_IF(*path == NULL, err, KX_ERR_MEMORY, "out of memory");
    snprintf(*path, room, "%s/%.2s/%s", blobs->blobs, hash, hash);
out:
    return status;
}

/* What a process that ended in the middle has left. Nobody else is at work here: one server has the folder.
 */
static void empty_folder(const char *folder)
{
    DIR *directory = opendir(folder);
    if (directory == NULL) return;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        if (entry->d_name[0] != '.') unlinkat(dirfd(directory), entry->d_name, 0);
    closedir(directory);
}

kx_status kx_blobs_open(kx_blobs **blobs, const char *folder, kx_error *err)
{
    kx_status status = KX_OK;
    kx_blobs *made = calloc(1, sizeof *made);
    KX_FAIL_IF(made == NULL, err, KX_ERR_MEMORY, "out of memory");
    pthread_mutex_init(&made->lock, NULL);
    made->blobs = kx_file_join(folder, "blobs");
    made->tmp = kx_file_join(folder, "tmp");
    KX_FAIL_IF(made->blobs == NULL || made->tmp == NULL, err, KX_ERR_MEMORY, "out of memory");
    KX_TRY(kx_file_make_directory(made->blobs, err));
    KX_TRY(kx_file_make_directory(made->tmp, err));
    KX_FAIL_IF(access(made->blobs, W_OK) != 0 || access(made->tmp, W_OK) != 0, err, KX_ERR_OUTPUT,
               "%s: cannot write there: %s", folder, strerror(errno));
    empty_folder(made->tmp);
    *blobs = made;
    made = NULL;
out:
    kx_blobs_close(made);
    return status;
}

void kx_blobs_close(kx_blobs *blobs)
{
    if (blobs == NULL) return;
    pthread_mutex_destroy(&blobs->lock);
    free(blobs->blobs);
    free(blobs->tmp);
    free(blobs);
}

kx_status kx_blobs_put(kx_blobs *blobs, const void *data, size_t bytes, char hash[KX_SHA256_HEX],
                       kx_error *err)
{
    kx_status status = KX_OK;
    kx_blob_writer *writer = NULL;
    KX_TRY(kx_blob_writer_open(&writer, blobs, bytes, err));
    KX_TRY(kx_blob_writer_add(writer, data, bytes, err));
    KX_TRY(kx_blob_writer_commit(writer, hash, err));
out:
    kx_blob_writer_discard(writer);
    return status;
}

kx_status kx_blobs_open_file(kx_blobs *blobs, const char *hash, int *fd, uint64_t *bytes, kx_error *err)
{
    kx_status status = KX_OK;
    char *path = NULL;
    struct stat info;
    int opened = -1;
    KX_TRY(kx_blobs_path(blobs, hash, &path, err));
    opened = open(path, O_RDONLY | O_CLOEXEC);
    KX_FAIL_IF(opened < 0 && errno == ENOENT, err, KX_ERR_INPUT, "there is no stored file %s", hash);
    KX_FAIL_IF(opened < 0 || fstat(opened, &info) != 0, err, KX_ERR_OUTPUT, "%s: cannot be read: %s", path,
               strerror(errno));
    *fd = opened;
    *bytes = (uint64_t)info.st_size;
    opened = -1;
out:
    if (opened >= 0) close(opened);
    free(path);
    return status;
}

kx_status kx_blobs_read(kx_blobs *blobs, const char *hash, kx_bytes *out, kx_error *err)
{
    kx_status status = KX_OK;
    int fd = -1;
    uint64_t bytes;
    size_t before = out->size;
    uint8_t *to = NULL;
    KX_TRY(kx_blobs_open_file(blobs, hash, &fd, &bytes, err));
    KX_TRY(kx_bytes_grow(out, (size_t)bytes, &to, err));
    for (size_t done = 0; done < bytes;) {
        ssize_t got = read(fd, to + done, (size_t)bytes - done);
        if (got < 0 && errno == EINTR) continue;
        KX_FAIL_IF(got <= 0, err, KX_ERR_OUTPUT, "stored file %s: cannot be read: %s", hash,
                   got == 0 ? "it has become shorter" : strerror(errno));
        done += (size_t)got;
    }
out:
    if (status != KX_OK) out->size = before;
    if (fd >= 0) close(fd);
    return status;
}

void kx_blobs_remove(kx_blobs *blobs, const char *hash)
{
    kx_blobs_remove_older(blobs, hash, 0);
}

static uint64_t age_of(const struct stat *info)
{
    time_t now = time(NULL);
    return now > info->st_mtime ? (uint64_t)(now - info->st_mtime) : 0;
}

void kx_blobs_remove_older(kx_blobs *blobs, const char *hash, uint64_t min_age_s)
{
    kx_error unheard = {0};
    char *path = NULL;
    struct stat info;
    if (kx_blobs_path(blobs, hash, &path, &unheard) != KX_OK) return;
    /* Who puts the same bytes meanwhile either makes the file younger before this look, or finds it gone
     * after. */
    pthread_mutex_lock(&blobs->lock);
    if (stat(path, &info) == 0 && age_of(&info) >= min_age_s) unlink(path);
    pthread_mutex_unlock(&blobs->lock);
    free(path);
}

static void visit_folder(const char *folder, void (*visit)(void *user, const char *hash, uint64_t age_s),
                         void *user)
{
    DIR *directory = opendir(folder);
    if (directory == NULL) return;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        struct stat info;
        if (is_hash(entry->d_name) && fstatat(dirfd(directory), entry->d_name, &info, 0) == 0)
            visit(user, entry->d_name, age_of(&info));
    }
    closedir(directory);
}

kx_status kx_blobs_each(kx_blobs *blobs, void (*visit)(void *user, const char *hash, uint64_t age_s),
                        void *user, kx_error *err)
{
    kx_status status = KX_OK;
    DIR *directory = opendir(blobs->blobs);
    KX_FAIL_IF(directory == NULL, err, KX_ERR_OUTPUT, "%s: cannot be read: %s", blobs->blobs,
               strerror(errno));
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (strlen(entry->d_name) != 2 || entry->d_name[0] == '.') continue;
        char *folder = kx_file_join(blobs->blobs, entry->d_name);
        KX_FAIL_IF(folder == NULL, err, KX_ERR_MEMORY, "out of memory");
        visit_folder(folder, visit, user);
        free(folder);
    }
out:
    if (directory != NULL) closedir(directory);
    return status;
}

#include "engine/formats/new_folder.h"

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Removes what is under our own temporary folder, and it. Links are removed, never followed. */
static void remove_tree(const char *path)
{
    struct stat info;
    if (lstat(path, &info) != 0) return;
    if (!S_ISDIR(info.st_mode)) {
        unlink(path);
        return;
    }
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        char *below = kx_file_join(path, entry->d_name);
        if (below != NULL) remove_tree(below);
        free(below);
    }
    if (directory != NULL) closedir(directory);
    rmdir(path);
}

/* Bytes of `path` that name a folder that exists already; the folders behind it would be made by us. */
static size_t existing_length(const char *path)
{
    char *copy = strdup(path);
    if (copy == NULL) return strlen(path);
    size_t length = strlen(copy);
    while (length > 0 && !kx_file_exists(copy)) {
        while (length > 0 && copy[length - 1] != '/') length--;
        while (length > 0 && copy[length - 1] == '/') length--;
        copy[length] = '\0';
    }
    free(copy);
    return length;
}

/* Removes the empty folders of `path` that are longer than `kept` bytes, from the end. */
static void remove_parents(char *path, size_t kept)
{
    for (size_t length = strlen(path); length > kept;) {
        path[length] = '\0';
        if (rmdir(path) != 0 && errno != ENOENT) return;
        while (length > 0 && path[length - 1] != '/') length--;
        while (length > 0 && path[length - 1] == '/') length--;
    }
}

kx_status kx_new_folder_check(const char *target, uint64_t needed, kx_error *err)
{
    kx_status status = KX_OK;
    uint64_t available;
    DIR *directory = NULL;
    KX_FAIL_IF(kx_file_exists(target) && !kx_file_is_directory(target), err, KX_ERR_OUTPUT,
               "%s: exists and is not a directory", target);
    directory = opendir(target);
    for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;) {
        KX_FAIL_IF(strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0, err, KX_ERR_OUTPUT,
                   "%s: is not empty; a new folder is expected", target);
    }
    KX_TRY(kx_file_free_bytes(target, &available, err));
    KX_FAIL_IF(available < needed, err, KX_ERR_OUTPUT, "%s: the model needs %.1f GB, %.1f GB are free there",
               target, (double)needed * 1e-9, (double)available * 1e-9);
out:
    if (directory != NULL) closedir(directory);
    return status;
}

/* "TARGET.part-XXXXXX" for kx_file_make_unique. */
static char *temporary_name(const char *target)
{
    static const char tail[] = ".part-XXXXXX";
    size_t room = strlen(target) + sizeof tail;
    char *name = malloc(room);
    if (name != NULL) snprintf(name, room, "%s%s", target, tail);
    return name;
}

kx_status kx_new_folder_begin(kx_new_folder *folder, const char *target, kx_error *err)
{
    kx_status status = KX_OK;
    char *above = NULL, *path = NULL;
    bool above_is_ours = false; /* what is missing of it is made here */
    size_t length = strlen(target), folders;
    while (length > 1 && target[length - 1] == '/') length--;
    folders = length;
    while (folders > 0 && target[folders - 1] != '/') folders--;
    *folder = (kx_new_folder){.target = strndup(target, length)};
    above = strndup(target, folders);
    if (folder->target != NULL) path = temporary_name(folder->target);
    KX_FAIL_IF(path == NULL || above == NULL, err, KX_ERR_MEMORY, "out of memory: a path");
    folder->kept = existing_length(above);
    above_is_ours = true;
    if (folders > 0) KX_TRY(kx_file_make_directory(above, err));
    KX_FAIL_IF(kx_file_make_unique(path, true) != 0, err, KX_ERR_OUTPUT, "%s: cannot make the directory: %s",
               path, strerror(errno));
    folder->path = path;
    path = NULL;
out:
    if (status != KX_OK && above_is_ours) remove_parents(above, folder->kept);
    free(above);
    free(path);
    return status;
}

kx_status kx_new_folder_commit(kx_new_folder *folder, kx_error *err)
{
    kx_status status = KX_OK;
    /* An empty folder of that name is replaced. */
    KX_FAIL_IF(rename(folder->path, folder->target) != 0, err, KX_ERR_OUTPUT, "%s: cannot write there: %s",
               folder->target, strerror(errno));
    free(folder->path);
    folder->path = NULL;
out:
    return status;
}

void kx_new_folder_discard(kx_new_folder *folder)
{
    if (folder->path != NULL) {
        remove_tree(folder->path);
        remove_parents(folder->path, folder->kept);
    }
    free(folder->path);
    free(folder->target);
    *folder = (kx_new_folder){0};
}

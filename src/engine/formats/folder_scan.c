#include "engine/formats/folder_scan.h"

#include "base/json_file.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FILES = 512 }; /* of one folder */

static const char index_tail[] = ".safetensors.index.json";

static bool ends_with(const char *name, const char *tail)
{
    size_t length = strlen(name), tail_length = strlen(tail);
    return length > tail_length && strcmp(name + length - tail_length, tail) == 0;
}

static bool is_weights_file(const char *name)
{
    return ends_with(name, ".safetensors") || ends_with(name, ".sft");
}

/* "model-00002-of-00003.safetensors" */
static bool is_shard(const char *name)
{
    unsigned number, count;
    const char *of = strstr(name, "-of-");
    if (of == NULL || of - name < 6) return false;
    return sscanf(of - 6, "-%5u-of-%5u.", &number, &count) == 2 && count > 1;
}

/* ---- Listing ------------------------------------------------------------------------------------------ */

typedef struct listing {
    char **names;
    bool *taken; /* by an index */
    size_t count;
} listing;

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void note_unread(kx_folder_scan *scan, const char *name)
{
    static const char *const tails[] = {".gguf", ".ckpt", ".bin", ".pt", ".pth", ".onnx"};
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        size_t used = strlen(scan->unread);
        if (!ends_with(name, tails[i]) || used + strlen(name) + 3 > sizeof scan->unread) continue;
        snprintf(scan->unread + used, sizeof scan->unread - used, "%s%s", used > 0 ? ", " : "", name);
    }
}

/* The names of weight and index files, sorted. Hidden files are not looked at. */
static kx_status list_folder(kx_folder_scan *scan, const char *folder, listing *list, kx_error *err)
{
    kx_status status = KX_OK;
    DIR *directory = opendir(folder);
    KX_FAIL_IF(directory == NULL, err, KX_ERR_MODEL, "%s: %s", folder, strerror(errno));
    KX_TRY(KX_ARENA_ARRAY(scan->arena, MAX_FILES, &list->names, err));
    KX_TRY(KX_ARENA_ARRAY(scan->arena, MAX_FILES, &list->taken, err));
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        const char *name = entry->d_name;
        if (name[0] == '.') continue;
        note_unread(scan, name);
        if (!is_weights_file(name) && !ends_with(name, index_tail)) continue;
        KX_FAIL_IF(list->count == MAX_FILES, err, KX_ERR_MODEL, "%s: more than %d weight files in one folder",
                   folder, MAX_FILES);
        KX_TRY(kx_arena_copy_text(scan->arena, name, strlen(name), &list->names[list->count], err));
        list->count++;
    }
    if (list->count > 0) qsort(list->names, list->count, sizeof *list->names, compare_names);
out:
    if (directory != NULL) closedir(directory);
    return status;
}

/* ---- Candidates --------------------------------------------------------------------------------------- */

static kx_status join(kx_folder_scan *scan, const char *folder, const char *name, const char **out,
                      kx_error *err)
{
    kx_status status = KX_OK;
    size_t room = strlen(folder) + strlen(name) + 2;
    char *path;
    KX_TRY(kx_arena_take(scan->arena, room, (void **)&path, err));
    snprintf(path, room, "%s/%s", folder, name);
    *out = path;
out:
    return status;
}

static kx_status add_candidate(kx_folder_scan *scan, const char *folder, const char *name, size_t max_files,
                               kx_candidate **out, kx_error *err)
{
    kx_status status = KX_OK;
    if (scan->num_candidates == scan->room) {
        size_t room = scan->room * 2 + 16;
        kx_candidate *grown = realloc(scan->candidates, room * sizeof *grown);
        KX_FAIL_IF(grown == NULL, err, KX_ERR_MEMORY, "out of memory: %zu candidates", room);
        scan->candidates = grown;
        scan->room = room;
    }
    kx_candidate fresh = {.folder = folder};
    KX_TRY(join(scan, folder, name, &fresh.path, err));
    KX_TRY(KX_ARENA_ARRAY(scan->arena, max_files, &fresh.files, err));
    *out = &scan->candidates[scan->num_candidates++];
    **out = fresh;
out:
    return status;
}

static kx_status add_file(kx_candidate *candidate, const char *path, kx_error *err)
{
    kx_status status = KX_OK;
    kx_safetensors *file = calloc(1, sizeof *file);
    KX_FAIL_IF(file == NULL, err, KX_ERR_MEMORY, "out of memory");
    KX_TRY(kx_safetensors_open(file, path, KX_ERR_MODEL, err));
    candidate->files[candidate->num_files++] = file;
    file = NULL;
out:
    free(file);
    return status;
}

void kx_candidate_close(kx_candidate *candidate)
{
    for (size_t i = 0; i < candidate->num_files; i++) {
        kx_safetensors_close(candidate->files[i]);
        free(candidate->files[i]);
    }
    candidate->num_files = 0;
}

static kx_status add_single(kx_folder_scan *scan, const char *folder, const char *name, kx_error *err)
{
    kx_status status = KX_OK;
    kx_candidate *candidate;
    KX_FAIL_IF(is_shard(name), err, KX_ERR_MODEL,
               "%s/%s: is one of several shards, but no *%s in that folder lists it", folder, name,
               index_tail);
    KX_TRY(add_candidate(scan, folder, name, 1, &candidate, err));
    KX_TRY(add_file(candidate, candidate->path, err));
out:
    return status;
}

/* ---- Shards ------------------------------------------------------------------------------------------- */

static kx_status check_shard_name(const char *index, const char *tensor, const json_t *value, kx_error *err)
{
    kx_status status = KX_OK;
    const char *name = json_string_value(value);
    KX_FAIL_IF(name == NULL, err, KX_ERR_MODEL, "%s: tensor %.100s has no file name", index, tensor);
    KX_FAIL_IF(strchr(name, '/') != NULL || !is_weights_file(name) || strlen(name) > 255, err, KX_ERR_MODEL,
               "%s: \"%.100s\" is not the name of a .safetensors file beside it", index, name);
out:
    return status;
}

static const kx_safetensors *file_named(const kx_candidate *candidate, const char *name)
{
    for (size_t i = 0; i < candidate->num_files; i++) {
        const char *slash = strrchr(candidate->files[i]->path, '/');
        if (strcmp(slash != NULL ? slash + 1 : candidate->files[i]->path, name) == 0)
            return candidate->files[i];
    }
    return NULL;
}

/* Opens each file that the map names, once, and checks that the tensors are where the map says. */
static kx_status open_shards(kx_folder_scan *scan, listing *list, kx_candidate *candidate, const json_t *map,
                             kx_error *err)
{
    kx_status status = KX_OK;
    const char *tensor, *path;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)map, tensor, value)
    {
        KX_TRY(check_shard_name(candidate->path, tensor, value, err));
        const char *name = json_string_value(value);
        const kx_safetensors *file = file_named(candidate, name);
        if (file == NULL) {
            char *key = (char *)(uintptr_t)name;
            char **at = bsearch(&key, list->names, list->count, sizeof key, compare_names);
            KX_FAIL_IF(at == NULL, err, KX_ERR_MODEL, "%s: the shard %s is missing", candidate->path, name);
            list->taken[at - list->names] = true;
            KX_TRY(join(scan, candidate->folder, name, &path, err));
            KX_TRY(add_file(candidate, path, err));
            file = candidate->files[candidate->num_files - 1];
        }
        KX_FAIL_IF(kx_safetensors_find(file, tensor) == NULL, err, KX_ERR_MODEL,
                   "%s: tensor %.200s is not in %s", candidate->path, tensor, name);
    }
out:
    return status;
}

static kx_status add_sharded(kx_folder_scan *scan, const char *folder, listing *list, const char *name,
                             kx_error *err)
{
    kx_status status = KX_OK;
    kx_candidate *candidate;
    json_t *root = NULL;
    KX_TRY(add_candidate(scan, folder, name, list->count, &candidate, err));
    KX_TRY(kx_json_file_load(&root, candidate->path, KX_LIMIT_CONFIG_BYTES, KX_ERR_MODEL, err));
    const json_t *map = json_object_get(root, "weight_map");
    KX_FAIL_IF(json_object_size(map) == 0, err, KX_ERR_MODEL, "%s: weight_map is missing or empty",
               candidate->path);
    KX_TRY(open_shards(scan, list, candidate, map, err));
out:
    json_decref(root);
    return status;
}

kx_status kx_folder_scan_add(kx_folder_scan *scan, const char *folder, kx_error *err)
{
    kx_status status = KX_OK;
    listing list = {0};
    size_t first = scan->num_candidates;
    if (!kx_file_is_directory(folder)) return KX_OK;
    KX_TRY(list_folder(scan, folder, &list, err));
    for (size_t i = 0; i < list.count; i++) {
        if (ends_with(list.names[i], index_tail))
            KX_TRY(add_sharded(scan, folder, &list, list.names[i], err));
    }
    for (size_t i = 0; i < list.count; i++) {
        if (is_weights_file(list.names[i]) && !list.taken[i])
            KX_TRY(add_single(scan, folder, list.names[i], err));
    }
    for (size_t i = first; i < scan->num_candidates; i++) {
        kx_candidate *candidate = &scan->candidates[i];
        kx_names_recognise((const kx_safetensors *const *)candidate->files, candidate->num_files,
                           candidate->signs);
    }
out:
    return status;
}

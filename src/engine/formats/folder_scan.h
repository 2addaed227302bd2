/* The files of a model folder, opened and recognised; the first half of model_folder.h. */
#pragma once

#include "base/arena.h"
#include "engine/formats/names.h"

/* One file, or the shards that one index lists. */
typedef struct kx_candidate {
    const char *path;   /* the file, or the index */
    const char *folder; /* where it lies */
    kx_safetensors **files;
    size_t num_files;
    kx_part_sign signs[KX_PART_COUNT];
} kx_candidate;

typedef struct kx_folder_scan {
    kx_arena *arena; /* for everything but the open files */
    kx_candidate *candidates;
    size_t num_candidates;
    size_t room;
    char unread[256]; /* names of model-like files that cannot be read, for sentences */
} kx_folder_scan;

/* Adds the candidates of one folder (not of those below it). A folder that does not exist has none. */
kx_status kx_folder_scan_add(kx_folder_scan *scan, const char *folder, kx_error *err);
/* Closes the candidate's files. */
void kx_candidate_close(kx_candidate *candidate);

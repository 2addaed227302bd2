/* A folder that appears complete or not at all: it is filled under another name beside its place, and then
 * renamed.
 *
 *     kx_new_folder folder = {0};
 *     KX_TRY(kx_new_folder_check("models/new", bytes, err));
 *     KX_TRY(kx_new_folder_begin(&folder, "models/new", err));
 *     ... write under folder.path ...
 *     KX_TRY(kx_new_folder_commit(&folder, err));
 * out:
 *     kx_new_folder_discard(&folder);     // harmless after commit
 *
 * Errors: KX_ERR_OUTPUT, KX_ERR_MEMORY.
 */
#pragma once

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct kx_new_folder {
    char *target;
    char *path;  /* the temporary one, whose name nothing else has */
    size_t kept; /* bytes of `path` that name folders which were there before */
} kx_new_folder;

/* `target` must not exist, or be an empty folder (which is replaced); and `needed` bytes are free there. The
 * sentence tells both numbers. */
kx_status kx_new_folder_check(const char *target, uint64_t needed, kx_error *err);

/* Makes the temporary folder, and those above it that are missing; none of them when it fails. */
kx_status kx_new_folder_begin(kx_new_folder *folder, const char *target, kx_error *err);
kx_status kx_new_folder_commit(kx_new_folder *folder, kx_error *err);
/* Removes what was written, and the folders that were made on the way. */
void kx_new_folder_discard(kx_new_folder *folder);

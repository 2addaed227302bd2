/* What the two files of the blob store share. Nobody outside includes this. */
#pragma once

#include "service/store/blobs.h"

#include <pthread.h>

struct kx_blobs {
    char *blobs, *tmp;    /* folders */
    pthread_mutex_t lock; /* held while a blob appears, is found again or goes: see kx_blobs_remove_older */
};

/* "blobs/ab/abcdef..." in a fresh string. KX_ERR_INPUT: `hash` is not 64 lowercase hex digits. */
kx_status kx_blobs_path(const kx_blobs *blobs, const char *hash, char **path, kx_error *err);
/* The sentence for errno after a failed write. */
kx_status kx_blobs_fail(const char *path, int reason, kx_error *err);

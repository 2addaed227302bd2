/* The service as one thing: store, blobs, fetch, queue, contract and HTTP, opened in this order, stopped in
 * the reverse one. */
#pragma once

#include "base/error.h"
#include "service/common/settings.h"

typedef struct kx_service kx_service;

typedef struct kx_service_start { /* what happened, for the first words to the operator */
    char address[300];            /* "http://127.0.0.1:8080" */
    char first_key[64];           /* "" unless this start made it; told once */
    char signin[33];              /* token of the link "ADDRESS/#signin=TOKEN"; "" without a first
                                   key, and where others reach the address */
    const char *model;
    bool model_is_synthetic;
} kx_service_start;

/* Opens everything and starts answering. Refuses to listen on an address that is not loopback while there is
 * no key (KX_ERR_USAGE). */
kx_status kx_service_open(kx_service **service, const kx_settings *settings, kx_service_start *start,
                          kx_error *err);
/* Finishes answers, checkpoints the running job, closes. */
void kx_service_close(kx_service *service);

/* Where the records lie under a data folder, for the commands that work on them beside a running service.
 * malloc'ed; NULL when memory is out. */
char *kx_service_store_path(const char *data);

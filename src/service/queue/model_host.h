/* The one model of the service: found at the start, opened on the compute thread, described for everybody. */
#pragma once

#include "service/queue/queue.h"

#include <jansson.h>

typedef struct kx_model_host kx_model_host;

/* Decides which model it is, reads nothing yet. `log` is called from the compute thread. */
kx_status kx_model_host_open(kx_model_host **host, const kx_settings *settings,
                             void (*log)(void *user, const char *sentence), void *user, kx_error *err);
void kx_model_host_close(kx_model_host *host);

/* From any thread. */
void kx_model_host_facts(kx_model_host *host, kx_model_facts *facts);

/* On the compute thread only: the model, opened when it is not yet (a synthetic one is made first). NULL when
 * that fails; the facts say why. */
kx_model *kx_model_host_take(kx_model_host *host);
/* Where warnings of the engine are gathered, as an array of strings; NULL: they are logged. Borrowed. */
void kx_model_host_gather_warnings(kx_model_host *host, json_t *warnings);

/* Notes whether the answer of a submit reached its client. The exchange's end is told on the thread that
 * moves bytes, the note is a write to the disk: a thread of its own does it. */
#pragma once

#include "service/http/http.h"
#include "service/store/store.h"

typedef struct kx_answered kx_answered;

kx_status kx_answered_open(kx_answered **answered, kx_store *store, kx_error *err);
/* Writes down what is still waiting. */
void kx_answered_close(kx_answered *answered);

/* Returns when every end of an exchange that was told so far is noted. */
void kx_answered_settle(kx_answered *answered);

/* Watches the end of `exchange`. A new job that nobody has noted counts as delivered, so that only a client
 * that left costs a write; a joined one (`was_joined`) stands as undelivered and must be noted either way. */
void kx_answered_watch(kx_answered *answered, kx_exchange *exchange, const char *id, bool was_joined);

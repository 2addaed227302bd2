/* The states of a job and the moves between them, as a table. */
#pragma once

#include <stdbool.h>

/* id, name in the contract, has it ended */
#define KX_JOB_STATE_LIST(X)                                                                                 \
    X(KX_JOB_CREATED, "created", false)                                                                      \
    X(KX_JOB_PROCESSING, "processing", false)                                                                \
    X(KX_JOB_COMPLETED, "completed", true)                                                                   \
    X(KX_JOB_FAILED, "failed", true)                                                                         \
    X(KX_JOB_CANCELLED, "cancelled", true)                                                                   \
    X(KX_JOB_TIMEOUT, "timeout", true)                                                                       \
    X(KX_JOB_DELETED, "deleted", true)

typedef enum kx_job_state {
#define KX_JOB_STATE_ENUM(id, name, ended) id,
    KX_JOB_STATE_LIST(KX_JOB_STATE_ENUM)
#undef KX_JOB_STATE_ENUM
        KX_JOB_STATES
} kx_job_state;

const char *kx_job_state_name(kx_job_state state);
bool kx_job_state_ended(kx_job_state state);
/* -1 when no state has that name. */
int kx_job_state_parse(const char *name);
/* created -> processing, failed, cancelled, timeout; processing -> created (requeue), completed, failed,
 * cancelled, timeout; every ended one -> deleted. */
bool kx_job_state_may_become(kx_job_state from, kx_job_state to);

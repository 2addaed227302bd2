/* One job on the compute thread, from the stored record to its end. */
#pragma once

#include "service/queue/queue_state.h"

#include <jansson.h>

typedef enum kx_run_halt { /* why the engine was told to end */
                           KX_HALT_NONE = 0,
                           KX_HALT_CANCELLED,
                           KX_HALT_DEADLINE,
                           KX_HALT_STOPPING,
} kx_run_halt;

typedef struct kx_job_run {
    kx_queue *queue;
    const kx_prediction *job;
    kx_live_job *live;
    kx_job_request request;
    kx_arena arena;
    kx_bytes pictures[KX_MAX_REFERENCES]; /* encoded, as they came */
    json_t *warnings;

    /* Watching (job_watch.c) */
    kx_run_halt halt;
    int64_t began_ms;    /* monotonic */
    int64_t earlier_ms;  /* of earlier runs, what the checkpoint took to make that this one goes on from */
    uint64_t generation; /* of the queue, when the store was last asked for a wish to cancel */
    kx_live now;
    double step_began, step_seconds; /* the sum over measured_steps */
    unsigned measured_steps;
    kx_bytes checkpoint; /* after the last step */
    unsigned steps_since_stored;
    bool is_resumed;

    kx_result *result;
} kx_job_run;

/* Runs the edit: run->result. KX_ERR_CANCELLED: run->halt says why. */
kx_status kx_job_run_edit(kx_job_run *run, kx_model *model, kx_error *err);
void kx_job_run_free(kx_job_run *run);

/* job_watch.c: callbacks for the engine, and the stored checkpoint. */
kx_callbacks kx_job_watch_begin(kx_job_run *run);
/* Stores the latest checkpoint unless that has been done. A failure is logged: the job goes on without. */
void kx_job_watch_store_checkpoint(kx_job_run *run);
double kx_job_watch_seconds(void); /* monotonic */
/* The work that the job's present state stands on, over all its runs. */
int64_t kx_job_watch_ran_ms(const kx_job_run *run);

/* job_outcome.c: pictures into blobs, then the end in one transaction. */
kx_status kx_job_outcome_complete(kx_job_run *run, kx_error *err);
/* The end of a job that failed with `failure` for good. */
kx_status kx_job_outcome_fail(kx_job_run *run, const kx_error *failure, kx_error *err);
/* The end of one that was halted by a wish to cancel or by its deadline. */
kx_status kx_job_outcome_halted(kx_job_run *run, kx_error *err);

/* The compute thread: claims one job after another and runs it on the model.
 *
 * A job that meets a transient fault (memory, disk) is parked: in the store it stays "processing", so that
 * nobody claims it, and goes back to the queue when its back-off is over. Other jobs run meanwhile. The list
 * is in memory only; after a crash the store requeues what was processing.
 */
#include "service/queue/job_run.h"

#include <stdlib.h>
#include <string.h>

#define PARKED_MAX     64
#define IDLE_MS        5000 /* other processes (the program's key commands) cannot wake us */
#define FIRST_RETRY_MS 500
#define LAST_RETRY_MS  60000
#define MODEL_RETRY_MS 60000 /* the next try to open a model that could not be opened */
#define MODEL_ASKED_MS 1000  /* or this much after the last one, when work arrives */
#define STORE_RETRY_MS 1000

typedef struct parked_job {
    char id[33];
    int64_t due_ms; /* monotonic */
    bool uncount_attempt;
} parked_job;

typedef struct worker {
    kx_queue *queue;
    parked_job parked[PARKED_MAX];
    size_t num_parked;
} worker;

/* ---- Parked jobs ---- */

static bool is_cancelled_in_store(worker *w, const char *id)
{
    kx_arena arena = {0};
    kx_prediction job;
    bool found = false;
    kx_error err = {0};
    kx_status status = kx_store_prediction_get(w->queue->parts.store, id, &arena, &job, &found, &err);
    bool is_cancelled = status == KX_OK && found && job.cancel_requested;
    kx_arena_free(&arena);
    return is_cancelled;
}

/* Back to the queue; the store ends it there when it was to be cancelled. False: try again later. */
static bool requeue(worker *w, const char *id, bool uncount_attempt)
{
    kx_error err = {0};
    if (kx_store_requeue(w->queue->parts.store, id, uncount_attempt, &err) != KX_OK) {
        kx_queue_log(w->queue, "%s: cannot go back to the queue: %s", id, err.message);
        return false;
    }
    kx_live_touch(w->queue->live, id);
    kx_queue_tell_change(w->queue, id);
    kx_queue_wake(w->queue); /* of one that ended there a webhook may be due */
    return true;
}

static void park(worker *w, const char *id, int64_t wait_ms, bool uncount_attempt)
{
    if (w->num_parked == PARKED_MAX) {
        requeue(w, id, uncount_attempt);
        return;
    }
    parked_job *job = &w->parked[w->num_parked++];
    memcpy(job->id, id, sizeof job->id);
    job->due_ms = kx_clock_monotonic_ms() + wait_ms;
    job->uncount_attempt = uncount_attempt;
}

/* Requeues what is due or cancelled. Returns how long until the next is due. */
static int64_t release_parked(worker *w)
{
    int64_t now_ms = kx_clock_monotonic_ms(), wait_ms = IDLE_MS;
    for (size_t i = 0; i < w->num_parked;) {
        parked_job *job = &w->parked[i];
        bool is_due = job->due_ms <= now_ms || is_cancelled_in_store(w, job->id);
        if (is_due && requeue(w, job->id, job->uncount_attempt)) {
            *job = w->parked[--w->num_parked];
            continue;
        }
        if (is_due) job->due_ms = now_ms + STORE_RETRY_MS;
        if (job->due_ms - now_ms < wait_ms) wait_ms = job->due_ms - now_ms;
        i++;
    }
    return wait_ms;
}

/* At the end: what cannot be requeued now is requeued by the next start. */
static void release_all(worker *w)
{
    for (size_t i = 0; i < w->num_parked; i++) requeue(w, w->parked[i].id, w->parked[i].uncount_attempt);
    w->num_parked = 0;
}

/* ---- One job ---- */

static int64_t backoff_ms(unsigned attempt)
{
    int64_t ms = FIRST_RETRY_MS;
    for (unsigned i = 1; i < attempt && ms < LAST_RETRY_MS; i++) ms *= 4;
    return ms < LAST_RETRY_MS ? ms : LAST_RETRY_MS;
}

static bool deserves_retry(const kx_job_run *run, const kx_error *failure)
{
    return kx_status_retryable(failure->status) &&
           run->job->attempts < run->queue->parts.settings->job_attempts;
}

/* Whatever became of the run goes into the store. When even that fails, the job is parked and runs again. */
static void settle(worker *w, kx_job_run *run, const kx_error *failure)
{
    kx_error err = {0};
    kx_status status = KX_OK;
    bool was_stopped = failure->status == KX_ERR_CANCELLED && run->halt == KX_HALT_STOPPING;
    if (was_stopped) {
        kx_job_watch_store_checkpoint(run);
        park(w, run->job->id, 0, true); /* released as the thread ends */
    } else if (failure->status == KX_ERR_CANCELLED) {
        status = kx_job_outcome_halted(run, &err);
    } else if (failure->status != KX_OK && deserves_retry(run, failure)) {
        kx_meters_add_retry(w->queue->meters);
        kx_queue_log(w->queue, "%s: try %u of %u: %s", run->job->id, run->job->attempts,
                     w->queue->parts.settings->job_attempts, failure->message);
        park(w, run->job->id, backoff_ms(run->job->attempts), false);
    } else if (failure->status != KX_OK) {
        status = kx_job_outcome_fail(run, failure, &err);
    }
    if (status == KX_OK) return;
    kx_queue_log(w->queue, "%s: its end could not be stored: %s", run->job->id, err.message);
    park(w, run->job->id, STORE_RETRY_MS, true);
}

static void run_job(worker *w, kx_model *model, const kx_prediction *job)
{
    kx_queue *queue = w->queue;
    kx_error failure = {0};
    kx_job_run run = {.queue = queue, .job = job};
    run.live = kx_live_begin(queue->live, job->id, "text", true);
    if (run.live == NULL) { /* the table has room for many times the threads there are */
        park(w, job->id, STORE_RETRY_MS, true);
        return;
    }
    run.began_ms = kx_clock_monotonic_ms();
    if (job->attempts <= 1)
        kx_meters_add_wait(queue->meters,
                           1e-9 * (double)(kx_clock_wall_ns(queue->parts.clock) - job->created_ns));
    kx_queue_tell_change(queue, job->id);
    kx_status status = kx_job_run_edit(&run, model, &failure);
    if (status == KX_OK) status = kx_job_outcome_complete(&run, &failure);
    if (status != KX_OK) settle(w, &run, &failure);
    kx_live_end(queue->live, run.live);
    kx_queue_tell_change(queue, job->id);
    kx_job_run_free(&run);
}

/* ---- The thread ---- */

static bool run_next(worker *w, kx_model *model)
{
    kx_arena arena = {0};
    kx_prediction job;
    bool found = false;
    kx_error err = {0};
    unsigned concurrency = w->queue->parts.settings->concurrency;
    if (kx_store_claim(w->queue->parts.store, concurrency, &arena, &job, &found, &err) != KX_OK) {
        kx_queue_log(w->queue, "no job can be taken from the store: %s", err.message);
        kx_queue_pause(w->queue, STORE_RETRY_MS);
    } else if (found) {
        run_job(w, model, &job);
    }
    kx_arena_free(&arena);
    return found;
}

static void wait_for_model(worker *w, uint64_t seen)
{
    int64_t began = kx_clock_monotonic_ms();
    kx_queue_wait_for_wake(w->queue, seen, MODEL_RETRY_MS);
    int64_t waited = kx_clock_monotonic_ms() - began;
    if (waited < MODEL_ASKED_MS) kx_queue_pause(w->queue, MODEL_ASKED_MS - waited);
}

void *kx_worker_main(void *argument)
{
    kx_queue *queue = argument;
    worker w = {.queue = queue};
    while (!kx_queue_is_stopping(queue)) {
        uint64_t seen = kx_queue_generation(queue);
        int64_t wait_ms = release_parked(&w);
        kx_model *model = kx_model_host_take(queue->host);
        if (model == NULL)
            wait_for_model(&w, seen);
        else if (!run_next(&w, model))
            kx_queue_wait_for_wake(queue, seen, wait_ms);
    }
    release_all(&w);
    return NULL;
}

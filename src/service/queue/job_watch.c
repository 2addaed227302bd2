/* The engine's callbacks: what is told of a running job, and what ends it early. All on the compute thread.
 */
#include "service/queue/job_run.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PREVIEW_QUALITY 80

/* Shares of a job's length. The steps are nearly all of it; the ends are for models of few steps. */
#define SHARE_BEFORE_STEPS 0.02
#define SHARE_OF_STEPS     0.93

double kx_job_watch_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int64_t kx_job_watch_ran_ms(const kx_job_run *run)
{
    return run->earlier_ms + kx_clock_monotonic_ms() - run->began_ms;
}

/* ---- Ending early ---- */

/* Somebody else, an admin's program or a delete, may have put the mark into the store. */
static bool store_wants_cancel(kx_job_run *run)
{
    kx_arena arena = {0};
    kx_prediction job;
    bool found = false;
    kx_error err = {0};
    run->generation = kx_queue_generation(run->queue);
    kx_status status =
        kx_store_prediction_get(run->queue->parts.store, run->job->id, &arena, &job, &found, &err);
    /* A store that cannot be read ends nothing. */
    bool wants = status == KX_OK && (!found || job.cancel_requested || job.state != KX_JOB_PROCESSING);
    kx_arena_free(&arena);
    return wants;
}

static int cancelled(void *user)
{
    kx_job_run *run = user;
    if (run->halt != KX_HALT_NONE) return 1;
    if (atomic_load(&run->live->is_cancelled))
        run->halt = KX_HALT_CANCELLED;
    else if (kx_queue_is_stopping(run->queue))
        run->halt = KX_HALT_STOPPING;
    else if (kx_job_watch_ran_ms(run) >= 1000 * (int64_t)run->queue->parts.settings->job_deadline_s)
        run->halt = KX_HALT_DEADLINE;
    else if (kx_queue_generation(run->queue) != run->generation && store_wants_cancel(run))
        run->halt = KX_HALT_CANCELLED;
    return run->halt != KX_HALT_NONE;
}

/* ---- Progress ---- */

static const char *literal_of_stage(const char *stage)
{
    static const char *const stages[] = {"text", "encode", "denoise", "decode"};
    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++)
        if (strcmp(stages[i], stage) == 0) return stages[i];
    return "text";
}

static void count_step(kx_job_run *run, const kx_progress *progress)
{
    kx_live *now = &run->now;
    double seconds = kx_job_watch_seconds();
    unsigned images = run->request.num_images;
    now->total_steps = (unsigned)progress->total * images;
    now->step = progress->image * (unsigned)progress->total + (unsigned)progress->done;
    if (progress->done > 0) {
        run->measured_steps++;
        run->step_seconds += seconds - run->step_began;
        kx_meters_add_step(run->queue->meters, seconds - run->step_began);
        if (store_wants_cancel(run) && run->halt == KX_HALT_NONE) run->halt = KX_HALT_CANCELLED;
    }
    run->step_began = seconds;
    if (run->measured_steps > 0) {
        double mean = run->step_seconds / run->measured_steps;
        now->eta_ms = (int64_t)(1000 * mean * (now->total_steps - now->step));
    }
    now->progress =
        SHARE_BEFORE_STEPS + SHARE_OF_STEPS * now->step / (now->total_steps > 0 ? now->total_steps : 1);
}

static void tell_progress(void *user, const kx_progress *progress)
{
    kx_job_run *run = user;
    double fraction = progress->total > 0 ? (double)progress->done / (double)progress->total : 0;
    run->now.stage = literal_of_stage(progress->stage);
    if (strcmp(run->now.stage, "denoise") == 0) {
        count_step(run, progress);
    } else if (strcmp(run->now.stage, "decode") == 0) {
        /* With it, a stop while decoding costs the decoding alone. */
        kx_job_watch_store_checkpoint(run);
        run->now.progress = SHARE_BEFORE_STEPS + SHARE_OF_STEPS;
        run->now.progress += (1 - run->now.progress) * fraction;
    } else {
        double before = strcmp(run->now.stage, "encode") == 0 ? 0.5 : 0;
        run->now.progress = SHARE_BEFORE_STEPS * (before + 0.5 * fraction);
    }
    kx_live_set(run->queue->live, run->live, &run->now);
    kx_queue_tell_change(run->queue, run->job->id);
}

static void take_preview(void *user, const kx_picture *picture, unsigned image, unsigned step)
{
    kx_job_run *run = user;
    kx_save_options options = {.format = KX_FORMAT_JPEG, .quality = PREVIEW_QUALITY};
    kx_error err = {0};
    uint8_t *jpeg = NULL;
    size_t bytes = 0;
    (void)image, (void)step;
    if (kx_picture_encode(picture, &options, &jpeg, &bytes, &err) != KX_OK) return; /* a job does without */
    uint8_t *own = malloc(bytes);
    if (own != NULL) memcpy(own, jpeg, bytes);
    kx_free(jpeg);
    if (own == NULL) return;
    kx_live_set_preview(run->queue->live, run->live, own, bytes);
    kx_queue_tell_change(run->queue, run->job->id);
}

/* ---- Checkpoints ---- */

void kx_job_watch_store_checkpoint(kx_job_run *run)
{
    kx_error err = {0};
    if (run->steps_since_stored == 0) return;
    run->steps_since_stored = 0;
    kx_status status = kx_store_checkpoint_put(run->queue->parts.store, run->job->id, run->checkpoint.data,
                                               run->checkpoint.size, kx_job_watch_ran_ms(run), &err);
    if (status == KX_OK)
        kx_meters_add_checkpoint(run->queue->meters);
    else
        kx_queue_log(run->queue, "%s: a checkpoint could not be stored: %s", run->job->id, err.message);
}

static void take_checkpoint(void *user, const void *data, size_t bytes)
{
    kx_job_run *run = user;
    kx_error ignored = {0};
    run->checkpoint.size = 0;
    if (kx_bytes_append(&run->checkpoint, data, bytes, &ignored) != KX_OK) {
        run->steps_since_stored = 0;
        return;
    }
    if (++run->steps_since_stored >= run->queue->parts.settings->checkpoint_steps)
        kx_job_watch_store_checkpoint(run);
}

kx_callbacks kx_job_watch_begin(kx_job_run *run)
{
    run->now = (kx_live){.stage = "text", .eta_ms = -1};
    run->step_began = kx_job_watch_seconds();
    run->steps_since_stored = 0;
    return (kx_callbacks){.progress = tell_progress,
                          .cancelled = cancelled,
                          .user = run,
                          .preview = take_preview,
                          .checkpoint = take_checkpoint};
}

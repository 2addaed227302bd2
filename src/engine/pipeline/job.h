/* One edit in work: what its stages hand to each other.
 *
 * Buffers that live longer than a stage ("kept") come from one scratch of their own, taken by a single
 * function that also runs dry for the plan. Pointers are NULL in a dry job. */
#pragma once

#include "engine/pipeline/dump.h"
#include "engine/pipeline/model.h"
#include "engine/sampler/step_cache.h"

#include <time.h>

typedef struct kx_job {
    kx_model *model;
    const kx_edit_request *request;
    kx_callbacks callbacks;
    kx_geometry geometry;
    int steps;
    double guidance;
    uint64_t seed; /* of the first image */

    kx_picture sources[KX_MAX_REFERENCES]; /* as decoded; pixels may be the caller's */
    bool source_is_ours[KX_MAX_REFERENCES];
    kx_picture streams[KX_MAX_REFERENCES]; /* at their working size */

    kx_scratch kept;
    bool kept_failed;
    int32_t *clip_ids;
    int32_t *t5_ids;
    kx_tensor pooled;           /* (1, width of CLIP) */
    kx_tensor embeds;           /* (T, width of T5) */
    kx_tensor reference_tokens; /* (R, 64), all streams in order */
    kx_tensor ids;              /* (T + L + R, 3) */
    float *sigmas;              /* steps + 1 */
    kx_tensor states;           /* (n L, 64): the latents of every image of this call */

    kx_step_cache cache;   /* of the picture in work */
    kx_tensor whole_state; /* (L, 64): what its last whole step started from; empty where nobody asks */
    int whole_step;        /* that step, and steps_reused before it */
    uint64_t whole_reused;
    uint64_t steps_reused; /* of all images */
    uint64_t image_reused; /* of the picture in work, in this call */

    bool keeps; /* there is memory for what later edits may need of the encoders */

    uint8_t *checkpoint;            /* room for one; NULL when none is asked for */
    uint64_t model_hash, edit_hash; /* which edit this is, for checkpoints */
    unsigned first_image;           /* the place to go on at; image num_images: every step is done */
    int first_step;

    kx_result *result;
    kx_dump *dump;
    kx_profiler *profiler;   /* NULL: no profile is asked for */
    int step;                /* in work, for traces */
    uint64_t flops_per_step; /* counted by a dry run of the denoise stage */

    const char *stage;
    struct timespec stage_start;
} kx_job;

/* Takes the kept buffers from job->kept, which is open or measures. */
void kx_job_take_kept(kx_job *job);
void kx_job_close(kx_job *job);

/* Starts a stage's clock; reports progress within it. */
void kx_job_begin_stage(kx_job *job, const char *stage);
void kx_job_progress(kx_job *job, uint64_t done, uint64_t total, unsigned image);
double kx_job_stage_seconds(const kx_job *job);

/* Adds to the dump, when there is one and something was computed; a failure becomes that of the op set. */
__attribute__((format(printf, 4, 5))) void kx_job_dump(kx_job *job, kx_ops *ops, const kx_tensor *tensor,
                                                       const char *format, ...);

/* The stages that compute; each runs dry, too. */
void kx_job_encode_text(void *job, kx_ops *ops);
void kx_job_encode_references(void *job, kx_ops *ops);
void kx_job_denoise(void *job, kx_ops *ops);
void kx_job_decode(void *job, kx_ops *ops);

/* Shows the caller what `image` looks like after `steps_done` steps; velocity (L, 64) is that of the last of
 * them. A part of the denoise stage: measured when dry. */
void kx_job_preview(kx_job *job, kx_ops *ops, const kx_tensor *state, const kx_tensor *velocity,
                    unsigned image, int steps_done);
/* pixels (H,W,3) -> the top left part of it as 8 bit: round half to even of 255 clamp(x/2 + 1/2). */
void kx_job_write_picture(const kx_tensor *pixels, kx_picture *picture);

/* Decodes, stitches and resizes the references into job->streams, and makes the geometry. */
kx_status kx_job_load_references(kx_job *job, kx_error *err);
/* Geometry and the kept buffers' sizes from sizes alone, for a plan. */
kx_status kx_job_prepare(kx_job *job, kx_error *err);

/* The start of every image into job->states: drawn from the seeds, or read from the request's file. */
kx_status kx_job_fill_noise(kx_job *job, kx_error *err);

/* Hands what the profiler has seen to the result, as its profile; nothing where there is no profiler. */
kx_status kx_job_make_profile(kx_job *job, kx_error *err);
void kx_profile_free(kx_profile *profile);

/* The memory of the job as it stands, all stages measured dry. Free with kx_plan_free. */
kx_status kx_job_plan(kx_job *job, kx_plan **plan, kx_error *err);

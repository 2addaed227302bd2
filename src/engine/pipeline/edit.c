/* The edit, stage by stage. */
#include "engine/pipeline/checkpoint.h"

#include "engine/pipeline/memory.h"
#include "engine/pipeline/model_pack.h"
#include "engine/pipeline/request.h"
#include "engine/pipeline/stage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Blocks of the first step go to the dump under their own names; other traces are for tests. */
static void trace_block(void *user, const char *name, const kx_tensor *tensor)
{
    kx_job *job = user;
    if (job->step != 0 || !job->request->dump_blocks || strncmp(name, "block.", 6) != 0) return;
    kx_error lost = {0}; /* a full disk is met again, and reported, when the dump is committed */
    kx_dump_add_tensor(job->dump, name, tensor, &lost);
}

static kx_status tokenize(kx_job *job, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_model *model = job->model;
    const char *prompt = job->request->prompt;
    size_t bytes = strlen(prompt), clip_room = (size_t)kx_clip_config_of(model->clip)->positions;
    kx_token_count clip, t5;
    KX_TRY(
        kx_clip_tokenizer_encode(model->clip_tokenizer, prompt, bytes, clip_room, job->clip_ids, &clip, err));
    KX_TRY(kx_t5_tokenizer_encode(model->t5_tokenizer, prompt, bytes, model->max_text_tokens, job->t5_ids,
                                  &t5, err));
    job->result->clip_tokens = (unsigned)clip.used;
    job->result->clip_tokens_cut = (unsigned)clip.cut;
    job->result->t5_tokens = (unsigned)t5.used;
    job->result->t5_tokens_cut = (unsigned)t5.cut;
    if (t5.cut > 0)
        kx_log_warn(&model->log,
                    "the prompt is %zu tokens too long for T5, which reads %zu: its end is ignored", t5.cut,
                    model->max_text_tokens);
    if (clip.cut > 0)
        kx_log_warn(&model->log,
                    "the prompt is %zu tokens too long for CLIP, which reads %zu: its end counts for T5 only",
                    clip.cut, clip_room);
    KX_TRY(
        kx_dump_add(job->dump, "clip.ids", KX_I32, 1, (int64_t[]){(int64_t)clip_room}, job->clip_ids, err));
    KX_TRY(kx_dump_add(job->dump, "t5.ids", KX_I32, 1, (int64_t[]){(int64_t)model->max_text_tokens},
                       job->t5_ids, err));
out:
    return status;
}

static kx_status dump_text(kx_job *job, kx_error *err)
{
    kx_status status = KX_OK;
    KX_TRY(kx_dump_add(job->dump, "clip.pooled", KX_F32, 1, &job->pooled.cols, job->pooled.data, err));
    KX_TRY(kx_dump_add_tensor(job->dump, "t5.embeds", &job->embeds, err));
out:
    return status;
}

/* Text, target and references in the order of the sequence. */
static void write_position_ids(kx_job *job)
{
    const kx_geometry *geometry = &job->geometry;
    float *ids = kx_tensor_f32(&job->ids);
    size_t text = job->model->max_text_tokens;
    kx_positions_write_text(ids, text);
    ids += text * KX_POSITION_AXES;
    kx_positions_write_grid(ids, (size_t)geometry->working.height_px / KX_TOKEN_PX,
                            (size_t)geometry->working.width_px / KX_TOKEN_PX, (kx_placement){0, 0, 0});
    ids += geometry->target_tokens * KX_POSITION_AXES;
    for (size_t k = 0; k < geometry->num_streams; k++) {
        kx_size size = geometry->stream_working[k];
        kx_positions_write_grid(ids, (size_t)size.height_px / KX_TOKEN_PX,
                                (size_t)size.width_px / KX_TOKEN_PX, geometry->placements[k]);
        ids += kx_size_tokens(size) * KX_POSITION_AXES;
    }
}

static kx_status make_result(kx_job *job, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_geometry *geometry = &job->geometry;
    kx_result *result = calloc(1, sizeof *result);
    KX_FAIL_IF(result == NULL, err, KX_ERR_MEMORY, "out of memory");
    job->result = result;
    result->num_images = job->request->num_images;
    result->images = calloc(result->num_images, sizeof *result->images);
    KX_FAIL_IF(result->images == NULL, err, KX_ERR_MEMORY, "out of memory");
    for (size_t n = 0; n < result->num_images; n++) {
        kx_picture *picture = &result->images[n].picture;
        picture->width_px = geometry->final.width_px;
        picture->height_px = geometry->final.height_px;
        picture->rgb = malloc(3 * (size_t)picture->width_px * (size_t)picture->height_px);
        KX_FAIL_IF(picture->rgb == NULL, err, KX_ERR_MEMORY, "out of memory");
        result->images[n].seed = job->seed + n;
    }
    result->requested = geometry->requested;
    result->working = geometry->working;
    result->final = geometry->final;
    result->num_references = geometry->num_references;
    memcpy(result->references, geometry->references, sizeof result->references);
    result->steps = job->steps;
    result->guidance = job->guidance;
    result->cache = job->request->cache;
    result->cache_threshold = kx_step_cache_start(result->cache, job->request->cache_threshold).threshold;
out:
    return status;
}

/* Before anything large is taken, so that what is taken is not counted twice. */
static kx_status check_plan(kx_job *job, uint64_t *plan_bytes, kx_error *err)
{
    kx_status status = KX_OK;
    kx_plan *plan = NULL;
    KX_TRY(kx_job_plan(job, &plan, err));
    if (!plan->fits && kx_reuse_used_bytes(job->model->reuse) > 0) {
        kx_reuse_clear(job->model->reuse);
        kx_plan_free(plan);
        plan = NULL;
        KX_TRY(kx_job_plan(job, &plan, err));
    }
    *plan_bytes = plan->peak_bytes;
    KX_FAIL_IF(!plan->fits, err, KX_ERR_MEMORY,
               "this edit needs %.2f GiB of memory (most of it in stage %s), %.2f GiB are free; choose a "
               "smaller --size, "
               "fewer references or --ref-pixels",
               (double)plan->peak_bytes / (1 << 30), plan->peak_stage,
               (double)plan->available_bytes / (1 << 30));
    size_t room = job->kept.peak;
    KX_TRY(kx_scratch_open(&job->kept, room, err));
    kx_job_take_kept(job);
out:
    kx_plan_free(plan);
    return status;
}

static kx_status run_stage(kx_job *job, const char *name, kx_stage_work *work, uint64_t total,
                           double *seconds, kx_error *err)
{
    bool denoises = work == kx_job_denoise;
    kx_job_begin_stage(job, name);
    kx_job_progress(job, denoises ? (uint64_t)job->first_step : 0, total, denoises ? job->first_image : 0);
    kx_stage_watch watch = {.callbacks = &job->callbacks,
                            .trace = job->dump != NULL && denoises ? trace_block : NULL,
                            .profiler = job->profiler,
                            .peak_anonymous_bytes = &job->result->peak_anonymous_bytes};
    kx_profiler_stage(job->profiler, name);
    kx_profiler_enter(job->profiler, name, -1);
    kx_status status = kx_stage_run(job->model, work, job, &watch, err);
    kx_profiler_leave(job->profiler);
    *seconds = kx_job_stage_seconds(job);
    return status;
}

/* The encoders are not needed again in this run: their pages may leave memory. */
static void drop_encoders(const kx_model *model)
{
    for (int i = 0; i < KX_PART_COUNT; i++) {
        const kx_part *part = &model->files->parts[i];
        if (part->kind != KX_PART_T5 && part->kind != KX_PART_CLIP) continue;
        for (size_t k = 0; k < part->num_files; k++) kx_file_map_drop(&part->files[k]->map);
    }
}

/* What the steps start from: ids, noise levels and noise, or the states of a checkpoint. What can be wrong
 * with the user's files is found here, before hours are spent. */
static kx_status prepare_steps(kx_job *job, kx_error *err)
{
    kx_status status = KX_OK;
    KX_TRY(kx_job_fill_noise(job, err));
    KX_TRY(tokenize(job, err));
    kx_schedule_sigmas(&job->model->schedule, (size_t)job->steps, job->geometry.target_tokens, job->sigmas);
    KX_TRY(kx_dump_add(job->dump, "sigmas", KX_F32, 1, (int64_t[]){job->steps + 1}, job->sigmas, err));
    kx_checkpoint_identify(job);
    KX_TRY(kx_checkpoint_resume(job, err));
out:
    return status;
}

/* Text, references and all steps that are not done yet. */
static kx_status run_steps(kx_job *job, kx_error *err)
{
    kx_status status = KX_OK;
    kx_timings *seconds = &job->result->seconds;
    size_t streams = job->geometry.num_streams;
    KX_TRY(run_stage(job, "text", kx_job_encode_text, 2, &seconds->text, err));
    KX_TRY(dump_text(job, err));
    drop_encoders(job->model);
    if (streams > 0)
        KX_TRY(run_stage(job, "encode", kx_job_encode_references, streams, &seconds->encode, err));
    write_position_ids(job);
    KX_TRY(kx_dump_add_tensor(job->dump, "ids", &job->ids, err));
    KX_TRY(run_stage(job, "denoise", kx_job_denoise, (uint64_t)job->steps, &seconds->denoise, err));
out:
    return status;
}

static kx_status run_stages(kx_job *job, kx_error *err)
{
    kx_status status = KX_OK;
    unsigned images = job->request->num_images;
    KX_TRY(prepare_steps(job, err));
    bool steps_are_left = job->first_image < images;
    if (steps_are_left) KX_TRY(kx_model_pack(job->model, &job->callbacks, err));
    job->result->seconds.load = kx_job_stage_seconds(job);
    if (steps_are_left) KX_TRY(run_steps(job, err));
    job->result->steps_reused = job->steps_reused;
    KX_TRY(run_stage(job, "decode", kx_job_decode, images, &job->result->seconds.decode, err));
    KX_TRY(kx_dump_commit(job->dump, err));
out:
    return status;
}

kx_status kx_edit_run(kx_model *model, const kx_edit_request *request, const kx_callbacks *callbacks,
                      kx_result **result, kx_error *caller_err)
{
    kx_status status = KX_OK;
    kx_error own_err = {0};
    kx_error *err = caller_err != NULL ? caller_err : &own_err;
    kx_job job = {.model = model, .request = request};
    if (callbacks != NULL) job.callbacks = *callbacks;
    *result = NULL;
    struct timespec start;
    uint64_t plan_bytes;
    kx_job_begin_stage(&job, "load");
    start = job.stage_start;
    KX_TRY(kx_request_check(request, true, err));
    if (request->profile != KX_PROFILE_OFF)
        KX_TRY(kx_profiler_open(&job.profiler, request->profile == KX_PROFILE_EVENTS, err));
    KX_TRY(kx_request_seed(request, &job.seed, err));
    KX_TRY(kx_checkpoint_check(model, request, &job.seed, err));
    KX_TRY(kx_dump_open(&job.dump, request->dump_file, err));
    KX_TRY(kx_job_load_references(&job, err));
    KX_TRY(check_plan(&job, &plan_bytes, err));
    KX_TRY(make_result(&job, err));
    job.result->plan_bytes = plan_bytes;
    KX_TRY(run_stages(&job, err));
    job.stage_start = start;
    job.result->seconds.total = kx_job_stage_seconds(&job);
    KX_TRY(kx_job_make_profile(&job, err));
    *result = job.result;
    job.result = NULL;
out:
    kx_job_close(&job);
    return status;
}

void kx_result_free(kx_result *result)
{
    if (result == NULL) return;
    for (size_t n = 0; result->images != NULL && n < result->num_images; n++)
        kx_picture_free(&result->images[n].picture);
    free(result->images);
    kx_profile_free(result->profile);
    free(result);
}

#include "engine/pipeline/job.h"

#include "engine/pipeline/memory.h"
#include "engine/pipeline/model_pack.h"
#include "engine/pipeline/request.h"
#include "engine/pipeline/stage.h"

#include <stdlib.h>
#include <string.h>

typedef struct plan_stage {
    const char *name;
    kx_stage_work *work;
} plan_stage;

static const plan_stage plan_stages[] = {
    {"text", kx_job_encode_text},
    {"encode", kx_job_encode_references},
    {"denoise", kx_job_denoise},
    {"decode", kx_job_decode},
};
enum { PLAN_STAGES = sizeof plan_stages / sizeof plan_stages[0] };

static void add(kx_plan *plan, const char *stage, const char *name, uint64_t bytes)
{
    if (bytes > 0) plan->buffers[plan->num_buffers++] = (kx_plan_buffer){stage, name, bytes};
}

static void add_scratch(kx_plan *plan, const char *stage, const kx_scratch *measured)
{
    for (int i = 0; i < measured->peak_depth; i++)
        add(plan, stage, measured->at_peak[i].name, measured->at_peak[i].bytes);
}

static uint64_t picture_bytes(kx_size size)
{
    return 3 * (uint64_t)size.width_px * (uint64_t)size.height_px;
}

/* What is there from the first stage to the last. */
static uint64_t add_lasting(const kx_job *job, kx_plan *plan)
{
    const kx_geometry *geometry = &job->geometry;
    uint64_t streams = 0, results = picture_bytes(geometry->final) * job->request->num_images;
    for (size_t k = 0; k < geometry->num_streams; k++) streams += picture_bytes(geometry->stream_working[k]);
    /* Pixels that are loaded already are part of what the process holds now. */
    uint64_t now = kx_memory_anonymous_bytes(), loaded = 0;
    for (size_t k = 0; k < geometry->num_streams; k++)
        if (job->streams[k].rgb != NULL) loaded += picture_bytes(geometry->stream_working[k]);
    now = now > loaded ? now - loaded : 0;
    add(plan, "model", "program, tokenizers, norms and biases", now);
    uint64_t packed = kx_model_pack_bytes(job->model);
    add(plan, "model", "packed matrices", packed);
    add(plan, "model", "reference pictures", streams);
    add(plan, "model", "result pictures", results);
    add_scratch(plan, "model", &job->kept);
    return now + packed + streams + results + job->kept.peak;
}

/* What this edit adds to the encoders' results that are kept for later ones, at most. Where there is no room
 * for it, nothing is kept: no edit is refused for a later one's sake. */
static void add_kept(kx_job *job, kx_plan *plan)
{
    uint64_t most = (uint64_t)(job->pooled.cols + job->embeds.rows * job->embeds.cols) * sizeof(float);
    for (size_t k = 0; k < job->geometry.num_streams; k++)
        most += picture_bytes(job->geometry.stream_working[k]);
    most += job->geometry.reference_tokens * KX_TOKEN_FEATURES * sizeof(float);
    uint64_t growth = kx_reuse_growth_bytes(job->model->reuse, most);
    job->keeps = plan->available_bytes == 0 || plan->peak_bytes + growth <= plan->available_bytes;
    if (!job->keeps) return;
    add(plan, "model", "kept for later edits", growth);
    plan->peak_bytes += growth;
}

kx_status kx_job_plan(kx_job *job, kx_plan **out, kx_error *err)
{
    kx_status status = KX_OK;
    kx_stage_cost *costs = calloc(PLAN_STAGES, sizeof *costs);
    kx_plan *plan = calloc(1, sizeof *plan);
    KX_FAIL_IF(plan == NULL || costs == NULL, err, KX_ERR_MEMORY, "out of memory");
    plan->buffers = calloc((PLAN_STAGES + 1) * KX_SCRATCH_MAX_BUFFERS + 5, sizeof *plan->buffers);
    KX_FAIL_IF(plan->buffers == NULL, err, KX_ERR_MEMORY, "out of memory");
    kx_scratch_measure(&job->kept);
    kx_job_take_kept(job);
    KX_FAIL_IF(job->kept_failed, err, KX_ERR_MEMORY, "the edit is too large to be planned");
    uint64_t lasting = add_lasting(job, plan);
    for (int i = 0; i < PLAN_STAGES; i++) {
        KX_TRY(kx_stage_measure(job->model, plan_stages[i].work, job, &costs[i], err));
        add_scratch(plan, plan_stages[i].name, &costs[i].measured);
        if (lasting + costs[i].measured.peak > plan->peak_bytes) {
            plan->peak_bytes = lasting + costs[i].measured.peak;
            plan->peak_stage = plan_stages[i].name;
        }
    }
    const kx_model_files *files = job->model->files;
    for (size_t i = 0; i < files->num_files; i++) plan->mapped_bytes += files->files[i]->bytes;
    plan->available_bytes = kx_memory_available_bytes() + kx_memory_anonymous_bytes();
    if (job->request->memory_limit_bytes > 0) plan->available_bytes = job->request->memory_limit_bytes;
    add_kept(job, plan);
    plan->fits = plan->available_bytes == 0 || plan->peak_bytes <= plan->available_bytes;
    plan->working = job->geometry.working;
    plan->text_tokens = job->model->max_text_tokens;
    plan->target_tokens = job->geometry.target_tokens;
    plan->reference_tokens = job->geometry.reference_tokens;
    plan->tflop_per_step = 1e-12 * (double)job->flops_per_step;
    *out = plan;
    plan = NULL;
out:
    free(costs);
    kx_plan_free(plan);
    return status;
}

void kx_plan_free(kx_plan *plan)
{
    if (plan == NULL) return;
    free(plan->buffers);
    free(plan);
}

kx_status kx_edit_plan(kx_model *model, const kx_edit_request *request, kx_plan **plan, kx_error *caller_err)
{
    kx_status status = KX_OK;
    kx_error own_err = {0};
    kx_error *err = caller_err != NULL ? caller_err : &own_err;
    kx_job job = {.model = model, .request = request};
    *plan = NULL;
    KX_TRY(kx_request_check(request, false, err));
    bool sizes_only = true;
    for (size_t k = 0; k < request->num_references; k++)
        sizes_only = sizes_only && request->references[k].picture != NULL;
    if (sizes_only) {
        for (size_t k = 0; k < request->num_references; k++) job.sources[k] = *request->references[k].picture;
        KX_TRY(kx_job_prepare(&job, err));
    } else {
        KX_TRY(kx_job_load_references(&job, err));
    }
    KX_TRY(kx_job_plan(&job, plan, err));
out:
    kx_job_close(&job);
    return status;
}

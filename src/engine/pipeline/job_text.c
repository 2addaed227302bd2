#include "engine/pipeline/job.h"

void kx_job_encode_text(void *argument, kx_ops *ops)
{
    kx_job *job = argument;
    const kx_model *model = job->model;
    kx_clip_encode(model->clip, ops, job->clip_ids, kx_clip_config_of(model->clip)->positions, &job->pooled);
    kx_op_check_finite(ops, &job->pooled, "text: CLIP's pooled vector");
    if (!ops->dry) kx_job_progress(job, 1, 2, 0);
    kx_t5_encode(model->t5, ops, job->t5_ids, (int64_t)model->max_text_tokens, &job->embeds);
    kx_op_check_finite(ops, &job->embeds, "text: T5's embeddings");
    if (!ops->dry) kx_job_progress(job, 2, 2, 0);
}

#include "engine/pipeline/job.h"

static kx_reuse_key key_of_ids(const char *encoder, const int32_t *ids, int64_t count)
{
    return (kx_reuse_key){{encoder, ids}, {5, (size_t)count * sizeof *ids}};
}

static void encode_pooled(kx_job *job, kx_ops *ops)
{
    const kx_model *model = job->model;
    int64_t positions = kx_clip_config_of(model->clip)->positions;
    kx_reuse_key key = key_of_ids("clip ", job->clip_ids, positions);
    size_t count = (size_t)job->pooled.cols;
    if (!kx_ops_idle(ops) && kx_reuse_get(model->reuse, &key, job->pooled.data, count)) return;
    kx_clip_encode(model->clip, ops, job->clip_ids, positions, &job->pooled);
    kx_op_check_finite(ops, &job->pooled, "text: CLIP's pooled vector");
    if (!kx_ops_idle(ops) && job->keeps) kx_reuse_put(model->reuse, &key, job->pooled.data, count);
}

static void encode_sequence(kx_job *job, kx_ops *ops)
{
    const kx_model *model = job->model;
    int64_t tokens = (int64_t)model->max_text_tokens;
    kx_reuse_key key = key_of_ids("t5   ", job->t5_ids, tokens);
    size_t count = (size_t)(job->embeds.rows * job->embeds.cols);
    if (!kx_ops_idle(ops) && kx_reuse_get(model->reuse, &key, job->embeds.data, count)) {
        job->result->text_was_kept = 1;
        return;
    }
    kx_t5_encode(model->t5, ops, job->t5_ids, tokens, &job->embeds);
    kx_op_check_finite(ops, &job->embeds, "text: T5's embeddings");
    if (!kx_ops_idle(ops) && job->keeps) kx_reuse_put(model->reuse, &key, job->embeds.data, count);
}

void kx_job_encode_text(void *argument, kx_ops *ops)
{
    kx_job *job = argument;
    encode_pooled(job, ops);
    if (!ops->dry) kx_job_progress(job, 1, 2, 0);
    encode_sequence(job, ops);
    if (!ops->dry) kx_job_progress(job, 2, 2, 0);
}

#include "engine/pipeline/job.h"

#include "engine/images/arrange.h"
#include "engine/images/resize.h"

#include <math.h>

/* Fills job->sources[k]: decoded, or the caller's own pixels. */
static kx_status load_source(kx_job *job, size_t k, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_reference *reference = &job->request->references[k];
    if (reference->picture != NULL) {
        job->sources[k] = *reference->picture;
        KX_FAIL_IF(reference->picture->rgb == NULL, err, KX_ERR_INPUT, "the picture has no pixels");
        goto out;
    }
    KX_FAIL_IF(reference->path == NULL && reference->data == NULL, err, KX_ERR_INPUT, "no picture is given");
    KX_TRY(reference->path != NULL
               ? kx_picture_load(&job->sources[k], reference->path, err)
               : kx_picture_decode(&job->sources[k], reference->data, reference->bytes, err));
    job->source_is_ours[k] = true;
out:
    return status;
}

kx_status kx_job_prepare(kx_job *job, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_edit_request *request = job->request;
    kx_size sizes[KX_MAX_REFERENCES] = {0};
    job->steps = request->steps > 0 ? request->steps : job->model->default_steps;
    job->guidance = request->guidance >= 0 ? request->guidance : job->model->default_guidance;
    for (size_t k = 0; k < request->num_references; k++)
        sizes[k] = (kx_size){job->sources[k].width_px, job->sources[k].height_px};
    KX_TRY(kx_geometry_make(&job->model->rules, request, sizes, &job->geometry, err));
out:
    return status;
}

static kx_status resize_stream(const kx_picture *source, kx_size cropped, kx_size working, kx_picture *stream,
                               kx_error *err)
{
    kx_status status = KX_OK;
    kx_picture part = {0};
    const kx_picture *from = source;
    if (cropped.width_px != source->width_px || cropped.height_px != source->height_px) {
        KX_TRY(kx_picture_crop(source, cropped.width_px, cropped.height_px, &part, err));
        from = &part;
    }
    KX_TRY(kx_resize_lanczos(from, working.width_px, working.height_px, stream, err));
out:
    kx_picture_free(&part);
    return status;
}

kx_status kx_job_load_references(kx_job *job, kx_error *err)
{
    kx_status status = KX_OK;
    kx_picture canvas = {0};
    size_t count = job->request->num_references;
    for (size_t k = 0; k < count; k++) {
        status = load_source(job, k, err);
        if (status != KX_OK) kx_error_prefix(err, "image %zu", k + 1);
        if (status != KX_OK) goto out;
    }
    KX_TRY(kx_job_prepare(job, err));
    const kx_geometry *geometry = &job->geometry;
    bool stitched = geometry->num_streams < count;
    if (stitched) KX_TRY(kx_picture_stitch(job->sources, count, &canvas, NULL, NULL, err));
    for (size_t k = 0; k < geometry->num_streams; k++)
        KX_TRY(resize_stream(stitched ? &canvas : &job->sources[k], geometry->stream_cropped[k],
                             geometry->stream_working[k], &job->streams[k], err));
    for (size_t k = 0; k < count; k++) {
        if (job->source_is_ours[k]) kx_picture_free(&job->sources[k]);
        job->source_is_ours[k] = false;
    }
out:
    kx_picture_free(&canvas);
    return status;
}

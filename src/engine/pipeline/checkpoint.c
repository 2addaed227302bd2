#include "engine/pipeline/checkpoint.h"

#include "base/hash64.h"

#include <math.h>
#include <string.h>

enum { FORMAT = 2, SAMPLE_BYTES = 64 };
static const char magic[8] = "KXCKPT\r\n";

typedef struct header {
    char magic[8];
    uint32_t format, header_bytes;
    char version[16], kernels[16], precision[8];
    uint64_t model, edit, seed;
    uint32_t num_images, steps;
    uint32_t image, step;  /* the place: image num_images means that all are done */
    uint64_t steps_reused; /* until there */
    uint64_t num_states;
    uint64_t states_hash;
    uint64_t header_hash; /* of all above */
} header;
_Static_assert(sizeof(header) == 128, "the layout has no gaps");

size_t kx_checkpoint_bytes(size_t states)
{
    return sizeof(header) + states * sizeof(float);
}

static size_t num_states(const kx_job *job)
{
    return (size_t)(job->states.rows * job->states.cols);
}

static uint64_t hash_of_header(const header *h)
{
    return kx_hash64_add(KX_HASH64_START, h, offsetof(header, header_hash));
}

/* ---- Which edit ---- */

static uint64_t add_number(uint64_t hash, double number)
{
    return kx_hash64_add(hash, &number, sizeof number);
}

/* Names, types, shapes and the first bytes of every tensor: cheap, and tells apart two trainings of one
 * network. Neither paths nor the number of files count. */
static uint64_t hash_part(uint64_t hash, const kx_part *part)
{
    for (size_t i = 0; i < part->num_entries; i++) {
        const kx_part_entry *entry = &part->entries[i];
        const kx_safetensors_tensor *tensor = entry->tensor;
        if (entry->foreign) continue;
        hash = kx_hash64_add_text(hash, entry->name);
        hash = kx_hash64_add_text(hash, kx_dtype_name(tensor->dtype));
        hash = kx_hash64_add(hash, tensor->shape, (size_t)tensor->rank * sizeof tensor->shape[0]);
        hash = kx_hash64_add(hash, tensor->data, tensor->bytes < SAMPLE_BYTES ? tensor->bytes : SAMPLE_BYTES);
    }
    return add_number(hash, (double)part->num_bytes);
}

/* What the tensors do not tell. */
static uint64_t hash_configs(uint64_t hash, const kx_model *model)
{
    const kx_mmdit_config *mmdit = kx_mmdit_config_of(model->mmdit);
    const kx_t5_config *t5 = kx_t5_config_of(model->t5);
    const kx_clip_config *clip = kx_clip_config_of(model->clip);
    const kx_vae_config *vae = kx_vae_config_of(model->vae);
    const double numbers[] = {
        (double)mmdit->heads,
        (double)mmdit->axes[0],
        (double)mmdit->axes[1],
        (double)mmdit->axes[2],
        mmdit->theta,
        (double)t5->heads,
        (double)t5->max_distance,
        t5->eps,
        (double)clip->heads,
        (double)clip->eos_id,
        clip->eps,
        (double)vae->groups,
        vae->eps,
        vae->scaling,
        vae->shift,
    };
    return kx_hash64_add(hash, numbers, sizeof numbers);
}

/* Once a model: it touches every tensor, of which some may have to come from the disk. */
static uint64_t hash_of_model(kx_model *model)
{
    if (model->hash_is_known) return model->hash;
    uint64_t hash = KX_HASH64_START;
    for (int i = 0; i < KX_PART_COUNT; i++) hash = hash_part(hash, &model->files->parts[i]);
    model->hash = hash_configs(hash, model);
    model->hash_is_known = true;
    return model->hash;
}

static uint64_t hash_streams(uint64_t hash, const kx_job *job)
{
    const kx_geometry *geometry = &job->geometry;
    for (size_t k = 0; k < geometry->num_streams; k++) {
        const kx_picture *stream = &job->streams[k];
        const kx_placement *place = &geometry->placements[k];
        hash = add_number(hash, stream->width_px);
        hash = add_number(hash, stream->height_px);
        hash = add_number(hash, place->index);
        hash = add_number(hash, place->offset_x);
        hash = add_number(hash, place->offset_y);
        hash = kx_hash64_add(hash, stream->rgb, 3 * (size_t)stream->width_px * (size_t)stream->height_px);
    }
    return hash;
}

/* The noise stands for seed, stream and noise file; the ids for the prompt and the tokenizers. */
static uint64_t hash_edit(const kx_job *job)
{
    const kx_geometry *geometry = &job->geometry;
    uint64_t hash = KX_HASH64_START;
    size_t clip_ids = (size_t)kx_clip_config_of(job->model->clip)->positions;
    hash = kx_hash64_add(hash, job->clip_ids, clip_ids * sizeof *job->clip_ids);
    hash = kx_hash64_add(hash, job->t5_ids, job->model->max_text_tokens * sizeof *job->t5_ids);
    hash = kx_hash64_add(hash, &geometry->working, sizeof geometry->working);
    hash = kx_hash64_add(hash, &geometry->final, sizeof geometry->final);
    hash = hash_streams(hash, job);
    hash = add_number(hash, job->guidance);
    hash = add_number(hash, job->request->cache);
    hash =
        add_number(hash, kx_step_cache_start(job->request->cache, job->request->cache_threshold).threshold);
    hash = kx_hash64_add(hash, job->sigmas, ((size_t)job->steps + 1) * sizeof *job->sigmas);
    return kx_hash64_add(hash, job->states.data, num_states(job) * sizeof(float));
}

void kx_checkpoint_identify(kx_job *job)
{
    if (job->request->resume == NULL && job->checkpoint == NULL) return;
    job->model_hash = hash_of_model(job->model);
    job->edit_hash = hash_edit(job);
}

/* ---- Resuming ---- */

static header read_header(const kx_edit_request *request)
{
    header h;
    memcpy(&h, request->resume, sizeof h);
    return h;
}

static const uint8_t *states_in(const kx_edit_request *request)
{
    return (const uint8_t *)request->resume + sizeof(header);
}

static kx_status check_form(const kx_edit_request *request, kx_error *err)
{
    kx_status status = KX_OK;
    KX_FAIL_IF(request->resume_bytes < sizeof(header), err, KX_ERR_INPUT,
               "the checkpoint is %zu bytes, at least %zu are expected", request->resume_bytes,
               sizeof(header));
    header h = read_header(request);
    KX_FAIL_IF(memcmp(h.magic, magic, sizeof magic) != 0, err, KX_ERR_INPUT,
               "the checkpoint is none: it does not begin with KXCKPT");
    KX_FAIL_IF(h.format != FORMAT || h.header_bytes != sizeof h, err, KX_ERR_INPUT,
               "the checkpoint has format %u, this program reads format %d", h.format, FORMAT);
    KX_FAIL_IF(h.header_hash != hash_of_header(&h), err, KX_ERR_INPUT,
               "the checkpoint is damaged: the sum of its header is wrong");
    size_t rest = request->resume_bytes - sizeof h;
    KX_FAIL_IF(rest % sizeof(float) != 0 || rest / sizeof(float) != h.num_states, err, KX_ERR_INPUT,
               "the checkpoint is %zu bytes, %llu are expected", request->resume_bytes,
               (unsigned long long)(sizeof h + h.num_states * sizeof(float)));
    KX_FAIL_IF(h.states_hash != kx_hash64_add(KX_HASH64_START, states_in(request), rest), err, KX_ERR_INPUT,
               "the checkpoint is damaged: the sum of its latents is wrong");
out:
    return status;
}

kx_status kx_checkpoint_check(const kx_model *model, const kx_edit_request *request, uint64_t *seed,
                              kx_error *err)
{
    kx_status status = KX_OK;
    if (request->resume == NULL) return KX_OK;
    KX_TRY(check_form(request, err));
    header h = read_header(request);
    KX_FAIL_IF(strncmp(h.version, KX_VERSION, sizeof h.version) != 0, err, KX_ERR_INPUT,
               "the checkpoint is of version %.16s, this is version %s", h.version, KX_VERSION);
    KX_FAIL_IF(strncmp(h.kernels, model->kernels->name, sizeof h.kernels) != 0, err, KX_ERR_INPUT,
               "the checkpoint was computed with the kernel set %.16s, this model runs with %s", h.kernels,
               model->kernels->name);
    KX_FAIL_IF(strncmp(h.precision, kx_precision_name(model->precision), sizeof h.precision) != 0, err,
               KX_ERR_INPUT, "the checkpoint was computed in precision %.8s, this model runs in %s",
               h.precision, kx_precision_name(model->precision));
    if (request->seed_is_random) *seed = h.seed;
out:
    return status;
}

kx_status kx_checkpoint_resume(kx_job *job, kx_error *err)
{
    kx_status status = KX_OK;
    if (job->request->resume == NULL) return KX_OK;
    header h = read_header(job->request);
    KX_FAIL_IF(h.model != job->model_hash, err, KX_ERR_INPUT, "the checkpoint is of another model");
    KX_FAIL_IF(
        h.edit != job->edit_hash || h.num_states != num_states(job), err, KX_ERR_INPUT,
        "the checkpoint is of another edit: prompt, pictures, sizes, steps, guidance, step cache or seed "
        "differ");
    memcpy(job->states.data, states_in(job->request), num_states(job) * sizeof(float));
    const float *states = kx_tensor_f32(&job->states);
    KX_FAIL_IF(h.image > h.num_images || h.step >= h.steps, err, KX_ERR_INPUT,
               "the checkpoint is damaged: it stands at step %u of %u of image %u of %u", h.step, h.steps,
               h.image, h.num_images);
    for (size_t i = 0; i < num_states(job); i++)
        KX_FAIL_IF(!isfinite(states[i]), err, KX_ERR_INPUT,
                   "the checkpoint is damaged: latent %zu is not a finite number", i);
    job->first_image = h.image;
    job->first_step = (int)h.step;
    job->steps_reused = h.steps_reused;
out:
    return status;
}

/* ---- Telling ---- */

/* The states behind the header, and the place that they stand for. With a step cache that is the start of the
 * last whole step: doing it again fills the cache, so the cache itself need not be stored. */
static void write_states(const kx_job *job, header *h, uint64_t steps_done)
{
    uint8_t *states = job->checkpoint + sizeof *h;
    size_t bytes = num_states(job) * sizeof(float);
    h->image = (uint32_t)(steps_done / (uint64_t)job->steps);
    h->step = (uint32_t)(steps_done % (uint64_t)job->steps);
    h->steps_reused = job->steps_reused;
    memcpy(states, job->states.data, bytes);
    if (job->whole_state.data != NULL && h->step > 0) {
        size_t one = (size_t)(job->whole_state.rows * job->whole_state.cols) * sizeof(float);
        memcpy(states + h->image * one, job->whole_state.data, one);
        h->step = (uint32_t)job->whole_step;
        h->steps_reused = job->whole_reused;
    }
    h->states_hash = kx_hash64_add(KX_HASH64_START, states, bytes);
}

void kx_checkpoint_tell(kx_job *job, unsigned image, int steps_done)
{
    const kx_edit_request *request = job->request;
    if (job->checkpoint == NULL || job->callbacks.checkpoint == NULL) return;
    uint64_t steps = (uint64_t)job->steps, done = image * steps + (uint64_t)steps_done;
    bool is_last = done == request->num_images * steps;
    if (!is_last && done % (uint64_t)request->checkpoint_steps != 0) return;
    header h = {
        .format = FORMAT,
        .header_bytes = sizeof h,
        .version = KX_VERSION,
        .model = job->model_hash,
        .edit = job->edit_hash,
        .seed = job->seed,
        .num_images = request->num_images,
        .steps = (uint32_t)job->steps,
        .num_states = num_states(job),
    };
    memcpy(h.magic, magic, sizeof magic);
    memcpy(h.precision, kx_precision_name(job->model->precision),
           strlen(kx_precision_name(job->model->precision)));
    memcpy(h.kernels, job->model->kernels->name, strnlen(job->model->kernels->name, sizeof h.kernels));
    write_states(job, &h, done);
    h.header_hash = hash_of_header(&h);
    memcpy(job->checkpoint, &h, sizeof h);
    job->callbacks.checkpoint(job->callbacks.user, job->checkpoint, kx_checkpoint_bytes(num_states(job)));
}

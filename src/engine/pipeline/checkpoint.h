/* Checkpoints: all that an edit needs to go on after a step and to end with the same bytes.
 *
 * One blob, in the byte order of the machine: a header (struct in checkpoint.c), then the f32 states of all
 * images. What comes before the steps (text, references) is computed again on resuming, so the blob stays
 * small: 1 MiB an image of 1024x1024. The header says which edit it is of: everything that determines the
 * result is in it (version, kernel set and precision as text; the model, and the request with pictures and
 * noise, as hashes), so a checkpoint resumes the edit that it was taken from, or none.
 */
#pragma once

#include "engine/pipeline/job.h"

/* The bytes of a checkpoint of `states` f32 numbers. */
size_t kx_checkpoint_bytes(size_t states);

/* Checks what can be told from request->resume alone: form, sums, version, kernel set, precision. Where the
 * request draws its seed, *seed becomes the checkpoint's. Without a checkpoint nothing happens. Errors:
 * KX_ERR_INPUT. */
kx_status kx_checkpoint_check(const kx_model *model, const kx_edit_request *request, uint64_t *seed,
                              kx_error *err);

/* Tells from all inputs of the job (ids, streams, sigmas and the noise in job->states must be there) which
 * edit this is. */
void kx_checkpoint_identify(kx_job *job);

/* Takes over states and place from request->resume, checked by kx_checkpoint_check. Errors: KX_ERR_INPUT when
 * it is of another model or edit, or holds what no edit leaves there. */
kx_status kx_checkpoint_resume(kx_job *job, kx_error *err);

/* Hands a checkpoint to the caller when one is due now that `steps_done` steps of `image` are done: after
 * each checkpoint_steps steps of all images together, and after the very last one, so that decoding can be
 * done again alone. */
void kx_checkpoint_tell(kx_job *job, unsigned image, int steps_done);

/* The matrices of an unpacked model, packed for a lower precision before the first edit (tensor/packed.h).
 *
 * Every matrix that the visitors of CLIP, T5 and the transformer name is read once from its mapped file,
 * packed into anonymous memory, and its pages of the file are let go: there are never two copies of more than
 * one matrix. Matrices that come packed from a file are left alone. */
#pragma once

#include "engine/pipeline/model.h"

/* Packs what is not packed yet; nothing in f32 precision. Progress stage "pack", in bytes of the packed form;
 * callbacks may be NULL. Errors: KX_ERR_MEMORY, KX_ERR_CANCELLED; what was packed stays and is not packed
 * again. */
kx_status kx_model_pack(kx_model *model, const kx_callbacks *callbacks, kx_error *err);
/* Bytes that kx_model_pack will still take. */
uint64_t kx_model_pack_bytes(kx_model *model);
void kx_model_pack_free(kx_model *model);

/* Looks at every number of a model: a NaN or an infinity in a file is a broken download or a broken
 * conversion, and would surface as a black picture much later. */
#pragma once

#include "engine/formats/model_folder.h"

/* All tensors of all files; and where a file carries checksums (checksum.h), whether the bytes are still
 * those that were written. Progress stage "verify", in bytes. Errors: KX_ERR_MODEL naming file, tensor and
 * element; KX_ERR_CANCELLED. */
kx_status kx_verify_model(const kx_model_files *files, const kx_callbacks *callbacks, kx_error *err);

/* One tensor: false, and the index of the first element that is no finite number, or true. Integer types are
 * finite. */
bool kx_verify_tensor(const kx_safetensors_tensor *tensor, size_t *element);

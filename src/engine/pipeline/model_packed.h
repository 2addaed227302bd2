/* Models whose transformer, T5 and CLIP come packed from their files (formats/packed_index.h). Folders that
 * were converted by older versions have CLIP as it was published: its matrices are packed in memory. */
#pragma once

#include "engine/pipeline/model.h"

/* The precision that `asked` means for these files: that of packed ones; f32 for AUTO and unpacked ones.
 * Errors: KX_ERR_INPUT when packed files are asked for another precision, KX_ERR_MODEL when they are packed
 * differently. */
kx_status kx_model_packed_precision(const kx_model_files *files, kx_precision asked, kx_precision *precision,
                                    kx_error *err);

/* Gives every matrix of a packed part its packed form, in place. Errors: KX_ERR_MODEL when one is missing, is
 * not as the network needs it, or when something else than matrices is packed. */
kx_status kx_model_packed_attach(kx_model *model, kx_error *err);

/* What is done with a model besides editing: checking it, and making one up. */
#include "engine/formats/synth.h"
#include "engine/formats/verify.h"
#include "engine/pipeline/model.h"
#include "engine/text/synthetic.h"

#include <stdlib.h>

const char *kx_version(void)
{
    return KX_VERSION;
}

kx_status kx_model_verify(kx_model *model, const kx_callbacks *callbacks, kx_error *caller_err)
{
    kx_error own_err = {0};
    kx_callbacks none = {0};
    return kx_verify_model(model->files, callbacks != NULL ? callbacks : &none,
                           caller_err != NULL ? caller_err : &own_err);
}

/* Rows of the tiny model's embeddings; the tokenizers that are written beside it must not need more. */
enum { TINY_CLIP_VOCABULARY = 640, TINY_T5_VOCABULARY = 512 };

static kx_status write_tokenizers(void *context, const char *folder, kx_error *err)
{
    (void)context;
    kx_status status = KX_OK;
    size_t clip_entries, t5_entries;
    char *clip = kx_file_join(folder, "tokenizer"), *t5 = kx_file_join(folder, "tokenizer_2");
    KX_FAIL_IF(clip == NULL || t5 == NULL, err, KX_ERR_MEMORY, "out of memory");
    KX_TRY(kx_clip_tokenizer_write_synthetic(clip, &clip_entries, err));
    KX_TRY(kx_t5_tokenizer_write_synthetic(t5, &t5_entries, err));
    KX_FAIL_IF(clip_entries > TINY_CLIP_VOCABULARY || t5_entries > TINY_T5_VOCABULARY, err, KX_ERR_INTERNAL,
               "the made-up tokenizers have %zu and %zu entries, the tiny model has %d and %d", clip_entries,
               t5_entries, TINY_CLIP_VOCABULARY, TINY_T5_VOCABULARY);
out:
    free(clip);
    free(t5);
    return status;
}

kx_status kx_model_synth(const char *folder, kx_synth_preset preset, uint64_t seed,
                         const kx_callbacks *callbacks, kx_error *caller_err)
{
    kx_error own_err = {0};
    kx_callbacks none = {0};
    kx_synth_options options = {.preset = preset, .seed = seed, .add_files = write_tokenizers};
    if (preset == KX_SYNTH_TINY) {
        options.clip_vocab = TINY_CLIP_VOCABULARY;
        options.t5_vocab = TINY_T5_VOCABULARY;
    }
    return kx_synth_write(folder, &options, callbacks != NULL ? callbacks : &none,
                          caller_err != NULL ? caller_err : &own_err);
}

/* Synthetic models: their tokenizers are made here, and packed ones are packed as they are made up. */
#include "engine/formats/synth.h"
#include "engine/formats/synth_source.h"
#include "engine/pipeline/model.h"
#include "engine/pipeline/part_packer.h"
#include "engine/text/synthetic.h"

#include <stdlib.h>

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

static kx_synth_options options_of(kx_synth_preset preset, uint64_t seed)
{
    kx_synth_options options = {.preset = preset, .seed = seed, .add_files = write_tokenizers};
    if (preset == KX_SYNTH_TINY) {
        options.clip_vocab = TINY_CLIP_VOCABULARY;
        options.t5_vocab = TINY_T5_VOCABULARY;
    }
    return options;
}

kx_status kx_model_synth(const char *folder, kx_synth_preset preset, uint64_t seed,
                         const kx_callbacks *callbacks, kx_error *caller_err)
{
    kx_error own_err = {0};
    kx_callbacks none = {0};
    kx_synth_options options = options_of(preset, seed);
    return kx_synth_write(folder, &options, callbacks != NULL ? callbacks : &none,
                          caller_err != NULL ? caller_err : &own_err);
}

/* ---- Packed -------------------------------------------------------------------------------------------- */

typedef struct packed_synth {
    kx_dtype dtype;
    const kx_kernels *kernels;
    kx_pool *pool;
    kx_part_packer packers[KX_PART_COUNT];
} packed_synth;

static kx_status measure(void *context, const kx_part *part, uint64_t *bytes, kx_error *err)
{
    kx_status status = KX_OK;
    packed_synth *synth = context;
    kx_part_packer *packer = &synth->packers[part->kind];
    *packer =
        (kx_part_packer){.part = part, .dtype = synth->dtype, .kernels = synth->kernels, .pool = synth->pool};
    KX_TRY(kx_part_packer_open(packer, NULL, err));
    *bytes = packer->bytes;
out:
    return status;
}

static void make_up(void *source, const void *data, size_t bytes)
{
    kx_synth_source_fill(source, data, bytes);
}

static void forget(void *source, const void *data, size_t bytes)
{
    (void)source;
    kx_file_drop_range(data, bytes);
}

static kx_status write_packed(void *context, kx_synth_source *source, const char *path, kx_ticker *ticker,
                              kx_error *err)
{
    const packed_synth *synth = context;
    const kx_part_feed feed = {.before = make_up, .after = forget, .context = source};
    return kx_part_packer_write(&synth->packers[source->part.kind], path, &feed, ticker, err);
}

kx_status kx_model_synth_packed(const char *folder, kx_synth_preset preset, uint64_t seed,
                                kx_precision precision, const kx_callbacks *callbacks, kx_error *caller_err)
{
    kx_status status = KX_OK;
    kx_error own_err = {0};
    kx_error *err = caller_err != NULL ? caller_err : &own_err;
    kx_callbacks none = {0};
    packed_synth synth = {0};
    kx_synth_options options = options_of(preset, seed);
    const kx_synth_packer packer = {.measure = measure, .write = write_packed, .context = &synth};
    KX_FAIL_IF(precision != KX_PRECISION_INT8 && precision != KX_PRECISION_BF16, err, KX_ERR_INPUT,
               "a model can be packed for bf16 or int8, not for %s", kx_precision_name(precision));
    synth.dtype = kx_packed_dtype(precision);
    KX_TRY(kx_kernels_choose(NULL, &synth.kernels, err));
    KX_TRY(kx_pool_create(&synth.pool, 0, err));
    options.packer = &packer;
    KX_TRY(kx_synth_write(folder, &options, callbacks != NULL ? callbacks : &none, err));
out:
    for (int kind = 0; kind < KX_PART_COUNT; kind++) kx_part_packer_close(&synth.packers[kind]);
    kx_pool_destroy(synth.pool);
    return status;
}

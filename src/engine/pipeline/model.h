/* An open model. Weights stay in the mapped files; what is held in memory are the tokenizers, the small
 * vectors (biases, norm scales), the compute threads, what the encoders made for later edits, and, in a lower
 * precision of a model that does not come packed, the packed matrices from the first edit on. */
#pragma once

#include "base/log.h"
#include "base/pool.h"
#include "engine/formats/model_folder.h"
#include "engine/kernels/kernels.h"
#include "engine/model/clip.h"
#include "engine/model/mmdit.h"
#include "engine/model/t5.h"
#include "engine/model/vae.h"
#include "engine/pipeline/geometry.h"
#include "engine/pipeline/reuse.h"
#include "engine/sampler/schedule.h"
#include "engine/text/clip_tokenizer.h"
#include "engine/text/t5_tokenizer.h"

/* A model that says nothing of its licence is taken for the published weights, whose licence is not a free
 * one. */
#define KX_MODEL_LICENCE_UNKNOWN                                                                             \
    "not named by the model; the weights of FLUX.1 Kontext [dev] are under the FLUX.1 [dev] Non-Commercial " \
    "License"

struct kx_model {
    kx_log log;
    const kx_kernels *kernels;
    kx_precision precision;         /* never AUTO */
    struct kx_model_packed *packed; /* matrices packed for it, see model_pack.h */
    kx_pool *pool;
    kx_model_files *files;
    kx_clip_tokenizer *clip_tokenizer;
    kx_t5_tokenizer *t5_tokenizer;
    kx_clip *clip;
    kx_t5 *t5;
    kx_vae *vae;
    kx_mmdit *mmdit;
    kx_schedule schedule;
    kx_geometry_rules rules;
    int default_steps;
    double default_guidance;
    kx_reuse *reuse; /* what the encoders made, for later edits */
    uint64_t hash;   /* which model this is, for checkpoints; computed when one is asked for first */
    bool hash_is_known;
    size_t max_text_tokens; /* T5 ids are padded to this many */
};

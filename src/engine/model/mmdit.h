/* The transformer of FLUX.1 (multimodal diffusion transformer; model-spec 2): from noisy tokens, a text,
 * references and a time to the velocity of the target's tokens.
 *
 * The sequence is [text (T) | target (L) | references (R)], S rows in all, in one buffer, so that the double
 * blocks (own weights for text and image rows) and the single blocks (common weights) work on views of it
 * without copies.
 *
 *     kx_mmdit_run run;
 *     kx_mmdit_begin(model, ops, &inputs, &run);            // once: what is constant over the steps
 *     for (k = 0; k < steps; k++) {
 *         kx_mmdit_step(model, ops, &run, k, &tokens, &velocity);
 *         ...                                               // tokens += (sigma[k+1] - sigma[k]) velocity
 *     }
 *
 * Constant over a run: the rotation tables, the text and reference tokens behind their input layers, and all
 * that depends on time, guidance and pooled text only. The modulation vectors (per step 12 h for each double
 * block, 3 h for each single block, 2 h at the end) are computed for up to KX_MMDIT_WINDOW steps at once, so
 * the 27% of the model that are modulation weights are read once for so many steps and not once a step.
 */
#pragma once

#include "base/arena.h"
#include "engine/tensor/ops.h"

enum { KX_MMDIT_AXES = 3, KX_MMDIT_WINDOW = 32 };

/* In the hints of kx_mmdit_load: 0 = not said; then the shapes or the published model's values decide. */
typedef struct kx_mmdit_config {
    int64_t hidden;              /* 3072 */
    int64_t heads;               /* 24 */
    int64_t head_dim;            /* 128: length of query_norm */
    int64_t mlp;                 /* 12288, of double and single blocks alike */
    int double_blocks;           /* 19 */
    int single_blocks;           /* 38 */
    int64_t in_channels;         /* 64 per token */
    int64_t out_channels;        /* 64 */
    int64_t context;             /* 4096: width of the text encoder's output */
    int64_t pooled;              /* 768 */
    int64_t frequencies;         /* 256: length of the sinusoid */
    int64_t axes[KX_MMDIT_AXES]; /* 16, 56, 56; not said: d/8, 7d/16, 7d/16 */
    double theta;                /* 10000 */
    bool guidance;               /* true: the model takes a guidance scale */
} kx_mmdit_config;

typedef struct kx_mmdit kx_mmdit;

/* Parameters under the original (BFL) names. hints may be NULL; of it only axes and theta are read. Matrices
 * stay in the file. Errors: KX_ERR_MODEL, KX_ERR_MEMORY. */
kx_status kx_mmdit_load(kx_mmdit **model, const kx_weight_source *source, const kx_mmdit_config *hints,
                        kx_error *err);
/* Visits every matrix that a lower precision packs: those of the blocks without the modulation, block after
 * block; within a double block first the image's, then the text's: qkv, proj and the two of the MLP; within a
 * single block kv, q, the MLP's first, and linear2. What surrounds the blocks is a fraction of the work and
 * stays as it is in the file. */
kx_status kx_mmdit_each_linear(kx_mmdit *model, kx_linear_visit *visit, void *context, kx_error *err);
void kx_mmdit_free(kx_mmdit *model);
const kx_mmdit_config *kx_mmdit_config_of(const kx_mmdit *model);
/* Memory of its own: biases and norm scales. */
size_t kx_mmdit_bytes(const kx_mmdit *model);

/* Borrowed until the last step. When dry, all data addresses may be NULL. */
typedef struct kx_mmdit_inputs {
    kx_tensor context;      /* (T, context), from T5 */
    kx_tensor pooled;       /* (1, pooled), from CLIP */
    kx_tensor references;   /* (R, in_channels); rows 0 when there is none */
    int64_t target_tokens;  /* L */
    const float *positions; /* (T+L+R, 3), in the order of the sequence */
    int64_t steps;
    const float *times; /* (steps), in [0,1]: the sigma at which each step starts */
    float guidance;
} kx_mmdit_inputs;

/* ---- Step cache: steps that are answered from the last whole one ---- */

/* What is compared between steps, over the target's rows: */
typedef enum kx_mmdit_probe {
    KX_MMDIT_PROBE_FIRST_BLOCK, /* what the first double block adds; with that of the last whole step */
    KX_MMDIT_PROBE_INPUT, /* the modulated input of the first double block; with that of the last step */
} kx_mmdit_probe;

/* The caller fills probe, reuse and user, says `last` before each step and clears `filled` where a new
 * picture begins; the rest is kx_mmdit_take_cache's and the steps'. A step that is reused adds to the
 * target's rows what the blocks that it leaves out added in the last whole step, and runs the final layer. */
typedef struct kx_mmdit_cache {
    kx_mmdit_probe probe;
    /* change = mean |now - earlier| / mean |earlier|. True: reuse the last whole step. */
    bool (*reuse)(void *user, double change);
    void *user;
    bool last;          /* no step follows: it is computed whole, and nothing is kept of it */
    bool reused;        /* what became of the step just done */
    bool filled;        /* false: nothing is kept yet */
    kx_tensor earlier;  /* (L, hidden), compared with */
    kx_tensor residual; /* (L, hidden), of the blocks that a reused step leaves out */
} kx_mmdit_cache;

/* What is constant over a run, and the modulation of a window of its steps. The tensors lie in the scratch of
 * begin's ops. */
typedef struct kx_mmdit_run {
    int64_t text, target, references; /* rows */
    int64_t steps;
    kx_tensor cosines, sines;   /* (S, head_dim/2) */
    kx_tensor text_tokens;      /* (T, hidden) */
    kx_tensor reference_tokens; /* (R, hidden) */
    kx_tensor conditioning;     /* (steps, hidden): silu(vec) */
    kx_tensor modulation;       /* (min(steps, WINDOW), all modulation outputs) */
    int64_t window;             /* the first step that `modulation` holds; -1: none yet */
    kx_mmdit_cache *cache;      /* NULL: every step is computed */
} kx_mmdit_run;

/* Takes the buffers of the run from the scratch; the caller's mark gives them back. Trace: mmdit.vec (steps,
 * hidden). */
void kx_mmdit_begin(const kx_mmdit *model, kx_ops *ops, const kx_mmdit_inputs *inputs, kx_mmdit_run *run);

/* Between begin and the first step: takes the cache's buffers from the scratch, and uses it in every step. */
void kx_mmdit_take_cache(const kx_mmdit *model, kx_ops *ops, kx_mmdit_run *run, kx_mmdit_cache *cache);

/* target (L, in_channels) at the time of step k -> velocity (L, out_channels).
 * Traces: block.double.K.txt (T,h), block.double.K.img (L+R,h), block.single.K (S,h) - for the last single
 * block, which computes no more than is needed, the target rows alone (L,h). */
void kx_mmdit_step(const kx_mmdit *model, kx_ops *ops, kx_mmdit_run *run, int64_t k, const kx_tensor *target,
                   kx_tensor *velocity);

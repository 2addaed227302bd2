/* Private to the transformer: its parts as loaded, and its blocks one by one (the tests run them alone). */
#pragma once

#include "engine/model/mmdit.h"
#include "engine/model/parameters.h"

/* W2 silu(W1 x + b1) + b2 */
typedef struct kx_mmdit_embedder {
    kx_linear in, out;
} kx_mmdit_embedder;

/* One of the two streams (text, image) of a double block. */
typedef struct kx_mmdit_stream {
    kx_linear modulation;                 /* (6h, h) */
    kx_linear qkv;                        /* (3h, h) */
    kx_linear proj;                       /* (h, h) */
    kx_linear up, down;                   /* (mlp, h), (h, mlp) */
    const float *query_scale, *key_scale; /* head_dim */
} kx_mmdit_stream;

typedef struct kx_mmdit_double {
    kx_mmdit_stream text, image;
} kx_mmdit_double;

typedef struct kx_mmdit_single {
    kx_linear modulation; /* (3h, h) */
    kx_linear kv, q, up;  /* rows of linear1: (2h, h), (h, h), (mlp, h) */
    kx_linear down;       /* linear2: (h, h + mlp), attention columns first */
    const float *query_scale, *key_scale;
} kx_mmdit_single;

struct kx_mmdit {
    kx_mmdit_config config;
    kx_arena arena;
    kx_linear image_in, text_in;
    kx_mmdit_embedder time_in, guidance_in, pooled_in;
    kx_mmdit_double *doubles;
    kx_mmdit_single *singles;
    kx_linear final_modulation; /* (2h, h): shift, scale */
    kx_linear final;
};

/* Rows of the sequence and their rotations. */
typedef struct kx_mmdit_rows {
    int64_t text, target, references;
    kx_tensor cosines, sines; /* (S, head_dim/2) */
} kx_mmdit_rows;

kx_status kx_mmdit_load_double(const kx_parameters *p, const kx_mmdit_config *config, int i,
                               kx_mmdit_double *block);
kx_status kx_mmdit_load_single(const kx_parameters *p, const kx_mmdit_config *config, int i,
                               kx_mmdit_single *block);

/* positions (S,3) -> cosines, sines (S, head_dim/2). Touches no data while the ops are idle. */
void kx_mmdit_fill_rotations(const kx_mmdit_config *config, kx_ops *ops, const float *positions,
                             kx_tensor *cosines, kx_tensor *sines);
/* 1000 x value -> out (frequencies): cosines, then sines. */
void kx_mmdit_fill_sinusoid(float value, int64_t frequencies, float *out);

/* Floats of a row of all modulation vectors, and where those of a block begin in it: text (6h), image (6h) of
 * each double block, then each single block (3h), then the final layer (2h). */
int64_t kx_mmdit_modulation_width(const kx_mmdit_config *config);
int64_t kx_mmdit_modulation_of_double(const kx_mmdit_config *config, int i);
int64_t kx_mmdit_modulation_of_single(const kx_mmdit_config *config, int i);
int64_t kx_mmdit_modulation_of_final(const kx_mmdit_config *config);
/* conditioning (n, h): silu(vec) -> modulation (n, width). */
void kx_mmdit_modulate(const kx_mmdit *model, kx_ops *ops, const kx_tensor *conditioning,
                       kx_tensor *modulation);

/* x (S,h) -> x. text, image: 6h floats each: shift1, scale1, gate1, shift2, scale2, gate2. */
void kx_mmdit_run_double(const kx_mmdit_config *config, kx_ops *ops, const kx_mmdit_double *block,
                         const kx_mmdit_rows *rows, const float *text, const float *image, kx_tensor *x);
/* x (S,h) -> x. modulation: 3h floats: shift, scale, gate. target_only: only target rows are brought up to
 * date. */
void kx_mmdit_run_single(const kx_mmdit_config *config, kx_ops *ops, const kx_mmdit_single *block,
                         const kx_mmdit_rows *rows, const float *modulation, bool target_only, kx_tensor *x);

/* Step cache; cache may be NULL. Each looks at its own probe alone. True: x (L,h), the target's rows, is what
 * the last block would leave, and the step is done but for the final layer. tokens (L,in): what x was made
 * from. */
bool kx_mmdit_reuse_before_blocks(const kx_mmdit *model, kx_ops *ops, kx_mmdit_cache *cache,
                                  const float *modulation, kx_tensor *x);
bool kx_mmdit_reuse_after_block(const kx_mmdit *model, kx_ops *ops, kx_mmdit_cache *cache,
                                const kx_tensor *tokens, kx_tensor *x);
/* x (L,h): the target's rows behind the last block of a whole step. */
void kx_mmdit_keep_residual(kx_ops *ops, kx_mmdit_cache *cache, const kx_tensor *x);

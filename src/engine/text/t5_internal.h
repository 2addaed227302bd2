/* What the two halves of the T5 tokenizer share: t5_load.c builds it, t5_tokenizer.c runs it. */
#pragma once

#include "engine/text/added_tokens.h"
#include "engine/text/charsmap.h"
#include "engine/text/t5_tokenizer.h"
#include "engine/text/unigram.h"

enum { T5_STEPS_MAX = 8, T5_REPLACEMENT_BYTES = 16 };

typedef enum t5_step_kind {
    T5_STEP_CHARSMAP,
    T5_STEP_STRIP,  /* white space at the ends */
    T5_STEP_SPACES, /* each run of two or more spaces becomes `replacement` */
} t5_step_kind;

typedef struct t5_step {
    t5_step_kind kind;
    kx_charsmap charsmap;
    bool strips_left, strips_right;
    char replacement[T5_REPLACEMENT_BYTES + 1];
} t5_step;

typedef enum t5_prepend { T5_PREPEND_NEVER, T5_PREPEND_FIRST, T5_PREPEND_ALWAYS } t5_prepend;

struct kx_t5_tokenizer {
    kx_arena arena;
    t5_step steps[T5_STEPS_MAX];
    size_t num_steps;
    bool cuts_at_white_space; /* an older form: white space separates words, and each gets its marker */
    bool cuts_at_markers;     /* words begin at markers */
    t5_prepend prepend;       /* where a marker is put in front */
    char marker[5];           /* UTF-8, one code point */
    size_t marker_bytes;
    kx_unigram model;
    kx_added_tokens raw;        /* looked for in the prompt as it is */
    kx_added_tokens normalized; /* looked for in the normalised prompt */
    int32_t eos_id, pad_id, max_id;
    size_t vocabulary;
    size_t max_tokens;
    char *name; /* of the file, for error sentences while running */
};

/* The normal form of checked UTF-8 text replaces what is in *out; *other is scratch. The two may change
 * places. */
kx_status kx_t5_normalize(const kx_t5_tokenizer *tokenizer, const uint8_t *text, size_t bytes, kx_bytes *out,
                          kx_bytes *other, kx_error *err);

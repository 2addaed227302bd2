/* What the two halves of the CLIP tokenizer share: clip_load.c builds it, clip_tokenizer.c runs it. */
#pragma once

#include "engine/text/added_tokens.h"
#include "engine/text/bpe.h"
#include "engine/text/clip_tokenizer.h"

struct kx_clip_tokenizer {
    kx_arena arena;
    kx_bpe bpe;
    kx_added_tokens raw;        /* looked for in the prompt as it is */
    kx_added_tokens normalized; /* looked for in the cleaned prompt */
    int32_t bos_id, eos_id, pad_id, unk_id, max_id;
    size_t vocabulary;
    size_t max_tokens;
};

/* The cleaned form of checked UTF-8 text replaces what is in `clean`; `codes` is scratch. */
kx_status kx_clip_clean(const uint8_t *text, size_t bytes, kx_bytes *codes, kx_bytes *clean, kx_error *err);

/* Every limit that an input can meet, in one place. The user guide repeats this table. */
#pragma once

#define KX_LIMIT_REFERENCES        4    /* reference pictures of one edit */
#define KX_LIMIT_SIDE_MIN_PX       16   /* smallest output side */
#define KX_LIMIT_SIDE_MAX_PX       2048 /* largest output side, and working side of a reference */
#define KX_LIMIT_STEPS_MAX         1000
#define KX_LIMIT_GUIDANCE_MAX      100.0
#define KX_LIMIT_CACHE_MAX         10.0                   /* threshold of a step cache */
#define KX_LIMIT_IMAGES_MAX        64                     /* pictures of one call (-n) */
#define KX_LIMIT_PROMPT_BYTES      (1u << 20)             /* a prompt, UTF-8 */
#define KX_LIMIT_PICTURE_BYTES     (256u << 20)           /* an encoded input picture */
#define KX_LIMIT_PICTURE_SIDE_PX   32768                  /* a side of an input picture */
#define KX_LIMIT_PICTURE_PIXELS    (100u * 1000u * 1000u) /* width x height of an input picture */
#define KX_LIMIT_PROFILE_BYTES     (16u << 20) /* an embedded colour profile; a larger one is left aside */
#define KX_LIMIT_JPEG_SCANS        200         /* scans of a progressive JPEG */
#define KX_LIMIT_HEADER_BYTES      (100u * 1000u * 1000u) /* JSON header of a safetensors file */
#define KX_LIMIT_TENSORS           65536                  /* tensors of one safetensors file */
#define KX_LIMIT_TENSOR_NAME_BYTES 256
#define KX_LIMIT_TENSOR_RANK       8
#define KX_LIMIT_CONFIG_BYTES      (1u << 20)  /* config.json, kontext.json, model_index.json */
#define KX_LIMIT_TOKENIZER_BYTES   (64u << 20) /* tokenizer.json, vocab.json, merges.txt */
#define KX_LIMIT_THREADS           256

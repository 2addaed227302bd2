/* The page's files, embedded when the program is built (tools/embed_web.py). */
#pragma once

#include <stddef.h>

typedef struct kx_web_file {
    const char *path; /* "index.html", "js/main.js" */
    const char *content_type;
    const char *tag; /* of the plain bytes */
    const unsigned char *plain;
    size_t plain_bytes;
    const unsigned char *packed; /* gzip; NULL where that is not smaller */
    size_t packed_bytes;
} kx_web_file;

extern const kx_web_file kx_web_files[];
extern const size_t kx_num_web_files;

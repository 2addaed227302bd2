/* What the tests of the pipeline share: a small model with random weights, painted pictures, edits of them,
 * and folders that are a model with something changed. */
#pragma once

#include "test_support.h"

#include "base/file.h"
#include "engine/formats/safetensors.h"

#include <kontext/kontext.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The folder of a tiny synthetic model (seed 1), written once into the temporary folder. Its native size is
 * 128x128, T5 reads 64 tokens. */
const char *test_tiny_model(void);
/* The defaults, with the kernel set that KONTEXT_CPU in the environment names. */
kx_model_options test_model_options(const char *folder);
/* Opens a model, and fails the test with the sentence when that does not work. */
kx_model *test_open_with(kx_model_options options);
/* test_tiny_model opened. threads 0: one for each processor. */
kx_model *test_open_tiny(unsigned threads);
/* For folders that may be refused. */
kx_status test_open_model(const char *folder, unsigned threads, kx_model **model, kx_error *err);

/* "folder/name"; valid until the next 64 calls. */
const char *test_path_in(const char *folder, const char *name);

/* A copy of test_tiny_model in a fresh folder of that name, made of links, without the entry `without`
 * (such as "vae"; NULL: complete). */
const char *test_linked_model(const char *name, const char *without);
/* Replaces the link `file` (such as "vae/config.json") of a linked model by `bytes` bytes of its own. */
void test_replace_file(const char *folder, const char *file, const void *data, size_t bytes);
/* Puts the bf16 number `bits` at element `element` of `tensor` in the safetensors file `file` of a linked
 * model. */
void test_patch_weight(const char *folder, const char *file, const char *tensor, size_t element,
                       uint16_t bits);

/* Smooth colours with some noise that differ for each seed. Free with kx_picture_free. */
kx_picture test_paint(int width_px, int height_px, unsigned seed);

/* A request with a prompt, 2 steps and seed 7. */
kx_edit_request test_request(const char *prompt);
/* Runs it and fails the test with the sentence when it does not work. */
kx_result *test_edit(kx_model *model, const kx_edit_request *request);
/* Fails unless both results hold the same pictures, byte by byte. */
void test_same_pictures(const char *what, const kx_result *a, const kx_result *b);

/* Fails unless `status` is `expected` and the sentence (one line) holds `words`; resets *err. */
void test_refused(const char *what, kx_error *err, kx_status status, kx_status expected, const char *words);

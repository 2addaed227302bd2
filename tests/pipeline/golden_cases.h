/* Edits whose every stage is known from the official pipelines (golden/tiny-diffusers-dumps of the reference
 * data). */
#pragma once

#include "test_support.h"

#include <stddef.h>

/* Runs the first `count` cases (SIZE_MAX: all) with the model at `model_path`, and compares every tensor of
 * the dump and every byte of the picture. Skips where there is no reference data. */
void test_run_golden_cases(const char *model_path, size_t count);

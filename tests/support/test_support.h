/* What the unit tests share. Include this first: cmocka needs its four headers in order. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"

/* Whether a sanitizer is built in: it slows programs down and holds memory of its own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TEST_UNDER_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define TEST_UNDER_SANITIZER 1
#endif
#endif
#ifndef TEST_UNDER_SANITIZER
#define TEST_UNDER_SANITIZER 0
#endif

/* Fails the test with the error's sentence when `status` is not KX_OK. */
#define assert_ok(call)                                                                                      \
    do {                                                                                                     \
        kx_status assert_ok_status = (call);                                                                 \
        if (assert_ok_status != KX_OK) fail_msg("%s: %s", #call, err.message);                               \
    } while (0)

/* A path under the reference data ("golden/tokens.json"); skips the running test, saying so, where it is absent.
 * The string is valid until the next 8 calls. */
const char *test_shared_path(const char *relative);
/* A path under the project's own tree ("tests/data/..."). */
const char *test_source_path(const char *relative);
/* A fresh folder for this test's files, removed at exit. */
const char *test_temporary_folder(void);
/* Writes a file into the temporary folder and returns its path (valid until the next 8 calls). */
const char *test_write_file(const char *name, const void *data, size_t bytes);
/* The whole file, malloc'ed, with a zero byte behind. Fails the test when it cannot be read. */
uint8_t *test_read_file(const char *path, size_t *bytes);
/* Lower-case hex SHA-256. The string is valid until the next call. */
const char *test_sha256(const void *data, size_t bytes);

/* Relative l2 distance |a-b| / |b| in double, and the largest |a-b|. */
typedef struct test_difference {
    double relative_l2;
    double largest;
    double scale; /* largest |b| */
} test_difference;
test_difference test_compare_f32(const float *a, const float *b, size_t count);

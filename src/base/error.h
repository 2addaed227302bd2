/* Errors travel as values. A function that can fail returns a kx_status and takes, as its last argument, a
 * kx_error that belongs to the caller (never NULL inside the engine). The message is one sentence that says
 * what, where, what was expected and what was found.
 *
 *     static kx_status load(const char *path, thing *out, kx_error *err)
 *     {
 *         kx_status status = KX_OK;
 *         kx_file_map map = {0};
 *         KX_TRY(kx_file_map_open(&map, path, err));           // passes a failure on: goto out
 *         KX_FAIL_IF(map.bytes < 8, err, KX_ERR_MODEL, "%s: the file is %zu bytes, at least 8 are needed",
 * ...); out: kx_file_map_close(&map); return status;
 *     }
 *
 * Both macros need a local `kx_status status` and a label `out`.
 */
#pragma once

#include <kontext/kontext.h>

#include <stdarg.h>
#include <stdbool.h>

/* Fills `err` and returns `status`. The first failure wins: an error already in place keeps its words. */
__attribute__((format(printf, 5, 6))) kx_status
kx_error_set(kx_error *err, kx_status status, const char *file, int line, const char *format, ...);

/* Puts "prefix: " before the message, for a caller that knows which input was meant ("image 2: ..."). */
__attribute__((format(printf, 2, 3))) void kx_error_prefix(kx_error *err, const char *format, ...);

#define KX_TRY(expression)                                                                                   \
    do {                                                                                                     \
        status = (expression);                                                                               \
        if (status != KX_OK) goto out;                                                                       \
    } while (0)

#define KX_FAIL(err, STATUS, ...)                                                                            \
    do {                                                                                                     \
        status = kx_error_set((err), (STATUS), __FILE__, __LINE__, __VA_ARGS__);                             \
        goto out;                                                                                            \
    } while (0)

#define KX_FAIL_IF(condition, err, STATUS, ...)                                                              \
    do {                                                                                                     \
        if (condition) KX_FAIL((err), (STATUS), __VA_ARGS__);                                                \
    } while (0)

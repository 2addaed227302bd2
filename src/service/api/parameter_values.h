/* One value of a submit, by the kind of its row. */
#pragma once

#include "service/api/submit_parameters.h"

typedef struct kx_value_reader {
    kx_parameters *out;
    const kx_parameter_limits *limits;
    kx_error *err;
} kx_value_reader;

/* Checks `value` (not null) and puts it where the row says. */
kx_status kx_value_read(kx_value_reader *reader, const kx_parameter *row, const json_t *value);

/* At most 32 warnings are kept. */
__attribute__((format(printf, 2, 3))) void kx_value_warn(kx_value_reader *reader, const char *format, ...);
void kx_value_warn_unknown(kx_value_reader *reader, const char *name);

/* KX_ERR_INPUT, with "NAME: EXPECTED is expected, VALUE is found"; also for fields of other bodies. `value`
 * NULL: nothing is found. */
kx_status kx_value_refuse(const char *name, const char *expected, const json_t *value, kx_error *err);

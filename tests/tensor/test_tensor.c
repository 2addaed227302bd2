/* Element types against their formulas, weights as row ranges, and the scratch stack. */
#include "test_support.h"

#include "engine/tensor/packed.h"
#include "engine/tensor/scratch.h"
#include "engine/tensor/tensor.h"
#include "engine/tensor/weight.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* (-1)^s 2^(e - bias) 1.m, or 0.m below the normal range; independent of the engine's reading of the bits. */
static double formula(uint32_t bits, int exponent_bits, int mantissa_bits, bool ieee)
{
    uint32_t m = bits % (1u << mantissa_bits), e = bits / (1u << mantissa_bits) % (1u << exponent_bits);
    double sign = bits / (1u << (mantissa_bits + exponent_bits)) ? -1 : 1, step = 1u << mantissa_bits;
    int bias = (1 << (exponent_bits - 1)) - 1, top = (1 << exponent_bits) - 1;
    if ((int)e == top && ieee) return m == 0 ? sign * INFINITY : NAN;
    if ((int)e == top && m == step - 1) return NAN;
    if (e == 0) return sign * pow(2, 1 - bias) * (m / step);
    return sign * pow(2, (double)e - bias) * (1 + m / step);
}

static void check_value(double got, double expected, uint32_t bits, const char *name)
{
    if (isnan(expected) ? !isnan(got) : got != expected || signbit(got) != signbit(expected))
        fail_msg("%s: pattern %#x is %.9g, %.9g is expected", name, bits, got, expected);
}

static void every_f16_and_bf16_is_its_formula(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 65536; bits++) {
        check_value((double)kx_f16_to_f32((uint16_t)bits), formula(bits, 5, 10, true), bits, "F16");
        check_value((double)kx_bf16_to_f32((uint16_t)bits), formula(bits, 8, 7, true), bits, "BF16");
    }
}

static void every_fp8_is_its_formula(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 256; bits++) {
        check_value((double)kx_f8_e4m3_to_f32((uint8_t)bits), formula(bits, 4, 3, false), bits, "F8_E4M3");
        check_value((double)kx_f8_e5m2_to_f32((uint8_t)bits), formula(bits, 5, 2, true), bits, "F8_E5M2");
    }
    assert_true(kx_f8_e4m3_to_f32(0x7e) == 448.0f);
    assert_true(kx_f8_e5m2_to_f32(0x7b) == 57344.0f);
}

static void bf16_rounds_to_the_nearest_and_ties_to_even(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 65536; bits++) {
        float value = kx_bf16_to_f32((uint16_t)bits);
        if (isnan(value)) {
            assert_true(isnan(kx_bf16_to_f32(kx_bf16_from_f32(value))));
            continue;
        }
        assert_int_equal(kx_bf16_from_f32(value), bits);
        if (bits % 32768 >= 0x7f7f) continue; /* the largest and infinity have no neighbour above */
        float above = kx_bf16_to_f32((uint16_t)(bits + 1)), middle = value / 2 + above / 2;
        if (fabsf(value) < 1e-37f) continue; /* halves there are not exact */
        assert_int_equal(kx_bf16_from_f32(middle), bits % 2 == 0 ? bits : bits + 1);
        assert_int_equal(kx_bf16_from_f32(nextafterf(middle, value)), bits);
        assert_int_equal(kx_bf16_from_f32(nextafterf(middle, above)), bits + 1);
    }
    assert_true(isinf(kx_bf16_to_f32(kx_bf16_from_f32(3.4e38f))));
}

static void dtype_names_are_those_of_safetensors(void **state)
{
    (void)state;
    for (int i = 0; i < KX_DTYPE_COUNT; i++) {
        kx_dtype dtype = KX_DTYPE_COUNT;
        assert_true(kx_dtype_parse(kx_dtype_name((kx_dtype)i), &dtype));
        assert_int_equal(dtype, i);
    }
    kx_dtype dtype;
    assert_false(kx_dtype_parse("f32", &dtype));
    assert_false(kx_dtype_parse("", &dtype));
    assert_int_equal(kx_dtype_bytes(KX_F8_E4M3), 1);
    assert_int_equal(kx_dtype_bytes(KX_I64), 8);
    assert_true(kx_dtype_is_weight(KX_F8_E5M2));
    assert_false(kx_dtype_is_weight(KX_I32));
}

/* Rows x 3, f32, element (r, c) = base + 10 r + c. */
static kx_weight ramp(float *memory, int64_t rows, float base, float scale)
{
    for (int64_t i = 0; i < rows * 3; i++) memory[i] = base + 10 * (float)(i / 3) + (float)(i % 3);
    kx_weight weight = {.rank = 2, .shape = {rows, 3}, .num_segments = 1};
    weight.segments[0] = (kx_weight_segment){.data = memory, .rows = rows, .dtype = KX_F32, .scale = scale};
    return weight;
}

static void a_precision_packs_a_type_and_back(void **state)
{
    (void)state;
    static const struct {
        kx_precision precision;
        const char *name;
        kx_dtype packed, operand;
    } rows[] = {{KX_PRECISION_F32, "f32", KX_F32, KX_F32},
                {KX_PRECISION_BF16, "bf16", KX_BF16, KX_BF16},
                {KX_PRECISION_INT8, "int8", KX_I8, KX_U8}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_string_equal(kx_precision_name(rows[i].precision), rows[i].name);
        assert_int_equal(kx_packed_dtype(rows[i].precision), rows[i].packed);
        assert_int_equal(kx_operand_dtype(rows[i].precision), rows[i].operand);
        assert_int_equal(kx_precision_of(rows[i].packed), rows[i].precision);
    }
    assert_int_equal(kx_packed_dtype(KX_PRECISION_AUTO), KX_F32);
    assert_string_equal(kx_precision_name(KX_PRECISION_AUTO), "auto");
    assert_string_equal(kx_precision_name((kx_precision)4), "unknown");
}

static void slices_of_stacked_weights_are_their_rows(void **state)
{
    (void)state;
    float a[12], b[6], c[15], all[33], part[33];
    kx_weight first = ramp(a, 4, 0, 1), second = ramp(b, 2, 1000, 2), third = ramp(c, 5, 5000, 0.5f);
    kx_weight stacked = kx_weight_stack(&first, &second);
    stacked = kx_weight_stack(&stacked, &third);
    assert_int_equal(kx_weight_rows(&stacked), 11);
    static const size_t segment_bytes[] = {4 * 3 * 4, 2 * 3 * 4, 5 * 3 * 4};
    for (int i = 0; i < 3; i++)
        assert_int_equal(kx_weight_segment_bytes(&stacked, &stacked.segments[i]), segment_bytes[i]);
    kx_weight_read_f32(&stacked, all);
    assert_true(all[0] == 0 && all[4 * 3] == 2000 && all[6 * 3] == 2500 && all[32] == 0.5f * 5042);
    for (int64_t from = 0; from <= 11; from++)
        for (int64_t count = 0; from + count <= 11; count++) {
            kx_weight slice = kx_weight_slice(&stacked, from, count);
            assert_int_equal(kx_weight_rows(&slice), count);
            kx_weight_read_f32(&slice, part);
            assert_memory_equal(part, all + 3 * from, (size_t)(3 * count) * sizeof(float));
        }
    for (int64_t row = 0; row < 11; row++) {
        kx_dtype dtype;
        float scale;
        const void *data = kx_weight_row(&stacked, row, &dtype, &scale);
        assert_true(scale * kx_dtype_get(dtype, data, 2) == all[3 * row + 2]);
    }
}

static void weights_are_read_at_odd_addresses(void **state)
{
    (void)state;
    uint8_t bytes[64] = {0};
    float value = 3.25f, out[2];
    uint16_t half = kx_bf16_from_f32(-1.5f);
    memcpy(bytes + 1, &value, 4);
    memcpy(bytes + 5, &half, 2);
    kx_weight weight = {.rank = 2, .shape = {2, 1}, .num_segments = 2};
    weight.segments[0] = (kx_weight_segment){.data = bytes + 1, .rows = 1, .dtype = KX_F32, .scale = 1};
    weight.segments[1] = (kx_weight_segment){.data = bytes + 5, .rows = 1, .dtype = KX_BF16, .scale = 2};
    kx_weight_read_f32(&weight, out);
    assert_int_equal(kx_weight_segment_bytes(&weight, &weight.segments[1]), 2);
    assert_true(out[0] == 3.25f && out[1] == -3.0f);
}

typedef struct one_weight {
    const char *name;
    kx_weight weight;
} one_weight;

static kx_status find_one(void *context, const char *name, kx_weight *weight, bool *found, kx_error *err)
{
    const one_weight *one = context;
    (void)err;
    *found = strcmp(name, one->name) == 0;
    if (*found) *weight = one->weight;
    return KX_OK;
}

static void a_missing_or_misshapen_parameter_is_named(void **state)
{
    (void)state;
    float memory[12];
    one_weight one = {"img_in.weight", ramp(memory, 4, 0, 1)};
    kx_weight_source source = {.find = find_one, .context = &one, .what = "transformer"};
    kx_weight weight;
    kx_error err = {0};
    assert_ok(kx_weight_need(&source, "img_in.weight", 2, (int64_t[]){4, -1}, &weight, &err));
    assert_int_equal(kx_weight_need(&source, "img_in.weight", 2, (int64_t[]){4, 5}, &weight, &err),
                     KX_ERR_MODEL);
    assert_string_equal(err.message, "transformer: tensor img_in.weight has shape [4,3], [4,5] is expected");
    err = (kx_error){0};
    assert_int_equal(kx_weight_need(&source, "img_in.bias", 1, (int64_t[]){4}, &weight, &err), KX_ERR_MODEL);
    assert_string_equal(err.message, "transformer: tensor img_in.bias is missing");
}

static void views_of_a_tensor_share_its_rows(void **state)
{
    (void)state;
    float values[20];
    for (int i = 0; i < 20; i++) values[i] = (float)i;
    kx_tensor t = kx_tensor_of(values, 4, 5), rows = kx_tensor_rows(&t, 1, 2),
              cols = kx_tensor_cols(&rows, 3, 2);
    assert_true(kx_tensor_f32(&cols)[0] == 8 && kx_tensor_f32(&cols)[cols.stride + 1] == 14);
    assert_int_equal(cols.rows, 2);
    assert_int_equal(cols.cols, 2);
    kx_tensor nothing = kx_tensor_of(NULL, 4, 5);
    assert_null(kx_tensor_rows(&nothing, 2, 1).data);
    kx_tensor map = kx_tensor_map_of(values, 2, 2, 5);
    assert_int_equal(map.rows, 4);
}

static void a_measuring_scratch_predicts_the_real_one(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_scratch measure, real;
    size_t peak = 0;
    kx_scratch_measure(&measure);
    for (int round = 0; round < 2; round++) {
        kx_scratch *scratch = round == 0 ? &measure : &real;
        bool failed = false;
        uint8_t *a = kx_scratch_take(scratch, "a", 1000, &failed);
        kx_scratch_mark mark = kx_scratch_mark_now(scratch);
        uint8_t *b = kx_scratch_take(scratch, "b", 5000, &failed);
        kx_scratch_release(scratch, mark);
        uint8_t *c = kx_scratch_take(scratch, "c", 1, &failed);
        assert_false(failed);
        assert_int_equal(scratch->peak, 1024 + 5120);
        assert_int_equal(scratch->used, 1024 + 256);
        assert_int_equal(scratch->peak_depth, 2);
        assert_string_equal(scratch->at_peak[1].name, "b");
        if (round == 1) {
            assert_int_equal((uintptr_t)a % KX_SCRATCH_ALIGN, 0);
            assert_ptr_equal(b, c);
            memset(a, 1, 1000);
            assert_null(kx_scratch_take(scratch, "more", peak, &failed));
            assert_true(failed);
            continue;
        }
        assert_null(a);
        peak = scratch->peak;
        assert_ok(kx_scratch_open(&real, peak, &err));
    }
    kx_scratch_close(&real);
    kx_scratch_close(&real);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_f16_and_bf16_is_its_formula),
        cmocka_unit_test(every_fp8_is_its_formula),
        cmocka_unit_test(bf16_rounds_to_the_nearest_and_ties_to_even),
        cmocka_unit_test(dtype_names_are_those_of_safetensors),
        cmocka_unit_test(a_precision_packs_a_type_and_back),
        cmocka_unit_test(slices_of_stacked_weights_are_their_rows),
        cmocka_unit_test(weights_are_read_at_odd_addresses),
        cmocka_unit_test(a_missing_or_misshapen_parameter_is_named),
        cmocka_unit_test(views_of_a_tensor_share_its_rows),
        cmocka_unit_test(a_measuring_scratch_predicts_the_real_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

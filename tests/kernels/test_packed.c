/* Packed products: tiles, quantisation and packing of every set against plain C (int8: the same bits), and
 * the ops against sums in double. The tiles of AMX are among them on every machine, emulated. */
#include "amx_emulated.h"
#include "fixture.h"

#include "engine/kernels/driver.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const kx_kernels *portable(void)
{
    return kx_kernel_sets[0].kernels;
}

/* `bytes` random bytes in a guarded buffer. */
static uint8_t *random_bytes(test_random *random, int64_t bytes)
{
    uint8_t *data = (uint8_t *)test_guarded((bytes + 3) / 4);
    for (int64_t i = 0; i < bytes; i++) data[i] = (uint8_t)test_random_bits(random);
    return data;
}

static uint16_t *random_bf16(test_random *random, int64_t count)
{
    uint16_t *data = (uint16_t *)(void *)test_guarded((count + 1) / 2);
    for (int64_t i = 0; i < count; i++) data[i] = kx_bf16_from_f32(test_random_value(random));
    return data;
}

static float *random_floats(test_random *random, int64_t count)
{
    float *data = test_guarded(count);
    test_random_fill(random, data, count);
    return data;
}

enum { MORE_ROWS = 5, C_PAD = 3 };

/* -128 times the sum of a block's column. */
static int32_t offset_sum(const int8_t *block, int64_t column, int64_t planes)
{
    int32_t sum = 0;
    for (int64_t i = 0; i < planes * KX_PLANE_BYTES; i++)
        sum += block[i / 4 * KX_PLANE_BYTES + 4 * column + i % 4];
    return -KX_OPERAND_OFFSET * sum;
}

/* A tile at the end of a plane that has more rows, and the same of plain C, row by row and block by block. */
static void one_tile_i8(const kx_kernels *set, test_random *random, kx_tile_limit size, int64_t planes,
                        bool add)
{
    int64_t rows = size.rows, cols = 16 * size.blocks, a_plane = (rows + MORE_ROWS) * KX_PLANE_BYTES;
    int64_t b_block = planes * 1024, c_stride = cols + C_PAD, count = (rows - 1) * c_stride + cols;
    uint8_t *a = random_bytes(random, planes * a_plane), *b = random_bytes(random, size.blocks * b_block);
    float *a_scale = random_floats(random, rows), *b_scale = random_floats(random, cols);
    int32_t sums[64];
    for (int64_t i = 0; i < planes * a_plane; i++) a[i] = a[i] == 0 ? 1 : a[i];
    for (int64_t n = 0; n < cols; n++) sums[n] = offset_sum((int8_t *)b + n / 16 * b_block, n % 16, planes);
    float *c = random_floats(random, count), *expected = random_floats(random, count);
    memcpy(expected, c, (size_t)count * sizeof(float));
    const uint8_t *first = a + MORE_ROWS * KX_PLANE_BYTES;
    set->tile_i8(rows, size.blocks, planes, first, a_plane, (int8_t *)b, b_block, a_scale, b_scale, sums, add,
                 c, c_stride);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < size.blocks; j++)
            portable()->tile_i8(1, 1, planes, first + r * KX_PLANE_BYTES, a_plane, (int8_t *)b + j * b_block,
                                b_block, a_scale + r, b_scale + 16 * j, sums + 16 * j, add,
                                expected + r * c_stride + 16 * j, c_stride);
    if (memcmp(c, expected, (size_t)count * sizeof(float)) != 0)
        fail_msg("%s: int8 tile of %lld rows, %lld blocks, %lld planes differs from plain C", set->name,
                 (long long)rows, (long long)size.blocks, (long long)planes);
    test_guarded_check(c, count, "int8 tile");
    float *all[] = {(float *)(void *)a, (float *)(void *)b, a_scale, b_scale, c, expected};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) test_guarded_free(all[i]);
}

static void one_tile_bf16(const kx_kernels *set, test_random *random, kx_tile_limit size, int64_t planes,
                          bool add)
{
    int64_t rows = size.rows, cols = 16 * size.blocks, a_plane = (rows + MORE_ROWS) * KX_PLANE_BYTES;
    int64_t b_block = planes * 1024, c_stride = cols + C_PAD, count = (rows - 1) * c_stride + cols;
    uint16_t *a = random_bf16(random, planes * a_plane / 2),
             *b = random_bf16(random, size.blocks * b_block / 2);
    float *c = random_floats(random, count), *expected = random_floats(random, count);
    memcpy(expected, c, (size_t)count * sizeof(float));
    const uint16_t *first = a + MORE_ROWS * KX_PLANE_BYTES / 2;
    set->tile_bf16(rows, size.blocks, planes, first, a_plane, b, b_block, add, c, c_stride);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < size.blocks; j++)
            portable()->tile_bf16(1, 1, planes, first + r * KX_PLANE_BYTES / 2, a_plane, b + j * b_block / 2,
                                  b_block, add, expected + r * c_stride + 16 * j, c_stride);
    for (int64_t i = 0; i < count; i++)
        if (!(fabsf(c[i] - expected[i]) <= 3e-7f * (float)(32 * planes)))
            fail_msg("%s: bf16 tile of %lld rows, %lld blocks, %lld planes: [%lld] is %.9g, %.9g is expected",
                     set->name, (long long)rows, (long long)size.blocks, (long long)planes, (long long)i,
                     (double)c[i], (double)expected[i]);
    test_guarded_check(c, count, "bf16 tile");
    float *all[] = {(float *)(void *)a, (float *)(void *)b, c, expected};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) test_guarded_free(all[i]);
}

static void every_tile(const kx_kernels *set)
{
    test_random random = {1};
    kx_driver_enter_tiles(set);
    for (int64_t planes = 1; planes <= KX_GROUP_PLANES; planes++) {
        kx_tile_limit i8 = set->tile_i8_limit, bf16 = set->tile_bf16_limit, size;
        for (size.rows = 1; size.rows <= i8.rows; size.rows++)
            for (size.blocks = 1; size.blocks <= i8.blocks; size.blocks++)
                one_tile_i8(set, &random, size, planes, (size.rows + planes) % 2 == 0);
        for (size.rows = 1; size.rows <= bf16.rows; size.rows++)
            for (size.blocks = 1; size.blocks <= bf16.blocks; size.blocks++)
                one_tile_bf16(set, &random, size, planes, (size.rows + planes) % 2 == 0);
    }
    kx_driver_leave_tiles(set);
}

static void int8_tiles_are_the_same_bits_as_plain_c(void **state)
{
    (void)state;
    test_every_set(every_tile);
    every_tile(test_amx_emulated());
}

/* The largest products that a byte pair can make would saturate a 16-bit sum. */
static void every_extreme(const kx_kernels *set)
{
    static uint8_t a[KX_GROUP_PLANES * KX_PLANE_BYTES];
    static int8_t b[KX_GROUP_PLANES * 1024];
    const float ones[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    int32_t sums[16];
    float c[16];
    kx_driver_enter_tiles(set);
    for (int right = -128; right <= 127; right += 255) {
        memset(b, right, sizeof b);
        for (int n = 0; n < 16; n++) sums[n] = offset_sum(b, n, KX_GROUP_PLANES);
        for (int left = -127; left <= 127; left += 254) {
            memset(a, KX_OPERAND_OFFSET + left, sizeof a);
            set->tile_i8(1, 1, KX_GROUP_PLANES, a, KX_PLANE_BYTES, b, 0, ones, ones, sums, false, c, 16);
            for (int n = 0; n < 16; n++) assert_true(c[n] == (float)(512 * left * b[n]));
        }
    }
    kx_driver_leave_tiles(set);
}

static void the_largest_sums_do_not_saturate(void **state)
{
    (void)state;
    test_every_set(every_extreme);
    every_extreme(test_amx_emulated());
}

enum { GROUP_PLANE = KX_PLANE_BYTES + 64, GROUP_FLOATS = KX_GROUP_PLANES * GROUP_PLANE / 4 };

/* Bytes of a group and its scale against the formula: a byte is the nearest step, and none is 0. */
static void check_quantised(const char *set, int64_t n, const float *x, const uint8_t *y, float scale)
{
    float most = 0;
    bool finite = true;
    for (int64_t i = 0; i < n; i++) {
        most = fmaxf(most, fabsf(x[i]));
        finite = finite && isfinite(x[i]);
    }
    if (most < KX_QUANTISE_LEAST) most = 0;
    if (finite ? scale != most / 127.0f : !isnan(scale))
        fail_msg("%s: a group of largest value %g has scale %g", set, (double)most, (double)scale);
    for (int64_t i = 0; i < kx_planes_of(KX_U8, n) * KX_PLANE_BYTES; i++) {
        double steps = i < n && finite && most > 0 ? 127.0 * (double)x[i] / (double)most : 0;
        int byte = y[i / KX_PLANE_BYTES * GROUP_PLANE + i % KX_PLANE_BYTES];
        if (byte == 0 || !(fabs(byte - KX_OPERAND_OFFSET - steps) <= 0.5001))
            fail_msg("%s: %g of a group of largest value %g is byte %d", set, (double)x[i], (double)most,
                     byte);
    }
}

static void check_narrowed(int64_t n, const float *x, const uint16_t *y)
{
    for (int64_t i = 0; i < kx_planes_of(KX_BF16, n) * kx_plane_values(KX_BF16); i++) {
        int64_t at = i / kx_plane_values(KX_BF16) * GROUP_PLANE / 2 + i % kx_plane_values(KX_BF16);
        assert_int_equal(y[at], i < n ? kx_bf16_from_f32(x[i]) : 0);
    }
}

/* In guarded memory; between the planes and behind the last one nothing may change either. */
static void check_group(const kx_kernels *set, const float *x, int64_t n)
{
    float *got = test_guarded(GROUP_FLOATS), *expected = test_guarded(GROUP_FLOATS), scale = 7, other = 7;
    set->quantise(n, x, (uint8_t *)got, GROUP_PLANE, &scale);
    portable()->quantise(n, x, (uint8_t *)expected, GROUP_PLANE, &other);
    check_quantised(set->name, n, x, (uint8_t *)got, scale);
    assert_memory_equal(got, expected, GROUP_FLOATS * sizeof(float));
    test_guarded_check(got, GROUP_FLOATS, "quantise");
    if (n <= kx_group_values(KX_BF16)) {
        set->narrow(n, x, (uint16_t *)(void *)got, GROUP_PLANE);
        portable()->narrow(n, x, (uint16_t *)(void *)expected, GROUP_PLANE);
        check_narrowed(n, x, (uint16_t *)(void *)got);
        assert_memory_equal(got, expected, GROUP_FLOATS * sizeof(float));
        test_guarded_check(got, GROUP_FLOATS, "narrow");
    }
    test_guarded_free(got);
    test_guarded_free(expected);
}

/* Values of every magnitude, down to where 127 / x is infinite and x has few bits left. */
static void every_group(const kx_kernels *set)
{
    static const float factors[] = {1,      3e-3f,  1e30f,  1e-30f, 1e-35f, 2e-36f,
                                    1e-36f, 1e-37f, 1e-38f, 1e-40f, 1e-44f, 0};
    static const float odd[] = {NAN, INFINITY, -INFINITY, -0.0f};
    test_random random = {2};
    for (int64_t n = 1; n <= kx_group_values(KX_I8); n += n < 130 ? 1 : 37) {
        float *x = random_floats(&random, n);
        for (size_t i = 0; i < sizeof factors / sizeof factors[0]; i++) {
            test_random_fill(&random, x, n);
            x[test_random_below(&random, n)] = i % 2 == 0 ? 1.0f : -1.0f;
            for (int64_t k = 0; k < n; k++) x[k] *= factors[i];
            check_group(set, x, n);
        }
        test_random_fill(&random, x, n);
        for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
            x[test_random_below(&random, n)] = odd[i];
            check_group(set, x, n);
        }
        test_guarded_free(x);
    }
}

static void groups_are_quantised_as_by_plain_c(void **state)
{
    (void)state;
    test_every_set(every_group);
}

/* ---- Ops ----------------------------------------------------------------------------------------------- */

typedef struct product {
    kx_linear linear;
    kx_packed packed;
    kx_epilogue epilogue;
    const float *gate;
    kx_tensor x, y;
    float *read_back; /* NULL: y is f32 */
} product;

static kx_packed room_for(kx_dtype dtype, int64_t N, int64_t K, int64_t split)
{
    kx_packed_bytes size = kx_packed_size(dtype, N, K, split);
    kx_packed packed = {.dtype = dtype, .rows = N, .cols = K, .split = split};
    packed.data = test_guarded((int64_t)size.data / 4);
    packed.scales = size.scales == 0 ? NULL : test_guarded((int64_t)size.scales / 4);
    packed.sums = size.sums == 0 ? NULL : (int32_t *)(void *)test_guarded((int64_t)size.sums / 4);
    return packed;
}

static void free_packed(kx_packed *packed)
{
    test_guarded_free((float *)(uintptr_t)packed->data);
    test_guarded_free((float *)(uintptr_t)packed->scales);
    test_guarded_free((float *)(uintptr_t)packed->sums);
}

static float packed_at(const kx_packed *packed, int64_t n, int64_t k)
{
    bool second = k >= packed->split;
    int64_t within = second ? k - packed->split : k, values = kx_plane_values(packed->dtype);
    int64_t plane = (second ? kx_planes_of(packed->dtype, packed->split) : 0) + within / values;
    int64_t planes = kx_packed_planes(packed->dtype, packed->cols, packed->split), each = values / 16;
    int64_t index =
        (((n / 16 * planes + plane) * 16 + within % values / each) * 16 + n % 16) * each + within % each;
    if (packed->dtype == KX_BF16) return kx_bf16_to_f32(((const uint16_t *)packed->data)[index]);
    int64_t group = (second ? kx_groups_of(KX_I8, packed->split) : 0) + within / kx_group_values(KX_I8);
    return (float)((const int8_t *)packed->data)[index] *
           packed->scales[group * kx_packed_rows(packed->rows) + n];
}

static float operand_at(const kx_tensor *x, int64_t split, int64_t t, int64_t k)
{
    bool second = k >= split;
    int64_t within = second ? k - split : k, values = kx_plane_values(x->dtype);
    int64_t plane = (second ? kx_planes_of(x->dtype, split) : 0) + within / values;
    const uint8_t *row = (const uint8_t *)x->data + plane * x->plane_bytes + t * KX_PLANE_BYTES;
    if (x->dtype == KX_BF16) return kx_bf16_to_f32(((const uint16_t *)(const void *)row)[within % values]);
    int64_t group = (second ? kx_groups_of(KX_U8, split) : 0) + within / kx_group_values(KX_U8);
    return (float)(row[within % values] - 128) * x->scales[group * x->scale_stride + t];
}

/* Quantises both sides, part by part, multiplies, and reads the result back. */
static void call_product(kx_ops *ops, void *arguments)
{
    product *p = arguments;
    kx_scratch_mark mark = kx_ops_mark(ops);
    ops->precision = p->packed.dtype == KX_I8 ? KX_PRECISION_INT8 : KX_PRECISION_BF16;
    int64_t split = p->packed.split, K = p->x.cols, T = p->x.rows;
    kx_tensor x = kx_ops_take_operand(ops, "x", T, K, split);
    kx_tensor first = kx_tensor_cols(&x, 0, split), from = kx_tensor_cols(&p->x, 0, split);
    kx_tensor second = kx_tensor_cols(&x, split, K - split), rest = kx_tensor_cols(&p->x, split, K - split);
    kx_op_pack(ops, &p->linear.weight, &p->packed);
    if (split > 0) kx_op_quantise(ops, &from, &first);
    kx_op_quantise(ops, &rest, &second);
    if (p->read_back == NULL) {
        kx_op_linear(ops, &x, &p->linear, p->epilogue, p->gate, &p->y);
    } else {
        kx_tensor y = kx_ops_take_operand(ops, "y", T, p->y.cols, 0);
        kx_op_linear(ops, &x, &p->linear, p->epilogue, p->gate, &y);
        if (!kx_ops_idle(ops))
            for (int64_t t = 0; t < T; t++)
                for (int64_t n = 0; n < y.cols; n++) p->read_back[t * y.cols + n] = operand_at(&y, 0, t, n);
    }
    kx_ops_release(ops, mark);
}

/* The widest relative step of the two roundings, on values of |x| <= 1 and |w| <= 1, K of them. */
static double bound_of(const product *p, double size)
{
    return (p->packed.dtype == KX_I8 ? 0.009 : 0.008) * size +
           (p->read_back != NULL ? 0.02 * size + 0.02 : 0) + 1e-5;
}

static void check_product(const product *p, const kx_tensor *before, const char *set)
{
    for (int64_t t = 0; t < p->x.rows; t++)
        for (int64_t n = 0; n < p->y.cols; n++) {
            double r = 0, size = 0;
            for (int64_t k = 0; k < p->x.cols; k++) {
                double term = (double)test_weight_at(&p->linear.weight, n, k) * (double)test_at(&p->x, t, k);
                r += term;
                size += fabs((double)test_weight_at(&p->linear.weight, n, k)) +
                        fabs((double)test_at(&p->x, t, k));
            }
            double value = r + (double)p->linear.bias[n], old = (double)test_at(before, t, n);
            if (p->epilogue == KX_EPILOGUE_GATED_ADD) value = old + (double)p->gate[n] * value;
            if (p->epilogue == KX_EPILOGUE_SILU) value /= 1 + exp(-value);
            double got =
                (double)(p->read_back != NULL ? p->read_back[t * p->y.cols + n] : test_at(&p->y, t, n));
            if (!(fabs(got - value) <= bound_of(p, size)))
                fail_msg("%s: %s K %lld split %lld: y[%lld][%lld] is %.9g, %.9g is expected", set,
                         kx_dtype_name(p->packed.dtype), (long long)p->x.cols, (long long)p->packed.split,
                         (long long)t, (long long)n, got, value);
        }
}

typedef struct product_shape {
    int64_t T, K, N, split;
} product_shape;

static void one_product(const kx_kernels *set, test_random *random, kx_dtype dtype, product_shape s,
                        bool operand)
{
    float *bias = random_floats(random, s.N), *gate = random_floats(random, s.N);
    kx_dtype file = s.K % 2 == 0 ? KX_F32 : KX_BF16;
    product p = {.epilogue = operand ? KX_EPILOGUE_SILU : KX_EPILOGUE_GATED_ADD,
                 .gate = operand ? NULL : gate};
    p.linear = (kx_linear){.weight = test_weight(random, 2, (int64_t[]){s.N, s.K}, &file, 1, false),
                           .bias = bias,
                           .packed = &p.packed,
                           .split = s.split};
    p.x = test_tensor(random, s.T, s.K, 3);
    kx_tensor before = test_tensor(random, s.T, s.N, 5), first = {0};
    float *results[3] = {NULL};
    kx_packed packs[3];
    for (size_t threads = 1; threads <= 3; threads++) {
        p.packed = packs[threads - 1] = room_for(dtype, s.N, s.K, s.split);
        if (operand) p.read_back = results[threads - 1] = test_guarded(s.T * s.N);
        kx_tensor y = p.y = test_tensor_copy(&before);
        test_run_op(set, threads, call_product, &p);
        check_product(&p, &before, set->name);
        if (threads == 1) first = y;
        for (int64_t t = 0; t < s.T && !operand; t++)
            assert_memory_equal(kx_tensor_f32(&y) + t * y.stride, kx_tensor_f32(&first) + t * first.stride,
                                (size_t)s.N * sizeof(float));
        if (operand) assert_memory_equal(p.read_back, results[0], (size_t)(s.T * s.N) * sizeof(float));
        test_tensor_check(&y, "packed product");
        if (threads > 1) test_tensor_free(&y);
    }
    for (int64_t n = 0; n < s.N; n++)
        for (int64_t k = 0; k < s.K; k++)
            assert_true(fabsf(packed_at(&p.packed, n, k) - test_weight_at(&p.linear.weight, n, k)) < 0.0045f);
    for (int i = 0; i < 3; i++) {
        free_packed(&packs[i]);
        test_guarded_free(results[i]);
    }
    test_tensor_free(&first);
    test_tensor_free(&before);
    test_tensor_free(&p.x);
    test_weight_free(&p.linear.weight);
    test_guarded_free(bias);
    test_guarded_free(gate);
}

static void every_product(const kx_kernels *set)
{
    test_random random = {3};
    static const product_shape shapes[] = {
        {1, 1, 1, 0},     {5, 64, 16, 0},    {13, 65, 17, 0},     {7, 512, 40, 0},     {30, 513, 33, 0},
        {9, 700, 600, 0}, {50, 192, 576, 0}, {14, 960, 192, 192}, {11, 1200, 48, 600}, {200, 130, 1100, 65}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int dtype = 0; dtype < 2; dtype++)
            for (int operand = 0; operand < 2; operand++)
                one_product(set, &random, dtype == 0 ? KX_I8 : KX_BF16, shapes[i], operand != 0);
}

static void packed_products_are_close_and_equal_for_all_threads(void **state)
{
    (void)state;
    test_every_set(every_product);
    every_product(test_amx_emulated());
}

/* Chunks and tiles of another shape change nothing: with plain C's other kernels, the bytes are plain C's. */
static void an_int8_product_on_amx_is_that_of_plain_c(void **state)
{
    (void)state;
    enum { T = 215, K = 1100, N = 1100, SPLIT = 570 };
    const kx_kernels *sets[] = {portable(), test_amx_emulated()};
    test_random random = {5};
    float *bias = random_floats(&random, N), *gate = random_floats(&random, N);
    kx_dtype file = KX_F32;
    kx_weight weight = test_weight(&random, 2, (int64_t[]){N, K}, &file, 1, false);
    kx_tensor x = test_tensor(&random, T, K, 3), before = test_tensor(&random, T, N, 5), y[2];
    for (int i = 0; i < 2; i++) {
        kx_packed packed = room_for(KX_I8, N, K, SPLIT);
        y[i] = test_tensor_copy(&before);
        product p = {.packed = packed, .epilogue = KX_EPILOGUE_GATED_ADD, .gate = gate, .x = x, .y = y[i]};
        p.linear = (kx_linear){.weight = weight, .bias = bias, .packed = &p.packed, .split = SPLIT};
        test_run_op(sets[i], 2, call_product, &p);
        free_packed(&packed);
    }
    for (int64_t t = 0; t < T; t++)
        assert_memory_equal(kx_tensor_f32(&y[1]) + t * y[1].stride, kx_tensor_f32(&y[0]) + t * y[0].stride,
                            N * sizeof(float));
    assert_memory_not_equal(kx_tensor_f32(&y[0]), kx_tensor_f32(&before), N * sizeof(float));
    test_tensor_free(&x);
    test_tensor_free(&before);
    test_tensor_free(&y[0]);
    test_tensor_free(&y[1]);
    test_weight_free(&weight);
    test_guarded_free(bias);
    test_guarded_free(gate);
}

static void call_norm(kx_ops *ops, void *arguments)
{
    product *p = arguments;
    kx_scratch_mark mark = kx_ops_mark(ops);
    ops->precision = KX_PRECISION_INT8;
    kx_tensor y = kx_ops_take_operand(ops, "y", p->x.rows, p->x.cols, 0);
    kx_op_norm_modulate(ops, &p->x, p->linear.bias, p->gate, 1e-6f, &y);
    if (!kx_ops_idle(ops))
        for (int64_t t = 0; t < y.rows; t++)
            for (int64_t n = 0; n < y.cols; n++) p->read_back[t * y.cols + n] = operand_at(&y, 0, t, n);
    kx_ops_release(ops, mark);
}

/* The operand of a norm is the quantised f32 norm; a NaN of x reaches the row's scale, and no other row. */
static void every_norm(const kx_kernels *set)
{
    enum { T = 7, K = 600 };
    test_random random = {4};
    float *shift = random_floats(&random, K), *scale = random_floats(&random, K), *back = test_guarded(T * K);
    product p = {.x = test_tensor(&random, T, K, 1), .gate = scale, .read_back = back};
    p.linear.bias = shift;
    kx_tensor plain = test_tensor(&random, T, K, 0);
    kx_tensor_f32(&p.x)[3 * p.x.stride + 5] = NAN;
    test_run_op(set, 2, call_norm, &p);
    for (int64_t t = 0; t < T; t++) {
        set->layer_norm(K, kx_tensor_f32(&p.x) + t * p.x.stride, 1e-6f, scale, 1, shift,
                        kx_tensor_f32(&plain));
        for (int64_t k = 0; k < K; k++)
            assert_true(t == 3 ? isnan(back[t * K + k])
                               : fabsf(back[t * K + k] - kx_tensor_f32(&plain)[k]) < 0.03f);
    }
    test_guarded_free(shift);
    test_guarded_free(scale);
    test_guarded_free(back);
    test_tensor_free(&p.x);
    test_tensor_free(&plain);
}

static void a_norm_writes_operands(void **state)
{
    (void)state;
    test_every_set(every_norm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(int8_tiles_are_the_same_bits_as_plain_c),
        cmocka_unit_test(the_largest_sums_do_not_saturate),
        cmocka_unit_test(groups_are_quantised_as_by_plain_c),
        cmocka_unit_test(packed_products_are_close_and_equal_for_all_threads),
        cmocka_unit_test(an_int8_product_on_amx_is_that_of_plain_c),
        cmocka_unit_test(a_norm_writes_operands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

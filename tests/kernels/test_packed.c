/* Packed products: tiles, quantisation, packing, and the ops, of every set. What is expected is computed from
 * the very values that the packed bytes stand for: in int8 bit by bit, because sums are exact; in bf16, and
 * behind an epilogue, in double. The tiles of AMX are among them on every machine, emulated. */
#include "amx_emulated.h"
#include "packed_fixture.h"

#include "engine/kernels/driver.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of sums in f32, relative to the sum of all magnitudes. */
static const double rounding = 3e-6;

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

/* ---- Tiles --------------------------------------------------------------------------------------------- */

enum { MORE_ROWS = 5, C_PAD = 3 };

/* A tile at the end of planes that have more rows; between the rows of c nothing may change. */
static void one_tile_i8(const kx_kernels *set, test_random *random, kx_tile_limit size, int64_t planes,
                        bool add)
{
    int64_t rows = size.rows, cols = 16 * size.blocks, a_plane = (rows + MORE_ROWS) * KX_PLANE_BYTES;
    int64_t b_block = planes * TEST_BLOCK_PLANE, c_stride = cols + C_PAD,
            count = (rows - 1) * c_stride + cols;
    uint8_t *a = random_bytes(random, planes * a_plane);
    int8_t *b = (int8_t *)random_bytes(random, size.blocks * b_block);
    float *a_scale = random_floats(random, rows), *b_scale = random_floats(random, cols);
    int32_t *sums = (int32_t *)(void *)test_guarded(cols);
    for (int64_t i = 0; i < planes * a_plane; i++) a[i] = a[i] == 0 ? 1 : a[i];
    for (int64_t n = 0; n < cols; n++) sums[n] = test_offset_sum(b + n / 16 * b_block, n % 16, planes);
    float *c = random_floats(random, count), *expected = test_guarded(count);
    memcpy(expected, c, (size_t)count * sizeof(float));
    const uint8_t *first = a + MORE_ROWS * KX_PLANE_BYTES;
    set->tile_i8(rows, size.blocks, planes, first, a_plane, b, b_block, a_scale, b_scale, sums, add, c,
                 c_stride);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t n = 0; n < cols; n++) {
            int32_t sum =
                test_exact_sum(planes, first + r * KX_PLANE_BYTES, a_plane, b + n / 16 * b_block, n % 16);
            float value = (float)sum * b_scale[n] * a_scale[r], *to = expected + r * c_stride + n;
            *to = add ? *to + value : value;
        }
    if (memcmp(c, expected, (size_t)count * sizeof(float)) != 0)
        fail_msg("%s: int8 tile of %lld rows, %lld blocks, %lld planes is not the exact sum", set->name,
                 (long long)rows, (long long)size.blocks, (long long)planes);
    test_guarded_check(c, count, "int8 tile");
    float *all[] = {
        (float *)(void *)a, (float *)(void *)b, (float *)(void *)sums, a_scale, b_scale, c, expected};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) test_guarded_free(all[i]);
}

/* The same product in double; *size: the sum of the magnitudes. */
static double wide_sum(int64_t planes, const uint16_t *a, int64_t a_plane, const uint16_t *block,
                       int64_t column, double *size)
{
    double sum = 0;
    *size = 0;
    for (int64_t i = 0; i < planes * kx_plane_values(KX_BF16); i++) {
        int64_t p = i / kx_plane_values(KX_BF16), k = i % kx_plane_values(KX_BF16);
        double term = (double)kx_bf16_to_f32(a[p * a_plane / 2 + k]) *
                      (double)kx_bf16_to_f32(block[i / 2 * KX_PLANE_BYTES / 2 + 2 * column + i % 2]);
        sum += term;
        *size += fabs(term);
    }
    return sum;
}

static void one_tile_bf16(const kx_kernels *set, test_random *random, kx_tile_limit size, int64_t planes,
                          bool add)
{
    int64_t rows = size.rows, cols = 16 * size.blocks, a_plane = (rows + MORE_ROWS) * KX_PLANE_BYTES;
    int64_t b_block = planes * TEST_BLOCK_PLANE, c_stride = cols + C_PAD,
            count = (rows - 1) * c_stride + cols;
    uint16_t *a = random_bf16(random, planes * a_plane / 2),
             *b = random_bf16(random, size.blocks * b_block / 2);
    float *c = random_floats(random, count), *before = test_guarded(count);
    memcpy(before, c, (size_t)count * sizeof(float));
    const uint16_t *first = a + MORE_ROWS * KX_PLANE_BYTES / 2;
    set->tile_bf16(rows, size.blocks, planes, first, a_plane, b, b_block, add, c, c_stride);
    for (int64_t i = 0; i < count; i++) {
        int64_t r = i / c_stride, n = i % c_stride;
        double magnitude = 0, expected = (double)before[i];
        if (n < cols)
            expected = wide_sum(planes, first + r * KX_PLANE_BYTES / 2, a_plane, b + n / 16 * b_block / 2,
                                n % 16, &magnitude) +
                       (add ? expected : 0);
        if (!(fabs((double)c[i] - expected) <= rounding * (magnitude + (n < cols && add ? 1 : 0))))
            fail_msg("%s: bf16 tile of %lld rows, %lld blocks, %lld planes: [%lld] is %.9g, %.9g is expected",
                     set->name, (long long)rows, (long long)size.blocks, (long long)planes, (long long)i,
                     (double)c[i], expected);
    }
    test_guarded_check(c, count, "bf16 tile");
    float *all[] = {(float *)(void *)a, (float *)(void *)b, c, before};
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

static void tiles_are_the_sums_of_their_bytes(void **state)
{
    (void)state;
    test_every_set(every_tile);
    every_tile(test_amx_emulated());
}

/* Tiles that loop: one step and several, through all the turns of their sums, with rests of rows and blocks.
 */
static void every_loop(const kx_kernels *set)
{
    static const kx_tile_limit sizes[] = {{32, 3}, {64, 2}, {33, 4}, {96, 5}, {207, 1}, {160, 7}, {75, 16}};
    static const int64_t planes[] = {1, 2, 3, 5, 8};
    if (!set->tiles_loop) return;
    test_random random = {5};
    kx_driver_enter_tiles(set);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (size_t k = 0; k < sizeof planes / sizeof planes[0]; k++) {
            one_tile_i8(set, &random, sizes[i], planes[k], (i + k) % 2 == 0);
            one_tile_bf16(set, &random, sizes[i], planes[k], (i + k) % 2 == 1);
        }
    kx_driver_leave_tiles(set);
}

static void tiles_that_loop_are_the_sums_of_their_bytes(void **state)
{
    (void)state;
    test_every_set(every_loop);
    every_loop(test_amx_emulated());
}

/* The largest products that a byte pair can make would saturate a 16-bit sum. */
static void every_extreme(const kx_kernels *set)
{
    static uint8_t a[KX_GROUP_PLANES * KX_PLANE_BYTES];
    static int8_t b[KX_GROUP_PLANES * TEST_BLOCK_PLANE];
    const float ones[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    int32_t sums[16];
    float c[16];
    kx_driver_enter_tiles(set);
    for (int right = -128; right <= 127; right += 255) {
        memset(b, right, sizeof b);
        for (int n = 0; n < 16; n++) sums[n] = test_offset_sum(b, n, KX_GROUP_PLANES);
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

/* ---- Quantisation -------------------------------------------------------------------------------------- */

enum { GROUP_PLANE = KX_PLANE_BYTES + 64, GROUP_FLOATS = KX_GROUP_PLANES * GROUP_PLANE / 4 };

/* Nothing but the planes of n values was written. */
static void check_gaps(const float *group, kx_dtype dtype, int64_t n, const char *what)
{
    const float guard = group[-1];
    test_guarded_check(group, GROUP_FLOATS, what);
    for (int64_t i = 0; i < GROUP_FLOATS; i++) {
        int64_t plane = i * 4 / GROUP_PLANE, within = i * 4 % GROUP_PLANE;
        if (plane >= kx_planes_of(dtype, n) || within >= KX_PLANE_BYTES) assert_true(group[i] == guard);
    }
}

static void check_quantise(const kx_kernels *set, const float *x, int64_t n)
{
    float *got = test_guarded(GROUP_FLOATS), *expected = test_guarded(GROUP_FLOATS), scale = 7, other = 7;
    set->quantise(n, x, (uint8_t *)got, GROUP_PLANE, &scale);
    portable()->quantise(n, x, (uint8_t *)expected, GROUP_PLANE, &other);
    test_row_group group = test_row_group_of(KX_U8, n, got, GROUP_PLANE, scale);
    test_row_group_check(&group, x, set->name);
    check_gaps(got, KX_U8, n, "quantise");
    assert_memory_equal(got, expected, GROUP_FLOATS * sizeof(float));
    test_guarded_free(got);
    test_guarded_free(expected);
}

static void check_narrow(const kx_kernels *set, const float *x, int64_t n)
{
    float *got = test_guarded(GROUP_FLOATS);
    set->narrow(n, x, (uint16_t *)(void *)got, GROUP_PLANE);
    test_row_group group = test_row_group_of(KX_BF16, n, got, GROUP_PLANE, 1);
    test_row_group_check(&group, x, set->name);
    check_gaps(got, KX_BF16, n, "narrow");
    test_guarded_free(got);
}

static void check_group(const kx_kernels *set, const float *x, int64_t n)
{
    check_quantise(set, x, n);
    if (n <= kx_group_values(KX_BF16)) check_narrow(set, x, n);
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

static void groups_are_quantised_to_the_nearest_step(void **state)
{
    (void)state;
    test_every_set(every_group);
}

/* ---- Ops ----------------------------------------------------------------------------------------------- */

typedef struct product_shape {
    int64_t T, K, N, split;
} product_shape;

/* What goes in, and what comes out in guarded memory. */
typedef struct product {
    product_shape shape;
    kx_dtype dtype; /* of the packed matrix */
    kx_linear linear;
    const float *gate;
    kx_tensor x;
    kx_packed packed;
    kx_tensor operand;      /* of x */
    kx_tensor gated;        /* += gate (W x + b) */
    kx_tensor silu;         /* silu(W x + b) */
    kx_tensor next, wanted; /* the same as an operand, and silu quantised */
} product;

static void call_product(kx_ops *ops, void *arguments)
{
    product *p = arguments;
    int64_t split = p->shape.split, K = p->shape.K;
    ops->precision = kx_precision_of(p->dtype);
    kx_op_pack(ops, &p->linear.weight, &p->packed);
    kx_tensor first = kx_tensor_cols(&p->operand, 0, split), from = kx_tensor_cols(&p->x, 0, split);
    kx_tensor second = kx_tensor_cols(&p->operand, split, K - split),
              rest = kx_tensor_cols(&p->x, split, K - split);
    if (split > 0) kx_op_quantise(ops, &from, &first);
    kx_op_quantise(ops, &rest, &second);
    kx_op_linear(ops, &p->operand, &p->linear, KX_EPILOGUE_GATED_ADD, p->gate, &p->gated);
    kx_op_linear(ops, &p->operand, &p->linear, KX_EPILOGUE_SILU, NULL, &p->silu);
    kx_op_linear(ops, &p->operand, &p->linear, KX_EPILOGUE_SILU, NULL, &p->next);
    kx_op_quantise(ops, &p->silu, &p->wanted);
}

/* `given` with results of its own. */
static product run_product(const kx_kernels *set, size_t threads, const product *given)
{
    product p = *given;
    kx_dtype operand = kx_operand_dtype(kx_precision_of(p.dtype));
    int64_t T = p.shape.T, K = p.shape.K, N = p.shape.N, split = p.shape.split;
    p.packed = test_packed(p.dtype, N, K, split);
    p.linear.packed = &p.packed;
    p.operand = test_operand(operand, T, K, split);
    p.gated = test_tensor_copy(&given->gated);
    p.silu = test_tensor_copy(&given->gated);
    p.next = test_operand(operand, T, N, 0);
    p.wanted = test_operand(operand, T, N, 0);
    test_run_op(set, threads, call_product, &p);
    p.linear.packed = NULL;
    test_packed_check_guards(&p.packed);
    test_operand_check_guards(&p.operand, split, "operand");
    test_operand_check_guards(&p.next, 0, "operand of a product");
    test_tensor_check(&p.gated, "packed product");
    test_tensor_check(&p.silu, "packed product");
    return p;
}

static void free_results(product *p)
{
    test_packed_free(&p->packed);
    test_operand_free(&p->operand);
    test_tensor_free(&p->gated);
    test_tensor_free(&p->silu);
    test_operand_free(&p->next);
    test_operand_free(&p->wanted);
}

/* Every byte of all results. */
static void same_results(const product *a, const product *b)
{
    size_t bytes = (size_t)(a->gated.rows * a->gated.stride) * sizeof(float);
    test_packed_check_equal(&a->packed, &b->packed);
    test_operand_check_equal(&a->operand, &b->operand, a->shape.split);
    assert_memory_equal(a->gated.data, b->gated.data, bytes);
    assert_memory_equal(a->silu.data, b->silu.data, bytes);
    test_operand_check_equal(&a->next, &b->next, 0);
}

/* Rows of W (N,K) are what they were packed to; those that pad the last block are zeros. */
static void check_packing(const char *set, const product *p)
{
    const kx_packed *packed = &p->packed;
    float *row = calloc((size_t)p->shape.K, sizeof *row);
    for (int64_t n = 0; n < kx_packed_rows(packed->rows); n++) {
        for (int64_t k = 0; k < p->shape.K; k++)
            row[k] = n < packed->rows ? test_weight_at(&p->linear.weight, n, k) : 0;
        for (int64_t g = 0; g < kx_packed_groups(packed->dtype, packed->cols, packed->split); g++) {
            kx_packed_group at = kx_packed_group_at(packed->dtype, packed->cols, packed->split, g);
            test_row_group group = test_packed_group(packed, n, g);
            float rotated[TEST_GROUP_MOST];
            test_rotated(packed->dtype, at.cols, row + at.col, rotated);
            if (packed->dtype == KX_I8) group.scale *= (float)kx_hadamard_size(at.cols);
            test_row_group_check(&group, rotated, set);
            if (packed->dtype == KX_I8)
                assert_int_equal(packed->sums[g * kx_packed_rows(packed->rows) + n],
                                 test_offset_sum((const int8_t *)test_packed_block(packed, n, &at),
                                                 n % KX_PACKED_COLUMNS, at.planes));
        }
    }
    free(row);
}

static void check_operand(const char *set, const product *p)
{
    const kx_tensor *operand = &p->operand;
    for (int64_t t = 0; t < operand->rows; t++)
        for (int64_t g = 0; g < kx_packed_groups(operand->dtype, operand->cols, p->shape.split); g++) {
            kx_packed_group at = kx_packed_group_at(operand->dtype, operand->cols, p->shape.split, g);
            test_row_group group = test_operand_group(operand, p->shape.split, t, g);
            float rotated[TEST_GROUP_MOST];
            test_rotated(operand->dtype, at.cols, kx_tensor_f32(&p->x) + t * p->x.stride + at.col, rotated);
            test_row_group_check(&group, rotated, set);
        }
}

/* The values of the operand (T,K), or of the matrix (N,K). */
static double *values_of(const product *p, bool matrix)
{
    int64_t rows = matrix ? p->shape.N : p->shape.T, K = p->shape.K, split = p->shape.split;
    double *values = calloc((size_t)(rows * K), sizeof *values);
    for (int64_t row = 0; row < rows; row++)
        for (int64_t g = 0; g < kx_packed_groups(p->dtype, K, split); g++) {
            test_row_group group = matrix ? test_packed_group(&p->packed, row, g)
                                          : test_operand_group(&p->operand, split, row, g);
            test_row_group_read(&group, values + row * K + kx_packed_group_at(p->dtype, K, split, g).col);
        }
    return values;
}

static void expect(const product *p, const char *set, const kx_tensor *y, int64_t t, int64_t n,
                   double expected, double size)
{
    double got = (double)test_at(y, t, n);
    if (!(fabs(got - expected) <= rounding * size + 1e-30))
        fail_msg("%s: %s, %lld x %lld split at %lld x %lld: [%lld][%lld] is %.9g, %.9g is expected", set,
                 kx_dtype_name(p->dtype), (long long)p->shape.T, (long long)p->shape.K,
                 (long long)p->shape.split, (long long)p->shape.N, (long long)t, (long long)n, got, expected);
}

/* Both f32 results in double, from the values that both sides' bytes stand for. */
static void check_products(const char *set, const product *p, const kx_tensor *before)
{
    double *x = values_of(p, false), *w = values_of(p, true);
    int64_t K = p->shape.K;
    for (int64_t t = 0; t < p->shape.T; t++)
        for (int64_t n = 0; n < p->shape.N; n++) {
            double r = p->linear.bias != NULL ? (double)p->linear.bias[n] : 0, size = fabs(r);
            for (int64_t k = 0; k < K; k++) {
                r += x[t * K + k] * w[n * K + k];
                size += fabs(x[t * K + k] * w[n * K + k]);
            }
            double old = (double)test_at(before, t, n);
            expect(p, set, &p->gated, t, n, old + (double)p->gate[n] * r, size + fabs(old));
            expect(p, set, &p->silu, t, n, r / (1 + exp(-r)), 1.1 * size);
        }
    free(x);
    free(w);
}

/* The set's epilogue of exact sums of the groups, each times both scales, added in order: to the bit. */
static void check_int8_bits(const kx_kernels *set, const product *p, const kx_tensor *before)
{
    int64_t N = p->shape.N, padded = kx_packed_rows(N);
    float *sums = calloc((size_t)N, sizeof *sums), *expected = calloc((size_t)N, sizeof *expected);
    for (int64_t t = 0; t < p->shape.T; t++) {
        for (int64_t g = 0; g < kx_packed_groups(KX_I8, p->shape.K, p->shape.split); g++) {
            kx_packed_group at = kx_packed_group_at(KX_I8, p->shape.K, p->shape.split, g);
            const uint8_t *a =
                (uint8_t *)p->operand.data + at.plane * p->operand.plane_bytes + t * KX_PLANE_BYTES;
            for (int64_t n = 0; n < N; n++) {
                int32_t sum = test_exact_sum(at.planes, a, p->operand.plane_bytes,
                                             (const int8_t *)test_packed_block(&p->packed, n, &at),
                                             n % KX_PACKED_COLUMNS);
                float value = (float)sum * p->packed.scales[g * padded + n] *
                              p->operand.scales[g * p->operand.scale_stride + t];
                sums[n] = g == 0 ? value : sums[n] + value;
            }
        }
        memcpy(expected, kx_tensor_f32(before) + t * before->stride, (size_t)N * sizeof(float));
        set->epilogue(KX_EPILOGUE_GATED_ADD, N, sums, p->linear.bias, p->gate, expected);
        if (memcmp(expected, kx_tensor_f32(&p->gated) + t * p->gated.stride, (size_t)N * sizeof(float)) != 0)
            fail_msg("%s: row %lld of an int8 product is not of exact sums", set->name, (long long)t);
    }
    free(sums);
    free(expected);
}

static void one_product(const kx_kernels *set, test_random *random, kx_dtype dtype, product_shape s)
{
    float *bias = random_floats(random, s.N), *gate = random_floats(random, s.N);
    kx_dtype files[] = {s.K % 2 == 0 ? KX_F32 : KX_BF16, KX_F16};
    product given = {.shape = s, .dtype = dtype, .gate = gate};
    given.linear = (kx_linear){
        .weight = test_weight(random, 2, (int64_t[]){s.N, s.K}, files, s.N > 32 ? 2 : 1, s.N > 32),
        .bias = s.N == 40 ? NULL : bias,
        .split = s.split};
    given.x = test_tensor(random, s.T, s.K, 3);
    given.gated = test_tensor(random, s.T, s.N, 5);
    for (int64_t k = 0; s.T > 4 && k < s.K; k++) kx_tensor_f32(&given.x)[3 * given.x.stride + k] *= 1e-37f;
    product first = run_product(set, 1, &given), plain = run_product(portable(), 1, &given);
    check_packing(set->name, &first);
    check_operand(set->name, &first);
    check_products(set->name, &first, &given.gated);
    if (dtype == KX_I8) check_int8_bits(set, &first, &given.gated);
    test_operand_check_equal(&first.next, &first.wanted, 0);
    test_packed_check_equal(&first.packed, &plain.packed);
    for (size_t threads = 2; threads <= 3; threads++) {
        product again = run_product(set, threads, &given);
        same_results(&again, &first);
        free_results(&again);
    }
    free_results(&first);
    free_results(&plain);
    test_tensor_free(&given.gated);
    test_tensor_free(&given.x);
    test_weight_free(&given.linear.weight);
    test_guarded_free(bias);
    test_guarded_free(gate);
}

/* A product whose result goes past the caches, and its halves, which do not. */
typedef struct large_product {
    kx_dtype dtype;
    kx_linear linear;
    kx_tensor x, operand, y, halves;
} large_product;

static void call_large_product(kx_ops *ops, void *arguments)
{
    large_product *p = arguments;
    int64_t half = p->y.rows / 2;
    kx_epilogue store = KX_EPILOGUE_STORE;
    assert_true(kx_driver_goes_past(ops->kernels, store, &p->y) == (ops->kernels->store_past != NULL));
    ops->precision = kx_precision_of(p->dtype);
    kx_op_pack(ops, &p->linear.weight, (kx_packed *)p->linear.packed);
    kx_op_quantise(ops, &p->x, &p->operand);
    kx_op_linear(ops, &p->operand, &p->linear, store, NULL, &p->y);
    for (int64_t first = 0; first < p->y.rows; first += half) {
        kx_tensor rows = kx_tensor_rows(&p->operand, first, half),
                  to = kx_tensor_rows(&p->halves, first, half);
        assert_false(kx_driver_goes_past(ops->kernels, store, &to));
        kx_op_linear(ops, &rows, &p->linear, store, NULL, &to);
    }
}

static void every_large_product(const kx_kernels *set)
{
    enum { T = 2100, K = 8, N = 4096 }; /* 33 MiB */
    test_random random = {9};
    large_product p = {.dtype = KX_BF16};
    kx_packed packed = test_packed(p.dtype, N, K, 0);
    float *bias = random_floats(&random, N);
    p.linear =
        (kx_linear){.weight = test_weight(&random, 2, (int64_t[]){N, K}, (kx_dtype[]){KX_F32}, 1, false),
                    .packed = &packed,
                    .bias = bias};
    p.x = test_tensor(&random, T, K, 0);
    p.operand = test_operand(kx_operand_dtype(kx_precision_of(p.dtype)), T, K, 0);
    p.y = test_tensor(&random, T, N, 0);
    p.halves = test_tensor(&random, T, N, 0);
    test_run_op(set, 2, call_large_product, &p);
    assert_memory_equal(p.y.data, p.halves.data, (size_t)T * N * sizeof(float));
    test_tensor_check(&p.y, "large product");
    test_weight_free(&p.linear.weight);
    test_guarded_free(bias);
    test_packed_free(&packed);
    test_operand_free(&p.operand);
    test_tensor_free(&p.x);
    test_tensor_free(&p.y);
    test_tensor_free(&p.halves);
}

static void a_result_past_the_caches_is_that_of_its_halves(void **state)
{
    (void)state;
    test_every_set(every_large_product);
}

/* Less and more than a plane, a group, a tile of any set, and a chunk, and parts that begin anywhere. */
static void every_product(const kx_kernels *set)
{
    test_random random = {3};
    static const product_shape shapes[] = {
        {1, 1, 1, 0},     {5, 64, 16, 0},   {13, 65, 17, 0},    {7, 512, 40, 0},     {30, 513, 33, 0},
        {9, 700, 270, 0}, {14, 60, 530, 0}, {14, 960, 36, 192}, {11, 1200, 48, 600}, {110, 70, 300, 33}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int dtype = 0; dtype < 2; dtype++)
            one_product(set, &random, dtype == 0 ? KX_I8 : KX_BF16, shapes[i]);
}

static void products_are_those_of_their_bytes_for_any_threads(void **state)
{
    (void)state;
    test_every_set(every_product);
    every_product(test_amx_emulated());
}

/* Columns of x that outshine the others must not take the steps of int8 from them. */
static void every_loud_product(const kx_kernels *set)
{
    enum { T = 6, K = 1024, N = 32, LOUD = 8 };
    test_random random = {7};
    float *none = test_guarded(N);
    for (int64_t n = 0; n < N; n++) none[n] = 0;
    product given = {.shape = {T, K, N, 0}, .dtype = KX_I8, .gate = none};
    given.linear.weight = test_weight(&random, 2, (int64_t[]){N, K}, (kx_dtype[]){KX_F32}, 1, false);
    given.x = test_tensor(&random, T, K, 0);
    given.gated = test_tensor(&random, T, N, 0);
    for (int64_t t = 0; t < T; t++)
        for (int64_t i = 0; i < LOUD; i++) kx_tensor_f32(&given.x)[t * K + i * (K / LOUD)] *= 30;
    product p = run_product(set, 1, &given);
    double *x = values_of(&p, false), *w = values_of(&p, true), error = 0, size = 0;
    for (int64_t t = 0; t < T; t++)
        for (int64_t n = 0; n < N; n++) {
            double exact = 0, rounded = 0;
            for (int64_t k = 0; k < K; k++) {
                exact += (double)test_at(&given.x, t, k) * (double)test_weight_at(&given.linear.weight, n, k);
                rounded += x[t * K + k] * w[n * K + k];
            }
            error += (rounded - exact) * (rounded - exact);
            size += exact * exact;
        }
    if (!(sqrt(error / size) < 0.015)) fail_msg("%s: relative error %.3g", set->name, sqrt(error / size));
    free(x);
    free(w);
    free_results(&p);
    test_tensor_free(&given.gated);
    test_tensor_free(&given.x);
    test_weight_free(&given.linear.weight);
    test_guarded_free(none);
}

static void loud_columns_leave_int8_its_precision(void **state)
{
    (void)state;
    test_every_set(every_loud_product);
}

typedef struct norm_case {
    kx_tensor x, plain, operand, wanted;
    const float *shift, *scale;
} norm_case;

static void call_norm(kx_ops *ops, void *arguments)
{
    norm_case *c = arguments;
    ops->precision = KX_PRECISION_INT8;
    kx_op_norm_modulate(ops, &c->x, c->shift, c->scale, 1e-6f, &c->operand);
    kx_op_norm_modulate(ops, &c->x, c->shift, c->scale, 1e-6f, &c->plain);
    kx_op_quantise(ops, &c->plain, &c->wanted);
}

/* The operand of a norm is the quantised f32 norm; a NaN of x reaches the row's scales, and no other row. */
static void every_norm(const kx_kernels *set)
{
    enum { T = 7, K = 600, BAD = 3 };
    test_random random = {4};
    float *shift = random_floats(&random, K), *scale = random_floats(&random, K);
    norm_case c = {.x = test_tensor(&random, T, K, 1),
                   .plain = test_tensor(&random, T, K, 2),
                   .operand = test_operand(KX_U8, T, K, 0),
                   .wanted = test_operand(KX_U8, T, K, 0),
                   .shift = shift,
                   .scale = scale};
    kx_tensor_f32(&c.x)[BAD * c.x.stride + 5] = NAN;
    test_run_op(set, 2, call_norm, &c);
    test_operand_check_guards(&c.operand, 0, "operand of a norm");
    test_operand_check_equal(&c.operand, &c.wanted, 0);
    for (int64_t t = 0; t < T; t++)
        for (int64_t g = 0; g < kx_groups_of(KX_U8, K); g++) {
            test_row_group group = test_operand_group(&c.operand, 0, t, g);
            float rotated[TEST_GROUP_MOST];
            test_rotated(KX_U8, group.count,
                         kx_tensor_f32(&c.plain) + t * c.plain.stride + g * kx_group_values(KX_U8), rotated);
            test_row_group_check(&group, rotated, set->name);
            assert_true(isnan(group.scale) == (t == BAD));
        }
    test_guarded_free(shift);
    test_guarded_free(scale);
    test_tensor_free(&c.x);
    test_tensor_free(&c.plain);
    test_operand_free(&c.operand);
    test_operand_free(&c.wanted);
}

static void a_norm_writes_operands(void **state)
{
    (void)state;
    test_every_set(every_norm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiles_are_the_sums_of_their_bytes),
        cmocka_unit_test(tiles_that_loop_are_the_sums_of_their_bytes),
        cmocka_unit_test(the_largest_sums_do_not_saturate),
        cmocka_unit_test(groups_are_quantised_to_the_nearest_step),
        cmocka_unit_test(products_are_those_of_their_bytes_for_any_threads),
        cmocka_unit_test(a_result_past_the_caches_is_that_of_its_halves),
        cmocka_unit_test(loud_columns_leave_int8_its_precision),
        cmocka_unit_test(a_norm_writes_operands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

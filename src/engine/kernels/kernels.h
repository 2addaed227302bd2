/* The table of kernels: the inner loops that ops.h is computed with.
 *
 *     const kx_kernels *kernels = NULL;
 *     KX_TRY(kx_kernels_choose("auto", &kernels, err));    // what this processor can do, found at run time
 *     kx_ops ops = {.kernels = kernels, .pool = pool, .scratch = &scratch};
 *
 * There is one constant table for each instruction set. portable/ is the definition; every entry of another
 * set is tested against it, or with it against the formula. Kernels know nothing of threads, tensors or
 * files: addresses, counts and strides (in elements) come in, and nothing beyond them is read or written.
 * They never allocate. What they do is deterministic: an element of the result depends on its own operands
 * only, never on its place in a block; so the drivers (ops_*.c) are free to cut the work as the number of
 * threads suggests.
 *
 * Sets of one family share their f32 entries, so f32 results are the same bytes on avx512, avx512vnni,
 * avx512bf16 and amx; int8 sums are the same on every set.
 */
#pragma once

#include "base/error.h"
#include "engine/tensor/dtype.h"
#include "engine/tensor/ops.h"

enum {
    KX_DOT_ROWS_MAX = 8,    /* rows of x that `dots` takes */
    KX_HADAMARD_MAX = 512,  /* values that `hadamard` takes: a group of int8 */
    KX_SUM_ROWS = 32,       /* what the rows of a call of sum_bf16 are a multiple of */
    KX_STORE_CHANNELS = 32, /* of one call of store_pixels */
    KX_SOFTEN_ROWS = 32,    /* of one call of soften */
    KX_ATTEND_KEYS = 256,   /* of one call of attend */
    KX_ATTEND_ROWS = 16,    /* what the rows of such a call are a multiple of */
    KX_ATTEND_SCRATCH = 2 * KX_ATTEND_ROWS * 64 * 4, /* bytes: scores of twice 16 rows and 64 keys */
    KX_WINOGRAD_POINTS = 8,                          /* a tile has 8 x 8 inputs */
    KX_WINOGRAD_OUTPUTS = 6,                         /* and 6 x 6 outputs of a 3 x 3 convolution */
};

/* A group whose largest value is less counts as zeros: 127 / x must not be infinite. */
#define KX_QUANTISE_LEAST 1e-36f

/* See attend. */
#define KX_ATTEND_SUM_MOST 1e30f

/* The most that one call of a packed tile takes. */
typedef struct kx_tile_limit {
    int64_t rows, blocks;
} kx_tile_limit;

/* +1 or -1: the Rudin-Shapiro sequence, whose Hadamard spectrum has no peak. So the mean of a row, like any
 * sum of it that Hadamard's matrix would gather in one place, is spread evenly. */
extern const float kx_hadamard_signs[KX_HADAMARD_MAX];

/* A streaming softmax of some rows, at most KX_SOFTEN_ROWS: what they carry from one block of keys to the
 * next, and what a block does to each. What was summed so far takes `factor`. In int8, with d (n) the sum
 * over the block's keys of the values that its bytes stand for,
 *
 *     sums = factor sums + share d + scale (the sum over the keys of (byte - 128) times the values) */
typedef struct kx_soften_rows {
    float *max, *sum;     /* read and written */
    float *factor;        /* written */
    float *share, *scale; /* written, by soften_i8 alone */
} kx_soften_rows;

/* The sum of some products in bf16: for each term t an operand (rows, planes) at a[t], its planes a_plane
 * bytes apart, and a matrix whose blocks of 16 columns lie b_block bytes apart, in each plane 0 of all terms
 * (tensor/packed.h), then plane 1, and so on. Operands of the first `pairs` terms are sums of two, the second
 * a_part bytes behind the first. */
typedef struct kx_tile_terms {
    int64_t terms, planes, pairs;
    const uint8_t *const *a;
    int64_t a_plane, a_part;
    const uint8_t *b;
    int64_t b_block;
} kx_tile_terms;

/* Some rows of a head's queries against one block of its keys and values, in bf16, packed as
 * ops_attention_packed.c packs them:
 *
 *     weights = exp(q . k - reference);  sums += weights . values;  parts += weights
 *
 * Rows are a multiple of KX_ATTEND_ROWS; those that nobody needs are zeros. */
typedef struct kx_attend {
    int64_t rows, count; /* count: keys of the block, at most KX_ATTEND_KEYS */
    int64_t planes;      /* of a query and a key */
    int64_t blocks;      /* of 16 columns of the values */
    const uint8_t *q, *k, *v;
    int64_t q_plane;
    float *reference; /* (rows): of the first block of keys, the largest score of the first few; else read */
    float *parts;     /* (rows, 16): the row's sum of weights is the sum of these */
    float *sums;      /* (rows, 16 blocks) */
    uint8_t *weights; /* scratch: planes of 32 keys, in which rows lie 64 bytes apart */
    int64_t weights_plane;
    uint8_t *scratch;               /* KX_ATTEND_SCRATCH bytes, at a multiple of 64 */
    bool first;                     /* the first block of keys */
    const uint8_t *next_k, *next_v; /* the next block of keys, which is asked for meanwhile */
    int64_t next_bytes;             /* of either; 0 where there is none */
} kx_attend;

/* Values of some pixels and channels, on their way from sum_bf16 to the map that they belong to. */
typedef struct kx_store_pixels {
    int64_t pixels, n; /* n: channels, at most KX_STORE_CHANNELS */
    const float *r;    /* (pixels, n) */
    int64_t r_stride;
    const float *bias; /* (n), or NULL */
    float *y;          /* (pixels, n) */
    int64_t y_stride;
    bool add;  /* y += r + bias, else y = r + bias */
    bool past; /* see store_past; not with `add` */
    /* NULL, or sums += y - middle and squares += (y - middle)^2 over the pixels, (n), in f32 first. */
    const float *middle;
    double *sums, *squares;
} kx_store_pixels;

typedef struct kx_kernels {
    const char *name;

    /* ---- Products -----------------------------------------------------------------------------------------
     * A *panel* holds `width` columns of the right matrix for `depth` steps of the sum: b[k*width + j]. width
     * is a multiple of `lanes`, at most tile_cols; missing columns are zeros. */
    int64_t lanes;
    int64_t tile_rows, tile_cols; /* most rows and columns of one call of `tile` */
    int64_t depth_block; /* the sum over K is taken in blocks of this many, each from zero, added in order */
    int64_t copy_rows;   /* rows of the left matrix that are copied together */
    int64_t block_cols;  /* columns that one worker packs at a time: block_cols x depth_block stays in L2 */

    /* a (rows, depth), b a panel of `width` -> c (rows, width): c = a b, or c += a b. */
    void (*tile)(int64_t rows, int64_t width, int64_t depth, const float *a, int64_t a_stride, const float *b,
                 bool add, float *c, int64_t c_stride);
    /* x (rows, depth), rows <= lanes -> y[k*y_stride + r] = x[r*x_stride + k], bits as they are; zeros for
     * rows <= r < lanes. */
    void (*transpose)(int64_t rows, int64_t depth, const float *x, int64_t x_stride, float *y,
                      int64_t y_stride);
    /* `count` elements of a weight type, at any address -> y = scale * value. */
    void (*widen)(kx_dtype dtype, const void *x, int64_t count, float scale, float *y);
    /* w (n), x (rows, n), rows <= KX_DOT_ROWS_MAX -> y[r] += w . x[r]. */
    void (*dots)(int64_t rows, int64_t n, const float *w, const float *x, int64_t x_stride, float *y);

    /* ---- Packed products ----------------------------------------------------------------------------------
     * Layouts: tensor/packed.h. A call is one group of a sum: `planes` planes, at most KX_GROUP_PLANES, of
     * some rows of the operand, the planes a_plane bytes apart, against some blocks of 16 columns of y,
     * b_block bytes apart -> c (rows, 16 blocks): c = r, or c += r. */
    kx_tile_limit tile_i8_limit, tile_bf16_limit;
    /* A call may have any number of rows and blocks: the tiles loop over them, and the limits are what they
     * compute together. */
    bool tiles_loop;
    /* They loop, and a c_stride of 32 means panels, which is faster: pairs of blocks of c lie one behind the
     * other, each (rows, 32). */
    bool panels;
    /* Both NULL, or what a thread calls before some packed tiles and after them (AMX keeps its tiles by
     * thread). Other kernels may be called in between. */
    void (*enter_tiles)(void);
    void (*leave_tiles)(void);
    /* r = a_scale[row] * b_scale[column] * (float)(sum of (a - 128) b); the sum is exact. No byte of a is 0.
     * b_sum[column] is -128 times the sum of the column's b, for sets that multiply a as it is. */
    void (*tile_i8)(int64_t rows, int64_t blocks, int64_t planes, const uint8_t *a, int64_t a_plane,
                    const int8_t *b, int64_t b_block, const float *a_scale, const float *b_scale,
                    const int32_t *b_sum, bool add, float *c, int64_t c_stride);
    /* r = the sum of a b in f32; subnormal values may count as 0. */
    void (*tile_bf16)(int64_t rows, int64_t blocks, int64_t planes, const uint16_t *a, int64_t a_plane,
                      const uint16_t *b, int64_t b_block, bool add, float *c, int64_t c_stride);
    /* NULL, or the sum r of some products of bf16 -> c (rows, 16 blocks): c = r, or c += r. Rows are a
     * multiple of KX_SUM_ROWS. Where a set has it, a convolution takes less time by it than by Winograd's way
     * in f32, and attention in three products of bf16 less than in one of f32. */
    void (*sum_bf16)(int64_t rows, int64_t blocks, const kx_tile_terms *terms, bool add, float *c,
                     int64_t c_stride);
    /* x (n), n <= 512: one row's group -> y: its planes, y_plane bytes apart, filled up with zeros (128).
     * *scale = max |x| / 127, y = round(127 x / max |x|) + 128, to even; no byte is 0. All 128, and a scale
     * of 0, where max |x| < KX_QUANTISE_LEAST; all 128, and a scale of NaN, where a NaN or infinity is among
     * x, so that it is not lost. */
    void (*quantise)(int64_t n, const float *x, uint8_t *y, int64_t y_plane, float *scale);
    /* x (n), n a power of two, at most KX_HADAMARD_MAX -> y = H (x signs): Hadamard's matrix H[i][k] = -1 to
     * the number of ones in i & k, and kx_hadamard_signs. Sums of two, in the same order on every set: the
     * same bytes. */
    void (*hadamard)(int64_t n, const float *x, float *y);
    /* x (n), n <= 256: one row's group -> y: its planes, rounded to bf16 (to nearest even), filled up with
     * zeros. A NaN stays one. */
    void (*narrow)(int64_t n, const float *x, uint16_t *y, int64_t y_plane);

    /* Operands and results of sum_bf16; where that is NULL, these two may be. x (n) -> scale x + shift, then
     * SiLU if `silu` (see affine), rounded to bf16 (to nearest even) -> y: its planes, y_plane bytes apart,
     * filled up with zeros; and, where `rest` is not NULL, what rounding took away, rounded, there in the
     * same way. scale, shift (n), or both NULL. Subnormal values may count as 0. */
    void (*affine_bf16)(int64_t n, const float *x, const float *scale, const float *shift, bool silu,
                        uint16_t *y, uint16_t *rest, int64_t y_plane);
    void (*store_pixels)(const kx_store_pixels *call);

    /* ---- Rows of n values ----------------------------------------------------------------------------- */

    /* r (n), bias, gate (n) or NULL -> y (n); see kx_epilogue. y may be r. */
    void (*epilogue)(kx_epilogue epilogue, int64_t n, const float *r, const float *bias, const float *gate,
                     float *y);
    /* NULL, or KX_EPILOGUE_STORE for results that are larger than the caches: y, which is not r, goes past
     * them, so that they are not emptied for it, and what y held is not read first. */
    void (*store_past)(int64_t n, const float *r, const float *bias, float *y);
    /* y = factor x. y may be x. */
    void (*scale)(int64_t n, const float *x, float factor, float *y);
    /* y = factor y + share x. */
    void (*blend)(int64_t n, const float *x, float share, float factor, float *y);
    /* y = scale x + shift, then SiLU if `silu`. scale, shift (n), or both NULL. y may be x. */
    void (*affine)(int64_t n, const float *x, const float *scale, const float *shift, bool silu, float *y);
    /* y = (mul + mul_offset) (x - mean) / sqrt(variance + eps) + add. mul, add (n). y may be x. */
    void (*layer_norm)(int64_t n, const float *x, float eps, const float *mul, float mul_offset,
                       const float *add, float *y);
    /* y = weight x / sqrt(mean(x^2) + eps). y may be x. */
    void (*rms_norm)(int64_t n, const float *x, float eps, const float *weight, float *y);
    /* x (n), n even, in place: RMS norm with scale (n), then rotation of adjacent pairs. cosines, sines
     * (n/2). */
    void (*head_norm_rope)(int64_t n, float *x, float eps, const float *scale, const float *cosines,
                           const float *sines);
    /* One block of a streaming softmax. s (n) -> exp(s - m), m = max(*max, s); *max = m; *sum is scaled to
     * the new maximum and grows by what was written. Returns exp(old max - m), the factor for what was summed
     * so far. */
    float (*softmax)(int64_t n, float *s, float *max, float *sum);
    /* The same for s (rows, n), with exp(s - m) rounded to bf16 (half up) -> rows of p, 64 bytes apart:
     * ceil(n/32) planes, p_plane bytes apart, filled up with zeros. The exponentials are within 2e-4 of the
     * value before they are rounded (or below 2^-126), and a row's sum grows by them as they are then. */
    void (*soften)(int64_t rows, int64_t n, const float *s, int64_t s_stride, const kx_soften_rows *state,
                   uint16_t *p, int64_t p_plane);
    /* The same in int8. t = max s of a row; round(254 exp(s - t)) + 1 -> p: ceil(n/64) planes, p_plane bytes
     * apart, filled up with ones, which stand for 0. The sum grows by exp(s - m) as they are before they are
     * rounded; what rounding takes from all of them together, `share` spreads over them evenly, so that
     * weights always add up to the sum. */
    void (*soften_i8)(int64_t rows, int64_t n, const float *s, int64_t s_stride, const kx_soften_rows *state,
                      uint8_t *p, int64_t p_plane);
    /* NULL, or all that a block of keys does to some rows of attention, for sets whose products leave the
     * units of the softmax idle. It is called where packed tiles may be, and is so much faster than int8 by
     * these parts that attention is in bf16 wherever it may be in int8.
     *
     * The reference is not the maximum: weights may be larger than 1, and overflow where a score is above it
     * by more than 88. So a row is right only if its sum is less than KX_ATTEND_SUM_MOST; any other one has
     * to be computed in another way. */
    void (*attend)(const kx_attend *call);
    /* x (rows, n) -> sums (n) += x, or += (x - mean)^2 when mean (n) is given. */
    void (*column_sums)(int64_t rows, int64_t n, const float *x, int64_t x_stride, const double *mean,
                        double *sums);
    /* No NaN and no infinity among x (n). */
    bool (*all_finite)(int64_t n, const float *x);

    /* ---- Winograd's convolution F(6x6, 3x3) --------------------------------------------------------------
     * y = A^T [(G g G^T) * (B^T x B)] A for each channel pair, * by element: 64 products for 36 outputs,
     * where the sum takes 324. Channels are n adjacent floats. */

    /* g [3][3][n] -> u[f*u_stride + c], f < 64: G g G^T. */
    void (*winograd_weights)(int64_t n, const float *g, float *u, int64_t u_stride);
    /* x[i*row_stride + j*col_stride + c], i, j < 8 -> v[f*v_stride + c], f < 64: B^T x B. */
    void (*winograd_input)(int64_t n, const float *x, int64_t row_stride, int64_t col_stride, float *v,
                           int64_t v_stride);
    /* m[f*m_stride + c], f < 64, bias (n) or NULL -> y[i*row_stride + j*col_stride + c], i, j < 6:
     * A^T m A + bias, added to y when `add`. */
    void (*winograd_output)(int64_t n, const float *m, int64_t m_stride, const float *bias, bool add,
                            float *y, int64_t row_stride, int64_t col_stride);
} kx_kernels;

/* limit: NULL or "auto" for the last set of kx_kernel_sets that is supported and preferred, or a set's name:
 * "portable"; "avx2", "avxvnni", "avx512", "avx512vnni", "avx512bf16", "amx"; "neon", "dotprod", "i8mm".
 * Errors: KX_ERR_INPUT, for an unknown name and for a set that the processor (or the system) lacks. */
kx_status kx_kernels_choose(const char *limit, const kx_kernels **kernels, kx_error *err);

/* What choose picks from: the sets of this architecture, the plainest first. */
typedef struct kx_kernel_set {
    const kx_kernels *kernels;
    bool (*supported)(void);
    bool (*preferred)(void); /* over those before it, where it is supported */
} kx_kernel_set;
extern const kx_kernel_set kx_kernel_sets[];
extern const size_t kx_kernel_set_count;

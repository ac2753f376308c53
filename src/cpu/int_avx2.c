/* int_avx2.c -- integer products with AVX2.
 *
 * vpmaddubsw multiplies unsigned bytes with signed ones and adds pairs into 16 bits, which must
 * not overflow. Decode: a row is brought to int8 by its codec, a slice at a time; the sign of
 * the weight is moved to the activation, and 128 * 127 * 2 still fits. Also the way of the
 * dtypes that have no decode kernel of their own on newer machines.
 * Prefill: activations have 128 added, weights of at most six bits are signed and centred, so
 * that two, four or eight pairs fit 16 bits before they are widened. Panels are 32 rows, turned
 * so that a register holds four values of k for 8 rows. Q8_0 and IQ4 have too wide values for
 * this: they go the f32 way. */
#include <immintrin.h>

#include "cpu/codec.h"
#include "cpu/crowd.h"

#define SLICE 256
#define INLINE static inline __attribute__((always_inline))

/* ---- the column: s8 q[k], f32 d[k/32], f32 d*sum[k/32] --------------------------------------- */

static size_t act_bytes(int k)
{
    return (size_t)k + (size_t)k / 32 * 8;
}

INLINE float total(__m256 v)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

static void act_fill(void *dst, const float *x, int k)
{
    int8_t *q = dst;
    float *d = (float *)(void *)(q + k), *ds = d + k / 32;
    for (int b = 0; b < k / 32; b++) {
        int sum;
        d[b] = crowd_quantise(q + 32 * b, x + 32 * b, &sum);
        ds[b] = d[b] * (float)sum;
    }
}

static const struct act_form act = { act_bytes, act_fill };

/* ---- rows ------------------------------------------------------------------------------------ */

INLINE __m256 times(const int8_t *q, const int8_t *x) /* eight sums of four products */
{
    __m256i w = _mm256_loadu_si256((const void *)q), v = _mm256_loadu_si256((const void *)x);
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(v, w));
    return _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

struct slice { int8_t q[SLICE]; float scale[SLICE / 16], min[SLICE / 32]; };
struct sums { __m256 sum; float low; }; /* of one column; low: what the minima add */

/* Adds the products of a slice, at values [at, at + n) of a column of k. */
INLINE void slice_dot(struct sums *o, const struct slice *s, const struct codec *c, const int8_t *x,
                      int k, int at, int n)
{
    const float *d = (const float *)(const void *)(x + k) + at / 32, *ds = d + k / 32;
    x += at;
    for (int b = 0; b < n / 32; b++, x += 32) {
        __m256 scale = c->group == 32 ? _mm256_set1_ps(s->scale[b])
                                      : _mm256_set_m128(_mm_set1_ps(s->scale[2 * b + 1]),
                                                        _mm_set1_ps(s->scale[2 * b]));
        o->sum = _mm256_fmadd_ps(times(s->q + 32 * b, x),
                                 _mm256_mul_ps(scale, _mm256_set1_ps(d[b])), o->sum);
        if (c->has_min) o->low += s->min[b] * ds[b];
    }
}

/* One row against up to COLS columns; its codec runs once. */
#define COLS 8
INLINE void row_dot(float *y, size_t ldy, const uint8_t *src, const struct dtype_info *t,
                    const struct codec *c, const int8_t *x, size_t ldx, int n_col, int k)
{
    struct slice s;
    struct sums o[COLS];
    for (int i = 0; i < n_col; i++) o[i] = (struct sums){ _mm256_setzero_ps(), 0 };
    for (int at = 0; at < k; at += SLICE, src += SLICE / t->block * t->bytes) {
        int n = MIN(SLICE, k - at);
        c->row(src, s.q, s.scale, s.min, n);
        for (int i = 0; i < n_col; i++) slice_dot(&o[i], &s, c, x + i * ldx, k, at, n);
    }
    for (int i = 0; i < n_col; i++) y[i * ldy] = total(o[i].sum) + o[i].low;
}

#define ROWS(t, dt)                                                                                \
    static void rows_##t(float *y, size_t ldy, const struct mat *w, const void *x, size_t ldx,     \
                         int n, int r0, int r1, float *row)                                        \
    {                                                                                              \
        for (int r = r0; r < r1; r++)                                                              \
            for (int i = 0; i < n; i += COLS)                                                      \
                row_dot(y + i * ldy + r, ldy, (const uint8_t *)w->data + (size_t)r * w->row_bytes, \
                        dtype_info(dt), &codecs[dt], (const int8_t *)x + i * ldx, ldx,             \
                        MIN(COLS, n - i), w->n_in);                                                \
    }
#define EACH(X) \
    X(q8_0, DT_Q8_0) X(q4_0, DT_Q4_0) X(q4_1, DT_Q4_1) X(q5_0, DT_Q5_0) X(q5_1, DT_Q5_1) \
    X(q4_k, DT_Q4_K) X(q5_k, DT_Q5_K) X(q6_k, DT_Q6_K) X(q3_k, DT_Q3_K) X(iq4_nl, DT_IQ4_NL) \
    X(iq4_xs, DT_IQ4_XS) X(mxfp4, DT_MXFP4)
EACH(ROWS)

/* ---- prefill: panels ------------------------------------------------------------------------- */

/* The decode column with 128 added to every value. */
static void pre_fill(void *dst, const float *x, int k)
{
    uint8_t *q = dst;
    act_fill(dst, x, k);
    for (int i = 0; i < k; i++) q[i] ^= 0x80;
}

static const struct act_form act_pre = { act_bytes, pre_fill };

/* Per 32 values of k: q [4 x 8 rows][8][4 values]; per group: start [32], scale [32]; min [32]. */
static size_t block_bytes(const struct codec *c)
{
    return 1024 + (size_t)(32 / c->group) * 256 + (c->has_min ? 128 : 0);
}

/* Row r of a panel block from 32 values: `centre` is taken off the values and given to the
 * minimum. */
INLINE void panel_row(char *block, const struct slice *s, int b, int r, int group, bool has_min,
                      int centre)
{
    char *tail = block + 1024;
    int8_t q[32];
    for (int i = 0; i < 32; i++) q[i] = (int8_t)(s->q[32 * b + i] - centre);
    for (int j = 0; j < 8; j++) memcpy(block + r / 8 * 256 + j * 32 + r % 8 * 4, q + 4 * j, 4);
    /* Sums of eight as four 64-bit numbers: with 128 added the bytes are unsigned. */
    __m256i v = _mm256_xor_si256(_mm256_loadu_si256((const void *)q), _mm256_set1_epi8((char)0x80));
    int64_t eight[4];
    _mm256_storeu_si256((__m256i *)eight, _mm256_sad_epu8(v, _mm256_setzero_si256()));
    for (int g = 0; g < 32 / group; g++, tail += 256) {
        int64_t sum =
            eight[2 * g] + eight[2 * g + 1] + (group == 32 ? eight[2] + eight[3] : 0) - 128 * group;
        ((int32_t *)(void *)tail)[r] = (int32_t)(-128 * sum);
        ((float *)(void *)(tail + 128))[r] = s->scale[32 / group * b + g];
    }
    if (has_min) ((float *)(void *)tail)[r] = s->min[b] + (float)centre * s->scale[b];
}

INLINE void panel_fill(void *panel, const struct mat *w, int r0, int n_row, const struct codec *c,
                       int group, bool has_min, int centre)
{
    const struct dtype_info *t = dtype_info(w->dtype);
    size_t step = block_bytes(c);
    struct slice s;
    if (n_row < PANEL_ROWS) memset(panel, 0, (size_t)w->n_in / 32 * step);
    for (int r = 0; r < n_row; r++) {
        const uint8_t *src = (const uint8_t *)w->data + (size_t)(r0 + r) * w->row_bytes;
        for (int k = 0; k < w->n_in; k += SLICE, src += SLICE / t->block * t->bytes) {
            int n = MIN(SLICE, w->n_in - k);
            c->row(src, s.q, s.scale, s.min, n);
            for (int b = 0; b < n / 32; b++)
                panel_row((char *)panel + (size_t)(k / 32 + b) * step, &s, b, r, group, has_min,
                          centre);
        }
    }
}

/* ---- prefill: tiles -------------------------------------------------------------------------- */

INLINE __m256i four(const uint8_t *p)
{
    int32_t v;
    memcpy(&v, p, sizeof v);
    return _mm256_set1_epi32(v);
}

/* Eight rows by the `per` steps of four values of a group: `fit` pairs are added in 16 bits,
 * then widened. */
INLINE __m256i group_dot(const char *w, const __m256i *x, __m256i start, int per, int fit)
{
#pragma GCC unroll 8
    for (int j = 0; j < per; j += fit) {
        __m256i a = _mm256_maddubs_epi16(x[j], _mm256_load_si256((const void *)(w + 32 * j)));
#pragma GCC unroll 8
        for (int f = 1; f < fit; f++)
            a = _mm256_add_epi16(
                a, _mm256_maddubs_epi16(x[j + f],
                                        _mm256_load_si256((const void *)(w + 32 * (j + f)))));
        start = _mm256_add_epi32(start, _mm256_madd_epi16(a, _mm256_set1_epi16(1)));
    }
    return start;
}

#define TILE_COLS 8
INLINE void tile_block(__m256 sum[4], const char *p, const uint8_t *x, float d, float ds, int group,
                       bool has_min, int fit)
{
    const char *tail = p + 1024;
    __m256i v[8];
    __m256 dx = _mm256_set1_ps(d);
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) v[j] = four(x + 4 * j);
#pragma GCC unroll 2
    for (int g = 0; g < 32 / group; g++, tail += 256)
#pragma GCC unroll 4
        for (int r = 0; r < 4; r++) {
            __m256i start = _mm256_load_si256((const void *)(tail + 32 * r));
            __m256i acc =
                group_dot(p + 256 * r + 8 * group * g, v + group / 4 * g, start, group / 4, fit);
            __m256 scale = _mm256_mul_ps(_mm256_load_ps((const void *)(tail + 128 + 32 * r)), dx);
            sum[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(acc), scale, sum[r]);
        }
    for (int r = 0; has_min && r < 4; r++)
        sum[r] = _mm256_fmadd_ps(_mm256_load_ps((const void *)(tail + 32 * r)), _mm256_set1_ps(ds),
                                 sum[r]);
}

/* Block by block, so that a block of the panel serves all columns from the first-level cache. */
INLINE void tile(float *y, size_t ldy, const char *p, const uint8_t *x, size_t ldx, int cols, int k,
                 int n_row, int group, bool has_min, int fit)
{
    __m256 sum[TILE_COLS][4];
    float out[PANEL_ROWS];
    size_t step = 1024 + (size_t)(32 / group) * 256 + (has_min ? 128 : 0);
    for (int t = 0; t < cols; t++)
        for (int r = 0; r < 4; r++) sum[t][r] = _mm256_setzero_ps();
    for (int b = 0; b < k / 32; b++, p += step)
        for (int t = 0; t < cols; t++) {
            const float *d = (const float *)(const void *)(x + t * ldx + k) + b;
            tile_block(sum[t], p, x + t * ldx + 32 * b, d[0], d[k / 32], group, has_min, fit);
        }
    for (int t = 0; t < cols; t++) {
        for (int r = 0; r < 4; r++) _mm256_storeu_ps(out + 8 * r, sum[t][r]);
        memcpy(y + t * ldy, out, (size_t)n_row * sizeof *y);
    }
}

/* The prefill kernels of one dtype: name, dtype, group, minimum, what is taken off the values,
 * pairs that fit. */
#define PREFILL(t, dt, group, has_min, centre, fit)                                                \
    static size_t panel_bytes_##t(int k)                                                           \
    {                                                                                              \
        return (size_t)k / 32 * block_bytes(&codecs[dt]);                                          \
    }                                                                                              \
    static void panel_##t(void *p, const struct mat *w, int r0, int n_row, float *row)             \
    {                                                                                              \
        panel_fill(p, w, r0, n_row, &codecs[dt], group, has_min, centre);                          \
    }                                                                                              \
    static void mul_##t(float *y, size_t ldy, const void *panel, const void *x, size_t ldx, int n, \
                        int k, int n_row)                                                          \
    {                                                                                              \
        for (int i = 0; i < n; i += TILE_COLS)                                                     \
            tile(y + i * ldy, ldy, panel, (const uint8_t *)x + i * ldx, ldx,                       \
                 MIN(TILE_COLS, n - i), k, n_row, group, has_min, fit);                            \
    }
#define EACH_PREFILL(X) \
    X(q4_0, DT_Q4_0, 32, false, 0, 8) X(q4_1, DT_Q4_1, 32, true, 8, 8) \
    X(q5_0, DT_Q5_0, 32, false, 0, 4) X(q5_1, DT_Q5_1, 32, true, 16, 4) \
    X(q4_k, DT_Q4_K, 32, true, 8, 8) X(q5_k, DT_Q5_K, 32, true, 16, 4) \
    X(q6_k, DT_Q6_K, 16, false, 0, 2) X(q3_k, DT_Q3_K, 16, false, 0, 4)
EACH_PREFILL(PREFILL)

void kern_int_avx2(struct kern *k)
{
#define SET(t, dt) k->decode[dt] = (struct decode){ &act, rows_##t };
    EACH(SET)
#define SET_PREFILL(t, dt, ...)                                                                    \
    k->prefill[dt] = (struct prefill){ &act_pre, panel_bytes_##t, panel_##t, mul_##t };
    EACH_PREFILL(SET_PREFILL)
}

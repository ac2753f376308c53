/* int_avx2.c -- integer products with AVX2: the rows of every quantised dtype, streamed for decode.
 *
 * A row is brought to int8 by its codec, a slice at a time, and multiplied 32 values at once:
 * vpmaddubsw wants one unsigned side, so the sign of the weight is moved to the activation; 128 * 127 * 2
 * still fits 16 bits. Also the way of the dtypes that have no kernel of their own on newer machines.
 * Prefill of these machines multiplies unpacked f32 panels (vec.c): with AVX2 that is as fast. */
#include <immintrin.h>

#include "cpu/codec.h"

#define SLICE 256
#define INLINE static inline __attribute__((always_inline))

/* ---- the column: s8 q[k], f32 d[k/32], f32 d*sum[k/32] ------------------------------------------------ */

static size_t act_bytes(int k)
{
    return (size_t)k + (size_t)k / 32 * 8;
}

INLINE float largest(__m256 v)
{
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

INLINE int total_int(__m256i v)
{
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

INLINE float total(__m256 v)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

/* 32 values to bytes; returns their scale, the sum of the bytes in *sum. */
INLINE float quantise(int8_t *q, const float *x, int *sum)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    __m256 v[4], most = _mm256_setzero_ps();
    __m256i i[4];
    for (int j = 0; j < 4; j++) {
        v[j] = _mm256_loadu_ps(x + 8 * j);
        most = _mm256_max_ps(most, _mm256_andnot_ps(sign, v[j]));
    }
    float m = largest(most);
    bool any = m > 1e-30f;                                            /* 127 / m must be finite */
    __m256 inv = _mm256_set1_ps(any ? 127 / m : 0);
    for (int j = 0; j < 4; j++) i[j] = _mm256_cvtps_epi32(_mm256_mul_ps(v[j], inv));
    *sum = total_int(_mm256_add_epi32(_mm256_add_epi32(i[0], i[1]), _mm256_add_epi32(i[2], i[3])));
    __m256i b = _mm256_packs_epi16(_mm256_packs_epi32(i[0], i[1]), _mm256_packs_epi32(i[2], i[3]));
    /* The packs work on halves of a register: put the groups of four back in order. */
    _mm256_storeu_si256((__m256i *)q, _mm256_permutevar8x32_epi32(b, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
    return any ? m / 127 : 0;
}

static void act_fill(void *dst, const float *x, int k)
{
    int8_t *q = dst;
    float *d = (float *)(void *)(q + k), *ds = d + k / 32;
    for (int b = 0; b < k / 32; b++) {
        int sum;
        d[b] = quantise(q + 32 * b, x + 32 * b, &sum);
        ds[b] = d[b] * (float)sum;
    }
}

static const struct act_form act = { act_bytes, act_fill };

/* ---- rows ---------------------------------------------------------------------------------------------- */

INLINE __m256 times(const int8_t *q, const int8_t *x)                 /* eight sums of four products */
{
    __m256i w = _mm256_loadu_si256((const void *)q), v = _mm256_loadu_si256((const void *)x);
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(v, w));
    return _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

struct slice { int8_t q[SLICE]; float scale[SLICE / 16], min[SLICE / 32]; };
struct sums { __m256 sum; float low; };                               /* of one column; low: what the minima add */

/* Adds the products of a slice, at values [at, at + n) of a column of k. */
INLINE void slice_dot(struct sums *o, const struct slice *s, const struct codec *c, const int8_t *x, int k, int at, int n)
{
    const float *d = (const float *)(const void *)(x + k) + at / 32, *ds = d + k / 32;
    x += at;
    for (int b = 0; b < n / 32; b++, x += 32) {
        __m256 scale = c->group == 32 ? _mm256_set1_ps(s->scale[b])
                                      : _mm256_set_m128(_mm_set1_ps(s->scale[2 * b + 1]), _mm_set1_ps(s->scale[2 * b]));
        o->sum = _mm256_fmadd_ps(times(s->q + 32 * b, x), _mm256_mul_ps(scale, _mm256_set1_ps(d[b])), o->sum);
        if (c->has_min) o->low += s->min[b] * ds[b];
    }
}

/* One row against up to COLS columns; its codec runs once. */
#define COLS 8
INLINE void row_dot(float *y, size_t ldy, const uint8_t *src, const struct dtype_info *t, const struct codec *c,
                    const int8_t *x, size_t ldx, int n_col, int k)
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

#define ROWS(t, dt) \
    static void rows_##t(float *y, size_t ldy, const struct mat *w, const void *x, size_t ldx, int n, int r0, int r1, float *row) \
    { \
        for (int r = r0; r < r1; r++) \
            for (int i = 0; i < n; i += COLS) \
                row_dot(y + i * ldy + r, ldy, (const uint8_t *)w->data + (size_t)r * w->row_bytes, dtype_info(dt), &codecs[dt], \
                        (const int8_t *)x + i * ldx, ldx, MIN(COLS, n - i), w->n_in); \
    }
#define EACH(X) X(q8_0, DT_Q8_0) X(q4_0, DT_Q4_0) X(q4_1, DT_Q4_1) X(q5_0, DT_Q5_0) X(q5_1, DT_Q5_1) X(q4_k, DT_Q4_K) \
                X(q5_k, DT_Q5_K) X(q6_k, DT_Q6_K) X(q3_k, DT_Q3_K) X(iq4_nl, DT_IQ4_NL) X(iq4_xs, DT_IQ4_XS)
EACH(ROWS)

void kern_int_avx2(struct kern *k)
{
#define SET(t, dt) k->decode[dt] = (struct decode){ &act, rows_##t };
    EACH(SET)
}

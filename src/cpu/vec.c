/* vec.c -- everything that is not an integer product, written once over vectors as wide as a
 * register and compiled once per instruction set (KERN names the table it fills).
 *
 * LANES is 16, 8 or 4: a wider vector than the machine has would live in memory. Instruction
 * sets differ in the order of their sums; within one, rows are independent in every function, so
 * a result never depends on which other rows were in the call. No -ffast-math: masks are -inf
 * and must stay so. */
#include <math.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "cpu/int.h"

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif
#define PAD 16 /* columns and heads are padded to this */
#define TILE_COLS 6 /* with two vectors of rows: 12 sums in registers */
typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t vint __attribute__((vector_size(4 * LANES)));
#define INLINE static inline __attribute__((always_inline))

INLINE vec load(const float *p)
{
    vec v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void store(float *p, vec v)
{
    memcpy(p, &v, sizeof v);
}

INLINE vec load_part(const float *p, int n)                           /* n < LANES, the rest zero */
{
    vec v = { 0 };
    memcpy(&v, p, (size_t)n * sizeof *p);
    return v;
}

INLINE vec all(float x)
{
    return x - (vec){ 0 };
}

/* a * b + c, rounded once where the machine can. Spelled out where c is a product itself: a compiler that may join
 * products and sums would choose which of the two it rounds, and choose differently for other numbers of rows. */
INLINE vec muladd(vec a, vec b, vec c)
{
#if defined(__AVX512F__)
    return (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX2__)
    return (vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
    return (vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
    return a * b + c;
#endif
}

/* v = f(v, its upper half) for halves, quarters, … of a vector: the same tree everywhere. */
#if LANES == 16
#define UPPER(v, ...) __builtin_shufflevector(v, v, __VA_ARGS__, 8, 9, 10, 11, 12, 13, 14, 15)
#define HALVE(v, f)                                                                                \
    v = f(v, UPPER(v, 8, 9, 10, 11, 12, 13, 14, 15)), v = f(v, UPPER(v, 4, 5, 6, 7, 4, 5, 6, 7)),  \
    v = f(v, UPPER(v, 2, 3, 2, 3, 2, 3, 2, 3)), v = f(v, UPPER(v, 1, 1, 1, 1, 1, 1, 1, 1))
#elif LANES == 8
#define UPPER(v, ...) __builtin_shufflevector(v, v, __VA_ARGS__, 4, 5, 6, 7)
#define HALVE(v, f)                                                                                \
    v = f(v, UPPER(v, 4, 5, 6, 7)), v = f(v, UPPER(v, 2, 3, 2, 3)), v = f(v, UPPER(v, 1, 1, 1, 1))
#else
#define UPPER(v, ...) __builtin_shufflevector(v, v, __VA_ARGS__, 2, 3)
#define HALVE(v, f) v = f(v, UPPER(v, 2, 3)), v = f(v, UPPER(v, 1, 1))
#endif

INLINE float sum(vec v)
{
#define PLUS(a, b) ((a) + (b))
    HALVE(v, PLUS);
    return v[0];
}

/* The second where they cannot be compared; spelled out, because the compiler makes several instructions of a
 * choice by lanes. */
#if defined(__AVX512F__)
INLINE vec larger(vec a, vec b) { return (vec)_mm512_max_ps((__m512)a, (__m512)b); }
INLINE vec smaller(vec a, vec b) { return (vec)_mm512_min_ps((__m512)a, (__m512)b); }
#elif defined(__AVX2__)
INLINE vec larger(vec a, vec b) { return (vec)_mm256_max_ps((__m256)a, (__m256)b); }
INLINE vec smaller(vec a, vec b) { return (vec)_mm256_min_ps((__m256)a, (__m256)b); }
#else
INLINE vec choose(vint mask, vec yes, vec no) { return (vec)(((vint)yes & mask) | ((vint)no & ~mask)); }
INLINE vec larger(vec a, vec b) { return choose(a > b, a, b); }
INLINE vec smaller(vec a, vec b) { return choose(a < b, a, b); }
#endif

INLINE float top(vec v)
{
    HALVE(v, larger);
    return v[0];
}

/* e^x to about two units in the last place: x = n ln 2 + r, a polynomial in r, n added to the
 * exponent. The magic constant leaves round(x / ln 2) in the low bits of the sum. */
INLINE vec exp_vec(vec x)
{
    const vec lo = all(-87.0f), hi = all(88.0f);
    vec inside = smaller(larger(x, lo), hi);
    vec t = inside * 1.44269504f + 12582912.0f, n = t - 12582912.0f;
    vec r = inside - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    vec p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    vec y = (vec)((vint)p + ((vint)t << 23));
    return (vec)((vint)y & ~(x < lo)); /* -inf, and what underflows: exactly 0 */
}

/* 2^x likewise: of attention, whose scores are powers of two. */
INLINE vec exp2_vec(vec x)
{
    vec inside = larger(x, all(-126.0f)), t = inside + 12582912.0f, r = inside - (t - 12582912.0f);
    vec p = r * 1.5345812e-4f + 1.3399931e-3f;
    p = p * r + 9.618489e-3f;
    p = p * r + 5.5503286e-2f;
    p = p * r + 0.24022646f;
    p = p * r + 0.69314718f;
    p = p * r + 1.0f;
    vec y = (vec)((vint)p + ((vint)t << 23));
    return (vec)((vint)y & ~(x < all(-126.0f)));
}

INLINE vec half_vec(const uint16_t *p)
{
#if defined(__AVX512F__)
    return (vec)_mm512_cvtph_ps(_mm256_loadu_si256((const void *)p));
#elif defined(__AVX2__)
    return (vec)_mm256_cvtph_ps(_mm_loadu_si128((const void *)p));
#elif defined(__aarch64__)
    return (vec)vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
#else
    uint16_t h[LANES];
    float a[LANES];
    memcpy(h, p, sizeof h);
    for (int i = 0; i < LANES; i++) a[i] = f16_to_f32(h[i]);
    return load(a);
#endif
}

INLINE vec bhalf_vec(const uint16_t *p)
{
#if defined(__AVX512F__)
    return (vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)p)), 16);
#elif defined(__AVX2__)
    return (vec)_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)p)), 16);
#elif defined(__aarch64__)
    return (vec)vshll_n_u16(vld1_u16(p), 16);
#else
    uint16_t h[LANES];
    float a[LANES];
    memcpy(h, p, sizeof h);
    for (int i = 0; i < LANES; i++) a[i] = bf16_to_f32(h[i]);
    return load(a);
#endif
}

INLINE vec byte_vec(const int8_t *p)
{
#if defined(__AVX512F__)
    return (vec)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)p)));
#elif defined(__AVX2__)
    return (vec)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)p)));
#else
    float a[LANES];
    for (int i = 0; i < LANES; i++) a[i] = p[i];
    return load(a);
#endif
}

/* Which lanes of a pair of vectors go into the lower and the upper of two when blocks of w are interleaved. */
#define LIST(...) __VA_ARGS__
#if LANES == 16
#define EACH_STEP(X)                                                                               \
    X(8, LIST(0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23),                             \
      LIST(8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31))                          \
    X(4, LIST(0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27),                           \
      LIST(4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31))                            \
    X(2, LIST(0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29),                           \
      LIST(2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31))                            \
    X(1, LIST(0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30),                          \
      LIST(1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31))
#elif LANES == 8
#define EACH_STEP(X)                                                                               \
    X(4, LIST(0, 1, 2, 3, 8, 9, 10, 11), LIST(4, 5, 6, 7, 12, 13, 14, 15))                         \
    X(2, LIST(0, 1, 8, 9, 4, 5, 12, 13), LIST(2, 3, 10, 11, 6, 7, 14, 15))                         \
    X(1, LIST(0, 8, 2, 10, 4, 12, 6, 14), LIST(1, 9, 3, 11, 5, 13, 7, 15))
#else
#define EACH_STEP(X) X(2, LIST(0, 1, 4, 5), LIST(2, 3, 6, 7)) X(1, LIST(0, 4, 2, 6), LIST(1, 5, 3, 7))
#endif

/* Lane i of the result is the sum of v[i]. Each step folds pairs of vectors into one, so that
 * the halves, quarters, … of a vector belong to one of them. */
INLINE vec sums(vec v[LANES])
{
#define FOLD(w, a, b)                                                                              \
    for (int i = 0; i < w; i++)                                                                    \
        v[i] = __builtin_shufflevector(v[i], v[i + w], a) + __builtin_shufflevector(v[i], v[i + w], b);
    EACH_STEP(FOLD)
    return v[0];
}

/* Lane i of v[j] and lane j of v[i] change places. */
INLINE void turn(vec v[LANES])
{
#define SWAP(w, a, b)                                                                              \
    _Pragma("GCC unroll 16") for (int i = 0; i < LANES; i++)                                       \
        if (!(i & w)) {                                                                            \
            vec lower = __builtin_shufflevector(v[i], v[i + w], a);                                \
            v[i + w] = __builtin_shufflevector(v[i], v[i + w], b);                                 \
            v[i] = lower;                                                                          \
        }
    EACH_STEP(SWAP)
}

/* n values of dtype d, whole blocks. */
static void unpack(float *dst, enum dtype d, const void *src, int n)
{
    const uint16_t *h = src;
    int i = 0;
    if (d != DT_F16) {
        dtype_info(d)->unpack(src, dst, (size_t)n);
        return;
    }
    for (; i + LANES <= n; i += LANES) store(dst + i, half_vec(h + i));
    for (; i < n; i++) dst[i] = f16_to_f32(h[i]);
}

/* ---- row by row ------------------------------------------------------------------------------ */

static void rms(float *y, const float *x, const float *w, int n, int d, float eps)
{
    int whole = d / LANES * LANES, rest = d - whole;
    for (int t = 0; t < n; t++, x += d, y += d) {
        vec s = { 0 };
        for (int i = 0; i < whole; i += LANES) s += load(x + i) * load(x + i);
        if (rest) s += load_part(x + whole, rest) * load_part(x + whole, rest);
        float scale = 1 / sqrtf(sum(s) / (float)d + eps);
        for (int i = 0; i < whole; i += LANES) store(y + i, load(x + i) * scale * load(w + i));
        for (int i = whole; i < d; i++) y[i] = x[i] * scale * w[i];
    }
}

static void rope_neighbours(float *x, const float *cs, int n_head, int head_dim)
{
    int half = head_dim / 2;
    for (int h = 0; h < n_head; h++, x += head_dim)
        for (int i = 0; i < half; i++) {
            float a = x[2 * i], b = x[2 * i + 1];
            x[2 * i] = a * cs[i] - b * cs[half + i];
            x[2 * i + 1] = b * cs[i] + a * cs[half + i];
        }
}

static void rope(float *x, const float *cs, int n_head, int head_dim, enum rope_pairs pairs)
{
    if (pairs == ROPE_NEIGHBOURS) {
        rope_neighbours(x, cs, n_head, head_dim);
        return;
    }
    int half = head_dim / 2, whole = half / LANES * LANES;
    const float *sn = cs + half;
    for (int h = 0; h < n_head; h++, x += head_dim) {
        for (int i = 0; i < whole; i += LANES) {
            vec a = load(x + i), b = load(x + half + i), c = load(cs + i), s = load(sn + i);
            store(x + i, a * c - b * s);
            store(x + half + i, b * c + a * s);
        }
        for (int i = whole; i < half; i++) {
            float a = x[i], b = x[half + i];
            x[i] = a * cs[i] - b * sn[i];
            x[half + i] = b * cs[i] + a * sn[i];
        }
    }
}

/* Tails run through the same vector code, so that a value never depends on where in a row it
 * stands. */
static void swiglu(float *y, const float *gate, const float *up, size_t n)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vec g = load(gate + i);
        store(y + i, g / (1.0f + exp_vec(-g)) * load(up + i));
    }
    if (i < n) {
        vec g = load_part(gate + i, (int)(n - i)), u = load_part(up + i, (int)(n - i));
        vec v = g / (1.0f + exp_vec(-g)) * u;
        memcpy(y + i, &v, (n - i) * sizeof *y);
    }
}

static void add(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] += x[i];
}

static void to_f16(uint16_t *y, const float *x, size_t n)
{
    size_t i = 0;
#if defined(__F16C__)
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((void *)(y + i),
                         _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT));
#elif defined(__aarch64__)
    for (; i + 4 <= n; i += 4) vst1_u16(y + i, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(x + i))));
#endif
    for (; i < n; i++) y[i] = f32_to_f16(x[i]);
}

/* Three taps, the only width in use, keep their window in registers. */
static void conv3(float *y, const float *z, const float *taps, float *state, int n, int d, int c)
{
    vec w0 = load(taps + c), w1 = load(taps + d + c), w2 = load(taps + 2 * (size_t)d + c);
    vec s0 = load(state + c), s1 = load(state + d + c);
    for (int t = 0; t < n; t++, y += d, z += 3 * (size_t)d) {
        vec u = load(z + c) * load(z + 2 * (size_t)d + c);
        store(y + c, load(z + d + c) * (w0 * s0 + w1 * s1 + w2 * u));
        s0 = s1;
        s1 = u;
    }
    store(state + c, s0);
    store(state + d + c, s1);
}

static void conv_any(float *y, const float *z, const float *taps, float *state, int n, int d, int K,
                     int c)
{
    float window[16] = { 0 };
    for (int j = 0; j < K - 1; j++) window[j] = state[(size_t)j * d + c];
    for (int t = 0; t < n; t++, y += d, z += 3 * (size_t)d) {
        float v = 0;
        window[K - 1] = z[c] * z[2 * (size_t)d + c];
        for (int j = 0; j < K; j++) v += taps[(size_t)j * d + c] * window[j];
        for (int j = 0; j < K - 1; j++) window[j] = window[j + 1];
        y[c] = z[d + c] * v;
    }
    for (int j = 0; j < K - 1; j++) state[(size_t)j * d + c] = window[j];
}

static void conv(float *y, const float *z, const float *taps, float *state, int n, int d, int K,
                 int c0, int c1)
{
    int c = c0;
    for (; K == 3 && c + LANES <= c1; c += LANES) conv3(y, z, taps, state, n, d, c);
    for (; c < c1; c++) conv_any(y, z, taps, state, n, d, K, c);
}

/* ---- products with unpacked rows: every dtype ------------------------------------------------ */

static int round_up(int k, int to)
{
    return (k + to - 1) / to * to;
}

static size_t f32_bytes(int k)
{
    return (size_t)round_up(k, PAD) * sizeof(float);
}

static void f32_fill(void *dst, const float *x, int k)
{
    memcpy(dst, x, (size_t)k * sizeof *x);
    memset((float *)dst + k, 0, f32_bytes(k) - (size_t)k * sizeof *x);
}

static const struct act_form act_f32 = { f32_bytes, f32_fill };

/* Panel: [k, PANEL_ROWS]. */
static size_t f32_panel_bytes(int k)
{
    return (size_t)k * PANEL_ROWS * sizeof(float);
}

static const uint8_t *row_at(const struct mat *w, int r)
{
    return (const uint8_t *)w->data + (size_t)r * w->row_bytes;
}

/* A slice of as many rows as a vector has lanes is unpacked and then turned, so that what is read and what is
 * written both stay in the first-level cache. */
#define SLICE 256
static void f32_panel_fill(void *panel, const struct mat *w, int r0, int n_row, float *row)
{
    enum { PITCH = SLICE + 16 }; /* rows in different cache sets */
    float *p = panel, part[LANES * PITCH];
    const struct dtype_info *t = dtype_info(w->dtype);
    for (int h = 0; h < PANEL_ROWS; h += LANES)
        for (int k = 0; k < w->n_in; k += SLICE) {
            int n = MIN(SLICE, w->n_in - k), i = 0;
            size_t off = (size_t)(k / t->block) * t->bytes;
            for (int r = 0; r < LANES; r++) {
                if (h + r < n_row) unpack(part + r * PITCH, w->dtype, row_at(w, r0 + h + r) + off, n);
                else memset(part + r * PITCH, 0, (size_t)n * sizeof *part);
            }
            for (; i + LANES <= n; i += LANES) {
                vec v[LANES];
                for (int r = 0; r < LANES; r++) v[r] = load(part + r * PITCH + i);
                turn(v);
                for (int r = 0; r < LANES; r++) store(p + (size_t)(k + i + r) * PANEL_ROWS + h, v[r]);
            }
            for (; i < n; i++)
                for (int r = 0; r < LANES; r++) p[(size_t)(k + i) * PANEL_ROWS + h + r] = part[r * PITCH + i];
        }
}

/* Two vectors of rows by `cols` columns, a constant where this is expanded; the number of
 * columns never changes the order of a sum. more: goes on from the sums in y. */
INLINE void f32_tile(float *y, size_t ldy, const float *p, const float *x, size_t ldx, int k,
                     int n_row, int cols, bool more)
{
    vec a[TILE_COLS][2];
    float out[2 * LANES] = { 0 };
    size_t bytes = (size_t)MIN(n_row, 2 * LANES) * sizeof *y;
#pragma GCC unroll 8
    for (int t = 0; t < cols; t++) {
        if (more) memcpy(out, y + t * ldy, bytes);
        a[t][0] = load(out), a[t][1] = load(out + LANES);
    }
    for (int i = 0; i < k; i++, p += PANEL_ROWS) {
        vec w0 = load(p), w1 = load(p + LANES);
#pragma GCC unroll 8
        for (int t = 0; t < cols; t++) {
            float v = x[t * ldx + i];
            a[t][0] += w0 * v;
            a[t][1] += w1 * v;
        }
    }
#pragma GCC unroll 8
    for (int t = 0; t < cols; t++) {
        store(out, a[t][0]);
        store(out + LANES, a[t][1]);
        memcpy(y + t * ldy, out, bytes);
    }
}

/* Slice by slice of k: 32 rows of one stay in the first-level cache for all columns. */
static void f32_mul(float *y, size_t ldy, const void *panel, const void *act, size_t act_bytes,
                    int n, int k, int n_row)
{
    size_t ldx = act_bytes / sizeof(float);
    for (int at = 0; at < k; at += SLICE)
        for (int h = 0; h < n_row; h += 2 * LANES) {
            const float *p = (const float *)panel + (size_t)at * PANEL_ROWS + h, *x = (const float *)act + at;
            int t = 0, len = MIN(SLICE, k - at);
            for (; t + TILE_COLS <= n; t += TILE_COLS)
                f32_tile(y + h + t * ldy, ldy, p, x + t * ldx, ldx, len, n_row - h, TILE_COLS, at > 0);
            for (; t < n; t++) f32_tile(y + h + t * ldy, ldy, p, x + t * ldx, ldx, len, n_row - h, 1, at > 0);
        }
}

static const float *column(const void *act, size_t act_bytes, int t)
{
    return (const float *)(const void *)((const char *)act + (size_t)t * act_bytes);
}

/* Four running sums hide the latency of an addition; x is padded with zeros, w is not. */
#define STREAM(name, type, get)                                                                    \
    static float dot_##name(const void *row, const float *x, int k)                                \
    {                                                                                              \
        const type *w = row;                                                                       \
        type last[LANES] = { 0 };                                                                  \
        vec s[4] = { { 0 } };                                                                      \
        int i = 0;                                                                                 \
        for (; i + 4 * LANES <= k; i += 4 * LANES)                                                 \
            for (int j = 0; j < 4; j++) s[j] += get(w + i + j * LANES) * load(x + i + j * LANES);  \
        for (; i + LANES <= k; i += LANES) s[0] += get(w + i) * load(x + i);                       \
        if (i < k) {                                                                               \
            memcpy(last, w + i, (size_t)(k - i) * sizeof *w);                                      \
            s[1] += get(last) * load(x + i);                                                       \
        }                                                                                          \
        return sum((s[0] + s[1]) + (s[2] + s[3]));                                                 \
    }                                                                                              \
    static void stream_##name(float *y, size_t ldy, const struct mat *w, const void *act,          \
                              size_t act_bytes, int n, int r0, int r1, float *row)                 \
    {                                                                                              \
        for (int r = r0; r < r1; r++)                                                              \
            for (int t = 0; t < n; t++)                                                            \
                y[t * ldy + r] = dot_##name(row_at(w, r), column(act, act_bytes, t), w->n_in);     \
    }
STREAM(f32, float, load)
STREAM(f16, uint16_t, half_vec)
STREAM(bf16, uint16_t, bhalf_vec)

static void stream_any(float *y, size_t ldy, const struct mat *w, const void *act, size_t act_bytes,
                       int n, int r0, int r1, float *row)
{
    for (int r = r0; r < r1; r++) {
        dtype_info(w->dtype)->unpack(row_at(w, r), row, (size_t)w->n_in);
        for (int t = 0; t < n; t++)
            y[t * ldy + r] = dot_f32(row, column(act, act_bytes, t), w->n_in);
    }
}

#include "cpu/attn_vec.h"

/* ---- bounds: what this machine can do at all ------------------------------------------------- */

static uint64_t read_all(const void *p, size_t n)
{
    vint a[4] = { { 0 } };
    for (const char *at = p, *end = at + n; at < end; at += sizeof a)
#pragma GCC unroll 4
        for (int b = 0; b < 4; b++) a[b] ^= (vint)load((const float *)(const void *)at + b * LANES);
    a[0] ^= a[1] ^ a[2] ^ a[3];
    return (uint64_t)(uint32_t)a[0][0];
}

#define CHAINS 12 /* enough to hide the latency of a product */
static double peak_f32(int n)
{
    vec a[CHAINS], x = all(1.0001f), y = all(1e-6f);
    for (int i = 0; i < CHAINS; i++) a[i] = all((float)i);
    for (int r = 0; r < n; r++)
#pragma GCC unroll 12
        /* rounded each time: cannot be folded */
        for (int i = 0; i < CHAINS; i++) a[i] = a[i] * x + y;
    float s = 0;
    for (int i = 0; i < CHAINS; i++) s += sum(a[i]);
    return s != s ? 0 : 2.0 * LANES * CHAINS * n;
}

void KERN(struct kern *k)
{
    *k = (struct kern){
        .name = KERN_NAME,
        .read = read_all,
        .peak = { { "f32", peak_f32 } },
        .rms = rms,
        .rope = rope,
        .swiglu = swiglu,
        .add = add,
        .to_f16 = to_f16,
        .conv = conv,
        .attn_prefill = attn_prefill,
        .attn_decode = attn_decode,
        .attn_join = attn_join,
        .any_prefill = { &act_f32, f32_panel_bytes, f32_panel_fill, f32_mul },
        .any_decode = { &act_f32, stream_any },
        .decode = { [DT_F32] = { &act_f32, stream_f32 },
                    [DT_F16] = { &act_f32, stream_f16 },
                    [DT_BF16] = { &act_f32, stream_bf16 } },
    };
}

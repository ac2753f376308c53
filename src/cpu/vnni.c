/* vnni.c -- integer products with vpdpbusd: unsigned bytes times signed bytes, four at a time,
 * summed into 32 bits.
 *
 * Prefill: activations are stored with 128 added, so that the weights may be signed; what that
 * adds to a sum, 128 times the sum of the weights, is subtracted by starting every sum at minus
 * that, which is one vector per group of a panel, shared by all columns. A panel is 32 rows
 * turned so that one register holds four values of k for 16 rows; a tile is 32 rows by 6
 * columns: 12 integer and 12 float sums. Decode: the weights stay unsigned as they lie in the
 * file and the activations are signed; the offset of the weights (32, 128) is taken off the
 * same way, from sums made once per column. So Q6_K; others go sixteen rows at a time (crowd_vnni.c, crowd_k.c).
 *
 * Activations are 8-bit blocks of 32 with an f32 scale for every dtype. Sums over k run block by
 * block in the order of k, whatever the number of columns. */
#include "cpu/quantise.h"
#include "cpu/slice.h"

#define TILE_COLS 6
#define INLINE static inline __attribute__((always_inline))

/* ---- prefill: the columns --------------------------------------------------------------------- */

/* Prefill column: u8 q[k], f32 d[k/32], f32 d*sum[k/32]. */
static size_t pre_bytes(int k)
{
    return (size_t)k + (size_t)k / 32 * 8;
}

static void pre_fill(void *dst, const float *x, int k)
{
    const __m512i bias = _mm512_set1_epi8((char)128);
    uint8_t *q = dst;
    float *d = (float *)(void *)(q + k), *ds = d + k / 32;
    struct quantised v;
    for (int b = 0; b < k / 32; b += 4) {
        int n = MIN(4, k / 32 - b);
        if (n == 4) quantise_4(&v, x + 32 * b);
        else quantise_last(&v, x + 32 * b, n);
        for (int i = 0; i < 128; i += 64)
            _mm512_store_si512(v.q + i, _mm512_xor_si512(_mm512_load_si512(v.q + i), bias));
        memcpy(q + 32 * b, v.q, (size_t)n * 32);
        for (int i = 0; i < n; i++) d[b + i] = v.d[i], ds[b + i] = v.d[i] * (float)v.sum[i];
    }
}

static const struct act_form act_pre = { pre_bytes, pre_fill };

/* ---- prefill: panels ------------------------------------------------------------------------- */

/* Per 32 values of k: q [8][32 rows][4], start [32], scale [32]; min [32] where there is one. */
INLINE size_t block_bytes(bool has_min)
{
    return has_min ? 1408 : 1280;
}

/* Eight turned registers, 32 values of k, become half h of a panel block, the b-th of the slice. */
INLINE void put_block(char *block, const __m512i r[8], const __m512i scale[16],
                      const __m512i min[16], int b, int h, bool has_min)
{
    const __m512i bias = _mm512_set1_epi8((char)128);
    __m512i sum[2] = { _mm512_setzero_si512(), _mm512_setzero_si512() };
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) {
        _mm512_storeu_si512(block + j * 128 + h * 64, r[j]);
        sum[j / 4] = _mm512_dpbusd_epi32(sum[j / 4], bias, r[j]);
    }
    char *tail = block + 1024 + h * 64;
    _mm512_storeu_si512(tail, _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_add_epi32(sum[0], sum[1])));
    _mm512_storeu_si512(tail + 128, scale[b]);
    if (has_min) _mm512_storeu_si512(tail + 256, min[b]);
}

/* The n values of a slice into half h of the panel blocks from `block` on; 64 values are turned
 * at a time. */
INLINE void turn_slice(char *block, const struct slice *s, int n, int h, bool has_min)
{
    __m512i r[16], scale[16], min[16];
    size_t step = block_bytes(has_min);
    turn_floats(scale, s->scale);
    if (has_min) turn_floats(min, s->min);
    for (int at = 0; at < n; at += 64, block += 2 * step) {
        for (int i = 0; i < 16; i++) r[i] = _mm512_loadu_si512(&s->q[i][at]);
        turn(r);
        put_block(block, r, scale, min, at / 32, h, has_min);
        if (at + 32 < n) put_block(block + step, r + 8, scale, min, at / 32 + 1, h, has_min);
    }
}

INLINE void panel_fill(void *panel, const struct mat *w, int r0, int n_row, bool has_min)
{
    struct slice s;
    size_t step = block_bytes(has_min);
    for (int h = 0; h < 2; h++)
        for (int k = 0; k < w->n_in; k += SLICE) {
            int n = MIN(SLICE, w->n_in - k);
            slice_fill(&s, w, r0 + 16 * h, n_row - 16 * h, k, n);
            turn_slice((char *)panel + (size_t)k / 32 * step, &s, n, h, has_min);
        }
}

/* ---- prefill: tiles -------------------------------------------------------------------------- */

/* Columns [0, cols) against a panel; has_min and cols are constants where this is expanded. */
INLINE void tile(float *y, size_t ldy, const char *p, const uint8_t *x, size_t ldx, int k,
                 int n_row, bool has_min, int cols)
{
    __m512 sum[TILE_COLS][2];
    __m512i acc[TILE_COLS][2];
    const float *d = (const float *)(const void *)(x + k), *ds = d + k / 32;
    size_t ldd = ldx / sizeof *d;
#pragma GCC unroll 8
    for (int t = 0; t < cols; t++) sum[t][0] = sum[t][1] = _mm512_setzero_ps();
    for (int b = 0; b < k / 32; b++) {
        const char *tail = p + 1024;
        __m512i s0 = _mm512_load_si512(tail), s1 = _mm512_load_si512(tail + 64);
#pragma GCC unroll 8
        for (int t = 0; t < cols; t++) acc[t][0] = s0, acc[t][1] = s1;
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++, p += 128, x += 4) {
            __m512i w0 = _mm512_load_si512(p), w1 = _mm512_load_si512(p + 64);
#pragma GCC unroll 8
            for (int t = 0; t < cols; t++) {
                __m512i v = four(x + t * ldx);
                acc[t][0] = _mm512_dpbusd_epi32(acc[t][0], v, w0);
                acc[t][1] = _mm512_dpbusd_epi32(acc[t][1], v, w1);
            }
        }
        __m512 c0 = _mm512_load_ps(tail + 128), c1 = _mm512_load_ps(tail + 192);
#pragma GCC unroll 8
        for (int t = 0; t < cols; t++) {
            __m512 dx = _mm512_set1_ps(d[t * ldd + b]);
            sum[t][0] = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(acc[t][0]), c0), dx, sum[t][0]);
            sum[t][1] = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(acc[t][1]), c1), dx, sum[t][1]);
        }
        p = tail + 256;
        if (!has_min) continue;
        __m512 m0 = _mm512_load_ps(p), m1 = _mm512_load_ps(p + 64);
#pragma GCC unroll 8
        for (int t = 0; t < cols; t++) {
            __m512 dx = _mm512_set1_ps(ds[t * ldd + b]);
            sum[t][0] = _mm512_fmadd_ps(m0, dx, sum[t][0]);
            sum[t][1] = _mm512_fmadd_ps(m1, dx, sum[t][1]);
        }
        p += 128;
    }
    __mmask16 k0 = n_row >= 16 ? 0xffff : (__mmask16)((1u << n_row) - 1);
    __mmask16 k1 = n_row >= 32 ? 0xffff : n_row > 16 ? (__mmask16)((1u << (n_row - 16)) - 1) : 0;
#pragma GCC unroll 8
    for (int t = 0; t < cols; t++) {
        _mm512_mask_storeu_ps(y + t * ldy, k0, sum[t][0]);
        _mm512_mask_storeu_ps(y + t * ldy + 16, k1, sum[t][1]);
    }
}

#define MUL(name, has_min)                                                                         \
    static void name(float *y, size_t ldy, const void *panel, const void *act, size_t ldx, int n,  \
                     int k, int n_row)                                                             \
    {                                                                                              \
        const uint8_t *x = act;                                                                    \
        int t = 0;                                                                                 \
        for (; t + 6 <= n; t += 6)                                                                 \
            tile(y + t * ldy, ldy, panel, x + t * ldx, ldx, k, n_row, has_min, 6);          \
        if (n - t >= 4)                                                                            \
            tile(y + t * ldy, ldy, panel, x + t * ldx, ldx, k, n_row, has_min, 4), t += 4;  \
        if (n - t >= 2)                                                                            \
            tile(y + t * ldy, ldy, panel, x + t * ldx, ldx, k, n_row, has_min, 2), t += 2;  \
        if (n - t >= 1)                                                                            \
            tile(y + t * ldy, ldy, panel, x + t * ldx, ldx, k, n_row, has_min, 1);          \
    }
MUL(mul_plain, false)
MUL(mul_min, true)

static size_t bytes_plain(int k) { return (size_t)k / 32 * block_bytes(false); }
static size_t bytes_min(int k) { return (size_t)k / 32 * block_bytes(true); }
static void fill_plain(void *p, const struct mat *w, int r0, int n_row, float *row) { panel_fill(p, w, r0, n_row, false); }
static void fill_min(void *p, const struct mat *w, int r0, int n_row, float *row) { panel_fill(p, w, r0, n_row, true); }

/* ---- decode ---------------------------------------------------------------------------------- */

/* A column is cut into units, as many values as one step of the row kernel takes; a unit of the
 * column:
 *   s8 q[n]           in the order in which the row kernel meets the weights
 *   i32 start[]       minus offset times the sum of the values a lane multiplies, in 64-byte
 *   registers
 *   f32 d[16]         scale of the block of each lane (or of each group)
 * Rows are taken two at a time: the loads of the column serve both. */

INLINE float total(__m512 v)
{
    return _mm512_reduce_add_ps(v);
}

/* What a unit of weights becomes before columns come along: bytes, scales of the lanes. */
struct unit { __m512i q[4]; __m512 d; };

/* Q6_K: a super-block a unit in the order of k; four lanes a group of 16. */
#define U6K 576 /* q 256, start 4 x 64, d 64 */

static size_t q6_k_bytes(int k)
{
    return (size_t)k / 256 * U6K;
}

static void q6_k_fill(void *dst, const float *x, int k)
{
    char *u = dst;
    struct quantised v;
    memset(u, 0, q6_k_bytes(k));
    for (int s = 0; s < k / 256; s++, u += U6K)
        for (int b = 0; b < 8; b += 4) {
            int32_t *start = (int32_t *)(void *)(u + 256);
            float *d = (float *)(void *)(u + 512);
            quantise_4(&v, x + 256 * s + 32 * b);
            memcpy(u + 32 * b, v.q, sizeof v.q);
            for (int i = 0; i < 8; i++) {
                __m512i half = _mm512_cvtepi8_epi32(_mm_load_si128((const void *)(v.q + 16 * i)));
                start[8 * b + 4 * i] = -32 * _mm512_reduce_add_epi32(half);
                d[2 * b + i] = v.d[i / 2];
            }
        }
}

static const struct act_form act_q6_k = { q6_k_bytes, q6_k_fill };

/* Four lanes each of scales g .. g+3. */
INLINE __m512 quarter(__m512 scale, int g)
{
    const __m512i at = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
    return _mm512_permutexvar_ps(_mm512_add_epi32(at, _mm512_set1_epi32(g)), scale);
}

INLINE struct unit q6_k_load(const uint8_t *w)
{
    const __m512i low = _mm512_set1_epi8(15), high = _mm512_set1_epi8(0x30);
    const __m512i left = _mm512_inserti64x4(_mm512_set1_epi16(4), _mm256_set1_epi16(2), 1);
    const __m512i right = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(2), 1);
    __m512 sc = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)(w + 192))));
    struct unit o = { .d = _mm512_mul_ps(sc, _mm512_set1_ps(codec_half(w + 208))) };
    for (int n = 0; n < 2; n++) {
        __m512i ql = _mm512_loadu_si512(w + 64 * n);
        __m512i qh = _mm512_broadcast_i64x4(_mm256_loadu_si256((const void *)(w + 128 + 32 * n)));
        o.q[2 * n] = _mm512_or_si512(_mm512_and_si512(ql, low),
                                     _mm512_and_si512(_mm512_sllv_epi16(qh, left), high));
        o.q[2 * n + 1] = _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi16(ql, 4), low),
                                         _mm512_and_si512(_mm512_srlv_epi16(qh, right), high));
    }
    return o;
}

INLINE __m512 q6_k_add(__m512 sum, const struct unit *w, const char *u)
{
    __m512 d = _mm512_mul_ps(w->d, _mm512_load_ps(u + 512)), t[2];
    for (int i = 0; i < 4; i++) {
        __m512 v = _mm512_cvtepi32_ps(_mm512_dpbusd_epi32(_mm512_load_si512(u + 256 + 64 * i), w->q[i],
                                                          _mm512_load_si512(u + 64 * i)));
        t[i / 2] = i % 2 ? _mm512_fmadd_ps(v, quarter(d, 4 * i), t[i / 2]) : _mm512_mul_ps(v, quarter(d, 4 * i));
    }
    return _mm512_add_ps(sum, _mm512_add_ps(t[0], t[1]));
}

/* Memory is read ahead of use: rows are short and the hardware begins anew at each. */
#define AHEAD 8192
INLINE void ahead(const uint8_t *p, int bytes)
{
    for (int i = 0; i < bytes; i += 64) _mm_prefetch((const char *)p + AHEAD + i, _MM_HINT_T1);
}

/* One row against `cols` columns (a constant where this is expanded), unit by unit; what is left
 * of the row is copied into a unit of zeros. */
#define ROW(t, add, values, bytes, unit_bytes)                                                     \
    INLINE void row_##t(float *y, size_t ldy, const uint8_t *p, const char *u, size_t ldu, int k,  \
                        size_t row_bytes, int cols)                                                \
    {                                                                                              \
        __m512 s[4];                                                                               \
        int whole = k / values;                                                                    \
        size_t rest = row_bytes - (size_t)whole * bytes;                                           \
        for (int c = 0; c < cols; c++) s[c] = _mm512_setzero_ps();                                 \
        for (int i = 0; i < whole; i++, p += bytes, u += unit_bytes) {                             \
            ahead(p, bytes);                                                                       \
            struct unit w = t##_load(p);                                                           \
            for (int c = 0; c < cols; c++) s[c] = add(s[c], &w, u + c * ldu);                      \
        }                                                                                          \
        if (rest) {                                                                                \
            uint8_t last[bytes] = { 0 };                                                           \
            memcpy(last, p, rest);                                                                 \
            struct unit w = t##_load(last);                                                        \
            for (int c = 0; c < cols; c++) s[c] = add(s[c], &w, u + c * ldu);                      \
        }                                                                                          \
        for (int c = 0; c < cols; c++) y[c * ldy] = total(s[c]);                                   \
    }                                                                                              \
    static void rows_##t(float *y, size_t ldy, const struct mat *w, const void *act, size_t ldu,   \
                         int n, int r0, int r1, float *row)                                        \
    {                                                                                              \
        const uint8_t *p = (const uint8_t *)w->data + (size_t)r0 * w->row_bytes;                   \
        for (int r = r0; r < r1; r++, p += w->row_bytes) {                                         \
            const char *u = act;                                                                   \
            int c = 0;                                                                             \
            for (; c + 4 <= n; c += 4)                                                             \
                row_##t(y + c * ldy + r, ldy, p, u + c * ldu, ldu, w->n_in, w->row_bytes, 4);      \
            for (; c < n; c++)                                                                     \
                row_##t(y + c * ldy + r, ldy, p, u + c * ldu, ldu, w->n_in, w->row_bytes, 1);      \
        }                                                                                          \
    }
ROW(q6_k, q6_k_add, 256, 210, U6K)

/* Twelve sums, as in a tile. The empty statement keeps the loop from being folded into one
 * product. */
static double peak_int8(int n)
{
    __m512i a[12], x = _mm512_set1_epi8(3), y = _mm512_set1_epi8(1);
    for (int i = 0; i < 12; i++) a[i] = _mm512_set1_epi32(i);
    for (int r = 0; r < n; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++) a[i] = _mm512_dpbusd_epi32(a[i], x, y);
        __asm__ volatile("" : "+v"(x));
    }
    int s = 0;
    for (int i = 0; i < 12; i++) s |= _mm512_reduce_add_epi32(a[i]);
    return s ? 2.0 * 64 * 12 * n : 0;
}

void kern_vnni(struct kern *k)
{
    k->peak[1] = (struct peak){ "int8", peak_int8 };
    static const struct prefill plain = { &act_pre, bytes_plain, fill_plain, mul_plain },
                                with_min = { &act_pre, bytes_min, fill_min, mul_min };
    static const enum dtype offsets[] = { DT_Q8_0, DT_Q4_0, DT_Q5_0, DT_IQ4_NL, DT_IQ4_XS, DT_MXFP4 };
    for (size_t i = 0; i < LEN(offsets); i++) k->prefill[offsets[i]] = plain;
    k->prefill[DT_Q4_1] = k->prefill[DT_Q5_1] = with_min;
    k->decode[DT_Q6_K] = (struct decode){ &act_q6_k, rows_q6_k };
}

/* crowd_vnni.c -- Q4_0 and Q8_0 rows for many columns at once, with AVX-512 VNNI: the decode step of many sequences,
 * forced runs and drafts.
 *
 * The same idea as crowd_avx2.c with sixteen rows: the values of a block of each are turned so that a register
 * holds four values of k for all rows, once for all columns, and a column costs eight vpdpbusd (unsigned
 * weights times signed activations) and one conversion for sixteen rows. The sums start at minus the
 * offset of the weights (8 of nibbles, 128 of bytes) times what the column adds up to. One column gains too where
 * rows are short: sixteen rows end with one store, not with sixteen sums over lanes.
 *
 * Sums run block by block in the order of k, with the arithmetic of the prefill panels (vnni.c), so results are
 * the same to the last bit whichever way is taken and however many columns come along. */
#include <immintrin.h>

#include "cpu/codec.h"
#include "cpu/int.h"

#define INLINE static inline __attribute__((always_inline))
#define ROWS 16
#define BLOCK_BYTES(bytes) ((bytes) ? 34 : 18)                        /* bytes: Q8_0, else Q4_0 */

/* ---- the column: s8 q[k], f32 d[k/32], i32 start[k/32] ------------------------------------------ */

static size_t act_bytes(int k)
{
    return (size_t)k + (size_t)k / 32 * 8;
}

/* As the prefill column is made (vnni.c): d = max|x| / 127, values rounded to even. */
INLINE void column_fill(void *dst, const float *x, int k, int offset)
{
    int8_t *q = dst;
    float *d = (float *)(void *)(q + k);
    int32_t *start = (int32_t *)(void *)(d + k / 32);
    for (int b = 0; b < k / 32; b++) {
        __m512 lo = _mm512_loadu_ps(x + 32 * b), hi = _mm512_loadu_ps(x + 32 * b + 16);
        float most = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(lo), _mm512_abs_ps(hi)));
        __m512 inv = _mm512_set1_ps(most > 1e-30f ? 127 / most : 0);  /* 127 / most must be finite */
        __m512i u = _mm512_cvtps_epi32(_mm512_mul_ps(lo, inv)), v = _mm512_cvtps_epi32(_mm512_mul_ps(hi, inv));
        d[b] = most > 1e-30f ? most / 127 : 0;
        start[b] = -offset * _mm512_reduce_add_epi32(_mm512_add_epi32(u, v));
        _mm_storeu_si128((void *)(q + 32 * b), _mm512_cvtsepi32_epi8(u));
        _mm_storeu_si128((void *)(q + 32 * b + 16), _mm512_cvtsepi32_epi8(v));
    }
}

static void fill_8(void *dst, const float *x, int k) { column_fill(dst, x, k, 8); }
static void fill_128(void *dst, const float *x, int k) { column_fill(dst, x, k, 128); }
static const struct act_form act_8 = { act_bytes, fill_8 }, act_128 = { act_bytes, fill_128 };

/* ---- sixteen rows -------------------------------------------------------------------------------- */

struct block { __m512i q[8]; __m512 scale; };                         /* q[j]: values 4j .. 4j+3 of sixteen rows */

/* Row i, or the last there is. */
INLINE const uint8_t *row_at(const uint8_t *p, size_t row, int i, int last) { return p + (size_t)MIN(i, last) * row; }

INLINE __m512i four_rows(const uint8_t *p, size_t row, int i, int last) /* rows i, i + 4, i + 8, i + 12 */
{
    __m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const void *)row_at(p, row, i, last)));
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const void *)row_at(p, row, i + 4, last)), 1);
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const void *)row_at(p, row, i + 8, last)), 2);
    return _mm512_inserti32x4(v, _mm_loadu_si128((const void *)row_at(p, row, i + 12, last)), 3);
}

INLINE __m128i eight_halves(const uint8_t *p, size_t row, int from, int last)
{
    int16_t h[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) memcpy(&h[i], row_at(p, row, from + i, last), 2);
    return _mm_setr_epi16(h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7]);
}

/* Sixteen bytes of sixteen rows: w[j] holds bytes 4j .. 4j+3 of all. */
INLINE void turn_16(__m512i w[4], const uint8_t *p, size_t row, int last)
{
    __m512i a[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) a[i] = four_rows(p, row, i, last);
    __m512i t0 = _mm512_unpacklo_epi32(a[0], a[1]), t1 = _mm512_unpackhi_epi32(a[0], a[1]);
    __m512i t2 = _mm512_unpacklo_epi32(a[2], a[3]), t3 = _mm512_unpackhi_epi32(a[2], a[3]);
    w[0] = _mm512_unpacklo_epi64(t0, t2), w[1] = _mm512_unpackhi_epi64(t0, t2);
    w[2] = _mm512_unpacklo_epi64(t1, t3), w[3] = _mm512_unpackhi_epi64(t1, t3);
}

/* p: the block of the first row; the other rows are `row` bytes apart. last: 15, a constant where it matters. */
INLINE void load_block(struct block *o, const uint8_t *p, size_t row, int last, bool bytes)
{
    const __m512i low = _mm512_set1_epi8(15), sign = _mm512_set1_epi8((char)0x80);
    __m512i w[8];
    turn_16(w, p + 2, row, last);
    if (bytes) turn_16(w + 4, p + 18, row, last);
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        o->q[j] = bytes ? _mm512_xor_si512(w[j], sign) : _mm512_and_si512(w[j], low);
        o->q[4 + j] = bytes ? _mm512_xor_si512(w[4 + j], sign) : _mm512_and_si512(_mm512_srli_epi16(w[j], 4), low);
    }
    o->scale = _mm512_cvtph_ps(_mm256_set_m128i(eight_halves(p, row, 8, last), eight_halves(p, row, 0, last)));
}

INLINE __m512i four(const int8_t *p)
{
    int32_t v;
    memcpy(&v, p, sizeof v);
    return _mm512_set1_epi32(v);
}

INLINE __m512 add_block(__m512 sum, const struct block *w, const int8_t *x, float d, int32_t start)
{
    __m512i a = _mm512_set1_epi32(start), b = _mm512_setzero_si512(); /* two chains, shorter than one */
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        a = _mm512_dpbusd_epi32(a, w->q[j], four(x + 4 * j));
        b = _mm512_dpbusd_epi32(b, w->q[4 + j], four(x + 16 + 4 * j));
    }
    __m512 v = _mm512_cvtepi32_ps(_mm512_add_epi32(a, b));
    return _mm512_fmadd_ps(_mm512_mul_ps(v, w->scale), _mm512_set1_ps(d), sum);
}

INLINE void ask_for(const uint8_t *p, int lines)
{
#pragma GCC unroll 9
    for (int j = 0; j < lines; j++) _mm_prefetch((const char *)p + 64 * j, _MM_HINT_T1);
}

#define COLS 8
/* Rows [r, r + n_row) of w against `cols` columns (a constant where this is expanded). Reads up to row r + last. */
INLINE void group(float *y, size_t ldy, const struct mat *w, int r, int n_row, const int8_t *x, size_t ldx, int cols, int last,
                  bool bytes)
{
    const uint8_t *p = (const uint8_t *)w->data + (size_t)r * w->row_bytes, *next = p + ROWS * w->row_bytes;
    __m512 sum[COLS];
    struct block b;
    int k = w->n_in, n_block = k / 32;
#pragma GCC unroll 8
    for (int t = 0; t < cols; t++) sum[t] = _mm512_setzero_ps();
    for (int i = 0; i < n_block; i++, p += BLOCK_BYTES(bytes), next += ROWS * BLOCK_BYTES(bytes)) {
        ask_for(next, bytes ? 9 : 5);
        load_block(&b, p, w->row_bytes, last, bytes);
#pragma GCC unroll 8
        for (int t = 0; t < cols; t++) {
            const float *d = (const float *)(const void *)(x + t * ldx + k);
            sum[t] = add_block(sum[t], &b, x + t * ldx + 32 * i, d[i], ((const int32_t *)(const void *)d)[n_block + i]);
        }
    }
#pragma GCC unroll 8
    for (int t = 0; t < cols; t++) _mm512_mask_storeu_ps(y + t * ldy + r, (__mmask16)((1u << n_row) - 1), sum[t]);
}

INLINE void all_rows(float *y, size_t ldy, const struct mat *w, const int8_t *acts, size_t ldx, int n, int r0, int r1, bool bytes)
{
    for (int r = r0; r < r1; r += ROWS) {
        const int8_t *x = acts;
        int n_row = MIN(ROWS, r1 - r), t = 0;
        if (r + ROWS > w->n_out) {                                    /* nothing is read past the end */
            for (; t < n; t++) group(y + t * ldy, ldy, w, r, n_row, x + t * ldx, ldx, 1, n_row - 1, bytes);
            continue;
        }
        for (; t + 8 <= n; t += 8) group(y + t * ldy, ldy, w, r, n_row, x + t * ldx, ldx, 8, ROWS - 1, bytes);
        if (n - t >= 4) group(y + t * ldy, ldy, w, r, n_row, x + t * ldx, ldx, 4, ROWS - 1, bytes), t += 4;
        if (n - t >= 2) group(y + t * ldy, ldy, w, r, n_row, x + t * ldx, ldx, 2, ROWS - 1, bytes), t += 2;
        if (n - t >= 1) group(y + t * ldy, ldy, w, r, n_row, x + t * ldx, ldx, 1, ROWS - 1, bytes);
    }
}

static void rows_q4_0(float *y, size_t ldy, const struct mat *w, const void *acts, size_t ldx, int n, int r0, int r1, float *row)
{
    all_rows(y, ldy, w, acts, ldx, n, r0, r1, false);
}

static void rows_q8_0(float *y, size_t ldy, const struct mat *w, const void *acts, size_t ldx, int n, int r0, int r1, float *row)
{
    all_rows(y, ldy, w, acts, ldx, n, r0, r1, true);
}

void kern_crowd_vnni(struct kern *k)
{
    k->decode[DT_Q4_0] = (struct decode){ &act_8, rows_q4_0, 32 };
    k->decode[DT_Q8_0] = (struct decode){ &act_128, rows_q8_0, 32 };
}

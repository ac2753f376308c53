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

/* ---- the columns -------------------------------------------------------------------------------- */

/* Columns that go through the rows together stand side by side, so that one pointer meets all of them: per 32 values
 * s8 q[cols][32], f32 d[cols], i32 start[cols]. Such a group takes the place of its columns one by one. */
#define COLS 8
#define COLUMN_BLOCK 40

static size_t act_bytes(int k)
{
    return (size_t)k / 32 * COLUMN_BLOCK;
}

/* Columns of the group that begins with column `first` of n: 8, 4, 2 or 1. */
INLINE int group_cols(int n, int first)
{
    int cols = COLS;
    while (cols > n - first) cols /= 2;
    return cols;
}

/* As the prefill column is made (vnni.c): d = max|x| / 127, values rounded to even. */
INLINE void column_fill(void *base, size_t bytes, const float *x, int k, int t, int n, int offset)
{
    int first = 0, cols;
    while (cols = group_cols(n, first), first + cols <= t) first += cols;
    char *to = (char *)base + (size_t)first * bytes;
    for (int b = 0; b < k / 32; b++, x += 32, to += cols * COLUMN_BLOCK) {
        __m512 lo = _mm512_loadu_ps(x), hi = _mm512_loadu_ps(x + 16);
        float most = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(lo), _mm512_abs_ps(hi)));
        __m512 inv = _mm512_set1_ps(most > 1e-30f ? 127 / most : 0);  /* 127 / most must be finite */
        __m512i u = _mm512_cvtps_epi32(_mm512_mul_ps(lo, inv)), v = _mm512_cvtps_epi32(_mm512_mul_ps(hi, inv));
        char *q = to + 32 * (t - first);
        _mm_storeu_si128((void *)q, _mm512_cvtsepi32_epi8(u));
        _mm_storeu_si128((void *)(q + 16), _mm512_cvtsepi32_epi8(v));
        ((float *)(void *)(to + 32 * cols))[t - first] = most > 1e-30f ? most / 127 : 0;
        ((int32_t *)(void *)(to + 36 * cols))[t - first] = -offset * _mm512_reduce_add_epi32(_mm512_add_epi32(u, v));
    }
}

static void lay_8(void *base, size_t bytes, const float *x, int k, int t, int n) { column_fill(base, bytes, x, k, t, n, 8); }
static void lay_128(void *base, size_t bytes, const float *x, int k, int t, int n) { column_fill(base, bytes, x, k, t, n, 128); }
static const struct act_form act_8 = { act_bytes, NULL, lay_8 }, act_128 = { act_bytes, NULL, lay_128 };

/* ---- sixteen rows -------------------------------------------------------------------------------- */

struct block { __m512i q[8]; __m512 scale; };                         /* q[j]: values 4j .. 4j+3 of sixteen rows */

/* Where sixteen rows stand: every fourth and the distance between neighbours; `row` 0 where there are fewer than
 * sixteen, then each by itself. */
struct sixteen { const uint8_t *p[4]; size_t row; const uint8_t *each[ROWS]; };

INLINE const uint8_t *row_at(const struct sixteen *s, int i, bool whole)
{
    return whole ? s->p[i / 4] + (i % 4) * s->row : s->each[i];
}

INLINE __m512i four_rows(const struct sixteen *s, size_t off, int i, bool whole) /* rows i, i + 4, i + 8, i + 12 */
{
    __m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const void *)(row_at(s, i, whole) + off)));
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const void *)(row_at(s, i + 4, whole) + off)), 1);
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const void *)(row_at(s, i + 8, whole) + off)), 2);
    return _mm512_inserti32x4(v, _mm_loadu_si128((const void *)(row_at(s, i + 12, whole) + off)), 3);
}

/* Sixteen bytes of sixteen rows: w[j] holds bytes 4j .. 4j+3 of all. */
INLINE void turn_16(__m512i w[4], const struct sixteen *s, size_t off, bool whole)
{
    __m512i a[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) a[i] = four_rows(s, off, i, whole);
    __m512i t0 = _mm512_unpacklo_epi32(a[0], a[1]), t1 = _mm512_unpackhi_epi32(a[0], a[1]);
    __m512i t2 = _mm512_unpacklo_epi32(a[2], a[3]), t3 = _mm512_unpackhi_epi32(a[2], a[3]);
    w[0] = _mm512_unpacklo_epi64(t0, t2), w[1] = _mm512_unpackhi_epi64(t0, t2);
    w[2] = _mm512_unpacklo_epi64(t1, t3), w[3] = _mm512_unpackhi_epi64(t1, t3);
}

INLINE void load_block(struct block *o, const struct sixteen *s, const uint16_t half[ROWS], bool whole, bool bytes)
{
    const __m512i low = _mm512_set1_epi8(15), sign = _mm512_set1_epi8((char)0x80);
    __m512i w[8];
    turn_16(w, s, 2, whole);
    if (bytes) turn_16(w + 4, s, 18, whole);
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        o->q[j] = bytes ? _mm512_xor_si512(w[j], sign) : _mm512_and_si512(w[j], low);
        o->q[4 + j] = bytes ? _mm512_xor_si512(w[4 + j], sign) : _mm512_and_si512(_mm512_srli_epi16(w[j], 4), low);
    }
    o->scale = _mm512_cvtph_ps(_mm256_load_si256((const void *)half));
}

INLINE __m512i four(const char *p)
{
    int32_t v;
    memcpy(&v, p, sizeof v);
    return _mm512_set1_epi32(v);
}

INLINE float float_at(const char *p)
{
    float v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* a += w . the four bytes at x, for every row; one instruction, which the compiler makes two of. */
INLINE __m512i add_four(__m512i a, __m512i w, const char *x)
{
    __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(a) : "v"(w), "m"(*(const int32_t *)(const void *)x));
    return a;
}

/* What a block adds to columns [t, t + n) of `cols`, side by side so that one hides the latency of another. Few columns
 * have two chains of products each, which are shorter than one. */
#define SIDE 4
INLINE void add_block(__m512 *sum, const struct block *w, const char *x, int t, int n, int cols)
{
    bool split = cols < 4;
    __m512i a[SIDE], b[SIDE];
#pragma GCC unroll 4
    for (int i = 0; i < n; i++) a[i] = four(x + 36 * cols + 4 * (t + i)), b[i] = _mm512_setzero_si512();
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++)
#pragma GCC unroll 4
        for (int i = 0; i < n; i++) {
            if (split && j % 2) b[i] = add_four(b[i], w->q[j], x + 32 * (t + i) + 4 * j);
            else a[i] = add_four(a[i], w->q[j], x + 32 * (t + i) + 4 * j);
        }
#pragma GCC unroll 4
    for (int i = 0; i < n; i++) {
        __m512 v = _mm512_cvtepi32_ps(split ? _mm512_add_epi32(a[i], b[i]) : a[i]);
        __m512 d = _mm512_set1_ps(float_at(x + 32 * cols + 4 * (t + i)));
        sum[t + i] = _mm512_fmadd_ps(_mm512_mul_ps(v, w->scale), d, sum[t + i]);
    }
}

INLINE void ask_for(const uint8_t *p, int lines)
{
#pragma GCC unroll 9
    for (int j = 0; j < lines; j++) _mm_prefetch((const char *)p + 64 * j, _MM_HINT_T1);
}

/* Scales of a few blocks, moved through memory ahead of use: putting them together in a register would take the port
 * that turns the rows. */
#define STRIP 8
INLINE void stage_some(uint16_t half[][ROWS], const struct sixteen *s, int n, bool whole, size_t step)
{
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++) {
        const uint8_t *p = row_at(s, i, whole);
#pragma GCC unroll 8
        for (int b = 0; b < n; b++) memcpy(&half[b][i], p + b * step, 2);
    }
}

/* A function of its own: expanded in every kernel it would make the compiler work for minutes. */
static __attribute__((noinline)) void stage_scales(uint16_t half[][ROWS], const struct sixteen *s, int n, bool whole, size_t step)
{
    if (n == STRIP && whole) stage_some(half, s, STRIP, true, step);
    else
        for (int b = 0; b < n; b++)
            for (int i = 0; i < ROWS; i++) memcpy(&half[b][i], row_at(s, i, whole) + b * step, 2);
}

INLINE void advance(struct sixteen *s, bool whole, size_t step)
{
    for (int i = 0; i < (whole ? 4 : ROWS); i++) *(whole ? &s->p[i] : &s->each[i]) += step;
}

/* Where the rows from r on stand; those past the last are the last one again. */
static struct sixteen rows_from(const struct mat *w, int r)
{
    const uint8_t *p = (const uint8_t *)w->data + (size_t)r * w->row_bytes;
    struct sixteen s = { .row = w->row_bytes };
    for (int i = 0; i < 4; i++) s.p[i] = p + (size_t)(4 * i) * w->row_bytes;
    for (int i = 0; i < ROWS; i++) s.each[i] = p + (size_t)MIN(i, w->n_out - 1 - r) * w->row_bytes;
    return s;
}

/* Blocks [0, n) of a strip. */
INLINE void strip(__m512 *sum, struct sixteen *s, const uint8_t *next, const char *x, int n, int cols, bool whole, bool bytes)
{
    _Alignas(64) uint16_t half[STRIP][ROWS];
    struct block b;
    size_t step = BLOCK_BYTES(bytes);
    stage_scales(half, s, n, whole, step);
    for (int i = 0; i < n; i++, x += cols * COLUMN_BLOCK, next += ROWS * step) {
        ask_for(next, bytes ? 9 : 5);
        load_block(&b, s, half[i], whole, bytes);
        advance(s, whole, step);
#pragma GCC unroll 2
        for (int t = 0; t < cols; t += SIDE) add_block(sum, &b, x, t, MIN(cols, SIDE), cols);
    }
}

/* Sixteen rows from r on, n_row of them stored, against `cols` columns (a constant where this is expanded). */
INLINE void group(float *y, size_t ldy, const struct mat *w, int r, int n_row, const char *x, int cols, bool whole, bool bytes)
{
    __m512 sum[COLS];
    struct sixteen s = rows_from(w, r);
    size_t step = BLOCK_BYTES(bytes);
    const uint8_t *next = s.p[0] + ROWS * w->row_bytes;
    int at = 0, n_block = w->n_in / 32;
#pragma GCC unroll 8
    for (int t = 0; t < cols; t++) sum[t] = _mm512_setzero_ps();
    for (; at < n_block; at += STRIP)
        strip(sum, &s, next + at * ROWS * step, x + (size_t)at * cols * COLUMN_BLOCK, MIN(STRIP, n_block - at), cols, whole, bytes);
#pragma GCC unroll 8
    for (int t = 0; t < cols; t++) _mm512_mask_storeu_ps(y + t * ldy, (__mmask16)((1u << n_row) - 1), sum[t]);
}

/* The last rows of a matrix where they are no sixteen: rare, so expanded once, for any number of columns. */
static __attribute__((noinline)) void last_rows(float *y, size_t ldy, const struct mat *w, int r, int n_row, const char *x, int cols, bool bytes)
{
    if (bytes) group(y, ldy, w, r, n_row, x, cols, false, true);
    else group(y, ldy, w, r, n_row, x, cols, false, false);
}

INLINE void all_rows(float *y, size_t ldy, const struct mat *w, const void *acts, size_t ldx, int n, int r0, int r1, bool bytes)
{
    for (int r = r0; r < r1; r += ROWS) {
        int n_row = MIN(ROWS, r1 - r);
        bool whole = r + ROWS <= w->n_out;
        for (int t = 0, cols; t < n; t += cols) {
            const char *x = (const char *)acts + (size_t)t * ldx;
            float *to = y + (size_t)t * ldy + r;
            cols = group_cols(n, t);
#define GROUP(c)                                                                                                       \
    case c:                                                                                                            \
        if (whole) group(to, ldy, w, r, n_row, x, c, true, bytes);                                                     \
        else last_rows(to, ldy, w, r, n_row, x, c, bytes);                                                             \
        break;
            switch (cols) { GROUP(8) GROUP(4) GROUP(2) GROUP(1) }
        }
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

/* crowd_avx2.c -- Q4_0 rows for many columns at once, with AVX2: the decode step of many sequences.
 *
 * One column is bound by memory, eight are bound by arithmetic, so what counts is how little is done per
 * weight and column. Eight rows are taken together: the nibbles of a block of each are turned so that a
 * register holds four values of k for all eight rows, once for all columns; a column then costs eight
 * vpmaddubsw (unsigned weights times signed activations, summed in 16 bits, which 8 * 2 * 15 * 127 fits)
 * and one conversion for eight rows. The offset of the weights is taken off by a sum that every column
 * carries with it.
 *
 * Sums run block by block in the order of k, one multiply-add a block: the order and the arithmetic of the
 * prefill panels (int_avx2.c), so results are the same to the last bit whichever way is taken and however many
 * columns come along. Rows lie one after another in the file: the next eight are asked for while these are
 * worked on. */
#include <immintrin.h>

#include "cpu/codec.h"
#include "cpu/crowd.h"

#define INLINE static inline __attribute__((always_inline))
#define ROWS 8
#define BLOCK_BYTES 18

/* ---- the column: s8 q[k], f32 d[k/32], i32 start[k/32] ------------------------------------------ */

static size_t act_bytes(int k)
{
    return (size_t)k + (size_t)k / 32 * 8;
}

static void act_fill(void *dst, const float *x, int k)
{
    int8_t *q = dst;
    float *d = (float *)(void *)(q + k);
    int32_t *start = (int32_t *)(void *)(d + k / 32);
    for (int b = 0; b < k / 32; b++) {
        int sum;
        d[b] = crowd_quantise(q + 32 * b, x + 32 * b, &sum);
        start[b] = -8 * sum;
    }
}

static const struct act_form act = { act_bytes, act_fill };

/* ---- eight rows ---------------------------------------------------------------------------------- */

struct block { __m256i q[8]; __m256 scale; };                         /* q[j]: values 4j .. 4j+3 of eight rows */

INLINE __m256i two(const uint8_t *a, const uint8_t *b)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const void *)a)), _mm_loadu_si128((const void *)b), 1);
}

INLINE int half_at(const uint8_t *p)
{
    uint16_t h;
    memcpy(&h, p, sizeof h);
    return h;
}

INLINE void load_block(struct block *o, const uint8_t *const row[ROWS], size_t at)
{
    const __m256i low = _mm256_set1_epi8(15);
    __m256i a[4], w[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) a[i] = two(row[i] + at + 2, row[i + 4] + at + 2);
    __m256i t0 = _mm256_unpacklo_epi32(a[0], a[1]), t1 = _mm256_unpackhi_epi32(a[0], a[1]);
    __m256i t2 = _mm256_unpacklo_epi32(a[2], a[3]), t3 = _mm256_unpackhi_epi32(a[2], a[3]);
    w[0] = _mm256_unpacklo_epi64(t0, t2), w[1] = _mm256_unpackhi_epi64(t0, t2);
    w[2] = _mm256_unpacklo_epi64(t1, t3), w[3] = _mm256_unpackhi_epi64(t1, t3);
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        o->q[j] = _mm256_and_si256(w[j], low);
        o->q[4 + j] = _mm256_and_si256(_mm256_srli_epi16(w[j], 4), low);
    }
    __m128i h = _mm_cvtsi32_si128(half_at(row[0] + at));
    h = _mm_insert_epi16(h, half_at(row[1] + at), 1);
    h = _mm_insert_epi16(h, half_at(row[2] + at), 2);
    h = _mm_insert_epi16(h, half_at(row[3] + at), 3);
    h = _mm_insert_epi16(h, half_at(row[4] + at), 4);
    h = _mm_insert_epi16(h, half_at(row[5] + at), 5);
    h = _mm_insert_epi16(h, half_at(row[6] + at), 6);
    h = _mm_insert_epi16(h, half_at(row[7] + at), 7);
    o->scale = _mm256_cvtph_ps(h);
}

INLINE __m256i four(const int8_t *p)
{
    int32_t v;
    memcpy(&v, p, sizeof v);
    return _mm256_set1_epi32(v);
}

INLINE __m256 add_block(__m256 sum, const struct block *w, const int8_t *x, float d, int32_t start)
{
    __m256i s[2];
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) {                                     /* two chains, shorter than one */
        s[h] = _mm256_maddubs_epi16(w->q[h], four(x + 4 * h));
#pragma GCC unroll 4
        for (int j = h + 2; j < 8; j += 2) s[h] = _mm256_add_epi16(s[h], _mm256_maddubs_epi16(w->q[j], four(x + 4 * j)));
    }
    __m256i v = _mm256_madd_epi16(_mm256_add_epi16(s[0], s[1]), _mm256_set1_epi16(1));
    v = _mm256_add_epi32(v, _mm256_set1_epi32(start));
    return _mm256_fmadd_ps(_mm256_cvtepi32_ps(v), _mm256_mul_ps(w->scale, _mm256_set1_ps(d)), sum);
}

#define COLS 8
/* Rows [r, r + n_row) of w against `cols` columns. */
INLINE void group(float *y, size_t ldy, const struct mat *w, int r, int n_row, const int8_t *x, size_t ldx, int cols)
{
    const uint8_t *row[ROWS], *next = (const uint8_t *)w->data + (size_t)(r + ROWS) * w->row_bytes;
    __m256 sum[COLS];
    struct block b;
    int k = w->n_in, n_block = k / 32;
    for (int i = 0; i < ROWS; i++) row[i] = (const uint8_t *)w->data + (size_t)(r + MIN(i, n_row - 1)) * w->row_bytes;
    for (int t = 0; t < cols; t++) sum[t] = _mm256_setzero_ps();
    for (int i = 0; i < n_block; i++, next += ROWS * BLOCK_BYTES) {
        _mm_prefetch((const char *)next, _MM_HINT_T1);
        _mm_prefetch((const char *)next + 64, _MM_HINT_T1);
        _mm_prefetch((const char *)next + 128, _MM_HINT_T1);
        load_block(&b, row, (size_t)i * BLOCK_BYTES);
        for (int t = 0; t < cols; t++) {
            const float *d = (const float *)(const void *)(x + t * ldx + k);
            sum[t] = add_block(sum[t], &b, x + t * ldx + 32 * i, d[i], ((const int32_t *)(const void *)d)[n_block + i]);
        }
    }
    for (int t = 0; t < cols; t++) {
        float out[ROWS];
        _mm256_storeu_ps(out, sum[t]);
        memcpy(y + t * ldy + r, out, (size_t)n_row * sizeof *out);
    }
}

static void rows(float *y, size_t ldy, const struct mat *w, const void *acts, size_t ldx, int n, int r0, int r1, float *row)
{
    for (int r = r0; r < r1; r += ROWS) {
        const int8_t *x = acts;
        int n_row = MIN(ROWS, r1 - r), t = 0;
        for (; t + 8 <= n; t += 8) group(y + t * ldy, ldy, w, r, n_row, x + t * ldx, ldx, 8);
        if (n - t >= 4) group(y + t * ldy, ldy, w, r, n_row, x + t * ldx, ldx, 4), t += 4;
        if (n - t >= 2) group(y + t * ldy, ldy, w, r, n_row, x + t * ldx, ldx, 2), t += 2;
        if (n - t >= 1) group(y + t * ldy, ldy, w, r, n_row, x + t * ldx, ldx, 1);
    }
}

void kern_crowd_avx2(struct kern *k)
{
    k->decode[DT_Q4_0] = (struct decode){ &act, rows, 96 };
}

/* crowd_avx2.c -- Q4_0 and Q6_K rows for many columns at once, with AVX2: the decode step of many sequences.
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

/* 16 bytes of each of eight rows: w[j] holds bytes 4j .. 4j+3 of all. */
INLINE void turn(__m256i w[4], const uint8_t *const row[ROWS], size_t at)
{
    __m256i a[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) a[i] = two(row[i] + at, row[i + 4] + at);
    __m256i t0 = _mm256_unpacklo_epi32(a[0], a[1]), t1 = _mm256_unpackhi_epi32(a[0], a[1]);
    __m256i t2 = _mm256_unpacklo_epi32(a[2], a[3]), t3 = _mm256_unpackhi_epi32(a[2], a[3]);
    w[0] = _mm256_unpacklo_epi64(t0, t2), w[1] = _mm256_unpackhi_epi64(t0, t2);
    w[2] = _mm256_unpacklo_epi64(t1, t3), w[3] = _mm256_unpackhi_epi64(t1, t3);
}

INLINE void load_block(struct block *o, const uint8_t *const row[ROWS], size_t at)
{
    const __m256i low = _mm256_set1_epi8(15);
    __m256i w[4];
    turn(w, row, at + 2);
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

/* ---- Q6_K -------------------------------------------------------------------------------------- */

/* The column: s8 q[k], f32 d[k/32], i32 start[k/16]. */
static size_t act6_bytes(int k)
{
    return (size_t)k + (size_t)k / 32 * 4 + (size_t)k / 16 * 4;
}

static void act6_fill(void *dst, const float *x, int k)
{
    int8_t *q = dst;
    float *d = (float *)(void *)(q + k);
    int32_t *start = (int32_t *)(void *)(d + k / 32);
    for (int b = 0; b < k / 32; b++) {
        int all, first = 0;
        d[b] = crowd_quantise(q + 32 * b, x + 32 * b, &all);
        for (int i = 0; i < 16; i++) first += q[32 * b + i];
        start[2 * b] = -32 * first;
        start[2 * b + 1] = -32 * (all - first);
    }
}

static const struct act_form act6 = { act6_bytes, act6_fill };

#define SUPER_BYTES 210
/* Half of a super-block of eight rows, turned: four times 16 bytes of low bits, twice 16 of high ones. */
struct half6 { __m256i low[16], high[8]; };
struct super6 { struct half6 half[2]; float scale[16][ROWS]; };

INLINE void load_super(struct super6 *o, const uint8_t *const row[ROWS], size_t at)
{
    for (int n = 0; n < 2; n++) {
        for (int c = 0; c < 4; c++) turn(o->half[n].low + 4 * c, row, at + 64 * (size_t)n + 16 * (size_t)c);
        for (int c = 0; c < 2; c++) turn(o->half[n].high + 4 * c, row, at + 128 + 32 * (size_t)n + 16 * (size_t)c);
    }
    for (int r = 0; r < ROWS; r++) {
        float d = codec_half(row[r] + at + 208);
        for (int g = 0; g < 16; g++) o->scale[g][r] = d * (float)(int8_t)row[r][at + 192 + (size_t)g];
    }
}

/* 32 values of the half, the j-th block: q[i] holds values 4i .. 4i+3 of eight rows, 32 too large. */
INLINE void block6(__m256i q[8], const struct half6 *h, int j)
{
    const __m256i low = _mm256_set1_epi8(15), two_bits = _mm256_set1_epi8(0x30);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        __m256i l = _mm256_and_si256(_mm256_srli_epi16(h->low[8 * (j % 2) + i], 4 * (j / 2)), low);
        __m256i t = j < 2 ? _mm256_slli_epi16(h->high[i], 4 - 2 * j) : _mm256_srli_epi16(h->high[i], 2 * j - 4);
        q[i] = _mm256_or_si256(l, _mm256_and_si256(t, two_bits));
    }
}

/* Sixteen values: pairs of pairs fit 16 bits, 4 * 63 * 127. */
INLINE __m256 add_group(__m256 sum, const __m256i q[4], __m256 scale, const int8_t *x, float d, int32_t start)
{
    const __m256i one = _mm256_set1_epi16(1);
    __m256i a = _mm256_add_epi16(_mm256_maddubs_epi16(q[0], four(x)), _mm256_maddubs_epi16(q[1], four(x + 4)));
    __m256i b = _mm256_add_epi16(_mm256_maddubs_epi16(q[2], four(x + 8)), _mm256_maddubs_epi16(q[3], four(x + 12)));
    __m256i v = _mm256_add_epi32(_mm256_madd_epi16(a, one), _mm256_madd_epi16(b, one));
    v = _mm256_add_epi32(v, _mm256_set1_epi32(start));
    return _mm256_fmadd_ps(_mm256_cvtepi32_ps(v), _mm256_mul_ps(scale, _mm256_set1_ps(d)), sum);
}

/* Block b of the columns. */
INLINE void columns6(__m256 *sum, const __m256i q[8], const float (*scale)[ROWS], const int8_t *x, size_t ldx, int k, int b, int cols)
{
    __m256 s0 = _mm256_loadu_ps(scale[0]), s1 = _mm256_loadu_ps(scale[1]);
    for (int t = 0; t < cols; t++) {
        const int8_t *col = x + t * ldx;
        const float *d = (const float *)(const void *)(col + k);
        const int32_t *start = (const int32_t *)(const void *)(d + k / 32) + 2 * b;
        sum[t] = add_group(sum[t], q, s0, col + 32 * b, d[b], start[0]);
        sum[t] = add_group(sum[t], q + 4, s1, col + 32 * b + 16, d[b], start[1]);
    }
}

INLINE void group6(float *y, size_t ldy, const struct mat *w, int r, int n_row, const int8_t *x, size_t ldx, int cols)
{
    const uint8_t *row[ROWS], *next = (const uint8_t *)w->data + (size_t)(r + ROWS) * w->row_bytes;
    __m256 sum[COLS];
    struct super6 s;
    for (int i = 0; i < ROWS; i++) row[i] = (const uint8_t *)w->data + (size_t)(r + MIN(i, n_row - 1)) * w->row_bytes;
    for (int t = 0; t < cols; t++) sum[t] = _mm256_setzero_ps();
    for (int i = 0; i < w->n_in / 256; i++, next += ROWS * SUPER_BYTES) {
        for (int l = 0; l < ROWS * SUPER_BYTES; l += 64) _mm_prefetch((const char *)next + l, _MM_HINT_T1);
        load_super(&s, row, (size_t)i * SUPER_BYTES);
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++) {
            __m256i q[8];
            block6(q, &s.half[j / 4], j % 4);
            columns6(sum, q, (const float (*)[ROWS])s.scale + 2 * j, x, ldx, w->n_in, 8 * i + j, cols);
        }
    }
    for (int t = 0; t < cols; t++) {
        float out[ROWS];
        _mm256_storeu_ps(out, sum[t]);
        memcpy(y + t * ldy + r, out, (size_t)n_row * sizeof *out);
    }
}

static void rows6(float *y, size_t ldy, const struct mat *w, const void *acts, size_t ldx, int n, int r0, int r1, float *row)
{
    for (int r = r0; r < r1; r += ROWS) {
        const int8_t *x = acts;
        int n_row = MIN(ROWS, r1 - r), t = 0;
        for (; t + 8 <= n; t += 8) group6(y + t * ldy, ldy, w, r, n_row, x + t * ldx, ldx, 8);
        if (n - t >= 4) group6(y + t * ldy, ldy, w, r, n_row, x + t * ldx, ldx, 4), t += 4;
        for (; t < n; t++) group6(y + t * ldy, ldy, w, r, n_row, x + t * ldx, ldx, 1);
    }
}

void kern_crowd_avx2(struct kern *k)
{
    k->decode[DT_Q4_0] = (struct decode){ &act, rows, 96 };
    k->decode[DT_Q6_K] = (struct decode){ &act6, rows6, 64 };
}

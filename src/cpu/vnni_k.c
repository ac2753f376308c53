/* vnni_k.c -- prompts through Q4_K, Q5_K, Q6_K and Q3_K with vpdpbusd: unsigned weights times signed activations.
 *
 * Their scales are small integers times one float a super-block of 256, so one scale for 256 values of a column is
 * enough to save a multiplication: a group of 32 (16) values costs a conversion and a multiply-add by the scale of
 * the weights, and the scale of the column comes once a super-block. Minima are integers as well: those of two groups
 * and the sums of the column over both are one vpdpwssd. Weights without minima are stored with 32 added, which the
 * column takes off again: its sums over 16 values, times -32, are where the sums of products start.
 *
 * Column of k values: s8 q[k]; i32 start[k/16]; i16 sum[k/32]; f32 d[k/256].
 * Panel, for 256 values of k: u8 q[64][32 rows][4]; f32 scale[groups][32]; and with minima i16 min[4][32][2 groups],
 * f32 -dmin[32]. 10 KB with minima: a panel streams from the second-level cache, once for every 6 columns.
 * Tile: 32 rows x 6 columns, 12 integer sums and 12 f32 sums of a super-block; the sums over super-blocks wait on the
 * stack. For 768 products of 64 the same units do 96 multiply-adds (192 with groups of 16), 48 pairs of minima and 24
 * at the end of the block; conversions go elsewhere on some machines. Super-blocks are summed in the order of k,
 * whatever the number of columns. */
#include "cpu/column256.h"
#include "cpu/slice.h"

#define TILE_COLS 6
#define INLINE static inline __attribute__((always_inline))
#define OFFSET 32

/* ---- the column ------------------------------------------------------------------------------ */

static size_t act_bytes(int k)
{
    return (size_t)k + (size_t)k / 16 * 4 + (size_t)k / 32 * 2 + (size_t)k / 256 * 4;
}

struct column { const int8_t *q; const int32_t *start; const int16_t *sum; const float *d; };

static struct column column_of(const void *act, int k)
{
    struct column c = { .q = act };
    c.start = (const void *)(c.q + k);
    c.sum = (const void *)(c.start + k / 16);
    c.d = (const void *)(c.sum + k / 32);
    return c;
}

static void act_fill(void *dst, const float *x, int k)
{
    struct column c = column_of(dst, k);
    for (int b = 0; b < k / 256; b++)
        ((float *)(uintptr_t)c.d)[b] = column_256((int8_t *)dst + 256 * b, (void *)(uintptr_t)(c.start + 16 * b),
                                                  (void *)(uintptr_t)(c.sum + 8 * b), x + 256 * b);
}

static const struct act_form act = { act_bytes, act_fill };

/* ---- panels ---------------------------------------------------------------------------------- */

#define Q_BYTES 8192
#define MIN_BYTES (512 + 128)

INLINE size_t block_bytes(int group, bool has_min)
{
    return Q_BYTES + (size_t)(256 / group) * 128 + (has_min ? MIN_BYTES : 0);
}

/* The minima of sixteen super-blocks, as pairs of groups, and -dmin; rows from n_row on have none. */
INLINE void put_minima(char *to, const struct mat *w, int r, int n_row, int k)
{
    uint16_t m[16][8] = { { 0 } };
    float dmin[16] = { 0 };
    for (int i = 0; i < MIN(n_row, 16); i++) {
        const uint8_t *src = slice_at(w, r + i, k);
        uint8_t sc[8], mn[8];
        codec_scales(src + 4, sc, mn);
        for (int g = 0; g < 8; g++) m[i][g] = mn[g];
        dmin[i] = -codec_half(src + 2);
    }
    for (int j = 0; j < 4; j++)
        for (int i = 0; i < 16; i++) memcpy(to + j * 128 + i * 4, &m[i][2 * j], 4);
    memcpy(to + 512, dmin, sizeof dmin);
}

INLINE void panel_fill(void *panel, const struct mat *w, int r0, int n_row, int group, bool has_min)
{
    const __m512i offset = _mm512_set1_epi8(has_min ? 0 : OFFSET);
    struct slice s;
    __m512i r[16];
    for (int h = 0; h < 2; h++)
        for (int k = 0; k < w->n_in; k += 256) {
            char *block = (char *)panel + (size_t)(k / 256) * block_bytes(group, has_min) + h * 64;
            slice_fill(&s, w, r0 + 16 * h, n_row - 16 * h, k, 256);
            for (int at = 0; at < 256; at += 64) {
                for (int i = 0; i < 16; i++) r[i] = _mm512_add_epi8(_mm512_loadu_si512(&s.q[i][at]), offset);
                turn(r);
                for (int j = 0; j < 16; j++) _mm512_store_si512(block + (at / 4 + j) * 128, r[j]);
            }
            turn_floats(r, s.scale);
            for (int g = 0; g < 256 / group; g++) _mm512_store_si512(block + Q_BYTES + g * 128, r[g]);
            if (has_min) put_minima(block + Q_BYTES + 256 / group * 128, w, r0 + 16 * h, n_row - 16 * h, k);
        }
}

/* ---- tiles ----------------------------------------------------------------------------------- */

/* f += integer sums times the 32 floats of the rows at `scale`. */
INLINE void add_scaled(__m512 f[][2], __m512i acc[][2], const char *scale, int cols)
{
    __m512 s0 = _mm512_load_ps(scale), s1 = _mm512_load_ps(scale + 64);
#pragma GCC unroll 8
    for (int t = 0; t < cols; t++) {
        f[t][0] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[t][0]), s0, f[t][0]);
        f[t][1] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[t][1]), s1, f[t][1]);
    }
}

/* A super-block of `cols` columns against one of a panel: f = sums over its groups. group, has_min and cols are
 * constants where this is expanded. */
INLINE void block_sums(__m512 f[][2], const char *p, struct column c, size_t ldx, int group, bool has_min, int cols)
{
    const char *tail = p + Q_BYTES;
    __m512i acc[TILE_COLS][2];
#pragma GCC unroll 8
    for (int t = 0; t < cols; t++) f[t][0] = f[t][1] = _mm512_setzero_ps();
    for (int g = 0; g < 256 / group; g++, tail += 128) {
#pragma GCC unroll 8
        for (int t = 0; t < cols; t++)
            acc[t][0] = acc[t][1] = has_min ? _mm512_setzero_si512() : four((const char *)(c.start + g) + t * ldx);
#pragma GCC unroll 8
        for (int j = 0; j < group / 4; j++, p += 128, c.q += 4) {
            __m512i w0 = _mm512_load_si512(p), w1 = _mm512_load_si512(p + 64);
#pragma GCC unroll 8
            for (int t = 0; t < cols; t++) {
                __m512i v = four(c.q + t * ldx);
                acc[t][0] = _mm512_dpbusd_epi32(acc[t][0], w0, v);
                acc[t][1] = _mm512_dpbusd_epi32(acc[t][1], w1, v);
            }
        }
        add_scaled(f, acc, tail, cols);
    }
    if (!has_min) return;
#pragma GCC unroll 8
    for (int t = 0; t < cols; t++) acc[t][0] = acc[t][1] = _mm512_setzero_si512();
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++, tail += 128) {
        __m512i m0 = _mm512_load_si512(tail), m1 = _mm512_load_si512(tail + 64);
#pragma GCC unroll 8
        for (int t = 0; t < cols; t++) {
            __m512i v = four((const char *)(c.sum + 2 * j) + t * ldx);
            acc[t][0] = _mm512_dpwssd_epi32(acc[t][0], m0, v);
            acc[t][1] = _mm512_dpwssd_epi32(acc[t][1], m1, v);
        }
    }
    add_scaled(f, acc, tail, cols);
}

INLINE void tile(float *y, size_t ldy, const char *p, const char *x, size_t ldx, int k, int n_row, int group,
                 bool has_min, int cols)
{
    __m512 sum[TILE_COLS][2], f[TILE_COLS][2];
    struct column c = column_of(x, k);
#pragma GCC unroll 8
    for (int t = 0; t < cols; t++) sum[t][0] = sum[t][1] = _mm512_setzero_ps();
    for (int b = 0; b < k / 256; b++, p += block_bytes(group, has_min)) {
        block_sums(f, p, c, ldx, group, has_min, cols);
#pragma GCC unroll 8
        for (int t = 0; t < cols; t++) {
            __m512 d = _mm512_castsi512_ps(four((const char *)c.d + t * ldx));
            sum[t][0] = _mm512_fmadd_ps(f[t][0], d, sum[t][0]);
            sum[t][1] = _mm512_fmadd_ps(f[t][1], d, sum[t][1]);
        }
        c = (struct column){ c.q + 256, c.start + 16, c.sum + 8, c.d + 1 };
    }
    uint32_t live = n_row >= 32 ? ~0u : (1u << n_row) - 1;
#pragma GCC unroll 8
    for (int t = 0; t < cols; t++) {
        _mm512_mask_storeu_ps(y + t * ldy, (__mmask16)live, sum[t][0]);
        _mm512_mask_storeu_ps(y + t * ldy + 16, (__mmask16)(live >> 16), sum[t][1]);
    }
}

#define MUL(name, group, has_min)                                                                                      \
    static void name(float *y, size_t ldy, const void *panel, const void *acts, size_t ldx, int n, int k, int n_row)    \
    {                                                                                                                  \
        const char *x = acts;                                                                                          \
        int t = 0;                                                                                                     \
        for (; t + 6 <= n; t += 6) tile(y + t * ldy, ldy, panel, x + t * ldx, ldx, k, n_row, group, has_min, 6);       \
        for (; t + 2 <= n; t += 2) tile(y + t * ldy, ldy, panel, x + t * ldx, ldx, k, n_row, group, has_min, 2);       \
        if (t < n) tile(y + t * ldy, ldy, panel, x + t * ldx, ldx, k, n_row, group, has_min, 1);                       \
    }
#define KIND(name, group, has_min)                                                                                     \
    static size_t bytes_##name(int k) { return (size_t)k / 256 * block_bytes(group, has_min); }                        \
    static void fill_##name(void *p, const struct mat *w, int r0, int n_row, float *row)                               \
    { panel_fill(p, w, r0, n_row, group, has_min); }                                                                   \
    MUL(mul_##name, group, has_min)                                                                                    \
    static const struct prefill name = { &act, bytes_##name, fill_##name, mul_##name };
KIND(with_minima, 32, true)
KIND(without, 16, false)

void kern_vnni_k(struct kern *k)
{
    k->prefill[DT_Q4_K] = k->prefill[DT_Q5_K] = with_minima;
    k->prefill[DT_Q6_K] = k->prefill[DT_Q3_K] = without;
}

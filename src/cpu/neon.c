/* neon.c -- integer products on 64-bit ARM, compiled once per step of the instruction set:
 *
 *   neon     every ARMv8 core: products of bytes into 16 bits, pairs of them into 32
 *   dotprod  sdot: four products into each 32-bit lane
 *   i8mm     smmla: 2 rows x 8 values by 8 values x 2 columns
 *
 * Rows are brought to signed bytes by their codec, columns are signed bytes too, so nothing has to
 * be corrected afterwards. Sums of bytes are exact; a result is
 *
 *     for each group of values, in order:   y = fma(sum of products, scale of the row * of the column, y)
 *     after 32 values, where rows have one: y = fma(minimum of the row, scale * sum of the column, y)
 *
 * and every kernel here does just this, whatever the step, the number of columns and the way of
 * the rows. So decode and prefill agree to the last bit, and so do the three steps.
 *
 * Prefill: a panel of 32 rows holds, per 32 values of k, the bytes so turned that a register is one
 * operand of the product instruction, and behind them the scales (and minima) of the 32 rows:
 *
 *   sdot    [8 x 4 rows][8 x 4 values][4 rows][4 values]    times four values of one column (by lane)
 *   smmla   [16 x 2 rows][4 x 8 values][2 rows][8 values]   times eight values of two columns
 *
 * A tile is 16 rows x 4 columns: 16 registers of sums, 8 of columns, and the rows pass through
 * four: 28 of 32. What bounds it is the turn from integers to floats after every 32 values.
 * Decode: four rows at a time as they lie in the file, a slice of 256 values of each brought to
 * bytes in the first-level cache, for up to eight columns; the sums of four rows are folded into
 * one register, so that scaling costs a quarter. */
#include <arm_neon.h>

#include "cpu/codec.h"

#define SLICE 256 /* values of a row that are bytes at the same time; 32 where a block has no more: they stay in registers */
#define QUAD 4 /* rows taken together */
#define INLINE static inline __attribute__((always_inline))

/* ---- the column: s8 q[k], f32 d[k/32], f32 d*sum[k/32] ---------------------------------------- */

static size_t act_bytes(int k)
{
    return (size_t)k + (size_t)k / 32 * 8;
}

/* 32 values to bytes; returns their scale, the sum of the bytes in *sum. */
INLINE float quantise(int8_t *q, const float *x, int *sum)
{
    float32x4_t v[8], most = vdupq_n_f32(0);
    int32x4_t n[8], all = vdupq_n_s32(0);
    for (int i = 0; i < 8; i++) {
        v[i] = vld1q_f32(x + 4 * i);
        most = vmaxq_f32(most, vabsq_f32(v[i]));
    }
    float m = vmaxvq_f32(most);
    bool any = m > 1e-30f;                                            /* 127 / m must be finite */
    float inv = any ? 127 / m : 0;
    for (int i = 0; i < 8; i++) {
        n[i] = vcvtnq_s32_f32(vmulq_n_f32(v[i], inv));
        all = vaddq_s32(all, n[i]);
    }
    for (int i = 0; i < 8; i += 2)
        vst1_s8(q + 4 * i, vqmovn_s16(vcombine_s16(vqmovn_s32(n[i]), vqmovn_s32(n[i + 1]))));
    *sum = vaddvq_s32(all);
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

/* ---- products of one row and one column -------------------------------------------------------- */

/* Four sums whose sum is the product of 16 values. small: |w| <= 32, so that eight products fit 16 bits;
 * two always do, 2 * 128 * 127. */
INLINE int32x4_t dot16(int8x16_t w, int8x16_t x, bool small)
{
#if defined(__ARM_FEATURE_DOTPROD)
    return vdotq_s32(vdupq_n_s32(0), w, x);
#else
    return vpaddlq_s16(vmlal_s8(vmull_high_s8(w, x), vget_low_s8(w), vget_low_s8(x)));
#endif
}

INLINE int32x4_t dot32(const int8x16_t w[2], const int8x16_t x[2], bool small)
{
#if defined(__ARM_FEATURE_DOTPROD)
    return vdotq_s32(vdotq_s32(vdupq_n_s32(0), w[0], x[0]), w[1], x[1]);
#else
    if (!small) return vaddq_s32(dot16(w[0], x[0], false), dot16(w[1], x[1], false));
    int16x8_t p = vmlal_s8(vmull_high_s8(w[0], x[0]), vget_low_s8(w[0]), vget_low_s8(x[0]));
    p = vmlal_high_s8(vmlal_s8(p, vget_low_s8(w[1]), vget_low_s8(x[1])), w[1], x[1]);
    return vpaddlq_s16(p);
#endif
}

#define X(e, id, name, block, bytes) BLOCK_##e = bytes,
enum { DTYPE_LIST(X) };                                                 /* bytes of a block, where they must be constant */
#undef X

/* ---- four rows as bytes ------------------------------------------------------------------------ */

struct slice { int8_t q[SLICE]; float scale[SLICE / 16], min[SLICE / 32]; };
struct quad {
    struct slice row[QUAD];
    float scale[SLICE / 16][QUAD], min[SLICE / 32][QUAD];             /* the same, turned */
};

INLINE void turn_words(int32x4_t w[4])
{
    int32x4_t a = vzip1q_s32(w[0], w[2]), b = vzip2q_s32(w[0], w[2]);
    int32x4_t c = vzip1q_s32(w[1], w[3]), d = vzip2q_s32(w[1], w[3]);
    w[0] = vzip1q_s32(a, c), w[1] = vzip2q_s32(a, c);
    w[2] = vzip1q_s32(b, d), w[3] = vzip2q_s32(b, d);
}

/* n numbers of each of four rows; of more than one, whole fours are turned, and what lies behind n is not used. */
INLINE void turn_floats(float (*to)[QUAD], const float *const from[QUAD], int n, bool alone)
{
    if (alone) {
        float32x4_t v = { *from[0], *from[1], *from[2], *from[3] };
        vst1q_f32(to[0], v);
        return;
    }
    for (int i = 0; i < n; i += 4) {
        int32x4_t w[4];
        for (int r = 0; r < 4; r++) w[r] = vld1q_s32((const int32_t *)(const void *)(from[r] + i));
        turn_words(w);
        for (int r = 0; r < 4; r++) vst1q_s32((int32_t *)(void *)to[i + r], w[r]);
    }
}

/* n values of each of four rows from the bytes at src[]. */
INLINE void quad_load(struct quad *o, const uint8_t *const src[QUAD], const struct codec *c, int n, bool alone)
{
    const float *scale[QUAD], *min[QUAD];
#pragma GCC unroll 4
    for (int r = 0; r < QUAD; r++) {
        c->row(src[r], o->row[r].q, o->row[r].scale, o->row[r].min, n);
        scale[r] = o->row[r].scale;
        min[r] = o->row[r].min;
    }
    turn_floats(o->scale, scale, n / c->group, alone);
    if (c->has_min) turn_floats(o->min, min, n / 32, alone);
}

/* The rows r .. r+3 of w; past r1 the last one stands in. */
INLINE void quad_rows(const uint8_t *src[QUAD], const struct mat *w, int r, int r1)
{
    for (int i = 0; i < QUAD; i++) src[i] = (const uint8_t *)w->data + (size_t)MIN(r + i, r1 - 1) * w->row_bytes;
}

/* ---- decode ------------------------------------------------------------------------------------ */

INLINE int32x4_t fold(const int32x4_t v[QUAD])
{
    return vpaddq_s32(vpaddq_s32(v[0], v[1]), vpaddq_s32(v[2], v[3]));
}

/* Adds a slice of four rows times values [at, at + n) of a column of k. */
INLINE float32x4_t quad_dot(float32x4_t y, const struct quad *w, const int8_t *x, int k, int at, int n, int group, bool has_min,
                            bool small)
{
    const float *d = (const float *)(const void *)(x + k) + at / 32, *ds = d + k / 32;
    for (int b = 0; b < n / 32; b++) {
        int8x16_t v[2] = { vld1q_s8(x + at + 32 * b), vld1q_s8(x + at + 32 * b + 16) }, q[2];
        int32x4_t s[QUAD], t[QUAD];
        for (int r = 0; r < QUAD; r++) {
            q[0] = vld1q_s8(w->row[r].q + 32 * b), q[1] = vld1q_s8(w->row[r].q + 32 * b + 16);
            s[r] = group == 32 ? dot32(q, v, small) : dot16(q[0], v[0], small);
            if (group == 16) t[r] = dot16(q[1], v[1], small);
        }
        y = vfmaq_f32(y, vcvtq_f32_s32(fold(s)), vmulq_n_f32(vld1q_f32(w->scale[32 / group * b]), d[b]));
        if (group == 16) y = vfmaq_f32(y, vcvtq_f32_s32(fold(t)), vmulq_n_f32(vld1q_f32(w->scale[2 * b + 1]), d[b]));
        if (has_min) y = vfmaq_n_f32(y, vld1q_f32(w->min[b]), ds[b]);
    }
    return y;
}

#define COLS 8
/* Rows [r, r1), four at most, against `cols` columns; their codec runs once. */
INLINE void quad_columns(float *y, size_t ldy, const struct mat *w, int r, int r1, const int8_t *x, size_t ldx, int cols,
                         int bytes, const struct codec *c, int slice, int group, bool has_min, bool small)
{
    const uint8_t *src[QUAD], *next = (const uint8_t *)w->data + (size_t)(r + QUAD) * w->row_bytes;
    float32x4_t sum[COLS];
    struct quad q;
    quad_rows(src, w, r, r1);
    for (int i = 0; i < cols; i++) sum[i] = vdupq_n_f32(0);
    for (int at = 0; at < w->n_in; at += slice) {
#pragma GCC unroll 16
        for (int i = 0; i < QUAD * bytes; i += 64) __builtin_prefetch(next + i);
        quad_load(&q, src, c, slice, slice == 32);
        for (int i = 0; i < cols; i++) sum[i] = quad_dot(sum[i], &q, x + i * ldx, w->n_in, at, slice, group, has_min, small);
        for (int i = 0; i < QUAD; i++) src[i] += bytes;
        next += QUAD * bytes;
    }
    for (int i = 0; i < cols; i++) {
        float out[QUAD];
        vst1q_f32(out, sum[i]);
        memcpy(y + i * ldy + r, out, (size_t)MIN(QUAD, r1 - r) * sizeof *out);
    }
}

#define ROWS(t, dt, slice, group, has_min, small)                                                                               \
    static void rows_##t(float *y, size_t ldy, const struct mat *w, const void *act_, size_t ldx, int n, int r0, int r1,        \
                         float *row)                                                                                            \
    {                                                                                                                           \
        for (int r = r0; r < r1; r += QUAD) {                                                                                   \
            const int8_t *x = act_;                                                                                             \
            int i = 0;                                                                                                          \
            for (; i + 8 <= n; i += 8)                                                                                          \
                quad_columns(y + i * ldy, ldy, w, r, r1, x + i * ldx, ldx, 8, BLOCK_##dt, &codecs[dt], slice, group, has_min, small);    \
            if (n - i >= 4)                                                                                                     \
                quad_columns(y + i * ldy, ldy, w, r, r1, x + i * ldx, ldx, 4, BLOCK_##dt, &codecs[dt], slice, group, has_min, small),    \
                    i += 4;                                                                                                     \
            for (; i < n; i++)                                                                                                  \
                quad_columns(y + i * ldy, ldy, w, r, r1, x + i * ldx, ldx, 1, BLOCK_##dt, &codecs[dt], slice, group, has_min, small);    \
        }                                                                                                                       \
    }

/* ---- prefill: panels --------------------------------------------------------------------------- */

INLINE size_t block_bytes(int group, bool has_min)
{
    return 1024 + (size_t)(32 / group) * 128 + (has_min ? 128 : 0);
}

/* Bytes of block b of four rows, the g-th four of the panel. */
INLINE void panel_bytes_of(int8_t *block, const struct quad *s, int b, int g)
{
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) {
        int32x4_t w[4];
        for (int r = 0; r < 4; r++) w[r] = vreinterpretq_s32_s8(vld1q_s8(s->row[r].q + 32 * b + 16 * h));
#if defined(__ARM_FEATURE_MATMUL_INT8)
        int8_t *to = block + 128 * g + 32 * h;
        for (int p = 0; p < 2; p++) {
            int64x2_t u = vreinterpretq_s64_s32(w[2 * p]), v = vreinterpretq_s64_s32(w[2 * p + 1]);
            vst1q_s8(to + 64 * p, vreinterpretq_s8_s64(vzip1q_s64(u, v)));
            vst1q_s8(to + 64 * p + 16, vreinterpretq_s8_s64(vzip2q_s64(u, v)));
        }
#else
        turn_words(w);
        for (int j = 0; j < 4; j++) vst1q_s8(block + 128 * g + 64 * h + 16 * j, vreinterpretq_s8_s32(w[j]));
#endif
    }
}

INLINE void panel_fill(void *panel, const struct mat *w, int r0, int n_row, int bytes, const struct codec *c, int slice,
                       int group, bool has_min)
{
    size_t step = block_bytes(group, has_min);
    struct quad s;
    if (n_row < PANEL_ROWS) memset(panel, 0, (size_t)w->n_in / 32 * step);
    for (int r = 0; r < n_row; r += QUAD) {
        const uint8_t *src[QUAD];
        quad_rows(src, w, r0 + r, r0 + n_row);
        for (int k = 0; k < w->n_in; k += slice) {
            quad_load(&s, src, c, slice, slice == 32);
            for (int b = 0; b < slice / 32; b++) {
                char *block = (char *)panel + (size_t)(k / 32 + b) * step, *tail = block + 1024;
                panel_bytes_of((int8_t *)block, &s, b, r / QUAD);
                for (int g = 0; g < 32 / group; g++, tail += 128) memcpy(tail + 4 * r, s.scale[32 / group * b + g], 16);
                if (has_min) memcpy(tail + 4 * r, s.min[b], 16);
            }
            for (int i = 0; i < QUAD; i++) src[i] += bytes;
        }
    }
}

/* ---- prefill: tiles of 16 rows and up to four columns -------------------------------------------- */

#define TILE_ROWS 16
#define TILE_COLS 4

/* The columns of a tile; the last one stands in for what is missing of a pair. */
struct columns { const int8_t *q[TILE_COLS]; const float *d[TILE_COLS], *ds[TILE_COLS]; };

INLINE struct columns columns_of(const int8_t *x, size_t ldx, int k, int n)
{
    struct columns o;
    for (int t = 0; t < TILE_COLS; t++) {
        o.q[t] = x + (size_t)MIN(t, n - 1) * ldx;
        o.d[t] = (const float *)(const void *)(o.q[t] + k);
        o.ds[t] = o.d[t] + k / 32;
    }
    return o;
}

#if defined(__ARM_FEATURE_MATMUL_INT8)
/* Sums of rows 2p, 2p+1 and columns 2c, 2c+1 are [r0 c0, r0 c1, r1 c0, r1 c1]. */
#define SUMS (TILE_COLS / 2)
#define SUM_ROWS 2

INLINE float32x4_t of_columns(const float *const d[TILE_COLS], int c, int b)
{
    float32x2_t v = { d[2 * c][b], d[2 * c + 1][b] };
    return vcombine_f32(v, v);
}

/* Values 8j .. 8j+7 of the column pairs, side by side. */
INLINE void pair_columns(int8x16_t v[SUMS][4], const struct columns *x, int b, int pairs)
{
    for (int c = 0; c < pairs; c++)
        for (int h = 0; h < 2; h++) {
            int64x2_t a = vreinterpretq_s64_s8(vld1q_s8(x->q[2 * c] + 32 * b + 16 * h));
            int64x2_t e = vreinterpretq_s64_s8(vld1q_s8(x->q[2 * c + 1] + 32 * b + 16 * h));
            v[c][2 * h] = vreinterpretq_s8_s64(vzip1q_s64(a, e));
            v[c][2 * h + 1] = vreinterpretq_s8_s64(vzip2q_s64(a, e));
        }
}

/* block: 32 values of 16 rows; scales, minima: of these rows. */
INLINE void tile_block(float32x4_t sum[TILE_ROWS / SUM_ROWS][SUMS], const int8_t *block, const float *tail,
                       const struct columns *x, int b, int cols, int group, bool has_min, bool small)
{
    int pairs = (cols + 1) / 2;
    int8x16_t v[SUMS][4];
    float32x4_t d[SUMS];
    pair_columns(v, x, b, pairs);
    for (int c = 0; c < pairs; c++) d[c] = of_columns(x->d, c, b);
#pragma GCC unroll 8
    for (int p = 0; p < TILE_ROWS / SUM_ROWS; p++)
#pragma GCC unroll 2
        for (int g = 0; g < 32 / group; g++) {
            float32x2_t two = vld1_f32(tail + 32 * g + 2 * p);
            float32x4_t scale = vcombine_f32(vdup_lane_f32(two, 0), vdup_lane_f32(two, 1));
            int32x4_t acc[SUMS] = { vdupq_n_s32(0) };
#pragma GCC unroll 4
            for (int j = 0; j < group / 8; j++) {
                int8x16_t w = vld1q_s8(block + 64 * p + 2 * group * g + 16 * j);
                for (int c = 0; c < pairs; c++) acc[c] = vmmlaq_s32(acc[c], w, v[c][group / 8 * g + j]);
            }
            for (int c = 0; c < pairs; c++) sum[p][c] = vfmaq_f32(sum[p][c], vcvtq_f32_s32(acc[c]), vmulq_f32(scale, d[c]));
        }
    for (int p = 0; has_min && p < TILE_ROWS / SUM_ROWS; p++) {
        float32x2_t two = vld1_f32(tail + 32 * (32 / group) + 2 * p);
        float32x4_t min = vcombine_f32(vdup_lane_f32(two, 0), vdup_lane_f32(two, 1));
        for (int c = 0; c < pairs; c++) sum[p][c] = vfmaq_f32(sum[p][c], min, of_columns(x->ds, c, b));
    }
}

INLINE void tile_out(float out[TILE_ROWS], const float32x4_t sum[TILE_ROWS / SUM_ROWS][SUMS], int t)
{
    for (int p = 0; p < TILE_ROWS / SUM_ROWS; p += 2)
        vst1q_f32(out + 2 * p, t % 2 ? vuzp2q_f32(sum[p][t / 2], sum[p + 1][t / 2]) : vuzp1q_f32(sum[p][t / 2], sum[p + 1][t / 2]));
}
#else
/* A register of sums is four rows of one column. */
#define SUMS TILE_COLS
#define SUM_ROWS QUAD

/* Four rows x 16 values times the 16 values of a column, `steps` registers of rows from the j-th on. */
INLINE int32x4_t quad_by_lanes(int32x4_t acc, const int8x16_t w[4], int8x16_t x, bool small)
{
#if defined(__ARM_FEATURE_DOTPROD)
    acc = vdotq_laneq_s32(acc, w[0], x, 0);
    acc = vdotq_laneq_s32(acc, w[1], x, 1);
    acc = vdotq_laneq_s32(acc, w[2], x, 2);
    return vdotq_laneq_s32(acc, w[3], x, 3);
#else
    int32x4_t v = vreinterpretq_s32_s8(x);
    int8x16_t e[4] = { vreinterpretq_s8_s32(vdupq_laneq_s32(v, 0)), vreinterpretq_s8_s32(vdupq_laneq_s32(v, 1)),
                       vreinterpretq_s8_s32(vdupq_laneq_s32(v, 2)), vreinterpretq_s8_s32(vdupq_laneq_s32(v, 3)) };
    int16x8_t lo[2], hi[2];                                           /* lo: two products of rows 0 and 1, hi: of rows 2 and 3 */
    for (int h = 0; h < 2; h++) {
        lo[h] = vmull_s8(vget_low_s8(w[2 * h]), vget_low_s8(e[2 * h]));
        hi[h] = vmull_high_s8(w[2 * h], e[2 * h]);
        lo[h] = vmlal_s8(lo[h], vget_low_s8(w[2 * h + 1]), vget_low_s8(e[2 * h + 1]));
        hi[h] = vmlal_high_s8(hi[h], w[2 * h + 1], e[2 * h + 1]);
    }
    if (small) return vaddq_s32(acc, vpaddq_s32(vpaddlq_s16(vaddq_s16(lo[0], lo[1])), vpaddlq_s16(vaddq_s16(hi[0], hi[1]))));
    return vaddq_s32(acc, vpaddq_s32(vpadalq_s16(vpaddlq_s16(lo[0]), lo[1]), vpadalq_s16(vpaddlq_s16(hi[0]), hi[1])));
#endif
}

INLINE void tile_block(float32x4_t sum[TILE_ROWS / SUM_ROWS][SUMS], const int8_t *block, const float *tail,
                       const struct columns *x, int b, int cols, int group, bool has_min, bool small)
{
    int8x16_t v[TILE_COLS][2];
    for (int t = 0; t < cols; t++)
        for (int h = 0; h < 2; h++) v[t][h] = vld1q_s8(x->q[t] + 32 * b + 16 * h);
#pragma GCC unroll 4
    for (int r = 0; r < TILE_ROWS / SUM_ROWS; r++)
#pragma GCC unroll 2
        for (int g = 0; g < 32 / group; g++) {
            float32x4_t scale = vld1q_f32(tail + 32 * g + 4 * r);
            int32x4_t acc[TILE_COLS] = { vdupq_n_s32(0) };
#pragma GCC unroll 2
            for (int h = 0; h < group / 16; h++) {
                const int8_t *at = block + 128 * r + 4 * group * g + 64 * h;
                int8x16_t w[4] = { vld1q_s8(at), vld1q_s8(at + 16), vld1q_s8(at + 32), vld1q_s8(at + 48) };
                for (int t = 0; t < cols; t++) acc[t] = quad_by_lanes(acc[t], w, v[t][group / 16 * g + h], small);
            }
            for (int t = 0; t < cols; t++) sum[r][t] = vfmaq_f32(sum[r][t], vcvtq_f32_s32(acc[t]), vmulq_n_f32(scale, x->d[t][b]));
        }
    for (int r = 0; has_min && r < TILE_ROWS / SUM_ROWS; r++)
        for (int t = 0; t < cols; t++) sum[r][t] = vfmaq_n_f32(sum[r][t], vld1q_f32(tail + 32 * (32 / group) + 4 * r), x->ds[t][b]);
}

INLINE void tile_out(float out[TILE_ROWS], const float32x4_t sum[TILE_ROWS / SUM_ROWS][SUMS], int t)
{
    for (int r = 0; r < TILE_ROWS / SUM_ROWS; r++) vst1q_f32(out + 4 * r, sum[r][t]);
}
#endif

/* The panel's half h, as far as it has rows, against `cols` columns: a constant where this is expanded. */
INLINE void tile(float *y, size_t ldy, const char *panel, int h, const int8_t *x, size_t ldx, int cols, int k, int n_row, int group,
                 bool has_min, bool small)
{
    float32x4_t sum[TILE_ROWS / SUM_ROWS][SUMS];
    struct columns v = columns_of(x, ldx, k, cols);
    size_t step = block_bytes(group, has_min);
    for (int r = 0; r < TILE_ROWS / SUM_ROWS; r++)
        for (int t = 0; t < SUMS; t++) sum[r][t] = vdupq_n_f32(0);
    for (int b = 0; b < k / 32; b++, panel += step)
        tile_block(sum, (const int8_t *)panel + 512 * h, (const float *)(const void *)(panel + 1024) + TILE_ROWS * h, &v, b, cols,
                   group, has_min, small);
    for (int t = 0; t < cols; t++) {
        float out[TILE_ROWS];
        tile_out(out, (const float32x4_t(*)[SUMS])sum, t);
        memcpy(y + t * ldy + TILE_ROWS * h, out, (size_t)MIN(TILE_ROWS, n_row - TILE_ROWS * h) * sizeof *y);
    }
}

#define MUL(name, group, has_min, small)                                                                                         \
    static void name(float *y, size_t ldy, const void *panel, const void *act_, size_t ldx, int n, int k, int n_row)             \
    {                                                                                                                            \
        for (int h = 0; TILE_ROWS * h < n_row; h++) {                                                                            \
            const int8_t *x = act_;                                                                                              \
            int t = 0;                                                                                                           \
            for (; t + 4 <= n; t += 4) tile(y + t * ldy, ldy, panel, h, x + t * ldx, ldx, 4, k, n_row, group, has_min, small);   \
            if (n - t >= 2) tile(y + t * ldy, ldy, panel, h, x + t * ldx, ldx, 2, k, n_row, group, has_min, small), t += 2;      \
            if (n - t >= 1) tile(y + t * ldy, ldy, panel, h, x + t * ldx, ldx, 1, k, n_row, group, has_min, small);              \
        }                                                                                                                        \
    }
MUL(mul_32, 32, false, false)
MUL(mul_32_small, 32, false, true)
MUL(mul_32_min, 32, true, true)
MUL(mul_16, 16, false, true)

/* ---- the table --------------------------------------------------------------------------------- */

/* Name, dtype, values of a block, group, minimum, whether all |values| are at most 32, product of panels. */
#define EACH(X) \
    X(q8_0, DT_Q8_0, 32, 32, false, false, mul_32) X(q4_0, DT_Q4_0, 32, 32, false, true, mul_32_small) \
    X(q4_1, DT_Q4_1, 32, 32, true, true, mul_32_min) X(q5_0, DT_Q5_0, 32, 32, false, true, mul_32_small) \
    X(q5_1, DT_Q5_1, 32, 32, true, true, mul_32_min) X(q4_k, DT_Q4_K, 256, 32, true, true, mul_32_min) \
    X(q5_k, DT_Q5_K, 256, 32, true, true, mul_32_min) X(q6_k, DT_Q6_K, 256, 16, false, true, mul_16) \
    X(q3_k, DT_Q3_K, 256, 16, false, true, mul_16) X(iq4_nl, DT_IQ4_NL, 32, 32, false, false, mul_32) \
    X(iq4_xs, DT_IQ4_XS, 256, 32, false, false, mul_32) X(mxfp4, DT_MXFP4, 32, 32, false, true, mul_32_small)
#define EXPAND_ROWS(t, dt, slice, group, has_min, small, mul) ROWS(t, dt, slice, group, has_min, small)
EACH(EXPAND_ROWS)
#define PANEL(t, dt, slice, group, has_min, small, mul)                                                           \
    static size_t panel_size_##t(int k) { return (size_t)k / 32 * block_bytes(group, has_min); }                  \
    static void panel_##t(void *p, const struct mat *w, int r0, int n_row, float *row)                            \
    {                                                                                                             \
        panel_fill(p, w, r0, n_row, BLOCK_##dt, &codecs[dt], slice, group, has_min);                          \
    }
EACH(PANEL)

/* Twelve chains of the product instruction; the empty statement keeps the loop from being folded into one. */
static double peak_int8(int n)
{
    int32x4_t a[12];
    int8x16_t x = vdupq_n_s8(3), y = vdupq_n_s8(1);
    for (int i = 0; i < 12; i++) a[i] = vdupq_n_s32(i);
    for (int r = 0; r < n; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++)
#if defined(__ARM_FEATURE_MATMUL_INT8)
            a[i] = vmmlaq_s32(a[i], x, y);
#elif defined(__ARM_FEATURE_DOTPROD)
            a[i] = vdotq_s32(a[i], x, y);
#else
            a[i] = vreinterpretq_s32_s16(vmlal_s8(vreinterpretq_s16_s32(a[i]), vget_low_s8(x), vget_low_s8(y)));
#endif
        __asm__ volatile("" : "+w"(x));
    }
    int s = 0;
    for (int i = 0; i < 12; i++) s |= vaddvq_s32(a[i]);
#if defined(__ARM_FEATURE_MATMUL_INT8)
    double ops = 64;
#elif defined(__ARM_FEATURE_DOTPROD)
    double ops = 32;
#else
    double ops = 16;
#endif
    return s == 1 ? 0 : ops * 12 * n;
}

/* So few columns are had sooner from the rows as they lie than from a panel. */
#define FEW 4

void KERN(struct kern *k)
{
    k->peak[1] = (struct peak){ "int8", peak_int8 };
#define SET(t, dt, slice, group, has_min, small, mul)                                        \
    k->prefill[dt] = (struct prefill){ &act, panel_size_##t, panel_##t, mul };        \
    k->decode[dt] = (struct decode){ &act, rows_##t, FEW };
    EACH(SET)
}

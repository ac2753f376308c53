/* quant_k.c -- super-blocks of 256 weights: Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_XS.
 *
 * A super-block is cut into groups of 16 or 32. Each group has a small integer scale (and in Q2_K,
 * Q4_K and Q5_K an integer minimum); one or two f16 factors turn those into numbers. Unpacking is the
 * format's formula; packing searches: for every group the scale that leaves the least weighted squared
 * error, then integers for the scales, then the codes once more with the scales a reader will see.
 * Any encoder that writes valid blocks is compatible, only the decoder must match to the bit. */
#include <math.h>

#include "tensor/int.h"

#define SUPER 256
#define GROUPS_MOST 16

/* ---- unpack ---- */

void unpack_q2_k(const void *restrict src, float *restrict dst, size_t n)
{
    const uint8_t *b = src;
    for (size_t i = 0; i < n; i += SUPER, b += 84) {
        float d = half_at(b + 80), dmin = half_at(b + 82);
        for (int g = 0; g < 16; g++, dst += 16) {
            const uint8_t *q = b + 16 + 32 * (g / 8) + 16 * (g % 2);
            float s = d * (float)(b[g] & 15), m = dmin * (float)(b[g] >> 4);
            int shift = g % 8 / 2 * 2;
            for (int l = 0; l < 16; l++) dst[l] = s * (float)(q[l] >> shift & 3) - m;
        }
    }
}

/* Six-bit scale of group g, still with its offset of 32. */
static int q3_scale(const uint8_t *s, int g)
{
    int low = g < 8 ? s[g] & 15 : s[g - 8] >> 4;
    return low | (s[8 + g % 4] >> (g / 4 * 2) & 3) << 4;
}

void unpack_q3_k(const void *restrict src, float *restrict dst, size_t n)
{
    const uint8_t *b = src;
    for (size_t i = 0; i < n; i += SUPER, b += 110) {
        float d = half_at(b + 108);
        for (int g = 0; g < 16; g++, dst += 16) {
            const uint8_t *high = b + 16 * (g % 2), *q = b + 32 + 32 * (g / 8) + 16 * (g % 2);
            float s = d * (float)(q3_scale(b + 96, g) - 32);
            int shift = g % 8 / 2 * 2, bit = g / 2;
            for (int l = 0; l < 16; l++)
                dst[l] = s * (float)((q[l] >> shift & 3) - 4 + (high[l] >> bit & 1) * 4);
        }
    }
}

/* Six-bit scale and minimum of group g, as Q4_K and Q5_K lay them into 12 bytes. */
static void k_scale_min(const uint8_t *s, int g, int *sc, int *mn)
{
    if (g < 4) {
        *sc = s[g] & 63;
        *mn = s[g + 4] & 63;
    } else {
        *sc = (s[g + 4] & 15) | s[g - 4] >> 6 << 4;
        *mn = s[g + 4] >> 4 | s[g] >> 6 << 4;
    }
}

void unpack_q4_k(const void *restrict src, float *restrict dst, size_t n)
{
    const uint8_t *b = src;
    for (size_t i = 0; i < n; i += SUPER, b += 144) {
        float d = half_at(b), dmin = half_at(b + 2);
        for (int g = 0; g < 8; g++, dst += 32) {
            const uint8_t *q = b + 16 + 32 * (g / 2);
            int sc, mn, shift = g % 2 * 4;
            k_scale_min(b + 4, g, &sc, &mn);
            float s = d * (float)sc, m = dmin * (float)mn;
            for (int l = 0; l < 32; l++) dst[l] = s * (float)(q[l] >> shift & 15) - m;
        }
    }
}

void unpack_q5_k(const void *restrict src, float *restrict dst, size_t n)
{
    const uint8_t *b = src;
    for (size_t i = 0; i < n; i += SUPER, b += 176) {
        float d = half_at(b), dmin = half_at(b + 2);
        for (int g = 0; g < 8; g++, dst += 32) {
            const uint8_t *high = b + 16, *q = b + 48 + 32 * (g / 2);
            int sc, mn, shift = g % 2 * 4;
            k_scale_min(b + 4, g, &sc, &mn);
            float s = d * (float)sc, m = dmin * (float)mn;
            for (int l = 0; l < 32; l++)
                dst[l] = s * (float)((q[l] >> shift & 15) | (high[l] >> g & 1) << 4) - m;
        }
    }
}

void unpack_q6_k(const void *restrict src, float *restrict dst, size_t n)
{
    const uint8_t *b = src;
    for (size_t i = 0; i < n; i += SUPER, b += 210) {
        float d = half_at(b + 208);
        const int8_t *sc = (const int8_t *)(b + 192);
        for (int g = 0; g < 16; g++, dst += 16) {
            /* Half h of 128 elements holds four runs of 32; runs 0, 1 are low nibbles, 2, 3 high ones. */
            int h = g / 8, run = g % 8 / 2, at = 16 * (g % 2);
            const uint8_t *low = b + 64 * h + 32 * (run % 2) + at, *high = b + 128 + 32 * h + at;
            int nib = run / 2 * 4, two = run * 2;
            float s = d * (float)sc[g];
            for (int l = 0; l < 16; l++)
                dst[l] = s * (float)(((low[l] >> nib & 15) | (high[l] >> two & 3) << 4) - 32);
        }
    }
}

void unpack_iq4_xs(const void *restrict src, float *restrict dst, size_t n)
{
    const uint8_t *b = src;
    for (size_t i = 0; i < n; i += SUPER, b += 136) {
        float d = half_at(b);
        int high = b[2] | b[3] << 8;
        for (int g = 0; g < 8; g++, dst += 32) {
            int ls = (b[4 + g / 2] >> (g % 2 * 4) & 15) | (high >> (2 * g) & 3) << 4;
            float s = d * (float)(ls - 32);
            const uint8_t *q = b + 8 + 16 * g;
            for (int j = 0; j < 16; j++) {
                dst[j] = s * (float)iq4_level[q[j] & 15];
                dst[j + 16] = s * (float)iq4_level[q[j] >> 4];
            }
        }
    }
}

/* ---- the search for one group ---- */

static float inverse(float d)
{
    return d != 0 ? 1 / d : 0;
}

/* x ~ scale * code, codes -half .. half-1: for the codes nearest to x * id, their least-squares scale,
 * and how much of x it explains (to be maximised). */
static float symmetric_try(const float *x, const float *w, int n, int half, float id, float *scale)
{
    float xq = 0, qq = 0;
    for (int j = 0; j < n; j++) {
        float q = (float)near_int(x[j] * id, -half, half - 1), wq = w[j] * q;
        xq += wq * x[j];
        qq += wq * q;
    }
    *scale = qq > 0 ? xq / qq : 0;
    return qq > 0 ? xq * xq / qq : 0;
}

/* A grid of trial scales around the one that maps the extreme value to the extreme code; from the best
 * of them on, codes and scale are fitted to each other in turn as long as that helps. */
float fit_symmetric(const float *x, const float *w, int n, int half)
{
    float most = 0, best = 0, best_scale = 0, scale;
    for (int j = 0; j < n; j++)
        if (fabsf(x[j]) > fabsf(most)) most = x[j];
    if (most == 0) return 0;
    for (int step = -9; step <= 9; step++) {
        float gain =
            symmetric_try(x, w, n, half, -((float)half + 0.1f * (float)step) / most, &scale);
        if (!(gain > best)) continue;
        best = gain;
        best_scale = scale;
    }
    for (int round = 0; round < 4; round++) {
        float gain = symmetric_try(x, w, n, half, inverse(best_scale), &scale);
        if (!(gain > best)) break;
        best = gain;
        best_scale = scale;
    }
    return best_scale;
}

/* Least squares over fixed codes, with min >= 0. The error is up to a constant (sum of w x^2). */
static struct line line_solve(float w, float q, float qq, float x, float qx)
{
    struct line l = { 0 };
    float det = w * qq - q * q;
    if (det > 1e-5f * w * qq) {                                       /* else all codes are the same */
        l.scale = (w * qx - x * q) / det;
        l.min = (q * qx - qq * x) / det;
    }
    if (!(l.min > 0) || !(l.scale > 0)) {
        l.min = 0;
        l.scale = qq > 0 ? qx / qq : 0;
    }
    l.error = -(l.scale * qx - l.min * x);                            /* at a least-squares solution */
    return l;
}

/* Codes nearest to (x + min) * id, and the best line through them. */
static struct line line_try(const float *x, const float *w, int n, int most, float id, float min)
{
    float sw = 0, sq = 0, sqq = 0, sx = 0, sqx = 0;
    for (int j = 0; j < n; j++) {
        float q = (float)near_int((x[j] + min) * id, 0, most), wq = w[j] * q;
        sw += w[j];
        sq += wq;
        sqq += wq * q;
        sx += w[j] * x[j];
        sqx += wq * x[j];
    }
    return line_solve(sw, sq, sqq, sx, sqx);
}

struct line fit_affine(const float *x, const float *w, int n, int most)
{
    float lo = 0, hi = x[0];
    for (int j = 0; j < n; j++) {
        lo = x[j] < lo ? x[j] : lo;
        hi = x[j] > hi ? x[j] : hi;
    }
    struct line best = { 0, -lo, INFINITY };
    if (!(hi > lo)) return best;
    for (int step = -10; step <= 10; step++) {
        struct line l =
            line_try(x, w, n, most, ((float)most + 0.1f * (float)step) / (hi - lo), -lo);
        if (l.error < best.error) best = l;
    }
    for (int round = 0; round < 4; round++) {
        struct line l = line_try(x, w, n, most, inverse(best.scale), best.min);
        if (!(l.error < best.error)) break;
        best = l;
    }
    return best;
}

/* ---- the search for a super-block ---- */

/* Codes for the scale a reader will see, and their error. */
static float symmetric_codes(const float *x, const float *w, int n, int half, float scale,
                             int8_t *q)
{
    float id = inverse(scale), error = 0;
    for (int j = 0; j < n; j++) {
        q[j] = (int8_t)near_int(x[j] * id, -half, half - 1);
        float off = x[j] - scale * (float)q[j];
        error += w[j] * off * off;
    }
    return error;
}

/* Symmetric: n_group scales as integers in [-top, top) times the factor d, which is stored at `at`.
 * The rounded scale's neighbours are tried too: the factor is coarse, the codes can make up for it. */
static void super_symmetric(const float *x, const float *importance, int n_group, int half, int top,
                            uint8_t *at, int *sc, int8_t *q)
{
    int len = SUPER / n_group;
    float w[SUPER], scale[GROUPS_MOST], most = 0;
    for (int g = 0; g < n_group; g++) {
        quant_weights(x + g * len, part_of(importance, (size_t)(g * len)), len, w + g * len);
        scale[g] = fit_symmetric(x + g * len, w + g * len, len, half);
        if (fabsf(scale[g]) > fabsf(most)) most = scale[g];
    }
    float d = half_put(at, -most / (float)top), id = inverse(d);
    for (int g = 0; g < n_group; g++) {
        int near = near_int(scale[g] * id, -top, top - 1);
        float best = INFINITY;
        int8_t trial[32];
        sc[g] = 0;
        memset(q + g * len, 0, (size_t)len);
        for (int s = MAX(near - 1, -top); s <= MIN(near + 1, top - 1); s++) {
            float error = symmetric_codes(x + g * len, w + g * len, len, half, d * (float)s, trial);
            if (!(error < best)) continue;
            best = error;
            sc[g] = s;
            memcpy(q + g * len, trial, (size_t)len);
        }
    }
}

static float affine_codes(const float *x, const float *w, int n, int most, float scale, float min,
                          uint8_t *q)
{
    float id = inverse(scale), error = 0;
    for (int j = 0; j < n; j++) {
        q[j] = (uint8_t)near_int((x[j] + min) * id, 0, most);
        float off = scale * (float)q[j] - min - x[j];
        error += w[j] * off * off;
    }
    return error;
}

/* Scale and minimum of one group as integers near the wanted line, and its codes. */
static void affine_group(const float *x, const float *w, int len, int most, int top,
                         const struct line *want, float d, float dmin, int *sc, int *mn, uint8_t *q)
{
    int near_s = near_int(want->scale * inverse(d), 0, top),
        near_m = near_int(want->min * inverse(dmin), 0, top);
    float best = INFINITY;
    uint8_t trial[32];
    *sc = *mn = 0;
    memset(q, 0, (size_t)len);
    for (int s = MAX(near_s - 1, 0); s <= MIN(near_s + 1, top); s++)
        for (int m = MAX(near_m - 1, 0); m <= MIN(near_m + 1, top); m++) {
            float error = affine_codes(x, w, len, most, d * (float)s, dmin * (float)m, trial);
            if (!(error < best)) continue;
            best = error;
            *sc = s;
            *mn = m;
            memcpy(q, trial, (size_t)len);
        }
}

/* Affine: scales and minima as integers 0 .. top times the factors d and dmin stored at `at`. */
static void super_affine(const float *x, const float *importance, int n_group, int most, int top,
                         uint8_t *at, int *sc, int *mn, uint8_t *q)
{
    int len = SUPER / n_group;
    float w[SUPER], most_scale = 0, most_min = 0;
    struct line want[GROUPS_MOST];
    for (int g = 0; g < n_group; g++) {
        quant_weights(x + g * len, part_of(importance, (size_t)(g * len)), len, w + g * len);
        want[g] = fit_affine(x + g * len, w + g * len, len, most);
        most_scale = MAX(most_scale, want[g].scale);
        most_min = MAX(most_min, want[g].min);
    }
    float d = half_put(at, most_scale / (float)top), dmin = half_put(at + 2, most_min / (float)top);
    for (int g = 0; g < n_group; g++)
        affine_group(x + g * len, w + g * len, len, most, top, &want[g], d, dmin, &sc[g], &mn[g],
                     q + g * len);
}

/* ---- pack ---- */

void pack_q2_k(const float *src, const float *importance, void *dst, size_t n)
{
    uint8_t *b = dst, q[SUPER];
    int sc[16], mn[16];
    for (size_t i = 0; i < n; i += SUPER, b += 84) {
        super_affine(src + i, part_of(importance, i), 16, 3, 15, b + 80, sc, mn, q);
        memset(b + 16, 0, 64);
        for (int g = 0; g < 16; g++) b[g] = (uint8_t)(sc[g] | mn[g] << 4);
        for (int j = 0; j < SUPER; j++)
            b[16 + j / 128 * 32 + j % 32] |= (uint8_t)(q[j] << (j % 128 / 32 * 2));
    }
}

void pack_q3_k(const float *src, const float *importance, void *dst, size_t n)
{
    uint8_t *b = dst;
    int8_t q[SUPER];
    int sc[16];
    for (size_t i = 0; i < n; i += SUPER, b += 110) {
        super_symmetric(src + i, part_of(importance, i), 16, 4, 32, b + 108, sc, q);
        memset(b, 0, 108);
        for (int g = 0; g < 16; g++) {
            int raw = sc[g] + 32;
            b[96 + g % 8] |= (uint8_t)((raw & 15) << (g / 8 * 4));
            b[104 + g % 4] |= (uint8_t)(raw >> 4 << (g / 4 * 2));
        }
        for (int j = 0; j < SUPER; j++) {
            int code = q[j] + 4;
            b[32 + j / 128 * 32 + j % 32] |= (uint8_t)((code & 3) << (j % 128 / 32 * 2));
            b[j % 32] |= (uint8_t)(code >> 2 << j / 32);
        }
    }
}

/* Inverse of k_scale_min(). */
static void k_put_scales(uint8_t *s, const int *sc, const int *mn)
{
    for (int g = 0; g < 4; g++) {
        s[g] = (uint8_t)(sc[g] | sc[g + 4] >> 4 << 6);
        s[g + 4] = (uint8_t)(mn[g] | mn[g + 4] >> 4 << 6);
        s[g + 8] = (uint8_t)((sc[g + 4] & 15) | (mn[g + 4] & 15) << 4);
    }
}

static void k_put_nibbles(uint8_t *out, const uint8_t *q)
{
    for (int j = 0; j < 128; j++) {
        const uint8_t *pair = q + j / 32 * 64 + j % 32;
        out[j] = (uint8_t)((pair[0] & 15) | (pair[32] & 15) << 4);
    }
}

void pack_q4_k(const float *src, const float *importance, void *dst, size_t n)
{
    uint8_t *b = dst, q[SUPER];
    int sc[8], mn[8];
    for (size_t i = 0; i < n; i += SUPER, b += 144) {
        super_affine(src + i, part_of(importance, i), 8, 15, 63, b, sc, mn, q);
        k_put_scales(b + 4, sc, mn);
        k_put_nibbles(b + 16, q);
    }
}

void pack_q5_k(const float *src, const float *importance, void *dst, size_t n)
{
    uint8_t *b = dst, q[SUPER];
    int sc[8], mn[8];
    for (size_t i = 0; i < n; i += SUPER, b += 176) {
        super_affine(src + i, part_of(importance, i), 8, 31, 63, b, sc, mn, q);
        k_put_scales(b + 4, sc, mn);
        memset(b + 16, 0, 32);
        for (int j = 0; j < SUPER; j++) b[16 + j % 32] |= (uint8_t)(q[j] >> 4 << j / 32);
        k_put_nibbles(b + 48, q);
    }
}

void pack_q6_k(const float *src, const float *importance, void *dst, size_t n)
{
    uint8_t *b = dst;
    int8_t q[SUPER];
    int sc[16];
    for (size_t i = 0; i < n; i += SUPER, b += 210) {
        super_symmetric(src + i, part_of(importance, i), 16, 32, 128, b + 208, sc, q);
        memset(b, 0, 192);
        for (int g = 0; g < 16; g++) b[192 + g] = (uint8_t)(int8_t)sc[g];
        for (int j = 0; j < SUPER; j++) {
            int h = j / 128, run = j % 128 / 32, at = j % 32, code = q[j] + 32;
            b[64 * h + 32 * (run % 2) + at] |= (uint8_t)((code & 15) << (run / 2 * 4));
            b[128 + 32 * h + at] |= (uint8_t)(code >> 4 << (run * 2));
        }
    }
}

void pack_iq4_xs(const float *src, const float *importance, void *dst, size_t n)
{
    uint8_t *b = dst;
    for (size_t i = 0; i < n; i += SUPER, b += 136) {
        float scale[8], most = 0;
        for (int g = 0; g < 8; g++) {
            scale[g] = iq4_search(src + i + 32 * g, part_of(importance, i + 32 * (size_t)g), 32);
            if (fabsf(scale[g]) > fabsf(most)) most = scale[g];
        }
        float d = half_put(b, -most / 32);
        memset(b + 2, 0, 6);
        for (int g = 0; g < 8; g++) {
            int sc = near_int(scale[g] * inverse(d), -32, 31), raw = sc + 32;
            float step = inverse(d * (float)sc);
            const float *x = src + i + 32 * g;
            b[2 + g / 4] |= (uint8_t)(raw >> 4 << (g % 4 * 2));
            b[4 + g / 2] |= (uint8_t)((raw & 15) << (g % 2 * 4));
            for (int j = 0; j < 16; j++)
                b[8 + 16 * g + j] =
                    (uint8_t)(iq4_nearest(x[j] * step) | iq4_nearest(x[j + 16] * step) << 4);
        }
    }
}

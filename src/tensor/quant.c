/* quant.c -- blocks of 32 weights: Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 IQ4_NL MXFP4.
 *
 * A block is one or two f16 scales (MXFP4: a power of two) and 32 small integers. Four-bit codes split by half: the low nibble
 * of byte j is element j, the high nibble element j + 16. Fifth bits lie apart, bit i for element i.
 *
 * Packing rounds to nearest by the rules other writers of these formats follow, so that the same f32
 * values give the same bytes: everything in f32, x * (1/d) instead of x / d, the first of equal
 * extremes wins, codes from the f32 scale although an f16 is stored. NaN and Inf give valid but
 * meaningless blocks; whoever packs a file looks for them first. */
#include <math.h>

#include "tensor/int.h"

#define BLOCK 32

/* ---- unpack ---- */

void unpack_q4_0(const void *restrict src, float *restrict dst, size_t n)
{
    const uint8_t *b = src;
    for (size_t i = 0; i < n; i += BLOCK, b += 18, dst += BLOCK) {
        float d = half_at(b);
        for (int j = 0; j < 16; j++) {
            dst[j] = d * (float)((b[2 + j] & 15) - 8);
            dst[j + 16] = d * (float)((b[2 + j] >> 4) - 8);
        }
    }
}

void unpack_q4_1(const void *restrict src, float *restrict dst, size_t n)
{
    const uint8_t *b = src;
    for (size_t i = 0; i < n; i += BLOCK, b += 20, dst += BLOCK) {
        float d = half_at(b), m = half_at(b + 2);
        for (int j = 0; j < 16; j++) {
            dst[j] = d * (float)(b[4 + j] & 15) + m;
            dst[j + 16] = d * (float)(b[4 + j] >> 4) + m;
        }
    }
}

static uint32_t u32_at(const uint8_t *p)
{
    uint32_t u;
    memcpy(&u, p, sizeof u);
    return u;
}

void unpack_q5_0(const void *restrict src, float *restrict dst, size_t n)
{
    const uint8_t *b = src;
    for (size_t i = 0; i < n; i += BLOCK, b += 22, dst += BLOCK) {
        float d = half_at(b);
        uint32_t high = u32_at(b + 2);
        for (int j = 0; j < 16; j++) {
            int lo = (b[6 + j] & 15) | (int)(high >> j & 1) << 4;
            int hi = (b[6 + j] >> 4) | (int)(high >> (j + 16) & 1) << 4;
            dst[j] = d * (float)(lo - 16);
            dst[j + 16] = d * (float)(hi - 16);
        }
    }
}

void unpack_q5_1(const void *restrict src, float *restrict dst, size_t n)
{
    const uint8_t *b = src;
    for (size_t i = 0; i < n; i += BLOCK, b += 24, dst += BLOCK) {
        float d = half_at(b), m = half_at(b + 2);
        uint32_t high = u32_at(b + 4);
        for (int j = 0; j < 16; j++) {
            int lo = (b[8 + j] & 15) | (int)(high >> j & 1) << 4;
            int hi = (b[8 + j] >> 4) | (int)(high >> (j + 16) & 1) << 4;
            dst[j] = d * (float)lo + m;
            dst[j + 16] = d * (float)hi + m;
        }
    }
}

void unpack_q8_0(const void *restrict src, float *restrict dst, size_t n)
{
    const uint8_t *b = src;
    for (size_t i = 0; i < n; i += BLOCK, b += 34, dst += BLOCK) {
        float d = half_at(b);
        const int8_t *q = (const int8_t *)(b + 2);
        for (int j = 0; j < BLOCK; j++) dst[j] = d * (float)q[j];
    }
}

const int8_t iq4_level[16] = { -127, -104, -83, -65, -49, -35, -22, -10,
                               1,    13,   25,  38,  53,  69,  89,  113 };

void unpack_iq4_nl(const void *restrict src, float *restrict dst, size_t n)
{
    const uint8_t *b = src;
    for (size_t i = 0; i < n; i += BLOCK, b += 18, dst += BLOCK) {
        float d = half_at(b);
        for (int j = 0; j < 16; j++) {
            dst[j] = d * (float)iq4_level[b[2 + j] & 15];
            dst[j + 16] = d * (float)iq4_level[b[2 + j] >> 4];
        }
    }
}

const int8_t fp4_level[16] = { 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12 };

/* OCP Microscaling formats 1.0. */
void unpack_mxfp4(const void *restrict src, float *restrict dst, size_t n)
{
    const uint8_t *b = src;
    for (size_t i = 0; i < n; i += BLOCK, b += 17, dst += BLOCK) {
        float d = fp4_scale(b[0]);
        for (int j = 0; j < 16; j++) {
            dst[j] = d * (float)fp4_level[b[1 + j] & 15];
            dst[j + 16] = d * (float)fp4_level[b[1 + j] >> 4];
        }
    }
}

/* ---- pack ---- */

/* The signed value of largest magnitude. */
static float extreme(const float *x)
{
    float best = 0, most = 0;
    for (int j = 0; j < BLOCK; j++)
        if (fabsf(x[j]) > most) {
            most = fabsf(x[j]);
            best = x[j];
        }
    return best;
}

static float inverse(float d)
{
    return d != 0 ? 1 / d : 0;
}

static void put_nibbles(uint8_t *out, const uint8_t *q)
{
    for (int j = 0; j < 16; j++) out[j] = (uint8_t)((q[j] & 15) | (q[j + 16] & 15) << 4);
}

static void put_fifth(uint8_t *out, const uint8_t *q)
{
    uint32_t high = 0;
    for (int j = 0; j < BLOCK; j++) high |= (uint32_t)(q[j] >> 4 & 1) << j;
    memcpy(out, &high, sizeof high);
}

/* Codes 0 .. 2*half-1 around zero: the extreme value gets code 0, so the scale may be negative. With an
 * importance the scale is searched for instead, and the codes are those for the scale a reader sees. */
static void codes_symmetric(const float *x, const float *importance, int half, uint8_t *scale, uint8_t *q)
{
    float d = extreme(x) / (float)-half, w[BLOCK];
    if (importance) {
        quant_weights(x, importance, BLOCK, w);
        d = half_put(scale, fit_symmetric(x, w, BLOCK, half));
    } else half_put(scale, d);
    float id = inverse(d);
    for (int j = 0; j < BLOCK; j++)
        q[j] = (uint8_t)clamp_int(x[j] * id + ((float)half + 0.5f), 0, 2 * half - 1);
}

/* Codes 0 .. most from the smallest value up; with an importance both ends are searched for. */
static void codes_affine(const float *x, const float *importance, int most, uint8_t *scale, uint8_t *q)
{
    float lo = x[0], hi = x[0], w[BLOCK];
    for (int j = 1; j < BLOCK; j++) {
        lo = x[j] < lo ? x[j] : lo;
        hi = x[j] > hi ? x[j] : hi;
    }
    float d = (hi - lo) / (float)most;
    if (importance) {
        quant_weights(x, importance, BLOCK, w);
        struct line l = fit_affine(x, w, BLOCK, most);
        d = half_put(scale, l.scale);
        lo = half_put(scale + 2, -l.min);
    } else {
        half_put(scale, d);
        half_put(scale + 2, lo);
    }
    float id = inverse(d);
    for (int j = 0; j < BLOCK; j++) q[j] = (uint8_t)clamp_int((x[j] - lo) * id + 0.5f, 0, most);
}

void pack_q4_0(const float *src, const float *importance, void *dst, size_t n)
{
    uint8_t *b = dst, q[BLOCK];
    for (size_t i = 0; i < n; i += BLOCK, b += 18) {
        codes_symmetric(src + i, part_of(importance, i), 8, b, q);
        put_nibbles(b + 2, q);
    }
}

void pack_q4_1(const float *src, const float *importance, void *dst, size_t n)
{
    uint8_t *b = dst, q[BLOCK];
    for (size_t i = 0; i < n; i += BLOCK, b += 20) {
        codes_affine(src + i, part_of(importance, i), 15, b, q);
        put_nibbles(b + 4, q);
    }
}

void pack_q5_0(const float *src, const float *importance, void *dst, size_t n)
{
    uint8_t *b = dst, q[BLOCK];
    for (size_t i = 0; i < n; i += BLOCK, b += 22) {
        codes_symmetric(src + i, part_of(importance, i), 16, b, q);
        put_fifth(b + 2, q);
        put_nibbles(b + 6, q);
    }
}

void pack_q5_1(const float *src, const float *importance, void *dst, size_t n)
{
    uint8_t *b = dst, q[BLOCK];
    for (size_t i = 0; i < n; i += BLOCK, b += 24) {
        codes_affine(src + i, part_of(importance, i), 31, b, q);
        put_fifth(b + 4, q);
        put_nibbles(b + 8, q);
    }
}

void pack_q8_0(const float *src, const float *importance, void *dst, size_t n)
{
    (void)importance;                                                 /* fine enough without */
    uint8_t *b = dst;
    for (size_t i = 0; i < n; i += BLOCK, b += 34) {
        const float *x = src + i;
        float d = fabsf(extreme(x)) / 127, id = inverse(d);
        half_put(b, d);
        for (int j = 0; j < BLOCK; j++) b[2 + j] = (uint8_t)round_int(x[j] * id, -127, 127);
    }
}

/* ---- levels that are not equally spaced ---- */

/* Halving: four comparisons with the points half way between neighbours. NaN gives level 0. */
int iq4_nearest(float x)
{
    static const float half_way[15] = { -115.5f, -93.5f, -74,   -57,   -42, -28.5f, -16, -4.5f,
                                        7,       19,     31.5f, 45.5f, 61,  79,     101 };
    int i = x > half_way[7] ? 8 : 0;
    i += x > half_way[i + 3] ? 4 : 0;
    i += x > half_way[i + 1] ? 2 : 0;
    return i + (x > half_way[i]);
}

void quant_weights(const float *x, const float *importance, int n, float *w)
{
    float power = 0;
    for (int j = 0; j < n; j++) power += x[j] * x[j];
    power /= (float)n;
    float root = sqrtf(power);
    for (int j = 0; j < n; j++)
        w[j] = importance ? importance[j] * sqrtf(power + x[j] * x[j]) : root + fabsf(x[j]);
}

/* One trial: the levels nearest to x * id, and the least-squares scale for them. What it explains of x
 * (to be maximised) is returned. */
static float iq4_try(const float *x, const float *w, int n, float id, float *scale)
{
    float xl = 0, ll = 0;
    for (int j = 0; j < n; j++) {
        float l = iq4_level[iq4_nearest(x[j] * id)], wl = w[j] * l;
        xl += wl * x[j];
        ll += wl * l;
    }
    *scale = ll > 0 ? xl / ll : 0;
    return ll > 0 ? xl * xl / ll : 0;
}

float iq4_search(const float *x, const float *importance, int n)
{
    float most = 0, best_scale = 0, best = 0, scale, w[BLOCK];
    for (int j = 0; j < n; j++)
        if (fabsf(x[j]) > fabsf(most)) most = x[j];
    if (most == 0) return 0;
    quant_weights(x, importance, n, w);
    for (int step = -16; step <= 16; step++) {
        /* Both signs: the levels reach further below zero than above. */
        float id = (float)(step < 0 ? -110 + 2 * step : 90 + 2 * step) / most,
              gain = iq4_try(x, w, n, id, &scale);
        if (!(gain > best)) continue;
        best = gain;
        best_scale = scale;
    }
    for (int round = 0; round < 4; round++) {
        float gain = iq4_try(x, w, n, inverse(best_scale), &scale);
        if (!(gain > best)) break;
        best = gain;
        best_scale = scale;
    }
    return best_scale;
}

void pack_iq4_nl(const float *src, const float *importance, void *dst, size_t n)
{
    uint8_t *b = dst, q[BLOCK];
    for (size_t i = 0; i < n; i += BLOCK, b += 18) {
        float d = half_put(b, iq4_search(src + i, part_of(importance, i), BLOCK)), id = inverse(d);
        for (int j = 0; j < BLOCK; j++) q[j] = (uint8_t)iq4_nearest(src[i + (size_t)j] * id);
        put_nibbles(b + 2, q);
    }
}

static uint8_t fp4_nearest(float x)
{
    int best = 0;
    float m = fabsf(x);
    for (int i = 1; i < 8; i++)
        if (fabsf(m - (float)fp4_level[i]) < fabsf(m - (float)fp4_level[best])) best = i;
    return (uint8_t)(best | (x < 0 ? 8 : 0));
}

/* The largest value gets the largest exponent of E2M1, 2, as the specification says. */
void pack_mxfp4(const float *src, const float *importance, void *dst, size_t n)
{
    (void)importance;                                                 /* its scale is a rule, not a choice */
    uint8_t *b = dst, q[BLOCK];
    for (size_t i = 0; i < n; i += BLOCK, b += 17) {
        float most = fabsf(extreme(src + i));
        int e = 0;
        if (most > 0) frexpf(most, &e);
        b[0] = most > 0 ? (uint8_t)MIN(MAX(e - 1 - 2 + 127, 0), 252) : 0;
        float d = fp4_scale(b[0]);
        for (int j = 0; j < BLOCK; j++) q[j] = fp4_nearest(src[i + (size_t)j] / d);
        put_nibbles(b + 1, q);
    }
}

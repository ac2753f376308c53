/* codec.h -- private to cpu/: rows of every quantised dtype as int8 values with a scale per group.
 *
 * w[i] = scale[i / group] * q[i] + min[i / 32]. The integer kernels of an instruction set include this
 * and work on q alone; what a block looks like on disk is known here and in tensor/ only. Types whose
 * minimum changes more often than every 32 values are not here: they go the f32 way. */
#ifndef TENON_CPU_CODEC_H
#define TENON_CPU_CODEC_H

#include "cpu/int.h"
#if defined(__F16C__)
#include <immintrin.h>
#endif

struct codec {
    /* k values, whole blocks; scale [k / group], min [k / 32] if has_min. */
    void (*row)(const uint8_t *src, int8_t *q, float *scale, float *min, int k);
    int group;
    bool has_min;
};

static inline float codec_half(const uint8_t *p)
{
    uint16_t h;
    memcpy(&h, p, sizeof h);
#if defined(__F16C__)
    return _cvtsh_ss(h);
#else
    return f16_to_f32(h);
#endif
}

static void codec_q8_0(const uint8_t *src, int8_t *q, float *scale, float *min, int k)
{
    for (int b = 0; b < k / 32; b++, src += 34, q += 32) {
        scale[b] = codec_half(src);
        memcpy(q, src + 2, 32);
    }
}

/* Nibbles of 16 bytes: low ones first, then high ones, `less` subtracted. */
static inline void codec_nibbles(int8_t *q, const uint8_t *p, int less)
{
    for (int i = 0; i < 16; i++) {
        q[i] = (int8_t)((p[i] & 15) - less);
        q[i + 16] = (int8_t)((p[i] >> 4) - less);
    }
}

static void codec_q4_0(const uint8_t *src, int8_t *q, float *scale, float *min, int k)
{
    for (int b = 0; b < k / 32; b++, src += 18, q += 32) {
        scale[b] = codec_half(src);
        codec_nibbles(q, src + 2, 8);
    }
}

static void codec_q4_1(const uint8_t *src, int8_t *q, float *scale, float *min, int k)
{
    for (int b = 0; b < k / 32; b++, src += 20, q += 32) {
        scale[b] = codec_half(src);
        min[b] = codec_half(src + 2);
        codec_nibbles(q, src + 4, 0);
    }
}

/* Bit i of the word at qh is the fifth bit of value i. */
static inline void codec_fifth(int8_t *q, const uint8_t *qh)
{
    uint32_t bits;
    memcpy(&bits, qh, sizeof bits);
    for (int i = 0; i < 32; i++) q[i] = (int8_t)(q[i] + (int)(bits >> i & 1) * 16);
}

static void codec_q5_0(const uint8_t *src, int8_t *q, float *scale, float *min, int k)
{
    for (int b = 0; b < k / 32; b++, src += 22, q += 32) {
        scale[b] = codec_half(src);
        codec_nibbles(q, src + 6, 16);
        codec_fifth(q, src + 2);
    }
}

static void codec_q5_1(const uint8_t *src, int8_t *q, float *scale, float *min, int k)
{
    for (int b = 0; b < k / 32; b++, src += 24, q += 32) {
        scale[b] = codec_half(src);
        min[b] = codec_half(src + 2);
        codec_nibbles(q, src + 8, 0);
        codec_fifth(q, src + 4);
    }
}

/* Eight six-bit scales and minima in twelve bytes, as two words of bytes each. */
static inline void codec_scales(const uint8_t *p, uint8_t sc[8], uint8_t mn[8])
{
    uint32_t a[3], s[2], m[2];
    memcpy(a, p, sizeof a);
    s[0] = a[0] & 0x3f3f3f3f;
    m[0] = a[1] & 0x3f3f3f3f;
    s[1] = (a[2] & 0x0f0f0f0f) | (a[0] >> 6 & 0x03030303) << 4;
    m[1] = (a[2] >> 4 & 0x0f0f0f0f) | (a[1] >> 6 & 0x03030303) << 4;
    memcpy(sc, s, sizeof s);
    memcpy(mn, m, sizeof m);
}

static inline void codec_affine(const uint8_t *src, float *scale, float *min)
{
    uint8_t sc[8], mn[8];
    float d = codec_half(src), dmin = codec_half(src + 2);
    codec_scales(src + 4, sc, mn);
    for (int g = 0; g < 8; g++) {
        scale[g] = d * (float)sc[g];
        min[g] = -dmin * (float)mn[g];
    }
}

static void codec_q4_k(const uint8_t *src, int8_t *q, float *scale, float *min, int k)
{
    for (int b = 0; b < k / 256; b++, src += 144, scale += 8, min += 8) {
        codec_affine(src, scale, min);
        for (int c = 0; c < 4; c++, q += 64)
            for (int i = 0; i < 32; i++) {
                q[i] = (int8_t)(src[16 + 32 * c + i] & 15);
                q[i + 32] = (int8_t)(src[16 + 32 * c + i] >> 4);
            }
    }
}

static void codec_q5_k(const uint8_t *src, int8_t *q, float *scale, float *min, int k)
{
    for (int b = 0; b < k / 256; b++, src += 176, scale += 8, min += 8) {
        codec_affine(src, scale, min);
        for (int c = 0; c < 4; c++, q += 64)
            for (int i = 0; i < 32; i++) {
                q[i] = (int8_t)((src[48 + 32 * c + i] & 15) | (src[16 + i] >> (2 * c) & 1) << 4);
                q[i + 32] = (int8_t)((src[48 + 32 * c + i] >> 4) | (src[16 + i] >> (2 * c + 1) & 1) << 4);
            }
    }
}

static void codec_q6_k(const uint8_t *src, int8_t *q, float *scale, float *min, int k)
{
    for (int b = 0; b < k / 256; b++, src += 210, scale += 16) {
        float d = codec_half(src + 208);
        for (int g = 0; g < 16; g++) scale[g] = d * (float)(int8_t)src[192 + g];
        for (int n = 0; n < 2; n++, q += 128) {
            const uint8_t *ql = src + 64 * n, *qh = src + 128 + 32 * n;
            for (int i = 0; i < 32; i++) {
                q[i] = (int8_t)(((ql[i] & 15) | (qh[i] & 3) << 4) - 32);
                q[i + 32] = (int8_t)(((ql[i + 32] & 15) | (qh[i] >> 2 & 3) << 4) - 32);
                q[i + 64] = (int8_t)((ql[i] >> 4 | (qh[i] >> 4 & 3) << 4) - 32);
                q[i + 96] = (int8_t)((ql[i + 32] >> 4 | (qh[i] >> 6 & 3) << 4) - 32);
            }
        }
    }
}

static void codec_q3_k(const uint8_t *src, int8_t *q, float *scale, float *min, int k)
{
    for (int b = 0; b < k / 256; b++, src += 110, scale += 16) {
        const uint8_t *s = src + 96;
        float d = codec_half(src + 108);
        for (int g = 0; g < 16; g++) {
            int low = g < 8 ? s[g] & 15 : s[g - 8] >> 4;
            scale[g] = d * (float)((low | (s[8 + g % 4] >> (2 * (g / 4)) & 3) << 4) - 32);
        }
        for (int j = 0; j < 8; j++, q += 32)
            for (int i = 0; i < 32; i++) {
                int two = src[32 + 32 * (j / 4) + i] >> (2 * (j % 4)) & 3;
                q[i] = (int8_t)(two - (src[i] >> j & 1 ? 0 : 4));
            }
    }
}

static const int8_t codec_levels[16] = { -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113 };

static inline void codec_level(int8_t *q, const uint8_t *p)
{
    for (int i = 0; i < 16; i++) {
        q[i] = codec_levels[p[i] & 15];
        q[i + 16] = codec_levels[p[i] >> 4];
    }
}

static void codec_iq4_nl(const uint8_t *src, int8_t *q, float *scale, float *min, int k)
{
    for (int b = 0; b < k / 32; b++, src += 18, q += 32) {
        scale[b] = codec_half(src);
        codec_level(q, src + 2);
    }
}

static void codec_iq4_xs(const uint8_t *src, int8_t *q, float *scale, float *min, int k)
{
    for (int b = 0; b < k / 256; b++, src += 136, scale += 8) {
        float d = codec_half(src);
        unsigned high = src[2] | (unsigned)src[3] << 8;
        for (int g = 0; g < 8; g++, q += 32) {
            int s = (src[4 + g / 2] >> (4 * (g % 2)) & 15) | (int)(high >> (2 * g) & 3) << 4;
            scale[g] = d * (float)(s - 32);
            codec_level(q, src + 8 + 16 * g);
        }
    }
}

static const struct codec codecs[DT_COUNT] = {
    [DT_Q8_0] = { codec_q8_0, 32, false },     [DT_Q4_0] = { codec_q4_0, 32, false },
    [DT_Q4_1] = { codec_q4_1, 32, true },      [DT_Q5_0] = { codec_q5_0, 32, false },
    [DT_Q5_1] = { codec_q5_1, 32, true },      [DT_Q4_K] = { codec_q4_k, 32, true },
    [DT_Q5_K] = { codec_q5_k, 32, true },      [DT_Q6_K] = { codec_q6_k, 16, false },
    [DT_Q3_K] = { codec_q3_k, 16, false },     [DT_IQ4_NL] = { codec_iq4_nl, 32, false },
    [DT_IQ4_XS] = { codec_iq4_xs, 32, false },
};

#endif

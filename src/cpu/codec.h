/* codec.h -- private to cpu/: rows of every quantised dtype as int8 values with a scale per
 * group.
 *
 * w[i] = scale[i / group] * q[i] + min[i / 32]. The integer kernels of an instruction set
 * include this and work on q alone; what a block looks like on disk is known here and in tensor/
 * only. Types whose minimum changes more often than every 32 values are not here: they go the
 * f32 way. A block is taken apart 32 bytes at a time (codec_vec): one register of AVX2, two of NEON
 * (codec_neon.h). For files that are compiled with one of these. */
#ifndef TENON_CPU_CODEC_H
#define TENON_CPU_CODEC_H

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "cpu/int.h"

struct codec {
    /* k values, whole blocks; scale [k / group], min [k / 32] if has_min. */
    void (*row)(const uint8_t *src, int8_t *q, float *scale, float *min, int k);
    int group;
    bool has_min;
};

#if defined(__aarch64__)
#include "cpu/codec_neon.h"
#else
typedef __m256i codec_vec;

static inline float codec_half(const uint8_t *p)
{
    uint16_t h;
    memcpy(&h, p, sizeof h);
    return _cvtsh_ss(h);
}

static inline codec_vec codec_load(const uint8_t *p)
{
    return _mm256_loadu_si256((const void *)p);
}

static inline void codec_store(int8_t *q, codec_vec v)
{
    _mm256_storeu_si256((void *)q, v);
}

/* Bits [shift, shift + width) of every byte. */
static inline codec_vec codec_bits(codec_vec v, int shift, int width)
{
    return _mm256_and_si256(_mm256_srli_epi16(v, shift),
                            _mm256_set1_epi8((char)((1 << width) - 1)));
}

/* Nibbles of 16 bytes: the low ones first, then the high ones. */
static inline codec_vec codec_nibbles(const uint8_t *p)
{
    __m128i v = _mm_loadu_si128((const void *)p);
    return _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(v, 4), v), _mm256_set1_epi8(15));
}

static inline codec_vec codec_less(codec_vec v, int n)
{
    return _mm256_sub_epi8(v, _mm256_set1_epi8((char)n));
}

static inline codec_vec codec_or(codec_vec a, codec_vec b)
{
    return _mm256_or_si256(a, b);
}

/* Every byte n bits up; none may lose a bit. */
static inline codec_vec codec_up(codec_vec v, int n)
{
    return _mm256_slli_epi16(v, n);
}

/* 16 where bit i of the word at qh is set, for value i. */
static inline codec_vec codec_fifth(const uint8_t *qh)
{
    uint32_t bits;
    memcpy(&bits, qh, sizeof bits);
    const __m256i byte =
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    __m256i v = _mm256_shuffle_epi8(_mm256_set1_epi32((int)bits), byte);
    return _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(v, bit), bit), _mm256_set1_epi8(16));
}

/* Nibbles are places in a table of sixteen levels. */
static inline codec_vec codec_level_of(const uint8_t *p, const int8_t levels[16])
{
    __m128i v = _mm_loadu_si128((const void *)levels);
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(v), codec_nibbles(p));
}

#endif

/* ---- rows, type by type ---------------------------------------------------------------------- */

static void codec_q8_0(const uint8_t *src, int8_t *q, float *scale, float *min, int k)
{
    for (int b = 0; b < k / 32; b++, src += 34, q += 32) {
        scale[b] = codec_half(src);
        memcpy(q, src + 2, 32);
    }
}

static void codec_q4_0(const uint8_t *src, int8_t *q, float *scale, float *min, int k)
{
    for (int b = 0; b < k / 32; b++, src += 18, q += 32) {
        scale[b] = codec_half(src);
        codec_store(q, codec_less(codec_nibbles(src + 2), 8));
    }
}

static void codec_q4_1(const uint8_t *src, int8_t *q, float *scale, float *min, int k)
{
    for (int b = 0; b < k / 32; b++, src += 20, q += 32) {
        scale[b] = codec_half(src);
        min[b] = codec_half(src + 2);
        codec_store(q, codec_nibbles(src + 4));
    }
}

static void codec_q5_0(const uint8_t *src, int8_t *q, float *scale, float *min, int k)
{
    for (int b = 0; b < k / 32; b++, src += 22, q += 32) {
        scale[b] = codec_half(src);
        codec_store(q,
                    codec_less(codec_or(codec_nibbles(src + 6), codec_fifth(src + 2)), 16));
    }
}

static void codec_q5_1(const uint8_t *src, int8_t *q, float *scale, float *min, int k)
{
    for (int b = 0; b < k / 32; b++, src += 24, q += 32) {
        scale[b] = codec_half(src);
        min[b] = codec_half(src + 2);
        codec_store(q, codec_or(codec_nibbles(src + 8), codec_fifth(src + 4)));
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
        for (int c = 0; c < 4; c++, q += 64) {
            codec_vec v = codec_load(src + 16 + 32 * c);
            codec_store(q, codec_bits(v, 0, 4));
            codec_store(q + 32, codec_bits(v, 4, 4));
        }
    }
}

static void codec_q5_k(const uint8_t *src, int8_t *q, float *scale, float *min, int k)
{
    for (int b = 0; b < k / 256; b++, src += 176, scale += 8, min += 8) {
        codec_affine(src, scale, min);
        codec_vec high = codec_load(src + 16);
        for (int c = 0; c < 4; c++, q += 64) {
            codec_vec v = codec_load(src + 48 + 32 * c);
            codec_vec h0 = codec_up(codec_bits(high, 2 * c, 1), 4);
            codec_vec h1 = codec_up(codec_bits(high, 2 * c + 1, 1), 4);
            codec_store(q, codec_or(codec_bits(v, 0, 4), h0));
            codec_store(q + 32, codec_or(codec_bits(v, 4, 4), h1));
        }
    }
}

static void codec_q6_k(const uint8_t *src, int8_t *q, float *scale, float *min, int k)
{
    for (int b = 0; b < k / 256; b++, src += 210, scale += 16) {
        float d = codec_half(src + 208);
        for (int g = 0; g < 16; g++) scale[g] = d * (float)(int8_t)src[192 + g];
        for (int n = 0; n < 2; n++, q += 128) {
            codec_vec high = codec_load(src + 128 + 32 * n);
            for (int j = 0; j < 4; j++) {
                codec_vec low = codec_bits(codec_load(src + 64 * n + 32 * (j % 2)), 4 * (j / 2), 4);
                codec_vec h = codec_up(codec_bits(high, 2 * j, 2), 4);
                codec_store(q + 32 * j, codec_less(codec_or(low, h), 32));
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
        codec_vec high = codec_load(src);
        for (int j = 0; j < 8; j++, q += 32) {
            codec_vec two = codec_bits(codec_load(src + 32 + 32 * (j / 4)), 2 * (j % 4), 2);
            codec_vec h = codec_up(codec_bits(high, j, 1), 2);
            codec_store(q, codec_less(codec_or(two, h), 4));
        }
    }
}

static inline codec_vec codec_level(const uint8_t *p)
{
    static const int8_t levels[16] = { -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113 };
    return codec_level_of(p, levels);
}

static void codec_mxfp4(const uint8_t *src, int8_t *q, float *scale, float *min, int k)
{
    static const int8_t levels[16] = { 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12 };
    for (int b = 0; b < k / 32; b++, src += 17, q += 32) {
        scale[b] = fp4_scale(src[0]);
        codec_store(q, codec_level_of(src + 1, levels));
    }
}

static void codec_iq4_nl(const uint8_t *src, int8_t *q, float *scale, float *min, int k)
{
    for (int b = 0; b < k / 32; b++, src += 18, q += 32) {
        scale[b] = codec_half(src);
        codec_store(q, codec_level(src + 2));
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
            codec_store(q, codec_level(src + 8 + 16 * g));
        }
    }
}

static const struct codec codecs[DT_COUNT] = {
    [DT_Q8_0] = { codec_q8_0, 32, false },     [DT_Q4_0] = { codec_q4_0, 32, false },
    [DT_Q4_1] = { codec_q4_1, 32, true },      [DT_Q5_0] = { codec_q5_0, 32, false },
    [DT_Q5_1] = { codec_q5_1, 32, true },      [DT_Q4_K] = { codec_q4_k, 32, true },
    [DT_Q5_K] = { codec_q5_k, 32, true },      [DT_Q6_K] = { codec_q6_k, 16, false },
    [DT_Q3_K] = { codec_q3_k, 16, false },     [DT_IQ4_NL] = { codec_iq4_nl, 32, false },
    [DT_IQ4_XS] = { codec_iq4_xs, 32, false }, [DT_MXFP4] = { codec_mxfp4, 32, false },
};

#endif

/* int.h -- what the files of tensor/ share: bit casts, and the rows of the
 * dtype table that live in quant.c and quant_k.c. Nobody outside the room includes this. */
#ifndef TENON_TENSOR_INT_H
#define TENON_TENSOR_INT_H

#include "tensor/tensor.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "block layouts are read in place: a little-endian machine is required"
#endif

static inline uint32_t f32_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static inline float f32_of_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* Scales lie at any address inside a block. */
static inline float half_at(const uint8_t *p)
{
    uint16_t h;
    memcpy(&h, p, sizeof h);
    return f16_to_f32(h);
}

/* Stores f as a half and returns what a reader will see. */
static inline float half_put(uint8_t *p, float f)
{
    uint16_t h = f32_to_f16(f);
    memcpy(p, &h, sizeof h);
    return f16_to_f32(h);
}

/* Truncation into [lo, hi] that is defined for every float; NaN gives lo. */
static inline int clamp_int(float x, int lo, int hi)
{
    return x >= (float)hi ? hi : x > (float)lo ? (int)x : lo;
}

/* To the nearest integer in [lo, hi], halves away from zero as roundf does. */
static inline int round_int(float x, int lo, int hi)
{
    int t = clamp_int(x, lo - 1, hi + 1);
    float rest = x - (float)t;
    t += rest >= 0.5f ? 1 : rest <= -0.5f ? -1 : 0;
    return t < lo ? lo : t > hi ? hi : t;
}

/* To the nearest integer in [lo, hi], halves to even, without branches: for the searches, where it is
 * the inner loop. Adding 1.5 * 2^23 leaves the integer in the low bits. NaN gives lo. */
static inline int near_int(float x, int lo, int hi)
{
    x = x > (float)lo ? x : (float)lo;
    x = x < (float)hi ? x : (float)hi;
    return (int)f32_bits(x + 0x1.8p23f) - 0x4b400000;
}

#define QUANT_ROWS(X) X(q4_0) X(q4_1) X(q5_0) X(q5_1) X(q8_0) X(iq4_nl) X(mxfp4) \
                      X(q2_k) X(q3_k) X(q4_k) X(q5_k) X(q6_k) X(iq4_xs)
#define X(t) void unpack_##t(const void *src, float *dst, size_t n); \
             void pack_##t(const float *src, const float *importance, void *dst, size_t n);
QUANT_ROWS(X)
#undef X

/* The sixteen levels of IQ4_NL and IQ4_XS, and the index of the nearest one. */
extern const int8_t iq4_level[16];
int   iq4_nearest(float x);
/* Twice the sixteen values of E2M1 (MXFP4). */
extern const int8_t fp4_level[16];
/* Best scale for x ~ scale * level, n <= 32 values. */
float iq4_search(const float *x, const float *importance, int n);
/* How much the error of each value counts in a search: large values somewhat more; with an importance
 * (NULL: none) times that. */
void  quant_weights(const float *x, const float *importance, int n, float *w);
/* Part of an importance that may be missing. */
static inline const float *part_of(const float *importance, size_t at) { return importance ? importance + at : NULL; }
/* Best scales for codes of equal steps (quant_k.c), by the weighted squared error: x ~ scale * code, codes
 * -half .. half-1; x ~ scale * code - min, codes 0 .. most, min >= 0. */
struct line { float scale, min, error; };
float       fit_symmetric(const float *x, const float *w, int n, int half);
struct line fit_affine(const float *x, const float *w, int n, int most);

#endif

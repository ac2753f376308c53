/* codec_neon.h -- private to codec.h: its 32 bytes as two NEON registers. */
#ifndef TENON_CPU_CODEC_NEON_H
#define TENON_CPU_CODEC_NEON_H

#include <arm_neon.h>

typedef uint8x16x2_t codec_vec;

static inline float codec_half(const uint8_t *p)
{
    __fp16 h;
    memcpy(&h, p, sizeof h);
    return h;
}

static inline codec_vec codec_load(const uint8_t *p)
{
    return (codec_vec){ { vld1q_u8(p), vld1q_u8(p + 16) } };
}

static inline void codec_store(int8_t *q, codec_vec v)
{
    vst1q_s8(q, vreinterpretq_s8_u8(v.val[0]));
    vst1q_s8(q + 16, vreinterpretq_s8_u8(v.val[1]));
}

static inline codec_vec codec_or(codec_vec a, codec_vec b)
{
    return (codec_vec){ { vorrq_u8(a.val[0], b.val[0]), vorrq_u8(a.val[1], b.val[1]) } };
}

static inline codec_vec codec_up(codec_vec v, int n)
{
    int8x16_t by = vdupq_n_s8((int8_t)n);
    return (codec_vec){ { vshlq_u8(v.val[0], by), vshlq_u8(v.val[1], by) } };
}

static inline codec_vec codec_bits(codec_vec v, int shift, int width)
{
    uint8x16_t mask = vdupq_n_u8((uint8_t)((1 << width) - 1));
    v = codec_up(v, -shift);
    return (codec_vec){ { vandq_u8(v.val[0], mask), vandq_u8(v.val[1], mask) } };
}

static inline codec_vec codec_nibbles(const uint8_t *p)
{
    uint8x16_t v = vld1q_u8(p);
    return (codec_vec){ { vandq_u8(v, vdupq_n_u8(15)), vshrq_n_u8(v, 4) } };
}

static inline codec_vec codec_less(codec_vec v, int n)
{
    uint8x16_t by = vdupq_n_u8((uint8_t)n);
    return (codec_vec){ { vsubq_u8(v.val[0], by), vsubq_u8(v.val[1], by) } };
}

static inline codec_vec codec_fifth(const uint8_t *qh)
{
    static const uint8_t byte[16] = { 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1 };
    uint8x16_t lo = vld1q_u8(byte), hi = vaddq_u8(lo, vdupq_n_u8(2)), one = vdupq_n_u8(16);
    uint8x16_t bit = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201));
    uint32_t bits;
    memcpy(&bits, qh, sizeof bits);
    uint8x16_t v = vreinterpretq_u8_u32(vdupq_n_u32(bits));
    return (codec_vec){ { vandq_u8(vtstq_u8(vqtbl1q_u8(v, lo), bit), one),
                          vandq_u8(vtstq_u8(vqtbl1q_u8(v, hi), bit), one) } };
}

static inline codec_vec codec_level_of(const uint8_t *p, const int8_t levels[16])
{
    uint8x16_t table = vreinterpretq_u8_s8(vld1q_s8(levels));
    codec_vec at = codec_nibbles(p);
    return (codec_vec){ { vqtbl1q_u8(table, at.val[0]), vqtbl1q_u8(table, at.val[1]) } };
}

#endif

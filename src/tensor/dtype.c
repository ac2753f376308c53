/* dtype.c -- the table of number formats: names, GGUF ids, block sizes, and how each is unpacked to
 * f32 and packed from it. Everything that walks the types walks this table.
 *
 * True at all times: unpack is exact as the format's formula in f32, left to right, without fused
 * multiply-add; a type without unpack is known by name only and no loader takes it as a weight.
 * Not here: the block layouts themselves (quant.c for 32-element blocks, quant_k.c for 256). */
#include <strings.h>

#include "tensor/int.h"

uint16_t f32_to_f16(float f)
{
    uint32_t u = f32_bits(f), a = u & 0x7fffffff;
    uint16_t sign = (uint16_t)(u >> 16 & 0x8000);
    if (a > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (a >> 13 & 0x3ff)); /* NaN stays one, quiet */
    if (a >= 0x477ff000) return sign | 0x7c00;                        /* 65520 and up round to Inf */
    if (a < 0x38800000) {
        /* Below 2^-14: adding 0.5 lines the bits up with steps of 2^-24, the adder rounds to even. */
        return (uint16_t)(sign | (f32_bits(f32_of_bits(a) + 0.5f) - f32_bits(0.5f)));
    }
    a += 0xfff + (a >> 13 & 1) - (112u << 23);
    return (uint16_t)(sign | a >> 13);
}

uint16_t f32_to_bf16(float f)
{
    uint32_t u = f32_bits(f);
    if ((u & 0x7fffffff) > 0x7f800000) return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

/* ---- plain types ---- */

static void copy_f32(const void *restrict src, float *restrict dst, size_t n)
{
    memcpy(dst, src, n * sizeof *dst);
}

static void store_f32(const float *src, const float *importance, void *dst, size_t n)
{
    (void)importance;
    memcpy(dst, src, n * sizeof *src);
}

/* In runs of a fixed length, which compilers turn into vector code at every level. */
#define RUN 16

static void unpack_f16(const void *restrict src, float *restrict dst, size_t n)
{
    const uint8_t *p = src;
    uint16_t h[RUN];
    size_t i = 0;
    for (; i + RUN <= n; i += RUN) {
        memcpy(h, p + 2 * i, sizeof h);
        for (int j = 0; j < RUN; j++) dst[i + (size_t)j] = f16_to_f32(h[j]);
    }
    for (; i < n; i++) dst[i] = half_at(p + 2 * i);
}

static void pack_f16(const float *src, const float *importance, void *dst, size_t n)
{
    (void)importance;
    uint8_t *p = dst;
    for (size_t i = 0; i < n; i++) {
        uint16_t h = f32_to_f16(src[i]);
        memcpy(p + 2 * i, &h, sizeof h);
    }
}

static void unpack_bf16(const void *restrict src, float *restrict dst, size_t n)
{
    const uint8_t *p = src;
    uint16_t h[RUN];
    size_t i = 0;
    for (; i + RUN <= n; i += RUN) {
        memcpy(h, p + 2 * i, sizeof h);
        for (int j = 0; j < RUN; j++) dst[i + (size_t)j] = bf16_to_f32(h[j]);
    }
    for (; i < n; i++) {
        memcpy(h, p + 2 * i, sizeof *h);
        dst[i] = bf16_to_f32(*h);
    }
}

static void pack_bf16(const float *src, const float *importance, void *dst, size_t n)
{
    (void)importance;
    uint8_t *p = dst;
    for (size_t i = 0; i < n; i++) {
        uint16_t h = f32_to_bf16(src[i]);
        memcpy(p + 2 * i, &h, sizeof h);
    }
}

/* ---- the table ---- */

/* DTYPE_LIST has names and sizes; these macros add the functions, by the name of the type. */
#define FN_DT_F32    copy_f32, store_f32
#define FN_DT_F16    unpack_f16, pack_f16
#define FN_DT_BF16   unpack_bf16, pack_bf16
#define FN_DT_Q4_0   unpack_q4_0, pack_q4_0
#define FN_DT_Q4_1   unpack_q4_1, pack_q4_1
#define FN_DT_Q5_0   unpack_q5_0, pack_q5_0
#define FN_DT_Q5_1   unpack_q5_1, pack_q5_1
#define FN_DT_Q8_0   unpack_q8_0, pack_q8_0
#define FN_DT_Q2_K   unpack_q2_k, pack_q2_k
#define FN_DT_Q3_K   unpack_q3_k, pack_q3_k
#define FN_DT_Q4_K   unpack_q4_k, pack_q4_k
#define FN_DT_Q5_K   unpack_q5_k, pack_q5_k
#define FN_DT_Q6_K   unpack_q6_k, pack_q6_k
#define FN_DT_IQ4_NL unpack_iq4_nl, pack_iq4_nl
#define FN_DT_IQ4_XS unpack_iq4_xs, pack_iq4_xs
#define FN_DT_MXFP4  unpack_mxfp4, pack_mxfp4
#define FN_DT_I32    NULL, NULL
#define FN_DT_I64    NULL, NULL

static const struct dtype_info table[DT_COUNT] = {
#define X(e, id, name, block, bytes) [e] = { name, id, block, bytes, FN_##e },
    DTYPE_LIST(X)
#undef X
};

const struct dtype_info *dtype_info(enum dtype d)
{
    return &table[d];
}

enum dtype dtype_find(const char *name)
{
    for (int d = 0; d < DT_COUNT; d++)
        if (strcasecmp(dtype_info(d)->name, name) == 0) return d;
    return DT_NONE;
}

enum dtype dtype_of_gguf(uint32_t id)
{
    for (int d = 0; d < DT_COUNT; d++)
        if ((uint32_t)dtype_info(d)->gguf_id == id) return d;
    return DT_NONE;
}

size_t dtype_bytes(enum dtype d, int64_t n)
{
    const struct dtype_info *i = dtype_info(d);
    return (size_t)(n / i->block) * (size_t)i->bytes;
}

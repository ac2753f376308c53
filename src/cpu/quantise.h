/* quantise.h -- private to cpu/: a column as blocks of 32 signed bytes with a scale, four blocks at a time, for the VNNI
 * kernels of prompts (vnni.c) and of decode (crowd_vnni.c), which must agree to the last bit.
 *
 * Largest values and sums of four blocks are found side by side in one register: one by one each would take a register
 * apart in four steps. */
#ifndef TENON_CPU_QUANTISE_H
#define TENON_CPU_QUANTISE_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

struct quantised { _Alignas(64) int8_t q[128]; float d[4]; int32_t sum[4]; };

/* The largest of four registers each, in every quarter: m0 m1 m2 m3. */
static inline __attribute__((always_inline)) __m512 largest_of_4(const __m512 m[4])
{
    __m512 a = _mm512_max_ps(_mm512_unpacklo_ps(m[0], m[1]), _mm512_unpackhi_ps(m[0], m[1]));
    __m512 b = _mm512_max_ps(_mm512_unpacklo_ps(m[2], m[3]), _mm512_unpackhi_ps(m[2], m[3]));
    __m512d c = _mm512_castps_pd(a), d = _mm512_castps_pd(b);
    __m512 v = _mm512_max_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(c, d)), _mm512_castpd_ps(_mm512_unpackhi_pd(c, d)));
    v = _mm512_max_ps(v, _mm512_shuffle_f32x4(v, v, 0x4e));
    return _mm512_max_ps(v, _mm512_shuffle_f32x4(v, v, 0xb1));
}

/* Sums of the 32 bytes in each half of two registers. */
static inline __attribute__((always_inline)) __m128i sums_of_32(__m512i q0, __m512i q1)
{
    const __m512i ones = _mm512_set1_epi8(1);
    __m512i s = _mm512_dpbusd_epi32(_mm512_setzero_si512(), ones, q0), t = _mm512_dpbusd_epi32(_mm512_setzero_si512(), ones, q1);
    s = _mm512_add_epi32(_mm512_unpacklo_epi64(s, t), _mm512_unpackhi_epi64(s, t));
    s = _mm512_add_epi32(s, _mm512_shuffle_epi32(s, 0xb1));
    s = _mm512_add_epi32(s, _mm512_shuffle_i32x4(s, s, 0xb1));
    return _mm512_castsi512_si128(_mm512_permutexvar_epi32(_mm512_set4_epi32(10, 2, 8, 0), s));
}

/* 128 values; of each 32: d = max|x| / 127, values rounded to even, what they add up to. Zeros have d = 0. */
static inline __attribute__((always_inline)) void quantise_4(struct quantised *o, const float *x)
{
    /* Packing works on quarters of a register: this puts the groups of four bytes back in order. */
    const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
    __m512 v[8], m[4];
    __m512i q[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        v[2 * i] = _mm512_loadu_ps(x + 32 * i), v[2 * i + 1] = _mm512_loadu_ps(x + 32 * i + 16);
        m[i] = _mm512_max_ps(_mm512_abs_ps(v[2 * i]), _mm512_abs_ps(v[2 * i + 1]));
    }
    __m512 most = largest_of_4(m), full = _mm512_set1_ps(127);
    __mmask16 any = _mm512_cmp_ps_mask(most, _mm512_set1_ps(1e-30f), _CMP_GT_OQ); /* 127 / most must be finite */
    __m512 inv = _mm512_maskz_div_ps(any, full, most);
    _mm_storeu_ps(o->d, _mm512_castps512_ps128(_mm512_maskz_div_ps(any, most, full)));
    __m512 by[4] = { _mm512_permute_ps(inv, 0), _mm512_permute_ps(inv, 0x55), _mm512_permute_ps(inv, 0xaa), _mm512_permute_ps(inv, 0xff) };
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        q[i] = _mm512_packs_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(v[2 * i], by[i])), _mm512_cvtps_epi32(_mm512_mul_ps(v[2 * i + 1], by[i])));
    __m512i q0 = _mm512_permutexvar_epi32(order, _mm512_packs_epi16(q[0], q[1]));
    __m512i q1 = _mm512_permutexvar_epi32(order, _mm512_packs_epi16(q[2], q[3]));
    _mm512_store_si512(o->q, q0), _mm512_store_si512(o->q + 64, q1);
    _mm_storeu_si128((void *)o->sum, sums_of_32(q0, q1));
}

/* The same of the last blocks of a column, n < 4: zeros stand for the others. */
static inline void quantise_last(struct quantised *o, const float *x, int n)
{
    float room[128] = { 0 };
    memcpy(room, x, (size_t)n * 32 * sizeof *x);
    quantise_4(o, room);
}

#endif

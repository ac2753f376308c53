/* column256.h -- private to cpu/: 256 values of a column as the kernels of K-quants want them, prompts (vnni_k.c) and
 * decode (crowd_k.c) alike. One scale for as many values as a super-block of the weights has. */
#ifndef TENON_CPU_COLUMN256_H
#define TENON_CPU_COLUMN256_H

#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>

/* Sums of 16 neighbours each of 256 bytes. */
static inline __attribute__((always_inline)) __m512i sums_of_16(const int8_t *q)
{
    const __m512i ones = _mm512_set1_epi8(1), order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
    __m512i a[4];
    for (int i = 0; i < 4; i++) a[i] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), ones, _mm512_loadu_si512(q + 64 * i));
    __m512i s = _mm512_add_epi32(_mm512_unpacklo_epi32(a[0], a[1]), _mm512_unpackhi_epi32(a[0], a[1]));
    __m512i t = _mm512_add_epi32(_mm512_unpacklo_epi32(a[2], a[3]), _mm512_unpackhi_epi32(a[2], a[3]));
    s = _mm512_add_epi32(_mm512_unpacklo_epi64(s, t), _mm512_unpackhi_epi64(s, t));
    return _mm512_permutexvar_epi32(order, s);
}

/* s8 q[256]; i32 start[16]: what 16 values add up to, times -32; i16 sum[8]: what 32 add up to. Returns d = max|x| / 127,
 * 0 where all are zero; values are rounded to even. */
static inline __attribute__((always_inline)) float column_256(int8_t *q, void *start, void *sum, const float *x)
{
    __m512 most = _mm512_setzero_ps();
    for (int i = 0; i < 256; i += 16) most = _mm512_max_ps(most, _mm512_abs_ps(_mm512_loadu_ps(x + i)));
    float m = _mm512_reduce_max_ps(most);
    bool any = m > 1e-30f;                                            /* 127 / m must be finite */
    __m512 inv = _mm512_set1_ps(any ? 127 / m : 0);
    for (int i = 0; i < 256; i += 16) {
        __m512i v = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + i), inv));
        _mm_storeu_si128((void *)(q + i), _mm512_cvtsepi32_epi8(v));
    }
    __m512i s = sums_of_16(q), pairs = _mm512_add_epi32(s, _mm512_srli_epi64(s, 32));
    _mm512_storeu_si512(start, _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32(s, 5)));
    _mm_storeu_si128(sum, _mm512_cvtepi64_epi16(pairs));
    return any ? m / 127 : 0;
}

#endif

/* crowd.h -- private to cpu/: what the integer kernels of AVX2 share about the column. */
#ifndef TENON_CPU_CROWD_H
#define TENON_CPU_CROWD_H

#include <immintrin.h>

#include "cpu/int.h"

static inline float crowd_largest(__m256 v)
{
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

static inline int crowd_total(__m256i v)
{
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

/* 32 values to bytes; returns their scale, the sum of the bytes in *sum. */
static inline float crowd_quantise(int8_t *q, const float *x, int *sum)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    __m256 v[4], most = _mm256_setzero_ps();
    __m256i i[4];
    for (int j = 0; j < 4; j++) {
        v[j] = _mm256_loadu_ps(x + 8 * j);
        most = _mm256_max_ps(most, _mm256_andnot_ps(sign, v[j]));
    }
    float m = crowd_largest(most);
    bool any = m > 1e-30f;                                            /* 127 / m must be finite */
    __m256 inv = _mm256_set1_ps(any ? 127 / m : 0);
    for (int j = 0; j < 4; j++) i[j] = _mm256_cvtps_epi32(_mm256_mul_ps(v[j], inv));
    *sum = crowd_total(_mm256_add_epi32(_mm256_add_epi32(i[0], i[1]), _mm256_add_epi32(i[2], i[3])));
    __m256i b = _mm256_packs_epi16(_mm256_packs_epi32(i[0], i[1]), _mm256_packs_epi32(i[2], i[3]));
    /* The packs work on halves of a register: put the groups of four back in order. */
    _mm256_storeu_si256((__m256i *)q,
                        _mm256_permutevar8x32_epi32(b, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
    return any ? m / 127 : 0;
}

#endif

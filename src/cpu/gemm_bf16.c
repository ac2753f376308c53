/* gemm_bf16.c -- the BF16 register tile: 8 rows x 48 columns, 24 sums of 16 lanes, vdpbf16ps.
 *
 * One instruction multiplies 16 pairs of BF16 values and adds both products to f32 sums: twice the
 * work of an f32 FMA per cycle. Values are rounded to nearest even while packing. Compiled with
 * AVX-512 BF16 switched on; reached only when the processor has it. */
#include <immintrin.h>

#include "cpu/gemm.h"

#define ROWS 8

static void row(uint32_t *dst, const float *src, int k)
{
    int i = 0;
    for (; i + 32 <= k; i += 32)
        _mm512_storeu_si512(dst + i / 2, (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(src + i + 16),
                                                                      _mm512_loadu_ps(src + i)));
    if (i < k) {
        int left = k - i;
        __mmask16 lo = (__mmask16)(left >= 16 ? 0xffff : (1u << left) - 1),
                  hi = (__mmask16)(left > 16 ? (1u << (left - 16)) - 1 : 0);
        __m512bh v = _mm512_cvtne2ps_pbh(_mm512_maskz_loadu_ps(hi, src + i + 16),
                                         _mm512_maskz_loadu_ps(lo, src + i));
        _mm512_mask_storeu_epi32(dst + i / 2, (__mmask16)((1u << ((left + 1) / 2)) - 1),
                                 (__m512i)v);
    }
}

/* (a0 a1 …), (b0 b1 …) -> a0 b0 a1 b1 …, 16 columns at a time. */
static void zip(uint32_t *dst, const float *a, const float *b, int n)
{
    const __m512i order =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    for (int i = 0; i < n; i += 16) {
        __mmask16 live = (__mmask16)(n - i >= 16 ? 0xffff : (1u << (n - i)) - 1);
        __m512 x = _mm512_maskz_loadu_ps(live, a + i),
               y = b ? _mm512_maskz_loadu_ps(live, b + i) : _mm512_setzero_ps();
        _mm512_mask_storeu_epi32(
            dst + i, live, _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(y, x)));
    }
}

static inline __attribute__((always_inline)) void tile(int nv, int ku, const uint32_t *a, int rs,
                                                       int ks, const uint32_t *b, float *c, int ldc,
                                                       bool accumulate)
{
    __m512 acc[ROWS][3];
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 3
        for (int j = 0; j < nv; j++) acc[i][j] = _mm512_setzero_ps();
    for (int p = 0; p < ku; p++, a += ks, b += nv * 16) {
        __m512bh bv[3];
#pragma GCC unroll 3
        for (int j = 0; j < nv; j++) bv[j] = (__m512bh)_mm512_loadu_si512(b + j * 16);
#pragma GCC unroll 8
        for (int i = 0; i < ROWS; i++) {
            __m512bh av = (__m512bh)_mm512_set1_epi32((int)a[(size_t)i * rs]);
#pragma GCC unroll 3
            for (int j = 0; j < nv; j++) acc[i][j] = _mm512_dpbf16_ps(acc[i][j], av, bv[j]);
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 3
        for (int j = 0; j < nv; j++) {
            float *y = c + (size_t)i * ldc + j * 16;
            _mm512_storeu_ps(y,
                             accumulate ? _mm512_add_ps(_mm512_loadu_ps(y), acc[i][j]) : acc[i][j]);
        }
}

static void mul(int w, int ku, const uint32_t *a, int rs, int ks, const uint32_t *b, float *c,
                int ldc, bool accumulate)
{
    if (w == 48) tile(3, ku, a, rs, ks, b, c, ldc, accumulate);
    else if (w == 32) tile(2, ku, a, rs, ks, b, c, ldc, accumulate);
    else tile(1, ku, a, rs, ks, b, c, ldc, accumulate);
}

const struct gemm_tile gemm_tile_bf16 = { ROWS, { 48, 32, 16 }, 2, row, zip, mul };

/* gemm_tile.c -- the f32 register tile of the training products, written once with vector types and
 * compiled once per instruction set: VEC lanes, ROWS x (PANELS vectors) sums kept in registers.
 *
 *     base    4 lanes,  4 x 2 vectors     (SSE2, NEON: what every machine of its kind has)
 *     avx2    8 lanes,  6 x 2 vectors
 *     avx512 16 lanes,  8 x 3 vectors */
#include "cpu/gemm.h"

#ifndef TILE_NAME
#define TILE_NAME gemm_tile_base
#define VEC 4
#define ROWS 4
#define PANELS 2
#endif

typedef float vec __attribute__((vector_size(VEC * 4), aligned(4), may_alias));

static void row(uint32_t *dst, const float *src, int k)
{
    memcpy(dst, src, (size_t)k * 4);
}

static void zip(uint32_t *dst, const float *a, const float *b, int n)
{
    (void)b;
    memcpy(dst, a, (size_t)n * 4);
}

/* One tile of ROWS x (nv vectors); nv is a constant wherever this is called. */
static inline __attribute__((always_inline)) void tile(int nv, int ku, const float *a, int rs,
                                                       int ks, const float *b, float *c, int ldc,
                                                       bool accumulate)
{
    vec acc[ROWS][PANELS] = { 0 };
    for (int p = 0; p < ku; p++, a += ks, b += nv * VEC)
#pragma GCC unroll 8
        for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 4
            for (int j = 0; j < nv; j++)
                acc[i][j] += a[(size_t)i * rs] * *(const vec *)(b + j * VEC);
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 4
        for (int j = 0; j < nv; j++) {
            vec *y = (vec *)(c + (size_t)i * ldc + j * VEC);
            if (accumulate) acc[i][j] += *y;
            *y = acc[i][j];
        }
}

static void mul(int w, int ku, const uint32_t *a, int rs, int ks, const uint32_t *b, float *c,
                int ldc, bool accumulate)
{
    const float *fa = (const float *)a, *fb = (const float *)b;
    if (w == PANELS * VEC) tile(PANELS, ku, fa, rs, ks, fb, c, ldc, accumulate);
#if PANELS > 2
    else if (w == 2 * VEC) tile(2, ku, fa, rs, ks, fb, c, ldc, accumulate);
#endif
    else tile(1, ku, fa, rs, ks, fb, c, ldc, accumulate);
}

const struct gemm_tile TILE_NAME = { ROWS, { PANELS * VEC, MIN(PANELS, 2) * VEC, VEC }, 1, row, zip,
                                     mul };

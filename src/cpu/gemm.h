/* gemm.h -- private to cpu/: what the driver of the training products (gemm.c) and its tiles share.
 *
 * Operands are packed into units of 4 bytes: one f32, or a pair of BF16 values that are neighbours
 * along k. So every layout below counts in units and the driver need not know which it is. */
#ifndef TENON_CPU_GEMM_H
#define TENON_CPU_GEMM_H

#include "tensor/tensor.h"

struct gemm_tile {
    int rows;                                                         /* rows of C in a tile */
    int width[3]; /* panel widths, widest first, all multiples of the last */
    int pair;     /* values of k in a unit: 1 or 2 */
    /* One row of k floats becomes ceil(k / pair) units. */
    void (*row)(uint32_t *dst, const float *src, int k);
    /* `pair` neighbouring rows of n floats (b NULL: zeros) become n units. */
    void (*zip)(uint32_t *dst, const float *a, const float *b, int n);
    /* C[rows, w] = or += A B over ku units of k. A element (i, p) at a[i*rs + p*ks];
     * B panel [ku, w]. */
    void (*mul)(int w, int ku, const uint32_t *a, int rs, int ks, const uint32_t *b, float *c,
                int ldc, bool accumulate);
};

/* The blocked product over one kind of tile; a gemm_fn with the tile in front. */
void gemm_run(const struct gemm_tile *t, enum gemm_kind kind, int m, int n, int k, const float *a,
              int lda, const float *b, int ldb, float *c, int ldc, bool accumulate,
              struct arena *tmp);

extern const struct gemm_tile gemm_tile_base, gemm_tile_avx2, gemm_tile_avx512, gemm_tile_bf16;

#endif

/* muon.c -- momentum, orthogonalised: the optimizer of the hidden matrices (Jordan, 2024).
 *
 * Five Newton-Schulz steps push all singular values of the momentum towards one, so that every
 * direction of a matrix learns at the same pace. The scale 0.2 * sqrt(longer side) makes an update
 * as large as AdamW's, so one learning rate serves both. Work happens on the shorter side. */
#include <math.h>

#include "train/int.h"

#define NS_STEPS 5

/* X [r, c] with r <= c: X <- a X + (b A + c A A) X, A = X X^T. */
static void newton_schulz(float *x, int r, int c, gemm_fn *gemm, struct arena *tmp)
{
    const float ka = 3.4445f, kb = -4.7750f, kc = 2.0315f;
    size_t rr = (size_t)r * r, rc = (size_t)r * c;
    float *a = arena_f32(tmp, rr), *aa = arena_f32(tmp, rr), *y = arena_f32(tmp, rc);
    for (int k = 0; k < NS_STEPS; k++) {
        gemm(GEMM_NT, r, r, c, x, c, x, c, a, r, false, tmp);
        gemm(GEMM_NT, r, r, r, a, r, a, r, aa, r, false, tmp);        /* A is symmetric */
        for (size_t i = 0; i < rr; i++) a[i] = kb * a[i] + kc * aa[i];
        gemm(GEMM_NN, r, c, r, a, r, x, c, y, c, false, tmp);
        for (size_t i = 0; i < rc; i++) x[i] = ka * x[i] + y[i];
    }
}

void muon_update(const struct muon *o, float *w, float *m, const float *g, int rows, int cols,
                 float clip, gemm_fn *gemm, struct arena *tmp)
{
    size_t mark = arena_mark(tmp), n = (size_t)rows * (size_t)cols;
    bool turn = rows > cols;
    int r = MIN(rows, cols), c = MAX(rows, cols);
    float *x = arena_f32(tmp, n);
    double norm2 = 0;
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++) {
            size_t k = (size_t)i * cols + j;
            float gk = g[k] * clip;
            m[k] = o->momentum * m[k] + gk;
            float t = gk + o->momentum * m[k];                        /* Nesterov's look ahead */
            x[turn ? (size_t)j * c + i : k] = t;
            norm2 += (double)t * t;
        }
    float scale = (float)(1 / (sqrt(norm2) + 1e-12));
    for (size_t k = 0; k < n; k++) x[k] *= scale;
    newton_schulz(x, r, c, gemm, tmp);
    float step = 0.2f * sqrtf((float)c);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++) {
            size_t k = (size_t)i * cols + j;
            w[k] -= o->lr * (step * x[turn ? (size_t)j * c + i : k] + o->decay * w[k]);
        }
    arena_reset(tmp, mark);
}

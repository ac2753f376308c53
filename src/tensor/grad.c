/* grad.c -- the operations of training, forward and gradient side by side, and a plain matrix
 * product.
 *
 * One source, compiled once per instruction set: tensor/ builds it for the baseline machine as
 * grad_ops_ref, cpu/ builds it again with wider registers (-DGRAD_ISA=avx512, …). Rows are walked
 * in vectors of 16 lanes that the compiler splits as the machine needs, so every build adds in the
 * same order. Masks are row lengths, never infinities.
 *
 * Formulas: g_y is the gradient of y. RMSNorm with r = (mean x^2 + eps)^-1/2 and s = sum w x g_y:
 * g_x = r w g_y - x r^3 s / d, g_w += g_y x r. SwiGLU with sigma = sigmoid(a): g_b = g a sigma,
 * g_a = g b (sigma + a sigma (1 - sigma)). Softmax: g_s = p (g_p - sum p g_p). */
#include <math.h>

#include "tensor/tensor.h"

#pragma GCC diagnostic ignored "-Wpsabi" /* vectors cross no function border that stays */

#ifndef GRAD_ISA
#define GRAD_ISA ref
#endif
#define PASTE2(a, b) a##b
#define PASTE(a, b) PASTE2(a, b)
#define NAME_OF2(x) #x
#define NAME_OF(x) NAME_OF2(x)

#define L 16
typedef float vf __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t vi __attribute__((vector_size(64), aligned(4), may_alias));
#define INLINE static inline __attribute__((always_inline))

INLINE vf ld(const float *p) { return *(const vf *)p; }
INLINE void st(float *p, vf v) { *(vf *)p = v; }
INLINE vf set(float x) { return (vf){ 0 } + x; }
INLINE vf pick(vi mask, vf yes, vf no) { return (vf)((mask & (vi)yes) | (~mask & (vi)no)); }

INLINE float sum(vf v)
{
    float s = 0;
    for (int i = 0; i < L / 2; i++) s += v[i] + v[i + L / 2];
    return s;
}

/* e^x: 2^n times a polynomial on [-ln2/2, ln2/2], error below 2 ulp. Clamped to [-87, 87], so that
 * nothing overflows and zero is never denormal. */
INLINE vf vexp(vf x)
{
    x = pick(x < set(-87.0f), set(-87.0f), x);
    x = pick(x > set(87.0f), set(87.0f), x);
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    vf t = x * 1.44269504f + magic, n = t - magic;
    vf r = x - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    vf p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    return (vf)((vi)p + (((vi)t - 0x4b400000) << 23));
}

/* ---- RMSNorm ---- */

INLINE float row_scale(const float *x, int d, float eps)
{
    vf s = { 0 };
    for (int i = 0; i < d; i += L) s += ld(x + i) * ld(x + i);
    return 1.0f / sqrtf(sum(s) / (float)d + eps);
}

static void rms(float *y, const float *x, const float *w, int n, int d, float eps)
{
    for (int t = 0; t < n; t++, x += d, y += d) {
        float r = row_scale(x, d, eps);
        for (int i = 0; i < d; i += L) st(y + i, ld(x + i) * ld(w + i) * r);
    }
}

static void rms_grad(float *gx, float *gw, const float *gy, const float *x, const float *w, int n,
                     int d, float eps)
{
    for (int t = 0; t < n; t++, x += d, gx += d, gy += d) {
        float r = row_scale(x, d, eps);
        vf s = { 0 };
        for (int i = 0; i < d; i += L) s += ld(w + i) * ld(x + i) * ld(gy + i);
        float pull = r * r * r * sum(s) / (float)d;
        for (int i = 0; i < d; i += L) {
            vf xi = ld(x + i), gi = ld(gy + i);
            st(gx + i, ld(gx + i) + (ld(w + i) * gi * r - xi * pull));
            st(gw + i, ld(gw + i) + gi * xi * r);
        }
    }
}

/* ---- heads: per-head norm, then RoPE ---- */

static void head(float *y, const float *x, const float *w, const float *rope, int n_head, int hd,
                 float eps)
{
    int half = hd / 2;
    for (int h = 0; h < n_head; h++, x += hd, y += hd) {
        float r = row_scale(x, hd, eps);
        for (int i = 0; i < half; i += L) {
            vf c = ld(rope + i), s = ld(rope + half + i);
            vf a = ld(x + i) * ld(w + i) * r, b = ld(x + half + i) * ld(w + half + i) * r;
            st(y + i, a * c - b * s);
            st(y + half + i, a * s + b * c);
        }
    }
}

/* RoPE turns back by the negative angle; what comes out is the gradient of the norm's output. */
static void head_grad(float *gx, float *gw, const float *gy, const float *x, const float *w,
                      const float *rope, int n_head, int hd, float eps)
{
    int half = hd / 2;
    for (int h = 0; h < n_head; h++, x += hd, gx += hd, gy += hd) {
        float r = row_scale(x, hd, eps);
        vf dot = { 0 };
        for (int i = 0; i < half; i += L) {
            vf c = ld(rope + i), s = ld(rope + half + i), ga = ld(gy + i), gb = ld(gy + half + i);
            vf a = ga * c + gb * s, b = gb * c - ga * s;
            st(gx + i, a);
            st(gx + half + i, b);
            dot += a * ld(w + i) * ld(x + i) + b * ld(w + half + i) * ld(x + half + i);
        }
        float pull = r * r * r * sum(dot) / (float)hd;
        for (int i = 0; i < hd; i += L) {
            vf g = ld(gx + i), xi = ld(x + i);
            st(gw + i, ld(gw + i) + g * xi * r);
            st(gx + i, g * ld(w + i) * r - xi * pull);
        }
    }
}

/* ---- heads: RoPE of neighbours ---- */

static void turn(float *y, const float *x, const float *rope, int n_head, int hd)
{
    int half = hd / 2;
    for (int h = 0; h < n_head; h++, x += hd, y += hd)
        for (int i = 0; i < half; i++) {
            float c = rope[i], s = rope[half + i], a = x[2 * i], b = x[2 * i + 1];
            y[i] = a * c - b * s;
            y[half + i] = a * s + b * c;
        }
}

static void turn_grad(float *gx, const float *gy, const float *rope, int n_head, int hd)
{
    int half = hd / 2;
    for (int h = 0; h < n_head; h++, gx += hd, gy += hd)
        for (int i = 0; i < half; i++) {
            float c = rope[i], s = rope[half + i], a = gy[i], b = gy[half + i];
            gx[2 * i] = a * c + b * s;
            gx[2 * i + 1] = b * c - a * s;
        }
}

/* ---- gated short convolution ---- */

static void conv(float *y, float *v, const float *z, const float *taps, int n, int d)
{
    for (int t = 0; t < n; t++, z += 3 * d, y += d, v += d)
        for (int i = 0; i < d; i += L) {
            const float *b = z + i, *x = z + 2 * d + i;
            vf a = ld(taps + 2 * d + i) * ld(b) * ld(x);
            if (t > 0) a += ld(taps + d + i) * ld(b - 3 * d) * ld(x - 3 * d);
            if (t > 1) a += ld(taps + i) * ld(b - 6 * d) * ld(x - 6 * d);
            st(v + i, a);
            st(y + i, ld(z + d + i) * a);
        }
}

/* u_t enters v_t, v_{t+1} and v_{t+2}; terms past the end of the sequence do not exist. */
static void conv_grad(float *gz, float *y, float *gtaps, const float *gy, const float *z,
                      const float *v, const float *taps, int n, int d)
{
    for (int t = 0; t < n; t++, z += 3 * d, gz += 3 * d, gy += d, y += d, v += d)
        for (int i = 0; i < d; i += L) {
            vf b = ld(z + i), c = ld(z + d + i), x = ld(z + 2 * d + i), g = ld(gy + i),
               vt = ld(v + i);
            vf u = b * x, gv = g * c, gu = ld(taps + 2 * d + i) * gv;
            st(gtaps + 2 * d + i, ld(gtaps + 2 * d + i) + gv * u);
            if (t + 1 < n) {
                vf g1 = ld(gy + d + i) * ld(z + 4 * d + i);
                gu += ld(taps + d + i) * g1;
                st(gtaps + d + i, ld(gtaps + d + i) + g1 * u);
            }
            if (t + 2 < n) {
                vf g2 = ld(gy + 2 * d + i) * ld(z + 7 * d + i);
                gu += ld(taps + i) * g2;
                st(gtaps + i, ld(gtaps + i) + g2 * u);
            }
            st(gz + i, gu * x);
            st(gz + d + i, g * vt);
            st(gz + 2 * d + i, gu * b);
            st(y + i, c * vt);
        }
}

/* ---- SwiGLU ---- */

static void swiglu(float *y, const float *ab, int n, int F)
{
    for (int t = 0; t < n; t++, ab += 2 * F, y += F)
        for (int i = 0; i < F; i += L) {
            vf a = ld(ab + i);
            st(y + i, a / (1.0f + vexp(-a)) * ld(ab + F + i));
        }
}

static void swiglu_grad(float *gab, float *y, const float *gy, const float *ab, int n, int F)
{
    for (int t = 0; t < n; t++, ab += 2 * F, gab += 2 * F, y += F, gy += F)
        for (int i = 0; i < F; i += L) {
            vf a = ld(ab + i), b = ld(ab + F + i), g = ld(gy + i);
            vf s = 1.0f / (1.0f + vexp(-a)), as = a * s;
            st(y + i, as * b);
            st(gab + i, g * b * (s + as * (1.0f - s)));
            st(gab + F + i, g * as);
        }
}

/* ---- attention rows ---- */

INLINE vf max16(vf a, vf b) { return pick(a > b, a, b); }

INLINE float row_max(const float *s, int n)                           /* n a multiple of 16 */
{
    vf m = ld(s);
    for (int i = L; i < n; i += L) m = max16(m, ld(s + i));
    float best = m[0];
    for (int i = 1; i < L; i++) best = m[i] > best ? m[i] : best;
    return best;
}

static float softmax(float *s, int n, int pad, float scale)
{
    int whole = (n + L - 1) / L * L;
    for (int i = n; i < whole; i++) s[i] = -1e30f; /* weighs e^-87 at most: nothing */
    float top = row_max(s, whole) * scale;
    vf z = { 0 };
    for (int i = 0; i < whole; i += L) z += vexp(ld(s + i) * scale - top);
    float lse = top + logf(sum(z));
    for (int i = 0; i < whole; i += L) st(s + i, vexp(ld(s + i) * scale - lse));
    for (int i = n; i < pad; i++) s[i] = 0;
    return lse;
}

static void softmax_grad(float *s, float *gp, int n, int pad, float scale, float lse, float dot)
{
    int whole = (n + L - 1) / L * L;
    for (int i = 0; i < whole; i += L) {
        vf p = vexp(ld(s + i) * scale - lse);
        st(s + i, p);
        st(gp + i, p * (ld(gp + i) - dot) * scale);
    }
    for (int i = n; i < pad; i++) s[i] = gp[i] = 0;
}

/* ---- loss ---- */

static float xent(float *z, int n_vocab, int target, float weight, float z_loss, bool grad,
                  uint8_t *hit)
{
    float top = row_max(z, n_vocab), zt = z[target];
    vf acc = { 0 };
    for (int i = 0; i < n_vocab; i += L) acc += vexp(ld(z + i) - top);
    float lse = top + logf(sum(acc));
    if (hit) *hit = zt >= top;
    if (grad) {
        float f = weight * (1.0f + 2.0f * z_loss * lse);
        for (int i = 0; i < n_vocab; i += L) st(z + i, vexp(ld(z + i) - lse) * f);
        z[target] -= weight;
    }
    return lse - zt;
}

static void add(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += L) st(y + i, ld(y + i) + ld(x + i));
}

static float dot(const float *x, const float *y, int n)
{
    vf s = { 0 };
    for (int i = 0; i < n; i += L) s += ld(x + i) * ld(y + i);
    return sum(s);
}

/* ---- the plain matrix product ---- */

#ifndef GRAD_GEMM
#define GRAD_GEMM gemm_ref
void gemm_ref(enum gemm_kind kind, int m, int n, int k, const float *a, int lda, const float *b,
              int ldb, float *c, int ldc, bool accumulate, struct arena *tmp)
{
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            float s = accumulate ? c[(size_t)i * ldc + j] : 0;
            for (int p = 0; p < k; p++) {
                float x = kind == GEMM_TN ? a[(size_t)p * lda + i] : a[(size_t)i * lda + p];
                float y = kind == GEMM_NT ? b[(size_t)j * ldb + p] : b[(size_t)p * ldb + j];
                s += x * y;
            }
            c[(size_t)i * ldc + j] = s;
        }
}
#else
gemm_fn GRAD_GEMM;
#endif

const struct grad_ops PASTE(grad_ops_, GRAD_ISA) = {
    NAME_OF(GRAD_ISA), GRAD_GEMM, rms,          rms_grad, head, head_grad, turn, turn_grad, conv,
    conv_grad,         swiglu,    swiglu_grad,  softmax,  softmax_grad, xent, add,  dot,
};

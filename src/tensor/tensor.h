/* tensor.h -- the door of tensor/: what numbers mean. Dtypes and their block layouts, named tensors,
 * the table of operations every backend fills, and its plain-C reference (forward and gradient).
 *
 * A matrix is stored [n_out, n_in] row-major (GGUF ne = {n_in, n_out}); rows of quantised types are
 * whole blocks, independent of each other. Activations are f32, row-major [n, d], everywhere. */
#ifndef TENON_TENSOR_H
#define TENON_TENSOR_H

#include "base/base.h"

/* ---- dtypes -------------------------------------------------------------------------------- */

/* enum, GGUF id, name, elements per block, bytes per block. Types without a pack/unpack row in
 * dtype.c are known by name only: a loader refuses them, naming the tensor. */
#define DTYPE_LIST(X) \
    X(DT_F32,   0, "F32",   1,   4)   X(DT_F16,  1, "F16",  1,   2)   X(DT_BF16, 30, "BF16", 1,   2) \
    X(DT_Q4_0,  2, "Q4_0", 32,  18)   X(DT_Q4_1, 3, "Q4_1", 32, 20)   X(DT_Q5_0,  6, "Q5_0", 32, 22) \
    X(DT_Q5_1,  7, "Q5_1", 32,  24)   X(DT_Q8_0, 8, "Q8_0", 32, 34) \
    X(DT_Q2_K, 10, "Q2_K", 256, 84)   X(DT_Q3_K, 11, "Q3_K", 256, 110) X(DT_Q4_K, 12, "Q4_K", 256, 144) \
    X(DT_Q5_K, 13, "Q5_K", 256, 176)  X(DT_Q6_K, 14, "Q6_K", 256, 210) \
    X(DT_IQ4_NL, 20, "IQ4_NL", 32, 18) X(DT_IQ4_XS, 23, "IQ4_XS", 256, 136) \
    X(DT_MXFP4, 39, "MXFP4", 32, 17) \
    X(DT_I32,  26, "I32",   1,   4)   X(DT_I64, 27, "I64", 1, 8)
enum dtype {
#define X(e, id, name, block, bytes) e,
    DTYPE_LIST(X)
#undef X
    DT_COUNT,
    DT_NONE = -1
};
struct dtype_info {
    const char *name;
    int gguf_id, block, bytes;                                        /* elements, bytes per block */
    void (*unpack)(const void *src, float *dst, size_t n);            /* n elements, whole blocks; NULL: unsupported */
    /* Rounds to nearest; NULL: read only. importance [n]: how much the squared error of each value counts,
     * for the formats that choose their scales (NULL: all alike, by the format's usual rule). */
    void (*pack)(const float *src, const float *importance, void *dst, size_t n);
};
const struct dtype_info *dtype_info(enum dtype d);
enum dtype dtype_find(const char *name);                              /* "q4_k", "Q4_K"; DT_NONE if unknown */
enum dtype dtype_of_gguf(uint32_t id);                                /* DT_NONE if unknown or removed */
size_t     dtype_bytes(enum dtype d, int64_t n);                      /* n elements, a multiple of the block */

/* IEEE binary16, subnormals included. Masks instead of branches: loops over it vectorise, and it is
 * right even where the processor treats f32 subnormals as zero. */
static inline float f16_to_f32(uint16_t h)
{
    uint32_t em = (uint32_t)(h & 0x7fff) << 13, exp = em & 0x0f800000;
    uint32_t none = (uint32_t) - (exp == 0), full = (uint32_t) - (exp == 0x0f800000);
    uint32_t bits = em + (112u << 23), sub = bits + (1u << 23);       /* rebias 15 -> 127 */
    float f;
    memcpy(&f, &sub, sizeof f);
    f -= 0x1p-14f;                                                    /* no hidden one below 2^-14 */
    memcpy(&sub, &f, sizeof f);
    bits += full & 112u << 23;                                        /* Inf and NaN keep all ones */
    bits = (sub & none) | (bits & ~none) | (uint32_t)(h & 0x8000) << 16;
    memcpy(&f, &bits, sizeof f);
    return f;
}
static inline float bf16_to_f32(uint16_t h)
{
    uint32_t bits = (uint32_t)h << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}
/* Scale of a block of MXFP4, whose levels are stored doubled: 2^(e - 128). */
static inline float fp4_scale(uint8_t e)
{
    uint32_t bits = e > 1 ? (uint32_t)(e - 1) << 23 : 0x00200000u << e;                /* subnormal below 2^-126 */
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}
uint16_t f32_to_f16(float f);                                         /* to nearest even */
uint16_t f32_to_bf16(float f);

/* ---- tensors ------------------------------------------------------------------------------- */

#define TENSOR_DIMS 4
struct tensor {                                                       /* data lent by whoever made it */
    const char *name;
    enum dtype dtype;
    int n_dim;
    int64_t ne[TENSOR_DIMS];                                          /* ne[0] contiguous; unused ones are 1 */
    const void *data;
    size_t bytes;
};

struct mat {                                                          /* weight matrix [n_out, n_in] */
    enum dtype dtype;
    int n_out, n_in;
    const void *data;
    size_t row_bytes;
    int id;                                                           /* its owner's number of it; kernels do not look at it */
    const struct mat *soon; int n_soon;                               /* what is multiplied after it as a rule, in one call; 0: unknown */
};

/* ---- operations ---------------------------------------------------------------------------- */

/* A prompt token always runs through the prefill kernels, a generated one through the decode kernels,
 * whatever the batch: results do not depend on how a prompt was cut or on who else is served. */
enum phase { PHASE_PREFILL, PHASE_DECODE };

/* Which two numbers of a head make a pair: i and i + head_dim/2 (NeoX), or 2i and 2i + 1 (as Llama was trained). */
enum rope_pairs { ROPE_HALVES, ROPE_NEIGHBOURS };

/* First position that row i of the attention sees. */
#define ATTN_FIRST(a, i) ((a)->window && (a)->pos0 + (i) >= (a)->window ? (a)->pos0 + (i) + 1 - (a)->window : 0)

struct matmul { float *y; const struct mat *w; };                     /* y [n, w->n_out] = x [n, w->n_in] w^T */

/* Attention of n query rows of ONE sequence over its KV pages. Page p holds positions
 * [p*page, (p+1)*page); keys/values of one page are [page, n_head_kv, head_dim] of dtype kv. */
struct attn {
    int n, n_head, n_head_kv, head_dim, page;
    enum dtype kv;                                                    /* any that unpacks; head_dim whole blocks */
    const void *const *k, *const *v;                                  /* [pages used] */
    const float *q;                                                   /* [n, n_head, head_dim], after norm and RoPE */
    float *o;                                                         /* [n, n_head, head_dim] */
    int pos0, window;                                                 /* row i sees positions up to pos0 + i, the last `window` of
                                                                       * them (0: all) */
    float scale;
};

enum gemm_kind {
    GEMM_NT,                                                          /* C[m,n] = A[m,k] B[n,k]^T  (forward) */
    GEMM_NN,                                                          /* C[m,n] = A[m,k] B[k,n]    (input gradient) */
    GEMM_TN,                                                          /* C[m,n] = A[k,m]^T B[k,n]  (weight gradient) */
};
/* Row-major f32 with leading dimensions in elements; accumulate adds to C. Runs on the calling
 * thread only, scratch from tmp (restored before return); any thread may call it. */
typedef void gemm_fn(enum gemm_kind kind, int m, int n, int k, const float *a, int lda, const float *b,
                     int ldb, float *c, int ldc, bool accumulate, struct arena *tmp);

struct ops {
    const char *name;                                                 /* "ref", "cpu avx512", … */
    void *ctx;                                                        /* the backend's own: pool, scratch */
    enum dtype kv;                                                    /* how the KV cache stores keys and values, unless it is told */
    /* n_mm products that share the input x [n, n_in]. */
    void (*matmul)(void *ctx, const struct matmul *mm, int n_mm, const float *x, int n, enum phase ph);
    void (*rows)(void *ctx, float *y, const struct mat *w, const int32_t *id, int n);   /* y[i] = w[id[i]] */
    void (*rms)(void *ctx, float *y, const float *x, const float *w, int n, int d, float eps); /* y may be x */
    /* Turns pair i of every head by pos * freq[i]; freq[head_dim/2]: angle per position. */
    void (*rope)(void *ctx, float *x, const int32_t *pos, int n, int n_head, int head_dim,
                 const float *freq, enum rope_pairs pairs);
    void (*kv_store)(void *ctx, void *page, const float *x, int row0, int n, int d, enum dtype kv); /* f32 rows into a page of kv */
    void (*attn)(void *ctx, const struct attn *a, enum phase ph);
    /* Gated short convolution of one sequence: z [n, 3d] = (B, C, X); u = B*X; v = causal conv of u
     * with taps [K, d] (oldest first); y [n, d] = C*v. state [K-1, d] holds the last u, oldest first, updated. */
    void (*conv)(void *ctx, float *y, const float *z, const float *taps, float *state, int n, int d, int K);
    void (*swiglu)(void *ctx, float *y, const float *gate, const float *up, size_t n);   /* silu(gate)*up; y may be gate */
    void (*add)(void *ctx, float *y, const float *x, size_t n);       /* y += x */
    gemm_fn *gemm_f32, *gemm_bf16;                                    /* training; bf16 inputs, f32 sums */
};
const struct ops *ref_ops(void);                                      /* plain C, f32, one thread: the judge */

/* ---- training: grad.c ------------------------------------------------------------------------ */

/* What the trainer needs beside the matrix products, forward and gradient as neighbours. Written once
 * in grad.c and compiled once per instruction set; sums run over 16 fixed lanes, so that a given build is
 * reproducible. Widths (d, F, n_vocab, head_dim / 2) are multiples of 16. No allocation, any thread. */
struct grad_ops {
    const char *name;
    gemm_fn *gemm;
    /* y = w * x / rms(x), rows of d. Gradient: adds to gx [n, d] and gw [d]. */
    void (*rms)(float *y, const float *x, const float *w, int n, int d, float eps);
    void (*rms_grad)(float *gx, float *gw, const float *gy, const float *x, const float *w, int n, int d, float eps);
    /* One token's heads: y = RoPE(norm(x)), head by head with shared weights w [hd]; rope: cos[hd/2], sin[hd/2].
     * The gradient writes gx and adds to gw. */
    void (*head)(float *y, const float *x, const float *w, const float *rope, int n_head, int hd, float eps);
    void (*head_grad)(float *gx, float *gw, const float *gy, const float *x, const float *w, const float *rope,
                      int n_head, int hd, float eps);
    /* One token's heads without a norm, where neighbours 2i and 2i + 1 make a pair: y = RoPE(x), pair i at i and i + hd/2,
     * so that scores are those of the turned pairs in any order. The gradient writes gx. */
    void (*turn)(float *y, const float *x, const float *rope, int n_head, int hd);
    void (*turn_grad)(float *gx, const float *gy, const float *rope, int n_head, int hd);
    /* One sequence of gated short convolution, three taps [3, d], oldest first: z [n, 3d] = (B, C, X), v = conv(B*X),
     * y = C*v. The gradient writes gz and y again, and adds to gtaps [3, d]. */
    void (*conv)(float *y, float *v, const float *z, const float *taps, int n, int d);
    void (*conv_grad)(float *gz, float *y, float *gtaps, const float *gy, const float *z, const float *v,
                      const float *taps, int n, int d);
    /* ab [n, 2F] = (gate, up): y = silu(gate)*up. The gradient writes gab and y again. */
    void (*swiglu)(float *y, const float *ab, int n, int F);
    void (*swiglu_grad)(float *gab, float *y, const float *gy, const float *ab, int n, int F);
    /* One attention row: s[0..n) scores become probabilities of softmax(scale*s), s[n..pad) zero; returns the log of
     * the sum. The gradient takes scores again and gp (gradient of the probabilities), dot = sum p*gp, and
     * leaves p in s and the gradient of the raw scores in gp. pad: multiple of 16. */
    float (*softmax)(float *s, int n, int pad, float scale);
    void (*softmax_grad)(float *s, float *gp, int n, int pad, float scale, float lse, float dot);
    /* Cross entropy of one row of logits: returns the loss, *hit = arg-max is the target; with grad, z becomes
     * weight * (softmax - onehot + 2*z_loss*lse*softmax). */
    float (*xent)(float *z, int n_vocab, int target, float weight, float z_loss, bool grad, uint8_t *hit);
    void (*add)(float *y, const float *x, size_t n);                  /* y += x; n a multiple of 16 */
    float (*dot)(const float *x, const float *y, int n);              /* n a multiple of 16 */
};
extern const struct grad_ops grad_ops_ref;                            /* plain C, the judge; gemm is gemm_ref */
void gemm_ref(enum gemm_kind kind, int m, int n, int k, const float *a, int lda, const float *b, int ldb,
              float *c, int ldc, bool accumulate, struct arena *tmp);

#endif

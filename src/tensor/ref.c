/* ref.c -- the op table in plain C: the judge every fast backend is compared with.
 *
 * Written to be read, not to be fast: one loop per formula, weights unpacked to f32 row by row,
 * every sum in double and in the order of its index. It knows no threads and keeps no state, so
 * ref_ops() may be shared freely; prefill and decode are the same code. */
#include <math.h>

#include "tensor/tensor.h"

static double dot(const float *a, const float *b, int n)
{
    double s = 0;
    for (int i = 0; i < n; i++) s += (double)a[i] * b[i];
    return s;
}

static const void *mat_row(const struct mat *w, int64_t r)
{
    return (const uint8_t *)w->data + (size_t)r * w->row_bytes;
}

static void matmul_one(const struct matmul *mm, const float *x, int n)
{
    const struct mat *w = mm->w;
    float *row = mem_alloc((size_t)w->n_in * sizeof *row);
    for (int r = 0; r < w->n_out; r++) {
        dtype_info(w->dtype)->unpack(mat_row(w, r), row, (size_t)w->n_in);
        for (int t = 0; t < n; t++)
            mm->y[(size_t)t * w->n_out + r] = (float)dot(row, x + (size_t)t * w->n_in, w->n_in);
    }
    mem_free(row);
}

static void ref_matmul(void *ctx, const struct matmul *mm, int n_mm, const float *x, int n,
                       enum phase ph)
{
    for (int i = 0; i < n_mm; i++) matmul_one(&mm[i], x, n);
}

static void ref_rows(void *ctx, float *y, const struct mat *w, const int32_t *id, int n)
{
    for (int i = 0; i < n; i++)
        dtype_info(w->dtype)->unpack(mat_row(w, id[i]), y + (size_t)i * w->n_in, (size_t)w->n_in);
}

static void ref_rms(void *ctx, float *y, const float *x, const float *w, int n, int d, float eps)
{
    for (int t = 0; t < n; t++, x += d, y += d) {
        float scale = (float)(1 / sqrt(dot(x, x, d) / d + eps));
        for (int i = 0; i < d; i++) y[i] = x[i] * scale * w[i];
    }
}

static void ref_rope(void *ctx, float *x, const int32_t *pos, int n, int n_head, int head_dim,
                     const float *freq, enum rope_pairs pairs)
{
    int half = head_dim / 2, step = pairs == ROPE_HALVES ? 1 : 2, gap = pairs == ROPE_HALVES ? half : 1;
    for (int t = 0; t < n; t++)
        for (int h = 0; h < n_head; h++, x += head_dim)
            for (int i = 0; i < half; i++) {
                double angle = (double)pos[t] * freq[i], c = cos(angle), s = sin(angle);
                float *a = &x[i * step], *b = a + gap, was = *a;
                *a = (float)(was * c - *b * s);
                *b = (float)(*b * c + was * s);
            }
}

static void ref_kv_store(void *ctx, void *page, const float *x, int row0, int n, int d, enum dtype kv)
{
    dtype_info(kv)->pack(x, NULL, (char *)page + dtype_bytes(kv, (int64_t)row0 * d), (size_t)n * d);
}

/* Key or value vector of one position and one KV head, in `row` unless it lies there as it is. */
static const float *kv_row(const struct attn *a, const void *const *pages, int pos, int head, float *row)
{
    int64_t at = ((int64_t)(pos % a->page) * a->n_head_kv + head) * a->head_dim;
    const char *from = (const char *)pages[pos / a->page] + dtype_bytes(a->kv, at);
    if (a->kv == DT_F32) return (const float *)(const void *)from;
    dtype_info(a->kv)->unpack(from, row, (size_t)a->head_dim);
    return row;
}

/* One query head at one row; p: room for as many weights as there are positions seen. */
static void attn_head(const struct attn *a, int t, int h, double *p)
{
    float row[4096];
    int first = ATTN_FIRST(a, t), seen = a->pos0 + t + 1, hk = h / (a->n_head / a->n_head_kv), d = a->head_dim;
    size_t at = ((size_t)t * a->n_head + h) * d;
    double top = -INFINITY, sum = 0;
    for (int j = first; j < seen; j++) {
        p[j] = dot(a->q + at, kv_row(a, a->k, j, hk, row), d) * a->scale;
        top = fmax(top, p[j]);
    }
    for (int j = first; j < seen; j++) sum += p[j] = exp(p[j] - top);
    double o[4096] = { 0 };
    for (int j = first; j < seen; j++) {
        const float *v = kv_row(a, a->v, j, hk, row);
        for (int i = 0; i < d; i++) o[i] += p[j] * v[i];
    }
    for (int i = 0; i < d; i++) a->o[at + i] = (float)(o[i] / sum);
}

static void ref_attn(void *ctx, const struct attn *a, enum phase ph)
{
    double *p = mem_alloc((size_t)(a->pos0 + a->n) * sizeof *p);
    for (int t = 0; t < a->n; t++)
        for (int h = 0; h < a->n_head; h++) attn_head(a, t, h, p);
    mem_free(p);
}

/* The window slides by itself: state holds the K-1 inputs before row t, oldest first. */
static void ref_conv(void *ctx, float *y, const float *z, const float *taps, float *state, int n,
                     int d, int K)
{
    for (int t = 0; t < n; t++, y += d, z += 3 * (size_t)d)
        for (int c = 0; c < d; c++) {
            float u = z[c] * z[2 * d + c];
            double v = (double)taps[(size_t)(K - 1) * d + c] * u;
            for (int j = 0; j < K - 1; j++)
                v += (double)taps[(size_t)j * d + c] * state[(size_t)j * d + c];
            for (int j = 0; j + 1 < K - 1; j++)
                state[(size_t)j * d + c] = state[(size_t)(j + 1) * d + c];
            if (K > 1) state[(size_t)(K - 2) * d + c] = u;
            y[c] = (float)(z[d + c] * v);
        }
}

static void ref_swiglu(void *ctx, float *y, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = (float)(gate[i] / (1 + exp(-(double)gate[i])) * up[i]);
}

static void ref_add(void *ctx, float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] += x[i];
}

const struct ops *ref_ops(void)
{
    static const struct ops ops = {
        .name = "ref", .kv = DT_F32, .matmul = ref_matmul, .rows = ref_rows, .rms = ref_rms,
        .rope = ref_rope, .kv_store = ref_kv_store, .attn = ref_attn, .conv = ref_conv,
        .swiglu = ref_swiglu, .add = ref_add, .gemm_f32 = gemm_ref, .gemm_bf16 = gemm_ref,
    };
    return &ops;
}

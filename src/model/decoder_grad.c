/* decoder_grad.c -- one training step of LFM2 or Llama on a pack of conversations: forward with a tape, then
 * back.
 *
 * Conversations lie back to back in one flat array of rows. Products, norms and SwiGLU do not see
 * their borders; convolution, RoPE and attention run conversation by conversation. So there is no
 * padding, no mask across borders and nothing that could leak.
 *
 * The tape keeps what the way back cannot cheaply recompute: the residual stream before each half
 * block, the normed inputs, the projections, and per attention row the logarithm of its sum;
 * probabilities are recomputed tile by tile. Only the lower triangle of attention is walked. The
 * head runs on the rows that carry loss, a few hundred at a time.
 *
 * True at all times: nothing is allocated but from the arena, which is back at its mark when
 * net_step returns; sums run in one order, so equal input gives equal bits. Any thread may call it. */
#include "model/net.h"

#define TILE_T 64     /* query positions of an attention tile */
#define HEAD_ROWS 256 /* rows whose logits exist at one time */

struct tape {                                                         /* of one block */
    float *h, *a;                                                     /* [n, d] stream, its norm */
    float *z, *v;                                                     /* conv: [n, 3d], [n, d] */
    float *qkv, *qk, *o, *lse; /* attention: raw, after RoPE [n, (H+G)hd], out [n, d], [H, n] */
    float *mid, *f, *ab;       /* [n, d] stream, its norm, [n, 2F] */
};

struct step {
    const struct net *net;
    const struct grad_ops *op;
    const float *w;
    float *g; /* of what is trained; NULL: forward only */
    float *waste; /* where gradients of frozen norms go */
    const struct pack *p;
    struct arena *tmp;
    int n, d, q, F, H, hd; /* q: width of all query heads */
    struct tape *tape;                                                /* [n_layer] */
    float *last; /* [n, d] stream after all blocks */
    float *gh;   /* [n, d] gradient of the stream, on its way down */
};

/* Where the gradient of the parameter at `off` adds up; NULL: it is frozen. */
static float *grad_at(const struct step *s, size_t off)
{
    return off >= s->net->frozen ? s->g + (off - s->net->frozen) : NULL;
}

/* The same for a vector: the operations want somewhere to add. */
static float *norm_grad_at(const struct step *s, size_t off)
{
    float *g = grad_at(s, off);
    return g ? g : s->waste;
}

/* The additions to a matrix [out, in] at w, each for a stretch of its rows: from pair i on. */
static int pairs_from(const struct net *n, size_t w)
{
    int i = 0;
    while (i < n->n_pair && n->pair[i].base < w) i++;
    return i;
}

/* t [n, r] = scale x A^T */
static float *pair_down(const struct step *s, const struct net_pair *p, const float *x)
{
    int r = s->net->rank;
    float *t = arena_f32(s->tmp, (size_t)s->n * (size_t)r);
    s->op->gemm(GEMM_NT, s->n, r, p->cols, x, p->cols, s->w + p->a, p->cols, t, r, false, s->tmp);
    for (size_t i = 0; i < (size_t)s->n * (size_t)r; i++) t[i] *= s->net->pair_scale;
    return t;
}

static void pairs_forward(const struct step *s, float *y, const float *x, size_t w, int out, int in)
{
    const struct net *n = s->net;
    size_t end = w + (size_t)out * (size_t)in;
    for (int i = pairs_from(n, w); i < n->n_pair && n->pair[i].base < end; i++) {
        const struct net_pair *p = &n->pair[i];
        size_t mark = arena_mark(s->tmp), row = (p->base - w) / (size_t)in;
        float *t = pair_down(s, p, x);
        s->op->gemm(GEMM_NT, s->n, p->rows, n->rank, t, n->rank, s->w + p->b, n->rank, y + row, out,
                    true, s->tmp);
        arena_reset(s->tmp, mark);
    }
}

/* u [n, r] = scale gy B */
static float *pair_up(const struct step *s, const struct net_pair *p, const float *gy, int out)
{
    int r = s->net->rank;
    float *u = arena_f32(s->tmp, (size_t)s->n * (size_t)r);
    s->op->gemm(GEMM_NN, s->n, r, p->rows, gy, out, s->w + p->b, r, u, r, false, s->tmp);
    for (size_t i = 0; i < (size_t)s->n * (size_t)r; i++) u[i] *= s->net->pair_scale;
    return u;
}

/* x given: g_B += gy^T (scale x A^T), g_A += u^T x; else gx += u A. */
static void pairs_backward(const struct step *s, float *gx, const float *gy, const float *x,
                           size_t w, int out, int in)
{
    const struct net *n = s->net;
    size_t end = w + (size_t)out * (size_t)in;
    int r = n->rank;
    for (int i = pairs_from(n, w); i < n->n_pair && n->pair[i].base < end; i++) {
        const struct net_pair *p = &n->pair[i];
        const float *g = gy + (p->base - w) / (size_t)in;
        size_t mark = arena_mark(s->tmp);
        float *u = pair_up(s, p, g, out), *t = x ? pair_down(s, p, x) : NULL;
        if (x) {
            s->op->gemm(GEMM_TN, p->rows, r, s->n, g, out, t, r, grad_at(s, p->b), r, true, s->tmp);
            s->op->gemm(GEMM_TN, r, in, s->n, u, r, x, in, grad_at(s, p->a), in, true, s->tmp);
        } else
            s->op->gemm(GEMM_NN, s->n, in, r, u, r, s->w + p->a, in, gx, in, true, s->tmp);
        arena_reset(s->tmp, mark);
    }
}

/* y [n, out] = or += x [n, in] w^T, w [out, in] */
static void linear(const struct step *s, float *y, const float *x, size_t w, int out, int in,
                   bool accumulate)
{
    s->op->gemm(GEMM_NT, s->n, out, in, x, in, s->w + w, in, y, out, accumulate, s->tmp);
    pairs_forward(s, y, x, w, out, in);
}

/* gx = gy w */
static void linear_grad_in(const struct step *s, float *gx, const float *gy, size_t w, int out,
                           int in)
{
    s->op->gemm(GEMM_NN, s->n, in, out, gy, out, s->w + w, in, gx, in, false, s->tmp);
    pairs_backward(s, gx, gy, NULL, w, out, in);
}

/* g_w += gy^T x */
static void linear_grad_w(const struct step *s, const float *gy, const float *x, size_t w, int out,
                          int in)
{
    float *g = grad_at(s, w);
    if (g) s->op->gemm(GEMM_TN, out, in, s->n, gy, out, x, in, g, in, true, s->tmp);
    pairs_backward(s, NULL, gy, x, w, out, in);
}

static void linear_grad(const struct step *s, float *gx, const float *gy, const float *x, size_t w,
                        int out, int in)
{
    linear_grad_in(s, gx, gy, w, out, in);
    linear_grad_w(s, gy, x, w, out, in);
}

static float *rows_of(const struct step *s, int width)
{
    return arena_f32(s->tmp, (size_t)s->n * (size_t)width);
}

/* ---- gated short convolution ---- */

/* Taps lie [d, 3] in the file; the kernels want [3, d]. */
static float *taps_turned(const struct step *s, const float *taps)
{
    float *t = arena_f32(s->tmp, 3 * (size_t)s->d);
    for (int i = 0; i < s->d; i++)
        for (int j = 0; j < 3; j++) t[j * s->d + i] = taps[3 * i + j];
    return t;
}

static void conv_forward(const struct step *s, const struct net_layer *y, struct tape *t,
                         float *stream)
{
    int d = s->d;
    t->z = rows_of(s, 3 * d);
    t->v = rows_of(s, d);
    size_t mark = arena_mark(s->tmp);
    float *out = rows_of(s, d), *taps = taps_turned(s, s->w + y->taps);
    linear(s, t->z, t->a, y->in, 3 * d, d, false);
    for (int q = 0; q < s->p->n_seq; q++) {
        size_t r = (size_t)s->p->start[q] * (size_t)d;
        s->op->conv(out + r, t->v + r, t->z + 3 * r, taps, s->p->length[q], d);
    }
    linear(s, stream, out, y->out, d, d, true);
    arena_reset(s->tmp, mark);
}

static void conv_backward(const struct step *s, const struct net_layer *y, const struct tape *t,
                          float *ga)
{
    int d = s->d;
    float *gy = rows_of(s, d), *gz = rows_of(s, 3 * d), *out = rows_of(s, d);
    float *taps = taps_turned(s, s->w + y->taps),
          *gt = arena_zero(s->tmp, 3 * (size_t)d * sizeof *gt);
    linear_grad_in(s, gy, s->gh, y->out, d, d);
    for (int q = 0; q < s->p->n_seq; q++) {
        size_t r = (size_t)s->p->start[q] * (size_t)d;
        s->op->conv_grad(gz + 3 * r, out + r, gt, gy + r, t->z + 3 * r, t->v + r, taps,
                         s->p->length[q], d);
    }
    linear_grad_w(s, s->gh, out, y->out, d, d);
    float *g = grad_at(s, y->taps);
    for (int i = 0; g && i < d; i++)
        for (int j = 0; j < 3; j++) g[3 * i + j] += gt[j * d + i];
    linear_grad(s, ga, gz, t->a, y->in, 3 * d, d);
}

/* ---- attention ---- */

/* One conversation and one key/value head with its `grp` query heads. A tile stacks the query rows
 * of TILE_T positions, heads of one position side by side: row r is position r / grp. */
struct head {
    int T, G, grp;
    int stride, row0;   /* floats of a qk row; first row of the conversation */
    int wide;                                                         /* floats of a qkv row */
    const float *k, *v; /* first position; rows `stride`, `wide` apart */
    int first;                                                        /* first query head */
};

static struct head head_of(const struct step *s, const struct net_layer *y, const struct tape *t,
                           int q, int g)
{
    int G = y->n_head_kv, grp = s->H / G, row0 = s->p->start[q];
    int stride = (s->H + G) * s->hd, wide = (s->H + 2 * G) * s->hd;
    return (struct head){ s->p->length[q], G, grp, stride, row0, wide,
                          t->qk + (size_t)row0 * stride + (s->H + g) * s->hd,
                          t->qkv + (size_t)row0 * wide + (s->H + G + g) * s->hd, g * grp };
}

/* Copies the tile's heads out of (or back into) rows of `stride` floats. */
static void tile_gather(const struct step *s, const struct head *h, float *tile, const float *x,
                        int stride, int t0, int nt)
{
    size_t len = (size_t)h->grp * (size_t)s->hd;
    for (int t = 0; t < nt; t++)
        memcpy(tile + t * len, x + (size_t)(h->row0 + t0 + t) * stride + h->first * s->hd,
               len * sizeof *tile);
}

static void tile_scatter(const struct step *s, const struct head *h, const float *tile, float *x,
                         int stride, int t0, int nt)
{
    size_t len = (size_t)h->grp * (size_t)s->hd;
    for (int t = 0; t < nt; t++)
        memcpy(x + (size_t)(h->row0 + t0 + t) * stride + h->first * s->hd, tile + t * len,
               len * sizeof *tile);
}

static float attn_scale(const struct step *s)
{
    return s->net->attn_scale;
}

static void attn_head(const struct step *s, const struct tape *t, const struct head *h)
{
    int hd = s->hd, most = TILE_T * h->grp, pad = (h->T + 15) / 16 * 16;
    float *q = arena_f32(s->tmp, (size_t)most * hd), *o = arena_f32(s->tmp, (size_t)most * hd);
    float *p = arena_f32(s->tmp, (size_t)most * pad);
    for (int t0 = 0; t0 < h->T; t0 += TILE_T) {
        int nt = MIN(TILE_T, h->T - t0), rows = nt * h->grp, seen = t0 + nt;
        tile_gather(s, h, q, t->qk, h->stride, t0, nt);
        s->op->gemm(GEMM_NT, rows, seen, hd, q, hd, h->k, h->stride, p, pad, false, s->tmp);
        for (int r = 0; r < rows; r++)
            t->lse[(size_t)(h->first + r % h->grp) * s->n + h->row0 + t0 + r / h->grp] =
                s->op->softmax(p + (size_t)r * pad, t0 + r / h->grp + 1, (seen + 15) / 16 * 16,
                               attn_scale(s));
        s->op->gemm(GEMM_NN, rows, hd, seen, p, pad, h->v, h->wide, o, hd, false, s->tmp);
        tile_scatter(s, h, o, t->o, s->q, t0, nt);
    }
}

/* gqk, gqkv: zeroed; receives the gradients after RoPE and of the values. */
static void attn_head_grad(const struct step *s, const struct tape *t, const struct head *h,
                           const float *go, float *gqk, float *gqkv)
{
    int hd = s->hd, most = TILE_T * h->grp, pad = (h->T + 15) / 16 * 16;
    float *q = arena_f32(s->tmp, (size_t)most * hd), *gq = arena_f32(s->tmp, (size_t)most * hd);
    float *o = arena_f32(s->tmp, (size_t)most * hd), *g = arena_f32(s->tmp, (size_t)most * hd);
    float *p = arena_f32(s->tmp, (size_t)most * pad), *gp = arena_f32(s->tmp, (size_t)most * pad);
    float *gk = gqk + (h->k - t->qk), *gv = gqkv + (h->v - t->qkv);
    for (int t0 = 0; t0 < h->T; t0 += TILE_T) {
        int nt = MIN(TILE_T, h->T - t0), rows = nt * h->grp, seen = t0 + nt;
        tile_gather(s, h, q, t->qk, h->stride, t0, nt);
        tile_gather(s, h, o, t->o, s->q, t0, nt);
        tile_gather(s, h, g, go, s->q, t0, nt);
        s->op->gemm(GEMM_NT, rows, seen, hd, q, hd, h->k, h->stride, p, pad, false, s->tmp);
        s->op->gemm(GEMM_NT, rows, seen, hd, g, hd, h->v, h->wide, gp, pad, false, s->tmp);
        for (int r = 0; r < rows; r++)
            s->op->softmax_grad(
                p + (size_t)r * pad, gp + (size_t)r * pad, t0 + r / h->grp + 1,
                (seen + 15) / 16 * 16, attn_scale(s),
                t->lse[(size_t)(h->first + r % h->grp) * s->n + h->row0 + t0 + r / h->grp],
                s->op->dot(o + (size_t)r * hd, g + (size_t)r * hd, hd));
        s->op->gemm(GEMM_TN, seen, hd, rows, p, pad, g, hd, gv, h->wide, true, s->tmp);
        s->op->gemm(GEMM_TN, seen, hd, rows, gp, pad, q, hd, gk, h->stride, true, s->tmp);
        s->op->gemm(GEMM_NN, rows, hd, seen, gp, pad, h->k, h->stride, gq, hd, false, s->tmp);
        tile_scatter(s, h, gq, gqk, h->stride, t0, nt);
    }
}

static const float *rope_row(const struct step *s, int q, int t)
{
    return s->net->rope + (size_t)(s->p->pos0[q] + t) * (size_t)s->hd;
}

/* Queries and keys of one row: normed head by head, if the model has such norms, and turned. */
static void turn_row(const struct step *s, const struct net_layer *y, float *to, const float *x,
                     const float *rope)
{
    int G = y->n_head_kv, hd = s->hd, k = s->H * hd;
    float eps = s->net->cfg.rms_eps;
    if (!s->net->head_norm) {
        s->op->turn(to, x, rope, s->H + G, hd);
        return;
    }
    s->op->head(to, x, s->w + y->q_norm, rope, s->H, hd, eps);
    s->op->head(to + k, x + k, s->w + y->k_norm, rope, G, hd, eps);
}

static void turn_row_grad(const struct step *s, const struct net_layer *y, float *gx,
                          const float *gy, const float *x, const float *rope)
{
    int G = y->n_head_kv, hd = s->hd, k = s->H * hd;
    float eps = s->net->cfg.rms_eps;
    if (!s->net->head_norm) {
        s->op->turn_grad(gx, gy, rope, s->H + G, hd);
        return;
    }
    s->op->head_grad(gx, norm_grad_at(s, y->q_norm), gy, x, s->w + y->q_norm, rope, s->H, hd, eps);
    s->op->head_grad(gx + k, norm_grad_at(s, y->k_norm), gy + k, x + k, s->w + y->k_norm, rope, G,
                     hd, eps);
}

static void attn_forward(const struct step *s, const struct net_layer *y, struct tape *t,
                         float *stream)
{
    int G = y->n_head_kv, hd = s->hd, wide = (s->H + 2 * G) * hd, stride = (s->H + G) * hd;
    t->qkv = rows_of(s, wide);
    t->qk = rows_of(s, stride);
    t->o = rows_of(s, s->q);
    t->lse = rows_of(s, s->H);
    linear(s, t->qkv, t->a, y->in, wide, s->d, false);
    for (int q = 0; q < s->p->n_seq; q++) {
        for (int i = 0; i < s->p->length[q]; i++) {
            size_t r = (size_t)(s->p->start[q] + i);
            turn_row(s, y, t->qk + r * stride, t->qkv + r * wide, rope_row(s, q, i));
        }
        for (int g = 0; g < G; g++) {
            size_t mark = arena_mark(s->tmp);
            struct head h = head_of(s, y, t, q, g);
            attn_head(s, t, &h);
            arena_reset(s->tmp, mark);
        }
    }
    linear(s, stream, t->o, y->out, s->d, s->q, true);
}

static void attn_backward(const struct step *s, const struct net_layer *y, const struct tape *t,
                          float *ga)
{
    int G = y->n_head_kv, hd = s->hd, wide = (s->H + 2 * G) * hd, stride = (s->H + G) * hd;
    float *go = rows_of(s, s->q);
    float *gqk = arena_zero(s->tmp, (size_t)s->n * stride * sizeof *gqk),
          *gqkv = arena_zero(s->tmp, (size_t)s->n * wide * sizeof *gqkv);
    linear_grad(s, go, s->gh, t->o, y->out, s->d, s->q);
    for (int q = 0; q < s->p->n_seq; q++) {
        for (int g = 0; g < G; g++) {
            size_t mark = arena_mark(s->tmp);
            struct head h = head_of(s, y, t, q, g);
            attn_head_grad(s, t, &h, go, gqk, gqkv);
            arena_reset(s->tmp, mark);
        }
        for (int i = 0; i < s->p->length[q]; i++) {
            size_t r = (size_t)(s->p->start[q] + i);
            turn_row_grad(s, y, gqkv + r * wide, gqk + r * stride, t->qkv + r * wide,
                          rope_row(s, q, i));
        }
    }
    linear_grad(s, ga, gqkv, t->a, y->in, wide, s->d);
}

/* ---- blocks ---- */

static void block_forward(const struct step *s, int l, float *next)
{
    const struct net_layer *y = &s->net->layer[l];
    struct tape *t = &s->tape[l];
    float eps = s->net->cfg.rms_eps;
    size_t bytes = (size_t)s->n * (size_t)s->d * sizeof(float);
    t->a = rows_of(s, s->d);
    t->mid = rows_of(s, s->d);
    t->f = rows_of(s, s->d);
    t->ab = rows_of(s, 2 * s->F);
    s->op->rms(t->a, t->h, s->w + y->norm, s->n, s->d, eps);
    memcpy(t->mid, t->h, bytes);
    if (y->n_head_kv) attn_forward(s, y, t, t->mid);
    else conv_forward(s, y, t, t->mid);
    s->op->rms(t->f, t->mid, s->w + y->ffn_norm, s->n, s->d, eps);
    linear(s, t->ab, t->f, y->up, 2 * s->F, s->d, false);
    memcpy(next, t->mid, bytes);
    size_t mark = arena_mark(s->tmp);
    float *u = rows_of(s, s->F);
    s->op->swiglu(u, t->ab, s->n, s->F);
    linear(s, next, u, y->down, s->d, s->F, true);
    arena_reset(s->tmp, mark);
}

/* s->gh holds the gradient of the block's output and becomes that of its input. */
static void block_backward(const struct step *s, int l)
{
    const struct net_layer *y = &s->net->layer[l];
    const struct tape *t = &s->tape[l];
    float eps = s->net->cfg.rms_eps;
    size_t mark = arena_mark(s->tmp);
    float *gn = rows_of(s, s->d), *u = rows_of(s, s->F), *gu = rows_of(s, s->F),
          *gab = rows_of(s, 2 * s->F);
    linear_grad_in(s, gu, s->gh, y->down, s->d, s->F);
    s->op->swiglu_grad(gab, u, gu, t->ab, s->n, s->F);
    linear_grad_w(s, s->gh, u, y->down, s->d, s->F);
    linear_grad(s, gn, gab, t->f, y->up, 2 * s->F, s->d);
    s->op->rms_grad(s->gh, norm_grad_at(s, y->ffn_norm), gn, t->mid, s->w + y->ffn_norm, s->n, s->d, eps);
    if (y->n_head_kv) attn_backward(s, y, t, gn);
    else conv_backward(s, y, t, gn);
    s->op->rms_grad(s->gh, norm_grad_at(s, y->norm), gn, t->h, s->w + y->norm, s->n, s->d, eps);
    arena_reset(s->tmp, mark);
}

/* ---- head ---- */

struct head_out { float scale, z_loss; float *row_loss; uint8_t *row_hit; struct pack_loss *sum; };

/* Rows idx[0..m) of the last stream: norm, logits, loss; and back into s->gh. */
static void head_rows(const struct step *s, const struct head_out *o, const int *idx, int m)
{
    int d = s->d, V = s->net->cfg.n_vocab;
    const float *E = s->w + s->net->head, *norm = s->w + s->net->final_norm;
    size_t mark = arena_mark(s->tmp), row = (size_t)d * sizeof(float);
    float *x = arena_f32(s->tmp, (size_t)m * d), *hn = arena_f32(s->tmp, (size_t)m * d),
          *z = arena_f32(s->tmp, (size_t)m * V);
    for (int i = 0; i < m; i++) memcpy(x + (size_t)i * d, s->last + (size_t)idx[i] * d, row);
    s->op->rms(hn, x, norm, m, d, s->net->cfg.rms_eps);
    s->op->gemm(GEMM_NT, m, V, d, hn, d, E, d, z, V, false, s->tmp);
    for (int i = 0; i < m; i++) {
        float w = s->p->weight[idx[i]];
        uint8_t hit;
        float loss = s->op->xent(z + (size_t)i * V, V, s->p->target[idx[i]], w * o->scale,
                                 o->z_loss, s->g != NULL, &hit);
        o->sum->loss += (double)w * loss;
        o->sum->weight += w;
        if (o->row_loss) o->row_loss[idx[i]] = loss;
        if (o->row_hit) o->row_hit[idx[i]] = hit;
    }
    if (s->g) {
        float *gn = arena_f32(s->tmp, (size_t)m * d), *gx = arena_zero(s->tmp, (size_t)m * row);
        s->op->gemm(GEMM_NN, m, d, V, z, V, E, d, gn, d, false, s->tmp);
        float *gE = grad_at(s, s->net->head);
        if (gE) s->op->gemm(GEMM_TN, V, d, m, z, V, hn, d, gE, d, true, s->tmp);
        s->op->rms_grad(gx, norm_grad_at(s, s->net->final_norm), gn, x, norm, m, d,
                        s->net->cfg.rms_eps);
        for (int i = 0; i < m; i++) memcpy(s->gh + (size_t)idx[i] * d, gx + (size_t)i * d, row);
    }
    arena_reset(s->tmp, mark);
}

/* Rows that carry loss; with a report wanted also those of weight 0 that have a target. */
static void head_all(const struct step *s, const struct head_out *o)
{
    int idx[HEAD_ROWS], m = 0;
    bool report = o->row_loss || o->row_hit;
    for (int i = 0; i < s->n; i++) {
        if (s->p->target[i] < 0 || (!report && s->p->weight[i] == 0)) continue;
        idx[m++] = i;
        if (m == HEAD_ROWS) {
            head_rows(s, o, idx, m);
            m = 0;
        }
    }
    if (m) head_rows(s, o, idx, m);
}

/* ---- the step ---- */

static bool pack_check(const struct net *n, const struct pack *p, struct err *e)
{
    const struct model_config *c = &n->cfg;
    for (int i = 0; i < p->n; i++)
        if (p->token[i] < 0 || p->token[i] >= c->n_vocab || p->target[i] < -1 ||
            p->target[i] >= c->n_vocab)
            return err_set(e, ERR_ARG,
                           "pack: row %d: token %d or target %d is outside the vocabulary of %d", i,
                           p->token[i], p->target[i], c->n_vocab);
    int at = 0;
    for (int q = 0; q < p->n_seq; at += p->length[q++])
        if (p->start[q] != at || p->length[q] < 1 || p->length[q] > p->n - at)
            return err_set(e, ERR_ARG,
                           "pack: conversation %d does not begin where the one before it ends", q);
        else if (p->pos0[q] < 0 || p->pos0[q] > c->n_ctx - p->length[q])
            return err_set(e, ERR_LIMIT,
                           "pack: conversation %d: %d positions from %d pass the context of %d", q,
                           p->length[q], p->pos0[q], c->n_ctx);
    return at == p->n ||
           err_set(e, ERR_ARG, "pack: %d rows, but its conversations have %d", p->n, at);
}

static void forward(struct step *s)
{
    const float *E = s->w + s->net->embd;
    int layers = s->net->cfg.n_layer;
    float *h = rows_of(s, s->d);
    for (int i = 0; i < s->n; i++)
        memcpy(h + (size_t)i * s->d, E + (size_t)s->p->token[i] * s->d, (size_t)s->d * sizeof *h);
    s->tape = arena_zero(s->tmp, (size_t)layers * sizeof *s->tape);
    for (int l = 0; l < layers; l++) {
        float *next = rows_of(s, s->d);
        s->tape[l].h = h;
        block_forward(s, l, next);
        h = next;
    }
    s->last = h;
}

static void backward(struct step *s)
{
    for (int l = s->net->cfg.n_layer - 1; l >= 0; l--) block_backward(s, l);
    float *g = grad_at(s, s->net->embd);
    for (int i = 0; g && i < s->n; i++)
        s->op->add(g + (size_t)s->p->token[i] * s->d, s->gh + (size_t)i * s->d, (size_t)s->d);
}

bool net_step(const struct net *n, const float *w, const struct pack *p, const struct grad_ops *op,
              float scale, float z_loss, float *grad, float *row_loss, uint8_t *row_hit,
              struct arena *tmp, struct pack_loss *out, struct err *e)
{
    const struct model_config *c = &n->cfg;
    *out = (struct pack_loss){ 0 };
    if (!pack_check(n, p, e)) return false;
    size_t mark = arena_mark(tmp);
    struct step s = { .net = n,
                      .op = op,
                      .w = w,
                      .g = grad,
                      .p = p,
                      .tmp = tmp,
                      .n = p->n,
                      .d = c->n_embd,
                      .q = c->n_head * c->head_dim,
                      .F = c->n_ff,
                      .H = c->n_head,
                      .hd = c->head_dim };
    s.waste = arena_zero(tmp, (size_t)MAX(s.d, s.hd) * sizeof *s.waste);
    forward(&s);
    if (grad) s.gh = arena_zero(tmp, (size_t)s.n * (size_t)s.d * sizeof *s.gh);
    head_all(&s, &(struct head_out){ scale, z_loss, row_loss, row_hit, out });
    if (grad) backward(&s);
    arena_reset(tmp, mark);
    return true;
}

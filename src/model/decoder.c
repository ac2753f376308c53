/* decoder.c -- the forward pass, written once over struct ops.
 *
 * A batch is cut into chunks of at most CHUNK rows, which bounds scratch; every operation treats
 * rows independently or in order of position, so where a prompt is cut never shows in its
 * logits. The convolution runs page by page: at each border its state is kept (kv_checkpoint),
 * which is what makes a prefix resumable. Everything that can fail is checked before the first
 * position is written.
 *
 * In the last layer only the rows whose logits are wanted go past the mixing operation: nobody
 * reads the others. */
#include "model/int.h"

#define CHUNK 256

struct run { /* one chunk on its way through the layers */
    const struct model *m;
    const struct ops *ops;
    struct kv *kv;
    struct arena *tmp;
    int seq, n, pos0;
    int keep; /* first row that the last layer still needs */
    enum phase phase;
    const struct lora_use *lora;
    int n_lora;
    float *h, *a; /* [n, n_embd] residual stream, normed input */
};

/* Products that share the input x, adapters included. */
static void mul_all(const struct run *r, const struct matmul *mm, int n_mm, const float *x, int n)
{
    r->ops->matmul(r->ops->ctx, mm, n_mm, x, n, r->phase);
    for (int i = 0; i < n_mm && r->n_lora; i++)
        lora_add(r->m, r->lora, r->n_lora, mm[i].y, mm[i].w, x, n, r->phase, r->tmp);
}

static void mul(const struct run *r, float *y, const struct mat *w, const float *x, int n)
{
    mul_all(r, &(struct matmul){ y, w }, 1, x, n);
}

/* y [n, d] += bias [d], where there is one. */
static void add_bias(const struct run *r, float *y, const float *bias, int n, int d)
{
    for (int t = 0; t < n && bias; t++) r->ops->add(r->ops->ctx, y + (size_t)t * d, bias, (size_t)d);
}

static void rms(const struct run *r, float *y, const float *x, const float *w, int n, int d)
{
    r->ops->rms(r->ops->ctx, y, x, w, n, d, r->m->cfg.rms_eps);
}

/* ---- attention ------------------------------------------------------------------------------- */

static void store(const struct run *r, int l, const float *x, bool values, int width)
{
    for (int t = 0; t < r->n;) {
        int pos = r->pos0 + t, row = pos % KV_PAGE, n = MIN(KV_PAGE - row, r->n - t);
        void *page = (values ? kv_values : kv_keys)(r->kv, r->seq, pos / KV_PAGE, l);
        r->ops->kv_store(r->ops->ctx, page, x + (size_t)t * width, row, n, width, kv_type(r->kv));
        t += n;
    }
}

static void attend(const struct run *r, int l, float *o, const float *q)
{
    const struct model_config *c = &r->m->cfg;
    int n_page = (r->pos0 + r->n + KV_PAGE - 1) / KV_PAGE, width = c->n_head * c->head_dim;
    const void **k = arena_alloc(r->tmp, (size_t)n_page * sizeof *k);
    const void **v = arena_alloc(r->tmp, (size_t)n_page * sizeof *v);
    for (int p = 0; p < n_page; p++) {
        k[p] = kv_keys(r->kv, r->seq, p, l);
        v[p] = kv_values(r->kv, r->seq, p, l);
    }
    size_t skip = (size_t)r->keep * width;
    struct attn a = { .n = r->n - r->keep, .n_head = c->n_head, .n_head_kv = c->n_head_kv[l],
                      .head_dim = c->head_dim, .page = KV_PAGE, .kv = kv_type(r->kv), .k = k, .v = v,
                      .q = q + skip, .o = o + skip, .pos0 = r->pos0 + r->keep, .window = c->window,
                      .scale = r->m->attn_scale };
    if (a.n) r->ops->attn(r->ops->ctx, &a, r->phase);
}

static float *attention(const struct run *r, int l)
{
    const struct model_config *c = &r->m->cfg;
    const struct layer *w = &r->m->layer[l];
    int hd = c->head_dim, n_kv = c->n_head_kv[l];
    float *q = arena_f32(r->tmp, (size_t)r->n * c->n_head * hd);      /* [n, n_head, head_dim] */
    float *k = arena_f32(r->tmp, (size_t)r->n * n_kv * hd);           /* [n, n_head_kv, head_dim] */
    float *v = arena_f32(r->tmp, (size_t)r->n * n_kv * hd);
    int32_t *pos = arena_alloc(r->tmp, (size_t)r->n * sizeof *pos);
    for (int t = 0; t < r->n; t++) pos[t] = r->pos0 + t;
    struct matmul mm[] = { { q, &w->q }, { k, &w->k }, { v, &w->v } };
    mul_all(r, mm, 3, r->a, r->n);
    add_bias(r, q, w->bias_q, r->n, c->n_head * hd);
    add_bias(r, k, w->bias_k, r->n, n_kv * hd);
    add_bias(r, v, w->bias_v, r->n, n_kv * hd);
    if (w->norm_q) rms(r, q, q, w->norm_q, r->n * c->n_head, hd);
    if (w->norm_k) rms(r, k, k, w->norm_k, r->n * n_kv, hd);
    r->ops->rope(r->ops->ctx, q, pos, r->n, c->n_head, hd, r->m->freq, r->m->arch->pairs);
    r->ops->rope(r->ops->ctx, k, pos, r->n, n_kv, hd, r->m->freq, r->m->arch->pairs);
    store(r, l, k, false, n_kv * hd);
    store(r, l, v, true, n_kv * hd);
    float *o = arena_f32(r->tmp, (size_t)r->n * c->n_head * hd);
    attend(r, l, o, q);
    return o;
}

/* ---- short convolution ----------------------------------------------------------------------- */

static float *shortconv(const struct run *r, int l)
{
    int d = r->m->cfg.n_embd;
    const struct layer *w = &r->m->layer[l];
    float *z = arena_f32(r->tmp, (size_t)r->n * 3 * d);               /* [n, 3d]: B, C, X */
    float *y = arena_f32(r->tmp, (size_t)r->n * d);
    mul(r, z, &w->in, r->a, r->n);
    for (int t = 0; t < r->n;) {
        int pos = r->pos0 + t, n = MIN(KV_PAGE - pos % KV_PAGE, r->n - t);
        r->ops->conv(r->ops->ctx, y + (size_t)t * d, z + (size_t)t * 3 * d, w->taps,
                     kv_conv(r->kv, r->seq, l), n, d, r->m->cfg.conv_taps);
        if ((pos + n) % KV_PAGE == 0) kv_checkpoint(r->kv, r->seq, pos / KV_PAGE, l);
        t += n;
    }
    return y;
}

/* ---- a layer --------------------------------------------------------------------------------- */

/* h += w x + bias for rows [r->keep, n); x is [n, w->n_in]. */
static void project_add(const struct run *r, const struct mat *w, const float *x, const float *bias)
{
    int n = r->n - r->keep, d = r->m->cfg.n_embd;
    float *y = arena_f32(r->tmp, (size_t)n * d);
    mul(r, y, w, x + (size_t)r->keep * w->n_in, n);
    add_bias(r, y, bias, n, d);
    r->ops->add(r->ops->ctx, r->h + (size_t)r->keep * d, y, (size_t)n * d);
}

static void feed_forward(const struct run *r, const struct layer *w)
{
    int n = r->n - r->keep, d = r->m->cfg.n_embd, ff = r->m->cfg.n_ff;
    size_t skip = (size_t)r->keep * ff, count = (size_t)n * ff;
    float *gate = arena_f32(r->tmp, (size_t)r->n * ff), *up = arena_f32(r->tmp, count);
    float *a = r->a + (size_t)r->keep * d;
    rms(r, a, r->h + (size_t)r->keep * d, w->norm_ffn, n, d);
    struct matmul mm[] = { { gate + skip, &w->gate }, { up, &w->up } };
    mul_all(r, mm, 2, a, n);
    r->ops->swiglu(r->ops->ctx, gate + skip, gate + skip, up, count);
    project_add(r, &w->down, gate, NULL);
}

static void feed_experts(const struct run *r, const struct layer *w)
{
    int n = r->n - r->keep, d = r->m->cfg.n_embd;
    float *h = r->h + (size_t)r->keep * d, *a = r->a + (size_t)r->keep * d, *y = arena_f32(r->tmp, (size_t)n * d);
    rms(r, a, h, w->norm_ffn, n, d);
    experts_forward(r->m, w, y, a, n, r->phase, r->tmp);
    r->ops->add(r->ops->ctx, h, y, (size_t)n * d);
}

static void run_layer(struct run *r, int l, int wanted_from)
{
    const struct layer *w = &r->m->layer[l];
    size_t mark = arena_mark(r->tmp);
    r->keep = l == r->m->cfg.n_layer - 1 ? wanted_from : 0;
    rms(r, r->a, r->h, w->norm_mix, r->n, r->m->cfg.n_embd);
    float *mixed = r->m->cfg.n_head_kv[l] ? attention(r, l) : shortconv(r, l);
    if (r->keep < r->n) {
        project_add(r, &w->out, mixed, w->bias_out);
        (w->gate_e ? feed_experts : feed_forward)(r, w);
    }
    arena_reset(r->tmp, mark);
}

/* One chunk: rows from wanted_from on leave logits. */
static void run_chunk(struct run *r, const int32_t *token, int wanted_from, float *logits)
{
    const struct model *m = r->m;
    int d = m->cfg.n_embd, n_out = r->n - wanted_from;
    size_t mark = arena_mark(r->tmp);
    r->h = arena_f32(r->tmp, (size_t)r->n * d);
    r->a = arena_f32(r->tmp, (size_t)r->n * d);
    r->ops->rows(r->ops->ctx, r->h, &m->embd, token, r->n);
    for (int l = 0; l < m->cfg.n_layer; l++) run_layer(r, l, wanted_from);
    if (n_out) {
        rms(r, r->a, r->h + (size_t)wanted_from * d, m->norm_out, n_out, d);
        mul(r, logits, &m->head, r->a, n_out);
    }
    arena_reset(r->tmp, mark);
}

static bool check(const struct model *m, const struct batch *b, struct err *e)
{
    if (b->n < 1 || b->n_logits < 0 || b->n_logits > b->n)
        return err_set(e, ERR_ARG, "a batch of %d tokens with logits of %d cannot be run", b->n,
                       b->n_logits);
    for (int i = 0; i < b->n; i++)
        if (b->token[i] < 0 || b->token[i] >= m->cfg.n_vocab)
            return err_set(e, ERR_ARG, "token %d of %d is %d, must be at least 0 and below %d", i,
                           b->n, (int)b->token[i], m->cfg.n_vocab);
    return true;
}

bool model_forward(const struct model *m, struct kv *kv, const struct batch *b, struct arena *tmp,
                   float *logits, struct err *e)
{
    if (!check(m, b, e) || !kv_reserve(kv, b->seq, b->n, e)) return false;
    int first = b->n - b->n_logits; /* first row whose logits are wanted */
    for (int t = 0; t < b->n; t += CHUNK) {
        struct run r = { .m = m,
                         .ops = m->ops,
                         .kv = kv,
                         .tmp = tmp,
                         .seq = b->seq,
                         .n = MIN(CHUNK, b->n - t),
                         .pos0 = kv_len(kv, b->seq),
                         .phase = b->phase,
                         .lora = b->lora,
                         .n_lora = b->n_lora };
        int from = MIN(MAX(first - t, 0), r.n);
        run_chunk(&r, b->token + t, from,
                  from < r.n ? logits + (size_t)(t + from - first) * m->cfg.n_vocab : NULL);
        kv_advance(kv, b->seq, r.n);
    }
    return true;
}

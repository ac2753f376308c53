/* decoder.c -- the forward pass, written once over struct ops.
 *
 * A batch holds rows of one sequence or of many; products, norms and the feed-forward part take all
 * rows at once, so that weights are read once for everybody, attention and convolution go sequence by
 * sequence. It is cut into chunks of at most CHUNK rows, which bounds scratch; every operation treats
 * rows independently or in order of position, so neither where a prompt is cut nor who else is in
 * the batch ever shows in the logits. The convolution runs page by page, and to marks between:
 * there its state is kept, which is what makes a prefix resumable. Everything that can fail is
 * checked before the first position is written.
 *
 * In the last layer only the rows whose logits are wanted go past the mixing operation: nobody
 * reads the others. */
#include "model/int.h"

#define CHUNK 512

/* Rows [row, row + n) of a chunk, of one sequence, from position pos0 on. */
struct part { int seq, row, n, pos0, n_want; const struct lora_use *lora; int n_lora; };
struct run { /* one chunk on its way through the layers */
    const struct model *m;
    const struct ops *ops;
    struct kv *kv;
    struct arena *tmp;
    struct part *part;
    int n_part, n, n_want; /* rows, those whose logits are wanted */
    struct lora_rows *group; /* [n_part] at most */
    int n_group;
    bool narrow; /* past the last mixing: only wanted rows are left */
    enum phase phase;
    float *h, *a; /* [n, n_embd] residual stream, normed input */
};

/* Neighbours with the same adapters go together: the groups of the rows that are left. */
static void group_rows(struct run *r)
{
    r->n_group = 0;
    for (const struct part *p = r->part; p < r->part + r->n_part; p++) {
        struct lora_rows *last = r->n_group ? &r->group[r->n_group - 1] : NULL;
        int n = r->narrow ? p->n_want : p->n;
        if (last && last->n_use == p->n_lora && (last->use == p->lora || !p->n_lora)) last->n += n;
        else r->group[r->n_group++] = (struct lora_rows){ n, p->lora, p->n_lora };
    }
}

/* Products that share the input x [rows left, n_in], adapters included. */
static void mul_all(const struct run *r, const struct matmul *mm, int n_mm, const float *x)
{
    r->ops->matmul(r->ops->ctx, mm, n_mm, x, r->n, r->phase);
    for (int i = 0; i < n_mm; i++) lora_add(r->m, r->group, r->n_group, mm[i].y, mm[i].w, x, NULL, r->n, r->phase, r->tmp);
}

/* y [n, d] += bias [d], where there is one. */
static void add_bias(const struct run *r, float *y, const float *bias, int d)
{
    for (int t = 0; t < r->n && bias; t++) r->ops->add(r->ops->ctx, y + (size_t)t * d, bias, (size_t)d);
}

static void rms(const struct run *r, float *y, const float *x, const float *w, int n, int d)
{
    r->ops->rms(r->ops->ctx, y, x, w, n, d, r->m->cfg.rms_eps);
}

/* ---- attention ------------------------------------------------------------------------------- */

static void store(const struct run *r, const struct part *p, int l, const float *x, bool values, int width)
{
    for (int t = 0; t < p->n;) {
        int pos = p->pos0 + t, row = pos % KV_PAGE, n = MIN(KV_PAGE - row, p->n - t);
        void *page = (values ? kv_values : kv_keys)(r->kv, p->seq, pos / KV_PAGE, l);
        r->ops->kv_store(r->ops->ctx, page, x + (size_t)(p->row + t) * width, row, n, width, kv_type(r->kv));
        t += n;
    }
}

/* In the last layer only for the rows that are wanted. */
static void attend(const struct run *r, const struct part *p, int l, float *o, const float *q)
{
    const struct model_config *c = &r->m->cfg;
    int n_page = (p->pos0 + p->n + KV_PAGE - 1) / KV_PAGE, width = c->n_head * c->head_dim;
    int skip = l == c->n_layer - 1 ? p->n - p->n_want : 0;
    const void **k = arena_alloc(r->tmp, (size_t)n_page * sizeof *k);
    const void **v = arena_alloc(r->tmp, (size_t)n_page * sizeof *v);
    for (int i = 0; i < n_page; i++) {
        k[i] = kv_keys(r->kv, p->seq, i, l);
        v[i] = kv_values(r->kv, p->seq, i, l);
    }
    size_t at = (size_t)(p->row + skip) * width;
    struct attn a = { .n = p->n - skip, .n_head = c->n_head, .n_head_kv = c->n_head_kv[l],
                      .head_dim = c->head_dim, .page = KV_PAGE, .kv = kv_type(r->kv), .k = k, .v = v,
                      .q = q + at, .o = o + at, .pos0 = p->pos0 + skip, .window = c->window,
                      .scale = r->m->attn_scale };
    if (a.n) r->ops->attn(r->ops->ctx, &a, r->phase);
}

static int32_t *positions(const struct run *r)
{
    int32_t *pos = arena_alloc(r->tmp, (size_t)r->n * sizeof *pos);
    for (const struct part *p = r->part; p < r->part + r->n_part; p++)
        for (int t = 0; t < p->n; t++) pos[p->row + t] = p->pos0 + t;
    return pos;
}

static float *attention(const struct run *r, int l)
{
    const struct model_config *c = &r->m->cfg;
    const struct layer *w = &r->m->layer[l];
    int hd = c->head_dim, n_kv = c->n_head_kv[l];
    float *q = arena_f32(r->tmp, (size_t)r->n * c->n_head * hd);      /* [n, n_head, head_dim] */
    float *k = arena_f32(r->tmp, (size_t)r->n * n_kv * hd);           /* [n, n_head_kv, head_dim] */
    float *v = arena_f32(r->tmp, (size_t)r->n * n_kv * hd);
    const int32_t *pos = positions(r);
    struct matmul mm[] = { { q, &w->q }, { k, &w->k }, { v, &w->v } };
    mul_all(r, mm, 3, r->a);
    add_bias(r, q, w->bias_q, c->n_head * hd);
    add_bias(r, k, w->bias_k, n_kv * hd);
    add_bias(r, v, w->bias_v, n_kv * hd);
    if (w->norm_q) rms(r, q, q, w->norm_q, r->n * c->n_head, hd);
    if (w->norm_k) rms(r, k, k, w->norm_k, r->n * n_kv, hd);
    r->ops->rope(r->ops->ctx, q, pos, r->n, c->n_head, hd, r->m->freq, r->m->arch->pairs);
    r->ops->rope(r->ops->ctx, k, pos, r->n, n_kv, hd, r->m->freq, r->m->arch->pairs);
    float *o = arena_f32(r->tmp, (size_t)r->n * c->n_head * hd);
    for (const struct part *p = r->part; p < r->part + r->n_part; p++) {
        store(r, p, l, k, false, n_kv * hd);
        store(r, p, l, v, true, n_kv * hd);
        size_t mark = arena_mark(r->tmp);
        attend(r, p, l, o, q);
        arena_reset(r->tmp, mark);
    }
    return o;
}

/* ---- short convolution ----------------------------------------------------------------------- */

static void convolve(const struct run *r, const struct part *p, int l, float *y, const float *z)
{
    int d = r->m->cfg.n_embd;
    for (int t = 0; t < p->n;) {
        int pos = p->pos0 + t, end = MIN(pos + KV_PAGE - pos % KV_PAGE, p->pos0 + p->n);
        end = kv_next_mark(r->kv, p->seq, pos, end);
        size_t row = (size_t)(p->row + t);
        r->ops->conv(r->ops->ctx, y + row * d, z + row * 3 * d, r->m->layer[l].taps, kv_conv(r->kv, p->seq, l), end - pos, d,
                     r->m->cfg.conv_taps);
        if (end % KV_PAGE == 0) kv_checkpoint(r->kv, p->seq, pos / KV_PAGE, l);
        else kv_keep(r->kv, p->seq, end, l);
        t += end - pos;
    }
}

static float *shortconv(const struct run *r, int l)
{
    int d = r->m->cfg.n_embd;
    float *z = arena_f32(r->tmp, (size_t)r->n * 3 * d);               /* [n, 3d]: B, C, X */
    float *y = arena_f32(r->tmp, (size_t)r->n * d);
    struct matmul mm = { z, &r->m->layer[l].in };
    mul_all(r, &mm, 1, r->a);
    for (const struct part *p = r->part; p < r->part + r->n_part; p++) convolve(r, p, l, y, z);
    return y;
}

/* ---- a layer --------------------------------------------------------------------------------- */

/* h += w x + bias; x is [n, w->n_in]. */
static void project_add(const struct run *r, const struct mat *w, const float *x, const float *bias)
{
    int d = r->m->cfg.n_embd;
    float *y = arena_f32(r->tmp, (size_t)r->n * d);
    struct matmul mm = { y, w };
    mul_all(r, &mm, 1, x);
    add_bias(r, y, bias, d);
    r->ops->add(r->ops->ctx, r->h, y, (size_t)r->n * d);
}

static void feed_forward(const struct run *r, const struct layer *w)
{
    size_t count = (size_t)r->n * r->m->cfg.n_ff;
    float *gate = arena_f32(r->tmp, count), *up = arena_f32(r->tmp, count);
    rms(r, r->a, r->h, w->norm_ffn, r->n, r->m->cfg.n_embd);
    struct matmul mm[] = { { gate, &w->gate }, { up, &w->up } };
    mul_all(r, mm, 2, r->a);
    r->ops->swiglu(r->ops->ctx, gate, gate, up, count);
    project_add(r, &w->down, gate, NULL);
}

static void feed_experts(const struct run *r, const struct layer *w)
{
    int d = r->m->cfg.n_embd;
    float *y = arena_f32(r->tmp, (size_t)r->n * d);
    rms(r, r->a, r->h, w->norm_ffn, r->n, d);
    experts_forward(r->m, w, y, r->a, r->n, r->group, r->n_group, r->phase, r->tmp);
    r->ops->add(r->ops->ctx, r->h, y, (size_t)r->n * d);
}

/* Moves the wanted rows of x [n, d] to its front. */
static void keep_wanted(const struct run *r, float *x, size_t d)
{
    size_t to = 0;
    for (const struct part *p = r->part; p < r->part + r->n_part; to += (size_t)p++->n_want)
        memmove(x + to * d, x + (size_t)(p->row + p->n - p->n_want) * d, (size_t)p->n_want * d * sizeof *x);
}

static void run_layer(struct run *r, int l)
{
    const struct layer *w = &r->m->layer[l];
    size_t mark = arena_mark(r->tmp);
    rms(r, r->a, r->h, w->norm_mix, r->n, r->m->cfg.n_embd);
    float *mixed = r->m->cfg.n_head_kv[l] ? attention(r, l) : shortconv(r, l);
    if (l == r->m->cfg.n_layer - 1) {
        keep_wanted(r, r->h, (size_t)r->m->cfg.n_embd);
        keep_wanted(r, mixed, (size_t)w->out.n_in);
        r->n = r->n_want;
        r->narrow = true;
        group_rows(r);
    }
    if (r->n) {
        project_add(r, &w->out, mixed, w->bias_out);
        (w->gate_e ? feed_experts : feed_forward)(r, w);
    }
    arena_reset(r->tmp, mark);
}

/* One chunk, tokens [n]; logits of its wanted rows. */
static void run_chunk(struct run *r, const int32_t *token, float *logits)
{
    const struct model *m = r->m;
    int d = m->cfg.n_embd;
    size_t mark = arena_mark(r->tmp);
    r->h = arena_f32(r->tmp, (size_t)r->n * d);
    r->a = arena_f32(r->tmp, (size_t)r->n * d);
    r->ops->rows(r->ops->ctx, r->h, &m->embd, token, r->n);
    lora_embed(m, r->group, r->n_group, r->h, token, r->phase, r->tmp);
    for (int l = 0; l < m->cfg.n_layer; l++) run_layer(r, l);
    if (r->n) {
        rms(r, r->a, r->h, m->norm_out, r->n, d);
        struct matmul mm = { logits, &m->head };
        mul_all(r, &mm, 1, r->a);
    }
    arena_reset(r->tmp, mark);
}

static bool check(const struct model *m, const struct rows *b, struct err *e)
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

/* Where the cutting of a batch into chunks has come to. */
struct cut { const struct rows *rows; int n_rows, at, done; };  /* done: of rows[at] */

/* The next chunk: its parts and its tokens. */
static void take_chunk(struct cut *c, struct run *r, int32_t *token)
{
    r->n = r->n_part = r->n_want = 0;
    while (c->at < c->n_rows && r->n < CHUNK) {
        const struct rows *b = &c->rows[c->at];
        int n = MIN(b->n - c->done, CHUNK - r->n), first = MAX(b->n - b->n_logits, c->done);
        struct part p = { .seq = b->seq, .row = r->n, .n = n, .pos0 = kv_len(r->kv, b->seq),
                          .n_want = MAX(c->done + n - first, 0), .lora = b->lora, .n_lora = b->n_lora };
        memcpy(token + r->n, b->token + c->done, (size_t)n * sizeof *token);
        r->part[r->n_part++] = p;
        r->n += n;
        r->n_want += p.n_want;
        c->done += n;
        if (c->done == b->n) c->at++, c->done = 0;
    }
}

#define SMALL_THINGS (48 << 10)                                       /* what a pass keeps beside rows of numbers */

/* What the layers keep of n rows at a time, but for experts and adapters: asked for at once, since a block that is
 * outgrown has been cleared by the system for little. */
static size_t pass_bytes(const struct model *m, int n)
{
    const struct model_config *c = &m->cfg;
    size_t d = (size_t)c->n_embd, mix = 0, feed = c->n_expert && !c->n_dense ? 0 : 2 * (size_t)c->n_ff;
    for (int l = 0; l < c->n_layer; l++)
        mix = MAX(mix, c->n_head_kv[l] ? (size_t)(2 * c->n_head + 2 * c->n_head_kv[l]) * c->head_dim : 4 * d);
    return (size_t)n * (2 * d + mix + d + feed + d) * sizeof(float) + SMALL_THINGS;
}

bool model_forward_rows(const struct model *m, struct kv *kv, const struct rows *rows, int n_rows, enum phase phase,
                        struct arena *tmp, float *logits, struct err *e)
{
    int64_t n = 0;
    for (int i = 0; i < n_rows; n += rows[i++].n)
        if (!check(m, &rows[i], e)) return false;
    if (!kv_reserve(kv, rows, n_rows, e)) return false;
    struct run r = { .m = m, .ops = m->ops, .kv = kv, .tmp = tmp, .phase = phase };
    size_t mark = arena_mark(tmp);
    arena_reserve(tmp, pass_bytes(m, (int)MIN(n, CHUNK)));
    struct cut cut = { .rows = rows, .n_rows = n_rows };
    r.part = arena_alloc(tmp, (size_t)MIN(n_rows, CHUNK) * sizeof *r.part);
    r.group = arena_alloc(tmp, (size_t)MIN(n_rows, CHUNK) * sizeof *r.group);
    int32_t *token = arena_alloc(tmp, CHUNK * sizeof *token);
    while (cut.at < n_rows) {
        r.narrow = false;
        take_chunk(&cut, &r, token);
        group_rows(&r);
        int n_want = r.n_want;
        run_chunk(&r, token, logits);
        if (n_want) logits += (size_t)n_want * m->cfg.n_vocab;
        for (int i = 0; i < r.n_part; i++) kv_advance(kv, r.part[i].seq, r.part[i].n);
    }
    arena_reset(tmp, mark);
    return true;
}

bool model_forward(const struct model *m, struct kv *kv, const struct batch *b, struct arena *tmp,
                   float *logits, struct err *e)
{
    struct rows rows = { b->n, b->seq, b->lora, b->n_lora, b->token, b->n_logits };
    return model_forward_rows(m, kv, &rows, 1, b->phase, tmp, logits, e);
}

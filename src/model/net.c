/* net.c -- the shape of a trainable LFM2: which tensors there are, where each lies in the flat
 * array of master weights, and how training starts.
 *
 * One flat array makes gradients, optimiser moments and checkpoints plain vectors of the same
 * length. The order is the order of tensors in the exported file; q, k, v and gate, up are
 * neighbours so that each group is one matrix product. Names are those of the file format.
 *
 * Refused: widths that are not multiples of 16 (head size: of 32), because the gradient code walks
 * whole vectors; other convolution lengths than 3; untied heads. */
#include <math.h>

#include "model/net.h"

static size_t put(struct net *n, int rows, int cols, bool is_matrix, const char *fmt, ...)
    PRINTF_LIKE(5, 6);

static size_t put(struct net *n, int rows, int cols, bool is_matrix, const char *fmt, ...)
{
    MEM_GROW(n->param, n->n_tensor, n->cap);
    struct param *p = &n->param[n->n_tensor++];
    *p = (struct param){ .off = n->n_float, .rows = rows, .cols = cols, .is_matrix = is_matrix };
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(p->name, sizeof p->name, fmt, ap);
    va_end(ap);
    n->n_float += (size_t)rows * (size_t)cols;
    return p->off;
}

static bool check(const struct model_config *c, struct err *e)
{
    static const struct { const char *what; size_t off; int step; } rows[] = {
        { "embedding length", offsetof(struct model_config, n_embd), 16 },
        { "feed-forward length", offsetof(struct model_config, n_ff), 16 },
        { "vocabulary size", offsetof(struct model_config, n_vocab), 16 },
        { "head size", offsetof(struct model_config, head_dim), 32 },
        { "number of heads", offsetof(struct model_config, n_head), 1 },
        { "context length", offsetof(struct model_config, n_ctx), 1 },
        { "block count", offsetof(struct model_config, n_layer), 1 },
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        int v;
        memcpy(&v, (const char *)c + rows[i].off, sizeof v);
        if (v < 1 || v % rows[i].step || v > 1 << 20)
            return err_set(e, ERR_UNSUPPORTED,
                           "training: %s is %d; it must be a positive multiple of %d", rows[i].what,
                           v, rows[i].step);
    }
    if (c->conv_taps != 3)
        return err_set(e, ERR_UNSUPPORTED, "training: convolution length %d; only 3 is trained",
                       c->conv_taps);
    if (c->n_layer > MODEL_LAYERS)
        return err_set(e, ERR_UNSUPPORTED, "training: %d blocks; at most %d", c->n_layer,
                       MODEL_LAYERS);
    if (c->n_head * c->head_dim != c->n_embd)
        return err_set(e, ERR_UNSUPPORTED, "training: %d heads of %d do not make %d", c->n_head,
                       c->head_dim, c->n_embd);
    for (int l = 0; l < c->n_layer; l++)
        if (c->n_head_kv[l] < 0 || (c->n_head_kv[l] && c->n_head % c->n_head_kv[l]))
            return err_set(e, ERR_UNSUPPORTED,
                           "training: block %d: %d key/value heads do not divide %d heads", l,
                           c->n_head_kv[l], c->n_head);
    return true;
}

static void put_operator(struct net *n, struct net_layer *y, int l)
{
    int d = n->cfg.n_embd, hd = n->cfg.head_dim, kv = y->n_head_kv * hd;
    y->norm = put(n, 1, d, false, "blk.%d.attn_norm.weight", l);
    if (!kv) {
        y->in = put(n, 3 * d, d, true, "blk.%d.shortconv.in_proj.weight", l);
        y->taps = put(n, d, 3, false, "blk.%d.shortconv.conv.weight", l);
        y->out = put(n, d, d, true, "blk.%d.shortconv.out_proj.weight", l);
        return;
    }
    y->in = put(n, d, d, true, "blk.%d.attn_q.weight", l);
    put(n, kv, d, true, "blk.%d.attn_k.weight", l);
    put(n, kv, d, true, "blk.%d.attn_v.weight", l);
    y->out = put(n, d, d, true, "blk.%d.attn_output.weight", l);
    y->q_norm = put(n, 1, hd, false, "blk.%d.attn_q_norm.weight", l);
    y->k_norm = put(n, 1, hd, false, "blk.%d.attn_k_norm.weight", l);
}

static void put_all(struct net *n)
{
    const struct model_config *c = &n->cfg;
    n->embd = put(n, c->n_vocab, c->n_embd, true, "token_embd.weight");
    n->param[0].is_embedding = true;
    for (int l = 0; l < c->n_layer; l++) {
        struct net_layer *y = &n->layer[l];
        y->n_head_kv = c->n_head_kv[l];
        put_operator(n, y, l);
        y->ffn_norm = put(n, 1, c->n_embd, false, "blk.%d.ffn_norm.weight", l);
        y->up = put(n, c->n_ff, c->n_embd, true, "blk.%d.ffn_gate.weight", l);
        put(n, c->n_ff, c->n_embd, true, "blk.%d.ffn_up.weight", l);
        y->down = put(n, c->n_embd, c->n_ff, true, "blk.%d.ffn_down.weight", l);
    }
    n->final_norm = put(n, 1, c->n_embd, false, "token_embd_norm.weight");
}

static float *rope_table(const struct model_config *c)
{
    int half = c->head_dim / 2;
    float *t = mem_alloc((size_t)c->n_ctx * (size_t)c->head_dim * sizeof *t);
    for (int p = 0; p < c->n_ctx; p++)
        for (int i = 0; i < half; i++) {
            double angle = p * pow(c->rope_theta, -2.0 * i / c->head_dim);
            t[(size_t)p * c->head_dim + i] = (float)cos(angle);
            t[(size_t)p * c->head_dim + half + i] = (float)sin(angle);
        }
    return t;
}

struct net *net_new(const struct model_config *c, struct err *e)
{
    if (!check(c, e)) return NULL;
    struct net *n = mem_zero(sizeof *n);
    n->cfg = *c;
    n->layer = mem_zero((size_t)c->n_layer * sizeof *n->layer);
    put_all(n);
    n->rope = rope_table(c);
    return n;
}

void net_free(struct net *n)
{
    if (!n) return;
    mem_free(n->param);
    mem_free(n->layer);
    mem_free(n->rope);
    mem_free(n);
}

const struct model_config *net_config(const struct net *n) { return &n->cfg; }
size_t net_n_param(const struct net *n) { return n->n_float; }
size_t net_n_tensor(const struct net *n) { return n->n_tensor; }
const struct param *net_param(const struct net *n, size_t i)
{
    return i < n->n_tensor ? &n->param[i] : NULL;
}

static bool ends(const char *s, const char *tail)
{
    size_t a = strlen(s), b = strlen(tail);
    return a >= b && !strcmp(s + a - b, tail);
}

/* Writers into the residual stream start smaller, so that depth does not blow the stream up. */
static double deviation(const struct net *n, const struct param *p)
{
    if (p->is_embedding) return 0.03;
    bool writes = ends(p->name, "out_proj.weight") || ends(p->name, "attn_output.weight") ||
                  ends(p->name, "ffn_down.weight");
    return 1 / sqrt(p->cols) / (writes ? sqrt(2.0 * n->cfg.n_layer) : 1);
}

void net_init(const struct net *n, float *w, uint64_t seed)
{
    for (size_t i = 0; i < n->n_tensor; i++) {
        const struct param *p = &n->param[i];
        struct rng r = rng_make(seed, 0x696e6974, i);
        bool taps = ends(p->name, "shortconv.conv.weight");
        size_t len = (size_t)p->rows * (size_t)p->cols;
        for (size_t j = 0; j < len; j++) {
            if (p->is_matrix) w[p->off + j] = (float)(rng_normal(&r) * deviation(n, p));
            else if (taps) w[p->off + j] = (float)(rng_normal(&r) * 0.4 + (j % 3 == 2 ? 0.5 : 0));
            else w[p->off + j] = 1;
        }
    }
}

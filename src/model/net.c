/* net.c -- the shape of a trainable LFM2, Llama or Qwen3: which tensors there are, where each lies in the flat
 * array of master weights, and how training starts.
 *
 * One flat array makes gradients, optimiser moments and checkpoints plain vectors of the same
 * length. The order is the order of tensors in the exported file; q, k, v and gate, up are
 * neighbours so that each group is one matrix product. Names are those of the file format. Low-rank
 * additions stand behind everything else, so that what is trained is one stretch of the array.
 *
 * Refused: widths that are not multiples of 16 (normed heads: of 32), because the gradient code walks
 * whole vectors; other convolution lengths than 3; experts, biases and windows. */
#include <math.h>

#include "model/int.h"
#include "model/net.h"

static const struct kind { const char *arch, *final_norm; bool head_norm; } kinds[] = {
    { "lfm2", "token_embd_norm.weight", true },
    { "llama", "output_norm.weight", false },
    { "qwen3", "output_norm.weight", true },
};

static const struct kind *kind_of(const char *arch, struct err *e)
{
    for (size_t i = 0; i < LEN(kinds); i++)
        if (!strcmp(kinds[i].arch, arch)) return &kinds[i];
    err_set(e, ERR_UNSUPPORTED, "training: architecture \"%s\" has no gradient; lfm2, llama and qwen3 have",
            arch);
    return NULL;
}

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

static bool check(const struct model_config *c, const struct kind *k, struct err *e)
{
    const struct { const char *what; size_t off; int step; } rows[] = {
        { "embedding length", offsetof(struct model_config, n_embd), 16 },
        { "feed-forward length", offsetof(struct model_config, n_ff), 16 },
        { "vocabulary size", offsetof(struct model_config, n_vocab), 16 },
        { "head size", offsetof(struct model_config, head_dim), k->head_norm ? 32 : 16 },
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
    bool conv = false;
    for (int l = 0; l < c->n_layer && l < MODEL_LAYERS; l++) conv |= !c->n_head_kv[l];
    if (conv && c->conv_taps != 3)
        return err_set(e, ERR_UNSUPPORTED, "training: convolution length %d; only 3 is trained",
                       c->conv_taps);
    if (c->n_layer > MODEL_LAYERS)
        return err_set(e, ERR_UNSUPPORTED, "training: %d blocks; at most %d", c->n_layer,
                       MODEL_LAYERS);
    if (c->n_expert || (c->window && c->window < c->n_ctx))
        return err_set(e, ERR_UNSUPPORTED, "training: models with %s have no gradient",
                       c->n_expert ? "experts" : "a window of attention below the context");
    for (int l = 0; l < c->n_layer; l++)
        if (c->n_head_kv[l] < 0 || (c->n_head_kv[l] && c->n_head % c->n_head_kv[l]))
            return err_set(e, ERR_UNSUPPORTED,
                           "training: block %d: %d key/value heads do not divide %d heads", l,
                           c->n_head_kv[l], c->n_head);
    return true;
}

static void put_operator(struct net *n, struct net_layer *y, int l)
{
    int d = n->cfg.n_embd, hd = n->cfg.head_dim, q = n->cfg.n_head * hd, kv = y->n_head_kv * hd;
    y->norm = put(n, 1, d, false, "blk.%d.attn_norm.weight", l);
    if (!kv) {
        y->in = put(n, 3 * d, d, true, "blk.%d.shortconv.in_proj.weight", l);
        y->taps = put(n, d, 3, false, "blk.%d.shortconv.conv.weight", l);
        y->out = put(n, d, d, true, "blk.%d.shortconv.out_proj.weight", l);
        return;
    }
    y->in = put(n, q, d, true, "blk.%d.attn_q.weight", l);
    put(n, kv, d, true, "blk.%d.attn_k.weight", l);
    put(n, kv, d, true, "blk.%d.attn_v.weight", l);
    y->out = put(n, d, q, true, "blk.%d.attn_output.weight", l);
    if (!n->head_norm) return;
    y->q_norm = put(n, 1, hd, false, "blk.%d.attn_q_norm.weight", l);
    y->k_norm = put(n, 1, hd, false, "blk.%d.attn_k_norm.weight", l);
}

static void put_all(struct net *n, const char *final_norm, bool tied)
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
    n->final_norm = put(n, 1, c->n_embd, false, "%s", final_norm);
    n->head = tied ? n->embd : put(n, c->n_vocab, c->n_embd, true, "output.weight");
}

/* freq: angle per position of each pair, NULL: as the configuration says without any scaling. */
static float *turns(const struct model_config *c, const float *freq)
{
    int half = c->head_dim / 2;
    float *t = mem_alloc((size_t)c->n_ctx * (size_t)c->head_dim * sizeof *t);
    for (int p = 0; p < c->n_ctx; p++)
        for (int i = 0; i < half; i++) {
            double angle = p * (freq ? (double)freq[i] : pow(c->rope_theta, -2.0 * i / c->head_dim));
            t[(size_t)p * c->head_dim + i] = (float)cos(angle);
            t[(size_t)p * c->head_dim + half + i] = (float)sin(angle);
        }
    return t;
}

const struct param *net_find(const struct net *n, const char *name)
{
    for (size_t i = 0; i < n->n_tensor; i++)
        if (!strcmp(n->param[i].name, name)) return &n->param[i];
    return NULL;
}

static struct net *make(const struct model_config *c, const struct kind *k, const char *final_norm,
                        bool tied, const float *freq)
{
    struct net *n = mem_zero(sizeof *n);
    n->cfg = *c;
    n->head_norm = k->head_norm;
    n->attn_scale = 1 / sqrtf((float)c->head_dim);
    n->layer = mem_zero((size_t)c->n_layer * sizeof *n->layer);
    put_all(n, final_norm, tied);
    n->rope = turns(c, freq);
    return n;
}

struct net *net_new(const struct model_config *c, struct err *e)
{
    const struct kind *k = kind_of(c->arch, e);
    return k && check(c, k, e) ? make(c, k, k->final_norm, true, NULL) : NULL;
}

static bool has_bias(const struct model *m)
{
    for (int l = 0; l < m->cfg.n_layer; l++) {
        const struct layer *y = &m->layer[l];
        if (y->bias_q || y->bias_k || y->bias_v || y->bias_out) return true;
    }
    return false;
}

struct net *net_of_model(const struct model *m, const struct gguf *g, int n_ctx, struct err *e)
{
    struct model_config c = m->cfg;
    const struct kind *k = kind_of(c.arch, e);
    c.n_ctx = MIN(c.n_ctx, n_ctx);
    if (!k || !check(&c, k, e)) return NULL;
    if (has_bias(m)) {
        err_set(e, ERR_UNSUPPORTED, "training: biases of attention have no gradient");
        return NULL;
    }
    bool other = gguf_find(g, "output_norm.weight") && !gguf_find(g, "token_embd_norm.weight");
    struct net *n = make(&c, k, other ? "output_norm.weight" : "token_embd_norm.weight",
                         m->head.id == m->embd.id, m->freq);
    n->attn_scale = m->attn_scale;
    return n;
}

bool net_read(const struct net *n, const struct gguf *g, float *w, struct err *e)
{
    size_t last = n->n_pair ? n->frozen_tensors : n->n_tensor;
    for (size_t i = 0; i < last; i++) {
        const struct param *p = &n->param[i];
        const struct tensor *t = gguf_find(g, p->name);
        size_t len = (size_t)p->rows * (size_t)p->cols;
        if (!t || (size_t)(t->ne[0] * t->ne[1] * t->ne[2]) != len)
            return err_set(e, ERR_FORMAT, "%s: tensor %s is missing or has another size than %d x %d",
                           gguf_name(g), p->name, p->cols, p->rows);
        dtype_info(t->dtype)->unpack(t->data, w + p->off, len);
    }
    return true;
}

/* ---- low-rank additions ---- */

static unsigned target_of(const char *name)
{
    return strstr(name, ".attn_") ? LORA_ATTN : strstr(name, ".shortconv.") ? LORA_CONV
           : strstr(name, ".ffn_") ? LORA_FFN : 0;
}

static void put_pair(struct net *n, size_t i)
{
    struct param p = n->param[i]; /* the table moves while it grows */
    MEM_GROW(n->pair, n->n_pair, n->cap_pair);
    struct net_pair *q = &n->pair[n->n_pair++];
    *q = (struct net_pair){ .base = p.off, .rows = p.rows, .cols = p.cols };
    q->a = put(n, n->rank, p.cols, true, "%s.lora_a", p.name);
    q->b = put(n, p.rows, n->rank, true, "%s.lora_b", p.name);
}

bool net_add_lora(struct net *n, int rank, float alpha, unsigned targets, struct err *e)
{
    if (rank < 1 || rank > 1024)
        return err_set(e, ERR_ARG, "LoRA: rank %d; 1 to 1024 are possible", rank);
    if (!(alpha > 0 && alpha < 1e6f))
        return err_set(e, ERR_ARG, "LoRA: alpha %g must be above 0", (double)alpha);
    n->frozen = n->n_float;
    n->frozen_tensors = n->n_tensor;
    n->rank = rank;
    n->pair_scale = alpha / (float)rank;
    for (size_t i = 0; i < n->frozen_tensors; i++)
        if (n->param[i].is_matrix && target_of(n->param[i].name) & targets) put_pair(n, i);
    return n->n_pair ||
           err_set(e, ERR_ARG, "LoRA: the model has no matrix of the wanted kinds");
}

size_t net_frozen(const struct net *n) { return n->frozen; }
size_t net_frozen_tensors(const struct net *n) { return n->frozen_tensors; }

void net_free(struct net *n)
{
    if (!n) return;
    mem_free(n->param);
    mem_free(n->layer);
    mem_free(n->pair);
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

/* Writers into the residual stream start smaller, so that depth does not blow the stream up. An addition begins as
 * nothing: B is zero. */
static double deviation(const struct net *n, const struct param *p)
{
    if (p->is_embedding || !strcmp(p->name, "output.weight")) return 0.03;
    if (ends_with(p->name, ".lora_a")) return 1.0 / p->rows;
    if (ends_with(p->name, ".lora_b")) return 0;
    bool writes = ends_with(p->name, "out_proj.weight") || ends_with(p->name, "attn_output.weight") ||
                  ends_with(p->name, "ffn_down.weight");
    return 1 / sqrt(p->cols) / (writes ? sqrt(2.0 * n->cfg.n_layer) : 1);
}

void net_init(const struct net *n, float *w, uint64_t seed)
{
    for (size_t i = n->frozen_tensors; i < n->n_tensor; i++) {
        const struct param *p = &n->param[i];
        struct rng r = rng_make(seed, 0x696e6974, i);
        bool taps = ends_with(p->name, "shortconv.conv.weight");
        size_t len = (size_t)p->rows * (size_t)p->cols;
        for (size_t j = 0; j < len; j++) {
            if (p->is_matrix) w[p->off + j] = (float)(rng_normal(&r) * deviation(n, p));
            else if (taps) w[p->off + j] = (float)(rng_normal(&r) * 0.4 + (j % 3 == 2 ? 0.5 : 0));
            else w[p->off + j] = 1;
        }
    }
}

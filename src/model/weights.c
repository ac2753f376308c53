/* weights.c -- a model: every tensor of the architecture found, its shape demanded exactly, and
 * bound.
 *
 * Matrices stay in the mapping and are lent to the kernels as they lie. Vectors (norms, taps)
 * are a few kilobytes: they are copied to f32, aligned, the taps turned from [d, K] to [K, d] on
 * the way. Loop bounds of the kernels come from shapes that were checked here, never from
 * metadata alone. */
#include <math.h>

#include "model/int.h"

static int64_t dim_of(const struct model_config *c, enum dim d, int layer)
{
    switch (d) {
    case DIM_ONE: return 1;
    case DIM_EMBD: return c->n_embd;
    case DIM_EMBD3: return 3 * (int64_t)c->n_embd;
    case DIM_FF: return c->n_ff;
    case DIM_Q: return (int64_t)c->n_head * c->head_dim;
    case DIM_KV: return (int64_t)c->n_head_kv[layer] * c->head_dim;
    case DIM_HEAD: return c->head_dim;
    case DIM_TAPS: return c->conv_taps;
    case DIM_VOCAB: return c->n_vocab;
    case DIM_EXPERT: return c->n_expert;
    case DIM_FF_EXPERT: return c->n_ff_expert;
    }
    return 0;
}

static const struct tensor *demand_deep(const struct gguf *g, const char *name, int64_t n_out,
                                        int64_t n_in, int64_t n_deep, struct err *e)
{
    const struct tensor *t = gguf_find(g, name);
    if (!t) {
        err_set(e, ERR_FORMAT, "tensor %s is missing", name);
        return NULL;
    }
    if (t->ne[0] != n_in || t->ne[1] != n_out || t->ne[2] != n_deep || t->ne[3] != 1) {
        char deep[24] = "";
        if (n_deep > 1) snprintf(deep, sizeof deep, " x %lld", (long long)n_deep);
        err_set(e, ERR_FORMAT, "tensor %s is %lld x %lld x %lld x %lld, must be %lld x %lld%s", name,
                (long long)t->ne[0], (long long)t->ne[1], (long long)t->ne[2], (long long)t->ne[3],
                (long long)n_in, (long long)n_out, deep);
        return NULL;
    }
    if (!dtype_info(t->dtype)->unpack) {
        err_set(e, ERR_UNSUPPORTED, "tensor %s is of type %s, which cannot be computed with", name,
                dtype_info(t->dtype)->name);
        return NULL;
    }
    return t;
}

static const struct tensor *demand(const struct gguf *g, const char *name, int64_t n_out,
                                   int64_t n_in, struct err *e)
{
    return demand_deep(g, name, n_out, n_in, 1, e);
}

/* Slice i of a tensor. */
static struct mat mat_of(struct model *m, const struct tensor *t, int i)
{
    size_t row = dtype_bytes(t->dtype, t->ne[0]);
    return (struct mat){ t->dtype, (int)t->ne[1], (int)t->ne[0],
                         (const uint8_t *)t->data + (size_t)i * (size_t)t->ne[1] * row, row, ++m->n_mat };
}

static float *vector_of(struct model *m, const struct tensor *t)
{
    size_t n = (size_t)(t->ne[0] * t->ne[1]);
    float *v = arena_f32(&m->own, n);
    dtype_info(t->dtype)->unpack(t->data, v, n);
    return v;
}

static float *taps_of(struct model *m, const struct tensor *t)
{
    int K = (int)t->ne[0], d = (int)t->ne[1];
    float *taps = arena_f32(&m->own, (size_t)K * d), *raw = mem_alloc((size_t)K * d * sizeof *raw);
    dtype_info(t->dtype)->unpack(t->data, raw, (size_t)K * d);
    for (int c = 0; c < d; c++)
        for (int j = 0; j < K; j++) taps[(size_t)j * d + c] = raw[(size_t)c * K + j];
    mem_free(raw);
    return taps;
}

/* read: bytes of it that one token reads. */
static void count(struct model *m, const struct tensor *t, size_t read)
{
    m->n_param += (size_t)(t->ne[0] * t->ne[1] * t->ne[2]);
    m->step_bytes += read;
}

static bool bind_experts(struct model *m, const struct gguf *g, int l, const struct slot *s, struct err *e)
{
    const struct model_config *c = &m->cfg;
    char name[96], each[96];
    struct mat *list = arena_alloc(&m->own, (size_t)c->n_expert * sizeof *list);
    int64_t n_out = dim_of(c, s->n_out, l), n_in = dim_of(c, s->n_in, l);
    *(struct mat **)(void *)((char *)&m->layer[l] + s->off) = list;
    snprintf(name, sizeof name, "blk.%d.%s", l, s->name);
    const struct tensor *whole = gguf_find(g, name);
    for (int i = 0; i < c->n_expert; i++) {
        snprintf(each, sizeof each, "blk.%d.", l);
        snprintf(each + strlen(each), sizeof each - strlen(each), s->each, i);
        bool single = !whole && gguf_find(g, each);
        const struct tensor *t = single ? demand(g, each, n_out, n_in, e)
                                        : demand_deep(g, name, n_out, n_in, c->n_expert, e);
        if (!t) return false;
        list[i] = mat_of(m, t, single ? 0 : i);
        if (single) count(m, t, t->bytes / (size_t)c->n_expert * (size_t)c->n_used);
    }
    if (whole) count(m, whole, whole->bytes / (size_t)c->n_expert * (size_t)c->n_used);
    return true;
}

static bool bind_slot(struct model *m, const struct gguf *g, int l, const struct slot *s,
                      struct err *e)
{
    char name[96];
    snprintf(name, sizeof name, "blk.%d.%s", l, s->name);
    if (s->kind == SLOT_EXPERTS) return bind_experts(m, g, l, s, e);
    if (s->optional && !gguf_find(g, name)) return true;
    const struct tensor *t =
        demand(g, name, dim_of(&m->cfg, s->n_out, l), dim_of(&m->cfg, s->n_in, l), e);
    if (!t) return false;
    void *at = (char *)&m->layer[l] + s->off;
    if (s->kind == SLOT_MATRIX) *(struct mat *)at = mat_of(m, t, 0);
    if (s->kind == SLOT_VECTOR) *(const float **)at = vector_of(m, t);
    if (s->kind == SLOT_TAPS) *(const float **)at = taps_of(m, t);
    count(m, t, t->bytes);
    return true;
}

/* Does a layer have this tensor? */
static bool has_slot(const struct model *m, int l, const struct slot *s)
{
    int mix = m->cfg.n_head_kv[l] ? LAYER_ATTN : LAYER_CONV;
    int feed = m->cfg.n_expert && l >= m->cfg.n_dense ? LAYER_MOE : LAYER_DENSE;
    return (s->where & mix) && (s->where & feed);
}

static bool bind_layers(struct model *m, const struct gguf *g, struct err *e)
{
    for (int l = 0; l < m->cfg.n_layer; l++) {
        m->layer[l].slot = m->cfg.n_head_kv[l] ? m->n_attn++ : m->n_conv++;
        for (int i = 0; i < m->arch->n_slot; i++)
            if (has_slot(m, l, &m->arch->slot[i]) && !bind_slot(m, g, l, &m->arch->slot[i], e)) return false;
    }
    return true;
}

/* The expert that a name like ffn_up.3.weight is of; -1: no such name. */
static int expert_of(const struct slot *s, const char *name, int n_expert)
{
    char each[96];
    for (int i = 0; i < n_expert; i++) {
        snprintf(each, sizeof each, s->each, i);
        if (!strcmp(each, name)) return i;
    }
    return -1;
}

const struct mat *model_matrix(const struct model *m, const char *name, int *n_mat)
{
    int l = 0, n = 0, one;
    *n_mat = 1;
    if (!strcmp(name, "output.weight")) return m->head.id != m->embd.id ? &m->head : NULL;
    if (sscanf(name, "blk.%d.%n", &l, &n) != 1 || !n || l < 0 || l >= m->cfg.n_layer) return NULL;
    for (int i = 0; i < m->arch->n_slot; i++) {
        const struct slot *s = &m->arch->slot[i];
        const char *at = (const char *)&m->layer[l] + s->off;
        if (!has_slot(m, l, s)) continue;
        if (s->kind == SLOT_MATRIX && !strcmp(s->name, name + n)) return (const struct mat *)(const void *)at;
        if (s->kind != SLOT_EXPERTS) continue;
        const struct mat *list = *(struct mat *const *)(const void *)at;
        if (!strcmp(s->name, name + n)) return *n_mat = m->cfg.n_expert, list;
        if ((one = expert_of(s, name + n, m->cfg.n_expert)) >= 0) return &list[one];
    }
    return NULL;
}

/* The final norm is called token_embd_norm in files of this family: it is applied after the last
 * layer, never to the embeddings. Some converters write output_norm. */
static bool bind_ends(struct model *m, const struct gguf *g, struct err *e)
{
    const struct model_config *c = &m->cfg;
    const struct tensor *embd = demand(g, "token_embd.weight", c->n_vocab, c->n_embd, e);
    if (!embd) return false;
    const char *norm = gguf_find(g, "token_embd_norm.weight") ? "token_embd_norm.weight"
                       : gguf_find(g, "output_norm.weight")   ? "output_norm.weight"
                                                              : "token_embd_norm.weight";
    const struct tensor *t = demand(g, norm, 1, c->n_embd, e);
    if (!t) return false;
    m->norm_out = vector_of(m, t);
    count(m, t, t->bytes);
    m->embd = m->head = mat_of(m, embd, 0);
    bool tied = !gguf_find(g, "output.weight");
    count(m, embd, tied ? embd->bytes : 0);
    if (tied) return true;
    t = demand(g, "output.weight", c->n_vocab, c->n_embd, e);
    if (!t) return false;
    m->head = mat_of(m, t, 0);
    count(m, t, t->bytes);
    return true;
}

/* rope_freqs.weight, where a file has it, holds divisors (the "llama3" scaling). */
static bool bind_rope(struct model *m, const struct gguf *g, struct err *e)
{
    const struct tensor *t = gguf_find(g, "rope_freqs.weight");
    if (t && !(t = demand(g, "rope_freqs.weight", 1, m->cfg.head_dim / 2, e))) return false;
    return rope_table(m, t ? vector_of(m, t) : NULL, e);
}

/* g[0..n), neighbours in a layer, follow the last of those before. */
static void follow(struct mat **last, struct mat *g, int n)
{
    if (*last) (*last)->soon = g, (*last)->n_soon = n;
    *last = &g[n - 1];
}

/* In the order of decoder.c; which experts come is not known. */
static void link_products(struct model *m)
{
    struct mat *last = NULL;
    for (int l = 0; l < m->cfg.n_layer; l++) {
        struct layer *w = &m->layer[l];
        if (m->cfg.n_head_kv[l]) follow(&last, w->qkv, 3);
        else follow(&last, &w->in, 1);
        follow(&last, &w->out, 1);
        if (w->gate_e) last = NULL;
        else follow(&last, w->gate_up, 2), follow(&last, &w->down, 1);
    }
    if (last) follow(&last, &m->head, 1);
}

struct model *model_open(const struct gguf *g, const struct ops *ops, struct err *e)
{
    struct model *m = mem_zero(sizeof *m);
    m->ops = ops;
    arena_init(&m->own, 0);
    gguf_prefetch(g);
    if (!model_config_read(&m->cfg, g, e)) goto fail;
    m->arch = arch_find(m->cfg.arch);
    m->layer = mem_zero((size_t)m->cfg.n_layer * sizeof *m->layer);
    if (!bind_layers(m, g, e) || !bind_ends(m, g, e) || !bind_rope(m, g, e)) {
        err_at(e, gguf_name(g));
        goto fail;
    }
    link_products(m);
    return m;
fail:
    model_close(m);
    return NULL;
}

void model_close(struct model *m)
{
    if (!m) return;
    arena_done(&m->own);
    mem_free(m->layer);
    mem_free(m);
}

const struct model_config *model_config(const struct model *m)
{
    return &m->cfg;
}

const struct ops *model_ops(const struct model *m) { return m->ops; }
size_t model_n_param(const struct model *m)
{
    return m->n_param;
}

size_t model_step_bytes(const struct model *m)
{
    return m->step_bytes;
}

/* lora.c -- adapters: pairs of thin matrices that are added to a model's own.
 *
 * A GGUF adapter has two tensors for each matrix it changes, NAME.lora_a [r, n_in] and NAME.lora_b
 * [n_out, r], and one alpha; experts in one tensor have theirs in one of three dimensions. The token
 * matrix is changed where tokens are looked up, not where it gives logits: its lora_a is [n_vocab, r]. The model's weights stay as they are; the addition is computed beside
 * each product, so sequences with different adapters share one model, and an adapter comes and goes
 * without anybody noticing. */
#include "model/int.h"

struct pair { struct mat a, b; float scale; };
struct adapter {
    struct pair *of;                                                  /* [matrix id]; a.data NULL: unchanged */
    int n_mat;
    struct pair tokens;                                               /* of the token matrix: a is [n_vocab, r] */
};
#define TOKENS "token_embd.weight"

static bool read_header(const struct model *m, const struct gguf *g, float *alpha, struct err *e)
{
    static const struct { const char *key, *want; } rows[] = { { "general.type", "adapter" }, { "adapter.type", "lora" } };
    struct bytes s;
    for (size_t i = 0; i < LEN(rows); i++) {
        if (!gguf_str(g, rows[i].key, &s, e)) return false;
        if (!bytes_eq(s, rows[i].want))
            return err_set(e, ERR_FORMAT, "%s is \"%.*s\", must be \"%s\"", rows[i].key, (int)MIN(s.len, 40), s.p, rows[i].want);
    }
    if (!gguf_str(g, "general.architecture", &s, e)) return false;
    if (!bytes_eq(s, m->cfg.arch))
        return err_set(e, ERR_FORMAT, "the adapter is for architecture \"%.*s\", the model is \"%s\"", (int)MIN(s.len, 40), s.p,
                       m->cfg.arch);
    double v;
    if (!gguf_f64(g, "adapter.lora.alpha", &v, e)) return false;
    *alpha = (float)v;
    return (v > -1e6 && v < 1e6) || err_set(e, ERR_FORMAT, "adapter.lora.alpha is %g, must lie between -1e6 and 1e6", v);
}

/* Slice i of a tensor. */
static struct mat mat_of(const struct tensor *t, int i)
{
    size_t row = dtype_bytes(t->dtype, t->ne[0]);
    return (struct mat){ t->dtype, (int)t->ne[1], (int)t->ne[0], (const uint8_t *)t->data + (size_t)i * (size_t)t->ne[1] * row, row, 0 };
}

/* Are these a pair for n matrices of this shape, one behind the other? */
static bool fits(const struct tensor *a, const struct tensor *b, const char *name, int64_t n_in, int64_t n_out, int n, bool flipped, struct err *e)
{
    int64_t r = flipped ? a->ne[0] : a->ne[1], in = flipped ? a->ne[1] : a->ne[0];
    if (in != n_in || b->ne[1] != n_out || b->ne[0] != r || r < 1 || r > 4096 || a->ne[2] != n || b->ne[2] != n || a->ne[3] != 1 || b->ne[3] != 1)
        return err_set(e, ERR_FORMAT, "tensors %s.lora_a and .lora_b are %lld x %lld x %lld and %lld x %lld x %lld, must be %s%lld%s x %d and r x %lld x %d",
                       name, (long long)a->ne[0], (long long)a->ne[1], (long long)a->ne[2], (long long)b->ne[0], (long long)b->ne[1],
                       (long long)b->ne[2], flipped ? "r x " : "", (long long)n_in, flipped ? "" : " x r", n, (long long)n_out, n);
    return true;
}

/* One tensor of a pair: which matrix it belongs to, and whether it fits. */
static bool bind(struct adapter *a, const struct model *m, const struct gguf *g, const struct tensor *t, float alpha, struct err *e)
{
    char name[128], other[136];
    size_t n = strlen(t->name);
    bool is_a = n > 7 && !strcmp(t->name + n - 7, ".lora_a"), is_b = n > 7 && !strcmp(t->name + n - 7, ".lora_b");
    if ((!is_a && !is_b) || n - 7 >= sizeof name)
        return err_set(e, ERR_FORMAT, "tensor %.80s is neither NAME.lora_a nor NAME.lora_b", t->name);
    snprintf(name, sizeof name, "%.*s", (int)(n - 7), t->name);
    int n_mat = 1;
    bool tokens = !strcmp(name, TOKENS);
    const struct mat *w = tokens ? &m->embd : model_matrix(m, name, &n_mat);
    if (!w) return err_set(e, ERR_FORMAT, "tensor %s: the model has no matrix %s that an adapter could change", t->name, name);
    snprintf(other, sizeof other, "%s.lora_%c", name, is_a ? 'b' : 'a');
    const struct tensor *u = gguf_find(g, other), *ta = is_a ? t : u, *tb = is_a ? u : t;
    if (!u) return err_set(e, ERR_FORMAT, "tensor %s is missing beside %s", other, t->name);
    if (!(tokens ? fits(ta, tb, name, w->n_out, w->n_in, 1, true, e) : fits(ta, tb, name, w->n_in, w->n_out, n_mat, false, e))) return false;
    if (!dtype_info(t->dtype)->unpack)
        return err_set(e, ERR_UNSUPPORTED, "tensor %s is of type %s, which cannot be computed with", t->name, dtype_info(t->dtype)->name);
    float scale = alpha / (float)tb->ne[0];
    if (tokens) a->tokens = (struct pair){ mat_of(ta, 0), mat_of(tb, 0), scale };
    for (int i = 0; i < n_mat && !tokens; i++) a->of[w[i].id] = (struct pair){ mat_of(ta, i), mat_of(tb, i), scale };
    return true;
}

struct gguf *adapter_file(const struct model *m, const char *path, struct err *e)
{
    return is_folder(path) ? gguf_open_peft(path, m->cfg.arch, m->cfg.head_dim, e) : gguf_open(path, e);
}

struct adapter *adapter_open(const struct model *m, const struct gguf *g, struct err *e)
{
    float alpha = 0;
    struct adapter *a = mem_zero(sizeof *a);
    a->n_mat = m->n_mat;
    a->of = mem_zero((size_t)(m->n_mat + 1) * sizeof *a->of);
    bool ok = read_header(m, g, &alpha, e) && (gguf_n_tensor(g) || err_set(e, ERR_FORMAT, "the adapter has no tensor"));
    for (size_t i = 0; ok && i < gguf_n_tensor(g); i++) ok = bind(a, m, g, gguf_tensor(g, i), alpha, e);
    if (ok) return a;
    err_at(e, gguf_name(g));
    adapter_close(a);
    return NULL;
}

void adapter_close(struct adapter *a)
{
    if (!a) return;
    mem_free(a->of);
    mem_free(a);
}

/* y [n, n_out] += scale * B (t), t [n, r] is scaled on the way. */
static void widen(const struct model *m, const struct pair *p, float scale, float *t, float *y, int n, enum phase ph, struct arena *tmp)
{
    size_t thin = (size_t)n * (size_t)p->b.n_in, wide = (size_t)n * (size_t)p->b.n_out;
    float *u = arena_f32(tmp, wide);
    struct matmul up = { u, &p->b };
    for (size_t k = 0; k < thin; k++) t[k] *= p->scale * scale;
    m->ops->matmul(m->ops->ctx, &up, 1, t, n, ph);
    m->ops->add(m->ops->ctx, y, u, wide);
}

/* Rows that share their adapters. */
static void add_group(const struct model *m, const struct lora_rows *g, float *y, const struct mat *w, const float *x, int n, enum phase ph,
                      struct arena *tmp)
{
    for (int i = 0; i < g->n_use; i++) {
        const struct lora_use *use = &g->use[i];
        const struct pair *p = w->id && w->id <= use->a->n_mat ? &use->a->of[w->id] : NULL;
        if (!p || !p->a.data) continue;
        size_t mark = arena_mark(tmp);
        float *t = arena_f32(tmp, (size_t)n * (size_t)p->a.n_out);
        struct matmul down = { t, &p->a };
        m->ops->matmul(m->ops->ctx, &down, 1, x, n, ph);
        widen(m, p, use->scale, t, y, n, ph, tmp);
        arena_reset(tmp, mark);
    }
}

void lora_add(const struct model *m, const struct lora_rows *group, int n_group, float *y, const struct mat *w, const float *x,
              const int *row, int n, enum phase ph, struct arena *tmp)
{
    for (int g = 0, i = 0, end = 0; g < n_group && i < n; g++) {
        int from = i;
        end += group[g].n;
        while (i < n && (row ? row[i] : i) < end) i++;
        if (i > from) add_group(m, &group[g], y + (size_t)from * (size_t)w->n_out, w, x + (size_t)from * (size_t)w->n_in, i - from, ph, tmp);
    }
}

void lora_embed(const struct model *m, const struct lora_rows *group, int n_group, float *h, const int32_t *token, enum phase ph,
                struct arena *tmp)
{
    for (int g = 0; g < n_group; h += (size_t)group[g].n * (size_t)m->cfg.n_embd, token += group[g].n, g++)
        for (int i = 0; i < group[g].n_use; i++) {
            const struct pair *p = &group[g].use[i].a->tokens;
            if (!p->a.data) continue;
            size_t mark = arena_mark(tmp);
            float *t = arena_f32(tmp, (size_t)group[g].n * (size_t)p->a.n_in);
            m->ops->rows(m->ops->ctx, t, &p->a, token, group[g].n);
            widen(m, p, group[g].use[i].scale, t, h, group[g].n, ph, tmp);
            arena_reset(tmp, mark);
        }
}

/* ---- merging ----------------------------------------------------------------------------------- */

/* The pairs for a tensor of the model, one for each matrix in it; NULL: it is left alone. */
static const struct pair *pairs_of(const struct model *m, const struct adapter *a, const char *name, int *n)
{
    *n = 1;
    if (!strcmp(name, TOKENS)) return a->tokens.a.data ? &a->tokens : NULL;
    const struct mat *w = model_matrix(m, name, n);
    return w && w->id <= a->n_mat && a->of[w->id].a.data ? &a->of[w->id] : NULL;
}

bool adapter_changes(const struct model *m, const struct adapter *a, const char *name)
{
    int n;
    return pairs_of(m, a, name, &n) != NULL;
}

bool adapter_can_merge(const struct model *m, const struct adapter *a, struct err *e)
{
    return !a->tokens.a.data || m->head.id != m->embd.id ||
           err_set(e, ERR_UNSUPPORTED, "the adapter changes " TOKENS " where tokens are looked up, and the model gives its logits with the same matrix: "
                                       "use the adapter beside the model (--lora)");
}

static float *unpacked(const struct mat *w, struct arena *tmp)
{
    float *x = arena_f32(tmp, (size_t)w->n_out * (size_t)w->n_in);
    for (int r = 0; r < w->n_out; r++)
        dtype_info(w->dtype)->unpack((const uint8_t *)w->data + (size_t)r * w->row_bytes, x + (size_t)r * (size_t)w->n_in, (size_t)w->n_in);
    return x;
}

/* w += scale * B A; of the token matrix w [n_vocab, d] += scale * A B^T. */
static void merge_pair(const struct model *m, const struct pair *p, float scale, bool tokens, float *w)
{
    struct arena tmp;
    arena_init(&tmp, 0);
    float *a = unpacked(&p->a, &tmp), *b = unpacked(&p->b, &tmp);
    int r = p->b.n_in, d = p->b.n_out;
    for (size_t i = 0; i < (size_t)d * (size_t)r; i++) b[i] *= p->scale * scale;
    if (tokens) m->ops->gemm_f32(GEMM_NT, p->a.n_out, d, r, a, r, b, r, w, d, true, &tmp);
    else m->ops->gemm_f32(GEMM_NN, d, p->a.n_in, r, b, r, a, p->a.n_in, w, p->a.n_in, true, &tmp);
    arena_done(&tmp);
}

void adapter_merge(const struct model *m, const struct lora_use *use, const char *name, float *w)
{
    int n;
    const struct pair *p = pairs_of(m, use->a, name, &n);
    if (!p) return;
    bool tokens = p == &use->a->tokens;
    for (int i = 0; i < n; i++, w += (size_t)p->b.n_out * (size_t)p->a.n_in) merge_pair(m, &p[i], use->scale, tokens, w);
}

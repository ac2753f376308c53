/* lora.c -- adapters: pairs of thin matrices that are added to a model's own.
 *
 * A GGUF adapter has two tensors for each matrix it changes, NAME.lora_a [r, n_in] and NAME.lora_b
 * [n_out, r], and one alpha. The model's weights stay as they are; the addition is computed beside
 * each product, so sequences with different adapters share one model, and an adapter comes and goes
 * without anybody noticing. */
#include "model/int.h"

struct pair { struct mat a, b; float scale; };
struct adapter { struct pair *of; int n_mat; };                       /* [matrix id]; a.data NULL: unchanged */

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

static struct mat mat_of(const struct tensor *t)
{
    return (struct mat){ t->dtype, (int)t->ne[1], (int)t->ne[0], t->data, dtype_bytes(t->dtype, t->ne[0]), 0 };
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
    const struct mat *w = model_matrix(m, name);
    if (!w) return err_set(e, ERR_FORMAT, "tensor %s: the model has no matrix %s that an adapter could change", t->name, name);
    snprintf(other, sizeof other, "%s.lora_%c", name, is_a ? 'b' : 'a');
    const struct tensor *u = gguf_find(g, other), *ta = is_a ? t : u, *tb = is_a ? u : t;
    if (!u) return err_set(e, ERR_FORMAT, "tensor %s is missing beside %s", other, t->name);
    int64_t r = ta->ne[1];
    if (ta->ne[0] != w->n_in || tb->ne[1] != w->n_out || tb->ne[0] != r || r < 1 || r > 4096 || ta->ne[2] * ta->ne[3] * tb->ne[2] * tb->ne[3] != 1)
        return err_set(e, ERR_FORMAT, "tensors %s.lora_a and .lora_b are %lld x %lld and %lld x %lld, must be %d x r and r x %d", name,
                       (long long)ta->ne[0], (long long)ta->ne[1], (long long)tb->ne[0], (long long)tb->ne[1], w->n_in, w->n_out);
    if (!dtype_info(t->dtype)->unpack)
        return err_set(e, ERR_UNSUPPORTED, "tensor %s is of type %s, which cannot be computed with", t->name, dtype_info(t->dtype)->name);
    a->of[w->id] = (struct pair){ mat_of(ta), mat_of(tb), alpha / (float)r };
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

void lora_add(const struct model *m, const struct lora_use *use, int n_use, float *y, const struct mat *w, const float *x, int n,
              enum phase ph, struct arena *tmp)
{
    for (int i = 0; i < n_use; i++) {
        const struct pair *p = w->id && w->id <= use[i].a->n_mat ? &use[i].a->of[w->id] : NULL;
        if (!p || !p->a.data) continue;
        size_t mark = arena_mark(tmp), thin = (size_t)n * (size_t)p->a.n_out, wide = (size_t)n * (size_t)w->n_out;
        float *t = arena_f32(tmp, thin), *u = arena_f32(tmp, wide), scale = p->scale * use[i].scale;
        struct matmul down = { t, &p->a }, up = { u, &p->b };
        m->ops->matmul(m->ops->ctx, &down, 1, x, n, ph);
        for (size_t k = 0; k < thin; k++) t[k] *= scale;
        m->ops->matmul(m->ops->ctx, &up, 1, t, n, ph);
        m->ops->add(m->ops->ctx, y, u, wide);
        arena_reset(tmp, mark);
    }
}

static const struct pair *pair_of(const struct model *m, const struct adapter *a, const char *name)
{
    const struct mat *w = model_matrix(m, name);
    return w && w->id <= a->n_mat && a->of[w->id].a.data ? &a->of[w->id] : NULL;
}

bool adapter_changes(const struct model *m, const struct adapter *a, const char *name)
{
    return pair_of(m, a, name) != NULL;
}

static float *unpacked(const struct mat *w, struct arena *tmp)
{
    float *x = arena_f32(tmp, (size_t)w->n_out * (size_t)w->n_in);
    for (int r = 0; r < w->n_out; r++)
        dtype_info(w->dtype)->unpack((const uint8_t *)w->data + (size_t)r * w->row_bytes, x + (size_t)r * (size_t)w->n_in, (size_t)w->n_in);
    return x;
}

void adapter_merge(const struct model *m, const struct lora_use *use, const char *name, float *w)
{
    const struct pair *p = pair_of(m, use->a, name);
    if (!p) return;
    struct arena tmp;
    arena_init(&tmp, 0);
    float *a = unpacked(&p->a, &tmp), *b = unpacked(&p->b, &tmp);
    for (size_t i = 0; i < (size_t)p->b.n_out * (size_t)p->b.n_in; i++) b[i] *= p->scale * use->scale;
    m->ops->gemm_f32(GEMM_NN, p->b.n_out, p->a.n_in, p->a.n_out, b, p->b.n_in, a, p->a.n_in, w, p->a.n_in, true, &tmp);
    arena_done(&tmp);
}

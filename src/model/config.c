/* config.c -- the numbers of a model, read from its metadata and checked before anything is
 * sized by them.
 *
 * Every number comes from the file; what the file may leave out has the default the format
 * names. Keys that would change the computation and that we do not compute (bidirectional
 * attention, RoPE scaling that is not linear, partial rotation) are refused by name instead of
 * being ignored. */
#include <math.h>

#include "model/int.h"

#define MOST_WIDTH (1 << 20) /* bound of any width; shapes bind it further */

struct reader { const struct gguf *g; const char *arch; char key[128]; struct err *e; };

static const char *key_of(struct reader *r, const char *tail)
{
    snprintf(r->key, sizeof r->key, "%s.%s", r->arch, tail);
    return r->key;
}

static bool read_int(struct reader *r, const char *tail, int lo, int hi, int *out)
{
    int64_t v;
    if (!gguf_int(r->g, key_of(r, tail), lo, hi, &v, r->e)) return false;
    *out = (int)v;
    return true;
}

/* A key that may be missing keeps the default that stands in *out. */
static bool read_int_opt(struct reader *r, const char *tail, int lo, int hi, int *out)
{
    return !gguf_has(r->g, key_of(r, tail)) || read_int(r, tail, lo, hi, out);
}

static bool read_f32(struct reader *r, const char *tail, double above, double below, float *out)
{
    double v;
    if (!gguf_f64(r->g, key_of(r, tail), &v, r->e)) return false;
    if (!(v > above && v < below))
        return err_set(r->e, ERR_FORMAT, "%s is %g, must lie between %g and %g", r->key, v, above,
                       below);
    *out = (float)v;
    return true;
}

/* A key that may be missing, or be 0, keeps the default that stands in *out. */
static bool read_f32_opt(struct reader *r, const char *tail, double above, double below, float *out)
{
    double v = 0;
    if (gguf_has(r->g, key_of(r, tail)) && !gguf_f64(r->g, r->key, &v, r->e)) return false;
    return v == 0 || read_f32(r, tail, above, below, out);
}

/* One number for all layers or an array with one per layer. */
static bool read_per_layer(struct reader *r, const char *tail, int lo, int n_layer, int *out)
{
    const char *key = key_of(r, tail);
    if (!gguf_is_array(r->g, key)) {
        int v;
        if (!read_int(r, tail, lo, MOST_WIDTH, &v)) return false;
        for (int l = 0; l < n_layer; l++) out[l] = v;
        return true;
    }
    int32_t *v = NULL;
    size_t n = 0;
    if (!gguf_ints(r->g, key, lo, MOST_WIDTH, &v, &n, r->e)) return false;
    if (n == (size_t)n_layer)
        for (int l = 0; l < n_layer; l++) out[l] = v[l];
    mem_free(v);
    if (n == (size_t)n_layer) return true;
    return err_set(r->e, ERR_FORMAT, "%s has %zu entries, must have one for each of %d layers",
                   r->key, n, n_layer);
}

static bool read_arch(struct reader *r, struct model_config *c)
{
    struct bytes name;
    if (!gguf_str(r->g, "general.architecture", &name, r->e)) return false;
    snprintf(c->arch, sizeof c->arch, "%.*s", (int)MIN(name.len, sizeof c->arch - 1), name.p);
    if (name.len >= sizeof c->arch || !arch_find(c->arch))
        return err_set(r->e, ERR_UNSUPPORTED, "general.architecture is \"%s\", must be one of: %s",
                       utf8_valid(c->arch, strlen(c->arch)) ? c->arch : "?", arch_names());
    r->arch = c->arch;
    return true;
}

static bool read_heads(struct reader *r, struct model_config *c)
{
    int *n_head = mem_zero(MODEL_LAYERS * sizeof *n_head);
    bool ok = read_per_layer(r, "attention.head_count", 1, c->n_layer, n_head);
    c->n_head = n_head[0];
    for (int l = 1; ok && l < c->n_layer; l++)
        if (n_head[l] != c->n_head)
            ok = err_set(r->e, ERR_UNSUPPORTED,
                         "%s differs between layers 0 and %d (%d and %d); only one "
                         "number of heads for all layers is supported",
                         r->key, l, c->n_head, n_head[l]);
    mem_free(n_head);
    bool conv = arch_find(c->arch)->conv;
    for (int l = 0; l < c->n_layer && !conv; l++) c->n_head_kv[l] = c->n_head;
    bool has = conv || gguf_has(r->g, key_of(r, "attention.head_count_kv"));
    if (!ok || (has && !read_per_layer(r, "attention.head_count_kv", conv ? 0 : 1, c->n_layer, c->n_head_kv)))
        return false;
    for (int l = 0; l < c->n_layer; l++)
        if (c->n_head_kv[l] && c->n_head % c->n_head_kv[l])
            return err_set(r->e, ERR_FORMAT, "%s of layer %d is %d, must divide the %d query heads",
                           r->key, l, c->n_head_kv[l], c->n_head);
    return true;
}

static bool read_head_dim(struct reader *r, struct model_config *c)
{
    c->head_dim = c->n_embd / c->n_head;
    if (!read_int_opt(r, "attention.key_length", 2, 4096, &c->head_dim)) return false;
    int v_dim = c->head_dim, rot = c->head_dim;
    if (!read_int_opt(r, "attention.value_length", 2, 4096, &v_dim)) return false;
    if (!read_int_opt(r, "rope.dimension_count", 0, 4096, &rot)) return false;
    if (v_dim != c->head_dim || rot != c->head_dim)
        return err_set(r->e, ERR_UNSUPPORTED,
                       "%s: key length %d, value length %d and %d rotated dimensions "
                       "must be equal",
                       r->arch, c->head_dim, v_dim, rot);
    if (c->head_dim < 2 || c->head_dim > 4096 || c->head_dim % 2)
        return err_set(r->e, ERR_FORMAT,
                       "%s: the head dimension is %d, must be even and at most 4096", r->arch,
                       c->head_dim);
    if ((int64_t)c->n_head * c->head_dim > MOST_WIDTH)
        return err_set(r->e, ERR_FORMAT, "%s: %d heads of %d are more than %d", r->arch, c->n_head,
                       c->head_dim, MOST_WIDTH);
    return true;
}

/* A file says how long a context it was trained for, or that is its context_length; it then serves `factor`
 * times that. */
static bool read_yarn(struct reader *r, struct model_config *c)
{
    c->yarn.beta_fast = 32;
    c->yarn.beta_slow = c->yarn.ext = c->yarn.attn = 1;
    c->yarn.n_ctx = c->n_ctx;
    if (!read_f32(r, "rope.scaling.factor", 0, 1e4, &c->yarn.factor) ||
        !read_int_opt(r, "rope.scaling.original_context_length", 1, INT32_MAX, &c->yarn.n_ctx) ||
        !read_f32_opt(r, "rope.scaling.attn_factor", 0, 1e4, &c->yarn.attn) ||
        !read_f32_opt(r, "rope.scaling.yarn_ext_factor", 0, 1, &c->yarn.ext) ||
        !read_f32_opt(r, "rope.scaling.yarn_beta_fast", 0, 1e6, &c->yarn.beta_fast) ||
        !read_f32_opt(r, "rope.scaling.yarn_beta_slow", 0, 1e6, &c->yarn.beta_slow))
        return false;
    double reach = (double)c->yarn.factor * c->yarn.n_ctx;
    if (reach > c->n_ctx) c->n_ctx = (int)MIN(reach, (double)INT32_MAX);
    return true;
}

static bool read_variants(struct reader *r, struct model_config *c)
{
    bool causal = true;
    if (gguf_has(r->g, key_of(r, "attention.causal")) && !gguf_bool(r->g, r->key, &causal, r->e))
        return false;
    if (!causal)
        return err_set(r->e, ERR_UNSUPPORTED, "%s is false; only causal models are supported",
                       r->key);
    struct bytes scaling = { "none", 4 };
    if (gguf_has(r->g, key_of(r, "rope.scaling.type")) && !gguf_str(r->g, r->key, &scaling, r->e))
        return false;
    if (!bytes_eq(scaling, "none") && !bytes_eq(scaling, "linear") && !bytes_eq(scaling, "yarn"))
        return err_set(r->e, ERR_UNSUPPORTED, "%s is \"%.*s\"; none, linear and yarn are supported", r->key,
                       (int)MIN(scaling.len, 40), scaling.p);
    if (bytes_eq(scaling, "yarn")) return read_yarn(r, c);
    if (bytes_eq(scaling, "linear")) return read_f32_opt(r, "rope.scaling.factor", 0, 1e6, &c->rope_scale);
    return read_f32_opt(r, "rope.scale_linear", 0, 1e6, &c->rope_scale);     /* its name of old */
}

/* Experts, if there are any. */
static bool read_experts(struct reader *r, struct model_config *c)
{
    if (!read_int_opt(r, "expert_count", 0, 4096, &c->n_expert)) return false;
    if (!c->n_expert) return true;
    int gating = 0;
    c->n_ff_expert = c->n_ff;
    c->expert_scale = 1;
    bool ok = read_int(r, "expert_used_count", 1, c->n_expert, &c->n_used) &&
              read_int_opt(r, "expert_feed_forward_length", 1, MOST_WIDTH, &c->n_ff_expert) &&
              read_int_opt(r, "leading_dense_block_count", 0, c->n_layer, &c->n_dense) &&
              read_int_opt(r, "expert_gating_func", 0, 2, &gating) &&
              read_f32_opt(r, "expert_weights_scale", 0, 1e6, &c->expert_scale);
    c->sigmoid = gating == 2 || (!gating && !strcmp(c->arch, "lfm2moe"));
    return ok;
}

/* The rows of the embedding say how many tokens there are; the key and the token list may not
 * say more. */
static bool read_vocab(struct reader *r, struct model_config *c)
{
    const struct tensor *embd = gguf_find(r->g, "token_embd.weight");
    bool has = gguf_has(r->g, key_of(r, "vocab_size"));
    if (has && !read_int(r, "vocab_size", 1, 1 << 24, &c->n_vocab)) return false;
    if (!embd) return has || err_set(r->e, ERR_FORMAT, "tensor token_embd.weight is missing");
    if (embd->ne[1] < 1 || embd->ne[1] > 1 << 24)
        return err_set(r->e, ERR_FORMAT, "token_embd.weight has %lld rows, must have 1 to %d",
                       (long long)embd->ne[1], 1 << 24);
    if (has && c->n_vocab != embd->ne[1])
        return err_set(r->e, ERR_FORMAT, "%s is %d but token_embd.weight has %lld rows", r->key,
                       c->n_vocab, (long long)embd->ne[1]);
    c->n_vocab = (int)embd->ne[1];
    return true;
}

static bool has_conv(const struct model_config *c)
{
    for (int l = 0; l < c->n_layer; l++)
        if (!c->n_head_kv[l]) return true;
    return false;
}

bool model_config_read(struct model_config *c, const struct gguf *g, struct err *e)
{
    *c = (struct model_config){ .rope_theta = 10000 };
    struct reader r = { .g = g, .e = e };
    bool ok = read_arch(&r, c) && read_int(&r, "block_count", 1, MODEL_LAYERS, &c->n_layer) &&
              read_int(&r, "embedding_length", 1, MOST_WIDTH, &c->n_embd) &&
              read_int(&r, "feed_forward_length", 1, MOST_WIDTH, &c->n_ff) &&
              read_int(&r, "context_length", 1, INT32_MAX, &c->n_ctx) && read_heads(&r, c) &&
              read_head_dim(&r, c) &&
              read_f32(&r, "attention.layer_norm_rms_epsilon", 0, 0.1, &c->rms_eps) &&
              read_f32_opt(&r, "rope.freq_base", 1, 1e30, &c->rope_theta) && read_variants(&r, c) &&
              read_int_opt(&r, "attention.sliding_window", 0, INT32_MAX, &c->window) && read_experts(&r, c) &&
              (!has_conv(c) || read_int(&r, "shortconv.l_cache", 2, 16, &c->conv_taps)) &&
              read_vocab(&r, c);
    return ok || err_at(e, gguf_name(g));
}

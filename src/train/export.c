/* export.c -- master weights become a model file that any reader of GGUF understands.
 *
 * Metadata as the architecture asks for it, tokenizer keys copied as they stand in the vocabulary
 * file, matrices in the wanted type, norms and taps F32, the head tied. The layer kinds stand only
 * in head_count_kv (0: convolution). */
#include "train/int.h"

static void put_u32(struct gguf_out *o, const char *arch, const char *key, int v)
{
    char name[128];
    snprintf(name, sizeof name, "%s.%s", arch, key);
    gguf_out_u32(o, name, (uint32_t)v);
}

static void put_f32(struct gguf_out *o, const char *arch, const char *key, float v)
{
    char name[128];
    snprintf(name, sizeof name, "%s.%s", arch, key);
    gguf_out_f32(o, name, v);
}

static void put_config(struct gguf_out *o, const struct model_config *c, int n_ctx)
{
    gguf_out_str(o, "general.architecture", c->arch, strlen(c->arch));
    put_u32(o, c->arch, "block_count", c->n_layer);
    put_u32(o, c->arch, "context_length", n_ctx > 0 ? n_ctx : c->n_ctx);
    put_u32(o, c->arch, "embedding_length", c->n_embd);
    put_u32(o, c->arch, "feed_forward_length", c->n_ff);
    put_u32(o, c->arch, "attention.head_count", c->n_head);
    put_u32(o, c->arch, "vocab_size", c->n_vocab);
    put_u32(o, c->arch, "shortconv.l_cache", c->conv_taps);
    put_f32(o, c->arch, "attention.layer_norm_rms_epsilon", c->rms_eps);
    put_f32(o, c->arch, "rope.freq_base", c->rope_theta);
    char key[128];
    snprintf(key, sizeof key, "%s.attention.head_count_kv", c->arch);
    int32_t kv[MODEL_LAYERS];
    for (int l = 0; l < c->n_layer; l++) kv[l] = c->n_head_kv[l];
    gguf_out_i32s(o, key, kv, (size_t)c->n_layer);
}

static bool starts(struct bytes b, const char *s)
{
    return b.len >= strlen(s) && !memcmp(b.p, s, strlen(s));
}

/* The vocabulary's own keys; its chat template only if none was given. */
static void put_vocab(struct gguf_out *o, const struct export_opts *x)
{
    for (size_t i = 0; i < gguf_n_kv(x->vocab); i++) {
        struct gguf_kv kv = gguf_kv(x->vocab, i);
        if (!starts(kv.key, "tokenizer.")) continue;
        if (x->chat_template && bytes_eq(kv.key, "tokenizer.chat_template")) continue;
        gguf_out_kv(o, &kv);
    }
    if (x->chat_template)
        gguf_out_str(o, "tokenizer.chat_template", x->chat_template, strlen(x->chat_template));
}

/* Bytes of p as the file holds them; f32 lends, other types are packed into fresh memory. */
static bool pack_param(const struct param *p, const float *w, enum dtype want, struct tensor *t,
                       void **own, struct err *e)
{
    enum dtype d = p->is_matrix ? want : DT_F32;
    size_t n = (size_t)p->rows * (size_t)p->cols;
    const struct dtype_info *info = dtype_info(d);
    if (p->cols % info->block && p->is_matrix)
        return err_set(e, ERR_ARG,
                       "%s: rows of %d do not divide into blocks of %d for %s; F32, BF16, F16, "
                       "Q8_0 or Q4_0 fit",
                       p->name, p->cols, info->block, info->name);
    *t = (struct tensor){ .name = p->name,
                          .dtype = d,
                          .n_dim = p->rows > 1 ? 2 : 1,
                          .ne = { p->cols, p->rows, 1, 1 },
                          .bytes = dtype_bytes(d, (int64_t)n) };
    *own = NULL;
    t->data = w + p->off;
    if (d == DT_F32) return true;
    t->data = *own = mem_alloc(t->bytes);
    for (int r = 0; r < p->rows; r++)
        info->pack(w + p->off + (size_t)r * p->cols, NULL,
                   (char *)*own + (size_t)r * dtype_bytes(d, p->cols), (size_t)p->cols);
    return true;
}

bool train_export(const struct net *n, const float *w, const struct export_opts *x,
                  const char *path, struct err *e)
{
    const struct model_config *c = net_config(n);
    const struct dtype_info *info =
        x->type > DT_NONE && x->type < DT_COUNT ? dtype_info(x->type) : NULL;
    if (!info || !(info->pack || x->type == DT_F32))
        return err_set(e, ERR_ARG, "export: this type of weights cannot be written");
    struct gguf_out *o = gguf_out_new();
    size_t n_tensor = net_n_tensor(n), done = 0;
    void **own = mem_zero(n_tensor * sizeof *own);
    bool ok = true;
    put_config(o, c, x->n_ctx);
    if (x->name) gguf_out_str(o, "general.name", x->name, strlen(x->name));
    gguf_out_u32(o, "general.quantization_version", 2);
    if (x->dialect) gguf_out_str(o, "tenon.dialect", x->dialect, strlen(x->dialect));
    if (x->tools_max) gguf_out_u32(o, "tenon.tools_max", (uint32_t)x->tools_max);
    if (x->vocab) put_vocab(o, x);
    for (; ok && done < n_tensor; done++) {
        struct tensor t;
        ok = pack_param(net_param(n, done), w, x->type, &t, &own[done], e);
        if (ok) gguf_out_tensor(o, &t);
    }
    ok = ok && gguf_out_write(o, path, e);
    for (size_t i = 0; i < done; i++) mem_free(own[i]);
    mem_free(own);
    gguf_out_free(o);
    return ok || err_in(e, "export");
}

/* ---- what fine-tuning leaves ----------------------------------------------------------------- */

bool tune_export_adapter(const struct train *t, const struct gguf *base, const char *path, struct err *e)
{
    const struct tune_opts *u = t->o.tune;
    struct gguf_out *o = gguf_out_new();
    struct bytes name;
    gguf_out_str(o, "general.architecture", t->o.shape.arch, strlen(t->o.shape.arch));
    gguf_out_str(o, "general.type", "adapter", 7);
    gguf_out_str(o, "adapter.type", "lora", 4);
    gguf_out_f32(o, "adapter.lora.alpha", u->alpha);
    if (gguf_has(base, "general.name") && gguf_str(base, "general.name", &name, NULL))
        gguf_out_str(o, "general.base_model.0.name", name.p, name.len);
    for (size_t i = net_frozen_tensors(t->net); i < net_n_tensor(t->net); i++) {
        struct tensor x;
        void *own;
        struct param p = *net_param(t->net, i);
        pack_param(&p, t->w, DT_F32, &x, &own, e); /* F32 lends and cannot fail */
        gguf_out_tensor(o, &x);
    }
    bool ok = gguf_out_write(o, path, e);
    gguf_out_free(o);
    return ok || err_in(e, "export");
}

/* Called by the writer when the tensor's turn comes. */
static bool fill_tuned(void *ctx, const struct tensor *x, void *dst, struct err *e)
{
    const struct train *t = ctx;
    const struct param *p = net_find(t->net, x->name);
    size_t n = (size_t)p->rows * (size_t)p->cols;
    (void)e;
    if (x->dtype == DT_F32) memcpy(dst, t->w + p->off, n * sizeof(float));
    else dtype_info(x->dtype)->pack(t->w + p->off, NULL, dst, n);
    return true;
}

bool tune_export_model(const struct train *t, const struct gguf *base, const char *path, struct err *e)
{
    struct gguf_out *o = gguf_out_new();
    bool ok = true;
    for (size_t i = 0; i < gguf_n_kv(base); i++) {
        struct gguf_kv kv = gguf_kv(base, i);
        gguf_out_kv(o, &kv);
    }
    for (size_t i = 0; ok && i < gguf_n_tensor(base); i++) {
        const struct tensor *x = gguf_tensor(base, i);
        if (!net_find(t->net, x->name)) gguf_out_tensor(o, x);
        else if (x->dtype == DT_F32 || dtype_info(x->dtype)->pack)
            gguf_out_fill(o, x, fill_tuned, (void *)(uintptr_t)t);
        else
            ok = err_set(e, ERR_UNSUPPORTED,
                         "tensor %s is %s, which cannot be written: tune a F16, BF16, F32 or Q8_0 file",
                         x->name, dtype_info(x->dtype)->name);
    }
    ok = ok && gguf_out_write(o, path, e);
    gguf_out_free(o);
    return ok || err_in(e, "export");
}

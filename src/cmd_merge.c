/* cmd_merge.c -- `tenon merge -m MODEL --lora A OUT`: the adapters' additions written into the weights.
 *
 * Each changed matrix is unpacked, gains scale * alpha / r * B A, and is packed again in the format it
 * had; all else is copied byte for byte. One tensor is in memory at a time; the result appears whole
 * or not at all. */
#include <math.h>
#include <stdlib.h>

#include "cpu/cpu.h"
#include "front.h"
#include "model/model.h"
#include "speaker.h"

struct merge_opts { const char *model; struct opt_list lora; int64_t threads; };

struct merging {
    const struct gguf *g;
    struct speaker s;                                                 /* its adapters; no engine */
    struct model *m;
    int n_changed;
};

/* Called by the writer when the tensor's turn comes. */
static bool fill(void *ctx, const struct tensor *t, void *dst, struct err *e)
{
    struct merging *p = ctx;
    size_t n = (size_t)(t->ne[0] * t->ne[1] * t->ne[2]), bytes = n * sizeof(float);
    const struct dtype_info *d = dtype_info(t->dtype);
    float *w = mem_slab(bytes, e);
    if (!w) return false;
    d->unpack(gguf_find(p->g, t->name)->data, w, n);
    for (int i = 0; i < p->s.n_lora; i++) adapter_merge(p->m, &p->s.lora[i], t->name, w);
    bool ok = true;
    for (size_t i = 0; i < n && ok; i++)
        if (!isfinite(w[i])) ok = err_set(e, ERR_FORMAT, "tensor %s: element %zu is not finite with the adapters", t->name, i);
    if (ok) d->pack(w, NULL, dst, n);
    mem_slab_free(w, bytes);
    return ok;
}

static bool is_changed(const struct merging *p, const char *name)
{
    bool any = false;
    for (int i = 0; i < p->s.n_lora; i++) any |= adapter_changes(p->m, p->s.lora[i].a, name);
    return any;
}

static bool write_merged(struct merging *p, const char *path, struct err *e)
{
    struct gguf_out *out = gguf_out_new();
    bool ok = true;
    for (int i = 0; ok && i < p->s.n_lora; i++) ok = adapter_can_merge(p->m, p->s.lora[i].a, e) || err_at(e, gguf_name(p->s.lora_file[i]));
    for (size_t i = 0; i < gguf_n_kv(p->g); i++) {
        struct gguf_kv kv = gguf_kv(p->g, i);
        gguf_out_kv(out, &kv);
    }
    for (size_t i = 0; ok && i < gguf_n_tensor(p->g); i++) {
        const struct tensor *t = gguf_tensor(p->g, i);
        bool changed = is_changed(p, t->name);
        if (changed && !dtype_info(t->dtype)->pack)
            ok = err_set(e, ERR_UNSUPPORTED, "tensor %s is %s, which cannot be written: merge into a F16, BF16 or F32 file and quantise that",
                         t->name, dtype_info(t->dtype)->name);
        else if (changed) gguf_out_fill(out, t, fill, p);
        else gguf_out_tensor(out, t);
        p->n_changed += changed;
    }
    ok = ok && gguf_out_write(out, path, e);
    gguf_out_free(out);
    return ok;
}

static int run(const void *v, int n_arg, char **arg)
{
    const struct merge_opts *o = v;
    struct err e = { 0 };
    struct merging p = { 0 };
    struct gguf *g = NULL;
    bool ok = (o->lora.n || err_set(&e, ERR_USAGE, "--lora FILE is missing")) && (g = front_gguf(o->model, &e)) &&
              (p.s.pool = pool_open((int)o->threads, &e)) && (p.s.ops = cpu_ops_open(p.s.pool, NULL, &e)) &&
              (p.m = model_open(g, p.s.ops, &e));
    p.g = g;
    ok = ok && speaker_adapters(&p.s, p.m, o->lora.item, o->lora.n, &e) && write_merged(&p, arg[0], &e);
    if (ok) printf("%s: %d adapters in %d matrices\n", arg[0], p.s.n_lora, p.n_changed);
    speaker_close(&p.s);
    model_close(p.m);
    gguf_close(g);
    return ok ? 0 : front_fail("merge", &e);
}

static const struct opt opts[] = {
    { "Model", 'm', "model", "FILE", OPT_STR, offsetof(struct merge_opts, model), "GGUF file (default: the embedded model)" },
    { "Model", 0, "lora", "FILE[=SCALE]", OPT_LIST, offsetof(struct merge_opts, lora), "adapter (GGUF or PEFT folder) and its weight; may be repeated (needed)" },
    { "Run", 't', "threads", "N", OPT_INT, offsetof(struct merge_opts, threads), "threads (default: one per core)" },
};

static const struct merge_opts defaults = { 0 };
const struct command cmd_merge = {
    .verb = "merge", .args = "OUT",
    .sentence = "Write a model with adapters in its weights, in the formats it has.",
    .example = "tenon merge -m model.gguf --lora home.gguf=0.8 model-home.gguf",
    .opt = opts, .n_opt = LEN(opts),
    .defaults = &defaults, .opts_bytes = sizeof defaults, .min_arg = 1, .max_arg = 1, .run = run,
};
